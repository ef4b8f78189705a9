"""What fine-tuning minimises: L_id + L_rk + gamma L_pgu (paper equations 4 to 7), and the prototypes of L_pgu."""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.configuration_unipt import PROTOTYPE_SIZES, UniPTConfig
from modeling_unipt.modeling_unipt import UniPTModel
from unipt_train.objectives.base import Objective, Tensors
from unipt_train.objectives.losses import identification_loss, ranking_loss, similarity_distribution_loss
from unipt_train.objectives.text_passes import text_features

# Fields of the model's configuration that say how many prototypes there are and how large.
PROTOTYPE_FIELDS = ("num_prototypes", *PROTOTYPE_SIZES)


def with_prototypes(model: UniPTModel, sizes: Mapping[str, int]) -> UniPTModel:
    """``model`` if it has prototypes of the wanted sizes, or else a copy in float32 with new random ones.

    Args:
        model: the model to start from.
        sizes: a number for each of ``PROTOTYPE_FIELDS``.

    Raises:
        UserError: the model has prototypes of other sizes, or the sizes are impossible.
    """
    if model.config.num_prototypes:
        for name in PROTOTYPE_FIELDS:
            own = getattr(model.config, name)
            if own != sizes[name]:
                option = f"--{name.replace('_', '-')}"
                raise UserError(
                    f"the model to start from has prototypes of its own, with {name} {own}, not {sizes[name]}; give "
                    f"{option} {own} to train these on"
                )
        return model
    if sizes["num_prototypes"] < 1:
        raise UserError("--num-prototypes must be at least 1; for no prototypes give --granularity-loss-weight 0")
    try:
        config = UniPTConfig.from_dict(model.config.to_dict() | dict(sizes))
    except ValueError as error:
        raise UserError(f"prototypes: {error}") from None
    grown = UniPTModel(config).float()
    # Not strict: the new prototypes have no weights in the model to start from.
    grown.load_state_dict(model.state_dict(), strict=False)
    return grown


def _classifier(dim: int, identities: int) -> torch.nn.Linear:
    """Starts near zero, so that at first all identities are about equally likely."""
    classifier = torch.nn.Linear(dim, identities, bias=False)
    torch.nn.init.normal_(classifier.weight, std=0.001)
    return classifier


class FinetuningObjective(Objective):
    """The losses of equations 4 to 7, with the identity classifiers that training needs and retrieval does not.

    Args:
        model: the model to fine-tune, with prototypes if ``granularity_loss_weight`` is not 0.
        identities: number of people to tell apart.
        granularity_loss_weight: gamma of equation 7; 0 leaves the loss of the prototypes out.
        matching_loss: "ranking" is the paper's L_rk, "sdm" is IRRA's similarity distribution matching.
        margin: alpha of equation 5, for "ranking".
    """

    def __init__(
        self,
        model: UniPTModel,
        identities: int,
        granularity_loss_weight: float = 1.0,
        matching_loss: Literal["ranking", "sdm"] = "ranking",
        margin: float = 0.2,
    ) -> None:
        super().__init__(model)
        self.granularity_loss_weight = granularity_loss_weight
        self.matching_loss = matching_loss
        self.margin = margin
        for number in (model.logit_scale, model.logit_bias):
            if number is not None:
                number.requires_grad_(False)  # no loss here uses it, and DDP waits for every gradient
        self.classifier = _classifier(model.config.projection_dim, identities)
        if granularity_loss_weight:
            parts = range(model.config.num_prototypes)
            self.prototype_classifiers = torch.nn.ModuleList(
                _classifier(model.config.prototype_dim, identities) for _ in parts
            )

    def inputs(self, batch: Tensors) -> Tensors:
        return {name: rows for name, rows in batch.items() if name != "picks"}

    def targets(self, batch: Tensors) -> Tensors:
        return {name: batch[name] for name in ("person_index", "picks")}

    def forward(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        person_index: torch.Tensor,
    ) -> Tensors:
        """Features of n pairs.

        Args:
            pixel_values: (n, 3, H, W).
            input_ids, attention_mask: (n, L).
            person_index: (n,) int64, the person whom a pair shows.

        Returns:
            ``text_embeds``, ``image_embeds`` (n, projection_dim), pooled over tokens, and ``identification`` (n,), L_id
            of each pair; with prototypes also ``unified_text_embeds``, ``unified_image_embeds`` (n, embedding_dim) and
            ``unified_identification`` (n,).
        """
        images = self.model.get_image_features(pixel_values=pixel_values)
        texts = text_features(self.model, input_ids, attention_mask)
        features = {
            "text_embeds": texts.global_output,
            "image_embeds": images.global_output,
            "identification": _identification(
                [self.classifier], texts.global_output, images.global_output, person_index
            ),
        }
        if self.granularity_loss_weight:
            features["unified_text_embeds"] = texts.pooler_output
            features["unified_image_embeds"] = images.pooler_output
            features["unified_identification"] = _identification(
                self.prototype_classifiers, texts.pooler_output, images.pooler_output, person_index
            )
        return features

    def losses(self, features: Tensors, targets: Tensors) -> Tensors:
        """``loss``, ``identification_loss``, ``ranking_loss`` or ``sdm_loss``; with prototypes ``granularity_loss``.

        Args:
            features: as :meth:`forward` returns them.
            targets: ``person_index`` (N,) int64, and ``picks`` (N, 2), see
                :func:`unipt_train.objectives.losses.ranking_loss`.
        """
        identification = features["identification"].mean()
        matching = self._matching(features["text_embeds"], features["image_embeds"], **targets)
        losses = {
            "loss": identification + matching,
            "identification_loss": identification,
            f"{self.matching_loss}_loss": matching,
        }
        if self.granularity_loss_weight:
            unified_matching = self._matching(
                features["unified_text_embeds"], features["unified_image_embeds"], **targets
            )
            losses["granularity_loss"] = features["unified_identification"].mean() + unified_matching
            losses["loss"] = losses["loss"] + self.granularity_loss_weight * losses["granularity_loss"]
        return losses

    def _matching(
        self, texts: torch.Tensor, images: torch.Tensor, person_index: torch.Tensor, picks: torch.Tensor
    ) -> torch.Tensor:
        if self.matching_loss == "sdm":
            return similarity_distribution_loss(texts, images, person_index)
        return ranking_loss(texts, images, person_index, self.margin, picks)


def _identification(
    classifiers: Iterable[torch.nn.Linear], texts: torch.Tensor, images: torch.Tensor, person_index: torch.Tensor
) -> torch.Tensor:
    """(n,) L_id of each pair: the mean over the classifiers, each of which reads its own part of the embeddings.

    One classifier for each part is how LGUR, which the paper's prototypes come from, has it.
    """
    classifiers = list(classifiers)
    parts_of_texts = texts.chunk(len(classifiers), dim=-1)
    parts_of_images = images.chunk(len(classifiers), dim=-1)
    losses = []
    for classify, text, image in zip(classifiers, parts_of_texts, parts_of_images, strict=True):
        losses.append(identification_loss(classify(text), classify(image), person_index, reduction="none"))
    return sum(losses) / len(losses)
