"""Counts the files of ours that run on three journeys: image -> caption, caption -> loss, query -> result.

    python .ci/journeys.py

A file counts if a function or class body in it runs after the command has started. Needs an installed clone.
"""

import runpy
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[1]
JOURNEYS = {
    "image -> caption": ("-m", "dataset_builders.luperson_t", "--images", "{work}/people/images")
    + ("--scorer", "unipt/clip-tiny", "--output", "{work}/dataset"),
    "caption -> loss": ("train/pretrain.py", "--config", "train/configs/pretrain_tiny.yaml", "--dataset")
    + ("{work}/dataset", "--output_dir", "{work}/model", "--max_steps", "1", "--batch_size", "4", "--precision", "no")
    + ("--num_workers", "0"),
    "query -> result": ("-m", "modeling_unipt.cli", "search", "{work}/gallery", "a man in a red coat"),
}
BEFORE = [
    ("-m", "dataset_builders.synthetic_pedestrians", "--output", "{work}/people", "--identities", "4", "--views", "1")
    + ("--layout", "images", "--workers", "1"),
    ("-m", "modeling_unipt.cli", "index", "{work}/people/images", "--model", "unipt/unipt-tiny")
    + ("--output", "{work}/gallery"),
]


def run(words: tuple[str, ...], work: str) -> None:
    """Run a command in this process, as Python would run it."""
    first, *rest = (word.format(work=work) for word in words)
    sys.argv = rest if first == "-m" else [first, *rest]
    try:
        if first == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(first).parent))
            runpy.run_path(first, run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise


def files_entered(words: tuple[str, ...], work: str) -> set[str]:
    """The files of this clone in which code runs during a command."""
    entered = set()

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_name != "<module>":
            entered.add(frame.f_code.co_filename)

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        run(words, work)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {name for name in entered if name.startswith(str(ROOT)) and ".venv" not in name and "/.ci/" not in name}


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        for words in BEFORE:
            run(words, work)
        counted = {name: files_entered(words, work) for name, words in JOURNEYS.items()}
    for name, files in counted.items():
        rooms = {Path(file).parent for file in files}
        print(f"{name}: {len(files)} files in {len(rooms)} folders")


if __name__ == "__main__":
    main()
