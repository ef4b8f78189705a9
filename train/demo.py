"""The main job on the embedded default: from unlabelled pictures of people to search by description, on two CPU cores.

    make demo            # or: python train/demo.py --seed 0 --output runs/demo
    make demo SEED=1     # everything again with other people, weights and order

Every stage is a command of this project, printed before it runs; a stage that is already complete is left alone. Ends
with a table, `results.json` and `contact_sheet.png` in the output folder.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.studies.commands import LAUNCH, PYTHON, RENDER, run_stages

UNLABELLED_PEOPLE, UNLABELLED_VIEWS = 1800, 2
BENCHMARK = {"identities": 440, "test": 120, "val": 20, "views": 4}
QUERY = "A woman with long hair in a red coat, carrying a backpack."


def stages(work, seed):
    """(title, explanation, command) of every stage; ``work`` is the folder of this seed."""
    pretrain = [*LAUNCH, "train/pretrain.py", "--config", "train/configs/pretrain_tiny.yaml", "--seed", seed]
    pretrain += ["--dataset", f"{work}/luperson-t"]
    finetune = [*LAUNCH, "train/finetune.py", "--config", "train/configs/finetune_tiny.yaml", "--seed", seed]
    finetune += ["--dataset", f"{work}/cuhk-pedes"]
    people = ["--identities", UNLABELLED_PEOPLE, "--views", UNLABELLED_VIEWS, "--seed", 1000 + seed]
    benchmark = ["--identities", BENCHMARK["identities"], "--views", BENCHMARK["views"], "--seed", 2000 + seed]
    benchmark += ["--test-identities", BENCHMARK["test"], "--val-identities", BENCHMARK["val"]]
    models = [f"{work}/{name}" for name in ("untrained", "unipt", "scratch-finetuned", "unipt-finetuned")]
    return [
        (
            "Render unlabelled people",
            "Stands in for LUPerson: crops of people, no text. The truth stays outside the image folder, unread.",
            [*RENDER, "--output", f"{work}/unlabelled", *people, "--layout", "images"],
        ),
        (
            "Render a benchmark",
            "Stands in for CUHK-PEDES: other people, with captions in a human manner, in CUHK-PEDES's own layout.",
            [*RENDER, "--output", f"{work}/benchmark", *benchmark, "--layout", "cuhk-pedes"],
        ),
        (
            "Build LUPerson-T",
            "Divide, conquer, combine: a frozen CLIP picks the attribute phrases, templates make them captions.",
            [*PYTHON, "-m", "dataset_builders.luperson_t", "--images", f"{work}/unlabelled/images"]
            + ["--scorer", "unipt/clip-tiny", "--recipe", "paper", "--output", f"{work}/luperson-t", "--seed", seed]
            + ["--captions-per-image", 4, "--truth", f"{work}/unlabelled/truth.jsonl"],
        ),
        (
            "Read the benchmark",
            "The loader that reads the real CUHK-PEDES reads this one, which has fewer people.",
            [*PYTHON, "-m", "dataset_builders.benchmarks", "cuhk-pedes", "--source", f"{work}/benchmark"]
            + ["--output", f"{work}/cuhk-pedes", "--allow-partial"],
        ),
        (
            "Write the untrained model",
            "Zero steps of pre-training: the model that 'from scratch' starts from.",
            [*pretrain, "--max_steps", 0, "--output_dir", f"{work}/untrained"],
        ),
        (
            "Pre-train",
            "Both encoders together on the pseudo-texts: contrastive + masked language modelling.",
            [*pretrain, "--output_dir", f"{work}/unipt"],
        ),
        (
            "Fine-tune from scratch",
            "Identification + ranking loss on the benchmark's training people, without pre-training.",
            [*finetune, "--model", f"{work}/untrained", "--output_dir", f"{work}/scratch-finetuned"],
        ),
        (
            "Fine-tune from UniPT",
            "The same steps, starting from the pre-trained model.",
            [*finetune, "--model", f"{work}/unipt", "--output_dir", f"{work}/unipt-finetuned"],
        ),
        (
            "Evaluate",
            "Every caption of the test people searches all their images; Rank-k, mAP, mINP as the field counts.",
            [*PYTHON, "train/evaluate_retrieval.py", "--dataset", f"{work}/cuhk-pedes", "--model", *models]
            + ["--output", f"{work}/evaluation.json", "--contact_sheet", f"{work}/contact_sheet.png", "--seed", seed],
        ),
        (
            "Index the unlabelled people",
            "Embeds every image once, so that any description can be searched.",
            [*PYTHON, "-m", "modeling_unipt.cli", "index", f"{work}/unlabelled/images"]
            + ["--model", f"{work}/unipt-finetuned", "--output", f"{work}/gallery"],
        ),
        (
            "Search by description",
            "One sentence in, ranked images out.",
            [*PYTHON, "-m", "modeling_unipt.cli", "search", f"{work}/gallery", QUERY, "--top-k", 5]
            + ["--contact-sheet", f"{work}/search.png"],
        ),
    ]


ROWS = (
    {"name": "untrained", "pretraining": "none", "finetuned": False},
    {"name": "UniPT zero-shot", "pretraining": "unipt", "finetuned": False},
    {"name": "fine-tuned from scratch", "pretraining": "none", "finetuned": True},
    {"name": "fine-tuned from UniPT", "pretraining": "unipt", "finetuned": True},
)
RESULT_KEYS = ("R1", "R5", "R10", "mAP", "mINP", "queries", "gallery", "identities")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of people, weights and order (default: 0)")
    parser.add_argument("--output", default="runs/demo", help="folder for results and work (default: runs/demo)")
    arguments = parser.parse_args(argv)
    if arguments.seed < 0:
        raise UserError(f"--seed {arguments.seed} must not be negative")
    output = Path(arguments.output)
    work = output / f"seed-{arguments.seed}"
    work.mkdir(parents=True, exist_ok=True)

    from unipt_train.evaluation.report import print_table

    started = time.perf_counter()
    run_stages(stages(work, arguments.seed))
    evaluated = json.loads((work / "evaluation.json").read_text(encoding="utf-8"))
    results = [row | {key: measured[key] for key in RESULT_KEYS} for row, measured in zip(ROWS, evaluated, strict=True)]
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(work / "contact_sheet.png", output / "contact_sheet.png")
    print(
        f"\nSeed {arguments.seed}, {time.perf_counter() - started:.0f} s. Test people, seen by no model in training:\n"
    )
    print_table([row | {"queries_without_match": 0} for row in results], name_key="name")
    print(
        f"\nNumbers: {output}/results.json. Pictures: {output}/contact_sheet.png (test queries, hits framed in green), "
        f"{work}/search.png.\n"
        "\nNext, with a folder of your own person crops (activate .venv, or write .venv/bin/ before each command):\n"
        f"  unipt index MY_CROPS --model {work}/unipt-finetuned --output my-gallery\n"
        '  unipt search my-gallery "a man in a blue jacket" --top-k 10 --contact-sheet found.png\n'
        "  python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 "
        "--output my-luperson-t\n"
        "The tiny models know only rendered people; real crops need the real models that README names."
    )


if __name__ == "__main__":
    run_command(main)
