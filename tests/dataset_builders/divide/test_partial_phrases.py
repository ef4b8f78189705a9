"""Phrases that say only some parts of clothes: as data, in captions, and how they are counted."""

import itertools
import re

import numpy as np
import pytest

from dataset_builders.combine.captioner import Captioner
from dataset_builders.combine.sampler import CaptionSampler
from dataset_builders.divide.reading import DEFAULT_VOCABULARY, load_vocabulary
from dataset_builders.measure.agreement import agreement
from dataset_builders.measure.reliability import calibration_error, statements
from modeling_unipt.common.user_errors import UserError
from tests.dataset_builders.combine.test_caption_grammar import GRAMMAR
from tests.dataset_builders.divide.test_vehicles import GRAMMAR as VEHICLE_GRAMMAR
from tests.dataset_builders.divide.test_vehicles import VEHICLES


@pytest.fixture(scope="module", params=[DEFAULT_VOCABULARY, VEHICLES], ids=["people", "vehicles"])
def vocabulary(request):
    return load_vocabulary(request.param)


def test_every_set_of_parts_can_be_said(vocabulary):
    for attribute in vocabulary.attributes.values():
        for kept in itertools.product([False, True], repeat=len(attribute.parts or ())):
            full = attribute.choices[-1].value
            wanted = {field: value if keep else None for (field, value), keep in zip(full.items(), kept, strict=False)}
            choice = attribute.saying(wanted)
            if any(kept):
                assert choice.value == wanted and attribute.by_phrase[choice.phrase] is choice
            elif kept:
                assert choice is None


def test_partial_phrases_are_never_scored(vocabulary):
    for attribute in vocabulary.attributes.values():
        assert all(choice.prompts == () for choice in attribute.partial_choices)
        if attribute.parts:
            assert len(attribute.choices) == np.prod([len(values) for values in attribute.parts.values()])
            assert {choice.phrase for choice in attribute.partial_choices}.isdisjoint(
                c.phrase for c in attribute.choices
            )


def test_what_cannot_be_said_together_is_said_in_part():
    text = DEFAULT_VOCABULARY.read_text()
    lower = load_vocabulary().attributes["lower_clothes"]
    assert lower.saying({"lower_colour": "red", "lower_garment": "shorts"}).phrase == "red shorts"
    assert lower.saying({"lower_colour": "red", "lower_garment": "long-skirt"}).phrase == "a red long skirt"
    assert lower.saying({"lower_colour": "red"}).phrase == "red bottoms"
    assert "  partial:" in text
    hat = load_vocabulary().attributes["hat"]
    assert hat.saying({"hat": "cap"}).phrase == "a cap" and hat.saying({"hat": None}) is None


@pytest.mark.parametrize("recipe", ["paper", "best"])
def test_captions_of_partial_clothes_are_english(vocabulary, recipe):
    rng = np.random.default_rng(0)
    captioner = Captioner(vocabulary, vocabulary.templates_for(recipe))
    sampler = CaptionSampler(vocabulary, vocabulary.templates_for(recipe))
    grammar = VEHICLE_GRAMMAR if vocabulary.name == "vehicles" else GRAMMAR
    for number in range(3000):
        chosen = {}
        for name, attribute in vocabulary.attributes.items():
            choices = attribute.partial_choices or attribute.choices
            chosen[name] = choices[int(rng.integers(len(choices)))] if rng.random() < 0.7 else None
            if chosen[name] is not None and chosen[name].negative:
                chosen[name] = None
        captions = captioner.captions(chosen, 0, str(number), count=2)
        for caption in captions:
            faults = [fault for fault in grammar.faults(caption) if "contradict" not in fault]
            assert not faults, (faults, caption)
            assert not re.search("None|  ", caption)
        stored = {name: choice.phrase if choice else None for name, choice in chosen.items()}
        assert sampler.caption(stored, 0, str(number), 0) == captions[0]


def test_a_part_left_open_is_an_abstention_not_an_error():
    vocabulary = load_vocabulary()
    upper = vocabulary.attributes["upper_clothes"]
    said = {name: a.choices[0] if a.required else None for name, a in vocabulary.attributes.items()}
    truth = {}
    for name, attribute in vocabulary.attributes.items():
        truth |= said[name].value if said[name] else dict.fromkeys(attribute.fields)
    partial = said | {"upper_clothes": upper.saying({"upper_colour": "white", "upper_garment": "t-shirt"})}
    wrong = said | {"upper_clothes": upper.saying({"upper_colour": "red"}), "age": None}
    counted = statements([partial, wrong], [truth, truth | {"hat": "cap"}], vocabulary)
    fields = counted["fields"]
    assert fields["upper_pattern"] == {"required": True, "accuracy": None, "stated": 0, "abstained": 1}
    assert fields["upper_colour"]["accuracy"] == 0.5 and fields["upper_garment"]["abstained"] == 0.5
    assert fields["hat"] == {"required": False, "accuracy": None, "stated": 0, "abstained": 1}
    assert fields["age"]["accuracy"] == 1 and fields["age"]["abstained"] == 0.5
    assert counted["stated_per_image"] == 8 and counted["true_per_image"] == 7.5  # 9 statements and 7
    assert counted["false_share"] == 1 / 16
    assert agreement([partial], [truth], vocabulary)["required"]["upper_pattern"] == 0


def test_calibration_error_by_hand():
    assert calibration_error([0.9, 0.9, 0.9, 0.9], [1, 1, 1, 0]) == pytest.approx(0.15)
    # two bins: 0.5 against 1 and 1.0 against 0, one image each
    assert calibration_error([0.5, 1.0], [True, False]) == pytest.approx(0.75)
    assert calibration_error([0.2, 0.21, 1.0], [False, True, True]) == pytest.approx(0.21 / 3 * 0 + 0.59 / 3 + 0 / 3)


LINE = "- a {garment}\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (LINE, "- a {garmet}\n", r"line \d+: a partial phrase of .* unknown blank .garmet. .did you mean"),
        (LINE, "- a top\n", "must hold some of its parts, not none"),
        (LINE, "- a {colour} {pattern} {garment}\n", "must hold some of its parts, not all"),
        (LINE, "- some {colour} {garment}\n", "two partial phrases .* say the same parts: colour, garment"),
        (LINE, "- {plural_phrase: x}\n", "lacks 'phrase'"),
        (LINE, "- {phrase: 'a {garment}', prompt: x}\n", "has an unknown key 'prompt'"),
        (LINE, "- {phrase: 'a {garment}', plural_phrase: tops}\n", "hold different blanks"),
        (LINE, "- {phrase: 'a {garment}', more: [tops]}\n", "hold different blanks"),
        (
            "  hat:\n",
            "  hat:\n    partial: [x]\n",
            "attribute 'hat' has 'partial', which belongs to attributes with 'parts'",
        ),
    ],
)
def test_wrong_partial_phrases_are_refused_with_line_and_fault(tmp_path, old, new, message):
    text = DEFAULT_VOCABULARY.read_text(encoding="utf-8")
    assert old in text
    for name in ("templates.yaml", "templates_best.yaml"):
        (tmp_path / name).write_text("")
    path = tmp_path / "vocabulary.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message) as refusal:
        load_vocabulary(path)
    assert "vocabulary.yaml, line" in str(refusal.value)
