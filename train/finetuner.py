"""What fine-tuning minimises: L_id + L_rk + gamma L_pgu (paper equations 4 to 7), and the prototypes of L_pgu."""

import torch

from losses import identification_loss, ranking_loss, similarity_distribution_loss
from modeling_unipt.configuration_unipt import PROTOTYPE_SIZES, UniPTConfig
from modeling_unipt.modeling_unipt import UniPTModel
from modeling_unipt.user_errors import UserError


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
    """A `UniPTModel` with the identity classifiers that training needs and retrieval does not.

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

    def forward(self, pixel_values, input_ids, attention_mask, person_index):
        """One step's losses: {"loss", "identification_loss", ...}, equation 7.

        Args:
            pixel_values, input_ids, attention_mask: as `UniPTModel` takes; row n of each is a pair.
            person_index: (N,) long, whom pair n shows.
        """
        images = self.model.get_image_features(pixel_values=pixel_values)
        texts = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        pooled = (texts.global_output, images.global_output)
        identification = identification_loss(*map(self.classifier, pooled), person_index)
        matching = self._matching(*pooled, person_index)
        losses = {
            "loss": identification + matching,
            "identification_loss": identification,
            f"{self.arguments.matching_loss}_loss": matching,
        }
        if self.arguments.granularity_loss_weight:
            losses["granularity_loss"] = self._granularity(texts.pooler_output, images.pooler_output, person_index)
            losses["loss"] = losses["loss"] + self.arguments.granularity_loss_weight * losses["granularity_loss"]
        return losses

    def _matching(self, texts, images, person_index):
        if self.arguments.matching_loss == "sdm":
            return similarity_distribution_loss(texts, images, person_index)
        return ranking_loss(texts, images, person_index, self.arguments.margin)

    def _granularity(self, texts, images, person_index):
        """L_pgu, equation 6: a classifier for each prototype's part, their mean; ranking by all parts together."""
        parts = [features.chunk(len(self.prototype_classifiers), dim=-1) for features in (texts, images)]
        identification = [
            identification_loss(classify(text), classify(image), person_index)
            for classify, text, image in zip(self.prototype_classifiers, *parts, strict=True)
        ]
        return sum(identification) / len(identification) + self._matching(texts, images, person_index)
