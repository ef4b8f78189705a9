"""A dataset folder as the Hub lays it out: Parquet shards in ``data/`` and a README whose YAML says how to load them.

A column's type is written as "image", "string", "int64" or "float32", a list as [type], a struct as {name: type}.
"""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet

SHARD_ROWS = 10_000
ROW_GROUP_ROWS = 256
SIZE_CATEGORIES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
    float("inf"): "10M<n<100M",
}


def arrow_type(spec):
    if isinstance(spec, list):
        return pyarrow.list_(arrow_type(spec[0]))
    if isinstance(spec, dict):
        return pyarrow.struct([(name, arrow_type(inner)) for name, inner in spec.items()])
    if spec == "image":
        return pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    return {"string": pyarrow.string(), "int64": pyarrow.int64(), "float32": pyarrow.float32()}[spec]


def _feature(spec):
    """The JSON form of a ``datasets`` feature."""
    if isinstance(spec, list):
        return {"feature": _feature(spec[0]), "_type": "List"}
    if isinstance(spec, dict):
        return {name: _feature(inner) for name, inner in spec.items()}
    return {"_type": "Image"} if spec == "image" else {"dtype": spec, "_type": "Value"}


def _yaml_feature(spec):
    """The form of a ``datasets`` feature in a README's YAML, without its name."""
    if isinstance(spec, list):
        return {"list": spec[0]}
    if isinstance(spec, dict):
        return {"struct": [{"name": name, **_yaml_feature(inner)} for name, inner in spec.items()]}
    return {"dtype": spec}


def arrow_schema(columns):
    """The Arrow schema of ``columns``, name -> type, with the metadata that lets ``datasets`` decode images."""
    metadata = {"huggingface": json.dumps({"info": {"features": _feature(columns)}})}
    return pyarrow.schema([(name, arrow_type(spec)) for name, spec in columns.items()], metadata=metadata)


def shard_paths(split, images, rows=None):
    """The relative paths of the shards of a split that is built from ``images`` source images, ``rows`` each."""
    count = max(1, -(-images // (rows or SHARD_ROWS)))
    return [Path("data", f"{split}-{index:05d}-of-{count:05d}.parquet") for index in range(count)]


class ShardWriter:
    """Writes rows (dicts) to one Parquet file, a row group at a time, so that memory holds no more than one group."""

    def __init__(self, path, schema):
        self.schema, self.waiting, self.rows, self.bytes = schema, [], 0, 0
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.writer = parquet.ParquetWriter(path, schema, compression="zstd")

    def write(self, row):
        self.waiting.append(row)
        if len(self.waiting) == ROW_GROUP_ROWS:
            self._flush()

    def _flush(self):
        table = pyarrow.Table.from_pylist(self.waiting, schema=self.schema)
        self.writer.write_table(table)
        self.rows, self.bytes, self.waiting = self.rows + table.num_rows, self.bytes + table.nbytes, []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None and (self.waiting or not self.rows):
            self._flush()
        self.writer.close()


def write_card(folder, columns, splits, about, body):
    """Write ``folder/README.md``.

    Args:
        columns: name -> type.
        splits: split -> {"num_examples": rows, "num_bytes": bytes in memory}.
        about: other keys of the YAML, such as license and task_categories.
        body: the Markdown below it.
    """
    import yaml

    rows = sum(split["num_examples"] for split in splits.values())
    size = next(name for limit, name in SIZE_CATEGORIES.items() if rows < limit)
    header = {
        **about,
        "size_categories": [size],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits],
            }
        ],
        "dataset_info": {
            "features": [{"name": name, **_yaml_feature(spec)} for name, spec in columns.items()],
            "splits": [{"name": name, **split} for name, split in splits.items()],
            "download_size": sum(path.stat().st_size for path in Path(folder).glob("data/*.parquet")),
            "dataset_size": sum(split["num_bytes"] for split in splits.values()),
        },
    }
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    Path(folder, "README.md").write_text(f"---\n{text}---\n\n{body}", encoding="utf-8")
