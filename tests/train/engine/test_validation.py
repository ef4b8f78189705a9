"""The checkpoint of a fine-tuning is chosen on validation: by what, the same when killed, training undisturbed."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file

from modeling_unipt import load_unipt
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person
from unipt_train import finetune
from unipt_train.data.loading import load_rows
from unipt_train.engine import validation
from unipt_train.engine.validation import Validation, ValidationOptions, divide_rows, held_out_people
from unipt_train.evaluation.measure import embed_rows, measure

SMALL = {"num_prototypes": 2, "prototype_dim": 8, "prototype_layers": 1, "prototype_heads": 2}
SMALL |= {"prototype_head_dim": 8, "prototype_mlp_dim": 8}
COLOURS = ["red", "blue", "white", "green", "black"]


def write_benchmark(folder, splits):
    """A dataset of drawn people, two captions and two images each; ``splits`` are name -> person_ids."""
    folder.mkdir()
    for split, people in splits.items():
        shown = [(person, view) for person in people for view in range(2)]
        rows = datasets.Dataset.from_dict(
            {
                "image": [draw_person(person) for person, _ in shown],
                "person_id": [person for person, _ in shown],
                "captions": [
                    [
                        f"a man in a {COLOURS[person % 5]} coat",
                        f"{COLOURS[person // 5]} trousers and a {COLOURS[view]} cap",
                    ]
                    for person, view in shown
                ],
            }
        ).cast_column("image", datasets.Image())
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "with-val"
    return write_benchmark(folder, {"train": range(12), "validation": range(12, 18), "test": range(18, 22)})


@pytest.fixture(scope="module")
def without_val(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "without-val"
    return write_benchmark(folder, {"train": range(20), "test": range(20, 24)})


def tune(model, dataset, output, *more, **options):
    settings = SMALL | {"max_steps": 14, "batch_size": 8, "save_steps": 5, "log_steps": 3, "num_workers": 0}
    settings |= {"precision": "no", "vision_learning_rate": 3e-3, "text_learning_rate": 3e-3, "eval_steps": 4}
    settings |= {"head_learning_rate": 3e-3, "report_to": "none"} | options
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    finetune.main(["--model", str(model), "--dataset", str(dataset), "--output_dir", str(output), *words, *more])


def log_of(folder):
    rows = json.loads((folder / "training_log.json").read_text())
    return [{name: value for name, value in row.items() if name != "samples_per_second"} for row in rows]


SCORES = {4: 10.0, 8: 30.0, 12: 20.0, 14: 30.0}
CHOSEN = 8  # of two that are equal the earlier


class Killed(BaseException):
    pass


@contextmanager
def scripted_scores(killed_at=None):
    """Rank-1 by step as in SCORES; gives the weights of each step measured. Dies after the one of ``killed_at``."""
    measured, step_now, weights = Validation.__call__, [], {}

    def call(self, step, objective):
        step_now[:] = [step]
        if step in SCORES:
            weights[step] = {name: value.clone() for name, value in objective.model.state_dict().items()}
        numbers = measured(self, step, objective)
        if step == killed_at:
            raise Killed
        return numbers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validation, "__call__", call)
        patch.setattr(validation, "measure", lambda embedded: measure(embedded) | {"R1": SCORES[step_now[0]]})
        yield weights


@pytest.fixture(scope="module")
def whole(tiny_unipt_folder, benchmark, tmp_path_factory):
    """A fine-tuning that nothing interrupts, and its weights by step."""
    output = tmp_path_factory.mktemp("models") / "whole"
    with scripted_scores() as weights:
        tune(tiny_unipt_folder, benchmark, output)
    return output, weights


def same_weights(folder, expected):
    found = load_unipt(folder)[0].state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def test_the_best_step_by_validation_is_what_is_saved(whole):
    output, weights = whole
    assert {row["step"]: row["validation_R1"] for row in log_of(output) if "validation_R1" in row} == SCORES
    record = json.loads((output / "validation.json").read_text())
    assert (record["step"], record["steps"], record["score"]) == (CHOSEN, 14, 30.0)
    assert (record["split"], record["held_out_person_ids"], record["people"]) == ("validation", [], 6)
    assert [same_weights(output, weights[step]) for step in SCORES] == [False, True, False, False]
    assert not (output / "checkpoints").exists()
    model, _ = load_unipt(output)
    assert model.config.embedding_dim == 16


@pytest.mark.parametrize("killed_at", SCORES)
def test_killed_after_a_measurement_it_ends_with_the_same_choice(
    whole, tiny_unipt_folder, benchmark, tmp_path, killed_at
):
    output = tmp_path / "killed"
    with scripted_scores(killed_at), pytest.raises(Killed):
        tune(tiny_unipt_folder, benchmark, output)
    assert not output.exists() and Path(f"{output}.partial/checkpoints/best.safetensors").exists()
    with scripted_scores():
        tune(tiny_unipt_folder, benchmark, output)
    assert (output / "validation.json").read_text() == (whole[0] / "validation.json").read_text()
    assert log_of(output) == log_of(whole[0])
    assert same_weights(output, whole[1][CHOSEN])


def test_checkpoints_whose_best_weights_are_lost_are_not_gone_on_from(whole, tiny_unipt_folder, benchmark, tmp_path):
    """As when it is killed while the result's checkpoints are being deleted."""
    output = tmp_path / "killed"
    with scripted_scores(killed_at=14), pytest.raises(Killed):
        tune(tiny_unipt_folder, benchmark, output)
    Path(f"{output}.partial/checkpoints/best.safetensors").unlink()
    with scripted_scores():
        tune(tiny_unipt_folder, benchmark, output)
    assert (output / "validation.json").read_text() == (whole[0] / "validation.json").read_text()
    assert same_weights(output, whole[1][CHOSEN])


def test_measuring_does_not_disturb_training(whole, tiny_unipt_folder, benchmark, tmp_path):
    tune(tiny_unipt_folder, benchmark, tmp_path / "unmeasured", eval_steps=0, log_steps=1)
    assert not (tmp_path / "unmeasured" / "validation.json").exists()
    losses = {row["step"]: row["loss"] for row in log_of(tmp_path / "unmeasured")}
    for before, row in zip([{"step": 0}, *log_of(whole[0])], log_of(whole[0]), strict=False):
        steps = range(before["step"] + 1, row["step"] + 1)
        assert row["loss"] == pytest.approx(sum(losses[step] for step in steps) / len(steps), abs=2e-6)


def test_of_equal_scores_the_earlier_step_is_kept(tiny_unipt_folder, benchmark, tmp_path):
    still = {name: 0 for name in ("vision_learning_rate", "text_learning_rate", "head_learning_rate")}
    tune(tiny_unipt_folder, benchmark, tmp_path / "still", **still)
    record = json.loads((tmp_path / "still" / "validation.json").read_text())
    assert (record["step"], record["steps"]) == (4, 14)
    model, processor = load_unipt(tmp_path / "still")
    rows = load_rows(str(benchmark), "validation", ["captions"])
    assert measure(embed_rows(model, processor, rows))["R1"] == pytest.approx(record["score"])


def test_without_a_validation_split_people_are_held_out_of_training(
    tiny_unipt_folder, without_val, tmp_path, capsys, caplog, monkeypatch
):
    caplog.set_level("INFO", "unipt_train")
    taken = samples_taken(monkeypatch)
    tune(tiny_unipt_folder, without_val, tmp_path / "tuned", held_out_people=0.2)
    record = json.loads((tmp_path / "tuned" / "validation.json").read_text())
    assert record["split"] == "train" and record["people"] == len(record["held_out_person_ids"]) == 4
    assert {person for person, _ in taken} == set(range(20)) - set(record["held_out_person_ids"])
    assert "held out of training, to choose the checkpoint: 4 people" in capsys.readouterr().out
    said = caplog.text
    assert f"step {record['step']} of 14 is kept: Rank-1" in said and "on 4 held-out people of the split train" in said
    assert record["held_out_person_ids"] == held_out_people(range(20), 0.2, seed=0)
    assert held_out_people(range(20), 0.2, seed=1) != held_out_people(range(20), 0.2, seed=0)


def samples_taken(monkeypatch):
    """A list that fills with (person_id, key) of every sample that training takes."""
    from unipt_train.data import pairs as data

    taken, get = [], data.IdentityPairs.__getitems__

    def noted(self, keys):
        samples = get(self, keys)
        people = [self.person_ids[sample["person_index"]] for sample in samples]
        taken.extend(zip(people, keys, strict=True))
        return samples

    monkeypatch.setattr(data.IdentityPairs, "__getitems__", noted)
    return taken


def test_identity_balanced_batches_reach_the_model(tiny_unipt_folder, benchmark, tmp_path, monkeypatch):
    taken = samples_taken(monkeypatch)
    tune(tiny_unipt_folder, benchmark, tmp_path / "tuned", max_steps=3, eval_steps=0, captions_per_person=4)
    for step in range(3):
        people = [person for person, _ in taken[8 * step : 8 * step + 8]]
        assert sorted(map(people.count, set(people))) == [4, 4]


def test_released_weights_of_half_precision_are_trained_in_full(tiny_unipt_folder, benchmark, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(tiny_unipt_folder, half)
    model, _ = load_unipt(half)
    model.half().save_pretrained(half)
    for weight in (0, 1):
        tune(half, benchmark, tmp_path / f"tuned-{weight}", max_steps=2, granularity_loss_weight=weight)
        weights = load_file(tmp_path / f"tuned-{weight}" / "model.safetensors")
        assert {value.dtype for value in weights.values()} == {torch.float32}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"validation_split": "test"}, "--validation-split test is the test split; a checkpoint is chosen on other"),
        ({"validation_split": "train"}, "--validation-split train is what is trained on"),
        ({"validation_split": "dev"}, "has no split 'dev'; it has train, validation, test"),
        ({"eval_steps": -1}, "--eval-steps -1 must not be negative"),
        ({"chunk_size": -1}, "--chunk-size -1 must not be negative"),
        ({"captions_per_person": 9}, "--captions-per-person 9 must lie between 0 and the batch size, 8"),
        ({"prototype_heads": 0}, "prototype_heads is 0; it must be at least 1"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tiny_unipt_folder, benchmark, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        tune(tiny_unipt_folder, benchmark, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_too_few_people_to_hold_out(without_val):
    rows = load_rows(str(without_val), "train", ["person_id"])
    options = ValidationOptions(str(without_val), "train", validation_split=None, held_out_people=0.1, seed=0)
    with pytest.raises(
        UserError, match="there are 3 people to train on; 2 held out to choose a checkpoint leave too few"
    ):
        divide_rows({"train": rows.select(range(6))}, options, ["person_id"])
    with pytest.raises(UserError, match="--held-out-people 1.5 must lie between 0 and 1"):
        divide_rows({"train": rows}, dataclasses.replace(options, held_out_people=1.5), ["person_id"])


def test_a_model_with_prototypes_is_not_trained_without_them(whole, benchmark, tmp_path):
    with pytest.raises(
        UserError, match="embeds by prototypes, which --granularity-loss-weight 0 would leave untrained"
    ):
        tune(whole[0], benchmark, tmp_path / "out", granularity_loss_weight=0)


def test_weights_that_are_no_longer_finite_stop_with_one_sentence(tiny_unipt_folder, benchmark, tmp_path):
    with pytest.raises(UserError, match=r"step 1 cannot be measured on validation: .*NaN or infinity.*are kept"):
        tune(tiny_unipt_folder, benchmark, tmp_path / "out", vision_learning_rate="nan", eval_steps=1, warmup_ratio=0)


def test_processes_share_the_embedding_and_all_have_the_numbers_of_one(tiny_unipt_folder, benchmark, tmp_path):
    """24 captions and 12 images in batches of 5: two processes take 14 and 10, and 7 and 5 of them."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    given = [tiny_unipt_folder, benchmark, tmp_path / "rank"]
    finished = subprocess.run(
        [*launch, "-m", "tests.helpers.shared_embedding", *given], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert finished.returncode == 0, finished.stderr
    model, processor = load_unipt(tiny_unipt_folder)
    rows = load_rows(str(benchmark), "validation", ["captions"])
    whole = embed_rows(model, processor, rows, batch_size=5)
    passed = []
    for rank in range(2):
        shared = load_file(f"{tmp_path / 'rank'}-{rank}.safetensors")
        # The batches are those of one process, so that not even rounding differs.
        assert shared["texts"].numpy().tobytes() == whole.text_embeds.tobytes()
        assert shared["images"].numpy().tobytes() == whole.image_embeds.tobytes()
        passed.append((int(shared["texts_passed"]), int(shared["images_passed"])))
    assert passed == [(14, 7), (10, 5)]


def test_what_is_measured_is_the_same_in_the_format_asked_for(whole, tiny_unipt_folder, benchmark, tmp_path):
    """On a CPU auto is float32, to the last digit."""
    with scripted_scores():
        tune(tiny_unipt_folder, benchmark, tmp_path / "named", validation_dtype="float32")
    assert log_of(tmp_path / "named") == log_of(whole[0])


def test_a_mistake_in_the_validation_rows_is_told_as_it_is(tiny_unipt_folder, benchmark, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise UserError("none of the images has a caption")

    monkeypatch.setattr(validation, "embed_rows", refuse)
    with pytest.raises(UserError, match="^none of the images has a caption$"):
        tune(tiny_unipt_folder, benchmark, tmp_path / "out", eval_steps=1, max_steps=1)


def test_muon_with_loss_scaling_is_refused_before_anything_is_written(tiny_unipt_folder, benchmark, tmp_path):
    with pytest.raises(UserError, match="--muon-learning-rate cannot be used in precision fp16"):
        tune(tiny_unipt_folder, benchmark, tmp_path / "out", precision="fp16", muon_learning_rate=0.01, cpu=True)
    assert list(tmp_path.iterdir()) == []


def test_a_finetuned_model_can_be_read_by_whom_the_umask_allows(tiny_unipt_folder, benchmark, tmp_path):
    """Also while it is trained: its best weights and its checkpoints."""
    before = os.umask(0o022)
    try:
        with scripted_scores(killed_at=14), pytest.raises(Killed):
            tune(tiny_unipt_folder, benchmark, tmp_path / "out")
        unfinished = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.safetensors")}
        with scripted_scores():
            tune(tiny_unipt_folder, benchmark, tmp_path / "out")
    finally:
        os.umask(before)
    assert {path.parent.name for path in unfinished} == {"checkpoints", "step-00000005", "step-00000010"}
    assert set(unfinished.values()) == {0o644}
    assert (tmp_path / "out" / "model.safetensors").stat().st_mode & 0o777 == 0o644
