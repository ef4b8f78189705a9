"""Phrases and sentences from the tables of a domain's captions, and the two manners of telling about a person."""

import re

WORN, CARRIED, DOING = ("hat", "glasses", "gloves"), ("bag", "umbrella"), ("cellphone", "smoke")


def _article(phrase):
    """``a`` or ``an`` before a phrase, by its sound."""
    return f"{'an' if re.match(r'(?!one|uni|use)[aeiou]', phrase, re.IGNORECASE) else 'a'} {phrase}"


def _join(things):
    if len(things) < 2:
        return things[0]
    return f"{', '.join(things[:-1])} and {things[-1]}"


def _slot(table, name):
    if name in table:
        return table[name]
    low = table[name[0].lower() + name[1:]]
    return low[0].upper() + low[1:]


class Telling:
    """One caption in the making: what it says, in which words.

    Args:
        rng: NumPy generator.
        words: tables of the domain's captions.
        facts: flat field -> value, what the caption shall state.
        shades: {"upper": name, "lower": name} of the colours' shades.

    Attributes:
        noun: who it is, without article; ``age_told`` says whether it tells the age.
    """

    def __init__(self, rng, words, facts, shades):
        self.rng, self.words, self.facts, self.shades = rng, words, facts, shades
        self.noun, pronouns, self.age_told = self._person()
        plural = pronouns["he"] == "they"
        self.slots = dict(pronouns) | {name: forms[plural] for name, forms in words["verbs"].items()}

    def any(self, options):
        return options[int(self.rng.integers(len(options)))]

    def _person(self):
        """(noun phrase without article, pronoun table, whether the phrase tells the age)."""
        words, age, gender = self.words, self.facts.get("age"), self.facts.get("gender", "person")
        pronouns = words["pronouns"][gender]
        if age == "child":
            return self.any(words["nouns"][f"child {gender}"]), pronouns, True
        noun = self.any(words["nouns"][gender])
        if age and self.rng.random() < 0.75:
            return f"{self.any(words['adjectives'][age])} {noun}", pronouns, True
        return noun, pronouns, False

    def fill(self, sentence, **more):
        """``sentence`` with its slots filled and a capital."""
        table = self.slots | more
        for _ in range(2):  # phrases may hold slots themselves
            sentence = re.sub(r"\{(\w+)\}", lambda match: _slot(table, match.group(1)), sentence)
        return sentence[0].upper() + sentence[1:]

    def garment(self, piece):
        """Noun phrase with article of one garment, or None where nothing of it is stated."""
        words, rng = self.words, self.rng
        colour, pattern, garment = (self.facts.get(f"{piece}_{name}") for name in ("colour", "pattern", "garment"))
        if not (colour or pattern or garment):
            return None
        noun = self.any(words[f"{piece}_garments"][garment] if garment else words[f"{piece}_vague"])
        plural, noun = noun.endswith("!"), noun.rstrip("!")
        after = ""
        if pattern:
            table = words["patterns"][pattern]
            if rng.random() < 0.65:
                noun = f"{self.any(table['before'])} {noun}"
            else:
                after = " " + self.any(table["after"])
        if colour:
            named = rng.random() < words["shade_named"]
            shade = self.shades[piece]
            noun = f"{self.any(words['shades'][shade] if named else words['plain_words'][colour])} {noun}"
        return (noun if plural else _article(noun)) + after

    def activity(self):
        """Participle of the ride or else the action; None where neither is stated."""
        if "vehicle" in self.facts:
            return self.any(self.words["vehicles"][self.facts["vehicle"]])
        return self.any(self.words["actions"][self.facts["action"]]) if "action" in self.facts else None

    def hair(self):
        """What the person is "with"."""
        return self.any(self.words["hair_with"][self.facts["hair_length"]])

    def things(self, table, fields):
        """A list of one phrase for each stated one of ``fields``."""
        return [self.any(self.words[table][self.facts[field]]) for field in fields if field in self.facts]

    def sentence(self, options, **more):
        return self.fill(self.any(options), **more)


def at_a_glance(telling):
    """Clothes and action in the first sentence, the rest in any order."""
    words, facts, rng = telling.words, telling.facts, telling.rng
    garments = [telling.garment(piece) for piece in ("upper", "lower")]
    garments = [garment for garment in garments if garment]
    activity = telling.activity()
    if len(garments) == 2:
        link = "together with" if rng.random() < 0.15 else "and" if rng.random() < 0.8 else "plus"
        garments = [f"{garments[0]} {link} {garments[1]}"]
    hair_inside = "hair_length" in facts and rng.random() < 0.45
    whole = f"{telling.noun} with {telling.hair()}" if hair_inside else telling.noun
    kind = " ".join(["clothes"] * bool(garments) + ["doing"] * bool(activity)) or "nothing"
    opening = telling.sentence(
        words["openings"][kind],
        a_person=_article(whole),
        bare_person=whole,
        clothes=garments[0] if garments else "",
        doing=activity or "",
    )
    tables = (("worn", WORN), ("carried", CARRIED), ("doing", DOING))
    worn, carried, doing = (telling.things(table, fields) for table, fields in tables)
    rest = []
    if worn and carried and rng.random() < 0.5:
        rest.append(telling.sentence(words["wears_and_carries"], worn=_join(worn), carried=_join(carried)))
    else:
        rest += [telling.sentence(words["wears"], things=_join(worn))] if worn else []
        rest += [telling.sentence(words["carries"], things=_join(carried))] if carried else []
    if doing:
        rest.append(telling.sentence(words["does"], things=_join(doing)))
    if "hair_length" in facts and not hair_inside:
        rest.append(telling.sentence(words["hair"][facts["hair_length"]]))
    if "age" in facts and not telling.age_told:
        rest.append(telling.sentence(words["age_notes"][facts["age"]]))
    rng.shuffle(rest)
    return " ".join([opening, *rest])


def head_to_toe(telling):
    """Who and what action first, then a sentence for each part of the body, in one of the ``orders`` of the words."""
    words, facts = telling.words, telling.facts
    hair = telling.hair() if "hair_length" in facts else None
    activity = telling.activity()
    kind = " ".join(["hair"] * bool(hair) + ["doing"] * bool(activity)) or "nothing"
    opening = telling.sentence(
        words["openings"][kind], a_person=_article(telling.noun), hair=hair or "", doing=activity or ""
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
    if "age" in facts and not telling.age_told:
        told["age"] = telling.sentence(words["age_notes"][facts["age"]])
    return " ".join([opening, *(told[part] for part in telling.any(words["orders"]) if part in told)])


MANNERS = {"at a glance": at_a_glance, "head to toe": head_to_toe}
