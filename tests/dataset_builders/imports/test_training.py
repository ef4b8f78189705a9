"""What an import writes trains: two steps of train/pretrain.py, alone and mixed with LUPerson-T."""

import json
import math

import pytest

from dataset_builders.import_luperson_t import main
from tests.helpers.paths import ROOT
from tests.helpers.pretraining_sets import LAYOUTS, write_set
from tests.helpers.small_encoders import write_small_encoders
from unipt_train import pretrain

COUNT = 4
SAMPLE = ROOT / "luperson-t"
TWO_STEPS = ["--max-steps", "2", "--log-steps", "1", "--num-workers", "0", "--cpu", "true", "--random-init", "true"]
SMALL = ["--image-height", "64", "--image-width", "32", "--max-text-tokens", "24", "--projection-dim", "16"]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """layout -> the folder that its import wrote."""
    folders = {}
    for layout in LAYOUTS:
        folder = tmp_path_factory.mktemp(layout)
        main([*write_set(layout, folder / "set", COUNT), "--output", str(folder / "out")])
        folders[layout] = folder / "out"
    return folders


@pytest.fixture(scope="module")
def encoders(tmp_path_factory, tiny_tokenizer):
    folder = write_small_encoders(tmp_path_factory.mktemp("encoders"), tiny_tokenizer)
    return ["--vision-model", str(folder / "deit-s"), "--text-model", str(folder / "bert-base")]


def losses(output, *options):
    pretrain.main([*TWO_STEPS, *SMALL, "--output-dir", str(output), *map(str, options)])
    log = json.loads((output / "training_log.json").read_text())
    assert [entry["step"] for entry in log] == [1, 2]
    return [entry["loss"] for entry in log]


@pytest.mark.timeout(200)
def test_all_imports_together_train_with_luperson_t(imported, encoders, tmp_path):
    found = losses(tmp_path / "out", *encoders, "--dataset", SAMPLE, *imported.values(), "--batch-size", 8)
    assert all(map(math.isfinite, found))


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "with LUPerson-T"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_import_trains(layout, mixed, imported, encoders, tmp_path):
    datasets = [imported[layout], SAMPLE] if mixed else [imported[layout]]
    options = ["--dataset", *datasets, "--batch-size", 4]
    if mixed:
        options += ["--dataset-weights", 3, 1]
    assert all(map(math.isfinite, losses(tmp_path / "out", *encoders, *options)))
