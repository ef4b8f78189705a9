"""Phrases that say only some parts of clothes: as data and in captions."""

import itertools
import re

import numpy as np
import pytest

from dataset_builders.combine.captioner import Captioner
from dataset_builders.combine.sampler import CaptionSampler
from dataset_builders.divide.reading import DEFAULT_VOCABULARY, load_vocabulary
from modeling_unipt.common.user_errors import UserError
from tests.helpers import people_words, vehicles


@pytest.fixture(scope="module", params=[DEFAULT_VOCABULARY, vehicles.VEHICLES], ids=["people", "vehicles"])
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
    grammar = vehicles.GRAMMAR if vocabulary.name == "vehicles" else people_words.GRAMMAR
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
