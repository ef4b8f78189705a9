"""What an evaluation leaves: a table for the console, and a Markdown page.

A record is one model on one dataset in one direction: metrics in percent, and what they were measured on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load

from modeling_unipt.common.words import markdown_table

# Between the values of a setting that has several, in a card.
AND = " + "
METRICS = ("R1", "R5", "R10", "mAP", "mINP")
# What train/evaluate_retrieval.py writes to its JSON file, one for each model, dataset and direction.
Record = dict[str, Any]


def public_name(name: str | Path) -> str:
    """A name that can be published: a Hub id as it is, of a local path only the last part."""
    path = Path(str(name))
    is_local = path.exists() or path.is_absolute() or str(name).startswith((".", "~")) or len(path.parts) > 2
    if not is_local:
        return str(name)
    # The last part of "." or ".." is no name.
    return path.resolve().name if path.name in ("", ".", "..") else path.name


def benchmark_title(dataset: str | Path) -> str:
    """What a dataset calls itself: the ``pretty_name`` of its card, else its :func:`public_name`.

    Data in a benchmark's layout that are not the benchmark say so in their card.
    """
    folder = Path(dataset)
    if not folder.is_dir():
        return public_name(dataset)
    try:
        header = metadata_load(folder / "README.md") or {}
    except Exception:  # there is no card, or its YAML is broken
        header = {}
    return str(header.get("pretty_name") or public_name(dataset))


def several(setting: Any) -> list[Any]:
    """The values of a setting of a training that has one value or several."""
    return setting if isinstance(setting, list) else [setting]


def text_table(records: Sequence[Record], name_key: str = "model") -> str:
    """Metrics in percent for a console, a line for each record; then what they were measured on.

    Args:
        name_key: the key of a record that names its line.
    """
    several = [key for key in ("dataset", "direction") if len({record.get(key) for record in records}) > 1]
    names = ["  ".join(str(record[key]) for key in (name_key, *several)) for record in records]
    width = max(map(len, names))
    lines = [f"{name_key:<{width}}" + "".join(f"{name:>8}" for name in METRICS)]
    for name, record in zip(names, records, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{record[metric]:8.2f}" for metric in METRICS))
    lines += dict.fromkeys(_measured_on(record, several) for record in records)
    for name, record in zip(names, records, strict=True):
        if record.get("queries_without_match"):
            lines.append(
                f"{name}: {record['queries_without_match']} queries have no image or caption of their person in the "
                "gallery and count as 0"
            )
        if record.get("blank_captions"):
            lines.append(f"{name}: {record['blank_captions']} captions are blank and were left out")
        if record.get("captions_truncated"):
            lines.append(
                f"{name}: {record['captions_truncated']} captions are longer than the model's {record['text_limit']} "
                "tokens and were cut there"
            )
    return "\n".join(lines)


def _measured_on(record: Record, several: Sequence[str]) -> str:
    counts = f"{record['queries']} queries, {record['gallery']} gallery items, {record['identities']} identities"
    where = ", ".join(str(record[key]) for key in several)
    return f"{where}: {counts}" if where else counts


def cell(record: Record, metric: str) -> str:
    """A metric as a table shows it: "29.3 [27.0, 31.5]", or without the interval where there is none."""
    text = f"{record[metric]:.1f}"
    if record.get("intervals"):
        low, high = record["intervals"][metric]
        text += f" [{low:.1f}, {high:.1f}]"
    return text


def metrics_table(records: Sequence[Record], names: Sequence[str], benchmarks: Sequence[str]) -> str:
    """A Markdown table of all metrics, a row for each record.

    Args:
        names: for each record, how its model is called.
        benchmarks: for each record, how its dataset is called.
    """
    rows = []
    for record, name, benchmark in zip(records, names, benchmarks, strict=True):
        about = [name, benchmark, record.get("setting", ""), record["direction"]]
        rows.append(about + [cell(record, metric) for metric in METRICS])
    return markdown_table(["model", "benchmark", "setting", "direction", *METRICS], rows)


def markdown(records: Sequence[Record]) -> str:
    """A page: a table of all records and, if several models met several datasets, the matrix of Rank-1 and mAP."""
    models = [record["model"] for record in records]
    datasets = [record["dataset"] for record in records]
    lines = [metrics_table(records, models, datasets), ""]
    lines += ["Percent; in brackets bootstrap intervals at 95 % over the identities of the queries.", ""]
    if any(record["average_precision"] == "trapezoidal" for record in records):
        lines += ["mAP is LGUR's trapezoidal one, which is larger than IRRA's.", ""]
    for dtype in sorted({record.get("dtype", "float32") for record in records} - {"float32"}):
        lines += [f"Embedded in {dtype}, not in float32.", ""]
    for record in records:
        line = f"* {record['model']} on {record['dataset']}, {record['direction']}: {record['queries']:,} queries, "
        line += f"{record['gallery']:,} in the gallery, {record['identities']:,} people"
        if record["queries_without_match"]:
            line += f"; {record['queries_without_match']} queries without a match"
        if record.get("blank_captions"):
            line += f"; {record['blank_captions']} blank captions left out"
        if record.get("image_weight") is not None:
            line += f"; each query is {1 - record['image_weight']:g} words and {record['image_weight']:g} image"
        if record["captions_truncated"]:
            line += f"; {record['captions_truncated']} captions cut at {record['text_limit']} tokens"
        lines.append(line)
    lines += _matrix(records)
    return "\n".join(lines) + "\n"


def _matrix(records: Sequence[Record]) -> list[str]:
    """Lines of the cross-domain matrix, text-to-image: Rank-1 / mAP of every model (row) on every dataset (column)."""
    found = {}
    for record in records:
        if record["direction"] == "text-to-image":
            found[record["model"], record["dataset"]] = f"{record['R1']:.1f} / {record['mAP']:.1f}"
    # A dict keeps the order in which the names came; a set would not.
    models = list(dict.fromkeys(model for model, _ in found))
    datasets = list(dict.fromkeys(dataset for _, dataset in found))
    if len(models) < 2 or len(datasets) < 2:
        return []
    rows = [[model] + [found[model, dataset] for dataset in datasets] for model in models]
    return ["", "Rank-1 / mAP, text-to-image:", "", markdown_table(["model", *datasets], rows)]
