"""Phrases and sentences from the tables of a domain's captions, and the two manners of telling about a person."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from modeling_unipt.common.words import with_articles

WORN = ("hat", "glasses", "gloves")
CARRIED = ("bag", "umbrella")
DOING = ("cellphone", "smoke")

# What a caption states: field -> value.
Facts: TypeAlias = dict[str, str]


def _with_article(phrase: str) -> str:
    return with_articles(f"a {phrase}")


def _join(things: Sequence[str]) -> str:
    if len(things) < 2:
        return things[0]
    return f"{', '.join(things[:-1])} and {things[-1]}"


def _slot(table: Mapping[str, str], name: str) -> str:
    """The word for a slot; a slot with a capital, {He}, gets the word of {he} with a capital."""
    if name in table:
        return table[name]
    low = table[name[0].lower() + name[1:]]
    return low[0].upper() + low[1:]


class Telling:
    """One caption in the making: what it says, in which words.

    Every choice draws from ``rng``, so the order of the calls is part of the captions that exist.

    Args:
        words: tables of the domain's captions.
        facts: what the caption shall state.
        shades: the names of the shades of "upper" and "lower".

    Attributes:
        noun: who it is, without article.
        age_told: whether the noun tells the age.
    """

    def __init__(
        self, rng: np.random.Generator, words: Mapping[str, Any], facts: Facts, shades: Mapping[str, str]
    ) -> None:
        self.rng = rng
        self.words = words
        self.facts = facts
        self.shades = shades
        self.noun, pronouns, self.age_told = self._person()
        # Each verb has a form for one person and one for "they".
        form = 1 if pronouns["he"] == "they" else 0
        self.slots = dict(pronouns) | {name: forms[form] for name, forms in words["verbs"].items()}

    def any(self, options: Sequence[str]) -> str:
        """One of ``options``, each as likely."""
        return options[int(self.rng.integers(len(options)))]

    def _person(self) -> tuple[str, dict[str, str], bool]:
        """(noun phrase without article, pronouns, whether the phrase tells the age)."""
        words = self.words
        age = self.facts.get("age")
        gender = self.facts.get("gender", "person")
        pronouns = words["pronouns"][gender]
        if age == "child":
            return self.any(words["nouns"][f"child {gender}"]), pronouns, True
        noun = self.any(words["nouns"][gender])
        if age and self.rng.random() < 0.75:
            return f"{self.any(words['adjectives'][age])} {noun}", pronouns, True
        return noun, pronouns, False

    def fill(self, sentence: str, **more: str) -> str:
        """``sentence`` with its slots filled and a capital at its beginning; ``more`` are further slots."""
        table = self.slots | more
        # Twice, because the phrases may hold slots themselves.
        for _ in range(2):
            sentence = re.sub(r"\{(\w+)\}", lambda match: _slot(table, match.group(1)), sentence)
        return sentence[0].upper() + sentence[1:]

    def garment(self, piece: str) -> str | None:
        """Noun phrase with article of the garment "upper" or "lower"; None if nothing of it is stated."""
        words = self.words
        colour = self.facts.get(f"{piece}_colour")
        pattern = self.facts.get(f"{piece}_pattern")
        garment = self.facts.get(f"{piece}_garment")
        if not (colour or pattern or garment):
            return None
        noun = self.any(words[f"{piece}_garments"][garment] if garment else words[f"{piece}_vague"])
        # The tables mark a plural, which takes no article.
        plural = noun.endswith("!")
        noun = noun.rstrip("!")
        after = ""
        if pattern:
            table = words["patterns"][pattern]
            if self.rng.random() < 0.65:
                noun = f"{self.any(table['before'])} {noun}"
            else:
                after = " " + self.any(table["after"])
        if colour:
            if self.rng.random() < words["shade_named"]:
                colour_words = words["shades"][self.shades[piece]]
            else:
                colour_words = words["plain_words"][colour]
            noun = f"{self.any(colour_words)} {noun}"
        return (noun if plural else _with_article(noun)) + after

    def activity(self) -> str | None:
        """The participle of the ride or else of the action; None if neither is stated."""
        if "vehicle" in self.facts:
            return self.any(self.words["vehicles"][self.facts["vehicle"]])
        return self.any(self.words["actions"][self.facts["action"]]) if "action" in self.facts else None

    def hair(self) -> str:
        """What somebody of this hair is "with"."""
        return self.any(self.words["hair_with"][self.facts["hair_length"]])

    def things(self, table: str, fields: Iterable[str]) -> list[str]:
        """One phrase of the words' ``table`` for each of the ``fields`` that is stated."""
        return [self.any(self.words[table][self.facts[field]]) for field in fields if field in self.facts]

    def sentence(self, options: Sequence[str], **more: str) -> str:
        """One of ``options``, filled."""
        return self.fill(self.any(options), **more)

    def age_note(self) -> list[str]:
        """The sentence about an age that is stated but not told by the noun, in a list; else an empty list."""
        if "age" in self.facts and not self.age_told:
            return [self.sentence(self.words["age_notes"][self.facts["age"]])]
        return []


def _kind_of_opening(**told: bool) -> str:
    """The key in the table of opening sentences: the names of the facts that the first sentence tells, or "nothing"."""
    return " ".join(name for name, is_told in told.items() if is_told) or "nothing"


def at_a_glance(telling: Telling) -> str:
    """Clothes and action in the first sentence, the rest in any order."""
    words = telling.words
    facts = telling.facts
    rng = telling.rng
    garments = [telling.garment(piece) for piece in ("upper", "lower")]
    garments = [garment for garment in garments if garment]
    activity = telling.activity()
    if len(garments) == 2:
        link = "together with"
        if rng.random() >= 0.15:
            link = "and" if rng.random() < 0.8 else "plus"
        garments = [f"{garments[0]} {link} {garments[1]}"]
    hair_inside = "hair_length" in facts and rng.random() < 0.45
    whole = f"{telling.noun} with {telling.hair()}" if hair_inside else telling.noun
    opening = telling.sentence(
        words["openings"][_kind_of_opening(clothes=bool(garments), doing=bool(activity))],
        a_person=_with_article(whole),
        bare_person=whole,
        clothes=garments[0] if garments else "",
        doing=activity or "",
    )
    worn = telling.things("worn", WORN)
    carried = telling.things("carried", CARRIED)
    doing = telling.things("doing", DOING)
    rest = []
    if worn and carried and rng.random() < 0.5:
        rest.append(telling.sentence(words["wears_and_carries"], worn=_join(worn), carried=_join(carried)))
    else:
        if worn:
            rest.append(telling.sentence(words["wears"], things=_join(worn)))
        if carried:
            rest.append(telling.sentence(words["carries"], things=_join(carried)))
    if doing:
        rest.append(telling.sentence(words["does"], things=_join(doing)))
    if "hair_length" in facts and not hair_inside:
        rest.append(telling.sentence(words["hair"][facts["hair_length"]]))
    rest += telling.age_note()
    rng.shuffle(rest)
    return " ".join([opening, *rest])


def head_to_toe(telling: Telling) -> str:
    """Who and what action first, then a sentence for each part of the body, in one of the ``orders`` of the words."""
    words = telling.words
    hair = telling.hair() if "hair_length" in telling.facts else None
    activity = telling.activity()
    opening = telling.sentence(
        words["openings"][_kind_of_opening(hair=bool(hair), doing=bool(activity))],
        a_person=_with_article(telling.noun),
        hair=hair or "",
        doing=activity or "",
    )
    told = {}
    for piece in ("upper", "lower"):
        garment = telling.garment(piece)
        if garment:
            told[piece] = telling.sentence(words["sentences"][piece], **{piece: garment})
    parts = (("head", ("hat", "glasses")), ("hands", ("gloves",)), ("luggage", CARRIED), ("busy", DOING))
    for part, fields in parts:
        things = telling.things(part, fields)
        if things:
            told[part] = telling.sentence(words["sentences"][part], things=_join(things))
    for note in telling.age_note():
        told["age"] = note
    order = telling.any(words["orders"])
    return " ".join([opening, *(told[part] for part in order if part in told)])


MANNERS: dict[str, Callable[[Telling], str]] = {"at a glance": at_a_glance, "head to toe": head_to_toe}
