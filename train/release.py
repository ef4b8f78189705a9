"""Make everything the repository releases: unipt/clip-tiny, luperson-t and unipt/unipt-tiny, with their cards.

    make release          # or: python train/release.py --work runs/release

This takes about an hour and a half on two cores. Every stage is a command of this project. A stage that is complete is
left alone, so the command can be stopped and started again. At the end the results replace the released folders.

Each seed of the renderer serves one purpose only: 9001 and 9002 the tiny CLIP, 9400 its calibration, 9100 the sample
dataset, 9200 pre-training, 9300 the benchmark. If only the modelling code changed, `make hub-code` is enough.
"""

import argparse
import json
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from string import Template

from transformers import CLIPModel, CLIPProcessor, PreTrainedModel

from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.measure.agreement import agreement_table
from dataset_builders.measure.truth import read_truth
from modeling_unipt.common.atomic_files import write_text
from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import run_command
from modeling_unipt.loading import load_unipt
from unipt_train.evaluation.measure import training_setting
from unipt_train.evaluation.scorer_agreement import held_out_agreement
from unipt_train.publishing.card import CARDS, Facts, read_records, write_model_card
from unipt_train.studies.commands import (
    LAUNCH,
    PYTHON,
    RELEASED_SCORER,
    ROOT,
    Command,
    build_luperson_t,
    command_line,
    evaluate,
    read_benchmark,
    render_benchmark,
    render_people,
    require_clone,
)
from unipt_train.studies.results import oracle_rank_1
from unipt_train.studies.running import Stage, run_stages

RELEASED_MODEL = "unipt/unipt-tiny"
MACHINE = f"{platform.machine()}, two CPU cores, no accelerator"
BENCHMARK = {"identities": 2250, "views": 4, "seed": 9300, "test": 200, "val": 50}
STEPS = 2500
# The folder that the commands in the model's card work in, on the machine of whoever types them.
CARD_WORK = "runs/card"


def clip_stages(work: str) -> list[Stage]:
    """The stages that train the tiny CLIP."""
    train: Command = [*PYTHON, "train/train_clip.py", "--renders", f"{work}/clip-renders"]
    train += ["--held-out", f"{work}/clip-held-out", "--output-dir", f"{work}/clip-tiny", "--precision", "no"]
    return [
        Stage(
            "Render for the tiny CLIP",
            "People of seed 9001.",
            render_people(f"{work}/clip-renders", 30000, 1, 9001),
        ),
        Stage(
            "Render its held-out people",
            "People of seed 9002, to measure its accuracy.",
            render_people(f"{work}/clip-held-out", 1000, 1, 9002),
        ),
        Stage(
            "Train the tiny CLIP",
            "On prompts of single attributes.",
            [*train, "--max-steps", 2000, "--seed", 9000],
        ),
    ]


def calibration_stages(work: str) -> list[Stage]:
    """The stages that calibrate the released CLIP."""
    people = f"{work}/calibration-renders"
    calibrate: Command = [*PYTHON, "-m", "dataset_builders.calibrate", "--scorer", RELEASED_SCORER]
    return [
        Stage(
            "Render people to calibrate on",
            "People of seed 9400.",
            render_people(people, 3000, 1, 9400),
        ),
        Stage(
            "Calibrate the released CLIP",
            "Temperatures, priors and thresholds of the recipe best are stored beside it.",
            [*calibrate, "--images", f"{people}/images", "--truth", f"{people}/truth.jsonl"],
        ),
    ]


def released_luperson_t(work: str, name: str, recipe: str, seed: int, captions: int) -> Command:
    """Build the dataset ``name`` of the people rendered for it, with what its card says of them."""
    people = f"{work}/{name}-renders"
    build = build_luperson_t(people, f"{work}/{name}", recipe, seed, captions)
    return [*build, "--truth", f"{people}/truth.jsonl", "--license", "apache-2.0"]


def model_stages(work: str) -> list[Stage]:
    """The stages that build the sample dataset and train the model."""
    pretrain: Command = [*LAUNCH, "train/pretrain.py", "--config", "train/configs/pretrain_tiny.yaml"]
    finetune: Command = [*LAUNCH, "train/finetune.py", "--config", "train/configs/finetune_tiny.yaml"]
    return [
        Stage(
            "Render the sample's people",
            "1,000 people, one view each.",
            render_people(f"{work}/luperson-t-renders", 1000, 1, 9100),
        ),
        Stage(
            "Build the sample dataset",
            "LUPerson-T in small.",
            released_luperson_t(work, "luperson-t", "best", seed=0, captions=2),
        ),
        Stage(
            "Render the pre-training people",
            "Unlabelled people, who stand in for LUPerson.",
            render_people(f"{work}/pretraining-renders", 6000, 2, 9200),
        ),
        Stage(
            "Build the pre-training dataset",
            "Its captions are pseudo-texts.",
            released_luperson_t(work, "pretraining", "paper", seed=1, captions=4),
        ),
        Stage(
            "Render the benchmark",
            "In CUHK-PEDES's layout, with 200 test people.",
            render_benchmark(f"{work}/benchmark", **BENCHMARK),
        ),
        Stage(
            "Read the benchmark",
            "It becomes a dataset of Parquet files.",
            read_benchmark(f"{work}/benchmark", f"{work}/cuhk-pedes"),
        ),
        Stage(
            "Pre-train",
            "The first half of the released model's training.",
            [*pretrain, "--max-steps", STEPS, "--dataset", f"{work}/pretraining", "--output-dir", f"{work}/pretrained"],
        ),
        Stage(
            "Fine-tune",
            "The second half of the released model's training.",
            [*finetune, "--max-steps", STEPS, "--model", f"{work}/pretrained", "--dataset", f"{work}/cuhk-pedes"]
            + ["--output-dir", f"{work}/finetuned"],
        ),
    ]


def save_half(model: PreTrainedModel, folder: Path) -> None:
    """Save weights as float16 (half the size) under a configuration that loads them back as float32."""
    model.half().save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    write_text(path, json.dumps(config, indent=2, sort_keys=True) + "\n")


def fill_card(name: str, **values: str) -> str:
    """The text of ``cards/<name>.md`` with its ``$placeholders`` filled."""
    return Template((CARDS / f"{name}.md").read_text(encoding="utf-8")).substitute(machine=MACHINE, **values)


def release_clip(work: str) -> None:
    """Replace unipt/clip-tiny by the CLIP that was trained."""
    source = Path(work) / "clip-tiny"
    target = ROOT / RELEASED_SCORER
    shutil.rmtree(target, ignore_errors=True)
    save_half(CLIPModel.from_pretrained(source), target)
    CLIPProcessor.from_pretrained(source).save_pretrained(target)
    held_out = f"{work}/clip-held-out"
    truth = read_truth(f"{held_out}/truth.jsonl")
    # The released weights are measured, which are rounded to float16.
    table = agreement_table(held_out_agreement(str(target), load_vocabulary(), truth, held_out))
    write_text(target / "README.md", fill_card("clip-tiny", table=table))
    print(f"released {target.relative_to(ROOT)}")


def release_dataset(work: str) -> None:
    """Replace luperson-t by the sample dataset that was built."""
    target = ROOT / "luperson-t"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(Path(work) / "luperson-t", target)
    print(f"released {target.relative_to(ROOT)}")


def release_model(work: str) -> None:
    """Replace unipt/unipt-tiny, except its card, by the model that was fine-tuned."""
    target = ROOT / RELEASED_MODEL
    model, processor = load_unipt(Path(work) / "finetuned")
    shutil.rmtree(target, ignore_errors=True)
    save_half(model, target)
    processor.save_pretrained(target)
    for stage in ("pretrained", "finetuned"):
        shutil.copyfile(Path(work) / stage / "loss_curve.png", target / f"{stage}_loss.png")
    print(f"released {target.relative_to(ROOT)}")


def about_unipt_tiny(oracle: float) -> str:
    """The text below the title of the model's card.

    Args:
        oracle: Rank-1 in percent of the benchmark's oracle.
    """
    benchmark = f"{CARD_WORK}/benchmark"
    dataset = f"{CARD_WORK}/cuhk-pedes"
    again = [
        render_benchmark(benchmark, **BENCHMARK),
        read_benchmark(benchmark, dataset),
        evaluate(dataset, RELEASED_MODEL),
    ]
    commands = "\n".join(command_line(command) for command in again)
    return fill_card("unipt-tiny", oracle=f"{oracle:.1f}", commands=commands)


def write_unipt_card(work: str) -> None:
    """Evaluate the released weights, which are rounded to float16, beside the pre-trained model, and write the card."""
    output = f"{work}/evaluation.json"
    dataset = f"{work}/cuhk-pedes"
    command = [*evaluate(dataset, f"{work}/pretrained", RELEASED_MODEL), "--output", output]
    run_stages([Stage("Evaluate what is released", "And the pre-trained model alone, for comparison.", command)])
    records = read_records([output])
    for record in records:
        if record["model"] == RELEASED_MODEL:
            # The released folder has no build_settings.json, which would say it.
            record["setting"] = training_setting(f"{work}/finetuned", dataset)
    facts = Facts(
        about=about_unipt_tiny(oracle_rank_1(f"{work}/benchmark")),
        license="apache-2.0",
        hardware=MACHINE,
        tags=("synthetic",),
        trained_as=f"{work}/finetuned",
    )
    write_model_card(ROOT / RELEASED_MODEL, records, facts)


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", default="runs/release", help="folder for renders and trainings (default: runs/release)"
    )
    work = parser.parse_args(argv).work
    require_clone()
    run_stages(clip_stages(work))
    release_clip(work)
    run_stages(calibration_stages(work))
    run_stages(model_stages(work))
    release_dataset(work)
    release_model(work)
    write_unipt_card(work)


if __name__ == "__main__":
    run_command(main)
