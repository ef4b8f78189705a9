"""Combine: the chosen phrases become sentences, by templates and synonyms (UniPT, section 3.1).

vocabulary = load_vocabulary()
captioner = Captioner(vocabulary)                                    # the paper's 456 templates
captioner = Captioner(vocabulary, vocabulary.templates_for("best"))  # captions that share an image's facts out
captioner.captions({"gender": choice, "hat": None, ...}, seed=0, image_id="a/0001", count=2)
"""

import hashlib

import numpy as np

from .filling import Filling
from .templates import load_templates


class Captioner:
    """Writes captions from chosen phrases.

    Of all templates one is drawn among those that fit. What fits depends on the template file:

    - ``omit_at_most`` (the paper's): every blank outside of the template's brackets can be filled, there is a place for
      every optional attribute that was chosen, and no more than ``omit_at_most`` of the required attributes that are
      known are left out. Each caption of an image tells about everything.
    - ``tell_at_least``: every blank outside of brackets can be filled, and at least so many facts are told, or all
      where fewer are known. The second caption of an image, and each after it, tells as many as one template can of the
      facts that none before it told, and tells them in another order than those before it.

    Where nothing is known the caption is a sentence without a claim, such as "A person can be seen.".

    Args:
        vocabulary: the whole vocabulary, also when attributes are left out of the captions.
        templates: path of a template file; by default the vocabulary's for the recipe `paper`.
    """

    def __init__(self, vocabulary, templates=None):
        self.vocabulary = vocabulary
        self.template_set = load_templates(vocabulary, templates)
        self._fitting = {}  # not functools.cache: a captioner travels to worker processes
        names, templates = list(vocabulary.attributes), self.template_set.templates
        self._needs = np.array([[n in t.required | t.firm for n in names] for t in templates], np.float32)
        self._tells = np.array([[n in t.required | t.places for n in names] for t in templates], np.float32)

    def captions(self, chosen, seed, image_id, count=1):
        """``count`` captions, each by another template as long as there are others.

        Under ``tell_at_least`` no two texts are alike either, unless nothing else can be said.

        Args:
            chosen: attribute -> ``Choice`` or None, as :func:`dataset_builders.conquer.scorer.decide` gives; attributes that
                are missing count as None.
        Returns:
            List of texts; a function of the arguments alone, and its first k are those of ``count=k``.
        """
        return self._written(chosen, [_generator(seed, image_id, number) for number in range(count)])[0]

    def drawn(self, chosen, seed, image_id, number):
        """One caption drawn as an image's first caption is, whatever others were drawn; other numbers draw anew.

        Number 0 gives the first of :meth:`captions`. Two numbers may give the same text.

        Returns:
            (text, names of the attributes it tells, in the order of the sentence)
        """
        texts, orders = self._written(chosen, [_generator(seed, image_id, number)])
        return texts[0], orders[0]

    def fitting(self, known_required, chosen_optional):
        """Indices of the templates that fit under ``omit_at_most``, given two frozensets of attribute names."""
        if (known_required, chosen_optional) not in self._fitting:
            omitted = {}
            for index, template in enumerate(self.template_set.templates):
                if (
                    template.required <= known_required
                    and template.firm <= chosen_optional
                    and chosen_optional <= template.places
                ):
                    omitted.setdefault(len(known_required - template.required), []).append(index)
            limit = max(self.template_set.omit_at_most, min(omitted))
            self._fitting[known_required, chosen_optional] = np.array(
                sorted(index for count, indices in omitted.items() if count <= limit for index in indices)
            )
        return self._fitting[known_required, chosen_optional]

    def _written(self, chosen, generators):
        """(texts, what each tells: attribute names in the order of the sentence)."""
        chosen = {name: choice for name, choice in chosen.items() if choice is not None and not choice.negative}
        if self.template_set.tell_at_least is None:
            return self._whole(chosen, generators)
        return self._shared_out(chosen, generators)

    def _whole(self, chosen, generators):
        """Captions that each tell about everything."""
        required = frozenset(name for name in chosen if self.vocabulary.attributes[name].required)
        fitting = self.fitting(required, frozenset(chosen) - required)
        told, used = [], []
        for rng in generators:
            unused = np.setdiff1d(fitting, used) if 0 < len(used) < len(fitting) else fitting
            index = int(unused[rng.integers(len(unused))])
            used.append(index)
            told.append(self._filled(index, chosen, rng))
        return [text for text, _ in told], [order for _, order in told]

    def _shared_out(self, chosen, generators):
        """Captions that share the facts out."""
        known = np.array([name in chosen for name in self.vocabulary.attributes])
        told_by = self._tells @ known.astype(np.float32)
        told_by[self._needs @ ~known > 0] = -1  # does not fit
        enough = told_by >= min(self.template_set.tell_at_least, told_by.max())
        texts, orders, unused = [], [], enough.copy()
        for rng in generators:
            told = set().union(*orders)
            untold = np.array([name in chosen and name not in told for name in self.vocabulary.attributes])
            new = np.where(unused if unused.any() else enough, self._tells @ untold.astype(np.float32), -1)
            candidates = new == new.max() if texts else enough
            index, text, order = self._unlike(np.flatnonzero(candidates), chosen, rng, texts, orders)
            unused[index] = False
            texts.append(text)
            orders.append(order)
        return texts, orders

    def _unlike(self, candidates, chosen, rng, texts, orders):
        """(index, text, names in the order of telling) by a template that tells unlike the captions before.

        At best it tells other facts or another order of them, else only another text, and else the same again.
        """
        alike = None
        for index in rng.permutation(candidates):
            text, order = self._filled(index, chosen, rng)
            if order not in orders and text not in texts:
                return index, text, order
            if alike is None or (text not in texts and alike[1] in texts):
                alike = index, text, order
        return alike

    def _filled(self, index, chosen, rng):
        """(text, names in the order of telling) of template number ``index``, its synonyms drawn from ``rng``."""
        filling = Filling(self.vocabulary.attributes, self.template_set, chosen, rng)
        text = filling.text(self.template_set.templates[index])
        return text, tuple(filling.said)


def _generator(seed, image_id, number):
    key = int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=16).digest(), "little")
    return np.random.default_rng([seed, key, number])
