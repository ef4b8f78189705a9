"""A saved folder is complete: it works in a process where the package cannot be imported."""

import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image
from transformers import pipeline

from modeling_unipt import UniPTForPreTraining, UniPTModel, UniPTProcessor
from tests.helpers.paths import ROOT

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"modeling_unipt", "dataset_builders"}:
            raise ImportError(f"{name} is blocked by this test")

sys.meta_path.insert(0, Blocker())
import torch
torch.set_num_threads(1)
from PIL import Image
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, AutoProcessor
from transformers.models.auto.image_processing_auto import AutoImageProcessor

folder, output = sys.argv[1:]
trust = {"trust_remote_code": True}
"""


def run_without_the_package(script, folder, output, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    process = subprocess.run(
        [sys.executable, "-I", "-c", BLOCKED + script, str(folder), str(output)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def request():
    return {
        "text": ["a man in a red coat", "an old woman"],
        "images": [Image.new("RGB", (30, 70), "red")],
        "return_tensors": "pt",
    }


USE = """
model = AutoModel.from_pretrained(folder, **trust)
assert type(model).__name__ == "UniPTModel" and "transformers_modules" in type(model).__module__
assert isinstance(model.config, model.config_class)
assert type(AutoConfig.from_pretrained(folder, **trust)).__name__ == "UniPTConfig"
processor = AutoProcessor.from_pretrained(folder, **trust)
assert type(processor).__name__ == "UniPTProcessor"
assert type(processor.image_processor).__name__ == "UniPTImageProcessor"
assert type(AutoImageProcessor.from_pretrained(folder, **trust)).__name__ == "UniPTImageProcessor"
inputs = processor(
    text=["a man in a red coat", "an old woman"], images=[Image.new("RGB", (30, 70), "red")], return_tensors="pt"
)
with torch.no_grad():
    torch.save(model(**inputs).logits_per_text, output)
"""


def test_a_model_folder_is_used_by_a_process_without_the_package(tiny_unipt_folder, tmp_path):
    run_without_the_package(USE, tiny_unipt_folder, tmp_path / "logits.pt", tmp_path)
    model = UniPTModel.from_pretrained(tiny_unipt_folder)
    processor = UniPTProcessor.from_pretrained(tiny_unipt_folder)
    with torch.no_grad():
        expected = model(**processor(**request())).logits_per_text
    assert torch.equal(torch.load(tmp_path / "logits.pt", weights_only=True), expected)


PIPELINE = """
from transformers import pipeline

classify = pipeline("zero-shot-image-classification", model=folder, **trust)
assert "transformers_modules" in type(classify.model).__module__
found = classify(Image.new("RGB", (30, 70), "red"), candidate_labels=["old", "young"], hypothesis_template="a {} man")
torch.save({answer["label"]: answer["score"] for answer in found}, output)
"""


def test_the_pipeline_of_zero_shot_classification_gives_the_softmax_of_the_logits(
    tiny_unipt_folder, tiny_processor, tmp_path, caplog
):
    image = Image.new("RGB", (30, 70), "red")
    inputs = tiny_processor(text=["a old man", "a young man"], images=image, return_tensors="pt")
    with torch.no_grad():
        logits = UniPTModel.from_pretrained(tiny_unipt_folder)(**inputs).logits_per_image[0]
    wanted = dict(zip(["old", "young"], logits.softmax(dim=0).tolist(), strict=True))
    run_without_the_package(PIPELINE, tiny_unipt_folder, tmp_path / "scores.pt", tmp_path)
    assert torch.load(tmp_path / "scores.pt", weights_only=True) == pytest.approx(wanted)
    classify = pipeline("zero-shot-image-classification", model=str(tiny_unipt_folder))
    assert type(classify.model) is UniPTModel
    found = classify(image, candidate_labels=["old", "young"], hypothesis_template="a {} man")
    assert {answer["label"]: answer["score"] for answer in found} == pytest.approx(wanted)
    assert "not supported" not in caplog.text


RESAVE = """
whole = AutoModelForPreTraining.from_pretrained(folder, **trust)
assert type(whole).__name__ == "UniPTForPreTraining"
assert whole.mlm_head.decoder.weight is whole.get_input_embeddings().weight
whole.save_pretrained(output)
AutoProcessor.from_pretrained(folder, **trust).save_pretrained(output)
again = AutoModel.from_pretrained(output, **trust)
assert torch.equal(again.visual_projection.weight, whole.unipt.visual_projection.weight)
"""


def test_a_pretraining_folder_can_be_saved_on_by_remote_code(tiny_config, tiny_processor, tmp_path):
    model = UniPTForPreTraining(tiny_config(vision="clip"))
    model.save_pretrained(tmp_path / "first")
    tiny_processor.save_pretrained(tmp_path / "first")
    run_without_the_package(RESAVE, tmp_path / "first", tmp_path / "second", tmp_path)
    auto_maps = [json.loads((tmp_path / name / "config.json").read_text())["auto_map"] for name in ("first", "second")]
    assert auto_maps[0] == auto_maps[1]
    reloaded = UniPTModel.from_pretrained(tmp_path / "second")
    assert torch.equal(reloaded.text_projection.weight, model.unipt.text_projection.weight)


IMPORTS = [
    "import modeling_unipt; from transformers import AutoModel, AutoProcessor",
    "from transformers import AutoModel, AutoProcessor; import modeling_unipt",
    "import modeling_unipt.processing_unipt; from transformers import AutoModel, AutoProcessor",
]


@pytest.mark.parametrize("imports", IMPORTS)
def test_importing_the_package_registers_its_classes(tiny_unipt_folder, tmp_path, imports):
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
{imports}
import modeling_unipt
folder = {str(tiny_unipt_folder)!r}
assert type(AutoModel.from_pretrained(folder)) is modeling_unipt.UniPTModel
assert type(AutoProcessor.from_pretrained(folder)) is modeling_unipt.UniPTProcessor
assert not [finder for finder in sys.meta_path if "modeling_unipt" in type(finder).__module__], "the hook stays"
"""
    process = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr


def test_importing_the_package_is_cheap(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import modeling_unipt, modeling_unipt.common.user_errors
assert not {{"torch", "transformers", "numpy"}} & set(sys.modules)
"""
    process = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
