"""Pre-training, fine-tuning and evaluation as commands: results load, reruns are left alone, mistakes are told."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests.helpers.kill_tree import kill_tree
from tests.helpers.paths import ROOT

COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200), "green": (30, 160, 30), "white": (240, 240, 240)}


def run(*command, ok=True):
    """A real command in a real process; returns its stdout + stderr."""
    finished = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    output = finished.stdout + finished.stderr
    assert (finished.returncode == 0) is ok, output
    assert "Traceback" not in output, output
    return output


@pytest.fixture(scope="session")
def benchmark(tmp_path_factory):
    """16 people of two views, told apart by the colours of their upper and lower half; train is test."""
    import datasets

    rng, rows = np.random.default_rng(0), {"image": [], "image_id": [], "person_id": [], "captions": []}
    for person, (upper, lower) in enumerate((u, w) for u in COLOURS for w in COLOURS):
        for view in range(2):
            pixels = np.concatenate([np.full((32, 32, 3), COLOURS[upper]), np.full((32, 32, 3), COLOURS[lower])])
            noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
            rows["image"].append(Image.fromarray(noisy))
            rows["image_id"].append(f"{person}-{view}")
            rows["person_id"].append(person)
            rows["captions"].append([f"a person in a {upper} coat and {lower} trousers", f"{upper} top, {lower} pants"])
    folder = tmp_path_factory.mktemp("data") / "benchmark"
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    folder.mkdir()
    for split in ("train", "test"):
        embedded = table.with_format("arrow").map(datasets.table.embed_table_storage, batched=True)
        embedded.with_format(None).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """Architecture folders of two very small encoders, and a configuration that names them."""
    from unipt_train.data.tokenizers import bert_tokenizer

    folder = tmp_path_factory.mktemp("encoders")
    vision = {"model_type": "vit", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 2, "image_size": [64, 32], "patch_size": 16}
    text = {"model_type": "bert", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "vocab_size": 200, "max_position_embeddings": 32}
    for name, config in (("vision", vision), ("text", text)):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
    bert_tokenizer([f"a person in a {c} coat and {c} trousers top pants ," for c in COLOURS]).save_pretrained(
        folder / "text"
    )
    (folder / "tiny.yaml").write_text(
        f"vision_model: {folder}/vision\ntext_model: {folder}/text\nrandom_init: true\nimage_height: 64\n"
        "image_width: 32\nmax_text_tokens: 32\nprojection_dim: 32\nlogit_scale: 14.3\nlearnable_logit_scale: true\n"
        'batch_size: 16\nlearning_rate: 3e-3\nprecision: "no"\nnum_workers: 0\nlog_steps: 2\n'
    )
    return folder


@pytest.fixture(scope="session")
def pretrained(benchmark, encoders, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "pretrained"
    run("-m", "accelerate.commands.launch", "--cpu", "train/pretrain.py", "--config", encoders / "tiny.yaml",
        "--dataset", benchmark, "--output_dir", output, "--max_steps", 60)  # fmt: skip
    return output


def test_pretraining_learns_and_its_folder_loads_with_auto_classes(pretrained):
    from transformers import AutoModel, AutoProcessor

    import modeling_unipt

    log = json.loads((pretrained / "training_log.json").read_text())
    assert log[-1]["contrastive_loss"] < 0.5 * log[0]["contrastive_loss"]
    assert log[-1]["mlm_loss"] < log[0]["mlm_loss"]
    assert isinstance(AutoModel.from_pretrained(pretrained), modeling_unipt.UniPTModel)
    assert isinstance(AutoProcessor.from_pretrained(pretrained), modeling_unipt.UniPTProcessor)
    assert (pretrained / "loss_curve.png").stat().st_size > 1000
    assert not (pretrained / "checkpoints").exists()
    assert not pretrained.with_name("pretrained.partial").exists()


def test_finetuning_and_evaluation(pretrained, benchmark, tmp_path):
    finetuned, results = tmp_path / "finetuned", tmp_path / "results.json"
    run("train/finetune.py", "--model", pretrained, "--dataset", benchmark, "--output_dir", finetuned,
        "--max_steps", 60, "--batch_size", 16, "--vision_learning_rate", "3e-4", "--text_learning_rate", "3e-4",
        "--num_workers", 0, "--granularity_loss_weight", 0, "--eval_steps", 0)  # fmt: skip
    run("train/evaluate_retrieval.py", "--model", pretrained, finetuned, "--dataset", benchmark, "--output", results,
        "--contact_sheet", tmp_path / "sheet.png")  # fmt: skip
    before, after = json.loads(results.read_text())
    assert (before["queries"], before["gallery"], before["identities"]) == (64, 32, 16)
    assert after["R1"] > 60
    assert (before["setting"], after["setting"]) == ("direct transfer", "fine-tuned")
    assert json.loads((finetuned / "build_settings.json").read_text())["dataset_digest"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 200


def test_a_complete_output_is_left_alone_and_other_settings_are_refused(pretrained, benchmark, encoders):
    weights = (pretrained / "model.safetensors").stat().st_mtime_ns
    same = ["train/pretrain.py", "--config", encoders / "tiny.yaml", "--dataset", benchmark, "--output_dir", pretrained]
    assert "already complete" in run(*same, "--max_steps", 60)
    output = run(*same, "--max_steps", 61, ok=False)
    assert "made with other settings: max_steps was 60 and is now 61" in output
    assert (pretrained / "model.safetensors").stat().st_mtime_ns == weights


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--dataset", "nowhere/at-all"], "dataset 'nowhere/at-all' cannot be loaded"),
        (["--batch_size", "1"], "--batch-size 1 is too small"),
        (["--vision_model", "./missing"], "cannot both be loaded"),
        (["--model", "./missing"], "with --model give --random-init false"),
        (["--model", "./missing", "--random_init", "false"], "model folder ./missing does not exist"),
        (["--split", "validation"], "has no split 'validation'; it has"),
    ],
)
def test_pretraining_mistakes(encoders, benchmark, tmp_path, extra, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    command = ["train/pretrain.py", "--config", encoders / "tiny.yaml", "--output_dir", tmp_path / "out"]
    dataset = [] if "--dataset" in extra else ["--dataset", benchmark]
    assert message in run(*command, *dataset, *extra, ok=False)
    assert list(tmp_path.iterdir()) == []


def test_captions_that_are_too_long_are_truncated_and_counted(encoders, benchmark, tmp_path):
    output = run("train/pretrain.py", "--config", encoders / "tiny.yaml", "--dataset", benchmark, "--output_dir",
                 tmp_path / "out", "--max_steps", 2, "--max_text_tokens", 8, "--report_to", "none")  # fmt: skip
    # one of an image's two captions has eleven tokens, the other seven
    counted = int(output.split(" of 32 captions were longer than the model reads")[0].split()[-1])
    assert 4 <= counted <= 28


def test_pretraining_goes_on_from_a_whole_model(pretrained, encoders, benchmark, tmp_path):
    """Its first loss is about where the model's own training ended, not that of a new model."""
    output = tmp_path / "out"
    told = run("train/pretrain.py", "--config", encoders / "tiny.yaml", "--random_init", "false", "--model", pretrained,
               "--dataset", benchmark, "--output_dir", output, "--max_steps", 2, "--learning_rate", "1e-5",
               "--centre_embeddings", "true")  # fmt: skip
    assert f"from {pretrained}, with its own projections, pooling and scale, on 32 pairs" in told
    before = json.loads((pretrained / "training_log.json").read_text())
    after = json.loads((output / "training_log.json").read_text())
    assert after[0]["contrastive_loss"] < 1.5 * before[-1]["contrastive_loss"] < 0.75 * before[0]["contrastive_loss"]
    config = json.loads((output / "config.json").read_text())
    assert config["projection_dim"] == 32


def test_finetuning_from_a_folder_that_is_not_unipt(encoders, benchmark, tmp_path):
    output = run("train/finetune.py", "--model", encoders / "text", "--dataset", benchmark, "--output_dir",
                 tmp_path / "out", ok=False)  # fmt: skip
    assert "holds a bert model, not UniPT" in output
    assert list(tmp_path.iterdir()) == []


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launch", "options"),
    [([sys.executable], []), (TORCHRUN, ["--chunk_size", "4"])],
    ids=["one process", "two processes"],
)
def test_killed_training_resumes_to_the_uninterrupted_losses(benchmark, encoders, tmp_path, launch, options):
    """Two steps an epoch, a checkpoint every 15: some lie within an epoch."""

    def command(name):
        common = ["--max_steps", "120", "--save_steps", "15", "--precision", "no", "--cpu", "true"]
        data = ["--dataset", benchmark, "--output_dir", tmp_path / name]
        return [*launch, "train/pretrain.py", "--config", encoders / "tiny.yaml", *data, *common, *options]

    subprocess.run(command("whole"), cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen(command("killed"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "killed.partial" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-????????")) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill_tree(process)
    assert not (tmp_path / "killed").exists()
    resumed = subprocess.run(command("killed"), cwd=ROOT, check=True, capture_output=True, text=True)
    assert "resuming at step" in resumed.stderr

    def losses(name):
        log = json.loads((tmp_path / name / "training_log.json").read_text())
        return [(row["step"], row["loss"]) for row in log]

    assert losses("killed") == losses("whole") and len(losses("whole")) == 60


@pytest.mark.slow
def test_a_second_training_into_the_same_folder_is_refused_by_every_rank(benchmark, encoders, tmp_path):
    """The first one goes on; once it is killed, its folder is free."""
    from modeling_unipt.common.locks import is_held

    options = ["--config", encoders / "tiny.yaml", "--dataset", benchmark, "--output_dir", tmp_path / "out"]
    options += ["--max_steps", "100000", "--precision", "no", "--cpu", "true", "--report-to", "none"]
    command = ["train/pretrain.py", *map(str, options)]
    first = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "out.partial").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        second = subprocess.run([*TORCHRUN, *command], cwd=ROOT, capture_output=True, text=True, timeout=200)
        assert second.returncode != 0
        errors = [line for line in second.stderr.splitlines() if line.startswith("error: ")]
        told = f"error: another process is already writing {tmp_path / 'out'}; wait for it, or stop it first"
        # torchrun may end the second rank before it has spoken.
        assert errors in ([told], [told, told])
        assert first.poll() is None and is_held(tmp_path / "out.partial" / "lock")
    finally:
        kill_tree(first)
    assert not is_held(tmp_path / "out.partial" / "lock")


@pytest.mark.slow
def test_two_processes_train_as_one(benchmark, encoders, tmp_path):
    """Without dropout the losses of two processes are those of one, but for rounding. Where there is no GPU, they need
    no option to find each other."""
    text = json.loads((encoders / "text" / "config.json").read_text())
    shutil.copytree(encoders / "text", tmp_path / "text")
    quiet = {**text, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (tmp_path / "text" / "config.json").write_text(json.dumps(quiet))
    found = {}
    for name, launch in (("one", [sys.executable]), ("two", TORCHRUN)):
        finished = subprocess.run(
            [*launch, "train/pretrain.py", "--config", encoders / "tiny.yaml", "--text_model", tmp_path / "text",
             "--dataset", benchmark, "--output_dir", tmp_path / name, "--max_steps", "20", "--precision", "no"],
            cwd=ROOT, check=True, capture_output=True, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        )  # fmt: skip
        found[name] = [row["loss"] for row in json.loads((tmp_path / name / "training_log.json").read_text())]
    assert "global batch 16: 2 process(es) x 8 pairs, 8 in a forward pass; 15 negatives a query" in finished.stdout
    np.testing.assert_allclose(found["two"], found["one"], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("option", ["--torch_compile", "--gradient_checkpointing"])
def test_a_model_computed_otherwise_is_the_same_model(benchmark, encoders, tmp_path, option):
    """Two steps: compiling takes half a minute for each new length of text."""
    from modeling_unipt.loading import load_unipt

    found = {}
    for name, options in (("plain", []), ("other", [option, "true"])):
        run("train/pretrain.py", "--config", encoders / "tiny.yaml", "--dataset", benchmark, "--output_dir",
            tmp_path / name, "--max_steps", 2, "--precision", "no", "--cpu", "true", *options)  # fmt: skip
        found[name] = json.loads((tmp_path / name / "training_log.json").read_text())[-1]["contrastive_loss"]
        load_unipt(tmp_path / name)
    assert found["other"] == pytest.approx(found["plain"], abs=0.2)  # dropout draws others when compiled
