"""load_unipt: a good folder, and one clear sentence for each that is not."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from modeling_unipt import UniPTForPreTraining, UniPTModel, UniPTProcessor, load_unipt
from modeling_unipt.common.user_errors import UserError


@pytest.fixture
def copy(tiny_unipt_folder, tmp_path):
    return shutil.copytree(tiny_unipt_folder, tmp_path / "model")


def refusal(name_or_path, **options):
    with pytest.raises(UserError) as refused:
        load_unipt(name_or_path, **options)
    message = str(refused.value)
    assert "\n" not in message and len(message) < 400
    return message


def test_a_saved_model_loads_ready_for_use(tiny_unipt_folder):
    model, processor = load_unipt(tiny_unipt_folder)
    assert type(model) is UniPTModel and type(processor) is UniPTProcessor
    assert not model.training


def test_a_pretraining_folder_loads_as_either_class(tiny_config, tiny_processor, tmp_path):
    saved = UniPTForPreTraining(tiny_config())
    saved.save_pretrained(tmp_path)
    tiny_processor.save_pretrained(tmp_path)
    assert type(load_unipt(tmp_path, model_class=UniPTForPreTraining)[0]) is UniPTForPreTraining
    encoders = load_unipt(tmp_path)[0]
    assert torch.equal(encoders.visual_projection.weight, saved.unipt.visual_projection.weight)


def test_an_encoder_folder_is_not_a_pretraining_one(tiny_unipt_folder):
    assert "mlm_head" in refusal(tiny_unipt_folder, model_class=UniPTForPreTraining)


def test_a_clip_folder_is_not_unipt(tiny_clip_folder):
    assert "holds a clip model, not UniPT" in refusal(tiny_clip_folder)


def test_a_folder_that_does_not_exist(tmp_path):
    assert refusal(tmp_path / "gone") == f"model folder {tmp_path / 'gone'} does not exist"


def test_a_folder_of_something_else(tmp_path):
    assert "holds no config.json" in refusal(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"0")
    assert "is a file" in refusal(tmp_path / "weights.bin")


def test_a_name_that_cannot_be_fetched():
    message = refusal("nobody/nothing-of-that-name")
    assert message.startswith("model nobody/nothing-of-that-name is neither a folder here nor")


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "unipt", "pooling": "median"}'])
def test_a_damaged_configuration(copy, text):
    (copy / "config.json").write_text(text)
    assert "configuration" in refusal(copy)


def test_missing_weights(copy):
    (copy / "model.safetensors").unlink()
    assert "weights" in refusal(copy)


def test_truncated_weights(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    assert "weights" in refusal(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_model_whose_files_git_lfs_or_a_server_replaced(copy, name):
    (copy / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    assert f"{copy / name} is a Git LFS pointer to a file of 12,345 bytes" in refusal(copy)
    (copy / name).write_text("<!doctype html><title>Sign in</title>")
    assert f'{copy / name} is a log-in page ("Sign in"), not the file itself' in refusal(copy)


def test_weights_with_a_tensor_missing(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert "1 are missing or of another shape, the first visual_projection.weight" in refusal(copy)


def test_weights_of_another_size(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "projection_dim": 12}))
    assert "missing or of another shape" in refusal(copy)


def test_missing_processor(copy):
    (copy / "processor_config.json").unlink()
    assert "processor" in refusal(copy)
    (copy / "tokenizer.json").unlink()
    assert "processor" in refusal(copy)
