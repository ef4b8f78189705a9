"""The stages of the demo, and how many people it renders; the experiments use the same numbers."""

from pathlib import Path

from unipt_train.studies.commands import (
    LAUNCH,
    PYTHON,
    Command,
    build_luperson_t,
    evaluate,
    read_benchmark,
    render_benchmark,
    render_people,
)
from unipt_train.studies.running import Stage

UNLABELLED_PEOPLE = 1200
UNLABELLED_VIEWS = 2
BENCHMARK = {"identities": 440, "views": 4, "test": 120, "val": 20}
CAPTIONS_PER_IMAGE = 4
# So few that the demo takes about ten minutes; with 180 fine-tuning from scratch comes to hardly ten times chance.
PRETRAINING_STEPS = 300
FINETUNING_STEPS = 220
# The recipes name a precision. The demo takes what is faster on its machine: its table is no record of the recipes.
FASTEST: tuple[str, ...] = ("--precision", "auto")
QUERY = "A woman with long hair in a red coat, carrying a backpack."


def unlabelled_seed(seed: int) -> int:
    """The renderer's seed of the unlabelled people. No person of it is in the benchmark."""
    return 1000 + seed


def benchmark_seed(seed: int, domain: str = "street") -> int:
    """The renderer's seed of the benchmark of a domain."""
    return (2000 if domain == "street" else 3000) + seed


def finetune(work: Path | str, seed: int, start: str, output: str, steps: int = FINETUNING_STEPS) -> Command:
    """Fine-tune the model ``start`` of the folder ``work`` on its benchmark."""
    command: Command = [*LAUNCH, "train/finetune.py", "--config", "train/configs/finetune_tiny.yaml", "--seed", seed]
    command += [*FASTEST, "--max-steps", steps, "--dataset", f"{work}/cuhk-pedes", "--model", f"{work}/{start}"]
    return [*command, "--output-dir", f"{work}/{output}"]


def stages(work: Path | str, seed: int) -> list[Stage]:
    """Every stage, in order.

    Args:
        work: folder of this seed.
        seed: seed of people, weights and order.
    """
    pretrain: Command = [*LAUNCH, "train/pretrain.py", "--config", "train/configs/pretrain_tiny.yaml", "--seed", seed]
    pretrain += [*FASTEST, "--dataset", f"{work}/luperson-t"]
    models = [f"{work}/{name}" for name in ("untrained", "unipt", "scratch-finetuned", "unipt-finetuned")]
    unlabelled = f"{work}/unlabelled"
    build = build_luperson_t(unlabelled, f"{work}/luperson-t", "paper", seed, CAPTIONS_PER_IMAGE)
    return [
        Stage(
            "Render unlabelled people",
            "They stand in for LUPerson: crops of people, no text. The truth file only serves to check phrases later.",
            render_people(unlabelled, UNLABELLED_PEOPLE, UNLABELLED_VIEWS, unlabelled_seed(seed)),
        ),
        Stage(
            "Render a benchmark",
            "It stands in for CUHK-PEDES: other people, with captions in a human manner, in CUHK-PEDES's own layout.",
            render_benchmark(f"{work}/benchmark", seed=benchmark_seed(seed), **BENCHMARK),
        ),
        Stage(
            "Build LUPerson-T",
            "Divide, conquer, combine: a frozen CLIP picks the attribute phrases, and templates make captions of them.",
            [*build, "--truth", f"{unlabelled}/truth.jsonl"],
        ),
        Stage(
            "Read the benchmark",
            "The loader that reads the real CUHK-PEDES reads this one, which has fewer people.",
            read_benchmark(f"{work}/benchmark", f"{work}/cuhk-pedes"),
        ),
        Stage(
            "Write the untrained model",
            "Zero steps of pre-training give the model that fine-tuning 'from scratch' starts from.",
            [*pretrain, "--max-steps", 0, "--output-dir", f"{work}/untrained"],
        ),
        Stage(
            "Pre-train",
            "Both encoders learn together from the pseudo-texts, by contrast and by masked language modelling.",
            [*pretrain, "--max-steps", PRETRAINING_STEPS, "--output-dir", f"{work}/unipt"],
        ),
        Stage(
            "Fine-tune from scratch",
            "Identification and ranking loss on the benchmark's training people, without pre-training.",
            finetune(work, seed, "untrained", "scratch-finetuned"),
        ),
        Stage(
            "Fine-tune from UniPT",
            "The same number of steps, from the pre-trained model on.",
            finetune(work, seed, "unipt", "unipt-finetuned"),
        ),
        Stage(
            "Evaluate",
            "Every caption of the test people searches all their images; Rank-k, mAP and mINP follow IRRA's protocol.",
            [*evaluate(f"{work}/cuhk-pedes", *models), "--output", f"{work}/evaluation.json"]
            + ["--contact-sheet", f"{work}/contact_sheet.png", "--seed", seed],
        ),
        Stage(
            "Index the unlabelled people",
            "Every image is embedded once, so that any description can be searched.",
            [*PYTHON, "-m", "modeling_unipt.cli", "index", f"{unlabelled}/images"]
            + ["--model", f"{work}/unipt-finetuned", "--output", f"{work}/gallery"],
        ),
        Stage(
            "Search by description",
            "One sentence in, ranked images out.",
            [*PYTHON, "-m", "modeling_unipt.cli", "search", f"{work}/gallery", QUERY, "--top-k", 5]
            + ["--contact-sheet", f"{work}/search.png"],
        ),
    ]
