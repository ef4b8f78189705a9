"""Fitting: known temperatures, priors and views are recovered from what they make of random logits."""

import numpy as np
import pytest
import torch

from dataset_builders.conquer.calibration import Slot
from dataset_builders.conquer.fit import choose_threshold, fit_attribute

VIEWS = ["whole", "mirrored"]


def drawn(probabilities, rng):
    return (probabilities.cumsum(1) > rng.random((len(probabilities), 1))).argmax(1)


def test_a_known_temperature_and_prior_are_recovered(vocabulary):
    rng, age = np.random.default_rng(0), vocabulary.attributes["age"]
    logits = rng.normal(0, 5, (8000, 4)).astype(np.float32)
    known = Slot(2.5, (0.1, 0.2, 0.3, 0.4), 0.0)
    own = torch.from_numpy(logits).softmax(1).numpy()
    values = age.slots["age"]
    truth = [{"age": values[index]} for index in drawn(known.calibrated(own), rng)]
    noise = torch.from_numpy(rng.normal(0, 5, logits.shape).astype(np.float32))
    fitted, _ = fit_attribute(
        age,
        VIEWS,
        lambda view, prompts: torch.from_numpy(logits) if (view, prompts) == ("whole", "first") else noise,
        truth,
    )
    slot = fitted.slots["age"]
    assert fitted.prompts == "first" and fitted.views["whole"] > 0.95
    assert slot.temperature * 1 / fitted.views["whole"] == pytest.approx(2.5, rel=0.1)
    np.testing.assert_allclose(slot.prior, known.prior, atol=0.03)


def test_each_part_of_clothes_has_its_own_temperature(vocabulary):
    rng, lower = np.random.default_rng(1), vocabulary.attributes["lower_clothes"]
    tables = {
        part: torch.from_numpy(rng.normal(0, 3, (4000, len(values))).astype(np.float32)).log_softmax(1)
        for part, values in lower.parts.items()
    }
    joint = (
        tables["colour"][:, :, None, None] + tables["pattern"][:, None, :, None] + tables["garment"][:, None, None, :]
    ).reshape(4000, -1)
    temperatures = {"colour": 1.0, "pattern": 3.0, "garment": 0.6}
    indices = {part: drawn((table / temperatures[part]).softmax(1).numpy(), rng) for part, table in tables.items()}
    truth = [
        {lower.part_fields[part]: lower.parts[part][indices[part][i]] for part in lower.parts} for i in range(4000)
    ]
    fitted, _ = fit_attribute(lower, VIEWS, lambda view, prompts: joint, truth)
    for part, temperature in temperatures.items():
        assert fitted.slots[lower.part_fields[part]].temperature == pytest.approx(temperature, rel=0.15)


def test_a_crop_is_looked_at_only_where_it_helps(vocabulary):
    rng, glasses = np.random.default_rng(2), vocabulary.attributes["glasses"]
    signal = torch.from_numpy(rng.normal(0, 3, (3000, 3)).astype(np.float32))
    noise = [torch.from_numpy(rng.normal(0, 3, (3000, 3)).astype(np.float32)) for _ in range(3)]
    values = glasses.slots["glasses"]
    truth = [{"glasses": values[index]} for index in drawn(signal.softmax(1).numpy(), rng)]
    useless, _ = fit_attribute(
        glasses, VIEWS, lambda view, _: {"whole": signal, "mirrored": noise[0]}.get(view, noise[1]), truth
    )
    useful, _ = fit_attribute(
        glasses, VIEWS, lambda view, _: {"whole": noise[2], "mirrored": noise[0]}.get(view, signal), truth
    )
    assert "region" not in useless.views and useful.views["region"] > 0.9
    assert sum(useful.views.values()) == pytest.approx(1)


def test_the_threshold_keeps_both_promises_if_it_can():
    confidences = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    right = np.array([True, True, True, False, True, False])
    assert choose_threshold(confidences, right, 0.25, least_true=4) == 0.4  # five statements, one of them false
    assert choose_threshold(confidences, right, 0.25, least_true=1) == 0.6  # the middle of 1, 2, 3, 4 and 5 statements
    assert choose_threshold(confidences, right, 0.1, least_true=4) == 0.6  # cannot do both: few are false
    assert choose_threshold(confidences, right, 0.5, least_true=4) == 0.0
    assert choose_threshold(confidences, ~right, 0.1, least_true=0) == 1.0
    alike = np.full(4, 0.5)
    assert choose_threshold(alike, np.array([True, True, True, False]), 0.1, 0) == 1.0  # all of them or none
