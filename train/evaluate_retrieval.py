"""Text-to-image person retrieval of a UniPT model on a benchmark: Rank-1/5/10, mAP and mINP.

Every caption of the split is a query, every image of the split is in the gallery (IRRA's protocol); similarity is
cosine, ties go to the lower gallery index. The dataset needs the columns `image`, `captions` and `person_id`.

    python train/evaluate_retrieval.py --model unipt/unipt-tiny --dataset cuhk-pedes --output results.json

Several models give several rows. Writes the numbers as a JSON list and, with --contact_sheet, a picture of some queries
with the best images of the last model, hits framed.
"""

import json
import os
from dataclasses import dataclass, field

import numpy as np

from arguments import parse_arguments, require
from modeling_unipt.user_errors import run_command

METRICS = ("R1", "R5", "R10", "mAP", "mINP")


@dataclass
class EvaluateArguments:
    model: list[str] | None = field(default=None, metadata={"help": "folders or Hub names of UniPT models"})
    dataset: str | None = field(default=None, metadata={"help": "folder or Hub name of a benchmark"})
    split: str = field(default="test", metadata={"help": "split of the dataset"})
    output: str | None = field(default=None, metadata={"help": "JSON file for the numbers; default: only print them"})
    contact_sheet: str | None = field(default=None, metadata={"help": "PNG file for a picture of queries and results"})
    queries_shown: int = field(default=8, metadata={"help": "rows of the contact sheet, drawn at random"})
    batch_size: int = field(default=64, metadata={"help": "images or captions embedded at once"})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU even where there is a GPU"})
    seed: int = field(default=0, metadata={"help": "of the queries shown"})


def benchmark_arrays(rows):
    """(captions, text_person_ids, image_person_ids) of a split: each caption a query, each row a gallery image."""
    table = rows.select_columns(["captions", "person_id"])
    captions, text_person_ids, image_person_ids = [], [], []
    for record in table:
        image_person_ids.append(record["person_id"])
        captions += record["captions"]
        text_person_ids += [record["person_id"]] * len(record["captions"])
    return captions, np.array(text_person_ids), np.array(image_person_ids)


def evaluate_rows(model, processor, rows, batch_size=64):
    """Embed a split and measure retrieval on it.

    Returns:
        (metrics, text_embeds, image_embeds, captions, text_person_ids, image_person_ids); metrics has R1, R5, R10, mAP,
        mINP in percent and the counts queries, gallery, identities and queries_without_match.
    """
    from metrics.person_retrieval.person_retrieval import retrieval_metrics
    from modeling_unipt.embedding import embed_images, embed_texts

    captions, text_person_ids, image_person_ids = benchmark_arrays(rows)
    text_embeds = embed_texts(model, processor, captions, batch_size)
    images = (row["image"] for row in rows.select_columns(["image"]))
    image_embeds = embed_images(model, processor, images, batch_size, total=len(rows))
    metrics = retrieval_metrics(text_embeds, text_person_ids, image_embeds, image_person_ids)
    counts = {"queries": len(captions), "gallery": len(rows), "identities": len(set(image_person_ids.tolist()))}
    return metrics | counts, text_embeds, image_embeds, captions, text_person_ids, image_person_ids


def write_contact_sheet(path, rows, evaluated, count, seed, top_k=5):
    """Picture of ``count`` random queries, each with its ``top_k`` best images, hits and misses framed."""
    from modeling_unipt.contact_sheet import contact_sheet

    _, text_embeds, image_embeds, captions, text_person_ids, image_person_ids = evaluated
    picked = np.random.default_rng(seed).permutation(len(captions))[:count]
    similarity = text_embeds[picked] @ image_embeds.T
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :top_k]
    queries = []
    for row, query in enumerate(picked):
        results = [
            (
                rows[int(index)]["image"],
                f"{similarity[row, index]:.2f}",
                bool(image_person_ids[index] == text_person_ids[query]),
            )
            for index in best[row]
        ]
        queries.append((captions[query], results))
    contact_sheet(queries).save(path)


def print_table(records, name_key="model"):
    """Print metrics in percent, one record a line, and what they were measured on."""
    width = max(len(record[name_key]) for record in records)
    print(f"{name_key:<{width}}" + "".join(f"{name:>8}" for name in METRICS))
    for record in records:
        print(f"{record[name_key]:<{width}}" + "".join(f"{record[name]:8.2f}" for name in METRICS))
    last = records[-1]
    print(f"{last['queries']} queries, {last['gallery']} gallery images, {last['identities']} identities")
    if last["queries_without_match"]:
        print(f"{last['queries_without_match']} queries have no image of their person in the gallery and count as 0")


def main(argv=None):
    arguments = parse_arguments(EvaluateArguments, __doc__, argv)
    require(arguments, "model", "dataset")

    import torch

    from data import load_rows
    from modeling_unipt.loading import load_unipt

    rows = load_rows(arguments.dataset, arguments.split, ["image", "captions", "person_id"])
    device = "cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu"
    loaded = [load_unipt(name) for name in arguments.model]
    records = []
    for name, (model, processor) in zip(arguments.model, loaded, strict=True):
        evaluated = evaluate_rows(model.to(device), processor, rows, arguments.batch_size)
        records.append({"model": name, "dataset": arguments.dataset, "split": arguments.split, **evaluated[0]})
    print_table(records)
    if arguments.output:
        aside = arguments.output + ".partial"
        os.makedirs(os.path.dirname(os.path.abspath(arguments.output)), exist_ok=True)
        with open(aside, "w", encoding="utf-8") as file:
            json.dump(records, file, indent=2)
        os.replace(aside, arguments.output)
    if arguments.contact_sheet:
        write_contact_sheet(arguments.contact_sheet, rows, evaluated, arguments.queries_shown, arguments.seed)


if __name__ == "__main__":
    run_command(main)
