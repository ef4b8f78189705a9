import json

import numpy as np
import pytest
import torch

from dataset_builders import calibrate
from dataset_builders.conquer.calibration import (
    AttributeCalibration,
    Slot,
    default_calibration,
    find_calibration,
    hash_of_scored,
    load_calibration,
)
from dataset_builders.conquer.fit import choose_threshold, fit_attribute
from dataset_builders.conquer.scorer import scorer_identity
from dataset_builders.divide.reading import load_vocabulary
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

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


def test_a_calibration_is_stored_and_read_back(vocabulary, tmp_path):
    path = tmp_path / "calibration.json"
    made = default_calibration(vocabulary)
    made = type(made)(made.attributes, "abc", hash_of_scored(vocabulary), 7)
    made.write(path)
    read = load_calibration(path, "folder, abc", vocabulary)
    assert read.images == 7 and read.attributes.keys() == made.attributes.keys()
    slot = read.attributes["age"].slots["age"]
    assert isinstance(read.attributes["age"], AttributeCalibration) and slot == Slot(1.0, (0.25,) * 4, 0.5)
    with pytest.raises(UserError, match="was fitted for the scorer abc, not for other"):
        load_calibration(path, "other", vocabulary)
    with pytest.raises(UserError, match="was fitted for the vocabulary"):
        load_calibration(path, "abc", load_vocabulary(load_vocabulary().templates_for("best").parent / "vehicles.yaml"))
    path.write_text("{}")
    with pytest.raises(UserError, match="cannot be read .KeyError.; make one with"):
        load_calibration(path, "abc", vocabulary)


def labelled_people(folder, vocabulary, count=24):
    folder.mkdir()
    lines, rng = [], np.random.default_rng(3)
    for index in range(count):
        draw_person(index).save(folder / f"p{index}.png")
        values = {}
        for attribute in vocabulary.attributes.values():
            values |= attribute.choices[int(rng.integers(len(attribute.choices)))].value
        lines.append(json.dumps({"file_name": f"{folder.name}/p{index}.png", "attributes": values}))
    (folder.parent / "truth.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_the_command_writes_beside_the_scorer_and_the_builder_finds_it(vocabulary, tiny_clip_folder, tmp_path, capsys):
    import shutil

    scorer = shutil.copytree(tiny_clip_folder, tmp_path / "clip")
    people = labelled_people(tmp_path / "people", vocabulary)
    identity = scorer_identity(str(scorer))
    options = ["--images", str(people), "--truth", str(tmp_path / "truth.jsonl"), "--scorer", str(scorer)]
    calibrate.main(options)
    assert "fitted on 24 images" in capsys.readouterr().out
    assert find_calibration(scorer) == scorer / "calibration.json"
    assert scorer_identity(str(scorer)) == identity  # what calibrates a scorer is no part of it
    calibration = load_calibration(find_calibration(scorer), identity, vocabulary)
    for name, fitted in calibration.attributes.items():
        assert sum(fitted.views.values()) == pytest.approx(1, abs=1e-4)
        assert {f: len(s.prior) for f, s in fitted.slots.items()} == {
            f: len(v) for f, v in vocabulary.attributes[name].slots.items()
        }
    with pytest.raises(UserError, match="is no folder to write beside; name a file with --output"):
        calibrate.main([*options[:5], "openai/clip"])
    text = (tmp_path / "truth.jsonl").read_text()
    (tmp_path / "truth.jsonl").write_text(text.replace('"gender": "man"', '"gender": "lord"', 1))
    with pytest.raises(UserError, match="gives gender the value 'lord', which the vocabulary 'people'"):
        calibrate.main(options)


def test_what_is_not_scored_does_not_unfit_a_calibration(vocabulary, tmp_path):
    from dataset_builders.divide.reading import DEFAULT_VOCABULARY

    text = DEFAULT_VOCABULARY.read_text()
    for name, old, new, same in (
        ("synonym", "synonyms: [jogging]", "synonyms: [jogging, sprinting]", True),
        ("subject", "A photo of a tree.", "A photo of a bench.", True),
        ("prompt", "A person {phrase}.", "One person {phrase}.", False),
        ("region", "upper: [0.1, 0.6]", "upper: [0.1, 0.7]", False),
    ):
        assert old in text
        path = tmp_path / f"{name}.yaml"
        path.write_text(text.replace(old, new, 1).replace("templates: {", "# templates: {", 1))
        assert (hash_of_scored(load_vocabulary(path)) == hash_of_scored(vocabulary)) == same


def test_the_released_calibration_fits_the_released_scorer(vocabulary):
    scorer = ROOT / "unipt" / "clip-tiny"
    found = load_calibration(find_calibration(scorer), scorer_identity(str(scorer)), vocabulary)
    assert found.images == 3000 and list(found.attributes) == list(vocabulary.attributes)
