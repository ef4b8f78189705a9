"""The option --dtype: which number format a name means on which device, and what computes in it."""

import numpy as np
import pytest
import torch

from modeling_unipt import load_unipt
from modeling_unipt.common.number_formats import DTYPES
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.embedding import embed_images, embed_texts
from modeling_unipt.loading import load_model
from modeling_unipt.precision import computing_in, pick_dtype
from tests.helpers.people import draw_person

TEXTS = ["a young man in a red coat", "an old woman with long hair", "the child wears a cap"]
IMAGES = [draw_person(seed) for seed in range(3)]
CPU = torch.device("cpu")
GPU = torch.device("cuda")


@pytest.mark.parametrize("native, wanted", [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_where_a_gpu_has_it(native, wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    assert pick_dtype("auto", GPU) == wanted
    assert pick_dtype("auto", CPU) == torch.float32


@pytest.mark.parametrize("name", [name for name in DTYPES if name != "auto"])
def test_a_named_format_is_taken_everywhere(name):
    assert str(pick_dtype(name, GPU)) == str(pick_dtype(name, CPU)) == f"torch.{name}"


def test_another_name_is_refused():
    with pytest.raises(UserError, match="dtype is 'bf16'; it must be one of auto, float32, bfloat16, float16"):
        pick_dtype("bf16", CPU)


def test_float32_is_tensorfloat_32_on_a_gpu_and_only_within():
    assert torch.get_float32_matmul_precision() == "highest"
    with computing_in(torch.float32, CPU):
        assert torch.get_float32_matmul_precision() == "highest"
    with pytest.raises(RuntimeError, match="within"), computing_in(torch.float32, GPU):
        assert torch.get_float32_matmul_precision() == "high"
        raise RuntimeError("within")
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.fixture(scope="module")
def model_and_processor(tiny_unipt_folder):
    return load_unipt(tiny_unipt_folder)


def embedded(model_and_processor, dtype):
    """(6, 24): three texts and three images."""
    texts = embed_texts(*model_and_processor, TEXTS, dtype=dtype)
    return np.concatenate([texts, embed_images(*model_and_processor, IMAGES, dtype=dtype)])


def test_on_a_cpu_auto_is_float32_to_the_last_digit(model_and_processor):
    assert embedded(model_and_processor, "auto").tobytes() == embedded(model_and_processor, "float32").tobytes()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_matrices_are_multiplied_in_the_format_and_embeddings_are_float32(model_and_processor, dtype):
    model, _ = model_and_processor
    seen = set()
    projections = (model.visual_projection, model.text_projection)
    hooks = [part.register_forward_hook(lambda module, given, found: seen.add(found.dtype)) for part in projections]
    half = embedded(model_and_processor, dtype)
    for hook in hooks:
        hook.remove()
    assert seen == {getattr(torch, dtype)}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    whole = embedded(model_and_processor, "float32")
    assert half.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
    cosines = (half * whole).sum(axis=1)
    assert cosines.min() > 0.999 and not np.array_equal(half, whole)


def test_weights_of_half_precision_are_loaded_to_compute_in_float32(tiny_unipt_folder, tmp_path):
    model, processor = load_unipt(tiny_unipt_folder)
    model.half().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, _ = load_model(tmp_path, device="cpu")
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
