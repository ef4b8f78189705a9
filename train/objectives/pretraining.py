"""What pre-training minimises: the paper's contrastive and masked language losses, and the options of `best`."""

import torch
from torch.nn import functional as F

from modeling_unipt.modeling_unipt import IGNORED_LABEL, contrastive_loss
from unipt_train.objectives.attribute_facts import log_truth
from unipt_train.objectives.losses import attribute_loss
from unipt_train.objectives.text_passes import text_features

COMPARED = ("told", "shown", "image_ids", "text_ids")


def log_weights_of_negatives(truth, image_ids, text_ids):
    """(texts, images): logarithm of the weight that pair (i, j) has as a negative; 0 on the diagonal.

    Args:
        truth: (texts, images) log-probability that text i is true of image j, see
            :func:`unipt_train.objectives.attribute_facts.log_truth`, or None: a negative weighs 1 minus that probability.
        image_ids, text_ids: (N,) whole numbers or None; pairs of one image or of one text are no negatives.
    """
    size = len(truth) if truth is not None else len(image_ids)
    weights = torch.zeros(size, size) if truth is None else torch.log1p(-truth.exp().clamp(max=1 - 1e-6))
    for ids in (image_ids, text_ids):
        if ids is not None:
            weights = weights.to(ids.device).masked_fill(ids[:, None] == ids[None, :], -torch.inf)
    return weights.fill_diagonal_(0)


class PretrainingObjective(torch.nn.Module):
    """A `UniPTForPreTraining` and its losses, in two steps: features of some pairs, then losses of all pairs.

    Args:
        model: `UniPTForPreTraining`.
        arguments: has ``mask_contrast``, ``weigh_negatives`` and ``attribute_loss_weight``.
        facts: :class:`unipt_train.objectives.attribute_facts.AttributeFacts`, where samples have ``told`` and ``shown``.
    """

    def __init__(self, model, arguments, facts=None):
        super().__init__()
        self.model, self.arguments, self.facts = model, arguments, facts
        self.predicts_words = model.config.mlm_loss_weight > 0
        if not self.predicts_words:  # else DDP would wait for gradients that never come
            for part in (model.mlm_head.dense, model.mlm_head.layer_norm, model.mlm_head.decoder.bias):
                part.requires_grad_(False)
        if arguments.attribute_loss_weight:
            self.attribute_head = torch.nn.Linear(model.config.projection_dim, sum(facts.sizes))

    def inputs(self, batch):
        """The part of a batch that :meth:`forward` takes."""
        left_out = COMPARED if self.predicts_words else (*COMPARED, "mlm_input_ids", "mlm_labels")
        return {name: rows for name, rows in batch.items() if name not in left_out}

    def targets(self, batch):
        """The part of a batch that :meth:`losses` compares features with, one row a pair."""
        targets = {name: batch[name] for name in COMPARED if name in batch}
        if self.predicts_words and "mlm_labels" in batch:
            targets["masked_tokens"] = (batch["mlm_labels"] != IGNORED_LABEL).sum(dim=1)
        return targets

    def forward(self, input_ids, pixel_values, attention_mask, mlm_input_ids=None, mlm_labels=None):
        """Features of n pairs, by one pass of the images and one of the texts, masked and whole ones together.

        Returns:
            Dict of tensors with n rows: ``text_embeds``, ``image_embeds`` (n, D); ``logit_scale`` (n,), n times the
            same; with masked text ``mlm_nll`` (n,), its tokens' negative log-likelihoods summed; with an attribute loss
            ``text_logits``, ``image_logits`` (n, C).
        """
        unipt, features = self.model.unipt, {}
        both = mlm_labels is not None and not self.arguments.mask_contrast
        contrasted = mlm_input_ids if self.arguments.mask_contrast else input_ids
        if both:  # one pass of both texts: its weights' gradients are added up once
            contrasted, attention_mask = torch.cat([input_ids, mlm_input_ids]), attention_mask.repeat(2, 1)
        texts = text_features(unipt, contrasted, attention_mask)
        images = unipt.get_image_features(pixel_values)
        text_embeds, tokens = texts.pooler_output[: len(pixel_values)], texts.last_hidden_state[-len(pixel_values) :]
        features["text_embeds"], features["image_embeds"] = text_embeds, images.pooler_output
        features["logit_scale"] = unipt.similarity_scale().expand(len(pixel_values))
        if mlm_labels is not None:
            features["mlm_nll"] = self._summed_nll(tokens, mlm_labels)
        if self.arguments.attribute_loss_weight:
            features["text_logits"] = self.attribute_head(text_embeds)
            features["image_logits"] = self.attribute_head(images.pooler_output)
        return features

    def _summed_nll(self, tokens, labels):
        masked = labels != IGNORED_LABEL
        logits = self.model.mlm_head(tokens[masked])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        nll = F.cross_entropy(logits, labels[masked], reduction="none")
        return nll.new_zeros(len(labels)).index_add(0, masked.nonzero()[:, 0], nll)

    def losses(self, features, targets):
        """Losses of all pairs: {"loss", "contrastive_loss", ...} (equations 1-3 and the options).

        Args:
            features: as :meth:`forward` makes them. targets: as :meth:`targets` gives them, of the same N pairs:
                ``told`` (N, C) bool, what each caption tells; ``shown`` (N, C), what each image shows; ``image_ids``,
                ``text_ids``, see :func:`log_weights_of_negatives`; ``masked_tokens`` (N,).
        """
        told, shown = targets.get("told"), targets.get("shown")
        image_ids, text_ids = targets.get("image_ids"), targets.get("text_ids")
        truth = log_truth(told, shown, self.facts.sizes) if self.arguments.weigh_negatives else None
        weights = None if truth is None and image_ids is None else log_weights_of_negatives(truth, image_ids, text_ids)
        embeds = features["text_embeds"], features["image_embeds"]
        contrastive = contrastive_loss(*embeds, features["logit_scale"].mean(), log_weights=weights)
        losses = {"loss": contrastive, "contrastive_loss": contrastive}
        if "mlm_nll" in features:
            losses["mlm_loss"] = features["mlm_nll"].sum() / targets["masked_tokens"].sum().clamp(min=1)
            losses["loss"] = losses["loss"] + self.model.config.mlm_loss_weight * losses["mlm_loss"]
        if self.arguments.attribute_loss_weight:
            logits = features["text_logits"], features["image_logits"]
            losses["attribute_loss"] = attribute_loss(*logits, told, shown, self.facts.sizes)
            losses["loss"] = losses["loss"] + self.arguments.attribute_loss_weight * losses["attribute_loss"]
        return losses
