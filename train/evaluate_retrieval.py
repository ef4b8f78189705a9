"""Person retrieval by text on benchmarks: Rank-1/5/10, mAP and mINP of UniPT models, and of CLIP as a baseline.

Every caption of the split is a query, every image of the split is in the gallery (IRRA's protocol); similarity is
cosine, ties go to the lower gallery index. A dataset needs the columns `image`, `captions` and `person_id`, as
`python -m dataset_builders.benchmarks` writes them.

    python train/evaluate_retrieval.py --model unipt/unipt-tiny --dataset cuhk-pedes --output results.json

Direct transfer, fine-tuned and cross-domain at once, beside CLIP, as a Markdown table:

    python train/evaluate_retrieval.py --dataset cuhk-pedes icfg-pedes --table results.md \\
        --model openai/clip-vit-base-patch16 my-unipt my-unipt-cuhk my-unipt-icfg

Each model on each dataset in each direction is one record of the JSON list. Numbers have bootstrap confidence intervals
over identities. --contact_sheet draws some queries with the best images of the last model on the last dataset.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from modeling_unipt.common.output_folders import SETTINGS_FILE
from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, require
from unipt_train.evaluation.confidence import identity_intervals
from unipt_train.evaluation.report import (
    METRICS,
    benchmark_title,
    markdown,
    print_table,
    write_aside,
    write_contact_sheet,
    write_json,
)
from unipt_train.metrics.person_retrieval.person_retrieval import DIRECTIONS, per_query_percent, query_scores

__all__ = ["METRICS", "Embedded", "embed_rows", "measure", "print_table"]
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass
class EvaluateArguments:
    model: list[str] | None = field(
        default=None, metadata={"help": "folders or Hub names of UniPT models, or of CLIP-style ones as baselines"}
    )
    dataset: list[str] | None = field(default=None, metadata={"help": "folders or Hub names of benchmarks"})
    split: str = field(default="test", metadata={"help": "split of the datasets"})
    direction: Literal["text-to-image", "image-to-text", "both"] = field(
        default="text-to-image", metadata={"help": "what is the query and what the gallery"}
    )
    average_precision: Literal["mean", "trapezoidal"] = field(
        default="mean", metadata={"help": "mean is IRRA's; trapezoidal is LGUR's, which is larger: do not mix them"}
    )
    bootstrap: int = field(default=1000, metadata={"help": "draws of people for the confidence intervals; 0: none"})
    output: str | None = field(default=None, metadata={"help": "JSON file for the numbers; default: only print them"})
    table: str | None = field(default=None, metadata={"help": "Markdown file for the numbers"})
    contact_sheet: str | None = field(default=None, metadata={"help": "PNG file for a picture of queries and results"})
    queries_shown: int = field(default=8, metadata={"help": "rows of the contact sheet, drawn at random"})
    batch_size: int = field(default=64, metadata={"help": "images or captions embedded at once"})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU even where there is a GPU"})
    seed: int = field(default=0, metadata={"help": "of the intervals and of the queries shown"})


@dataclass
class Embedded:
    """A split as a model sees it.

    Attributes:
        text_embeds, image_embeds: (captions, D) and (images, D) float32, rows of length 1.
        text_person_ids, image_person_ids: whom each caption describes and each image shows.
        captions: list of texts.
    """

    text_embeds: np.ndarray
    text_person_ids: np.ndarray
    image_embeds: np.ndarray
    image_person_ids: np.ndarray
    captions: list


def embed_rows(model, processor, rows, batch_size=64):
    """Embed every caption and every image of a split; images may be of any mode."""
    from modeling_unipt.embedding import embed_images, embed_texts
    from modeling_unipt.image_processing_unipt import to_rgb

    captions, text_person_ids, image_person_ids = [], [], []
    for record in rows.select_columns(["captions", "person_id"]):
        image_person_ids.append(record["person_id"])
        captions += record["captions"]
        text_person_ids += [record["person_id"]] * len(record["captions"])
    if not captions:
        raise UserError("none of the images has a caption, so there is nothing to search by")
    text_embeds = embed_texts(model, processor, captions, batch_size)
    images = (to_rgb(row["image"]) for row in rows.select_columns(["image"]))
    image_embeds = embed_images(model, processor, images, batch_size, total=len(rows))
    return Embedded(text_embeds, np.array(text_person_ids), image_embeds, np.array(image_person_ids), captions)


def measure(embedded, direction="text-to-image", average_precision="mean", bootstrap=0, seed=0):
    """The metrics of an embedded split.

    Returns:
        Dict with R1, R5, R10, mAP, mINP in percent, their ``intervals`` at 95 % (name -> [low, high], or None) and the
        counts queries, gallery, identities and queries_without_match.
    """
    texts = (embedded.text_embeds, embedded.text_person_ids)
    images = (embedded.image_embeds, embedded.image_person_ids)
    queries, gallery = (texts, images) if direction == "text-to-image" else (images, texts)
    scores = query_scores(*queries, *gallery)
    values = per_query_percent(scores, average_precision)
    return {
        **{name: float(value.mean()) for name, value in values.items()},
        "intervals": identity_intervals(values, queries[1], bootstrap, seed),
        "queries": len(queries[1]),
        "gallery": len(gallery[1]),
        "identities": len(np.unique(queries[1])),
        "queries_without_match": int(np.sum(scores["first_rank"] == 0)),
    }


def setting(model, dataset):
    """What a UniPT model's own build_settings.json says of how it met the dataset: "untrained", "direct transfer" when
    it was never fine-tuned, "fine-tuned" on this very dataset, "fine-tuned on NAME", or "" when nothing says it."""
    try:
        made = json.loads(Path(model, SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    if made.get("command") == "pretrain":
        return "direct transfer" if made.get("max_steps") else "untrained"
    if made.get("command") != "finetune":
        return ""
    same = os.path.realpath(made["dataset"]) == os.path.realpath(dataset)
    return "fine-tuned" if same else f"fine-tuned on {made['dataset']}"


def check(arguments):
    """Refuse what can be known to be wrong before anything is loaded."""
    require(arguments, "model", "dataset")
    for name, least in (("batch_size", 1), ("queries_shown", 1), ("bootstrap", 0), ("seed", 0)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} {getattr(arguments, name)} must be at least {least}")
    sheet = arguments.contact_sheet
    if sheet and Path(sheet).suffix.lower() not in PICTURES:
        raise UserError(f"--contact_sheet {sheet} must end in one of {', '.join(PICTURES)}")


def main(argv=None):
    arguments = parse_arguments(EvaluateArguments, __doc__, argv)
    check(arguments)

    import torch

    from unipt_train.data.pairs import load_rows
    from unipt_train.evaluation.models import BaselineProcessor, count_truncated, load_model, text_limit

    splits = {name: load_rows(name, arguments.split, ["image", "captions", "person_id"]) for name in arguments.dataset}
    models = {name: load_model(name) for name in arguments.model}
    device = "cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu"
    records = []
    for name, (model, processor) in models.items():
        model.to(device)
        for dataset, rows in splits.items():
            embedded = embed_rows(model, processor, rows, arguments.batch_size)
            met = "baseline" if isinstance(processor, BaselineProcessor) else setting(name, dataset)
            about = {"model": name, "dataset": dataset, "split": arguments.split, "setting": met}
            about["benchmark"] = benchmark_title(dataset)
            about |= {"average_precision": arguments.average_precision, "text_limit": text_limit(processor)}
            about["captions_truncated"] = count_truncated(processor, embedded.captions)
            for direction in DIRECTIONS if arguments.direction == "both" else [arguments.direction]:
                options = (arguments.average_precision, arguments.bootstrap, arguments.seed)
                records.append({**about, "direction": direction, **measure(embedded, direction, *options)})
        model.to("cpu")
    print_table(records)
    if arguments.output:
        write_json(records, arguments.output)
    if arguments.table:
        write_aside(arguments.table, markdown(records))
    if arguments.contact_sheet:
        write_contact_sheet(arguments.contact_sheet, rows, embedded, arguments.queries_shown, arguments.seed)


if __name__ == "__main__":
    run_command(main)
