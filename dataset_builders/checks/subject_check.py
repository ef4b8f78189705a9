"""Does an image show what the vocabulary is about? Told from the embedding that the recipe makes anyway."""

import numpy as np
import torch

from ..conquer.scorer import Scorer
from ..divide.vocabulary import Subject


class SubjectCheck:
    """Refuses images that look to a scorer more like something else.

    Args:
        scorer: embeds the prompts, once, here.
        subject: prompts of what the vocabulary is about, and of other things.
        least: the probability of the subject that an image must have.
    """

    def __init__(self, scorer: Scorer, subject: Subject, least: float) -> None:
        self.scorer = scorer
        self.subject = subject
        self.least = least
        self._prompt_embeds = scorer.embed_texts([*subject.prompts, *subject.negatives])

    @torch.inference_mode()
    def scores(self, image_embeds: torch.Tensor) -> np.ndarray:
        """The probability that each image shows the subject.

        It is the softmax of logit_scale * cosine over all prompts, summed over the prompts of the subject.

        Args:
            image_embeds: (N, D) unit embeddings of the whole images.

        Returns:
            (N,) float32 array.
        """
        logits = self.scorer.logit_scale * image_embeds @ self._prompt_embeds.T
        return logits.softmax(dim=1)[:, : len(self.subject.prompts)].sum(dim=1).cpu().numpy()

    def reasons(self, image_embeds: torch.Tensor) -> list[str | None]:
        """Why each of N images is refused, or None.

        Args:
            image_embeds: (N, D) unit embeddings of the whole images.
        """
        reasons = []
        for score in self.scores(image_embeds):
            refused = score < self.least
            reason = f"no {self.subject.noun} to be seen: subject score is {score:.3f}, less than {self.least:g}"
            reasons.append(reason if refused else None)
        return reasons
