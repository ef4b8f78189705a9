"""Filling one sentence template with phrases, their synonyms drawn at random (UniPT, section 3.1)."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from modeling_unipt.common.words import with_articles

from ..divide.vocabulary import Attribute, Choice
from .parser import Agreement, Blank, Bracket, Piece, Template, WordForm
from .templates import TemplateSet


class Filling:
    """The state of one caption: what is known, what has been said, and the number of the last subject.

    Args:
        attributes: the vocabulary's attributes by name.
        template_set: its words, and how it takes synonyms.
        chosen: attribute -> the choice to say; none of them is negative.
        rng: draws among wordings.

    Attributes:
        said: names of the attributes said so far, as the keys of a dict, in the order of the sentence.
        plural: whether the last subject is plural.
    """

    def __init__(
        self,
        attributes: Mapping[str, Attribute],
        template_set: TemplateSet,
        chosen: Mapping[str, Choice],
        rng: np.random.Generator,
    ) -> None:
        self.attributes = attributes
        self.words = template_set.words
        self.all_synonyms = template_set.all_synonyms
        self.chosen = chosen
        self.rng = rng
        self.said: dict[str, Literal[True]] = {}
        self.plural = False
        self._owner = {}
        self._known = {}
        for name, choice in chosen.items():
            for field, value in choice.value.items():
                self._owner[field] = name
                self._known[field] = value

    def text(self, template: Template) -> str:
        """The caption that ``template`` makes, with its capitals and each "an" in place."""
        text = with_articles(self._pieces(template.pieces))
        return re.sub(r"(^|\. )([a-z])", lambda match: match[1] + match[2].upper(), text)

    def _draw(self, texts: tuple[str, ...]) -> str:
        # Where nothing is to choose no number is drawn: the captions of a seed depend on every draw before.
        return texts[int(self.rng.integers(len(texts)))] if len(texts) > 1 else texts[0]

    def _pieces(self, pieces: Iterable[Piece]) -> str | None:
        """The joined text, or None if a blank stays empty."""
        texts = []
        for piece in pieces:
            if isinstance(piece, Blank):
                text = self._blank(piece)
            elif isinstance(piece, Agreement):
                text = piece.plural if self.plural else piece.singular
            elif isinstance(piece, Bracket):
                text = self._pieces(piece.pieces) or ""
            else:
                text = piece
            if text is None:
                return None
            texts.append(text)
        return "".join(texts)

    def _blank(self, blank: Blank) -> str | None:
        """The texts of the blank's names as a list, such as "a cap, a bag and gloves"; None if it has none."""
        texts = []
        for name in blank.names:
            text = self._name(name, name in blank.short)
            if text is not None:
                texts.append(text)
        if len(texts) < 2:
            return texts[0] if texts else None
        return f"{', '.join(texts[:-1])} and {texts[-1]}"

    def _name(self, name: str, short: bool) -> str | None:
        """The text of a word or attribute; None if nothing is chosen or it has been said before."""
        if name not in self.words:
            return self._phrase(name, short)
        form = next((form for form in self.words[name] if self._applies(form)), None)
        if form is None or (name in self.attributes and not self._can_say(name)):
            return None
        text, inner = self._draw(form.texts)
        texts = {}
        for blank in inner:
            texts[blank] = self._phrase(name if blank == "phrase" else blank)
        if None in texts.values():
            return None
        if name in self.attributes:
            self.said[name] = True
        self.plural = form.plural
        return text.format(**texts)

    def _phrase(self, name: str, short: bool = False) -> str | None:
        """A wording of what is chosen of an attribute; None if nothing is or it has been said before."""
        if not self._can_say(name):
            return None
        self.said[name] = True
        choice = self.chosen[name]
        if self.all_synonyms:
            return (choice.all_short_wordings if short else choice.all_wordings).draw(self._draw)
        return self._draw(choice.short_wordings if short else choice.wordings)

    def _can_say(self, name: str) -> bool:
        return name in self.chosen and name not in self.said

    def _applies(self, form: WordForm) -> bool:
        """Whether the condition of a word's line holds."""
        for field, value in form.known.items():
            if not self._holds(field, value):
                return False
        for field, value in form.said.items():
            if self._owner.get(field) not in self.said or not self._holds(field, value):
                return False
        return True

    def _holds(self, field: str, value: str | Literal[True]) -> bool:
        known = self._known.get(field)
        return known is not None if value is True else known == value
