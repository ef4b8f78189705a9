"""The vocabulary as code sees it: attributes, their choices, and which of them exclude each other.

:func:`dataset_builders.divide.reading.load_vocabulary` reads one from a file.

The words used here: an *attribute* (``upper_clothes``) has *choices*, the phrases that can be said about it ("a red
striped coat"). A choice gives a value to one or more flat *fields* (``upper_colour``: "red"; ``upper_garment``:
"coat").
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest, with_articles

# How a dataset is made: by the paper's rule and templates, or by those that were found to work better.
RecipeName: TypeAlias = Literal["paper", "best"]
RECIPES: tuple[RecipeName, ...] = get_args(RecipeName)

# The region of an attribute that may be seen anywhere in the image.
WHOLE = "whole"


def usual_first(usual: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """The texts ``usual`` and ``more`` as one tuple, in which ``usual`` is repeated.

    An even draw from the result takes a usual text in about three of four cases, however many further ones there are.
    """
    return usual * max(1, 3 * len(more) // len(usual)) + more


@dataclass(frozen=True)
class Wordings:
    """Ways to say one thing: one of the texts, each of its blanks filled by one of the blank's words.

    What is listed more often is drawn more often, see :func:`usual_first`.

    Attributes:
        texts: texts with blanks ``{name}``.
        words: name of a blank -> the words that may fill it.
    """

    texts: tuple[str, ...]
    words: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def draw(self, draw: Callable[[tuple[str, ...]], str]) -> str:
        """One of the wordings. The function ``draw`` picks one of a tuple of texts."""
        text = draw(self.texts)
        filling = {blank: draw(words) for blank, words in self.words.items()}
        return with_articles(text.format(**filling))

    def __iter__(self) -> Iterator[str]:
        # dict.fromkeys drops the repetitions of usual_first and keeps the order.
        slots = [dict.fromkeys(words) for words in self.words.values()]
        for text in dict.fromkeys(self.texts):
            for filling in itertools.product(*slots):
                yield with_articles(text.format(**dict(zip(self.words, filling, strict=True))))


@dataclass(frozen=True)
class Choice:
    """One thing that can be said about one attribute.

    Attributes:
        phrase: the text that a caption holds.
        prompts: full sentences that a CLIP compares with the image. The first is the paper's, the others belong to an
            ensemble.
        value: flat field -> the name of the value said. It is None if the phrase says that the thing is absent, or if a
            partial phrase leaves the field open.
        negative: whether the phrase says that the thing is absent. Such a phrase is scored and never written.
        wordings: the phrase and what a caption may write instead of it.
        short_wordings: what a caption may write to say it in less detail; the same as ``wordings`` if there is nothing
            shorter.
        all_wordings: the wordings and the further ones that the file lists under ``more``.
        all_short_wordings: the same of the short wordings.
    """

    phrase: str
    prompts: tuple[str, ...]
    value: dict[str, str | None]
    negative: bool
    wordings: tuple[str, ...]
    short_wordings: tuple[str, ...]
    all_wordings: Wordings
    all_short_wordings: Wordings

    @property
    def prompt(self) -> str:
        """The paper's prompt, a full sentence."""
        return self.prompts[0]


# What is said of one image: attribute -> its choice, or None if nothing is said about it.
Chosen: TypeAlias = dict[str, Choice | None]
# What is true of one image: flat field -> the name of its value, or None if the thing is absent.
Truth: TypeAlias = Mapping[str, str | None]


@dataclass(frozen=True)
class Attribute:
    """One attribute and all its choices, in the order of the stored probabilities.

    Attributes:
        required: whether every image shows some value of it, as with ``gender``; an optional thing, such as a hat, may
            be absent.
        region: where in the image it is seen, a key of ``Vocabulary.regions``.
        parts: part -> its values, or None. The choices are then all combinations of the parts' values, and the last
            part varies fastest.
        part_fields: part -> its flat field; empty without parts.
        partial_choices: phrases that say only some of the parts. They are never scored, and have no prompts.
    """

    name: str
    required: bool
    choices: list[Choice]
    region: str = WHOLE
    parts: dict[str, list[str]] | None = None
    part_fields: dict[str, str] = dataclasses.field(default_factory=dict)
    partial_choices: list[Choice] = dataclasses.field(default_factory=list)

    @property
    def fields(self) -> list[str]:
        """The flat fields to which this attribute's choices give a value."""
        return list(self.choices[0].value)

    def values(self, field: str) -> set[str]:
        """The values that a choice can give to ``field``; absence is not among them."""
        return {choice.value[field] for choice in self.choices} - {None}

    @cached_property
    def by_phrase(self) -> dict[str, Choice]:
        """phrase -> its choice, of all phrases that a dataset can hold."""
        return {choice.phrase: choice for choice in (*self.choices, *self.partial_choices)}

    @cached_property
    def slots(self) -> dict[str, list[str | None]]:
        """field -> what each of its probabilities stands for, in their order.

        An attribute of parts has one probability for each value of a part. Any other has one for each choice; None
        stands for a negative choice, and several choices may stand for the same value.
        """
        if self.parts:
            return {self.part_fields[part]: values for part, values in self.parts.items()}
        return {field: [choice.value[field] for choice in self.choices] for field in self.fields}

    @cached_property
    def _by_values(self) -> dict[frozenset[tuple[str, str]], Choice]:
        """Set of (field, value) -> the first positive choice that says exactly this."""
        made = {}
        for choice in (*self.choices, *self.partial_choices):
            known = frozenset(item for item in choice.value.items() if item[1] is not None)
            if known:
                made.setdefault(known, choice)
        return made

    @cached_property
    def _sayable(self) -> list[frozenset[str]]:
        """The sets of fields that some choice says together, the largest first."""
        sets = dict.fromkeys(frozenset(field for field, _ in known) for known in self._by_values)
        return sorted(sets, key=len, reverse=True)

    def saying(self, values: Truth) -> Choice | None:
        """The choice that says as much of ``values`` as one phrase can, or None if none says any of it.

        Args:
            values: field -> the value to say, or None if it is not known.
        """
        known = {field: value for field, value in values.items() if value is not None}
        for fields in self._sayable:
            if fields <= known.keys():
                return self._by_values[frozenset((field, known[field]) for field in fields)]
        return None

    def marginals(self, probabilities: np.ndarray) -> dict[str, np.ndarray]:
        """The probabilities of each part's values, summed over the other parts. The attribute must have parts.

        Args:
            probabilities: (N, number of choices) array.

        Returns:
            part -> (N, number of its values) array.
        """
        sizes = [len(values) for values in self.parts.values()]
        table = probabilities.reshape(len(probabilities), *sizes)
        marginals = {}
        # Axis 0 counts the images.
        for axis, part in enumerate(self.parts, start=1):
            others = tuple(other for other in range(1, table.ndim) if other != axis)
            marginals[part] = table.sum(others)
        return marginals


@dataclass(frozen=True)
class Exclusion:
    """Two things that are never both true of one image.

    Attributes:
        attributes: the names of the two attributes, which may be the same.
        fields: a flat field of each.
        values: a set of values of each field; no value of the first goes with any value of the second.
    """

    attributes: tuple[str, str]
    fields: tuple[str, str]
    values: tuple[frozenset[str], frozenset[str]]

    def excludes(self, chosen: Mapping[str, Choice | None]) -> bool:
        """Whether ``chosen`` says both things. An attribute of which nothing is said excludes nothing."""
        for name, field, values in zip(self.attributes, self.fields, self.values, strict=True):
            choice = chosen.get(name)
            if choice is None or choice.value[field] not in values:
                return False
        return True


@dataclass(frozen=True)
class Subject:
    """What every image should show.

    Attributes:
        noun: its name in the singular.
        plural: its name in the plural.
        prompts: full sentences that a CLIP finds similar to an image of it.
        negatives: full sentences that a CLIP finds similar to images of other things.
    """

    noun: str
    plural: str
    prompts: tuple[str, ...]
    negatives: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """What a dataset card says about this domain alone.

    Attributes:
        title: title of the dataset.
        tags: tags for the Hub, besides those that all such datasets have.
        bias: sentences that say whom or what the attributes may wrong.
    """

    title: str
    tags: tuple[str, ...] = ()
    bias: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """Attributes by name, in the order of the file.

    Attributes:
        sha256: hash of the file from which it was read.
        regions: name -> (top, bottom), as shares of the image's height. "whole" is always there.
        exclusions: in the order of the file.
        templates: recipe -> path of the template file with which it writes captions.
        subject: what every image should show, or None if the file does not say.
    """

    name: str
    attributes: dict[str, Attribute]
    sha256: str
    regions: dict[str, tuple[float, float]]
    exclusions: tuple[Exclusion, ...] = ()
    templates: dict[str, Path] = dataclasses.field(default_factory=dict)
    subject: Subject | None = None
    card: Card = Card("Pseudo-texts")

    def templates_for(self, recipe: str) -> Path:
        """The path of the template file of a recipe, "paper" or "best".

        Raises:
            UserError: the vocabulary names no templates for it.
        """
        if recipe not in self.templates:
            named = "it names none under 'templates'"
            if self.templates:
                named = f"it has some for {', '.join(self.templates)}"
            raise UserError(f"the vocabulary '{self.name}' has no templates for the recipe '{recipe}'; {named}")
        return self.templates[recipe]

    def contradictions(self, chosen: Mapping[str, Choice | None]) -> list[Exclusion]:
        """The exclusions that ``chosen`` breaks; an empty list if it is consistent."""
        return [exclusion for exclusion in self.exclusions if exclusion.excludes(chosen)]

    def without(self, names: Collection[str]) -> "Vocabulary":
        """This vocabulary without the attributes ``names`` and without the exclusions that speak of them.

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


def by_value(probabilities: np.ndarray, values: list[str | None]) -> dict[str | None, np.ndarray]:
    """Sum the columns that stand for the same value.

    Args:
        probabilities: (N, number of columns) array of one field.
        values: what each column stands for, as :attr:`Attribute.slots` has it.

    Returns:
        value -> (N,) array; the value None stands for absence.
    """
    sums = {}
    for column, value in enumerate(values):
        sums[value] = sums.get(value, 0) + probabilities[:, column]
    return sums
