"""Is what the vocabulary is about in the picture at all? Told from the embedding that is there anyway."""

import torch


class SubjectCheck:
    """Refuses pictures that look to a scorer more like something else.

    Args:
        scorer: :class:`dataset_builders.conquer.scorer.Scorer`.
        subject: :class:`dataset_builders.divide.vocabulary.Subject`; its prompts are embedded once, here.
        least: probability of the subject that a picture must have.
    """

    def __init__(self, scorer, subject, least):
        self.scorer, self.subject, self.least = scorer, subject, least
        self._prompt_embeds = scorer.embed_texts([*subject.prompts, *subject.negatives])

    @torch.inference_mode()
    def scores(self, image_embeds):
        """(N,) float32 array: the softmax of logit_scale * cosine over all prompts, summed over those of the subject.

        Args:
            image_embeds: (N, D) unit embeddings of the whole pictures.
        """
        logits = self.scorer.logit_scale * image_embeds @ self._prompt_embeds.T
        return logits.softmax(dim=1)[:, : len(self.subject.prompts)].sum(dim=1).cpu().numpy()

    def reasons(self, image_embeds):
        """Why each of N pictures is refused, or None, as a list."""
        return [
            f"no {self.subject.noun} to be seen: subject score is {score:.3f}, less than {self.least:g}"
            if score < self.least
            else None
            for score in self.scores(image_embeds)
        ]
