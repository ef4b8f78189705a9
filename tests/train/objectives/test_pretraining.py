"""The losses of pre-training, against what they should be by hand."""

import math

import pytest
import torch

from modeling_unipt.modeling_unipt import UniPTForPreTraining, contrastive_loss
from unipt_train.objectives.pretraining import PretrainingObjective, log_weights_of_negatives


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return UniPTForPreTraining(tiny_config()).eval()


@pytest.fixture
def batch(tiny_processor):
    texts = ["a young man in a red coat", "an old woman", "the child wears shorts"]
    encoded = tiny_processor.tokenizer(texts, padding=True, return_tensors="pt")
    labels = torch.full_like(encoded["input_ids"], -100)
    labels[:, 1] = encoded["input_ids"][:, 1]
    masked = encoded["input_ids"].clone()
    masked[:, 1] = tiny_processor.tokenizer.mask_token_id
    return {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "pixel_values": torch.randn(3, 3, 96, 32, generator=torch.Generator().manual_seed(0)),
        "mlm_input_ids": masked,
        "mlm_labels": labels,
    }


def objective(model, **options):
    """A function of a whole batch to its losses."""
    made = PretrainingObjective(model, **options)
    return lambda **batch: made.losses(made(**made.inputs(batch)), made.targets(batch))


def test_each_encoder_is_run_once(model, batch):
    passes = []
    for name in ("text_model", "vision_model"):
        getattr(model.unipt, name).register_forward_hook(lambda *_, name=name: passes.append(name))
    objective(model)(**batch)
    assert sorted(passes) == ["text_model", "vision_model"]


def written_out(texts, images, scale, weights, nll, masked, beta):
    """Equations 1 to 3 by loops over pairs; a negative (i, j) counts ``weights[i][j]``, 1 in the paper."""
    count, contrastive = len(texts), 0.0

    def cosine(a, b):
        return scale * (a @ b) / (a.norm() * b.norm())

    for n in range(count):
        positive = torch.exp(cosine(images[n], texts[n]))
        of_image = sum(weights[i][n] * torch.exp(cosine(images[n], texts[i])) for i in range(count))
        of_text = sum(weights[n][i] * torch.exp(cosine(texts[n], images[i])) for i in range(count))
        contrastive = contrastive - (torch.log(positive / of_image) + torch.log(positive / of_text)) / (2 * count)
    return contrastive + beta * sum(nll) / sum(masked)


@pytest.mark.parametrize("beta", [0.5, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_and_gradients_equal_equations_1_to_3_written_out(tiny_config, beta, weighted):
    random = torch.Generator().manual_seed(3)
    made = PretrainingObjective(UniPTForPreTraining(tiny_config(mlm_loss_weight=beta)))
    features = {
        "text_embeds": torch.randn(5, 6, generator=random, dtype=torch.float64),
        "image_embeds": torch.randn(5, 6, generator=random, dtype=torch.float64),
        "logit_scale": torch.full((5,), 2.5, dtype=torch.float64),
        "mlm_nll": torch.rand(5, generator=random, dtype=torch.float64),
    }
    targets, weights = {"masked_tokens": torch.tensor([1, 2, 1, 4, 3])}, torch.ones(5, 5)
    if weighted:
        targets["image_ids"], targets["text_ids"] = torch.tensor([0, 1, 0, 3, 4]), torch.tensor([0, 1, 2, 3, 1])
        for i, j in ((0, 2), (2, 0), (1, 4), (4, 1)):
            weights[i][j] = 0
    ours = {name: rows.clone().requires_grad_() for name, rows in features.items()}
    theirs = {name: rows.clone().requires_grad_() for name, rows in features.items()}
    loss = made.losses(ours, targets)["loss"]
    expected = written_out(
        theirs["text_embeds"], theirs["image_embeds"], theirs["logit_scale"].mean(), weights, theirs["mlm_nll"],
        [1, 2, 1, 4, 3], beta,
    )  # fmt: skip
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    for name in features:
        torch.testing.assert_close(ours[name].grad, theirs[name].grad, rtol=1e-8, atol=1e-12)


def test_without_options_it_is_the_models_own_loss(model, batch):
    losses, output = objective(model)(**batch), model(**batch)
    for name in ("loss", "contrastive_loss", "mlm_loss"):
        torch.testing.assert_close(losses[name], output[name])


def test_without_masked_text_there_is_no_mlm_loss(model, batch):
    losses = objective(model)(**{name: value for name, value in batch.items() if not name.startswith("mlm")})
    assert set(losses) == {"loss", "contrastive_loss"}


def test_with_weight_0_the_masked_text_is_not_even_read(tiny_config, batch):
    model = UniPTForPreTraining(tiny_config(mlm_loss_weight=0.0)).eval()
    passes = []
    model.unipt.text_model.register_forward_hook(lambda *_: passes.append(1))
    losses = objective(model)(**batch)
    assert set(losses) == {"loss", "contrastive_loss"} and len(passes) == 1
    losses["loss"].backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_masked_contrast_is_the_contrast_of_the_masked_text_in_one_pass(model, batch):
    passes = []
    model.unipt.text_model.register_forward_hook(lambda *_: passes.append(1))
    losses = objective(model, mask_contrast=True)(**batch)
    assert len(passes) == 1
    output = model(**{**batch, "input_ids": batch["mlm_input_ids"]})
    torch.testing.assert_close(losses["loss"], output.loss)


def test_a_scale_above_100_becomes_100_and_still_has_a_gradient(tiny_config, batch):
    """Random embeddings want a smaller scale. Clamped in the forward alone, one above 100 would get no gradient."""
    torch.manual_seed(0)
    model = UniPTForPreTraining(tiny_config()).eval()
    with torch.no_grad():
        model.unipt.logit_scale.fill_(5.0)
    made = PretrainingObjective(model)
    made.keep_in_bounds()
    assert float(model.unipt.logit_scale.detach().exp()) == pytest.approx(100, rel=1e-6)
    losses = made.losses(made(**made.inputs(batch)), made.targets(batch))
    losses["loss"].backward()
    assert float(model.unipt.logit_scale.grad) > 0.1
    before = float(model.unipt.logit_scale.detach())
    made.keep_in_bounds()
    assert float(model.unipt.logit_scale.detach()) == before


def test_a_fixed_scale_has_the_same_bound(tiny_config):
    model = UniPTForPreTraining(tiny_config(logit_scale_init_value=math.log(50), learnable_logit_scale=False))
    made = PretrainingObjective(model)
    made.keep_in_bounds()
    assert float(model.unipt.similarity_scale()) == pytest.approx(50)
    model.unipt.logit_scale.fill_(math.log(200))
    made.keep_in_bounds()
    assert float(model.unipt.logit_scale.exp()) == pytest.approx(100)


def test_the_scale_of_a_sigmoid_loss_has_no_bound(tiny_config):
    model = UniPTForPreTraining(tiny_config(logit_bias_init_value=-12.9))
    with torch.no_grad():
        model.unipt.logit_scale.fill_(math.log(117))
    PretrainingObjective(model).keep_in_bounds()
    assert float(model.unipt.logit_scale.detach().exp()) == pytest.approx(117)


def test_repeats_are_no_negatives(model, batch):
    ids = {"image_ids": torch.tensor([1, 2, 1]), "text_ids": torch.tensor([5, 6, 7])}
    losses = objective(model)(**batch, **ids)
    output = model(**batch)
    scale = model.unipt.similarity_scale()
    expected = contrastive_loss(output.text_embeds, output.image_embeds, scale, image_ids=ids["image_ids"])
    torch.testing.assert_close(losses["contrastive_loss"], expected)


def test_weights_of_negatives():
    truth = torch.tensor([[0.9, 0.25], [0.5, 0.1]]).log()
    weights = log_weights_of_negatives(truth, None).exp()
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.75], [0.5, 1.0]]))
    same_text = log_weights_of_negatives(truth, torch.tensor([3, 3])).exp()
    torch.testing.assert_close(same_text, torch.eye(2))


def test_a_certain_match_leaves_the_loss_finite():
    weights = log_weights_of_negatives(torch.zeros(2, 2), None)
    assert torch.isfinite(weights).all() and float(weights[0, 1]) < -10


def test_the_attribute_loss_reaches_both_encoders(model, batch):
    told = torch.eye(3, 5, dtype=torch.bool)
    shown = torch.tensor([[0.5, 0.5, 1.0, 0.0, 0.0]]).repeat(3, 1)
    losses = objective(model, attribute_loss_weight=2.0, fact_sizes=[2, 3])(**batch, told=told, shown=shown)
    rest = losses["contrastive_loss"] + losses["mlm_loss"]
    torch.testing.assert_close(losses["loss"], rest + 2 * losses["attribute_loss"])
    losses["attribute_loss"].backward()
    assert model.unipt.visual_projection.weight.grad.abs().sum() > 0
    assert model.unipt.text_projection.weight.grad.abs().sum() > 0
