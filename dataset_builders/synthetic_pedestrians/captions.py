"""Descriptions of a picture in a human manner, from its true attributes and ``captions.yaml``."""

import re
from functools import cache
from pathlib import Path

import yaml

WORN, CARRIED, DOING = ("hat", "glasses", "gloves"), ("bag", "umbrella"), ("cellphone", "smoke")
THINGS = (*WORN, *CARRIED, *DOING, "vehicle")
FEWEST_FACTS = 4


@cache
def load_words():
    """The tables of ``captions.yaml``."""
    return yaml.safe_load(Path(__file__).with_name("captions.yaml").read_text(encoding="utf-8"))


def _any(rng, options):
    return options[int(rng.integers(len(options)))]


def choose_facts(rng, attributes, visible=None):
    """Which true flat fields a describer states: a random choice by ``captions.yaml``, but never a mere two or three.

    Args:
        rng: NumPy generator.
        attributes: flat fields of the picture, None for absent things.
        visible: names of what can be seen (the boxes of truth.jsonl); None for everything.

    Returns:
        dict field -> value, a subset of ``attributes``
    """
    for _ in range(8):
        facts = _draw_facts(rng, attributes, visible)
        if len(facts) >= FEWEST_FACTS:
            break
    return facts


def _draw_facts(rng, attributes, visible):
    chance = load_words()["stated"]
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


def _article(phrase):
    """``a`` or ``an`` before a phrase, by its sound."""
    return f"{'an' if re.match(r'(?!one|uni|use)[aeiou]', phrase, re.IGNORECASE) else 'a'} {phrase}"


def _person(rng, words, facts):
    """(noun phrase without article, pronoun table, whether the phrase tells the age)."""
    age, gender = facts.get("age"), facts.get("gender", "person")
    pronouns = words["pronouns"][gender]
    if age == "child":
        return _any(rng, words["nouns"][f"child {gender}"]), pronouns, True
    noun = _any(rng, words["nouns"][gender])
    if age and rng.random() < 0.75:
        return f"{_any(rng, words['adjectives'][age])} {noun}", pronouns, True
    return noun, pronouns, False


def _garment(rng, words, facts, piece, shade):
    """Noun phrase with article of one garment, or None where nothing of it is stated."""
    colour, pattern, garment = (facts.get(f"{piece}_{name}") for name in ("colour", "pattern", "garment"))
    if not (colour or pattern or garment):
        return None
    noun = _any(rng, words[f"{piece}_garments"][garment] if garment else words[f"{piece}_vague"])
    plural, noun = noun.endswith("!"), noun.rstrip("!")
    after = ""
    if pattern:
        table = words["patterns"][pattern]
        if rng.random() < 0.65:
            noun = f"{_any(rng, table['before'])} {noun}"
        else:
            after = " " + _any(rng, table["after"])
    if colour:
        named = rng.random() < words["shade_named"]
        noun = f"{_any(rng, words['shades'][shade] if named else words['plain_words'][colour])} {noun}"
    return (noun if plural else _article(noun)) + after


def _join(things):
    if len(things) < 2:
        return things[0]
    return f"{', '.join(things[:-1])} and {things[-1]}"


def write_caption(rng, facts, shades):
    """One description that states ``facts`` and nothing else.

    Args:
        rng: NumPy generator.
        facts: dict from :func:`choose_facts`.
        shades: {"upper": name, "lower": name} of the colours' shades in ``world.yaml``.
    """
    words = load_words()
    noun, pronouns, age_told = _person(rng, words, facts)
    plural = pronouns["he"] == "they"
    slots = dict(pronouns) | {name: forms[plural] for name, forms in words["verbs"].items()}

    def fill(sentence, **more):
        table = slots | more
        for _ in range(2):  # phrases may hold slots themselves
            sentence = re.sub(r"\{(\w+)\}", lambda match: _slot(table, match.group(1)), sentence)
        return sentence[0].upper() + sentence[1:]

    garments = [_garment(rng, words, facts, piece, shades[piece]) for piece in ("upper", "lower")]
    garments = [garment for garment in garments if garment]
    activity = _any(rng, words["vehicles"][facts["vehicle"]]) if "vehicle" in facts else None
    if not activity and "action" in facts:
        activity = _any(rng, words["actions"][facts["action"]])
    if len(garments) == 2:
        link = "together with" if rng.random() < 0.15 else "and" if rng.random() < 0.8 else "plus"
        garments = [f"{garments[0]} {link} {garments[1]}"]
    hair_inside = "hair_length" in facts and rng.random() < 0.45
    whole = f"{noun} with {_any(rng, words['hair_with'][facts['hair_length']])}" if hair_inside else noun
    kind = " ".join(["clothes"] * bool(garments) + ["doing"] * bool(activity)) or "nothing"
    sentences = [
        fill(
            _any(rng, words["openings"][kind]),
            a_person=_article(whole),
            A_person=_article(whole),
            bare_person=whole,
            clothes=garments[0] if garments else "",
            doing=activity or "",
        )
    ]
    worn, carried, doing = (
        [_any(rng, words[table][facts[field]]) for field in fields if field in facts]
        for table, fields in (("worn", WORN), ("carried", CARRIED), ("doing", DOING))
    )
    rest = []
    if worn and carried and rng.random() < 0.5:
        sentence = _any(rng, words["wears_and_carries"])
        rest.append(fill(sentence, worn=_join(worn), carried=_join(carried)))
    else:
        rest += [fill(_any(rng, words["wears"]), things=_join(worn))] if worn else []
        rest += [fill(_any(rng, words["carries"]), things=_join(carried))] if carried else []
    if doing:
        rest.append(fill(_any(rng, words["does"]), things=_join(doing)))
    if "hair_length" in facts and not hair_inside:
        rest.append(fill(_any(rng, words["hair"][facts["hair_length"]])))
    if "age" in facts and not age_told:
        rest.append(fill(_any(rng, words["age_notes"][facts["age"]])))
    rng.shuffle(rest)
    return " ".join(sentences + rest)


def _slot(table, name):
    if name in table:
        return table[name]
    low = table[name[0].lower() + name[1:]]
    return low[0].upper() + low[1:]


def caption_pair(rng, attributes, shades, visible=None):
    """Two describers of one picture: ([caption, caption], [facts, facts]), each leaving out what it likes."""
    facts = [choose_facts(rng, attributes, visible) for _ in range(2)]
    return [write_caption(rng, each, shades) for each in facts], facts


def tokens(caption):
    """Lower-case words of a caption, as in CUHK-PEDES's ``processed_tokens``."""
    return re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", caption.lower())
