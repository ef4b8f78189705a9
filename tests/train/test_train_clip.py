"""The tiny CLIP's training as a command: it learns, and its folder is an ordinary CLIP that the builder scores with."""

import json
import subprocess
import sys

import numpy as np
import pytest

from dataset_builders.divide.reading import load_vocabulary
from tests.helpers.paths import ROOT
from unipt_train.engine.clip_training import true_choices

PRESENT = {
    "age": "old", "gender": "woman", "upper_colour": "red", "upper_pattern": "plaid", "upper_garment": "coat",
    "lower_colour": "blue", "lower_pattern": "plain", "lower_garment": "trousers", "action": "walking",
    "hair_length": "long", "bag": "handbag", "glasses": None, "smoke": None, "hat": "cap", "cellphone": None,
    "umbrella": None, "gloves": None, "vehicle": None,
}  # fmt: skip


def test_the_true_choice_of_each_attribute_is_the_one_that_says_so():
    vocabulary = load_vocabulary()
    found = true_choices(vocabulary, [PRESENT, PRESENT | {"bag": None}])
    said = {name: vocabulary.attributes[name].choices[indices[0]] for name, indices in found.items()}
    assert said["upper_clothes"].phrase == "a red plaid wind coat"
    assert said["lower_clothes"].phrase == "blue pure color trousers"
    assert (said["bag"].phrase, said["hat"].phrase) == ("a handbag", "a cap")
    assert said["glasses"].negative and vocabulary.attributes["bag"].choices[found["bag"][1]].negative


@pytest.fixture(scope="module")
def renders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("renders") / "people"
    subprocess.run(
        [sys.executable, "-m", "dataset_builders.synthetic_pedestrians", "--output", folder, "--identities", "24"]
        + ["--views", "1", "--seed", "31", "--layout", "images"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_it_learns_its_training_renders(renders, tmp_path):
    from transformers import CLIPModel, CLIPProcessor

    output = tmp_path / "clip"
    subprocess.run(
        [sys.executable, "train/train_clip.py", "--renders", renders, "--held_out", renders, "--output_dir", output]
        + ["--image_size", "64", "--batch_size", "24", "--max_steps", "60", "--precision", "no"],
        cwd=ROOT, check=True, capture_output=True, timeout=240,
    )  # fmt: skip
    agreement = json.loads((output / "agreement.json").read_text())
    truth = [json.loads(line)["attributes"] for line in (renders / "truth.jsonl").read_text().splitlines()]
    # Better than saying of everybody what is most common.
    usual = [max(np.unique([str(row[f]) for row in truth], return_counts=True)[1]) / 24 for f in agreement["required"]]
    assert agreement["images"] == 24
    assert agreement["required_mean"] > np.mean(usual) + 0.15
    assert CLIPModel.from_pretrained(output).config.vision_config.image_size == 64
    assert CLIPProcessor.from_pretrained(output).image_processor.crop_size["height"] == 64


def test_a_missing_folder_of_renders_is_one_sentence(renders, tmp_path):
    finished = subprocess.run(
        [sys.executable, "train/train_clip.py", "--renders", tmp_path / "nowhere", "--held_out", renders]
        + ["--output_dir", tmp_path / "clip"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert finished.returncode and "cannot be read" in finished.stderr and "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []
