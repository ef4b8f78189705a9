"""What an evaluation leaves: a table on the console, JSON, Markdown, and a picture of queries with hits and misses.

A record is one model on one dataset in one direction: a dict with metrics in percent and what they were measured on.
"""

import json
import os
from pathlib import Path

import numpy as np

METRICS = ("R1", "R5", "R10", "mAP", "mINP")


def write_aside(path, text):
    """Write a text file by rename, its folder made if there is none."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def public_name(name):
    """A Hub id as it is; of a local path its last part."""
    path = Path(str(name))
    local = path.exists() or path.is_absolute() or str(name).startswith((".", "~")) or len(path.parts) > 2
    return path.resolve().name if local and path.name in ("", ".", "..") else path.name if local else str(name)


def benchmark_title(dataset):
    """What a dataset calls itself: the ``pretty_name`` of its card, which for data in a benchmark's layout is not the
    benchmark's name; else its :func:`public_name`."""
    folder = Path(dataset)
    if not folder.is_dir():
        return public_name(dataset)
    from huggingface_hub import metadata_load

    try:
        header = metadata_load(folder / "README.md") or {}
    except Exception:  # no card, or one whose YAML is broken
        header = {}
    return str(header.get("pretty_name") or public_name(dataset))


def print_table(records, name_key="model"):
    """Print metrics in percent, one record a line, and what they were measured on."""
    several = [key for key in ("dataset", "direction") if len({record.get(key) for record in records}) > 1]
    names = ["  ".join(str(record[key]) for key in (name_key, *several)) for record in records]
    width = max(map(len, names))
    print(f"{name_key:<{width}}" + "".join(f"{name:>8}" for name in METRICS))
    for name, record in zip(names, records, strict=True):
        print(f"{name:<{width}}" + "".join(f"{record[metric]:8.2f}" for metric in METRICS))
    for told in dict.fromkeys(_measured_on(record, several) for record in records):
        print(told)
    for name, record in zip(names, records, strict=True):
        if record["queries_without_match"]:
            print(
                f"{name}: {record['queries_without_match']} queries have nothing of their person in the gallery and "
                "count as 0"
            )
        if record.get("captions_truncated"):
            print(
                f"{name}: {record['captions_truncated']} captions are longer than the model's {record['text_limit']} "
                "tokens and were cut there"
            )


def _measured_on(record, several):
    counts = f"{record['queries']} queries, {record['gallery']} gallery items, {record['identities']} identities"
    where = ", ".join(str(record[key]) for key in several)
    return f"{where}: {counts}" if where else counts


def write_json(records, path):
    write_aside(path, json.dumps(records, indent=2) + "\n")


def cell(record, metric):
    """ "29.3 [27.0, 31.5]", or without the interval where there is none."""
    interval = record.get("intervals") and record["intervals"][metric]
    return f"{record[metric]:.1f}" + (f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else "")


def markdown(records):
    """A table of all records and, where several models met several datasets, the matrix of Rank-1 and mAP."""
    lines = ["| model | benchmark | setting | direction | " + " | ".join(METRICS) + " |"]
    lines.append("|---|---|---|---|" + "---|" * len(METRICS))
    for record in records:
        about = [record[key] for key in ("model", "dataset", "setting", "direction")]
        lines.append("| " + " | ".join(about + [cell(record, metric) for metric in METRICS]) + " |")
    lines += ["", "Percent; in brackets bootstrap intervals at 95 % over the identities of the queries.", ""]
    if any(record["average_precision"] == "trapezoidal" for record in records):
        lines += ["mAP is LGUR's trapezoidal one, which is larger than IRRA's.", ""]
    for record in records:
        counts = f"{record['queries']:,} queries, {record['gallery']:,} in the gallery, {record['identities']:,} people"
        extra = f"; {record['queries_without_match']} queries without a match" * bool(record["queries_without_match"])
        extra += f"; {record['captions_truncated']} captions cut at {record['text_limit']} tokens" * bool(
            record["captions_truncated"]
        )
        lines.append(f"* {record['model']} on {record['dataset']}, {record['direction']}: {counts}{extra}")
    lines += matrix(records)
    return "\n".join(lines) + "\n"


def matrix(records):
    """Lines of the cross-domain matrix, text-to-image: Rank-1 / mAP of every model (row) on every dataset (column)."""
    found = {(r["model"], r["dataset"]): r for r in records if r["direction"] == "text-to-image"}
    models, datasets = ({key[place]: None for key in found} for place in (0, 1))
    if len(models) < 2 or len(datasets) < 2:
        return []
    lines = ["", "Rank-1 / mAP, text-to-image:", "", "| | " + " | ".join(datasets) + " |"]
    lines.append("|---|" + "---|" * len(datasets))
    for model in models:
        cells = [f"{found[model, dataset]['R1']:.1f} / {found[model, dataset]['mAP']:.1f}" for dataset in datasets]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return lines


def write_contact_sheet(path, rows, embedded, count, seed, top_k=5):
    """Picture of ``count`` random captions, each with its ``top_k`` best images, hits and misses framed.

    Args:
        rows: the split, for its images.
        embedded: of :func:`unipt_train.evaluate_retrieval.embed_rows`.
    """
    from modeling_unipt.common.contact_sheet import contact_sheet
    from modeling_unipt.image_processing_unipt import to_rgb

    picked = np.random.default_rng(seed).permutation(len(embedded.captions))[:count]
    similarity = embedded.text_embeds[picked] @ embedded.image_embeds.T
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :top_k]
    queries = []
    for row, query in enumerate(picked):
        person = embedded.text_person_ids[query]
        results = [
            (
                to_rgb(rows[int(index)]["image"]),
                f"{similarity[row, index]:.2f}",
                bool(embedded.image_person_ids[index] == person),
            )
            for index in best[row]
        ]
        queries.append((embedded.captions[query], results))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name("partial-" + path.name)
    contact_sheet(queries).save(aside)
    os.replace(aside, path)
