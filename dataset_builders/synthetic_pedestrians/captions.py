"""Descriptions of a picture in a human manner, from its true attributes and the words of its domain."""

import re
from functools import cache
from pathlib import Path

import yaml

from .domains import STREET
from .phrases import CARRIED, DOING, MANNERS, WORN, Telling

THINGS = (*WORN, *CARRIED, *DOING, "vehicle")
FEWEST_FACTS = 4


@cache
def load_words(domain=STREET):
    """The tables of the YAML file of a domain's captions."""
    return yaml.safe_load(Path(__file__).with_name(domain.words).read_text(encoding="utf-8"))


def choose_facts(rng, attributes, visible=None, domain=STREET):
    """Which true flat fields a describer states: a random choice by the domain's words, but never a mere two or three.

    Args:
        rng: NumPy generator.
        attributes: flat fields of the picture, None for absent things.
        visible: names of what can be seen (the boxes of truth.jsonl); None for everything.

    Returns:
        dict field -> value, a subset of ``attributes``
    """
    for _ in range(8):
        facts = _draw_facts(rng, attributes, visible, load_words(domain)["stated"])
        if len(facts) >= FEWEST_FACTS:
            break
    return facts


def _draw_facts(rng, attributes, visible, chance):
    stated = set()
    for piece in ("upper", "lower"):
        drawn = rng.random(4)
        if drawn[0] > chance[piece] or not (visible is None or f"{piece}_clothes" in visible):
            continue
        pattern = "plain" if attributes[f"{piece}_pattern"] == "plain" else "pattern"
        names = {"colour": "colour", "pattern": pattern, "garment": "garment"}
        told = {
            name for draw, (name, key) in zip(drawn[1:], names.items(), strict=True) if draw < chance[f"{piece}_{key}"]
        }
        if told == {"pattern"}:
            told.add("colour")
        stated |= {f"{piece}_{name}" for name in told}
    for field in ("age", "gender", "action", "hair_length", *THINGS):
        can_be_seen = visible is None or field in visible or field in ("age", "gender", "action")
        if rng.random() < chance[field] and attributes[field] is not None and can_be_seen:
            stated.add(field)
    stated.discard("action" if attributes["action"] == "riding" else None)
    if attributes["age"] == "child" and "gender" in stated:  # a boy, never "a man"
        stated.add("age")
    if "vehicle" in stated:  # "on a bicycle" says both
        stated.add("action")
    return {field: value for field, value in attributes.items() if field in stated}


def write_caption(rng, facts, shades, domain=STREET):
    """One description that states ``facts`` and nothing else.

    Args:
        rng: NumPy generator.
        facts: dict from :func:`choose_facts`.
        shades: {"upper": name, "lower": name} of the colours' shades in the domain's palette.
    """
    return MANNERS[domain.manner](Telling(rng, load_words(domain), facts, shades))


def caption_pair(rng, attributes, shades, visible=None, domain=STREET):
    """Two describers of one picture: ([caption, caption], [facts, facts]), each leaving out what it likes."""
    facts = [choose_facts(rng, attributes, visible, domain) for _ in range(2)]
    return [write_caption(rng, each, shades, domain) for each in facts], facts


def tokens(caption):
    """Lower-case words of a caption, as in CUHK-PEDES's ``processed_tokens``."""
    return re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", caption.lower())
