"""Write the rows of an import as Parquet shards, a set of them for each split, and list what was left out."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.common.parallel import map_ahead
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.reading import SourceImage, read_source_image

from ..output.parquet_dataset import SHARD_ROWS, Columns, Row, ShardWriter, SplitSize, arrow_schema, shard_paths
from .base import Content, ImportedSet
from .store import RowStore, StoredRow

NO_CAPTION = "has no caption"
NO_CAPTION_BUT_NOISE = "has no caption, but texts that describe nothing"
READ_AHEAD = 192
MOST_SPLITS = 12


@dataclass
class WrittenRows:
    """What was written.

    Attributes:
        sizes: split -> its size.
        captions: number of all captions.
        backends: who wrote captions -> how many.
        refused: why images, and entries that name none, were left out -> how many.
    """

    sizes: dict[str, SplitSize] = field(default_factory=dict)
    captions: int = 0
    backends: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        """The number of lines in ``rejected.jsonl``."""
        return self.refused.total()


def check_splits(splits: Mapping[str, int]) -> None:
    """Refuse a column of something else than splits, before there is a file for each value.

    Raises:
        UserError: there are more splits than anybody has.
    """
    if len(splits) > MOST_SPLITS:
        raise UserError(
            f"the set names {len(splits)} splits, such as {', '.join(list(splits)[:3])}; what it calls split is "
            "something else, so leave it out or rename it"
        )


def write_rows(
    folder: Path, columns: Columns, imported: ImportedSet, store: RowStore, workers: int, title: str
) -> WrittenRows:
    """Read the images of the rows and write all below ``folder``.

    Args:
        columns: those of the dataset.
        workers: threads that read and decode images.
        title: what the progress bar says.

    Raises:
        UserError: no image of a split can be used.
    """
    written = WrittenRows()
    schema = arrow_schema(columns)
    splits = store.splits()
    with (
        open(folder / "rejected.jsonl", "w", encoding="utf-8", newline="\n") as rejected,
        tqdm(total=sum(splits.values()), desc=title, unit="image") as bar,
    ):
        for name, reason in store.refused():
            _reject(rejected, name, reason)
            written.refused["in a broken entry"] += 1
        for split, images in splits.items():
            size = SplitSize(num_bytes=0, num_examples=0)
            first_refusal = None
            rows = _read(imported, store.rows(split), workers)
            for path in shard_paths(split, images):
                with ShardWriter(folder / path, schema) as writer:
                    for row, image in itertools.islice(rows, SHARD_ROWS):
                        if isinstance(image, str):
                            _reject(rejected, row.name, image)
                            kind = "whose image is missing or unreadable" if row.captions else "without a caption"
                            written.refused[kind] += 1
                            first_refusal = first_refusal or (row.name, image)
                        else:
                            writer.write(_as_row(row, image, columns))
                            written.captions += len(row.captions)
                            written.backends.update(backend for _, backend in row.captions)
                        bar.update()
                size["num_bytes"] += writer.bytes
                size["num_examples"] += writer.rows
            if not size["num_examples"]:
                name, reason = first_refusal
                raise UserError(
                    f"no image of the split '{split}' can be used; the first, {name}, is refused because: {reason}"
                )
            written.sizes[split] = size
    return written


def _read(
    imported: ImportedSet, rows: Iterator[StoredRow], workers: int
) -> Iterator[tuple[StoredRow, SourceImage | str]]:
    """Rows, each with its image or the reason why it is left out, some ahead of whoever takes them."""

    def read(item: tuple[StoredRow, Content]) -> tuple[StoredRow, SourceImage | str]:
        row, content = item
        if not row.captions:
            return row, NO_CAPTION_BUT_NOISE if row.noise else NO_CAPTION
        try:
            return row, read_source_image(*content())
        except UnreadableImage as refusal:
            return row, str(refusal)

    return map_ahead(read, imported.contents(rows), workers, READ_AHEAD)


def _as_row(row: StoredRow, image: SourceImage, columns: Columns) -> Row:
    known: Row = dict.fromkeys(columns)
    return known | {
        "image": {"bytes": image.data, "path": image.file_name},
        "image_id": row.image_id,
        "captions": [text for text, _ in row.captions],
        "caption_backends": [backend for _, backend in row.captions],
        **row.known,
    }


def _reject(file: TextIO, name: str, reason: str) -> None:
    file.write(json.dumps({"file_name": name, "reason": reason}, ensure_ascii=False) + "\n")
