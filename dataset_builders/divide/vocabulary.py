"""The vocabulary as code sees it: attributes, their choices, and which of them exclude each other.

:func:`dataset_builders.divide.reading.load_vocabulary` reads one from a file.
"""

import dataclasses
import itertools
import re
from dataclasses import dataclass
from functools import cached_property

from modeling_unipt.common.user_errors import UserError

from .yaml_file import nearest

WHOLE = "whole"


def with_articles(text):
    """``text`` with every article "a" that stands before a vowel sound made "an"."""
    return re.sub(r"\b(a)(?= (?:(?!uni|use|usu|eu|one)[aeiou]|hour|hono|hones))", r"\1n", text, flags=re.IGNORECASE)


def usual_first(usual, more):
    """``usual``, so often that about three of four draws take one of them, and ``more``; tuples of texts."""
    return usual * max(1, 3 * len(more) // len(usual)) + more


@dataclass(frozen=True)
class Wordings:
    """Ways to say one thing: one of the ``texts``, each of its blanks filled by one of the blank's ``words``.

    What is listed more often is drawn more often, see :func:`usual_first`.
    """

    texts: tuple
    words: dict = dataclasses.field(default_factory=dict)

    def draw(self, draw):
        """One of them; ``draw`` picks one of a tuple of texts."""
        text = draw(self.texts)
        return with_articles(text.format(**{blank: draw(words) for blank, words in self.words.items()}))

    def __iter__(self):
        for text in dict.fromkeys(self.texts):
            for filling in itertools.product(*map(dict.fromkeys, self.words.values())):
                yield with_articles(text.format(**dict(zip(self.words, filling, strict=True))))


@dataclass(frozen=True)
class Choice:
    """One thing that can be said about one attribute.

    Attributes:
        phrase: the text that a caption holds.
        prompts: full sentences that a CLIP compares with the image; the first is the paper's, the others belong to an
            ensemble.
        value: flat field -> name of the value said; None where the phrase says that the thing is absent, or where a
            partial phrase leaves it open.
        negative: whether the phrase says that the thing is absent; it is scored and never written.
        wordings: the phrase and what a caption may write instead of it.
        short_wordings: what a caption may write to say it in less detail; ``wordings`` where there is nothing shorter.
        all_wordings, all_short_wordings: those and the further ones, listed under ``more``, as :class:`Wordings`.
    """

    phrase: str
    prompts: tuple
    value: dict
    negative: bool
    wordings: tuple
    short_wordings: tuple
    all_wordings: Wordings
    all_short_wordings: Wordings

    @property
    def prompt(self):
        """The paper's prompt, a full sentence."""
        return self.prompts[0]


@dataclass(frozen=True)
class Attribute:
    """One attribute and all its choices, in the order of the stored probabilities.

    Attributes:
        region: where in the picture it is seen, a key of ``Vocabulary.regions``.
        parts: None, or part -> list of its values; the choices are then their full product, the last part fastest.
        part_fields: part -> flat field; empty without parts.
        partial_choices: phrases that say only some of the parts. They are never scored, and have no prompts.
    """

    name: str
    required: bool
    choices: list
    region: str = WHOLE
    parts: dict | None = None
    part_fields: dict = dataclasses.field(default_factory=dict)
    partial_choices: list = dataclasses.field(default_factory=list)

    @property
    def fields(self):
        """The flat fields that this attribute's choices give a value."""
        return list(self.choices[0].value)

    def values(self, field):
        """The set of values that a choice can give ``field``, absence aside."""
        return {choice.value[field] for choice in self.choices} - {None}

    @cached_property
    def by_phrase(self):
        """phrase -> ``Choice``, of all that can be stored."""
        return {choice.phrase: choice for choice in (*self.choices, *self.partial_choices)}

    @cached_property
    def slots(self):
        """field -> list of the values of its probabilities, in their order: one for each choice (None where it is
        negative), and of an attribute of parts one for each of the part's values."""
        if self.parts:
            return {self.part_fields[part]: values for part, values in self.parts.items()}
        return {field: [choice.value[field] for choice in self.choices] for field in self.fields}

    @cached_property
    def _by_values(self):
        """frozenset of (field, value) -> the first positive ``Choice`` that says this and nothing else; more is first,
        else the order is the file's."""
        made = {}
        for choice in (*self.choices, *self.partial_choices):
            known = frozenset(item for item in choice.value.items() if item[1] is not None)
            if known:
                made.setdefault(known, choice)
        return made

    @cached_property
    def _sayable(self):
        """The sets of fields that some choice says together, as frozensets; larger ones first."""
        sets = dict.fromkeys(frozenset(field for field, _ in known) for known in self._by_values)
        return sorted(sets, key=len, reverse=True)

    def saying(self, values):
        """The ``Choice`` that says as much as one phrase can of ``values``, field -> value or None; None if nothing."""
        known = {field: value for field, value in values.items() if value is not None}
        for fields in self._sayable:
            if fields <= known.keys():
                return self._by_values[frozenset((field, known[field]) for field in fields)]
        return None

    def marginals(self, probabilities):
        """part -> (N, number of values): ``probabilities`` (N, number of choices) summed over the other parts."""
        sizes = [len(values) for values in self.parts.values()]
        table = probabilities.reshape(len(probabilities), *sizes)
        axes = range(1, len(sizes) + 1)
        return {part: table.sum(tuple(a for a in axes if a != i + 1)) for i, part in enumerate(self.parts)}


@dataclass(frozen=True)
class Exclusion:
    """Two things that are never both true of one picture.

    Attributes:
        attributes: the two attributes' names, which may be the same.
        fields: a flat field of each.
        values: a frozenset of values of each field; no value of the first goes with any value of the second.
    """

    attributes: tuple
    fields: tuple
    values: tuple

    def excludes(self, chosen):
        """Whether ``chosen``, attribute -> ``Choice`` or None, says both; what is not chosen excludes nothing."""
        choices = [chosen.get(name) for name in self.attributes]
        return None not in choices and all(
            choice.value[field] in values
            for choice, field, values in zip(choices, self.fields, self.values, strict=True)
        )


@dataclass(frozen=True)
class Subject:
    """What every picture should show.

    Attributes:
        noun, plural: its name in the singular and the plural.
        prompts: full sentences that a CLIP finds like a picture of it,
        negatives: and like pictures of other things.
    """

    noun: str
    plural: str
    prompts: tuple
    negatives: tuple


@dataclass(frozen=True)
class Card:
    """What a dataset card says about this domain alone.

    Attributes:
        title: of the dataset.
        tags: for the Hub, besides those of all such datasets.
        bias: sentences on whom or what the attributes may wrong.
    """

    title: str
    tags: tuple = ()
    bias: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """Attributes by name, in the order of the file.

    Attributes:
        sha256: of the file it was read from.
        regions: name -> (top, bottom) as shares of the picture's height; always has "whole".
        exclusions: tuple of :class:`Exclusion`, in the order of the file.
        templates: recipe -> path of the template file that it writes captions with.
        subject: :class:`Subject`, or None where the file does not say.
        card: :class:`Card`.
    """

    name: str
    attributes: dict
    sha256: str
    regions: dict
    exclusions: tuple = ()
    templates: dict = dataclasses.field(default_factory=dict)
    subject: Subject | None = None
    card: Card = Card("Pseudo-texts")

    def templates_for(self, recipe):
        """The path of the template file of a recipe, "paper" or "best".

        Raises:
            UserError: the vocabulary names no templates for it.
        """
        if recipe not in self.templates:
            named = (
                f"it has some for {', '.join(self.templates)}" if self.templates else "it names none under 'templates'"
            )
            raise UserError(f"the vocabulary '{self.name}' has no templates for the recipe '{recipe}'; {named}")
        return self.templates[recipe]

    def contradictions(self, chosen):
        """The exclusions that ``chosen``, attribute -> ``Choice`` or None, breaks; an empty list when consistent."""
        return [exclusion for exclusion in self.exclusions if exclusion.excludes(chosen)]

    def without(self, names):
        """This vocabulary less the attributes ``names``, and less the exclusions that speak of them.

        Raises:
            UserError: a name is not an attribute (the nearest valid one is named), or nothing would be left.
        """
        for name in names:
            if name not in self.attributes:
                raise UserError(
                    f"there is no attribute '{name}' to leave out{nearest(name, self.attributes)}; "
                    f"the attributes are {', '.join(self.attributes)}"
                )
        kept = {name: attribute for name, attribute in self.attributes.items() if name not in names}
        if not kept:
            raise UserError("every attribute is left out, so nothing could be said; keep at least one")
        exclusions = tuple(exclusion for exclusion in self.exclusions if set(exclusion.attributes) <= set(kept))
        return dataclasses.replace(self, attributes=kept, exclusions=exclusions)
