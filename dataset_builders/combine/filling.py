"""Filling one sentence template with phrases, their synonyms drawn at random (UniPT, section 3.1)."""

import re

from ..divide.vocabulary import with_articles
from .parser import Agreement, Blank, Optional


class Filling:
    """The state of one caption: what is known, what has been said, and the number of the last subject.

    Args:
        attributes: the vocabulary's, name -> Attribute.
        template_set: :class:`dataset_builders.combine.templates.TemplateSet`, whose words and way with synonyms are taken.
        chosen: attribute -> ``Choice``, none of them None or negative.
        rng: NumPy generator that draws among wordings.

    Attributes:
        said: names of the attributes said so far, as the keys of a dict, in the order of the sentence.
    """

    def __init__(self, attributes, template_set, chosen, rng):
        self.attributes, self.words, self.chosen, self.rng = attributes, template_set.words, chosen, rng
        self.all_synonyms = template_set.all_synonyms
        self.owner = {field: name for name, choice in chosen.items() for field in choice.value}
        self.known = {field: value for choice in chosen.values() for field, value in choice.value.items()}
        self.said, self.plural = {}, False

    def text(self, template):
        """The caption that ``template`` makes: capitals and "an" in place."""
        text = self.pieces(template.pieces)
        return re.sub(r"(^|\. )([a-z])", lambda match: match[1] + match[2].upper(), with_articles(text))

    def draw(self, texts):
        return texts[int(self.rng.integers(len(texts)))] if len(texts) > 1 else texts[0]

    def pieces(self, pieces):
        """The joined text, or None where a blank stays empty."""
        texts = []
        for piece in pieces:
            if isinstance(piece, Blank):
                text = self.blank(piece)
            elif isinstance(piece, Agreement):
                text = piece.plural if self.plural else piece.singular
            elif isinstance(piece, Optional):
                text = self.pieces(piece.pieces) or ""
            else:
                text = piece
            if text is None:
                return None
            texts.append(text)
        return "".join(texts)

    def blank(self, blank):
        texts = [self.name(name, name in blank.short) for name in blank.names]
        texts = [text for text in texts if text is not None]
        if not texts:
            return None
        return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))

    def name(self, name, short=False):
        """The text of a word or attribute; None when nothing is chosen or it has been said before."""
        if name in self.words:
            form = next((form for form in self.words[name] if self.applies(form)), None)
            if form is None or (name in self.attributes and (name not in self.chosen or name in self.said)):
                return None
            text, inner = self.draw(form.texts)
            texts = {blank: self.phrase(name if blank == "phrase" else blank) for blank in inner}
            if None in texts.values():
                return None
            if name in self.attributes:
                self.said[name] = True
            self.plural = form.plural
            return text.format(**texts)
        return self.phrase(name, short)

    def phrase(self, name, short=False):
        if name not in self.chosen or name in self.said:
            return None
        self.said[name] = True
        choice = self.chosen[name]
        if self.all_synonyms:
            return (choice.all_short_wordings if short else choice.all_wordings).draw(self.draw)
        return self.draw(choice.short_wordings if short else choice.wordings)

    def applies(self, form):
        return all(self.holds(field, value) for field, value in form.known.items()) and all(
            self.owner.get(field) in self.said and self.holds(field, value) for field, value in form.said.items()
        )

    def holds(self, field, value):
        return self.known.get(field) is not None if value is True else self.known.get(field) == value
