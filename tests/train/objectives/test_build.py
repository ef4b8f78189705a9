"""What pre-training starts from: towers of every family, whole models, their tokenizers, and what is refused."""

import dataclasses
import logging

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForPreTraining, AutoProcessor, BertConfig, SwinConfig, T5Config

from modeling_unipt.common.user_errors import UserError
from tests.helpers.people import ENCODER, draw_person
from tests.helpers.towers import (
    SENTENCES,
    TEXT,
    VISION,
    siglip_1_tokenizer,
    write_dual_encoder,
    write_text_tower,
    write_vision_tower,
)
from unipt_train.data.batches import Collator
from unipt_train.data.masking import mask_whole_words
from unipt_train.objectives.build import ModelOptions, build_model
from unipt_train.objectives.pretraining import PretrainingObjective

OPTIONS = ModelOptions(
    model=None,
    vision_model=None,
    text_model=None,
    random_init=False,
    image_height=96,
    image_width=32,
    max_text_tokens=100,
    projection_dim=24,
    logit_scale=10.0,
    learnable_logit_scale=True,
    contrastive_loss="softmax",
    mlm_loss_weight=1.0,
)


# Of different lengths, and short enough for every tokenizer.
TEXTS = ["a young man in a red coat", "a woman", "the child wears a cap"]


def options(**changes):
    return dataclasses.replace(OPTIONS, **changes)


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    """A function giving the folder of the tower of a family, written once."""
    root = tmp_path_factory.mktemp("towers")
    write = {"vision": write_vision_tower, "text": write_text_tower, "dual": write_dual_encoder}

    def folder(side, family):
        path = root / f"{side}-{family}"
        return str(path) if path.exists() else str(write[side](family, path))

    return folder


def make_batch(processor, masked=True):
    """Three pairs as the loader makes them."""
    tokenizer = processor.tokenizer
    samples = []
    for number, sentence in enumerate(TEXTS):
        encoding = tokenizer(sentence, truncation=True, max_length=tokenizer.model_max_length)
        sample = {"input_ids": encoding["input_ids"]}
        if masked:
            ids, labels = mask_whole_words(encoding, tokenizer, np.random.default_rng(number))
            sample |= {"mlm_input_ids": ids, "mlm_labels": labels}
        sample["pixel_values"] = processor(images=[draw_person(number)], return_tensors="pt")["pixel_values"][0]
        samples.append(sample)
    return Collator(tokenizer.pad_token_id)(samples)


def train_two_steps(model, batch):
    """Two steps; every parameter that could learn must get a gradient, or DDP would wait for it."""
    objective = PretrainingObjective(model.train())
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-3)
    for _ in range(2):
        losses = objective.losses(objective(**objective.inputs(batch)), objective.targets(batch))
        assert all(torch.isfinite(loss) for loss in losses.values())
        optimizer.zero_grad()
        losses["loss"].backward()
        without = [name for name, value in objective.named_parameters() if value.requires_grad and value.grad is None]
        assert without == []
        optimizer.step()
    model.eval()


def embeddings(model, batch):
    with torch.no_grad():
        texts = model.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output
        return texts, model.get_image_features(batch["pixel_values"]).pooler_output


def assert_padding_changes_nothing(model, batch, pad_token_id):
    texts, _ = embeddings(model, batch)
    shortest = int(batch["attention_mask"].sum(dim=1).argmin())
    length = int(batch["attention_mask"][shortest].sum())
    assert length < batch["input_ids"].shape[1]
    with torch.no_grad():
        alone = model.get_text_features(
            batch["input_ids"][shortest : shortest + 1, :length], torch.ones(1, length, dtype=torch.long)
        ).pooler_output
    torch.testing.assert_close(alone[0], texts[shortest], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("vision", "text"), [*((family, "bert") for family in VISION), *(("vit", family) for family in TEXT[1:])]
)
def test_a_tower_learns_is_saved_and_loads_through_auto_classes(vision, text, tower, tmp_path):
    torch.manual_seed(0)
    model, processor = build_model(options(vision_model=tower("vision", vision), text_model=tower("text", text)))
    assert model.config.text_pooling == ("last" if text == "qwen3" else "max")
    batch = make_batch(processor)
    train_two_steps(model, batch)
    assert_padding_changes_nothing(model, batch, processor.tokenizer.pad_token_id)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert AutoProcessor.from_pretrained(tmp_path).tokenizer.mask_token_id == processor.tokenizer.mask_token_id
    for loaded in (AutoModel.from_pretrained(tmp_path), AutoModelForPreTraining.from_pretrained(tmp_path)):
        for mine, theirs in zip(embeddings(model, batch), embeddings(loaded, batch), strict=True):
            assert torch.equal(mine, theirs)
    assert loaded.mlm_head.decoder.weight is loaded.get_input_embeddings().weight


@pytest.mark.parametrize("family", VISION)
def test_a_tower_keeps_its_tokens(family, tower):
    """The tokens that are pooled are those that the encoder itself gives, normalised and without registers."""
    model, _ = build_model(options(vision_model=tower("vision", family), text_model=tower("text", "bert")))
    own = AutoModel.from_pretrained(tower("vision", family)).eval()
    own = getattr(own, "vision_model", own)
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = own(pixel_values=pixels).last_hidden_state
        found = model.get_image_features(pixels).last_hidden_state
        if family == "clip":
            wanted = own.post_layernorm(wanted)
        if family == "beit":
            wanted = own.pooler.layernorm(wanted)
    registers = wanted.shape[1] - found.shape[1]
    assert registers == {"dinov2-registers": 4, "dinov3": 4}.get(family, 0)
    if registers:
        wanted = torch.cat([wanted[:, :1], wanted[:, 5:]], dim=1)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "modernbert"])
def test_the_head_for_words_comes_from_the_checkpoint(family, tower):
    """Its logits for a text are those of the checkpoint's own class."""
    from transformers import AutoModelForMaskedLM

    model, processor = build_model(options(vision_model=tower("vision", "vit"), text_model=tower("text", family)))
    own = AutoModelForMaskedLM.from_pretrained(tower("text", family)).eval()
    inputs = processor.tokenizer(SENTENCES[0], return_tensors="pt", truncation=True, max_length=30)
    ids = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    with torch.no_grad():
        found = model.mlm_head(model.get_text_features(**ids).last_hidden_state)
        torch.testing.assert_close(found, own(**ids).logits, atol=2e-5, rtol=1e-4)
    assert not any(name.startswith(("mlm_head", "unipt.text_model")) for name in model.newly_initialised)
    assert "unipt.text_projection.weight" in model.newly_initialised


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_dual_encoder_taken_as_it_is_gives_its_own_embeddings(family, loss, tower, caplog):
    from transformers import AutoModel, AutoProcessor

    name = tower("dual", family)
    with caplog.at_level(logging.INFO):
        model, processor = build_model(options(model=name, image_height=None, image_width=None, contrastive_loss=loss))
    own = AutoModel.from_pretrained(name).eval()
    own_processor = AutoProcessor.from_pretrained(name)
    pixels = processor(images=[draw_person(n, 64, 64) for n in range(3)], return_tensors="pt")["pixel_values"]
    assert torch.equal(
        pixels,
        own_processor.image_processor([draw_person(n, 64, 64) for n in range(3)], return_tensors="pt")["pixel_values"],
    )
    ours = processor(text=TEXTS, return_tensors="pt")
    # SigLIP is given no mask and texts of full length, as its own processor makes them.
    padding = {"padding": "max_length", "max_length": 40} if family == "siglip" else {"padding": True}
    theirs = own_processor.tokenizer(TEXTS, return_tensors="pt", truncation=True, **padding)
    if family == "siglip":
        theirs = {"input_ids": theirs["input_ids"]}
    with torch.no_grad():
        wanted = own(**theirs, pixel_values=pixels)
        found = model.unipt(**ours, pixel_values=pixels)
    torch.testing.assert_close(found.text_embeds, wanted.text_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.image_embeds, wanted.image_embeds, atol=1e-5, rtol=0)
    logits = wanted.logits_per_text
    if family == "siglip" and loss == "softmax":
        assert "logit bias" in caplog.text and model.unipt.logit_bias is None
        logits = logits - own.logit_bias
    if family == "clip" and loss == "sigmoid":
        logits = logits - 10
    torch.testing.assert_close(found.logits_per_text, logits, atol=1e-4, rtol=0)
    batch = make_batch(processor)
    assert_padding_changes_nothing(model, batch, processor.tokenizer.pad_token_id)
    train_two_steps(model, batch)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_dual_encoder_survives_saving(loss, tower, tmp_path):
    model, processor = build_model(options(model=tower("dual", "siglip"), contrastive_loss=loss))
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, processor_again = build_model(options(model=str(tmp_path), contrastive_loss=loss))
    batch = make_batch(processor)
    for mine, theirs in zip(embeddings(model, batch), embeddings(again, batch), strict=True):
        assert torch.equal(mine, theirs)
    assert (again.unipt.logit_bias is None) == (loss == "softmax")
    assert processor_again.image_processor.size == {"height": 96, "width": 32}


def test_words_are_masked_whole_though_the_tokenizer_sees_one_word(tower):
    tokenizer = AutoProcessor.from_pretrained(tower("dual", "siglip")).tokenizer
    encoding = tokenizer(SENTENCES[0])
    assert set(encoding.word_ids()) == {0}
    words = SENTENCES[0].split()
    masked_words = set()
    for seed in range(20):
        _, labels = mask_whole_words(encoding, tokenizer, np.random.default_rng(seed))
        hidden = "".join(
            token if label != -100 else "_" for token, label in zip(encoding.tokens(), labels, strict=True)
        )
        found = [word.strip("_") for word in hidden.replace("\u2581", " ").split() if word.strip("_")]
        assert 0 < len(found) < len(words) and set(found) <= set(words)
        masked_words |= set(found)
    assert len(masked_words) > 5


def test_a_tokenizer_without_a_mask_gets_one_and_the_model_an_embedding(tower, tmp_path):
    model, processor = build_model(options(model=tower("dual", "clip")))
    before = AutoModel.from_pretrained(tower("dual", "clip")).text_model.get_input_embeddings().weight
    after = model.get_input_embeddings().weight
    assert processor.tokenizer.mask_token_id == len(before) and len(after) == len(before) + 1
    assert torch.equal(after[:-1], before)
    assert model.mlm_head.decoder.weight is after and len(model.mlm_head.decoder.bias) == len(after)
    assert model.config.text_config.vocab_size == len(after)
    plain, processor = build_model(options(model=tower("dual", "clip"), mlm_loss_weight=0.0))
    assert processor.tokenizer.mask_token is None and len(plain.get_input_embeddings().weight) == len(before)


def test_a_unipt_folder_keeps_its_scale_pooling_and_size(tiny_config, tiny_processor, tmp_path):
    from modeling_unipt import UniPTModel

    start = UniPTModel(tiny_config(pooling="mean", logit_scale_init_value=1.5))
    start.save_pretrained(tmp_path)
    tiny_processor.save_pretrained(tmp_path)
    model, processor = build_model(options(model=str(tmp_path), image_height=None, image_width=None))
    assert (model.config.vision_pooling, model.config.text_pooling) == ("mean", "mean")
    assert model.unipt.logit_scale.item() == 1.5
    assert processor.image_processor.size == {"height": 96, "width": 32}
    for name, weight in start.state_dict().items():
        assert torch.equal(model.unipt.state_dict()[name], weight), name
    assert all(name.startswith("mlm_head.") for name in model.newly_initialised)


def test_images_are_normalised_as_the_vision_encoder_was_trained(tower, tmp_path):
    _, processor = build_model(options(vision_model=tower("vision", "clip"), text_model=tower("text", "bert")))
    assert processor.image_processor.image_mean == pytest.approx([0.4814, 0.4578, 0.4082], abs=1e-3)
    _, processor = build_model(options(vision_model=tower("vision", "vit"), text_model=tower("text", "bert")))
    assert list(processor.image_processor.image_mean) == [0.5, 0.5, 0.5]


def test_a_text_is_cut_where_the_positions_of_its_encoder_end(tower):
    _, processor = build_model(options(vision_model=tower("vision", "vit"), text_model=tower("text", "roberta")))
    assert processor.tokenizer.model_max_length == 40
    long_text = processor(text=["long coat " * 40], return_tensors="pt")
    assert long_text["input_ids"].shape[1] == 40


@pytest.mark.parametrize("family", ["dinov2", "dinov3", "clip", "siglip", "beit"])
def test_random_towers_of_every_family_begin(family, tower):
    torch.manual_seed(0)
    model, processor = build_model(
        options(vision_model=tower("vision", family), text_model=tower("text", "qwen3"), random_init=True)
    )
    train_two_steps(model, make_batch(processor))
    assert model.newly_initialised is None


def test_siglip_1s_tokenizer_trains_without_masked_words_only(tmp_path):
    folder = write_dual_encoder("siglip", tmp_path / "siglip")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    siglip_1_tokenizer(tmp_path).save_pretrained(folder)
    with pytest.raises(UserError, match="does not tell which tokens belong to one word.*--mlm-loss-weight 0"):
        build_model(options(model=str(folder)))
    model, processor = build_model(options(model=str(folder), mlm_loss_weight=0.0))
    assert not processor.tokenizer.is_fast and model.config.text_config.pad_token_id == 1
    batch = make_batch(processor, masked=False)
    train_two_steps(model, batch)
    assert_padding_changes_nothing(model, batch, 1)


class TestRefusals:
    """What cannot be used is refused in one sentence that names the model."""

    def refused(self, **changes):
        with pytest.raises(UserError) as refusal:
            build_model(options(**changes))
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    @pytest.fixture
    def swin(self, tmp_path):
        SwinConfig().save_pretrained(tmp_path / "swin")
        return str(tmp_path / "swin")

    @pytest.mark.parametrize("random_init", [False, True])
    def test_an_image_encoder_of_another_kind(self, swin, tower, random_init):
        told = self.refused(vision_model=swin, text_model=tower("text", "bert"), random_init=random_init)
        assert "'swin'" in told and swin in told and "dinov2" in told

    def test_a_text_encoder_of_another_kind(self, tower, tmp_path):
        T5Config(vocab_size=10, d_model=8, d_ff=8, d_kv=4, num_heads=2, num_layers=1).save_pretrained(tmp_path)
        write_text_tower("bert", tmp_path / "bert")
        (tmp_path / "bert" / "config.json").write_text((tmp_path / "config.json").read_text())
        told = self.refused(vision_model=tower("vision", "vit"), text_model=str(tmp_path / "bert"))
        assert "'t5'" in told and "modernbert" in told

    @pytest.mark.parametrize("family", ["vit", "siglip"])
    def test_towers_the_wrong_way_round(self, family, tower):
        told = self.refused(vision_model=tower("text", "bert"), text_model=tower("vision", family))
        assert "'bert'" in told

    def test_a_model_that_is_no_dual_encoder(self, tower):
        assert "'vit'" in self.refused(model=tower("vision", "vit"))

    def test_siglip_2_of_variable_size(self, tmp_path):
        from transformers import Siglip2Config

        Siglip2Config().save_pretrained(tmp_path)
        assert "'siglip2'" in self.refused(model=str(tmp_path)) and "fixed size" in self.refused(model=str(tmp_path))

    def test_a_model_that_does_not_exist(self, tmp_path):
        assert "does not exist" in self.refused(model=str(tmp_path / "nowhere"))
        told = self.refused(vision_model=str(tmp_path / "nowhere"), text_model=str(tmp_path / "nothing"))
        assert "cannot both be loaded" in told

    def test_weights_that_are_missing(self, tmp_path):
        BertConfig(vocab_size=50, **ENCODER).save_pretrained(tmp_path)
        assert "cannot" in self.refused(vision_model=str(tmp_path), text_model=str(tmp_path))

    def test_a_damaged_file(self, tower, tmp_path):
        folder = write_dual_encoder("clip", tmp_path / "clip")
        (folder / "model.safetensors").write_bytes(b"no tensors")
        assert "cannot be" in self.refused(model=str(folder))

    @pytest.mark.parametrize("whole", [False, True])
    def test_images_that_patches_do_not_divide(self, whole, tower):
        encoders = {"vision_model": tower("vision", "dinov2"), "text_model": tower("text", "bert")}
        start = {"model": tower("dual", "clip")} if whole else encoders
        told = self.refused(**start, image_height=100, image_width=33)
        assert told.startswith("--image-height and --image-width: ") and told.endswith("such as 96 x 32")
