"""The card of a trained folder: what was measured, how it was made, no path of this machine; and its way to the Hub."""

import json
import logging
import re
import shutil

import pytest
from huggingface_hub import ModelCard

from modeling_unipt.common.user_errors import UserError
from unipt_train.evaluation.origin import last_training
from unipt_train.evaluation.report import benchmark_title, public_name
from unipt_train.model_card import main
from unipt_train.publishing.card import TrainingStage, hours, loss_curves

METRICS = {"R1": 71.256, "R5": 90.0, "R10": 95.0, "mAP": 66.5, "mINP": 51.0}
LOG = [{"step": step, "loss": 1.0 / step, "samples_per_second": rate} for step, rate in ((100, 4.0), (150, 2.0))]


def record(model, **changes):
    intervals = {name: [value - 1, value + 1] for name, value in METRICS.items()}
    return {
        "model": str(model), "dataset": "x", "benchmark": "CUHK-PEDES", "split": "test", "setting": "fine-tuned",
        "direction": "text-to-image", "average_precision": "mean", **METRICS, "intervals": intervals, "queries": 6156,
        "gallery": 3074, "identities": 1000, "queries_without_match": 0,
    } | changes  # fmt: skip


@pytest.fixture
def trained(tiny_unipt_folder, tmp_path):
    """A folder as fine-tuning leaves it, beside the pre-trained one that it names by a path of this machine."""
    for name, settings in (
        ("pretrained", {"command": "pretrain", "dataset": f"{tmp_path}/luperson-t", "rows": 12000, "split": "train"}),
        ("tuned", {"command": "finetune", "dataset": "me/cuhk", "model": f"{tmp_path}/pretrained", "split": "train"}),
    ):
        shutil.copytree(tiny_unipt_folder, tmp_path / name)
        (tmp_path / name / "build_settings.json").write_text(json.dumps(settings | {"batch_size": 72, "seed": None}))
        (tmp_path / name / "training_log.json").write_text(json.dumps(LOG))
    return tmp_path / "tuned"


def write(trained, tmp_path, records, *options):
    (tmp_path / "evaluation.json").write_text(json.dumps(records))
    main(["--model", str(trained), "--evaluation", str(tmp_path / "evaluation.json"), *options])
    return (trained / "README.md").read_text(encoding="utf-8")


def test_the_card_holds_results_data_recipe_environment_and_use(trained, tmp_path):
    other = record(tmp_path / "pretrained", R1=20.0, setting="direct transfer")
    card = write(trained, tmp_path, [other, record(trained)], "--license", "cc-by-nc-4.0", "--hardware", "8 x A100")
    data = ModelCard(card).data
    assert (data.license, data.library_name, data.datasets) == ("cc-by-nc-4.0", "transformers", ["me/cuhk"])
    found = {
        result.metric_name: (result.metric_value, result.dataset_name, result.dataset_split)
        for result in data.eval_results
    }
    assert found["Rank-1"] == (71.26, "CUHK-PEDES", "test") and len(found) == 5, "only its own, not the other's"
    assert "| pretrained | CUHK-PEDES | direct transfer | text-to-image | 20.0 [70.3, 72.3] |" in card
    assert "| tuned (this checkpoint) | CUHK-PEDES | fine-tuned | text-to-image | 71.3 [70.3, 72.3] |" in card
    assert "(1000 people, 3074 gallery items, 6156 queries; chance is 0.1 % Rank-1)" in card
    assert card.index("**Pre-training** on luperson-t, split train, 12,000 pairs") < card.index(
        "**Fine-tuning** on me/cuhk"
    )
    assert "The last logged loss is 0.007" in card and "batch_size 72" in card and "seed" not in card
    # 100 steps at 4 and 50 at 2 samples a second, 72 samples each, twice: 2 * (1800 + 1800) s.
    assert "* Hours: 2.00, of the training steps" in card
    assert "* Hardware: 8 x A100" in card and "* Energy: not measured" in card
    assert "## Intended use" in card and str(tmp_path) not in card and "$" not in card
    assert "* Energy: 3.5 kWh" in write(trained, tmp_path, [record(trained)], "--energy_kwh", "3.5")


def test_what_is_not_recorded_is_said(trained, tmp_path):
    shutil.rmtree(tmp_path / "pretrained")
    card = write(trained, tmp_path, [record(trained)])
    assert "The first stages are not recorded" in card and "* Hours: not recorded" in card
    assert "* Hardware: not recorded" in card and "model pretrained" in card and str(tmp_path) not in card
    (trained / "build_settings.json").unlink()
    card = write(trained, tmp_path, [record(trained)])
    assert "How it was trained is not recorded" in card and re.search(r"## Training data\nnot recorded", card)
    assert hours(TrainingStage({"batch_size": 4}, [{"step": 1, "loss": 2.0}], None)) is None


def test_a_measured_precision_is_told(trained, tmp_path):
    settings = json.loads((trained / "build_settings.json").read_text()) | {"precision": "auto"}
    (trained / "build_settings.json").write_text(json.dumps(settings))
    assert "precision auto" in write(trained, tmp_path, [record(trained)])
    (trained / "precision.json").write_text(json.dumps({"precision": "bf16", "seconds_of_a_step": {}}))
    assert "precision bf16 (the faster one on the CPU)" in write(trained, tmp_path, [record(trained)])


def test_pretraining_that_went_on_from_a_model_is_not_the_beginning(trained, tmp_path):
    before = tmp_path / "pretrained"
    shutil.copytree(before, tmp_path / "first")
    settings = json.loads((before / "build_settings.json").read_text())
    (before / "build_settings.json").write_text(json.dumps(settings | {"model": f"{tmp_path}/first"}))
    card = write(trained, tmp_path, [record(trained)])
    assert card.count("**Pre-training** on") == 2 and "not recorded: the folder" not in card
    (before / "build_settings.json").write_text(json.dumps(settings | {"model": "openai/clip-vit-base-patch16"}))
    card = write(trained, tmp_path, [record(trained)])
    assert "model openai/clip-vit-base-patch16" in card and "The first stages are not recorded" in card


def test_how_the_checkpoint_was_chosen_is_said(trained, tmp_path):
    card = write(trained, tmp_path, [record(trained)])
    assert card.count("The weights are those of the last step: no checkpoint was chosen.") == 1
    chosen = {"metric": "R1", "score": 47.26, "step": 200, "steps": 250, "eval_steps": 50, "people": 1000}
    for held_out, where in (([], "the 1000 people of split val"), ([3, 8], "1000 people held out of split val")):
        told = json.dumps(chosen | {"split": "val", "held_out_person_ids": held_out})
        (trained / "validation.json").write_text(told)
        card = write(trained, tmp_path, [record(trained)])
        assert f"The weights are those of step 200 of 250, chosen by Rank-1 on {where} (47.3 %), never on test." in card
        assert "no checkpoint was chosen" not in card


def test_data_in_a_benchmarks_layout_is_not_called_the_benchmark(tmp_path):
    (tmp_path / "cuhk-pedes").mkdir()
    assert benchmark_title(tmp_path / "cuhk-pedes") == "cuhk-pedes"
    (tmp_path / "cuhk-pedes" / "README.md").write_text("---\npretty_name: Data in CUHK-PEDES's layout\n---\n")
    assert benchmark_title(tmp_path / "cuhk-pedes") == "Data in CUHK-PEDES's layout"
    assert benchmark_title("me/cuhk") == "me/cuhk" and benchmark_title("/home/ann/cuhk") == "cuhk"
    assert [public_name(name) for name in ("../x", "runs/a/b", "me/x", "x", str(tmp_path))] == [
        "x", "b", "me/x", "x", tmp_path.name,
    ]  # fmt: skip


def test_a_training_on_several_data_sets_names_each(trained, tmp_path):
    settings = json.loads((trained / "build_settings.json").read_text())
    settings |= {
        "dataset": ["me/cuhk", f"{tmp_path}/icfg"],
        "dataset_digest": ["1f", "2e"],
        "dataset_weights": [3.0, 1.0],
    }
    (trained / "build_settings.json").write_text(json.dumps(settings))
    choice = {
        "score": 50.0,
        "step": 3,
        "steps": 9,
        "people": 7,
        "split": {"me/cuhk": "val", f"{tmp_path}/icfg": "train"},
    }
    choice["held_out_person_ids"] = {f"{tmp_path}/icfg": [1, 2]}
    (trained / "validation.json").write_text(json.dumps(choice))
    card = write(trained, tmp_path, [record(trained)])
    assert "**Fine-tuning** on me/cuhk and icfg, split train." in card and str(tmp_path) not in card
    assert "dataset me/cuhk + icfg" in card and "dataset_weights 3.0 + 1.0" in card and "dataset_digest 1f + 2e" in card
    assert (
        "on the 7 people of split val of me/cuhk and split train of icfg (people held out) (50.0 %), never on test"
        in card
    )
    assert "* me/cuhk (`me/cuhk`)\n* icfg (`icfg`)" in card and ModelCard(card).data.datasets == ["me/cuhk"]
    (trained / "build_settings.json").unlink()
    training = last_training(trained)
    assert (training.digests, training.dataset) == (["1f", "2e"], "me/cuhk + icfg"), "the card alone says it, too"


def test_mistakes_are_told(trained, tmp_path):
    for records, options, message in (
        ([record("elsewhere")], [], "holds no record of .*tuned, only of elsewhere; evaluate it first"),
        ({"a": 1}, [], "evaluation.json is not a JSON file that"),
        ([record(trained), record(trained, average_precision="trapezoidal")], [], "mixes mAP and trapezoidal mAP"),
        ([record(trained)], ["--about", "nowhere.md"], "--about nowhere.md cannot be read"),
        ([record(trained)], ["--private"], "--private belongs to --push-to-hub"),
    ):
        with pytest.raises(UserError, match=message):
            write(trained, tmp_path, records, *options)
        assert not (trained / "README.md").exists()
    with pytest.raises(UserError, match="not a model folder: it holds no config.json"):
        write(tmp_path, tmp_path, [record(trained)])
    assert not (tmp_path / "README.md").exists()


def test_a_trained_folder_is_sent_in_one_commit_without_paths_of_this_machine(trained, tmp_path, hub, caplog):
    options = ["--push-to-hub", "tuned", "--private"]
    caplog.set_level(logging.INFO)
    write(trained, tmp_path, [record(trained)], *options)
    here = {path.name: path.read_bytes() for path in trained.iterdir() if path.name != "build_settings.json"}
    shown = {name: content for name, content in hub.files["me/tuned"].items() if name != ".gitattributes"}
    assert shown == here and "model.safetensors" in shown and b"model-index" in shown["README.md"]
    assert len(hub.commits["me/tuned"]) == 1 and "me/tuned" in hub.private
    assert not [request for request in hub.asked if " " in request], "unknown requests"
    assert str(tmp_path).encode() not in b"".join(
        content for name, content in shown.items() if name.endswith(("md", "json"))
    )
    assert f"me/tuned holds {trained}: {hub.endpoint}/me/tuned/commit/" in caplog.text
    sent = dict(hub.sent)
    write(trained, tmp_path, [record(trained, R1=72.0)], *options)
    assert dict(hub.sent) == sent and hub.commits["me/tuned"][-1] == {"README.md"}, "weights are not sent twice"


def test_without_leave_to_write_the_card_is_not_touched(trained, tmp_path, hub):
    with pytest.raises(UserError, match="this token may not write to others/x: .* rights to create a model under"):
        write(trained, tmp_path, [record(trained)], "--push-to-hub", "others/x")
    assert not (trained / "README.md").exists()


def test_images_of_losses_are_shown(tmp_path):
    for name in ("pretrained_loss.png", "loss_curve.png", "other.png"):
        (tmp_path / name).write_bytes(b"")
    assert loss_curves(tmp_path) == ["![loss curve](loss_curve.png)", "![pretrained loss](pretrained_loss.png)"]
