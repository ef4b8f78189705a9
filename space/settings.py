"""What the app serves: named by the environment, or found in the clone, else on the Hugging Face Hub."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
MODEL, SCORER, DATASET = "unipt/unipt-tiny", "unipt/clip-tiny", "luperson-t"
SENSITIVE = ("age", "gender")  # attributes that are guessed only when somebody asks for it


def here_or_hub(name, hub_name=None):
    """The folder ``name`` beside the app or in the clone, if there is one, else the Hub id."""
    for place in (HERE, ROOT):
        if (place / name).is_dir():
            return str(place / name)
    return hub_name or name


def scorer_name():
    """What `UNIPT_SCORER` names; by default unipt/clip-tiny."""
    return os.environ.get("UNIPT_SCORER") or here_or_hub(SCORER)
