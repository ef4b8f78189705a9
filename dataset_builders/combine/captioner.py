"""Combine: the chosen phrases become sentences, by templates and synonyms (UniPT, section 3.1).

vocabulary = load_vocabulary()
captioner = Captioner(vocabulary)                                    # the paper's 456 templates
captioner = Captioner(vocabulary, vocabulary.templates_for("best"))  # captions that share an image's facts out
captioner.captions({"gender": choice, "hat": None, ...}, seed=0, image_id="a/0001", count=2)
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..divide.vocabulary import Choice, Vocabulary
from .filling import Filling
from .templates import load_templates


class Written(NamedTuple):
    """A caption.

    Attributes:
        text: the sentence or sentences.
        told: names of the attributes that it tells, in the order of the sentence.
    """

    text: str
    told: tuple[str, ...]


class Captioner:
    """Writes captions from chosen phrases.

    One template is drawn of all that fit. What fits depends on the template file:

    - ``omit_at_most`` (the paper's): every blank outside of the template's brackets can be filled, there is a place for
      every optional attribute that was chosen, and no more than ``omit_at_most`` of the required attributes that are
      known are left out. Each caption of an image tells about everything.
    - ``tell_at_least``: every blank outside of brackets can be filled, and at least so many facts are told, or all if
      fewer are known. Each further caption of an image tells as many as one template can of the facts that no caption
      before it told, and tells them in another order than those before it.

    If nothing is known the caption is a sentence without a claim, such as "A person can be seen.".

    Args:
        vocabulary: the whole vocabulary, also when attributes are left out of the captions.
        templates: path of a template file; by default the vocabulary's for the recipe `paper`.

    Attributes:
        template_set: the templates.
    """

    def __init__(self, vocabulary: Vocabulary, templates: Path | str | None = None) -> None:
        self.vocabulary = vocabulary
        self.template_set = load_templates(vocabulary, templates)
        # A plain dict, not functools.cache: a captioner travels to worker processes.
        self._fitting: dict[tuple[frozenset[str], frozenset[str]], np.ndarray] = {}
        # (templates, attributes) 0 or 1: what must be known for a template, and what it can tell. As numbers, so that
        # one matrix product counts the facts that each of thousands of templates tells.
        needs = []
        tells = []
        for template in self.template_set.templates:
            needs.append([name in template.required | template.firm for name in vocabulary.attributes])
            tells.append([name in template.required | template.places for name in vocabulary.attributes])
        self._needs = np.array(needs, np.float32)
        self._tells = np.array(tells, np.float32)

    def captions(self, chosen: Mapping[str, Choice | None], seed: int, image_id: str, count: int = 1) -> list[str]:
        """Write captions, each by another template as long as there are others.

        Under ``tell_at_least`` no two texts are alike either, unless nothing else can be said.

        Args:
            chosen: what is said of the image, as a recipe of :mod:`dataset_builders.conquer` gives it; attributes that
                are missing count as None.

        Returns:
            ``count`` texts. They depend on the arguments alone, and the first k are those of ``count=k``.
        """
        written = self._written(chosen, [_generator(seed, image_id, number) for number in range(count)])
        return [text for text, _ in written]

    def drawn(self, chosen: Mapping[str, Choice | None], seed: int, image_id: str, number: int) -> Written:
        """One caption, drawn as an image's first caption is, whatever others were drawn. Other numbers draw anew.

        Number 0 gives the first of :meth:`captions`. Two numbers may give the same text.
        """
        return self._written(chosen, [_generator(seed, image_id, number)])[0]

    def fitting(self, known_required: frozenset[str], chosen_optional: frozenset[str]) -> np.ndarray:
        """Indices of the templates that fit under ``omit_at_most``, in ascending order.

        Args:
            known_required: names of the required attributes of which something is said.
            chosen_optional: names of the optional attributes of which something is said.
        """
        key = (known_required, chosen_optional)
        if key not in self._fitting:
            # number of required attributes left out -> the templates that leave out so many
            omitted = {}
            for index, template in enumerate(self.template_set.templates):
                sayable = template.required <= known_required and template.firm <= chosen_optional
                if sayable and chosen_optional <= template.places:
                    omitted.setdefault(len(known_required - template.required), []).append(index)
            # If every template leaves out more, those that leave out least still fit.
            limit = max(self.template_set.omit_at_most, min(omitted))
            fitting = []
            for count, indices in omitted.items():
                if count <= limit:
                    fitting += indices
            self._fitting[key] = np.array(sorted(fitting))
        return self._fitting[key]

    def _written(self, chosen: Mapping[str, Choice | None], generators: list[np.random.Generator]) -> list[Written]:
        """One caption for each generator."""
        positive = {name: choice for name, choice in chosen.items() if choice is not None and not choice.negative}
        if self.template_set.tell_at_least is None:
            return self._whole(positive, generators)
        return self._shared_out(positive, generators)

    def _whole(self, chosen: Mapping[str, Choice], generators: list[np.random.Generator]) -> list[Written]:
        """Captions that each tell about everything."""
        required = frozenset(name for name in chosen if self.vocabulary.attributes[name].required)
        fitting = self.fitting(required, frozenset(chosen) - required)
        written = []
        used = []
        for rng in generators:
            # When every template has been used, all of them may be used again.
            unused = np.setdiff1d(fitting, used) if 0 < len(used) < len(fitting) else fitting
            index = int(unused[rng.integers(len(unused))])
            used.append(index)
            written.append(self._filled(index, chosen, rng))
        return written

    def _shared_out(self, chosen: Mapping[str, Choice], generators: list[np.random.Generator]) -> list[Written]:
        """Captions that share the facts out."""
        known = np.array([name in chosen for name in self.vocabulary.attributes])
        told_by = self._tells @ known.astype(np.float32)
        # A template that needs what is not known does not fit.
        told_by[self._needs @ ~known > 0] = -1
        enough = told_by >= min(self.template_set.tell_at_least, told_by.max())
        unused = enough.copy()
        written: list[Written] = []
        for rng in generators:
            if written:
                told = set().union(*(caption.told for caption in written))
                untold = np.array([name in chosen and name not in told for name in self.vocabulary.attributes])
                possible = unused if unused.any() else enough
                new = np.where(possible, self._tells @ untold.astype(np.float32), -1)
                candidates = new == new.max()
            else:
                candidates = enough
            index, caption = self._unlike(np.flatnonzero(candidates), chosen, rng, written)
            unused[index] = False
            written.append(caption)
        return written

    def _unlike(
        self,
        candidates: np.ndarray,
        chosen: Mapping[str, Choice],
        rng: np.random.Generator,
        before: list[Written],
    ) -> tuple[int, Written]:
        """(index of the template, caption) that tells unlike the captions before.

        At best it tells other facts or another order of them, else only another text, and else the same again.
        """
        texts = [caption.text for caption in before]
        orders = [caption.told for caption in before]
        alike = None
        for index in rng.permutation(candidates):
            caption = self._filled(index, chosen, rng)
            if caption.told not in orders and caption.text not in texts:
                return index, caption
            if alike is None or (caption.text not in texts and alike[1].text in texts):
                alike = index, caption
        return alike

    def _filled(self, index: int, chosen: Mapping[str, Choice], rng: np.random.Generator) -> Written:
        """The caption of template number ``index``, its synonyms drawn from ``rng``."""
        filling = Filling(self.vocabulary.attributes, self.template_set, chosen, rng)
        text = filling.text(self.template_set.templates[index])
        return Written(text, tuple(filling.said))


def _generator(seed: int, image_id: str, number: int) -> np.random.Generator:
    """The random numbers of one caption. hash() would differ from process to process."""
    key = int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=16).digest(), "little")
    return np.random.default_rng([seed, key, number])
