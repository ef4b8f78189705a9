import dataclasses

import numpy as np
import pytest
import torch

from dataset_builders.conquer.best_recipe import BestRecipe, ViewScorer, decide_best
from dataset_builders.conquer.calibration import AttributeCalibration, Slot, default_calibration
from dataset_builders.conquer.scorer import Scorer
from tests.helpers.people import draw_person


def certain(vocabulary, **given):
    """(slots of one image, a calibration): each field's first value certain, but for those given as {value: p}."""
    slots = {}
    for attribute in vocabulary.attributes.values():
        for field, values in attribute.slots.items():
            row = given.get(field, {values[0] if attribute.required else None: 1.0})
            left = dict(row)
            slots[field] = np.array([[left.pop(value, 0.0) for value in values]])
    return slots, default_calibration(vocabulary).attributes


def with_thresholds(calibration, **thresholds):
    return {
        name: dataclasses.replace(
            fitted,
            slots={
                field: dataclasses.replace(slot, threshold=thresholds.get(field, slot.threshold))
                for field, slot in fitted.slots.items()
            },
        )
        for name, fitted in calibration.items()
    }


def test_ensembles_and_views_are_what_a_naive_loop_computes(vocabulary, scorer):
    people = [draw_person(seed, 90, 30) for seed in range(3)]
    calibration = default_calibration(vocabulary)
    recipe = BestRecipe(scorer, calibration)
    embeds, stored, _ = recipe.describe(np.stack([recipe.pixels(person) for person in people]))
    assert recipe.passes == 2 + len({a.region for a in vocabulary.attributes.values()} - {"whole"}) == 5
    for number, person in enumerate(people):
        for name in ("age", "hair_length", "bag", "lower_clothes"):
            attribute, logits = vocabulary.attributes[name], 0
            top, bottom = vocabulary.regions[attribute.region]
            views = [person, person.transpose(0)]  # 0: FLIP_LEFT_RIGHT
            if attribute.region != "whole":
                views.append(person.resize((32, 32), scorer.resample, (0, top * 90, 30, bottom * 90)))
            for view in views:
                image = scorer.embed_pixels(scorer.pixels(view)[None])
                texts = []
                for choice in attribute.choices:
                    mean = scorer.embed_texts(list(choice.prompts)).mean(dim=0)
                    texts.append(mean / mean.norm())
                logits = logits + scorer.model.logit_scale.exp() * image @ torch.stack(texts).T / len(views)
            expected = logits.softmax(dim=1).numpy()
            if attribute.parts:
                expected = attribute.marginals(expected)
                for part, values in expected.items():
                    np.testing.assert_allclose(stored[name][part][number], values[0], atol=1e-5)
            else:
                np.testing.assert_allclose(stored[name][number], expected[0], atol=1e-5)
        np.testing.assert_allclose(embeds[number], scorer.embed_pixels(scorer.pixels(person)[None])[0], atol=1e-5)


def test_views_without_weight_are_not_looked_at(vocabulary, scorer):
    calibration = default_calibration(vocabulary)
    whole = {
        name: AttributeCalibration("first", {"whole": 1.0, "region": 0.0}, fitted.slots)
        for name, fitted in calibration.attributes.items()
    }
    recipe = BestRecipe(scorer, dataclasses.replace(calibration, attributes=whole))
    pixels = np.stack([recipe.pixels(draw_person(seed)) for seed in range(2)])
    assert recipe.passes == 1 and pixels.shape == (2, 1, 32, 32, 3)
    seen = []
    original, scorer.embed_pixels = scorer.embed_pixels, lambda values: seen.append(len(values)) or original(values)
    try:
        _, stored, _ = recipe.describe(pixels)
    finally:
        scorer.embed_pixels = original
    assert seen == [2]
    paper = scorer.probabilities([draw_person(seed) for seed in range(2)])
    for name in ("gender", "hat"):
        np.testing.assert_allclose(stored[name], paper[name], atol=1e-5)


def test_an_attribute_left_out_is_neither_scored_nor_stated(vocabulary, tiny_clip_folder):
    embedded = []

    class Watched(Scorer):
        def embed_texts(self, texts):
            embedded.extend(texts)
            return super().embed_texts(texts)

    without = vocabulary.without(["gender", "vehicle"])
    recipe = BestRecipe(Watched(tiny_clip_folder, without, device="cpu"), default_calibration(vocabulary))
    _, stored, (chosen,) = recipe.describe(recipe.pixels(draw_person(0))[None])
    assert not {"gender", "vehicle"} & {*stored, *chosen} and len(stored) == 12
    prompts = [p for name in ("gender", "vehicle") for c in vocabulary.attributes[name].choices for p in c.prompts]
    assert prompts and not set(prompts) & set(embedded)
    assert len(embedded) == len(set(embedded))  # each text once


def test_temperature_and_prior_do_what_they_say():
    own = np.array([[0.6, 0.3, 0.1]])
    np.testing.assert_allclose(Slot(1.0, (1 / 3,) * 3, 0.5).calibrated(own), own)
    cooled = own**0.5 * [0.2, 0.2, 0.6]
    np.testing.assert_allclose(Slot(2.0, (0.2, 0.2, 0.6), 0.5).calibrated(own), cooled / cooled.sum())
    assert np.isfinite(Slot(0.1, (1 / 3,) * 3, 0.5).calibrated(np.array([[1.0, 0.0, 0.0]]))).all()


def test_nothing_is_stated_that_is_not_above_its_threshold(vocabulary):
    rng = np.random.default_rng(0)
    calibration = with_thresholds(default_calibration(vocabulary).attributes, age=0.3, hat=0.5, upper_colour=0.7)
    slots = {
        field: rng.dirichlet(np.full(len(values), 0.3), size=500)
        for attribute in vocabulary.attributes.values()
        for field, values in attribute.slots.items()
    }
    stated = 0
    for image, chosen in enumerate(decide_best(slots, vocabulary, calibration)):
        assert list(chosen) == list(vocabulary.attributes)
        for name, choice in chosen.items():
            for field, value in choice.value.items() if choice else ():
                values = vocabulary.attributes[name].slots[field]
                if value is not None:
                    stated += 1
                    assert slots[field][image][values.index(value)] > calibration[name].slots[field].threshold
    assert stated > 1000


@pytest.mark.parametrize(("probability", "stated"), [(0.5, None), (0.51, "man")])
def test_a_required_attribute_is_left_out_where_unsure(vocabulary, probability, stated):
    slots, calibration = certain(vocabulary, gender={"man": probability, "woman": 1 - probability})
    (chosen,) = decide_best(slots, vocabulary, calibration)
    assert (chosen["gender"].phrase if chosen["gender"] else None) == stated


def test_an_optional_attribute_is_not_stated_against_its_absence(vocabulary):
    slots, calibration = certain(vocabulary, hat={"cap": 0.45, None: 0.55})
    (chosen,) = decide_best(slots, vocabulary, with_thresholds(calibration, hat=0.4))
    assert chosen["hat"] is None
    slots, _ = certain(vocabulary, hat={"cap": 0.45, "beanie": 0.3, None: 0.25})
    (chosen,) = decide_best(slots, vocabulary, with_thresholds(calibration, hat=0.4))
    assert chosen["hat"].phrase == "a cap"


@pytest.mark.parametrize(
    ("unsure", "phrase"),
    [
        ([], "a white pure color t-shirt"),
        (["pattern"], "a white t-shirt"),
        (["garment"], "a white pure color top"),
        (["pattern", "garment"], "a white top"),
        (["colour"], "a pure color t-shirt"),
        (["colour", "pattern"], "a t-shirt"),
        (["colour", "garment"], "a pure color top"),
        (["colour", "pattern", "garment"], None),
    ],
)
def test_clothes_are_stated_part_by_part(vocabulary, unsure, phrase):
    upper = vocabulary.attributes["upper_clothes"]
    given = {}
    for part in unsure:
        first, second, *_ = upper.parts[part]
        given[upper.part_fields[part]] = {first: 0.5, second: 0.5}
    slots, calibration = certain(vocabulary, **given)
    (chosen,) = decide_best(slots, vocabulary, calibration)
    assert (chosen["upper_clothes"].phrase if chosen["upper_clothes"] else None) == phrase


def test_of_two_statements_that_exclude_each_other_the_more_probable_stays(vocabulary):
    for child, smoking, kept in ((0.99, 0.95, "age"), (0.92, 0.95, "smoke")):
        slots, calibration = certain(
            vocabulary, age={"child": child, "old": 1 - child}, smoke={"pipe": smoking, None: 1 - smoking}
        )
        (chosen,) = decide_best(slots, vocabulary, calibration)
        assert {name for name in ("age", "smoke") if chosen[name]} == {kept}
        assert not vocabulary.contradictions(chosen)


def test_a_contradiction_costs_clothes_only_the_part_that_it_is_about(vocabulary):
    slots, calibration = certain(
        vocabulary, upper_garment={"dress": 0.9, "coat": 0.1}, lower_garment={"long-skirt": 0.8, "shorts": 0.2}
    )
    (chosen,) = decide_best(slots, vocabulary, calibration)
    assert chosen["upper_clothes"].phrase == "a white pure color dress"
    assert chosen["lower_clothes"].phrase == "white pure color bottoms"


def test_views_are_cut_from_the_image_itself(vocabulary, scorer):
    views = ViewScorer(scorer, ["mirrored", "top right", "head", "lower"])
    person = draw_person(1, 120, 40)
    pixels = views.pixels(person)  # the tiny CLIP has 2 x 2 patches: half a patch is a quarter of the image
    expected = [(0, 0, 40, 120), (10, 0, 40, 90), (0, 0, 40, 36), (0, 48, 40, 120)]
    for made, box in zip(pixels, expected, strict=True):
        np.testing.assert_array_equal(made, np.asarray(person.resize((32, 32), scorer.resample, box)))
    embeds = views.embed(pixels[None])
    assert list(embeds) == ["whole", "mirrored", "top right", "head", "lower"]
    flipped = scorer.embed_pixels(scorer.pixels(person.transpose(0))[None])
    np.testing.assert_allclose(embeds["mirrored"], flipped, atol=1e-5)
    assert views.pixels(person.resize((1, 1))).shape == (4, 32, 32, 3)
