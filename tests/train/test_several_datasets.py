"""Training on several data sets: what is drawn, that it resumes exactly, and that no copy of the data is made."""

import json

import datasets
import pytest
import torch
from safetensors.torch import load_file

from modeling_unipt.common.user_errors import UserError
from tests.helpers.small_datasets import people_table, write_parquet
from unipt_train import evaluate_retrieval, finetune, pretrain
from unipt_train.engine import loop

FEW = ["--precision", "no", "--cpu", "true", "--report-to", "none", "--log-steps", "1", "--batch-size", "8"]
SMALL = ["--granularity-loss-weight", "0"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two data sets with the same person ids, one of Parquet files and one of save_to_disk; each has train and val."""
    folder = tmp_path_factory.mktemp("data")
    write_parquet(folder / "a", 7, train=people_table(range(12)), val=people_table(range(20, 24)))
    other = {"train": people_table(range(8), first=99), "test": people_table(range(30, 34), first=99)}
    datasets.DatasetDict(other).save_to_disk(folder / "b")
    return [str(folder / "a"), str(folder / "b")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder in which the library would keep copies."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def train_on(sets, model, output, *more, steps=6, workers=0):
    words = ["--dataset", *sets, "--model", str(model), "--output-dir", str(output), "--max-steps", str(steps)]
    pretrain.main([*words, *FEW, "--num-workers", str(workers), "--save-steps", "2", *more])


def log_of(folder):
    rows = json.loads((folder / "training_log.json").read_text())
    return [{name: value for name, value in row.items() if name != "samples_per_second"} for row in rows]


def same_weights(one, other):
    found = [load_file(folder / "model.safetensors") for folder in (one, other)]
    return found[0].keys() == found[1].keys() and all(torch.equal(found[0][name], found[1][name]) for name in found[0])


class Killed(BaseException):
    pass


@pytest.fixture
def dies_in_step(monkeypatch):
    def die(step):
        count = iter(range(1, 100))
        inner = loop.joint_backward

        def backward(*given):
            if next(count) == step:
                raise Killed
            return inner(*given)

        monkeypatch.setattr(loop, "joint_backward", backward)

    return die


@pytest.mark.parametrize("weights", [[], ["--dataset-weights", "3", "1"]])
def test_a_killed_training_on_several_data_sets_ends_as_if_it_were_not(
    sets, tiny_unipt_folder, tmp_path, dies_in_step, monkeypatch, weights, cache
):
    """The whole one loads in a process of its own, the killed one does not."""
    train_on(sets, tiny_unipt_folder, tmp_path / "whole", *weights, workers=1)
    with monkeypatch.context(), pytest.raises(Killed):
        dies_in_step(5)
        train_on(sets, tiny_unipt_folder, tmp_path / "killed", *weights)
    monkeypatch.undo()
    train_on(sets, tiny_unipt_folder, tmp_path / "killed", *weights)
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole") and len(log_of(tmp_path / "whole")) == 6
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
    settings = json.loads((tmp_path / "whole" / "build_settings.json").read_text())
    assert (settings["dataset"], settings["rows"]) == (sets, 40)
    assert settings["dataset_weights"] == ([3.0, 1.0] if weights else None)
    assert not cache.exists()
    with pytest.raises(UserError, match="was made with other settings: dataset"):
        train_on(sets[:1], tiny_unipt_folder, tmp_path / "whole")


def test_what_is_drawn_is_told(sets, tiny_unipt_folder, tmp_path, capsys):
    train_on(sets, tiny_unipt_folder, tmp_path / "out", "--dataset-weights", "3", "1", steps=1)
    told = capsys.readouterr().out
    assert f"40 pairs (24 of {sets[0]}, 16 of {sets[1]}, drawn 3 : 1) for 1 steps" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "A", "--dataset-weights", "1"], "--dataset-weights 1 needs several data sets"),
        (["--dataset", "A", "B", "--dataset-weights", "1"], "are 1 number.s. for 2 data sets; give one for each"),
        (["--dataset", "A", "B", "--dataset-weights", "1", "0"], "must all be positive"),
        (["--dataset", "A", "B", "--dataset-weights", "1", "-2"], "must all be positive"),
        (["--dataset", "A", "B", "--dataset-weights", "1", "inf"], "must all be positive"),
        (["--dataset", "A", "B", "--dataset-weights", "1", "nan"], "must all be positive"),
        (["--dataset", "A", "B", "--dataset-weights", "1", "1e-6"], "gives '.*' none of the 40 samples of an epoch"),
        (["--dataset", "A", "A"], "is named twice"),
        (["--dataset", "A", "--dataset", "B"], "--dataset is given twice"),
        (["--dataset", "A", "--caption-backends", "qwen"], "has no column 'caption_backends'"),
        (["--dataset", "A", "--min-caption-score", "0.5"], "has no column 'caption_scores'"),
        (["--dataset", "A", "--min-caption-score", "nan"], "nan is no number"),
        (["--dataset", "A", "--min-caption-score", "1", "--fresh-captions", "true"], "chooses among stored captions"),
        (["--dataset", "A", "./nowhere"], "dataset './nowhere' cannot be loaded"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(sets, tiny_unipt_folder, tmp_path, words, message):
    named = [dict(zip("AB", sets, strict=True)).get(word, word) for word in words]
    with pytest.raises(UserError, match=message):
        pretrain.main([*named, "--model", str(tiny_unipt_folder), "--output-dir", str(tmp_path / "out"), *FEW])
    assert list(tmp_path.iterdir()) == []


def test_captions_are_chosen_by_backend_and_score(tiny_unipt_folder, tmp_path, capsys):
    rows = people_table(
        range(8),
        caption_backends=[["qwen", "shikra"]] * 12 + [["shikra", "shikra"]] * 4,
        caption_scores=[[0.9, 0.8]] * 10 + [[0.1, 0.8]] * 6,
    )
    write_parquet(tmp_path / "x", train=rows)
    options = ["--caption-backends", "qwen", "--min-caption-score", "0.5"]
    train_on([str(tmp_path / "x")], tiny_unipt_folder, tmp_path / "out", *options, steps=1)
    assert f"6 of 16 rows of {tmp_path / 'x'} have no caption to train on" in capsys.readouterr().out
    settings = json.loads((tmp_path / "out" / "build_settings.json").read_text())
    assert (settings["rows"], settings["caption_backends"], settings["min_caption_score"]) == (10, ["qwen"], 0.5)


def test_data_sets_without_attributes_do_not_get_fresh_captions(tiny_unipt_folder, tmp_path):
    rows = people_table(range(4), attributes=[{"hat": None}] * 7 + [None])
    write_parquet(tmp_path / "x", train=rows)
    with pytest.raises(UserError, match="1 of 8 rows of dataset '.*' tell no attributes.*--fresh-captions false"):
        train_on([str(tmp_path / "x")], tiny_unipt_folder, tmp_path / "out", "--fresh-captions", "true")


def tune_on(sets, model, output, *more):
    words = ["--dataset", *sets, "--model", str(model), "--output-dir", str(output), "--max-steps", "2"]
    finetune.main([*words, *FEW, *SMALL, "--num-workers", "0", *more])


def test_finetuning_on_several_benchmarks_keeps_their_people_apart(sets, tiny_unipt_folder, tmp_path, capsys, cache):
    """The first has a split to choose the checkpoint on, of the second people are held out."""
    output = tmp_path / "tuned"
    tune_on(sets, tiny_unipt_folder, output, "--eval-steps", "2", "--held-out-people", "0.25")
    told = capsys.readouterr().out
    assert "fine-tuning on 72 captions of 18 people" in told, "12 and 6 of 8"
    assert "held out of training, to choose the checkpoint: 2 people" in told
    record = json.loads((output / "validation.json").read_text())
    assert record["split"] == {sets[0]: "validation", sets[1]: "train"} and record["people"] == 4 + 2
    assert list(record["held_out_person_ids"]) == [sets[1]] and len(record["held_out_person_ids"][sets[1]]) == 2
    settings = json.loads((output / "build_settings.json").read_text())
    assert settings["dataset"] == sets and len(set(settings["dataset_digest"])) == 2 and settings["pairs"] == 72
    tune_on(sets, tiny_unipt_folder, output, "--eval-steps", "2", "--held-out-people", "0.25")
    assert not cache.exists()
    # Either benchmark is one that it was fine-tuned on, also a saved one.
    results = tmp_path / "results.json"
    evaluate_retrieval.main(["--model", str(output), "--dataset", sets[1], "--output", str(results), "--cpu", "true"])
    (found,) = json.loads(results.read_text())
    assert (found["setting"], found["identities"], found["queries"]) == ("fine-tuned", 4, 16)


def test_without_validation_all_people_of_all_benchmarks_are_trained_on(sets, tiny_unipt_folder, tmp_path, capsys):
    tune_on(sets, tiny_unipt_folder, tmp_path / "tuned", "--eval-steps", "0", "--captions-per-person", "2")
    assert "fine-tuning on 80 captions of 20 people" in capsys.readouterr().out


def test_a_training_begun_by_0_3_goes_on(sets, tiny_unipt_folder, tmp_path, dies_in_step, monkeypatch):
    """Its settings have none of the keys of today, and name the data set by a text."""
    train_on(sets[:1], tiny_unipt_folder, tmp_path / "whole", steps=4)
    with monkeypatch.context(), pytest.raises(Killed):
        dies_in_step(4)
        train_on(sets[:1], tiny_unipt_folder, tmp_path / "out", steps=4)
    monkeypatch.undo()
    record = tmp_path / "out.partial" / "build_settings.json"
    settings = json.loads(record.read_text())
    for name in ("dataset_weights", "caption_backends", "min_caption_score"):
        assert settings.pop(name) is None
    assert settings["dataset"] == sets[0]
    record.write_text(json.dumps(settings))
    train_on(sets[:1], tiny_unipt_folder, tmp_path / "out", steps=4)
    assert same_weights(tmp_path / "out", tmp_path / "whole")
