"""Writing a world to files: one task for each person, any number of processes, the same bytes."""

import hashlib
import json
import multiprocessing
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from .captions import caption_pair, tokens
from .domains import DOMAINS, STREET, Domain
from .people import CAMERAS, Person, View, flat_attributes, sample_person, sample_view
from .phrases import Facts
from .render import render
from .scenery import CameraStyle

# A row of truth.jsonl.
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to write.

    Attributes:
        folder: the existing folder to fill.
        identities: number of people.
        views: images of each.
        layout: "images" or "cuhk-pedes".
        height, width: of the images, in pixels.
        splits: numbers of (train, val, test) identities; None in layout "images".
        domain: a name in :data:`~.domains.DOMAINS`.
    """

    folder: Path
    identities: int
    views: int
    seed: int
    layout: str
    height: int
    width: int
    splits: tuple[int, int, int] | None
    domain: str = "street"

    def split(self, person: int) -> str:
        """The split of person 0..identities-1: the first are train, then val, then test."""
        train, val, _ = self.splits
        if person < train:
            return "train"
        return "val" if person < train + val else "test"


def _file_name(plan: Plan, person: int, view_number: int, camera: str) -> str:
    if plan.layout == "cuhk-pedes":
        return f"imgs/{camera}/{person + 1:05d}_{view_number:02d}.jpg"
    # Unlabelled: nothing in the name tells which images show the same person.
    digest = hashlib.blake2s(f"{plan.seed}/{person}/{view_number}".encode(), digest_size=8)
    return f"images/{digest.hexdigest()}.jpg"


def write_person(plan: Plan, number: int) -> list[Row]:
    """Write all images of person ``number``; returns their rows of truth.jsonl."""
    domain = DOMAINS[plan.domain]
    person = sample_person(plan.seed, number, domain)
    rows = []
    for view_number in range(plan.views):
        view = sample_view(plan.seed, number, view_number, person, domain)
        style = CameraStyle(plan.seed, CAMERAS.index(view.camera), domain)
        # The last number keeps these draws apart from those of the view (0) and of the captions (2).
        rng = np.random.default_rng([plan.seed, number, 1 + view_number, 1])
        data, boxes = render(person, view, style, rng, plan.height, plan.width)
        row = {
            "file_name": _file_name(plan, number, view_number, view.camera),
            "person_id": number + 1,
            "camera": view.camera,
            "attributes": flat_attributes(person, view),
            "boxes": boxes,
        }
        if plan.layout == "cuhk-pedes":
            row["captions"], row["caption_attributes"] = captions_of(
                plan.seed, number, view_number, person, view, boxes, domain
            )
        path = plan.folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append(row)
    return rows


def captions_of(
    seed: int,
    number: int,
    view_number: int,
    person: Person,
    view: View,
    visible: Collection[str] | None = None,
    domain: Domain = STREET,
) -> tuple[list[str], list[Facts]]:
    """(two captions of an image, the facts that each states); ``visible`` as in :func:`~.captions.choose_facts`."""
    rng = np.random.default_rng([seed, number, 1 + view_number, 2])
    return caption_pair(rng, flat_attributes(person, view), person.looks.shades, visible, domain)


def _task(arguments: tuple[Plan, int]) -> list[Row]:
    return write_person(*arguments)


def write_world(plan: Plan, workers: int) -> int:
    """Write images, ``truth.jsonl`` and, in layout cuhk-pedes, ``reid_raw.json``; returns the number of images."""
    tasks = [(plan, number) for number in range(plan.identities)]
    records = []
    count = 0
    progress = tqdm(total=plan.identities * plan.views, desc="rendering", unit="image")
    # Spawned: a process forked from one that runs threads may hang.
    pool = multiprocessing.get_context("spawn").Pool(workers) if workers > 1 else None
    results = pool.imap(_task, tasks, chunksize=2) if pool else map(_task, tasks)
    try:
        with open(plan.folder / "truth.jsonl", "w", encoding="utf-8") as truth, progress:
            for rows in results:
                for row in rows:
                    truth.write(json.dumps(row) + "\n")
                    if plan.layout == "cuhk-pedes":
                        records.append(_record(plan, row))
                count += len(rows)
                progress.update(len(rows))
    finally:
        if pool:
            pool.terminate()
            pool.join()
    if plan.layout == "cuhk-pedes":
        (plan.folder / "reid_raw.json").write_text(json.dumps(records), encoding="utf-8")
    return count


def _record(plan: Plan, row: Row) -> dict[str, Any]:
    """A record of reid_raw.json, with CUHK-PEDES's own keys."""
    return {
        "split": plan.split(row["person_id"] - 1),
        "captions": row["captions"],
        "file_path": row["file_name"].removeprefix("imgs/"),
        "processed_tokens": [tokens(caption) for caption in row["captions"]],
        "id": row["person_id"],
    }
