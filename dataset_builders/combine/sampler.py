"""Fresh captions from stored attributes, without scoring again: another one for each epoch of a training.

vocabulary = load_vocabulary()
sampler = CaptionSampler(vocabulary, vocabulary.templates_for("best"))
sampler.caption(row["attributes"], seed=0, image_id=row["image_id"], epoch=3)
"""

from modeling_unipt.common.user_errors import UserError

from ..divide.yaml_file import nearest
from .captioner import Captioner


class CaptionSampler:
    """Draws captions from the rows of a LUPerson-T dataset. It can be pickled, for the workers of a data loader.

    Args:
        vocabulary: the whole vocabulary that the dataset was made with.
        templates: path of a template file; by default the vocabulary's for the recipe `paper`.
    """

    def __init__(self, vocabulary, templates=None):
        self.captioner = Captioner(vocabulary, templates)
        self._choices = {name: attribute.by_phrase for name, attribute in vocabulary.attributes.items()}

    def caption(self, attributes, seed, image_id, epoch):
        """The text alone of :meth:`draw`."""
        return self.draw(attributes, seed, image_id, epoch)[0]

    def draw(self, attributes, seed, image_id, epoch):
        """One caption, a function of the arguments alone.

        Epoch 0 gives the first caption that :meth:`Captioner.captions` writes with this seed. Every epoch draws its
        template and its synonyms anew, so that two epochs may give the same text by chance, where little is known.

        Args:
            attributes: attribute -> phrase or None, as a row stores it; attributes that are missing count as None.
            epoch: counts from 0.
        Returns:
            (text, what it tells: attribute -> ``Choice``)
        Raises:
            UserError: an attribute or phrase is not of this vocabulary.
        """
        chosen = {name: self._choice(name, phrase) for name, phrase in attributes.items() if phrase is not None}
        text, told = self.captioner.drawn(chosen, seed, image_id, epoch)
        return text, {name: chosen[name] for name in told}

    def _choice(self, name, phrase):
        try:
            return self._choices[name][phrase]
        except KeyError:
            vocabulary = f"the vocabulary '{self.captioner.vocabulary.name}'"
            if name not in self._choices:
                raise UserError(f"'{name}' is no attribute of {vocabulary}{nearest(name, self._choices)}") from None
            raise UserError(
                f"'{phrase}' is no phrase of the attribute '{name}' of {vocabulary}; "
                "give the vocabulary that the dataset was made with"
            ) from None
