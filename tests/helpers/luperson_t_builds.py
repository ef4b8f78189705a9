"""Builds of LUPerson-T through its command, for tests, and people to build from."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.luperson_t.__main__ import main
from tests.helpers.people import draw_person


def build(images: Path, scorer: Path, output: Path, *options: object) -> Path:
    """Run the command, by the recipe `paper` if ``options`` name none; the folder of the dataset."""
    recipe = [] if "--recipe" in options else ["--recipe", "paper"]
    command = ["--images", images, "--scorer", scorer, "--output", output, *recipe, *options]
    main([str(word) for word in command])
    return output


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of all shards."""
    return [row for shard in sorted(folder.glob("data/*.parquet")) for row in parquet.read_table(shard).to_pylist()]


def rejected_of(folder: Path) -> dict[str, str]:
    """File name -> reason, as rejected.jsonl tells."""
    lines = (folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["file_name"]: line["reason"] for line in map(json.loads, lines)}


def write_people(folder: Path, names: list[str]) -> Path:
    """Draw a person below ``folder/images`` for each name, and write a made-up ``folder/truth.jsonl``."""
    attributes = load_vocabulary().attributes.values()
    lines = []
    for index, name in enumerate(names):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_person(index).save(path)
        values = {}
        for attribute in attributes:
            values |= attribute.choices[index % len(attribute.choices)].value
        lines.append(json.dumps({"file_name": f"images/{name}", "attributes": values}))
    (folder / "truth.jsonl").write_text("\n".join(lines) + "\n")
    return folder
