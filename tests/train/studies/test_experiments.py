"""The commands of `make reproduce`: complete, in order, each once, and such that the scripts take them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from unipt_train.reproduce import cost, markdown
from unipt_train.studies.experiment_jobs import jobs_of, result_of
from unipt_train.studies.experiments import EXPERIMENTS, LONG
from unipt_train.studies.running import TOOK


@pytest.fixture(scope="module")
def jobs():
    return jobs_of(EXPERIMENTS, Path("work"))


def test_every_job_comes_after_what_it_needs_and_makes_something_of_its_own(jobs):
    made = set()
    for job in jobs:
        assert set(job.needs) <= made and job.output not in made
        made.add(job.output)


def test_commands_that_differ_make_other_outputs(jobs):
    """No two models share a name: the command without its output tells them apart."""
    commands = [tuple(str(part) for part in job.command if str(part) != str(job.output)) for job in jobs]
    assert len(set(commands)) == len(commands)


def test_longer_pretraining_is_all_that_times_changes():
    once, twice = (jobs_of(EXPERIMENTS, Path("work"), times) for times in (1, 2))
    longer = set()
    for one, two in zip(once, twice, strict=True):
        changed = [(old, new) for old, new in zip(one.command, two.command, strict=True) if old != new]
        if changed:
            (steps,) = changed
            assert "train/pretrain.py" in one.command and steps[1] == 2 * steps[0]
            longer.add(one.output)
    pretrained = {job.output for job in once if "train/pretrain.py" in job.command}
    assert {output.name for output in pretrained - longer} == {"dataset-best-training-best-untrained"}


def test_every_command_is_understood(jobs):
    """Each script's own parser takes the options; nothing is run."""
    from unipt_train import evaluate_retrieval, finetune, pretrain
    from unipt_train.engine.arguments import parse_arguments
    from unipt_train.studies import fewer_templates, mix_encoders

    classes = {
        "train/pretrain.py": pretrain.PretrainArguments,
        "train/finetune.py": finetune.FinetuneArguments,
        "train/evaluate_retrieval.py": evaluate_retrieval.EvaluateArguments,
    }
    seen = set()
    for job in jobs:
        words = [str(part) for part in job.command]
        script = next(word for word in words if word.startswith("train/") or word.startswith("dataset_builders"))
        if script in classes:
            parse_arguments(classes[script], "", words[words.index(script) + 1 :])
        seen.add(script)
    assert seen >= {*classes, "train/studies/fewer_templates.py", "train/studies/mix_encoders.py"}
    assert fewer_templates.main and mix_encoders.main


def test_the_table_says_what_is_missing_and_gives_mean_and_spread(tmp_path):
    experiment = {"mlm": EXPERIMENTS["mlm"], "images": EXPERIMENTS["images"]}
    without, with_mlm = EXPERIMENTS["mlm"].runs
    for seed, value in ((0, 10.0), (1, 14.0)):
        path = tmp_path / f"seed-{seed}" / f"{without.model.name}.json"
        path.parent.mkdir()
        path.write_text(json.dumps([{"R1": value, "identities": 120, "model": "x"}]))
    rows = {run.name: [result_of(run, seed, tmp_path) for seed in (0, 1, 2)] for run in (without, with_mlm)}
    images = {run.name: [result_of(run, 0, tmp_path)] for run in EXPERIMENTS["images"].runs}
    text = markdown(experiment, {"mlm": rows, "images": images})
    assert "| without | 12.0 ± 2.8 (1 of 3 seeds missing) | 10.0, 14.0, missing |" in text
    assert "| with | missing | missing, missing, missing |" in text
    assert "Experiments that were not run: `images`." in text and "| half |" not in text
    longer = markdown(experiment, {"mlm": rows, "images": images}, times=2)
    assert f"after {LONG} steps of pre-training" in text and f"after {2 * LONG} steps of pre-training" in longer


def test_the_logs_say_what_it_cost(tmp_path):
    for name, seconds in (("a", 90), ("b", 150)):
        (tmp_path / f"{name}.log").write_text(f"$ python x\n\r50%\n{TOOK} {seconds} s\n")
    assert cost(tmp_path) == " 2 commands took 4 minutes of a core." and cost(tmp_path / "none") == ""
    assert cost(tmp_path, 150) == " 2 commands took 4 minutes of a core, and all together 2 minutes."


def test_mixed_encoders(tiny_config, tiny_processor, tmp_path):
    import torch

    from modeling_unipt import UniPTModel
    from modeling_unipt.loading import load_unipt

    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        UniPTModel(tiny_config()).save_pretrained(tmp_path / name)
        tiny_processor.save_pretrained(tmp_path / name)
    command = [sys.executable, "train/studies/mix_encoders.py", "--vision", tmp_path / "a", "--text", tmp_path / "b"]
    subprocess.run([*command, "--output", tmp_path / "mixed"], cwd=ROOT, check=True, capture_output=True)
    a, b, mixed = (load_unipt(tmp_path / name)[0].state_dict() for name in ("a", "b", "mixed"))
    for name, weights in mixed.items():
        source = b if name.startswith(("text_model.", "text_projection.")) else a
        assert torch.equal(weights, source[name]), name
    assert any(not torch.equal(a[name], b[name]) for name in a if name.startswith("text_projection"))
