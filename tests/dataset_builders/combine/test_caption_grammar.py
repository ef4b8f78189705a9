"""Grammar of captions over 100,000 random attribute sets: half by the paper's templates, half by those of `best`."""

import re

import numpy as np
import pytest

from dataset_builders.combine.captioner import Captioner
from dataset_builders.divide.reading import load_vocabulary
from tests.helpers.caption_words import pattern_of, words_of
from tests.helpers.people_words import ADULTS, AGES, CHILDREN, GRAMMAR, MEN, WOMEN

SETS = 50_000
CHUNK = 1000
# What a caption may hold at most once, and only where the attribute is chosen.
NOUNS = {"hair_length": "hair", "bag": "bag", "hat": "hat", "cellphone": "phone", "umbrella": "umbrella"}
SIGNS = {
    name: pattern_of(
        {text for choice in attribute.choices if not choice.negative for text in words_of(choice)}
        | ({NOUNS[name]} if name in NOUNS else set())
    )
    for name, attribute in load_vocabulary().attributes.items()
    if name not in ("age", "gender")
}


def random_sets(vocabulary, count, seed):
    """Every mixture of known and unknown: from nothing at all to every attribute."""
    rng = np.random.default_rng(seed)
    positive = [[c for c in attribute.choices if not c.negative] for attribute in vocabulary.attributes.values()]
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        known = (
            rng.random((size, len(positive)))
            < rng.choice([0.0, 0.2, 0.5, 0.8, 1.0], (size, 2), p=[0.1, 0.3, 0.2, 0.2, 0.2])[
                :, [0 if attribute.required else 1 for attribute in vocabulary.attributes.values()]
            ]
        )
        drawn = (rng.random((size, len(positive))) * [len(choices) for choices in positive]).astype(int)
        for keep, indices in zip(known.tolist(), drawn.tolist(), strict=True):
            yield {
                name: choices[index] if kept else None
                for name, choices, index, kept in zip(vocabulary.attributes, positive, indices, keep, strict=True)
            }


def value(chosen, name):
    return chosen[name].value[name] if chosen[name] else None


def contradictions(caption, chosen):
    """What a caption about ``chosen`` says wrongly about its person."""
    text = caption.lower()
    words = set(re.findall(r"[a-z-]+", text))
    faults = []
    man, woman = bool(words & MEN), bool(words & WOMEN)
    if man and value(chosen, "gender") != "man" or woman and value(chosen, "gender") != "woman":
        faults.append("another gender")
    if bool(words & {"he", "him", "his"}) > man or bool(words & {"she", "her", "hers"}) > woman:
        faults.append("a pronoun without its noun")
    if words & {"they", "them", "their"} and (man or woman):
        faults.append("they beside a gendered noun")
    child = value(chosen, "age") == "child"
    if bool(words & CHILDREN) and (not child or words & (ADULTS | AGES)) or child and words & (ADULTS | AGES):
        faults.append("age against noun")
    if (words & {"little", "small"}) and not child:
        faults.append("little, and no child")
    for name, sign in SIGNS.items():
        said = len(sign.findall(text))
        if said > (chosen[name] is not None):
            faults.append(f"{name} said {said} times")
    if re.search("riding an? ", text) and (value(chosen, "action") != "riding" or not chosen["vehicle"]):
        faults.append("riding what is not ridden")
    return faults


@pytest.mark.parametrize("recipe", ["paper", "best"])
def test_captions_of_random_sets_are_english_and_claim_nothing_else(vocabulary, recipe):
    captioner = Captioner(vocabulary, vocabulary.templates_for(recipe))
    for number, chosen in enumerate(random_sets(vocabulary, SETS, seed=7)):
        for caption in captioner.captions(chosen, 0, str(number), count=2 if number % 8 == 0 else 1):
            faults = GRAMMAR.faults(caption) + contradictions(caption, chosen)
            assert not faults, f"set {number}: {faults}: {caption}"


@pytest.mark.parametrize(
    ("caption", "fault"),
    [
        ("The man has short hair hair.", "a word twice in a row"),
        ("The man has ,short hair.", "not sentences with one capital and one stop each"),
        ("The man has short hair. he wears a cap.", "not sentences with one capital and one stop each"),
        ("The man  has short hair.", "not sentences with one capital and one stop each"),
        ("The man has short hair..", "not sentences with one capital and one stop each"),
        ("The man has short hair", "not sentences with one capital and one stop each"),
        ("", "not sentences with one capital and one stop each"),
        ("The man wears a orange dress.", "a before a vowel"),
        ("The man wears an red dress.", "an before a consonant"),
        ("The man wears a black plaid trousers.", "an article before what is not counted"),
        ("The man wears black plaid dress.", "no article before a noun"),
        ("The man is with man.", "no article before a noun"),
        ("The the man is standing.", "two articles"),
        ("The is standing.", "an article without a noun"),
        ("The man has .", "not sentences with one capital and one stop each"),
        ("The man wears a cap and.", "an empty blank before a stop"),
        ("The man in and black trousers is standing.", "two links in a row"),
        ("The man in is standing.", "an empty blank between links"),
        ("The man is has short hair.", "two finite verbs"),
        ("The man is standing. Has short hair.", "a sentence that begins with its verb"),
        ("They is standing.", "they with a singular verb"),
        ("He are standing.", "he, she or it with a plural verb"),
        ("The man wear a cap.", "a singular noun with a plural verb"),
    ],
)
def test_the_rules_of_english_catch(caption, fault):
    assert fault in GRAMMAR.faults(caption)


@pytest.mark.parametrize(
    ("caption", "fault"),
    [
        ("The old child is walking.", "age against noun"),
        ("The child is walking. The man is walking.", "age against noun"),
        ("The boy is walking. They are walking.", "they beside a gendered noun"),
        ("The boy is walking. She is walking.", "a pronoun without its noun"),
        ("The girl is walking.", "another gender"),
        ("The child is walking. He has a cap.", "a pronoun without its noun"),
        ("The boy is walking. He is jogging.", "action said 2 times"),
        ("The boy has an umbrella.", "umbrella said 1 times"),
        ("The boy is riding a bicycle.", "riding what is not ridden"),
    ],
)
def test_the_rules_of_agreement_catch(vocabulary, caption, fault):
    chosen = dict.fromkeys(vocabulary.attributes)
    for name, phrase in {"age": "child", "gender": "man", "action": "walking", "hat": "a cap"}.items():
        chosen[name] = next(choice for choice in vocabulary.attributes[name].choices if choice.phrase == phrase)
    assert fault in contradictions(caption, chosen)
    assert contradictions("A little boy is walking. He wears a cap.", chosen) == []
