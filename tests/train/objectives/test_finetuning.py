"""The objective of fine-tuning against its parts written out (paper equations 4 to 7); where prototypes come from."""

import pytest
import torch

from modeling_unipt import UniPTModel
from modeling_unipt.common.user_errors import UserError
from tests.helpers.naive_losses import same_loss_and_gradient, semi_hard_hinges
from tests.helpers.towers import write_dual_encoder
from unipt_train.engine.arguments import parse_arguments
from unipt_train.engine.run_arguments import FinetuneArguments
from unipt_train.objectives.finetuning import FinetuningObjective, with_prototypes
from unipt_train.objectives.losses import similarity_distribution_loss

SIZES = {"num_prototypes": 3, "prototype_dim": 5, "prototype_layers": 1, "prototype_heads": 2}
SIZES |= {"prototype_head_dim": 4, "prototype_mlp_dim": 7}
PERSON = torch.tensor([0, 1])


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    return {
        "pixel_values": torch.randn(2, 3, 96, 32, generator=generator, dtype=torch.float64),
        "input_ids": torch.randint(5, 60, (2, 7), generator=generator),
        "attention_mask": mask,
        "person_index": PERSON,
        "picks": torch.rand(2, 2, generator=generator),
    }


def make(tiny_config, granularity_loss_weight=1.0, **changes):
    torch.manual_seed(0)
    config = tiny_config(**(SIZES if granularity_loss_weight else {}))
    options = {"granularity_loss_weight": granularity_loss_weight, "margin": 1.9} | changes
    return FinetuningObjective(UniPTModel(config), 4, **options).double().eval()


def losses_of(objective, batch):
    return objective.losses(objective(**objective.inputs(batch)), objective.targets(batch))


def naive_losses(objective, batch, gamma):
    """Equations 4 to 7 for a batch of two people, of whom each is the other's only possible negative."""
    model = objective.model
    texts = model.get_text_features(batch["input_ids"], batch["attention_mask"])
    images = model.get_image_features(batch["pixel_values"])

    def l_id(classifier, features):
        return sum(
            -((classifier.weight @ row).exp()[person] / (classifier.weight @ row).exp().sum()).log() / 2
            for modality in features
            for row, person in zip(modality, PERSON, strict=True)
        )

    def l_rk(features):
        return sum(sum(hinges) for hinges in semi_hard_hinges(*features, PERSON, 1.9)) / 2

    pooled = (texts.global_output, images.global_output)
    losses = {"identification_loss": l_id(objective.classifier, pooled), "ranking_loss": l_rk(pooled)}
    losses["loss"] = losses["identification_loss"] + losses["ranking_loss"]
    if gamma:
        unified = (texts.pooler_output, images.pooler_output)
        of_parts = [
            l_id(classifier, [modality[:, 5 * part : 5 * part + 5] for modality in unified])
            for part, classifier in enumerate(objective.prototype_classifiers)
        ]
        losses["granularity_loss"] = sum(of_parts) / 3 + l_rk(unified)
        losses["loss"] = losses["loss"] + gamma * losses["granularity_loss"]
    return losses


@pytest.mark.parametrize("gamma", [0.0, 1.0, 0.5])
def test_the_losses_and_their_gradients_equal_equations_4_to_7(tiny_config, batch, gamma):
    objective = make(tiny_config, granularity_loss_weight=gamma)
    for name, parameter in objective.named_parameters():
        if "classifier" in name:
            torch.nn.init.normal_(parameter)  # as if trained: all classes equally likely would hide much
    losses, naive = losses_of(objective, batch), naive_losses(objective, batch, gamma)
    assert set(losses) == set(naive)
    assert naive["ranking_loss"] > 0
    for name in losses:
        torch.testing.assert_close(losses[name], torch.as_tensor(naive[name]), rtol=1e-10, atol=1e-10)
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    same_loss_and_gradient(losses["loss"], naive["loss"], trained)


def test_every_trained_parameter_gets_a_gradient(tiny_config, batch):
    for gamma in (0.0, 1.0):
        objective = make(tiny_config, granularity_loss_weight=gamma)
        losses_of(objective, batch)["loss"].backward()
        without = [name for name, p in objective.named_parameters() if p.requires_grad and p.grad is None]
        assert without == []


def test_sdm_takes_the_place_of_ranking_in_both_parts(tiny_config, batch):
    objective = make(tiny_config, matching_loss="sdm")
    losses = losses_of(objective, batch)
    texts = objective.model.get_text_features(batch["input_ids"], batch["attention_mask"])
    images = objective.model.get_image_features(batch["pixel_values"])
    expected = similarity_distribution_loss(texts.global_output, images.global_output, PERSON)
    torch.testing.assert_close(losses["sdm_loss"], expected)
    assert "ranking_loss" not in losses
    ranked = losses_of(make(tiny_config), batch)
    assert losses["identification_loss"] == ranked["identification_loss"]
    assert losses["granularity_loss"] != ranked["granularity_loss"]


def test_a_model_gets_prototypes_and_keeps_its_weights(tiny_config):
    model = UniPTModel(tiny_config()).half()
    grown = with_prototypes(model, SIZES)
    assert grown.config.embedding_dim == 15 and model.config.num_prototypes == 0
    weights = grown.state_dict()
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value.float()), name
    assert with_prototypes(grown, SIZES) is grown


def test_the_papers_recipe_is_what_the_paper_states():
    recipe = parse_arguments(FinetuneArguments, "", ["--config", "finetune_paper.yaml"])
    assert (recipe.batch_size, recipe.epochs, recipe.weight_decay, recipe.margin) == (64, 60, 0, 0.2)
    assert (recipe.vision_learning_rate, recipe.text_learning_rate, recipe.head_learning_rate) == (1e-4, 1e-5, 1e-4)
    assert (recipe.granularity_loss_weight, recipe.matching_loss, recipe.captions_per_person) == (1, "ranking", 0)
    prototypes = (recipe.num_prototypes, recipe.prototype_layers, recipe.prototype_heads)
    assert prototypes == (6, 2, 6) and recipe.eval_steps > 0
    assert {recipe.prototype_dim, recipe.prototype_head_dim, recipe.prototype_mlp_dim} == {512}


def test_prototypes_of_other_sizes_are_refused(tiny_config):
    grown = with_prototypes(UniPTModel(tiny_config()), SIZES)
    with pytest.raises(
        UserError, match="has prototypes of its own, with prototype_dim 5, not 8; give --prototype-dim 5"
    ):
        with_prototypes(grown, SIZES | {"prototype_dim": 8})
    with pytest.raises(UserError, match="prototype_heads is 0; it must be at least 1"):
        with_prototypes(UniPTModel(tiny_config()), SIZES | {"prototype_heads": 0})
    with pytest.raises(UserError, match="for no prototypes give --granularity-loss-weight 0"):
        with_prototypes(UniPTModel(tiny_config()), SIZES | {"num_prototypes": 0})


@pytest.mark.parametrize("gamma", [0.0, 1.0])
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_dual_encoder_can_be_finetuned(family, gamma, batch, tmp_path):
    """With SigLIP's bias, pooling head and padding, and with prototypes on top of either."""
    start = UniPTModel.from_dual_encoder_pretrained(write_dual_encoder(family, tmp_path), logit_bias_init_value=0.0)
    model = with_prototypes(start, SIZES) if gamma else start
    objective = FinetuningObjective(model, 4, granularity_loss_weight=gamma).double()
    objective.losses(objective(**objective.inputs(batch)), objective.targets(batch))["loss"].backward()
    assert [name for name, p in objective.named_parameters() if p.requires_grad and p.grad is None] == []
