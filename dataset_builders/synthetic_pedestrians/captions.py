"""Descriptions of an image in a human manner, from its true attributes and the words of its domain."""

import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .domains import STREET, Domain
from .people import Attributes
from .phrases import CARRIED, DOING, MANNERS, WORN, Facts, Telling

THINGS = (*WORN, *CARRIED, *DOING, "vehicle")
# A describer who would state fewer facts draws again, up to so many times.
FEWEST_FACTS = 4
DRAWS = 8
# These can be seen of everybody, whatever hides the rest.
ALWAYS_SEEN = ("age", "gender", "action")


@cache
def load_words(domain: Domain = STREET) -> dict[str, Any]:
    """The tables of the YAML file of a domain's captions."""
    return yaml.safe_load(Path(__file__).with_name(domain.words).read_text(encoding="utf-8"))


def choose_facts(
    rng: np.random.Generator,
    attributes: Attributes,
    visible: Collection[str] | None = None,
    domain: Domain = STREET,
) -> Facts:
    """Which true fields a describer states: a random choice by the domain's words, but never a mere two or three.

    Args:
        visible: names of what can be seen (the boxes of truth.jsonl); None for everything.

    Returns:
        A subset of ``attributes``.
    """
    for _ in range(DRAWS):
        facts = _draw_facts(rng, attributes, visible, load_words(domain)["stated"])
        if len(facts) >= FEWEST_FACTS:
            break
    return facts


def _draw_facts(
    rng: np.random.Generator, attributes: Attributes, visible: Collection[str] | None, chance: Mapping[str, float]
) -> Facts:
    """One draw of :func:`choose_facts`; ``chance`` is that of each fact to be stated."""
    stated = set()
    for piece in ("upper", "lower"):
        stated |= _draw_clothes(rng, attributes, visible, chance, piece)
    for field in ("age", "gender", "action", "hair_length", *THINGS):
        can_be_seen = visible is None or field in visible or field in ALWAYS_SEEN
        # Drawn first, whatever follows, so that each field takes one number.
        if rng.random() < chance[field] and attributes[field] is not None and can_be_seen:
            stated.add(field)
    if attributes["action"] == "riding":
        stated.discard("action")
    if attributes["age"] == "child" and "gender" in stated:
        # "A boy" tells both; a describer never says "a man" of a child.
        stated.add("age")
    if "vehicle" in stated:
        # "On a bicycle" tells both.
        stated.add("action")
    return {field: value for field, value in attributes.items() if field in stated}


def _draw_clothes(
    rng: np.random.Generator,
    attributes: Attributes,
    visible: Collection[str] | None,
    chance: Mapping[str, float],
    piece: str,
) -> set[str]:
    """The fields of the garment ``piece`` that are stated."""
    drawn = rng.random(4)
    can_be_seen = visible is None or f"{piece}_clothes" in visible
    if drawn[0] > chance[piece] or not can_be_seen:
        return set()
    # Few say of plain cloth that it is plain.
    pattern = "plain" if attributes[f"{piece}_pattern"] == "plain" else "pattern"
    told = set()
    for draw, name, key in zip(
        drawn[1:], ("colour", "pattern", "garment"), ("colour", pattern, "garment"), strict=True
    ):
        if draw < chance[f"{piece}_{key}"]:
            told.add(f"{piece}_{name}")
    if told == {f"{piece}_pattern"}:
        # Nobody says "something striped" and no more.
        told.add(f"{piece}_colour")
    return told


def write_caption(rng: np.random.Generator, facts: Facts, shades: Mapping[str, str], domain: Domain = STREET) -> str:
    """One description that states ``facts`` and nothing else.

    Args:
        shades: the names of the shades of "upper" and "lower" in the domain's palette.
    """
    return MANNERS[domain.manner](Telling(rng, load_words(domain), facts, shades))


def caption_pair(
    rng: np.random.Generator,
    attributes: Attributes,
    shades: Mapping[str, str],
    visible: Collection[str] | None = None,
    domain: Domain = STREET,
) -> tuple[list[str], list[Facts]]:
    """Two describers of one image, each of whom leaves out what he or she likes: (their captions, their facts)."""
    facts = [choose_facts(rng, attributes, visible, domain) for _ in range(2)]
    return [write_caption(rng, each, shades, domain) for each in facts], facts


def tokens(caption: str) -> list[str]:
    """Lower-case words of a caption, as in CUHK-PEDES's ``processed_tokens``."""
    return re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", caption.lower())
