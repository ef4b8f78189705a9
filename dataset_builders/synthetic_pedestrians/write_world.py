"""Rendering a world to files: one task a person, any number of processes, the same bytes."""

import hashlib
import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .captions import caption_pair, tokens
from .domains import DOMAINS, STREET
from .people import CAMERAS, flat_attributes, sample_person, sample_view
from .render import render
from .scenery import CameraStyle


@dataclass(frozen=True)
class Plan:
    """What to write: ``splits`` = numbers of (train, val, test) identities, None in layout ``images``.

    ``domain`` is a name in :data:`~.domains.DOMAINS`.
    """

    folder: Path
    identities: int
    views: int
    seed: int
    layout: str
    height: int
    width: int
    splits: tuple | None
    domain: str = "street"

    def split(self, person):
        """Split of person 0..identities-1: the first are train, then val, then test."""
        train, val, _ = self.splits
        return "train" if person < train else "val" if person < train + val else "test"


def _file_name(plan, person, view_number, camera):
    if plan.layout == "cuhk-pedes":
        return f"imgs/{camera}/{person + 1:05d}_{view_number:02d}.jpg"
    # Unlabelled: nothing in the name tells which pictures show the same person.
    return f"images/{hashlib.blake2s(f'{plan.seed}/{person}/{view_number}'.encode(), digest_size=8).hexdigest()}.jpg"


def write_person(plan, number):
    """Write all pictures of person ``number``; returns the rows of truth.jsonl."""
    domain = DOMAINS[plan.domain]
    person = sample_person(plan.seed, number, domain)
    rows = []
    for view_number in range(plan.views):
        view = sample_view(plan.seed, number, view_number, person, domain)
        style = CameraStyle(plan.seed, CAMERAS.index(view.camera), domain)
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


def captions_of(seed, number, view_number, person, view, visible=None, domain=STREET):
    """The two captions of a picture and the facts each states; ``visible`` as in :func:`~.captions.choose_facts`."""
    rng = np.random.default_rng([seed, number, 1 + view_number, 2])
    shades = {piece: person.looks[f"{piece}_shade"] for piece in ("upper", "lower")}
    return caption_pair(rng, flat_attributes(person, view), shades, visible, domain)


def _task(arguments):
    return write_person(*arguments)


def write_world(plan, workers):
    """Write images, ``truth.jsonl`` and, in layout cuhk-pedes, ``reid_raw.json``; returns the number of images."""
    tasks = [(plan, number) for number in range(plan.identities)]
    records, count = [], 0
    progress = tqdm(total=plan.identities * plan.views, desc="rendering", unit="image")
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


def _record(plan, row):
    """A record of reid_raw.json, in CUHK-PEDES's own keys."""
    return {
        "split": plan.split(row["person_id"] - 1),
        "captions": row["captions"],
        "file_path": row["file_name"].removeprefix("imgs/"),
        "processed_tokens": [tokens(caption) for caption in row["captions"]],
        "id": row["person_id"],
    }
