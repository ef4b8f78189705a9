"""Make everything the repository releases: unipt/clip-tiny, luperson-t and unipt/unipt-tiny, with their cards.

    make release          # or: python train/release.py --work runs/release

About an hour and a half on two cores. Every stage is a command of this project; a stage that is complete is left
alone, so it can be interrupted. The seeds are used for nothing else: 9001 and 9002 for the tiny CLIP, 9400 for its
calibration, 9100 for the sample dataset, 9200 for pre-training, 9300 for the benchmark. The results are copied over the
released folders at the end.
"""

import argparse
import json
import platform
import shutil
from pathlib import Path
from string import Template

from modeling_unipt.common.user_errors import run_command
from unipt_train.studies.commands import LAUNCH, PYTHON, RENDER, ROOT, command_line, run_stages

CARDS = Path(__file__).parent / "cards"
MACHINE = f"{platform.machine()}, two CPU cores, no accelerator"


def clip_stages(work):
    return [
        (
            "Render for the tiny CLIP",
            "People of seeds 9001 and 9002, used nowhere else.",
            [*RENDER, "--output", f"{work}/clip-renders", "--identities", 30000, "--views", 1, "--seed", 9001]
            + ["--layout", "images"],
        ),
        (
            "Render its held-out people",
            "For its accuracy.",
            [*RENDER, "--output", f"{work}/clip-held-out", "--identities", 1000, "--views", 1, "--seed", 9002]
            + ["--layout", "images"],
        ),
        (
            "Train the tiny CLIP",
            "On prompts of single attributes.",
            [*PYTHON, "train/train_clip.py", "--renders", f"{work}/clip-renders", "--held_out", f"{work}/clip-held-out"]
            + ["--output_dir", f"{work}/clip-tiny", "--max_steps", 2000, "--seed", 9000],
        ),
    ]


def luperson_t(work, name, recipe, seed, captions):
    return [*PYTHON, "-m", "dataset_builders.luperson_t", "--images", f"{work}/{name}-renders/images"] + [
        "--truth", f"{work}/{name}-renders/truth.jsonl", "--scorer", "unipt/clip-tiny", "--recipe", recipe,
        "--output", f"{work}/{name}",
        "--seed", seed, "--captions-per-image", captions, "--license", "apache-2.0",
    ]  # fmt: skip


def render_benchmark(work):
    return [*RENDER, "--output", f"{work}/benchmark", "--identities", 2250, "--views", 4, "--seed", 9300] + [
        "--test-identities", 200, "--val-identities", 50, "--layout", "cuhk-pedes",
    ]  # fmt: skip


def read_benchmark(work):
    return [*PYTHON, "-m", "dataset_builders.benchmarks", "cuhk-pedes"] + [
        "--source", f"{work}/benchmark", "--output", f"{work}/cuhk-pedes", "--allow-partial",
    ]  # fmt: skip


def evaluate(work, *models):
    return [*PYTHON, "train/evaluate_retrieval.py", "--model", *models, "--dataset", f"{work}/cuhk-pedes"]


def calibration_stages(work):
    calibrate = [*PYTHON, "-m", "dataset_builders.calibrate", "--scorer", "unipt/clip-tiny"]
    calibrate += ["--images", f"{work}/calibration-renders/images"]
    return [
        (
            "Render people to calibrate on",
            "Of seed 9400, used for nothing else.",
            [*RENDER, "--output", f"{work}/calibration-renders", "--identities", 3000, "--views", 1, "--seed", 9400]
            + ["--layout", "images"],
        ),
        (
            "Calibrate the released CLIP",
            "Temperatures, priors and thresholds of the recipe best, stored beside it.",
            [*calibrate, "--truth", f"{work}/calibration-renders/truth.jsonl"],
        ),
    ]


def model_stages(work):
    return [
        (
            "Render the sample's people",
            "1,000 people, one view each.",
            [*RENDER, "--output", f"{work}/luperson-t-renders", "--identities", 1000, "--views", 1, "--seed", 9100]
            + ["--layout", "images"],
        ),
        ("Build the sample dataset", "LUPerson-T in small.", luperson_t(work, "luperson-t", "best", 0, 2)),
        (
            "Render the pre-training people",
            "Unlabelled, as LUPerson.",
            [*RENDER, "--output", f"{work}/pretraining-renders", "--identities", 6000, "--views", 2, "--seed", 9200]
            + ["--layout", "images"],
        ),
        ("Build the pre-training dataset", "Pseudo-texts.", luperson_t(work, "pretraining", "paper", 1, 4)),
        ("Render the benchmark", "In CUHK-PEDES's layout; 200 test people.", render_benchmark(work)),
        ("Read the benchmark", "Parquet.", read_benchmark(work)),
        (
            "Pre-train",
            "The released model's first half.",
            [*LAUNCH, "train/pretrain.py", "--config", "train/configs/pretrain_tiny.yaml", "--max_steps", 2500]
            + ["--dataset", f"{work}/pretraining", "--output_dir", f"{work}/pretrained"],
        ),
        (
            "Fine-tune",
            "The released model's second half.",
            [*LAUNCH, "train/finetune.py", "--config", "train/configs/finetune_tiny.yaml", "--max_steps", 2500]
            + ["--model", f"{work}/pretrained", "--dataset", f"{work}/cuhk-pedes", "--output_dir", f"{work}/finetuned"],
        ),
    ]


def oracle_rank_1(folder):
    """Rank-1 in percent of the benchmark's oracle."""
    from dataset_builders.synthetic_pedestrians.oracle import oracle_rank1, read_benchmark

    return oracle_rank1(*read_benchmark(folder / "truth.jsonl", folder / "reid_raw.json"))


def save_half(model, folder):
    """Save weights as float16 (half the size) under a configuration that loads them back as float32."""
    model.half().save_pretrained(folder)
    path = Path(folder) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def fill_card(name, **values):
    """The text of ``cards/<name>.md`` with its ``$placeholders`` filled."""
    return Template((CARDS / f"{name}.md").read_text(encoding="utf-8")).substitute(machine=MACHINE, **values)


def release_clip(work):
    from transformers import CLIPModel, CLIPProcessor

    from dataset_builders.agreement import agreement_table, read_truth
    from dataset_builders.divide.reading import load_vocabulary
    from unipt_train.train_clip import held_out_agreement

    target, source = ROOT / "unipt" / "clip-tiny", Path(work) / "clip-tiny"
    shutil.rmtree(target, ignore_errors=True)
    save_half(CLIPModel.from_pretrained(source), target)
    CLIPProcessor.from_pretrained(source).save_pretrained(target)
    held_out = f"{work}/clip-held-out"
    truth = read_truth(f"{held_out}/truth.jsonl")
    table = agreement_table(held_out_agreement(str(target), load_vocabulary(), truth, held_out))
    (target / "README.md").write_text(fill_card("clip-tiny", table=table), encoding="utf-8")
    print(f"released {target.relative_to(ROOT)}")


def release_dataset(work):
    target = ROOT / "luperson-t"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(Path(work) / "luperson-t", target)
    print(f"released {target.relative_to(ROOT)}")


def release_model(work):
    from modeling_unipt.loading import load_unipt

    target = ROOT / "unipt" / "unipt-tiny"
    model, processor = load_unipt(Path(work) / "finetuned")
    shutil.rmtree(target, ignore_errors=True)
    save_half(model, target)
    processor.save_pretrained(target)
    for stage in ("pretrained", "finetuned"):
        shutil.copyfile(Path(work) / stage / "loss_curve.png", target / f"{stage}_loss.png")
    print(f"released {target.relative_to(ROOT)}")


def write_unipt_card(work):
    """Evaluate the released weights, which are rounded to float16, beside the pre-trained model, and write the card."""
    from unipt_train.evaluation.measure import training_setting
    from unipt_train.model_card import read_records, write_model_card

    target, output = "unipt/unipt-tiny", f"{work}/evaluation.json"
    command = evaluate(work, f"{work}/pretrained", target) + ["--output", output]
    run_stages([("Evaluate what is released", "And what pre-training is worth alone.", command)])
    records = read_records([output])
    records[-1]["setting"] = training_setting(f"{work}/finetuned", f"{work}/cuhk-pedes")  # the released folder does not tell
    again = (render_benchmark("runs/card"), read_benchmark("runs/card"), evaluate("runs/card", target))
    about = fill_card(
        "unipt-tiny",
        oracle=f"{oracle_rank_1(Path(work) / 'benchmark'):.1f}",
        commands="\n".join(command_line(command) for command in again),
    )
    write_model_card(
        ROOT / target,
        records,
        license="apache-2.0",
        about=about,
        hardware=MACHINE,
        tags=["synthetic"],
        trained_as=f"{work}/finetuned",
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", default="runs/release", help="folder for renders and training (default: runs/release)"
    )
    work = parser.parse_args(argv).work
    run_stages(clip_stages(work))
    release_clip(work)
    run_stages(calibration_stages(work))
    run_stages(model_stages(work))
    release_dataset(work)
    release_model(work)
    write_unipt_card(work)


if __name__ == "__main__":
    run_command(main)
