"""Fresh captions from stored attributes, without scoring again: another one for each epoch of a training.

vocabulary = load_vocabulary()
sampler = CaptionSampler(vocabulary, vocabulary.templates_for("best"))
sampler.caption(row["attributes"], seed=0, image_id=row["image_id"], epoch=3)
"""

from collections.abc import Mapping
from pathlib import Path

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest

from ..divide.vocabulary import Choice, Vocabulary
from .captioner import Captioner


class CaptionSampler:
    """Draws captions from the rows of a LUPerson-T dataset. It can be pickled, for the workers of a data loader.

    Args:
        vocabulary: the whole vocabulary with which the dataset was made.
        templates: path of a template file; by default the vocabulary's for the recipe `paper`.
    """

    def __init__(self, vocabulary: Vocabulary, templates: Path | str | None = None) -> None:
        self.captioner = Captioner(vocabulary, templates)
        self._choices = {name: attribute.by_phrase for name, attribute in vocabulary.attributes.items()}

    def caption(self, attributes: Mapping[str, str | None], seed: int, image_id: str, epoch: int) -> str:
        """The text alone of :meth:`draw`."""
        return self.draw(attributes, seed, image_id, epoch)[0]

    def draw(
        self, attributes: Mapping[str, str | None], seed: int, image_id: str, epoch: int
    ) -> tuple[str, dict[str, Choice]]:
        """Draw one caption, which depends on the arguments alone.

        Epoch 0 gives the first caption that :meth:`Captioner.captions` writes with this seed. Every epoch draws its
        template and its synonyms anew, so two epochs may give the same text by chance if little is known.

        Args:
            attributes: attribute -> phrase or None, as a row stores it; attributes that are missing count as None.
            epoch: number of the epoch, from 0.

        Returns:
            (text, what it tells: attribute -> its choice)

        Raises:
            UserError: an attribute or phrase is not of this vocabulary.
        """
        chosen = {name: self._choice(name, phrase) for name, phrase in attributes.items() if phrase is not None}
        text, told = self.captioner.drawn(chosen, seed, image_id, epoch)
        return text, {name: chosen[name] for name in told}

    def _choice(self, name: str, phrase: str) -> Choice:
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
