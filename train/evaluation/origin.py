"""How a model was trained last, as its own folder says it."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builders.benchmarks.layouts import LAYOUTS
from modeling_unipt.common.output_folders import SETTINGS_FILE
from unipt_train.data.identity import dataset_digest
from unipt_train.evaluation.report import AND, benchmark_title, several

CARD = "README.md"
# What train/publishing/card.py writes of each training. A published model has no other record of it.
STAGE = re.compile(r"^\*\*(Pre-training|Fine-tuning|Conversion)\*\*(?: on (.+?), split \S+?)?[.,](.*)$", re.MULTILINE)
COMMANDS = {"Pre-training": "pretrain", "Fine-tuning": "finetune", "Conversion": "convert"}
OFFICIAL_TITLES = frozenset(layout.title for layout in LAYOUTS.values())


@dataclass(frozen=True)
class Training:
    """The last training of a model.

    Attributes:
        command: "pretrain", "finetune", or the name of another one.
        steps: how many it took.
        dataset: name or path of its dataset, as it was given; several stand with " + " between them.
        digests: :func:`unipt_train.data.identity.dataset_digest` of each of its datasets, if they are recorded.
        title: what the dataset calls itself; None if it is not recorded.
    """

    command: str
    steps: int
    dataset: str
    digests: list[str]
    title: str | None

    def was_on(self, dataset: str) -> bool:
        """Whether ``dataset``, a folder or a name on the Hub, is the one of this training.

        A digest decides. Without one, a card knows the title, and versions up to 0.2 left the path as it was typed.
        """
        digest = dataset_digest(dataset)
        if self.digests and digest:
            return digest in self.digests
        if self.title:
            # Data in a benchmark's layout have a title that others share.
            return self.title in OFFICIAL_TITLES and self.title == benchmark_title(dataset)
        return any(_ends_as(dataset, typed) for typed in self.dataset.split(AND))


def last_training(folder: Path | str) -> Training | None:
    """What a model's ``build_settings.json`` says, or else its card; None if there is neither or it does not say."""
    try:
        made = json.loads(Path(folder, SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _by_card(Path(folder))
    if "command" not in made:
        return None
    return _training(made["command"], made, None)


def _by_card(folder: Path) -> Training | None:
    try:
        stages = STAGE.findall((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not stages:
        return None
    name, title, text = stages[-1]
    settings = {}
    for pair in text.partition(" Settings: ")[2].removesuffix(".").split(", "):
        key, _, value = pair.partition(" ")
        settings[key] = value
    return _training(COMMANDS[name], settings, title or None)


def _training(command: str, settings: dict[str, Any], title: str | None) -> Training:
    return Training(
        command=command,
        steps=int(settings.get("max_steps") or 0),
        dataset=AND.join(map(str, several(settings.get("dataset", "")))),
        digests=_digests(settings.get("dataset_digest")),
        title=title,
    )


def _digests(recorded: str | list[str | None] | None) -> list[str]:
    """The digests of a folder's own record, or of a card."""
    each = recorded.split(AND) if isinstance(recorded, str) else recorded or []
    return [digest for digest in each if digest]


def _ends_as(dataset: str, typed: str) -> bool:
    """Whether a dataset's path or name ends as what was typed, in a folder which is no longer known."""
    if os.path.isabs(typed):
        return os.path.realpath(dataset) == os.path.realpath(typed)
    parts = tuple(part for part in Path(typed).parts if part not in ("..", "."))
    places = [Path(os.path.abspath(dataset)), Path(os.path.realpath(dataset))]
    return bool(parts) and any(place.parts[-len(parts) :] == parts for place in places)
