"""What fine-tuning minimises: L_id + L_rk + gamma L_pgu (paper equations 4 to 7), and the prototypes of L_pgu."""

import torch

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.configuration_unipt import PROTOTYPE_SIZES, UniPTConfig
from modeling_unipt.modeling_unipt import UniPTModel
from unipt_train.objectives.losses import identification_loss, ranking_loss, similarity_distribution_loss
from unipt_train.objectives.text_passes import text_features


def with_prototypes(model, sizes):
    """``model`` with prototypes of the ``sizes`` (fields of its configuration): its own, or else random ones.

    Raises:
        UserError: the model has prototypes of other sizes, or there can be none of these.
    """
    sizes = {name: sizes[name] for name in ("num_prototypes", *PROTOTYPE_SIZES)}
    if model.config.num_prototypes:
        for name, wanted in sizes.items():
            own = getattr(model.config, name)
            if own != wanted:
                raise UserError(
                    f"the model to start from has prototypes of its own, with {name} {own}, not {wanted}; give "
                    f"--{name} {own} to train these on"
                )
        return model
    if sizes["num_prototypes"] < 1:
        raise UserError("--num_prototypes must be at least 1; for no prototypes give --granularity_loss_weight 0")
    try:
        config = UniPTConfig.from_dict(model.config.to_dict() | sizes)
    except ValueError as error:
        raise UserError(f"prototypes: {error}") from None
    grown = UniPTModel(config).float()
    grown.load_state_dict(model.state_dict(), strict=False)
    return grown


def _classifier(dim, identities):
    classifier = torch.nn.Linear(dim, identities, bias=False)
    torch.nn.init.normal_(classifier.weight, std=0.001)
    return classifier


class Finetuner(torch.nn.Module):
    """A `UniPTModel` with the identity classifiers that training needs and retrieval does not, and its losses in two
    steps: features of some pairs, then losses of all pairs, as :func:`unipt_train.engine.joint_batch.joint_backward` wants them.

    Args:
        model: `UniPTModel`, with prototypes where ``granularity_loss_weight`` is not 0.
        identities: number of people to tell apart.
        arguments: has ``granularity_loss_weight`` (gamma), ``matching_loss`` ("ranking" or "sdm") and ``margin``.
    """

    def __init__(self, model, identities, arguments):
        super().__init__()
        config = model.config
        self.model, self.arguments = model, arguments
        model.logit_scale.requires_grad_(False)  # no loss here uses it, and DDP waits for every gradient
        self.classifier = _classifier(config.projection_dim, identities)
        if arguments.granularity_loss_weight:
            heads = (_classifier(config.prototype_dim, identities) for _ in range(config.num_prototypes))
            self.prototype_classifiers = torch.nn.ModuleList(heads)

    def inputs(self, batch):
        """The part of a batch that :meth:`forward` takes."""
        return {name: rows for name, rows in batch.items() if name != "picks"}

    def targets(self, batch):
        """The part of a batch that :meth:`losses` compares features with, one row a pair."""
        return {name: batch[name] for name in ("person_index", "picks")}

    def forward(self, pixel_values, input_ids, attention_mask, person_index):
        """Features of n pairs.

        Returns:
            Dict of tensors with n rows: ``text_embeds``, ``image_embeds`` (n, projection_dim), pooled, and
            ``identification`` (n,), L_id of each pair; with prototypes ``unified_text_embeds``,
            ``unified_image_embeds`` (n, embedding_dim) and ``unified_identification`` (n,).
        """
        images = self.model.get_image_features(pixel_values=pixel_values)
        texts = text_features(self.model, input_ids, attention_mask)
        pooled = texts.global_output, images.global_output
        features = dict(zip(("text_embeds", "image_embeds"), pooled, strict=True))
        features["identification"] = self._identification([self.classifier], pooled, person_index)
        if self.arguments.granularity_loss_weight:
            unified = texts.pooler_output, images.pooler_output
            features |= zip(("unified_text_embeds", "unified_image_embeds"), unified, strict=True)
            features["unified_identification"] = self._identification(self.prototype_classifiers, unified, person_index)
        return features

    def _identification(self, classifiers, embeds, person_index):
        """L_id of each pair, the mean over classifiers: as LGUR has it, one for each part of the embeddings."""
        parts = [modality.chunk(len(classifiers), dim=-1) for modality in embeds]
        losses = [
            identification_loss(classify(text), classify(image), person_index, reduction="none")
            for classify, text, image in zip(classifiers, *parts, strict=True)
        ]
        return sum(losses) / len(losses)

    def losses(self, features, targets):
        """Losses of all pairs: {"loss", "identification_loss", ...} (equations 4 to 7).

        Args:
            features: as :meth:`forward` makes them. targets: as :meth:`targets` gives them, of the same N pairs:
                ``person_index`` (N,) long, whom a pair shows; ``picks``, see :func:`unipt_train.objectives.losses.ranking_loss`.
        """
        identification = features["identification"].mean()
        matching = self._matching(features["text_embeds"], features["image_embeds"], **targets)
        losses = {
            "loss": identification + matching,
            "identification_loss": identification,
            f"{self.arguments.matching_loss}_loss": matching,
        }
        if self.arguments.granularity_loss_weight:
            unified = features["unified_text_embeds"], features["unified_image_embeds"]
            losses["granularity_loss"] = features["unified_identification"].mean() + self._matching(*unified, **targets)
            losses["loss"] = losses["loss"] + self.arguments.granularity_loss_weight * losses["granularity_loss"]
        return losses

    def _matching(self, texts, images, person_index, picks):
        if self.arguments.matching_loss == "sdm":
            return similarity_distribution_loss(texts, images, person_index)
        return ranking_loss(texts, images, person_index, self.arguments.margin, picks)
