"""`unipt export`: the ONNX files give the embeddings of torch, and a mistake ends in a sentence."""

import importlib.util
import json
import re
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import AutoTokenizer

from modeling_unipt import UniPTImageProcessor, UniPTModel, UniPTProcessor
from modeling_unipt.cli import make_parser
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.embedding import embed_images, embed_texts
from modeling_unipt.export import towers
from modeling_unipt.loading import load_unipt
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person
from tests.helpers.towers import LONGEST, write_dual_encoder, write_text_tower, write_vision_tower

TEXTS = ["a man in red", "an old woman with a handbag", "a", "a young man in a red coat and black trousers " * 20]


def export(model, output):
    parsed = make_parser().parse_args(["export", str(model), "--output", str(output)])
    parsed.run(parsed)


def run(path, **inputs):
    # BERT's tokenizer also tells which of two segments a token is of, which is 0 for all tokens of a description.
    inputs.pop("token_type_ids", None)
    (output,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)
    return output


@pytest.fixture(scope="module")
def exported(tiny_unipt_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "onnx"
    export(tiny_unipt_folder, folder)
    return folder


def test_the_files_give_our_embeddings_of_texts_and_images(exported, tiny_unipt_folder):
    model, processor = load_unipt(tiny_unipt_folder)
    # Without torch's model: the exported folder has all that makes the inputs.
    inputs = UniPTProcessor.from_pretrained(exported)(text=TEXTS, return_tensors="np")
    assert inputs["input_ids"].shape == (4, 64)
    found = run(exported / "text_model.onnx", **inputs)
    np.testing.assert_allclose(found, embed_texts(model, processor, TEXTS, dtype="float32"), atol=1e-5)
    images = [draw_person(seed) for seed in range(3)]
    inputs = UniPTProcessor.from_pretrained(exported)(images=images, return_tensors="np")
    found = run(exported / "vision_model.onnx", **inputs)
    np.testing.assert_allclose(found, embed_images(model, processor, images, dtype="float32"), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("count, length", [(1, 1), (1, 9), (7, 2), (3, 64)])
def test_any_number_of_texts_of_any_length(exported, tiny_unipt_folder, count, length):
    ids = torch.arange(count * length).reshape(count, length) % 90 + 5
    mask = torch.ones_like(ids)
    # A text that is nothing but padding is defined, too.
    mask[-1] = count == 1
    with torch.no_grad():
        wanted = towers.TextTower(UniPTModel.from_pretrained(tiny_unipt_folder))(ids, mask).numpy()
    found = run(exported / "text_model.onnx", input_ids=ids.numpy(), attention_mask=mask.numpy())
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert (count == 1) == bool(found[-1].any())


def test_export_json_tells_inputs_outputs_versions_and_difference(exported):
    about = json.loads((exported / "export.json").read_text())
    text = about["files"]["text_model.onnx"]
    vision = about["files"]["vision_model.onnx"]
    assert text["inputs"] == {"input_ids": ["batch", "length"], "attention_mask": ["batch", "length"]}
    assert vision["inputs"] == {"pixel_values": ["batch", 3, 96, 32]}
    assert (text["outputs"], vision["outputs"]) == ({"text_embeds": ["batch", 24]}, {"image_embeds": ["batch", 24]})
    for name, tower in about["files"].items():
        graph = onnx.load(exported / name)
        axes = {}
        for value in (*graph.graph.input, *graph.graph.output):
            axes[value.name] = [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        assert axes == tower["inputs"] | tower["outputs"]
        assert 0 < tower["largest_difference"] < 1e-5
        assert about["opset"] == graph.opset_import[0].version
    assert about["versions"]["torch"] == torch.__version__ and "onnxruntime" in about["versions"]


def test_the_example_of_the_docs_runs_as_printed(exported, tmp_path, monkeypatch, capsys):
    (tmp_path / "unipt-onnx").symlink_to(exported)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    exec(re.search(r"```python\n(.*?)```", page[page.index("## ONNX") :], re.S).group(1), {})
    assert re.fullmatch(r"\[\[[-.\d]+\]\]\n", capsys.readouterr().out)


def test_the_files_tell_nothing_of_this_machine(exported):
    for path in exported.iterdir():
        assert str(ROOT).encode() not in path.read_bytes(), path


def test_a_complete_export_is_left_alone(exported, tiny_unipt_folder, caplog):
    before = {path.name: path.stat().st_mtime_ns for path in exported.iterdir()}
    with caplog.at_level("INFO"):
        export(tiny_unipt_folder, exported)
    assert "already complete" in caplog.text
    assert {path.name: path.stat().st_mtime_ns for path in exported.iterdir()} == before


def test_another_model_is_not_exported_to_the_same_folder(exported):
    with pytest.raises(UserError, match="was made with other settings"):
        export(ROOT / "unipt" / "unipt-tiny", exported)


@pytest.mark.parametrize("difference", [1e-4, float("nan")])
def test_embeddings_that_differ_from_torchs_are_refused(difference, tiny_unipt_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        towers,
        "write_onnx",
        lambda tower, path: onnx.save(onnx.ModelProto(opset_import=[onnx.OperatorSetIdProto(version=1)]), path),
    )
    monkeypatch.setattr(towers, "largest_difference", lambda tower, path: difference)
    with pytest.raises(UserError, match="text_model.onnx of .* differ from torch's by up to"):
        export(tiny_unipt_folder, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_difference_is_that_of_the_numbers(exported, tiny_unipt_folder):
    """The files of one model against another model, which differs in its projections alone."""
    model, processor = load_unipt(tiny_unipt_folder)
    for tower, projection in zip(
        towers.towers(model, processor), (model.text_projection, model.visual_projection), strict=True
    ):
        assert towers.largest_difference(tower, exported / tower.file) < 1e-5
        torch.nn.init.normal_(projection.weight)
        assert towers.largest_difference(tower, exported / tower.file) > 0.1


def test_what_the_exporter_cannot_take_ends_in_a_sentence(tiny_unipt_folder, tmp_path, monkeypatch):
    def fails(*_, **__):
        try:
            raise ValueError("no such operator\nand a long story")
        except ValueError as error:
            raise RuntimeError("step 2 failed") from error

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(UserError, match=r"cannot take this text encoder \(bert\): no such operator$"):
        export(tiny_unipt_folder, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(missing, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))
    with pytest.raises(UserError, match=rf"needs the package {missing}; run `pip install 'unipt\[export\]'`"):
        export("unipt/unipt-tiny", tmp_path / "onnx")


def test_an_unknown_model_and_an_output_of_something_else(tiny_unipt_folder, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        export(tmp_path / "nothing", tmp_path / "onnx")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file.txt").write_text("kept")
    with pytest.raises(UserError, match="exists and was not made by this command"):
        export(tiny_unipt_folder, tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["text", "vision"])
def test_both_encoders_compile_whole_and_export_as_programs(number, tiny_unipt_folder):
    tower = towers.towers(*load_unipt(tiny_unipt_folder))[number]
    shapes = []
    for axes in tower.axes.values():
        shapes.append({axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(axes) if isinstance(size, str)})
    program = torch.export.export(tower.module, tower.traced, dynamic_shapes=tuple(shapes)).module()
    compiled = torch.compile(tower.module, fullgraph=True, backend="eager")
    with torch.no_grad():
        for inputs in (tower.traced, *tower.tried):
            wanted = tower.module(*inputs)
            torch.testing.assert_close(program(*inputs), wanted, atol=1e-5, rtol=0)
            torch.testing.assert_close(compiled(*inputs), wanted, atol=1e-5, rtol=0)


def two_towers(vision, text, folder):
    """A UniPT folder of two encoders of tests/helpers/towers.py."""
    write_vision_tower(vision, folder / vision)
    write_text_tower(text, folder / text)
    model = UniPTModel.from_vision_text_pretrained(folder / vision, folder / text, projection_dim=24)
    return saved(model, folder / text, folder / "unipt")


def saved(model, tokenizer, folder):
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    UniPTProcessor(UniPTImageProcessor(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_other_encoders_are_exported(tmp_path):
    """Those that could trip the exporter: a bias of attention, rotations, windows, a causal mask, filled-up texts."""
    for vision, text in (("beit", "qwen3"), ("dinov3", "modernbert")):
        folder = tmp_path / vision
        export(two_towers(vision, text, folder), folder / "onnx")
        shutil.rmtree(folder)
    for family in ("clip", "siglip"):
        write_dual_encoder(family, tmp_path / family)
        model = UniPTModel.from_dual_encoder_pretrained(tmp_path / family)
        folder = saved(model, tmp_path / family, tmp_path / f"{family}-unipt")
        export(folder, tmp_path / f"{family}-onnx")
        processor = UniPTProcessor.from_pretrained(folder)
        inputs = processor(text=TEXTS, return_tensors="np")
        assert inputs["input_ids"].shape[1] == LONGEST
        found = run(tmp_path / f"{family}-onnx" / "text_model.onnx", **inputs)
        wanted = embed_texts(model, processor, TEXTS, dtype="float32")
        np.testing.assert_allclose(found, wanted, atol=1e-5)
