"""What pre-training minimises: the paper's contrastive and masked language losses, and the options of `best`.

Equations 1 to 3 stand in :mod:`modeling_unipt.modeling_unipt`; here they are applied to the global batch.
"""

from collections.abc import Sequence

import torch

from modeling_unipt.modeling_unipt import (
    IGNORED_LABEL,
    MAX_LOGIT_SCALE,
    UniPTForPreTraining,
    masked_language_modeling_loss,
    pair_loss,
    pairs_of_one_id,
    pretraining_loss,
)
from unipt_train.objectives.base import Objective, Tensors
from unipt_train.objectives.losses import attribute_loss, log_truth
from unipt_train.objectives.text_passes import text_features

# What a batch may hold for `losses` alone; see `PretrainingObjective.losses`.
COMPARED = ("told", "shown", "image_ids", "text_ids")
# A caption is never taken as certainly true of another image: its logarithmic weight would be minus infinity.
MOST_CERTAIN = 1 - 1e-6


def log_weights_of_negatives(truth: torch.Tensor | None, text_ids: torch.Tensor | None) -> torch.Tensor | None:
    """Logarithm of the weight that text i and image j have as a negative pair; 0 on the diagonal, whole weight.

    Args:
        truth: (texts, images) log-probability that text i is true of image j, see
            :func:`unipt_train.objectives.losses.log_truth`; a negative weighs 1 minus that probability. None: every
            negative weighs 1.
        text_ids: (N,) whole numbers; pairs with equal texts are no negatives of each other. None: all texts differ.

    Returns:
        (N, N), or None if every negative weighs 1.
    """
    if truth is None and text_ids is None:
        return None
    if truth is None:
        weights = torch.zeros(len(text_ids), len(text_ids), device=text_ids.device)
    else:
        weights = torch.log1p(-truth.exp().clamp(max=MOST_CERTAIN))
    if text_ids is not None:
        weights = weights.masked_fill(pairs_of_one_id(text_ids), -torch.inf)
    return weights.fill_diagonal_(0)


class PretrainingObjective(Objective):
    """The losses of `UniPTForPreTraining` (equations 1 to 3), and the options of the recipe `best`.

    Args:
        model: the model to pre-train. With ``mlm_loss_weight`` 0 in its configuration no words are predicted.
        mask_contrast: whether images are contrasted with the masked texts instead of the whole ones.
        weigh_negatives: whether a negative weighs less where its caption is probably true of its image.
        attribute_loss_weight: weight of the loss that reads the attributes off both embeddings; 0: none.
        fact_sizes: number of columns of each slot in ``told`` and ``shown``, C in all; needed by the last two options.
            See :class:`unipt_train.data.attribute_facts.AttributeFacts`.
    """

    def __init__(
        self,
        model: UniPTForPreTraining,
        mask_contrast: bool = False,
        weigh_negatives: bool = False,
        attribute_loss_weight: float = 0.0,
        fact_sizes: Sequence[int] = (),
    ) -> None:
        super().__init__(model)
        self.mask_contrast = mask_contrast
        self.weigh_negatives = weigh_negatives
        self.attribute_loss_weight = attribute_loss_weight
        self.fact_sizes = list(fact_sizes)
        self.predicts_words = model.config.mlm_loss_weight > 0
        if not self.predicts_words:  # else DDP would wait for gradients that never come
            for part in (model.mlm_head.dense, model.mlm_head.layer_norm, model.mlm_head.decoder.bias):
                part.requires_grad_(False)
        if attribute_loss_weight:
            self.attribute_head = torch.nn.Linear(model.config.embedding_dim, sum(self.fact_sizes))

    @torch.no_grad()
    def keep_in_bounds(self) -> None:
        """Keep the scale of the softmax at 100 or less, as CLIP does; a larger one makes training unstable.

        The sigmoid loss has no such bound: SigLIP's own scale is above 100, and its bias fits to it.
        """
        if self.model.unipt.logit_bias is None:
            self.model.unipt.logit_scale.clamp_(max=MAX_LOGIT_SCALE)

    def inputs(self, batch: Tensors) -> Tensors:
        left_out = COMPARED if self.predicts_words else (*COMPARED, "mlm_input_ids", "mlm_labels")
        return {name: rows for name, rows in batch.items() if name not in left_out}

    def targets(self, batch: Tensors) -> Tensors:
        targets = {name: batch[name] for name in COMPARED if name in batch}
        if self.predicts_words and "mlm_labels" in batch:
            targets["masked_tokens"] = (batch["mlm_labels"] != IGNORED_LABEL).sum(dim=1)
        return targets

    def forward(
        self,
        input_ids: torch.Tensor,
        pixel_values: torch.Tensor,
        attention_mask: torch.Tensor,
        mlm_input_ids: torch.Tensor | None = None,
        mlm_labels: torch.Tensor | None = None,
    ) -> Tensors:
        """Features of n pairs, by one pass of the images and one of the texts, masked and whole ones together.

        Args:
            input_ids, attention_mask: (n, L) the whole texts.
            pixel_values: (n, 3, H, W).
            mlm_input_ids: (n, L) the masked texts.
            mlm_labels: (n, L) the original tokens where they are masked, -100 elsewhere.

        Returns:
            ``text_embeds``, ``image_embeds`` (n, D); ``logit_scale`` (n,), n times the same, and ``logit_bias`` (n,)
            likewise if the model has one; with masked texts
            ``mlm_nll`` (n,), the summed negative log-likelihoods of their masked tokens; with an attribute loss
            ``text_logits``, ``image_logits`` (n, C).
        """
        unipt = self.model.unipt
        pairs = len(pixel_values)
        if self.mask_contrast:
            read = mlm_input_ids
        elif mlm_labels is not None:
            # Whole and masked texts in one pass, so that the gradients of the weights are added up once.
            read = torch.cat([input_ids, mlm_input_ids])
            attention_mask = attention_mask.repeat(2, 1)
        else:
            read = input_ids
        texts = text_features(unipt, read, attention_mask)
        images = unipt.get_image_features(pixel_values)
        # Of one pass of both, the first half is the whole texts, to contrast, and the second the masked ones, to mend.
        text_embeds = texts.pooler_output[:pairs]
        tokens = texts.last_hidden_state[-pairs:]
        features = {
            "text_embeds": text_embeds,
            "image_embeds": images.pooler_output,
            "logit_scale": unipt.similarity_scale().expand(pairs),
        }
        if unipt.logit_bias is not None:
            features["logit_bias"] = unipt.logit_bias.expand(pairs)
        if mlm_labels is not None:
            features["mlm_nll"] = self._summed_nll(tokens, mlm_labels)
        if self.attribute_loss_weight:
            features["text_logits"] = self.attribute_head(text_embeds)
            features["image_logits"] = self.attribute_head(images.pooler_output)
        return features

    def _summed_nll(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(n, L, width) and (n, L) to (n,): summed here and divided in `losses`, by the tokens of the global batch."""
        masked = labels != IGNORED_LABEL
        # The head is large, as large as the vocabulary; so it reads the masked tokens alone.
        nll = masked_language_modeling_loss(self.model.mlm_head(tokens[masked]), labels[masked], reduction="none")
        pair_of_token = masked.nonzero()[:, 0]
        return nll.new_zeros(len(labels)).index_add(0, pair_of_token, nll)

    def losses(self, features: Tensors, targets: Tensors) -> Tensors:
        """``loss``, ``contrastive_loss``, and by option ``mlm_loss`` and ``attribute_loss`` of N pairs.

        Args:
            features: as :meth:`forward` returns them.
            targets: ``told`` (N, C) bool, what each caption tells; ``shown`` (N, C), what each image shows;
                ``image_ids`` (N,), equal for near-duplicates, and ``text_ids`` (N,), equal for equal captions, which
                are no negatives of each other; ``masked_tokens`` (N,), how many there are. Each may be missing.
        """
        told = targets.get("told")
        shown = targets.get("shown")
        truth = log_truth(told, shown, self.fact_sizes) if self.weigh_negatives else None
        bias = features.get("logit_bias")
        contrastive = pair_loss(
            features["text_embeds"],
            features["image_embeds"],
            features["logit_scale"].mean(),
            None if bias is None else bias.mean(),
            image_ids=targets.get("image_ids"),
            log_weights=log_weights_of_negatives(truth, targets.get("text_ids")),
        )
        losses = {"loss": contrastive, "contrastive_loss": contrastive}
        if "mlm_nll" in features:
            losses["mlm_loss"] = features["mlm_nll"].sum() / targets["masked_tokens"].sum().clamp(min=1)
            losses["loss"] = pretraining_loss(contrastive, losses["mlm_loss"], self.model.config.mlm_loss_weight)
        if self.attribute_loss_weight:
            losses["attribute_loss"] = attribute_loss(
                features["text_logits"], features["image_logits"], told, shown, self.fact_sizes
            )
            losses["loss"] = losses["loss"] + self.attribute_loss_weight * losses["attribute_loss"]
        return losses
