"""What the app serves and where its models run.

A model or dataset is named by the environment. Without that it is a folder that lies near the app, else a repository
on the Hugging Face Hub.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Work = TypeVar("Work", bound=Callable)

try:
    # A ZeroGPU Space lends a GPU to one call at a time, which runs in another process. `spaces` changes torch for
    # that, so it has to be imported before torch.
    from spaces import GPU as on_gpu

    LENT = True
except ImportError:
    LENT = False

    def on_gpu(work: Work) -> Work:
        """``work`` itself: without the package `spaces` no GPU is lent."""
        return work


import torch  # noqa: E402  after `spaces`

MODEL = "unipt/unipt-tiny"
SCORER = "unipt/clip-tiny"
DATASET = "luperson-t"
# These attributes are guessed only when somebody asks for it.
SENSITIVE = ("age", "gender")


def device() -> str:
    """Where the models live: on a GPU if there is one (ZeroGPU says so from the start), else on the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def default_places() -> list[Path]:
    """The folders that may hold the default models and dataset, in the order of looking."""
    return [
        # Beside app.py, in the repository of a Space.
        Path(sys.argv[0]).resolve().parent,
        Path.cwd(),
        # The clone. For an installed wheel this is site-packages, which holds no such folders.
        Path(__file__).resolve().parents[1],
    ]


def here_or_hub(name: str, hub_name: str | None = None) -> str:
    """The path of the folder ``name`` if one of the default places holds it, else a Hub id.

    Args:
        hub_name: the Hub id; by default it equals ``name``.
    """
    for place in default_places():
        if (place / name).is_dir():
            return str(place / name)
    return hub_name or name


def scorer_name() -> str:
    """The CLIP model that describes images: what `UNIPT_SCORER` names, by default unipt/clip-tiny."""
    return os.environ.get("UNIPT_SCORER") or here_or_hub(SCORER)
