"""Combine: the chosen phrases become sentences, by templates and synonyms (UniPT, section 3.1).

captioner = Captioner(load_vocabulary())
captioner.captions({"gender": choice, "hat": None, ...}, seed=0, image_id="a/0001", count=2)
"""

import hashlib
import re
from functools import cache

import numpy as np

from .divide import with_articles
from .templates import Agreement, Blank, Optional, load_templates


class Captioner:
    """Writes captions from chosen phrases.

    Of all templates one is drawn among those that fit. A template fits when every blank outside of its brackets can be
    filled, when it has a place for every optional attribute that was chosen, and when it leaves out no more than
    ``omit_at_most`` of the required attributes that are known.

    Args:
        vocabulary: the whole vocabulary, also when attributes are left out of the captions.
        templates: path of a template file; the shipped one by default.
    """

    def __init__(self, vocabulary, templates=None):
        self.vocabulary = vocabulary
        self.template_set = load_templates(vocabulary, templates)
        self._owner = {field: name for name, attribute in vocabulary.attributes.items() for field in attribute.fields}
        self.fitting = cache(self._fitting)

    def _fitting(self, known_required, chosen_optional):
        """Indices of the templates that fit, given two frozensets of attribute names."""
        omitted = {}
        for index, template in enumerate(self.template_set.templates):
            if (
                template.required <= known_required
                and template.firm <= chosen_optional
                and chosen_optional <= template.places
            ):
                omitted.setdefault(len(known_required - template.required), []).append(index)
        limit = max(self.template_set.omit_at_most, min(omitted))
        return np.array(sorted(index for count, indices in omitted.items() if count <= limit for index in indices))

    def captions(self, chosen, seed, image_id, count=1):
        """``count`` captions, each by another template as long as there are others.

        Args:
            chosen: attribute -> ``Choice`` or None, as :func:`dataset_builders.conquer.decide` gives; attributes that
                are missing count as None.
        Returns:
            List of texts; a function of the arguments alone, and its first k are those of ``count=k``.
        """
        chosen = {name: choice for name, choice in chosen.items() if choice is not None and not choice.negative}
        required = frozenset(name for name in chosen if self.vocabulary.attributes[name].required)
        fitting = self.fitting(required, frozenset(chosen) - required)
        key = int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=16).digest(), "little")
        texts, used = [], []
        for number in range(count):
            rng = np.random.default_rng([seed, key, number])
            unused = np.setdiff1d(fitting, used) if 0 < len(used) < len(fitting) else fitting
            index = int(unused[rng.integers(len(unused))])
            used.append(index)
            texts.append(self.fill(index, chosen, rng))
        return texts

    def fill(self, index, chosen, rng):
        """The text of template number ``index``, its synonyms drawn from ``rng``."""
        filling = _Filling(self, chosen, rng)
        text = filling.pieces(self.template_set.templates[index].pieces)
        return re.sub(r"(^|\. )([a-z])", lambda match: match[1] + match[2].upper(), with_articles(text))


class _Filling:
    """The state of one caption: what is known, what has been said, and the number of the last subject."""

    def __init__(self, captioner, chosen, rng):
        self.attributes, self.words = captioner.vocabulary.attributes, captioner.template_set.words
        self.owner, self.chosen, self.rng = captioner._owner, chosen, rng
        self.known = {field: value for choice in chosen.values() for field, value in choice.value.items()}
        self.said, self.plural = set(), False

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
        texts = [text for text in map(self.name, blank.names) if text is not None]
        if not texts:
            return None
        return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))

    def name(self, name):
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
                self.said.add(name)
            self.plural = form.plural
            return text.format(**texts)
        return self.phrase(name)

    def phrase(self, name):
        if name not in self.chosen or name in self.said:
            return None
        self.said.add(name)
        return self.draw(self.chosen[name].wordings)

    def applies(self, form):
        return all(self.holds(field, value) for field, value in form.known.items()) and all(
            self.owner[field] in self.said and self.holds(field, value) for field, value in form.said.items()
        )

    def holds(self, field, value):
        return self.known.get(field) is not None if value is True else self.known.get(field) == value
