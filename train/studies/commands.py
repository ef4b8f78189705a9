"""The project's own commands as lists of words, which the demo, the release and the experiments put together.

All of them run from the root of a clone: they name files of it, such as the released models.
"""

import os
import shlex
import sys
from pathlib import Path

from modeling_unipt.common.user_errors import UserError

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable]
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--cpu"]
RELEASED_SCORER = "unipt/clip-tiny"
Command = list[str | int | float | Path]


def require_clone() -> None:
    """Check that this code lies in a clone of the repository.

    Raises:
        UserError: it does not; it was installed.
    """
    if not (ROOT / "train" / "configs").is_dir() or not (ROOT / "unipt").is_dir():
        raise UserError(
            "this command needs a clone of the repository, with its folders train, unipt and luperson-t; an installed "
            "unipt does not have them"
        )


def command_line(command: Command) -> str:
    """A command as a person would type it."""
    words = ["python" if part == sys.executable else str(part) for part in command]
    return shlex.join(words).replace("python -m accelerate.commands.launch", "accelerate launch")


def offline_environment() -> dict[str, str]:
    """The environment of a command that runs from the clone alone."""
    # Without the first, tokenizers warn in every process that loads data.
    return os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def render_people(output: Path | str, identities: int, views: int, seed: int) -> Command:
    """Render people without text: images below ``output``/images, the truth beside them."""
    people: Command = ["--identities", identities, "--views", views, "--seed", seed]
    return [*PYTHON, "-m", "dataset_builders.synthetic_pedestrians", "--output", output, *people, "--layout", "images"]


def render_benchmark(
    output: Path | str, identities: int, views: int, seed: int, test: int, val: int, domain: str = "street"
) -> Command:
    """Render a benchmark with captions in CUHK-PEDES's own layout.

    Args:
        identities: number of people, of whom ``test`` and ``val`` are for the splits of these names.
        domain: which cameras, colours and style of captions.
    """
    people: Command = ["--identities", identities, "--views", views, "--seed", seed]
    people += ["--test-identities", test, "--val-identities", val, "--layout", "cuhk-pedes"]
    if domain != "street":
        people += ["--domain", domain]
    return [*PYTHON, "-m", "dataset_builders.synthetic_pedestrians", "--output", output, *people]


def read_benchmark(source: Path | str, output: Path | str) -> Command:
    """Make the rendered benchmark ``source`` a dataset of Parquet files; it has fewer people than CUHK-PEDES."""
    read: Command = [*PYTHON, "-m", "dataset_builders.benchmarks", "cuhk-pedes"]
    return [*read, "--source", source, "--output", output, "--allow-partial"]


def build_luperson_t(people: Path | str, output: Path | str, recipe: str, seed: int, captions: int) -> Command:
    """Build LUPerson-T from rendered people.

    Args:
        people: a folder that :func:`render_people` made.
        captions: captions for each image.
    """
    build: Command = [*PYTHON, "-m", "dataset_builders.luperson_t", "--images", f"{people}/images"]
    build += ["--scorer", RELEASED_SCORER, "--recipe", recipe, "--output", output]
    return [*build, "--seed", seed, "--captions-per-image", captions]


def evaluate(dataset: Path | str, *models: Path | str) -> Command:
    """Measure models on the test split of a benchmark; ``--output`` and others may follow."""
    return [*PYTHON, "train/evaluate_retrieval.py", "--model", *models, "--dataset", dataset]
