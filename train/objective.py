"""What pre-training minimises: the paper's contrastive and masked language losses, and the options of `best`."""

import torch
from torch.nn import functional as F

from attribute_facts import log_truth
from losses import attribute_loss
from modeling_unipt.modeling_unipt import contrastive_loss, masked_language_modeling_loss, scaled_cosines


def log_weights_of_negatives(truth, image_ids, text_ids):
    """(texts, images): logarithm of the weight that pair (i, j) has as a negative; 0 on the diagonal.

    Args:
        truth: (texts, images) log-probability that text i is true of image j, see
            :func:`attribute_facts.log_truth`, or None: a negative weighs 1 minus that probability.
        image_ids, text_ids: (N,) whole numbers or None; pairs of one image or of one text are no negatives.
    """
    size = len(truth) if truth is not None else len(image_ids)
    weights = torch.zeros(size, size) if truth is None else torch.log1p(-truth.exp().clamp(max=1 - 1e-6))
    for ids in (image_ids, text_ids):
        if ids is not None:
            weights = weights.to(ids.device).masked_fill(ids[:, None] == ids[None, :], -torch.inf)
    return weights.fill_diagonal_(0)


class PretrainingObjective(torch.nn.Module):
    """A `UniPTForPreTraining` and its losses.

    Args:
        model: `UniPTForPreTraining`.
        arguments: has ``mask_contrast``, ``weigh_negatives`` and ``attribute_loss_weight``.
        facts: :class:`attribute_facts.AttributeFacts`, where samples have ``told`` and ``shown``.
    """

    def __init__(self, model, arguments, facts=None):
        super().__init__()
        self.model, self.arguments, self.facts = model, arguments, facts
        if arguments.attribute_loss_weight:
            self.attribute_head = torch.nn.Linear(model.config.projection_dim, sum(facts.sizes))

    def forward(self, told=None, shown=None, image_ids=None, text_ids=None, **batch):
        """One step's losses: {"loss", "contrastive_loss", ...} (equations 1-3 and the options).

        Args:
            told: (N, C) bool, what each caption tells. shown: (N, C), what each image shows.
            image_ids, text_ids: see :func:`log_weights_of_negatives`.
            batch: as `UniPTForPreTraining` takes.
        """
        outputs, mlm_loss = self._encode(batch)
        scale = self.model.unipt.similarity_scale()
        if image_ids is None and not self.arguments.weigh_negatives:
            contrastive = contrastive_loss(outputs.text_embeds, outputs.image_embeds, scale)
        else:
            truth = log_truth(told, shown, self.facts.sizes) if self.arguments.weigh_negatives else None
            logits = scaled_cosines(outputs.text_embeds, outputs.image_embeds, scale)
            logits = logits + log_weights_of_negatives(truth, image_ids, text_ids).to(logits)
            pairs = torch.arange(len(logits), device=logits.device)
            contrastive = (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
        losses = {"loss": contrastive, "contrastive_loss": contrastive}
        if mlm_loss is not None:
            losses["mlm_loss"] = mlm_loss
            losses["loss"] = losses["loss"] + self.model.config.mlm_loss_weight * mlm_loss
        if self.arguments.attribute_loss_weight:
            features = (outputs.text_model_output.pooler_output, outputs.vision_model_output.pooler_output)
            losses["attribute_loss"] = attribute_loss(
                *map(self.attribute_head, features), told, shown, self.facts.sizes
            )
            losses["loss"] = losses["loss"] + self.arguments.attribute_loss_weight * losses["attribute_loss"]
        return losses

    def _encode(self, batch):
        """(`UniPTOutput` of the pairs, MLM loss or None where the batch has no masked text)."""
        if not self.arguments.mask_contrast:
            outputs = self.model(**batch, return_loss=False)
            logits, labels = outputs.mlm_logits, batch.get("mlm_labels")
            found = labels is not None
            return outputs, masked_language_modeling_loss(logits, labels[labels != -100]) if found else None
        labels = batch["mlm_labels"]
        outputs = self.model.unipt(batch["mlm_input_ids"], batch["pixel_values"], batch["attention_mask"])
        masked = labels != -100
        logits = self.model.mlm_head(outputs.text_model_output.last_hidden_state[masked])
        return outputs, masked_language_modeling_loss(logits, labels[masked])
