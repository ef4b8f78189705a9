"""Full-size architectures, randomly initialised, in Hub layout: the names on the Hub are all that differs."""

import json
import math
import os
import subprocess
import sys

import pytest

import modeling_unipt
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

pytestmark = pytest.mark.slow


def run(*command):
    finished = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """Folders as google/vit-base-patch16-224 and -384, facebook/deit-small-patch16-224, google-bert/bert-base-uncased
    and openai/clip-vit-base-patch16 have them; tokenizers have fewer words."""
    import torch
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        CLIPVisionConfig,
        DeiTConfig,
        DeiTModel,
        ViTConfig,
        ViTModel,
    )

    from unipt_train.data.tokenizers import bert_tokenizer, clip_tokenizer, corpus

    folder = tmp_path_factory.mktemp("full-size")
    torch.manual_seed(0)
    small = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
    ViTModel(ViTConfig()).save_pretrained(folder / "vit-base-patch16-224")
    ViTModel(ViTConfig(image_size=384)).save_pretrained(folder / "vit-base-patch16-384")
    DeiTModel(DeiTConfig(**small)).save_pretrained(folder / "deit-small-patch16-224")
    BertForMaskedLM(BertConfig()).save_pretrained(folder / "bert-base-uncased")
    bert_tokenizer(corpus(), max_length=512).save_pretrained(folder / "bert-base-uncased")
    tokenizer = clip_tokenizer(corpus())
    config = CLIPConfig(vision_config=CLIPVisionConfig(patch_size=16).to_dict(), projection_dim=512)
    config.text_config.eos_token_id = tokenizer.eos_token_id
    CLIPModel(config).save_pretrained(folder / "clip-vit-base-patch16")
    processor = CLIPProcessor(image_processor=CLIPImageProcessor(), tokenizer=tokenizer)
    processor.save_pretrained(folder / "clip-vit-base-patch16")
    return folder


@pytest.fixture(scope="module")
def pseudo_texts(full_size, tmp_path_factory):
    """LUPerson-T of eight images, built with a full-size CLIP ViT-B/16."""
    folder = tmp_path_factory.mktemp("crops")
    for index in range(8):
        draw_person(index, height=256, width=96).save(folder / f"{index}.jpg")
    output = tmp_path_factory.mktemp("data") / "luperson-t"
    run("-m", "dataset_builders.luperson_t", "--images", folder, "--scorer", full_size / "clip-vit-base-patch16",
        "--output", output)  # fmt: skip
    return output


def test_the_builder_runs_with_clip_vit_b_16(pseudo_texts):
    import datasets

    rows = datasets.load_dataset(str(pseudo_texts), split="train")
    assert len(rows) == 8
    assert all(caption.endswith(".") for row in rows for caption in row["captions"])


@pytest.mark.parametrize("vision", ["vit-base-patch16-224", "clip-vit-base-patch16"])
def test_pretraining_starts_from_full_size_encoders(vision, full_size, pseudo_texts, tmp_path):
    from transformers import AutoModel

    output = tmp_path / "unipt"
    run("train/pretrain.py", "--vision_model", full_size / vision, "--text_model", full_size / "bert-base-uncased",
        "--dataset", pseudo_texts, "--output_dir", output, "--batch_size", 4, "--max_steps", 1, "--log_steps", 1,
        "--save_steps", 0)  # fmt: skip
    (log,) = json.loads((output / "training_log.json").read_text())
    assert log["contrastive_loss"] == pytest.approx(1.386, abs=0.4)  # log 4, for a scale of 1
    assert isinstance(AutoModel.from_pretrained(output), modeling_unipt.UniPTModel)


@pytest.mark.parametrize("vision", ["deit-small-patch16-224", "vit-base-patch16-384"])
@pytest.mark.parametrize("recipe", ["paper", "best"])
def test_the_full_size_recipes_run(recipe, vision, full_size, tmp_path):
    """From the sample dataset, as a lab would start them: only where the encoders are, and how much, is overridden."""
    from transformers import AutoModel, AutoProcessor

    output = tmp_path / "unipt"
    run("-m", "accelerate.commands.launch", "--cpu", "train/pretrain.py", "--config", f"pretrain_{recipe}.yaml",
        "--vision_model", full_size / vision, "--text_model", full_size / "bert-base-uncased",
        "--dataset", "luperson-t", "--output_dir", output, "--batch_size", 4, "--max_steps", 3, "--log_steps", 1,
        "--save_steps", 0)  # fmt: skip
    log = json.loads((output / "training_log.json").read_text())
    assert [row["step"] for row in log] == [1, 2, 3]
    parts = {"contrastive_loss", "mlm_loss"} | ({"attribute_loss"} if recipe == "best" else set())
    for row in log:
        assert parts <= set(row) and all(math.isfinite(value) for value in row.values())
        assert row["loss"] == pytest.approx(sum(row[name] for name in parts), abs=1e-4)
        assert row["mlm_loss"] == pytest.approx(math.log(30522), abs=1)  # of random weights
    if recipe == "paper":  # scale 1, so cosines differ by at most 2
        assert log[0]["contrastive_loss"] == pytest.approx(math.log(4), abs=0.4)
    wanted = {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "training_log.json"}
    assert wanted | {"loss_curve.png", "build_settings.json"} <= set(os.listdir(output))
    assert not (tmp_path / "unipt.partial").exists() and not (output / "checkpoints").exists()

    model, processor = AutoModel.from_pretrained(output), AutoProcessor.from_pretrained(output)
    inputs = processor(text=["a man in a red coat"], images=[draw_person(0)], return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 384, 128)
    outputs = model(**inputs)
    assert outputs.text_embeds.shape == outputs.image_embeds.shape == (1, 768)
    assert outputs.logits_per_text.isfinite().all()
    assert model.config.learnable_logit_scale == (recipe == "best")
    assert processor.tokenizer.model_max_length == 100
    assert isinstance(model, modeling_unipt.UniPTModel)


def test_the_papers_fine_tuning_runs_at_full_size(full_size, tmp_path):
    """With the granularity unification of LGUR's size, chosen on the validation people of a rendered benchmark."""
    from transformers import AutoModel, AutoProcessor

    run("-m", "dataset_builders.synthetic_pedestrians", "--output", tmp_path / "rendered", "--identities", 10,
        "--views", 4, "--seed", 5, "--layout", "cuhk-pedes", "--test-identities", 2, "--val-identities", 2)  # fmt: skip
    run("-m", "dataset_builders.benchmarks", "cuhk-pedes", "--source", tmp_path / "rendered", "--output",
        tmp_path / "cuhk-pedes", "--allow-partial")  # fmt: skip
    run("train/pretrain.py", "--config", "pretrain_paper.yaml", "--vision_model", full_size / "deit-small-patch16-224",
        "--text_model", full_size / "bert-base-uncased", "--dataset", "luperson-t", "--output_dir", tmp_path / "unipt",
        "--max_steps", 0)  # fmt: skip
    output = tmp_path / "finetuned"
    run("-m", "accelerate.commands.launch", "--cpu", "train/finetune.py", "--config", "finetune_paper.yaml", "--model",
        tmp_path / "unipt", "--dataset", tmp_path / "cuhk-pedes", "--output_dir", output, "--batch_size", 4,
        "--max_steps", 3, "--log_steps", 1, "--eval_steps", 3)  # fmt: skip
    log = json.loads((output / "training_log.json").read_text())
    parts = ("identification_loss", "ranking_loss", "granularity_loss")
    for row in log:
        assert row["loss"] == pytest.approx(sum(row[name] for name in parts), abs=1e-4)
        assert row["identification_loss"] == pytest.approx(2 * math.log(6), abs=0.5)  # of six people, not yet learned
    assert json.loads((output / "validation.json").read_text())["split"] == "val"
    model, processor = AutoModel.from_pretrained(output), AutoProcessor.from_pretrained(output)
    inputs = processor(text=["a man in a red coat"], images=[draw_person(0)], return_tensors="pt")
    assert model(**inputs).text_embeds.shape == (1, 6 * 512)
