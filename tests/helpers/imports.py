"""Run dataset_builders.import_luperson_t in this process, and read what it wrote."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from dataset_builders.import_luperson_t import main
from modeling_unipt.common.user_errors import UserError


@dataclass(frozen=True)
class ImportedFolder:
    """What an import wrote: split -> its rows, name -> reason of what was refused, the card, and what was printed."""

    rows: dict[str, list[dict[str, Any]]]
    rejected: dict[str, str]
    card: str
    said: str

    @property
    def captions(self) -> dict[str, list[str]]:
        """image_id -> its captions, over all splits."""
        return {row["image_id"]: row["captions"] for rows in self.rows.values() for row in rows}


def run_import(output: Path, capsys: pytest.CaptureFixture, *options: Any) -> ImportedFolder:
    """Import a set into the folder ``output``."""
    capsys.readouterr()
    main([*map(str, options), "--output", str(output)])
    rows: dict[str, list[dict[str, Any]]] = {}
    for file in sorted((output / "data").glob("*.parquet")):
        rows.setdefault(file.name.split("-")[0], []).extend(parquet.read_table(file).to_pylist())
    lines = (output / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rejected = {line["file_name"]: line["reason"] for line in map(json.loads, lines)}
    card = (output / "README.md").read_text(encoding="utf-8")
    return ImportedFolder(rows, rejected, card, capsys.readouterr().out)


def refusal(output: Path, *options: Any) -> str:
    """What the command says of something that it refuses. Nothing may be left of the import."""
    before = sorted(path.name for path in output.parent.iterdir())
    with pytest.raises(UserError) as refused:
        main([*map(str, options), "--output", str(output)])
    assert sorted(path.name for path in output.parent.iterdir()) == before
    return str(refused.value)
