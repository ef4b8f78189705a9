"""Each statement of the paper's section 3 about LUPerson-T (divide, conquer, combine) has a test that names it."""

import collections
import re

import numpy as np
import pytest
import torch

from dataset_builders.combine.captioner import Captioner
from dataset_builders.conquer.paper_recipe import PAPER_THRESHOLD, PaperRecipe
from dataset_builders.conquer.scorer import Scorer
from dataset_builders.divide.reading import load_vocabulary
from tests.helpers.people import draw_person

REQUIRED = ["age", "gender", "upper_clothes", "lower_clothes", "action", "hair_length"]
OPTIONAL = ["bag", "glasses", "smoke", "hat", "cellphone", "umbrella", "gloves", "vehicle"]
# "A photo of a person <phrase>.", with the small changes by attribute that the paper allows.
PAPER_PROMPT = "A photo of a person {}."
CHANGED_PROMPTS = {
    "age": "A photo of a {} person.",
    "gender": "A photo of a {}.",
    "upper_clothes": "A photo of a person wearing {}.",
    "lower_clothes": "A photo of a person wearing {}.",
    "hair_length": "A photo of a person with {}.",
    "bag": "A photo of a person carrying {}.",
    "glasses": "A photo of a person wearing {}.",
    "hat": "A photo of a person wearing {}.",
    "umbrella": "A photo of a person holding {}.",
    "gloves": "A photo of a person wearing {}.",
    "vehicle": "A photo of a person riding {}.",
}
SCALE = 20.0  # of the random scorer: spreads its probabilities on both sides of 0.9
PAPER_TEMPLATE_BLANKS = ["age", "gender", "action", "upper_clothes", "lower_clothes", "glasses", "bag", "hair_length"]


@pytest.fixture(scope="module")
def captioner(vocabulary):
    return Captioner(vocabulary)


@pytest.fixture(scope="module")
def everything(vocabulary):
    """An image of which every attribute is known: attribute -> its second choice."""
    return {name: attribute.choices[1] for name, attribute in vocabulary.attributes.items()}


def test_statement_there_are_14_attributes_six_required_and_eight_optional(vocabulary):
    assert [name for name, attribute in vocabulary.attributes.items() if attribute.required] == REQUIRED
    assert [name for name, attribute in vocabulary.attributes.items() if not attribute.required] == OPTIONAL


def test_statement_each_attribute_has_a_hand_written_list_of_phrases(vocabulary):
    for attribute in vocabulary.attributes.values():
        phrases = [choice.phrase for choice in attribute.choices if not choice.negative]
        assert len(set(phrases)) == len(phrases) >= 2


def test_statement_clothes_combine_colour_pattern_and_garment(vocabulary):
    for name in ("upper_clothes", "lower_clothes"):
        attribute = vocabulary.attributes[name]
        assert list(attribute.parts) == ["colour", "pattern", "garment"]
        assert len(attribute.choices) == np.prod([len(values) for values in attribute.parts.values()])
    phrases = {choice.phrase for choice in vocabulary.attributes["upper_clothes"].choices}
    assert {"a white pure color t-shirt", "a blue plaid wind coat"} <= phrases


def test_statement_each_optional_attribute_holds_its_own_negative_phrases(vocabulary):
    for name in OPTIONAL:
        assert any(choice.negative for choice in vocabulary.attributes[name].choices)
    for name in REQUIRED:
        assert not any(choice.negative for choice in vocabulary.attributes[name].choices)
    assert vocabulary.attributes["bag"].choices[-1].phrase == "don't carry bag"
    assert vocabulary.attributes["glasses"].choices[-1].phrase == "don't wear any glasses"


def test_statement_prompts_are_a_photo_of_a_person_phrase_with_small_changes_by_attribute(vocabulary):
    for name, attribute in vocabulary.attributes.items():
        form = CHANGED_PROMPTS.get(name, PAPER_PROMPT)
        for choice in attribute.choices:
            if choice.negative:  # the phrase is no participle: "who doesn't carry any bag"
                assert choice.prompt.startswith("A photo of a person who doesn't ")
            elif choice.phrase == "child":  # "a child person" is no English
                assert choice.prompt == "A photo of a child."
            else:
                assert choice.prompt == form.format(choice.phrase).replace("a old", "an old")
    assert vocabulary.attributes["action"].choices[1].prompt == "A photo of a person walking."


@pytest.fixture(scope="module")
def scorer(tiny_clip_folder, vocabulary):
    scorer = Scorer(tiny_clip_folder, vocabulary, device="cpu")
    scorer.model.logit_scale.fill_(np.log(SCALE))
    return scorer


@pytest.fixture(scope="module")
def described(scorer):
    """40 images: (cosine of each with each choice's prompt by the bare model, what the recipe chose of each)."""
    pixels = np.stack([scorer.pixels(draw_person(number)) for number in range(40)])
    _, _, chosen = PaperRecipe(scorer).describe(pixels)
    normalised = (torch.from_numpy(pixels).permute(0, 3, 1, 2) - scorer._mean) / scorer._std
    cosines = {}
    with torch.no_grad():
        images = scorer.model.get_image_features(pixel_values=normalised).pooler_output
        for name, attribute in scorer.vocabulary.attributes.items():
            encoded = scorer.tokenizer([c.prompt for c in attribute.choices], padding=True, return_tensors="pt")
            texts = scorer.model.get_text_features(**encoded).pooler_output
            cosines[name] = torch.cosine_similarity(images[:, None], texts[None], dim=2).double().numpy()
    return cosines, chosen


def test_statement_a_frozen_clip_scores_each_image_against_every_phrase(scorer, described):
    before = {name: weight.clone() for name, weight in scorer.model.state_dict().items()}
    pixels = np.stack([scorer.pixels(draw_person(number)) for number in range(4)])
    probabilities = scorer.probabilities_of(PaperRecipe(scorer).describe(pixels)[0])
    assert not scorer.model.training and not any(weight.requires_grad for weight in scorer.model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in scorer.model.state_dict().items())
    for name, attribute in scorer.vocabulary.attributes.items():
        assert probabilities[name].shape == (4, len(attribute.choices))


def test_statement_a_required_attribute_takes_exactly_one_phrase_the_most_similar(vocabulary, described):
    cosines, chosen = described
    for name in REQUIRED:
        phrases = [choice.phrase for choice in vocabulary.attributes[name].choices]
        for of_image, image in zip(cosines[name], chosen, strict=True):
            assert of_image[phrases.index(image[name].phrase)] > of_image.max() - 1e-6
    assert len({image["upper_clothes"].phrase for image in chosen}) > 3  # the images differ


def test_statement_an_optional_attribute_is_kept_only_with_softmax_probability_above_09(vocabulary, described):
    """Softmax over the attribute's own phrases, negative ones included; the best positive phrase must exceed 0.9."""
    assert PAPER_THRESHOLD == 0.9
    cosines, chosen = described
    kept = {True: 0, False: 0}
    for name in OPTIONAL:
        choices = vocabulary.attributes[name].choices
        positive = [index for index, choice in enumerate(choices) if not choice.negative]
        for of_image, image in zip(cosines[name], chosen, strict=True):
            exponents = np.exp(SCALE * (of_image - of_image.max()))
            probabilities = exponents / exponents.sum()
            best = max(positive, key=probabilities.__getitem__)
            if abs(probabilities[best] - 0.9) > 1e-3:  # nearer than that the last digits decide
                expected = choices[best].phrase if probabilities[best] > 0.9 else None
                assert (image[name].phrase if image[name] else None) == expected
                kept[expected is not None] += 1
    assert min(kept.values()) > 20, kept


def test_statement_there_are_456_templates(captioner):
    texts = [template.text for template in captioner.template_set.templates]
    assert len(texts) == len(set(texts)) == 456


def test_statement_templates_differ_in_pattern(captioner):
    """Without their blanks, their words and stops still differ."""
    patterns = {re.sub(r"{[^}]*}", "{}", template.text) for template in captioner.template_set.templates}
    assert len(patterns) > 228


def test_statement_templates_differ_in_which_blanks_they_hold(captioner):
    held = [frozenset(re.findall(r"[a-z_]+(?=[^{}]*})", t.text)) for t in captioner.template_set.templates]
    assert len(set(held)) > 60
    assert set(REQUIRED + OPTIONAL) <= frozenset().union(*held) | {"vehicle"}  # {with_vehicle} is the vehicle's blank
    assert any(set(PAPER_TEMPLATE_BLANKS) <= blanks for blanks in held)


def test_statement_one_template_is_drawn_at_random_per_image_among_those_that_fit(captioner, everything):
    images, known = 4000, frozenset(everything)
    fitting = captioner.fitting(known & set(REQUIRED), known - set(REQUIRED))
    assert 50 < len(fitting) < 456
    drawn = collections.Counter()
    filled = captioner._filled

    def count(index, *arguments):
        drawn[int(index)] += 1
        return filled(index, *arguments)

    captioner._filled = count
    try:
        for number in range(images):
            captioner.captions(everything, 0, f"image {number}")
    finally:
        del captioner._filled
    assert sum(drawn.values()) == images and set(drawn) == set(fitting.tolist())
    expected = images / len(fitting)
    chi_square = sum((drawn[index] - expected) ** 2 / expected for index in fitting.tolist())
    assert abs(chi_square - len(fitting)) < 5 * np.sqrt(2 * len(fitting))  # as even draws would be


def test_statement_blanks_are_filled_with_the_selected_phrases(vocabulary, captioner, everything):
    for number in range(200):
        caption = captioner.captions(everything, 0, str(number))[0]
        assert not set("{}[]()|<>&") & set(caption)
        for name in OPTIONAL:
            assert any(re.sub("^an? ", "", wording) in caption for wording in everything[name].wordings), name


def test_statement_synonyms_are_substituted_afterwards(vocabulary, captioner):
    """The template does not depend on the synonym: every wording of a phrase is written, by whatever template."""

    def chosen_by(name, value):
        return next(choice for choice in vocabulary.attributes[name].choices if value in choice.value.values())

    chosen = {"gender": chosen_by("gender", "man"), "action": chosen_by("action", "walking")}
    captions = [captioner.captions(chosen, 0, str(number))[0].lower() for number in range(400)]
    for word in ("man", "male", "guy", "walking", "going on foot", "taking a walk"):
        assert 20 < sum(bool(re.search(rf"\b{word}\b", caption)) for caption in captions) < 380, word
    shapes = collections.defaultdict(set)
    for caption in captions:
        gender, action = (
            re.search(r"\b(man|male|guy)\b", caption),
            re.search("walking|going on foot|taking a walk", caption),
        )
        if gender and action:
            shapes[caption.replace(gender[0], "{}").replace(action[0], "{}")].add((gender[0], action[0]))
    assert max(len(pairs) for pairs in shapes.values()) == 9  # one template, every pair of synonyms


def test_statement_nothing_but_vocabulary_and_templates_is_written_by_hand(vocabulary, captioner, everything):
    """No annotation: a caption is a function of the chosen phrases and of (seed, image_id), and of no other data."""
    again = Captioner(load_vocabulary())
    for number in range(50):
        assert again.captions(everything, 1, str(number)) == captioner.captions(everything, 1, str(number))
    assert re.fullmatch("[0-9a-f]{64}", vocabulary.sha256) and re.fullmatch("[0-9a-f]{64}", again.template_set.sha256)
