"""A dataset folder as the Hub lays it out: Parquet shards in ``data/`` and a README whose YAML says how to load them.

A column's type is written as "image" or as a name in SINGLE_TYPES, such as "string"; a list as [type]; a struct as
{name: type}.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypedDict

import pyarrow
import pyarrow.parquet as parquet

from modeling_unipt.common.atomic_files import write_text

SHARD_ROWS = 10_000
ROW_GROUP_ROWS = 256
# The Hub's names for the size of a dataset: the first limit that is above the number of rows counts.
SIZE_CATEGORIES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
    float("inf"): "10M<n<100M",
}

SINGLE_TYPES = {
    "string": pyarrow.string(),
    "int64": pyarrow.int64(),
    "float32": pyarrow.float32(),
    "float64": pyarrow.float64(),
    "bool": pyarrow.bool_(),
}
ColumnType = str | list["ColumnType"] | dict[str, "ColumnType"]
Columns = Mapping[str, ColumnType]
Row = dict[str, Any]


class SplitSize(TypedDict):
    """The size of a split as a dataset card states it: bytes of its rows in memory, and the number of rows."""

    num_bytes: int
    num_examples: int


def arrow_type(spec: ColumnType) -> pyarrow.DataType:
    """The Arrow type of a column's type."""
    if isinstance(spec, list):
        return pyarrow.list_(arrow_type(spec[0]))
    if isinstance(spec, dict):
        return pyarrow.struct([(name, arrow_type(inner)) for name, inner in spec.items()])
    if spec == "image":
        return pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    return SINGLE_TYPES[spec]


def _feature(spec: ColumnType) -> dict[str, Any]:
    """A column's type as the library ``datasets`` writes it into Parquet metadata."""
    if isinstance(spec, list):
        return {"feature": _feature(spec[0]), "_type": "List"}
    if isinstance(spec, dict):
        return {name: _feature(inner) for name, inner in spec.items()}
    return {"_type": "Image"} if spec == "image" else {"dtype": spec, "_type": "Value"}


def _yaml_feature(spec: ColumnType) -> dict[str, Any]:
    """A column's type as ``datasets`` writes it into a README's YAML, without the column's name."""
    if isinstance(spec, list):
        inner = _yaml_feature(spec[0])
        # Of a list, YAML names the values' type alone; of a list of structures, their members.
        return {"list": inner.get("dtype") or inner.get("struct") or inner}
    if isinstance(spec, dict):
        return {"struct": [{"name": name, **_yaml_feature(inner)} for name, inner in spec.items()]}
    return {"dtype": spec}


def arrow_schema(columns: Columns) -> pyarrow.Schema:
    """The Arrow schema of ``columns``. Its metadata makes ``datasets`` decode the images."""
    features = {name: _feature(spec) for name, spec in columns.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.schema([(name, arrow_type(spec)) for name, spec in columns.items()], metadata=metadata)


def shard_paths(split: str, images: int, rows: int | None = None) -> list[Path]:
    """The shards of a split, as paths relative to the dataset's folder.

    Args:
        images: number of source images. Images that are refused later make a shard shorter, and change no name.
        rows: images a shard; default: :data:`SHARD_ROWS`.
    """
    count = max(1, -(-images // (rows or SHARD_ROWS)))
    return [Path("data", f"{split}-{index:05d}-of-{count:05d}.parquet") for index in range(count)]


class ShardWriter:
    """Writes rows to one Parquet file. Memory holds one row group at a time.

    Attributes:
        rows: number of rows written.
        bytes: their size in memory, as Arrow counts it.
    """

    def __init__(self, path: Path | str, schema: pyarrow.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self.bytes = 0
        self._waiting: list[Row] = []
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")

    def write(self, row: Row) -> None:
        """Add one row. It reaches the file when its row group is full."""
        self._waiting.append(row)
        if len(self._waiting) == ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        table = pyarrow.Table.from_pylist(self._waiting, schema=self.schema)
        self._writer.write_table(table)
        self.rows += table.num_rows
        self.bytes += table.nbytes
        self._waiting = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A shard without a row still gets an empty row group: readers find the schema in it.
        if kind is None and (self._waiting or not self.rows):
            self._flush()
        self._writer.close()


def write_card(
    folder: Path | str, columns: Columns, splits: Mapping[str, SplitSize], about: Mapping[str, Any], body: str
) -> None:
    """Write the dataset card ``folder/README.md``.

    Args:
        about: further keys of the YAML header, such as license and task_categories.
        body: the Markdown below the header.
    """
    import yaml

    rows = sum(size["num_examples"] for size in splits.values())
    size_category = next(name for limit, name in SIZE_CATEGORIES.items() if rows < limit)
    header = {
        **about,
        "size_categories": [size_category],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits],
            }
        ],
        "dataset_info": {
            "features": [{"name": name, **_yaml_feature(spec)} for name, spec in columns.items()],
            "splits": [{"name": name, **size} for name, size in splits.items()],
            "download_size": sum(path.stat().st_size for path in Path(folder).glob("data/*.parquet")),
            "dataset_size": sum(size["num_bytes"] for size in splits.values()),
        },
    }
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    write_text(Path(folder, "README.md"), f"---\n{text}---\n\n{body}")
