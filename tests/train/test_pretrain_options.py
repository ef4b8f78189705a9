"""The options of the recipe best, through train/pretrain.py's own functions and a short run."""

import json

import datasets
import numpy as np
import pytest
from safetensors import safe_open

from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from unipt_train import pretrain
from unipt_train.data.loading import load_rows
from unipt_train.engine.arguments import parse_arguments, part_of
from unipt_train.engine.run_arguments import PretrainArguments
from unipt_train.objectives.build import SampleOptions, build_pairs, columns_needed

SAMPLE = "luperson-t"
BEST = ["--config", "train/configs/pretrain_tiny_best.yaml"]


def arguments(*more):
    return parse_arguments(PretrainArguments, "Doc.", ["--dataset", SAMPLE, *map(str, more)])


def best_samples():
    return part_of(arguments(*BEST), SampleOptions)


@pytest.fixture(scope="module", autouse=True)
def in_the_root():
    import os

    before = os.getcwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)


@pytest.fixture(scope="module")
def rows():
    return load_rows(SAMPLE, "train", columns_needed(best_samples()))


def test_a_new_caption_each_epoch_from_the_same_attributes(rows, tiny_processor):
    pairs, facts = build_pairs(rows, tiny_processor, best_samples())
    samples = [pairs[epoch, 3] for epoch in range(6)]
    assert len({tuple(sample["input_ids"]) for sample in samples}) > 3
    assert all((sample["shown"] == samples[0]["shown"]).all() for sample in samples)
    for sample in samples:
        assert sample["shown"].shape == sample["told"].shape == (sum(facts.sizes),)
        assert 5 <= sample["told"].sum() < len(sample["told"])
    again = build_pairs(rows, tiny_processor, best_samples())[0][2, 3]
    assert again["input_ids"] == samples[2]["input_ids"] and again["mlm_labels"] == samples[2]["mlm_labels"]


def test_near_duplicates_and_equal_captions_are_recognised(rows, tiny_processor):
    def marked(row, index):
        return row | {"duplicate_of": "the first" if index in (4, 7) else None}

    marked_rows = [marked(row, index) for index, row in enumerate(rows.select(range(10)))]
    few = datasets.Dataset.from_list(marked_rows, features=rows.features)
    pairs = build_pairs(few, tiny_processor, best_samples())[0]
    ids = [pairs[0, index]["image_ids"] for index in range(10)]
    assert ids[4] == ids[7] and len(set(ids)) == 9
    texts = [pairs[0, index]["text_ids"] for index in range(10)]
    assert len(set(texts)) == 10 and pairs[0, 5]["text_ids"] == texts[5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weigh_negatives", "true"], "--weigh-negatives needs --fresh-captions"),
        (["--attribute_loss_weight", 1], "--attribute-loss-weight needs --fresh-captions"),
        (["--fresh_captions", "true", "--attribute_loss_weight", -1], "must not be negative"),
        (["--mask_contrast", "true", "--mlm_loss_weight", 0], "--mlm-loss-weight must not be 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    needed = ["--output_dir", "x", "--vision_model", "v", "--text_model", "t"]
    with pytest.raises(UserError, match=message):
        pretrain.check(arguments(*needed, *options))


def test_muon_with_loss_scaling_is_refused_before_anything_is_written(tmp_path):
    command = [
        *BEST,
        "--dataset",
        SAMPLE,
        "--output_dir",
        str(tmp_path / "out"),
        "--precision",
        "fp16",
        "--cpu",
        "true",
    ]
    with pytest.raises(UserError, match="--muon-learning-rate cannot be used in precision fp16"):
        pretrain.main(command)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(200)
def test_two_steps_of_the_recipe_are_logged_with_every_loss(tmp_path):
    output = tmp_path / "model"
    more = ["--max_steps", "2", "--log_steps", "1", "--batch_size", "8", "--num_workers", "0", "--cpu", "true"]
    pretrain.main([*BEST, "--dataset", SAMPLE, "--output_dir", str(output), *more])
    log = json.loads((output / "training_log.json").read_text())
    assert [entry["step"] for entry in log] == [1, 2]
    for name in ("loss", "contrastive_loss", "mlm_loss", "attribute_loss"):
        assert np.isfinite([entry[name] for entry in log]).all()
    with safe_open(output / "model.safetensors", "pt") as weights:
        assert not [name for name in list(weights.keys()) if "attribute" in name]
