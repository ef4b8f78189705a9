"""Write the model card of a trained UniPT folder from what was measured and from the folder's own records; publish it.

    python train/evaluate_retrieval.py --model my-unipt-cuhk --dataset cuhk-pedes --output evaluation.json
    python train/model_card.py --model my-unipt-cuhk --evaluation evaluation.json --license cc-by-nc-4.0 \\
        --hardware "8 x A100 80 GB" --push-to-hub me/unipt-cuhk

The card (README.md in the folder) holds the results as model-index, the training data, the recipe of each stage as
build_settings.json has it, hours by the training log, and what the model may be used for. Other models of the
evaluation stand in the table for comparison. What is not known is said to be not recorded or not measured. Folders are
named by their last part, so that no path of this machine is published; build_settings.json itself is not sent.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from modeling_unipt.common.output_folders import SETTINGS_FILE
from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, require
from unipt_train.evaluation.report import METRICS, benchmark_title, cell, public_name, write_aside

CARD = Path(__file__).parent / "cards" / "unipt.md"
METRIC_NAMES = {"R1": "Rank-1", "R5": "Rank-5", "R10": "Rank-10", "mAP": "mAP", "mINP": "mINP"}
ABOUT = "UniPT (Shao et al., ICCV 2023, arXiv 2309.01420): a dual encoder that finds pictures of people by description."
NAMED = ("dataset", "model", "vision_model", "text_model", "checkpoint", "tokenizer")
LONGEST_LINEAGE = 8
VALIDATION_FILE = "validation.json"  # of train/validation.py, which this file does without, as without torch


@dataclass
class CardArguments:
    model: str | None = field(default=None, metadata={"help": "folder of the trained UniPT model"})
    evaluation: list[str] | None = field(
        default=None, metadata={"help": "JSON files of train/evaluate_retrieval.py, in which this model occurs"}
    )
    name: str | None = field(default=None, metadata={"help": "title of the card; default: the folder's name"})
    license: str = field(default="other", metadata={"help": "licence of the weights, as the Hub names it"})
    about: str | None = field(default=None, metadata={"help": "Markdown file with what to say below the title"})
    hardware: str | None = field(default=None, metadata={"help": "what it was trained on; default: not recorded"})
    energy_kwh: float | None = field(default=None, metadata={"help": "energy of the training; default: not measured"})
    push_to_hub: str | None = field(default=None, metadata={"help": "NAMESPACE/NAME of a model repository to send to"})
    private: bool = field(default=False, metadata={"help": "make that repository private"})


def read_json(path):
    """What a JSON file holds, or None where there is no such file or it is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_records(paths):
    """The records of evaluation files.

    Raises:
        UserError: one cannot be read or is no list of records.
    """
    records = []
    for path in paths:
        found = read_json(path)
        needed = {"model", "benchmark", "split", "direction", "queries", "gallery", "identities", *METRICS}
        if not isinstance(found, list) or not all(isinstance(r, dict) and needed <= set(r) for r in found):
            raise UserError(f"{path} is not a JSON file that this train/evaluate_retrieval.py wrote with --output")
        records += found
    return records


def lineage(folder):
    """(stages from the first to the last, whether the first is the beginning): each the settings that made a folder,
    its training log, and how its checkpoint was chosen or None, the next being trained from it."""
    stages, at = [], Path(folder)
    for _ in range(LONGEST_LINEAGE):
        settings = read_json(at / SETTINGS_FILE)
        if not isinstance(settings, dict):
            return stages[::-1], False
        stages.append((settings, read_json(at / "training_log.json") or [], read_json(at / VALIDATION_FILE)))
        if settings.get("command") != "finetune":
            return stages[::-1], True
        at = Path(settings["model"])
    return stages[::-1], False


def hours(settings, log):
    """Hours of the steps by the log's own samples per second, or None where it does not say."""
    total, before = 0.0, 0
    for row in log:
        if not row.get("samples_per_second"):
            return None
        total += (row["step"] - before) * settings.get("batch_size", 0) / row["samples_per_second"]
        before = row["step"]
    return total / 3600 if total else None


def training_text(stages, complete):
    """Markdown about each stage: its data, its settings, its duration."""
    if not stages:
        return "How it was trained is not recorded: the folder holds no build_settings.json of a training."
    parts = [] if complete else ["The first stages are not recorded: the folder that it started from is not here."]
    for settings, log, chosen in stages:
        what = {"pretrain": "Pre-training", "finetune": "Fine-tuning", "convert": "Conversion"}
        command = what.get(settings.get("command"), str(settings.get("command")))
        data = f" on {benchmark_title(settings['dataset'])}, split {settings['split']}" if "dataset" in settings else ""
        size = next((f", {settings[key]:,} pairs" for key in ("pairs", "rows") if key in settings), "")
        loss = f" The last logged loss is {log[-1]['loss']:.3f}." if log and "loss" in log[-1] else ""
        choice = choice_text(chosen) if settings.get("command") == "finetune" else ""
        shown = {key: public_name(value) if key in NAMED and value else value for key, value in settings.items()}
        options = ", ".join(f"{key} {value}" for key, value in shown.items() if value is not None and key != "command")
        parts.append(f"**{command}**{data}{size}.{loss}{choice} Settings: {options}.")
    return "\n\n".join(parts)


def choice_text(chosen):
    """Which step's weights fine-tuning kept, by what the record of train/validation.py says; None is no record."""
    if chosen is None:
        return " The weights are those of the last step: no checkpoint was chosen."
    where = f"the {chosen['people']} people of split {chosen['split']}"
    if chosen["held_out_person_ids"]:
        where = f"{chosen['people']} people held out of split {chosen['split']}"
    return (
        f" The weights are those of step {chosen['step']} of {chosen['steps']}, chosen by Rank-1 on {where} "
        f"({chosen['score']:.1f} %), never on test."
    )


def loss_curves(folder):
    """Markdown of each picture of a loss in a model's folder."""
    return [f"![{path.stem.replace('_', ' ')}]({path.name})" for path in sorted(Path(folder).glob("*loss*.png"))]


def environment_text(stages, complete, hardware, energy_kwh):
    """Markdown list: hardware, hours, energy, each measured, stated by the user, or said not to be known."""
    taken = [hours(settings, log) for settings, log, _ in stages if settings.get("command") != "convert"]
    if complete and taken and None not in taken:
        told = f"{sum(taken):.2f}, of the training steps by the speed in the training log"
    else:
        told = "not recorded"
    energy = f"{energy_kwh:g} kWh, as stated by whoever trained it" if energy_kwh is not None else "not measured"
    return f"* Hardware: {hardware or 'not recorded'}\n* Hours: {told}\n* Energy: {energy}"


def results_table(own, others):
    """Markdown table of the records, others first; the model's own are "(this checkpoint)"."""
    lines = ["| model | benchmark | setting | direction | " + " | ".join(METRICS) + " |"]
    lines.append("|---|---|---|---|" + "---|" * len(METRICS))
    for record in (*others, *own):
        name = public_name(record["model"]) + (" (this checkpoint)" if record in own else "")
        about = (record["benchmark"], record.get("setting", ""), record["direction"])
        lines.append(f"| {name} | " + " | ".join((*about, *(cell(record, metric) for metric in METRICS))) + " |")
    sizes = dict.fromkeys(
        f"{r['benchmark']} ({r['identities']} people, {r['gallery']} gallery items, {r['queries']} queries; "
        f"chance is {100 / r['identities']:.1f} % Rank-1), {r['direction']}"
        for r in (*others, *own)
    )
    return "\n".join(lines) + "\n\nPercent, with bootstrap intervals at 95 % over people, on " + "; ".join(sizes) + "."


def eval_results(own):
    """The model's own records as what the Hub shows beside a model (model-index)."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=f"{record['direction']}-retrieval",
            task_name=f"{record['direction']} person retrieval",
            dataset_type=re.sub(r"[^a-z0-9/]+", "-", record["benchmark"].lower()).strip("-"),
            dataset_name=record["benchmark"],
            dataset_split=record["split"],
            metric_type=metric.lower(),
            metric_name=METRIC_NAMES[metric] + (" (trapezoidal)" * (metric == "mAP" and _trapezoidal(record))),
            metric_value=round(record[metric], 2),
        )
        for record in own
        for metric in METRICS
    ]


def _trapezoidal(record):
    return record.get("average_precision") == "trapezoidal"


def write_model_card(
    folder,
    records,
    name=None,
    license="other",
    about=ABOUT,
    hardware=None,
    energy_kwh=None,
    tags=(),
    trained_as=None,
):
    """Write ``folder``/README.md.

    Args:
        folder: of the model.
        records: of train/evaluate_retrieval.py; those whose model is this folder become the model-index.
        about: Markdown below the title.
        tags: more tags for the Hub.
        trained_as: folder that training wrote, where ``folder`` is a copy of its weights.
    Raises:
        UserError: the folder is no model, or the records hold nothing of it.
    """
    from huggingface_hub import ModelCardData

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a model folder: it holds no config.json")
    here = os.path.realpath(folder)
    own = [record for record in records if os.path.realpath(record["model"]) == here]
    if not own:
        held = ", ".join(dict.fromkeys(str(record["model"]) for record in records)) or "nothing"
        raise UserError(f"the evaluation holds no record of {folder}, only of {held}; evaluate it first")
    if len({_trapezoidal(record) for record in records}) > 1:
        raise UserError("the evaluation mixes mAP and trapezoidal mAP, which cannot be compared; give one of the two")
    stages, complete = lineage(trained_as or folder)
    data = {public_name(s["dataset"]): benchmark_title(s["dataset"]) for s, *_ in stages if "dataset" in s}
    header = ModelCardData(
        model_name=name or folder.resolve().name,
        license=license,
        language="en",
        library_name="transformers",
        pipeline_tag="feature-extraction",
        tags=["unipt", "text-to-image-retrieval", "person-retrieval", *tags],
        datasets=[dataset for dataset in data if "/" in dataset] or None,
        eval_results=eval_results(own),
    )
    text = Template(CARD.read_text(encoding="utf-8")).substitute(
        header=header.to_yaml(),
        name=header.model_name,
        about=about.strip(),
        results=results_table(own, [record for record in records if record not in own]),
        data="\n".join(f"* {title} (`{name}`)" for name, title in data.items()) or "not recorded",
        training="\n\n".join([training_text(stages, complete), *loss_curves(folder)]),
        environment=environment_text(stages, complete, hardware, energy_kwh),
    )
    write_aside(folder / "README.md", text)


def main(argv=None):
    arguments = parse_arguments(CardArguments, __doc__, argv)
    require(arguments, "model", "evaluation")
    if arguments.private and not arguments.push_to_hub:
        raise UserError("--private belongs to --push-to-hub")
    about = ABOUT
    if arguments.about:
        try:
            about = Path(arguments.about).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--about {arguments.about} cannot be read: {error}") from None
    records = read_records(arguments.evaluation)

    from unipt_train.engine.hub_model import HubModel

    hub = HubModel(arguments.push_to_hub, arguments.private) if arguments.push_to_hub else None
    facts = {"hardware": arguments.hardware, "energy_kwh": arguments.energy_kwh, "license": arguments.license}
    write_model_card(arguments.model, records, arguments.name, about=about, **facts)
    print(f"wrote {Path(arguments.model, 'README.md')}")
    if hub:
        hub.publish(arguments.model)


if __name__ == "__main__":
    run_command(main)
