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

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, require
from unipt_train.evaluation.report import (
    benchmark_title,
    markdown,
    print_table,
    write_aside,
    write_contact_sheet,
    write_json,
)
from unipt_train.metrics.person_retrieval.person_retrieval import DIRECTIONS

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
    from unipt_train.evaluation.measure import embed_rows, measure, training_setting
    from unipt_train.evaluation.models import BaselineProcessor, count_truncated, load_model, text_limit

    splits = {name: load_rows(name, arguments.split, ["image", "captions", "person_id"]) for name in arguments.dataset}
    models = {name: load_model(name) for name in arguments.model}
    device = "cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu"
    records = []
    for name, (model, processor) in models.items():
        model.to(device)
        for dataset, rows in splits.items():
            embedded = embed_rows(model, processor, rows, arguments.batch_size)
            met = "baseline" if isinstance(processor, BaselineProcessor) else training_setting(name, dataset)
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
