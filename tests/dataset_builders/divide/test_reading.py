import re

import numpy as np
import pytest

from dataset_builders.divide.reading import load_vocabulary
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import with_articles
from tests.helpers.small_vocabulary import SMALL, write_vocabulary

# The values that the renderer's truth uses; a phrase for each of them makes agreement countable.
COLOURS = ["white", "black", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "khaki"]
VALUES = {
    "age": {"child", "young", "middle-aged", "old"},
    "gender": {"man", "woman"},
    "upper_colour": set(COLOURS),
    "lower_colour": set(COLOURS),
    "upper_pattern": {"plain", "striped", "plaid", "dotted"},
    "lower_pattern": {"plain", "striped", "plaid", "dotted"},
    "upper_garment": {"t-shirt", "tank-top", "shirt", "hoodie", "jacket", "coat", "dress"},
    "lower_garment": {"trousers", "shorts", "long-skirt", "short-skirt", "leggings"},
    "action": {"standing", "walking", "running", "squatting", "sitting", "riding"},
    "hair_length": {"bald", "short", "medium", "long"},
    "bag": {"backpack", "handbag", "shoulder-bag", "suitcase"},
    "glasses": {"glasses", "sunglasses"},
    "smoke": {"cigarette", "pipe"},
    "hat": {"cap", "sun-hat", "beanie", "helmet"},
    "cellphone": {"calling", "looking"},
    "umbrella": {"open", "folded"},
    "gloves": {"dark-gloves", "light-gloves"},
    "vehicle": {"bicycle", "motorcycle", "scooter"},
}
SUBJECT = """\
subject:
  noun: car
  plural: cars
  prompts: [A photo of a car.]
  negatives: [A photo of a road., A photo of a wall.]
"""


def test_the_vocabulary_has_the_six_required_and_eight_optional_attributes_of_the_paper(vocabulary):
    required = [name for name, attribute in vocabulary.attributes.items() if attribute.required]
    optional = [name for name, attribute in vocabulary.attributes.items() if not attribute.required]
    assert required == ["age", "gender", "upper_clothes", "lower_clothes", "action", "hair_length"]
    assert optional == ["bag", "glasses", "smoke", "hat", "cellphone", "umbrella", "gloves", "vehicle"]


def test_every_value_has_a_phrase_and_every_phrase_a_known_value(vocabulary):
    said = {}
    for attribute in vocabulary.attributes.values():
        for choice in attribute.choices:
            for field, value in choice.value.items():
                said.setdefault(field, set()).add(value)
    assert {field: values - {None} for field, values in said.items()} == VALUES


def test_only_optional_attributes_have_negative_phrases_and_those_say_absence(vocabulary):
    for attribute in vocabulary.attributes.values():
        negatives = [choice for choice in attribute.choices if choice.negative]
        assert bool(negatives) != attribute.required
        assert all(list(choice.value.values()) == [None] for choice in negatives)
        assert all(None not in choice.value.values() for choice in attribute.choices if not choice.negative)
    assert "don't carry bag" in [choice.phrase for choice in vocabulary.attributes["bag"].choices]


def test_clothes_are_the_full_product_with_the_garment_fastest(vocabulary):
    upper = vocabulary.attributes["upper_clothes"]
    assert [len(values) for values in upper.parts.values()] == [12, 4, 7]
    assert len(upper.choices) == 12 * 4 * 7 and upper.part_fields["garment"] == "upper_garment"
    expected = [
        (c, p, g) for c in upper.parts["colour"] for p in upper.parts["pattern"] for g in upper.parts["garment"]
    ]
    assert [tuple(choice.value.values()) for choice in upper.choices] == expected
    phrases = [choice.phrase for choice in upper.choices]
    assert phrases[0] == "a white pure color t-shirt" and "an orange plaid wind coat" in phrases
    lower = [choice.phrase for choice in vocabulary.attributes["lower_clothes"].choices]
    assert "black pure color trousers" in lower and "a black pure color long skirt" in lower


def test_marginals_equal_sums_over_the_other_parts(vocabulary):
    upper = vocabulary.attributes["upper_clothes"]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(len(upper.choices)), size=3)
    marginals = upper.marginals(probabilities)
    for part, field in upper.part_fields.items():
        for index, value in enumerate(upper.parts[part]):
            here = [position for position, choice in enumerate(upper.choices) if choice.value[field] == value]
            np.testing.assert_allclose(marginals[part][:, index], probabilities[:, here].sum(axis=1))


def test_prompts_are_whole_sentences_in_the_papers_form(vocabulary):
    prompts = [choice.prompt for attribute in vocabulary.attributes.values() for choice in attribute.choices]
    assert len(set(prompts)) == len(prompts)
    for prompt in prompts:
        assert prompt.startswith("A photo of a") and prompt.endswith(".") and "{" not in prompt and "  " not in prompt
    assert "A photo of a man." in prompts and "A photo of an old person." in prompts
    assert "A photo of a person walking." in prompts


def test_articles_agree_with_the_sound_that_follows():
    assert with_articles("a old man and a unique apple, A umbrella, a hour, a european, a man") == (
        "an old man and a unique apple, An umbrella, an hour, a european, a man"
    )


def test_without_drops_attributes_and_names_the_nearest_for_a_typo(vocabulary):
    assert list(vocabulary.without(["gender", "age"]).attributes)[:2] == ["upper_clothes", "lower_clothes"]
    with pytest.raises(UserError, match="no attribute 'gendre'.*did you mean 'gender'"):
        vocabulary.without(["gendre"])
    with pytest.raises(UserError, match="every attribute"):
        vocabulary.without(list(vocabulary.attributes))


def test_a_vocabulary_of_another_domain_loads(tmp_path):
    cars = load_vocabulary(write_vocabulary(tmp_path, SMALL))
    assert [choice.prompt for choice in cars.attributes["kind"].choices] == [
        "A photo of a bus.",
        "A photo of a van.",
        "A photo of an estate car.",
    ]
    assert cars.attributes["kind"].choices[2].value == {"kind": "estate"}
    assert cars.attributes["load"].choices[-1].value == {"load": None}


def test_prompt_ensembles_begin_with_the_papers_prompt_and_never_share_a_sentence(vocabulary):
    for attribute in vocabulary.attributes.values():
        assert all(choice.prompts[0] == choice.prompt and len(choice.prompts) == 3 for choice in attribute.choices)
        prompts = [prompt for choice in attribute.choices for prompt in choice.prompts]
        assert len(set(prompts)) == len(prompts)
        assert all(re.fullmatch(r"An? [a-z][a-z' -]+\.", prompt) for prompt in prompts)
    hat = {choice.phrase: choice.prompts for choice in vocabulary.attributes["hat"].choices}
    assert hat["a cap"] == (
        "A photo of a person wearing a cap.",
        "A person with a cap on.",
        "A surveillance photo of a pedestrian wearing a cap.",
    )
    # What a phrase's own prompt says, the attribute's forms would say wrongly ("wearing don't wear any hat").
    assert hat["don't wear any hat"][1] == "A person without a hat."
    old = next(choice for choice in vocabulary.attributes["age"].choices if choice.phrase == "old")
    assert old.prompts[1] == "An old person."


def test_a_prompt_of_its_own_takes_no_forms_from_around_it(tmp_path):
    text = SMALL.replace("attributes:", "prompts: ['A car {phrase}.']\nattributes:")
    kind, load = load_vocabulary(write_vocabulary(tmp_path, text)).attributes.values()
    assert [choice.prompts for choice in kind.choices][:2] == [("A photo of a bus.",), ("A photo of a van.",)]
    assert load.choices[0].prompts == ("A photo of a car with a roof box.", "A car with a roof box.")


def test_attributes_say_where_they_are_seen(vocabulary):
    assert vocabulary.regions == {"head": (0, 0.3), "upper": (0.1, 0.6), "lower": (0.4, 1), "whole": (0, 1)}
    seen = {name: attribute.region for name, attribute in vocabulary.attributes.items()}
    assert (seen["hat"], seen["upper_clothes"], seen["lower_clothes"]) == ("head", "upper", "lower")
    assert seen["age"] == seen["action"] == seen["bag"] == "whole"


def test_a_vocabulary_names_the_templates_of_each_recipe(vocabulary, tmp_path):
    assert [vocabulary.templates_for(recipe).name for recipe in ("paper", "best")] == [
        "templates.yaml",
        "templates_best.yaml",
    ]
    (tmp_path / "mine.yaml").write_text("")
    cars = load_vocabulary(write_vocabulary(tmp_path, SMALL + "templates: {best: mine.yaml}\n"))
    assert cars.templates_for("best") == tmp_path / "mine.yaml"
    with pytest.raises(UserError, match="'cars' has no templates for the recipe 'paper'; it has some for best"):
        cars.templates_for("paper")
    with pytest.raises(UserError, match="it names none under 'templates'"):
        load_vocabulary(write_vocabulary(tmp_path, SMALL)).templates_for("best")
    with pytest.raises(UserError, match=r"line 11: the templates of the recipe 'best' are no file: .*their.yaml"):
        load_vocabulary(write_vocabulary(tmp_path, SMALL + "templates: {best: their.yaml}\n"))


def test_shorter_wordings_hold_fewer_parts(vocabulary):
    upper = {choice.phrase: choice for choice in vocabulary.attributes["upper_clothes"].choices}
    assert upper["an orange plaid wind coat"].short_wordings == (
        "an orange wind coat",
        "an orange coat",
        "an orange long coat",
    )
    lower = {choice.phrase: choice for choice in vocabulary.attributes["lower_clothes"].choices}
    assert lower["black striped shorts"].short_wordings[0] == "black shorts"
    hat = vocabulary.attributes["hat"].choices[0]
    assert hat.short_wordings == hat.wordings


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "prompt: A photo of a car {phrase}.\n",
            "",
            r"line \d+: phrase 'with a roof box' of attribute 'load' has no prompt",
        ),
        ("of a {phrase}.", "of a {phrasing}.", r"unknown blank \{phrasing\} \(did you mean 'phrase'"),
        ("of a {phrase}.", "of a thing.", r"lacks the blank \{phrase\}"),
        (
            "negatives:",
            "negative:",
            r"line \d+: attribute 'load' has an unknown key 'negative' \(did you mean 'negatives'",
        ),
        ("    negatives: [with no load]\n", "", "attribute 'load' is optional and lacks 'negatives'"),
        ("[bus, van,", "[bus, bus,", "attribute 'kind' has the phrase 'bus' twice"),
        ("[bus, van,", "[bus, on,", "must be a text or a mapping, not True; put quotes"),
        ("required: true", "required: often", "'required' of attribute 'kind' must be true or false"),
        ("  load:", "  kind:", r"line 8: the key 'kind' occurs twice"),
        ("phrases: [with a roof box, towing a trailer]", "phrases: []", "needs 'phrases', a list that is not empty"),
        ("  load:\n", "  load:\n    field: kind\n", "'load' and 'kind' both give the field 'kind' a value"),
        ("attributes:", "attributes: [", "not valid YAML"),
    ],
)
def test_a_wrong_vocabulary_is_refused_with_file_and_fault(tmp_path, old, new, message):
    assert old in SMALL
    with pytest.raises(UserError, match=message) as refusal:
        load_vocabulary(write_vocabulary(tmp_path, SMALL.replace(old, new, 1)))
    assert "vocabulary.yaml" in str(refusal.value)


def test_a_vocabulary_says_what_every_image_should_show(vocabulary, tmp_path):
    assert load_vocabulary(write_vocabulary(tmp_path, SMALL)).subject is None
    subject = load_vocabulary(write_vocabulary(tmp_path, SMALL + SUBJECT)).without(["load"]).subject
    assert (subject.noun, subject.plural, subject.prompts) == ("car", "cars", ("A photo of a car.",))
    assert subject.negatives == ("A photo of a road.", "A photo of a wall.")
    assert (vocabulary.subject.noun, vocabulary.subject.plural) == ("person", "people")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  plural: cars\n", "", "line 12: 'subject' lacks 'plural'"),
        ("negatives:", "negative:", r"line 12: 'subject' has an unknown key 'negative' \(did you mean 'negatives'"),
        ("noun: car", "noun: 5", "line 12: 'noun' of the subject must be a text, not 5"),
        ("[A photo of a car.]", "[]", "line 12: the subject needs 'prompts', a list that is not empty"),
        ("A photo of a road.", "no", "line 12: 'negatives' of the subject must be texts, not False; put quotes"),
        ("A photo of a road.", "'A {phrase}.'", r"line 15: 'negatives' of the subject holds an unknown blank"),
        ("A photo of a road.", "A photo of a car.", "line 15: the subject has the sentence 'A photo of a car.' twice"),
        (SUBJECT, "subject: car\n", "line 11: 'subject' must be a mapping with noun, plural, prompts, negatives"),
    ],
)
def test_a_wrong_subject_is_refused_with_file_and_line(tmp_path, old, new, message):
    assert old in SUBJECT
    with pytest.raises(UserError, match=f"vocabulary.yaml, {message}"):
        load_vocabulary(write_vocabulary(tmp_path, SMALL + SUBJECT.replace(old, new, 1)))


def test_a_vocabulary_says_what_the_dataset_card_tells_of_its_domain(tmp_path):
    bare = load_vocabulary(write_vocabulary(tmp_path, SMALL)).card
    assert (bare.title, bare.tags, bare.bias) == ("Pseudo-texts of cars", (), "")
    told = load_vocabulary(
        write_vocabulary(tmp_path, SMALL + "card: {title: My cars, tags: [cars], bias: Vans are few.}\n")
    ).card
    assert (told.title, told.tags, told.bias) == ("My cars", ("cars",), "Vans are few.")
    for wrong, message in (
        ("{titel: x}", "line 11: 'card' has an unknown key 'titel'"),
        ("{tags: cars}", "line 11: 'tags' of the card must be a list of texts"),
        ("{title: 5}", "line 11: 'title' and 'bias' of the card must be texts"),
    ):
        with pytest.raises(UserError, match=message):
            load_vocabulary(write_vocabulary(tmp_path, SMALL + f"card: {wrong}\n"))


def test_a_missing_vocabulary_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere.yaml cannot be read"):
        load_vocabulary(tmp_path / "nowhere.yaml")
    for content in ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "<html>\n\t@"):
        (tmp_path / "page.yaml").write_text(content)
        with pytest.raises(UserError, match=r"page\.yaml is a (Git LFS pointer to a file of|web page, not)"):
            load_vocabulary(tmp_path / "page.yaml")
