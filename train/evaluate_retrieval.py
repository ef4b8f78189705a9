"""Person retrieval by text on benchmarks: Rank-1/5/10, mAP and mINP of UniPT models, and of CLIP as a baseline.

Every caption of the split is a query, and every image of the split is in the gallery (IRRA's protocol). Similarity is
cosine; ties go to the lower gallery index. A dataset needs the columns `image`, `captions` and `person_id`, as
`python -m dataset_builders.benchmarks` writes them.

A dataset with the splits `query` and `gallery`, as of ITCPR, is searched by an image with words. The embedding of such
a query is the weighted mean of both unit embeddings, with the weight --image-weight for the image. A hit is an image
with the query's `instance_id`; the others, which nobody seeks, are in the gallery as distractors.

    python train/evaluate_retrieval.py --model unipt/unipt-tiny --dataset cuhk-pedes --output results.json

Direct transfer, fine-tuned and cross-domain at once, beside CLIP, as a Markdown table:

    python train/evaluate_retrieval.py --dataset cuhk-pedes icfg-pedes --table results.md \\
        --model openai/clip-vit-base-patch16 my-unipt my-unipt-cuhk my-unipt-icfg

The output is a JSON list with one record for each model on each dataset in each direction. The numbers have bootstrap
confidence intervals over identities. --contact-sheet draws some queries with the best images of the last model on the
last dataset.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modeling_unipt.common.atomic_files import write_json, write_text
from modeling_unipt.common.contact_sheet import check_sheet_path
from modeling_unipt.common.number_formats import DTYPE_HELP, DtypeName
from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, require
from unipt_train.evaluation.report import benchmark_title, markdown, text_table


@dataclass
class EvaluateArguments:
    model: list[str] | None = field(
        default=None, metadata={"help": "folders or Hub names of UniPT models, or of CLIP-style ones as baselines"}
    )
    dataset: list[str] | None = field(default=None, metadata={"help": "folders or Hub names of benchmarks"})
    split: str = field(default="test", metadata={"help": "split of the datasets to measure on"})
    direction: Literal["text-to-image", "image-to-text", "both"] = field(
        default="text-to-image", metadata={"help": "which side is the query, and which the gallery"}
    )
    image_weight: float = field(
        default=0.5,
        metadata={
            "help": "of datasets whose queries are an image with words: weight of the image, from 0 (words alone) to 1 "
            "(image alone); the words have the rest"
        },
    )
    average_precision: Literal["mean", "trapezoidal"] = field(
        default="mean", metadata={"help": "mean is IRRA's; trapezoidal is LGUR's, which is larger: do not mix them"}
    )
    bootstrap: int = field(
        default=1000, metadata={"help": "how often people are drawn for the confidence intervals; 0: no intervals"}
    )
    output: str | None = field(default=None, metadata={"help": "JSON file for the numbers; default: only print them"})
    table: str | None = field(default=None, metadata={"help": "Markdown file for the numbers"})
    contact_sheet: str | None = field(default=None, metadata={"help": "PNG file that shows queries with their results"})
    queries_shown: int = field(default=8, metadata={"help": "queries on the contact sheet, drawn at random"})
    batch_size: int = field(default=64, metadata={"help": "images or captions embedded at once"})
    dtype: DtypeName = field(default="auto", metadata={"help": DTYPE_HELP})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU even where there is a GPU"})
    seed: int = field(default=0, metadata={"help": "seed of the intervals and of the queries shown"})


def check(arguments: EvaluateArguments) -> None:
    """Refuse what can be known to be wrong before anything is loaded.

    Raises:
        UserError: an option is missing or out of range.
    """
    require(arguments, "model", "dataset")
    for name, least in (("batch_size", 1), ("queries_shown", 1), ("bootstrap", 0), ("seed", 0)):
        value = getattr(arguments, name)
        if value < least:
            raise UserError(f"--{name.replace('_', '-')} {value} must be at least {least}")
    if not 0 <= arguments.image_weight <= 1:
        raise UserError(f"--image-weight {arguments.image_weight:g} must lie between 0 and 1")
    if arguments.contact_sheet:
        check_sheet_path(arguments.contact_sheet)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(EvaluateArguments, __doc__, argv)
    check(arguments)

    # Loads torch and its libraries, for which --help and a mistake in the options should not wait.
    import torch

    from modeling_unipt.precision import pick_dtype
    from unipt_train.data.loading import load_splits, rows_of
    from unipt_train.evaluation import composed
    from unipt_train.evaluation.measure import embed_rows, measure, training_setting
    from unipt_train.evaluation.models import BaselineProcessor, count_truncated, load_model, text_limit
    from unipt_train.evaluation.query_sheet import write_query_sheet
    from unipt_train.metrics.person_retrieval.person_retrieval import DIRECTIONS

    # Everything is loaded before anything is measured, so that a mistyped last name costs no hour of embedding.
    tables = {}
    for name in arguments.dataset:
        splits = load_splits(name)
        if composed.is_composed(splits, arguments.split):
            tables[name] = composed.composed_rows(splits, name)
            if arguments.direction != "text-to-image":
                raise UserError(
                    f"dataset '{name}' is searched by an image with words, and --direction {arguments.direction} asks "
                    "for another direction; leave it out, or measure that dataset alone"
                )
        else:
            tables[name] = rows_of(splits, name, arguments.split, ["image", "captions", "person_id"])
    models = {name: load_model(name) for name in arguments.model}
    device = torch.device("cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu")
    dtype = str(pick_dtype(arguments.dtype, device)).removeprefix("torch.")
    directions = DIRECTIONS if arguments.direction == "both" else [arguments.direction]
    records = []
    for name, (model, processor) in models.items():
        # Only the model that is measured lies in the GPU's memory.
        model.to(device).float()
        for dataset, rows in tables.items():
            about = {}
            of_dataset = directions
            if isinstance(rows, composed.ComposedRows):
                embedded = composed.embed_composed(
                    model, processor, rows, arguments.image_weight, arguments.batch_size, dtype
                )
                about["image_weight"] = arguments.image_weight
                of_dataset = [composed.DIRECTION]
                split = composed.QUERY
                rows = rows.gallery
            else:
                embedded = embed_rows(model, processor, rows, arguments.batch_size, dtype)
                split = arguments.split
            is_baseline = isinstance(processor, BaselineProcessor)
            about |= {
                "model": name,
                "dataset": dataset,
                "split": split,
                "setting": "baseline" if is_baseline else training_setting(name, dataset),
                "benchmark": benchmark_title(dataset),
                "average_precision": arguments.average_precision,
                "dtype": dtype,
                "text_limit": text_limit(processor),
                "captions_truncated": count_truncated(processor, embedded.captions),
                "blank_captions": embedded.blank_captions,
            }
            for direction in of_dataset:
                metrics = measure(embedded, direction, arguments.average_precision, arguments.bootstrap, arguments.seed)
                records.append(about | {"direction": direction} | metrics)
        model.to("cpu")
    print(text_table(records))
    for path in filter(None, (arguments.output, arguments.table)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    if arguments.output:
        write_json(arguments.output, records)
    if arguments.table:
        write_text(arguments.table, markdown(records))
    if arguments.contact_sheet:
        write_query_sheet(arguments.contact_sheet, rows, embedded, arguments.queries_shown, arguments.seed)


if __name__ == "__main__":
    run_command(main)
