"""The model card of a trained folder, written from an evaluation and from the folder's own records."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from modeling_unipt.common.atomic_files import write_text
from modeling_unipt.common.output_folders import SETTINGS_FILE
from modeling_unipt.common.user_errors import UserError
from unipt_train.engine.precision import MEASURED
from unipt_train.evaluation.report import AND, METRICS, Record, benchmark_title, metrics_table, public_name, several

CARDS = Path(__file__).parents[1] / "cards"
METRIC_NAMES = {"R1": "Rank-1", "R5": "Rank-5", "R10": "Rank-10", "mAP": "mAP", "mINP": "mINP"}
NEEDED_KEYS = {"model", "benchmark", "split", "direction", "queries", "gallery", "identities", *METRICS}
ABOUT = "UniPT (Shao et al., ICCV 2023, arXiv 2309.01420): a dual encoder that finds images of people by description."
# Settings whose values may be paths of this machine.
PATH_SETTINGS = ("dataset", "model", "vision_model", "text_model", "checkpoint", "tokenizer")
# A folder that names itself as its start would otherwise be followed for ever.
LONGEST_LINEAGE = 8
VALIDATION_FILE = "validation.json"
COMMAND_TITLES = {"pretrain": "Pre-training", "finetune": "Fine-tuning", "convert": "Conversion"}


@dataclass(frozen=True)
class TrainingStage:
    """One training, as the folder that it wrote records it.

    Attributes:
        settings: what build_settings.json holds.
        log: rows of training_log.json; empty if there is none.
        choice: how the checkpoint was chosen, as validation.json says it; None if there is no such file.
    """

    settings: dict[str, Any]
    log: list[dict[str, float]]
    choice: dict[str, Any] | None

    @property
    def command(self) -> str:
        """The command that trained it: "pretrain", "finetune" or "convert"."""
        return str(self.settings.get("command"))


@dataclass(frozen=True)
class Facts:
    """What a card says besides what was measured and recorded.

    Attributes:
        about: Markdown below the title.
        name: title of the card; None takes the folder's name.
        license: of the weights, as the Hub names it.
        hardware: what the model was trained on; None becomes "not recorded".
        energy_kwh: energy of the training in kWh; None becomes "not measured".
        tags: more tags for the Hub.
        trained_as: the folder that training wrote, if the model's folder is a copy of its weights.
    """

    about: str = ABOUT
    name: str | None = None
    license: str = "other"
    hardware: str | None = None
    energy_kwh: float | None = None
    tags: tuple[str, ...] = ()
    trained_as: Path | str | None = None


def _read_json(path: Path | str) -> Any:
    """What a JSON file holds, or None if there is no such file or it is no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_records(paths: Sequence[Path | str]) -> list[Record]:
    """The records of evaluation files.

    Raises:
        UserError: a file cannot be read, or is no list of records.
    """
    records = []
    for path in paths:
        found = _read_json(path)
        if not isinstance(found, list) or not all(_is_record(each) for each in found):
            raise UserError(f"{path} is not a JSON file that this train/evaluate_retrieval.py wrote with --output")
        records += found
    return records


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and set(value) >= NEEDED_KEYS


def lineage(folder: Path | str) -> tuple[list[TrainingStage], bool]:
    """How a folder was trained: its stages from the first to the last, and whether the first is the beginning.

    Each stage started from the folder that the stage before it wrote.
    """
    stages = []
    at = Path(folder)
    for _ in range(LONGEST_LINEAGE):
        settings = _read_json(at / SETTINGS_FILE)
        if not isinstance(settings, dict):
            return stages[::-1], False
        measured = _read_json(at / MEASURED)
        if measured is not None:
            settings["precision"] = f"{measured['precision']} (the faster one on the CPU)"
        log = _read_json(at / "training_log.json") or []
        stages.append(TrainingStage(settings, log, _read_json(at / VALIDATION_FILE)))
        # Pre-training from two encoders is a beginning; from a whole model it is not.
        if settings.get("command") != "finetune" and not settings.get("model"):
            return stages[::-1], True
        at = Path(settings["model"])
    return stages[::-1], False


def hours(stage: TrainingStage) -> float | None:
    """Hours of the training steps by the log's own samples per second, or None if the log does not say."""
    seconds = 0.0
    step_before = 0
    for row in stage.log:
        if not row.get("samples_per_second"):
            return None
        samples = (row["step"] - step_before) * stage.settings.get("batch_size", 0)
        seconds += samples / row["samples_per_second"]
        step_before = row["step"]
    return seconds / 3600 if seconds else None


def training_text(stages: Sequence[TrainingStage], complete: bool) -> str:
    """Markdown about each stage: its data, its settings, how its checkpoint was chosen.

    Args:
        complete: whether the first stage is the beginning.
    """
    if not stages:
        return "How it was trained is not recorded: the folder holds no build_settings.json of a training."
    parts = [] if complete else ["The first stages are not recorded: the folder that it started from is not here."]
    parts += [_stage_text(stage) for stage in stages]
    return "\n\n".join(parts)


def _stage_text(stage: TrainingStage) -> str:
    settings = stage.settings
    text = f"**{COMMAND_TITLES.get(stage.command, stage.command)}**"
    if "dataset" in settings:
        titles = " and ".join(benchmark_title(name) for name in several(settings["dataset"]))
        text += f" on {titles}, split {settings['split']}"
    # Fine-tuning counts pairs of image and caption, pre-training rows of the dataset.
    for key in ("pairs", "rows"):
        if key in settings:
            text += f", {settings[key]:,} pairs"
            break
    text += "."
    if stage.log and "loss" in stage.log[-1]:
        text += f" The last logged loss is {stage.log[-1]['loss']:.3f}."
    if stage.command == "finetune":
        text += f" {choice_text(stage.choice)}"
    shown = []
    for key, value in settings.items():
        if value is not None and key != "command":
            # A comma would end the setting for whoever reads the card again.
            shown.append(f"{key} " + AND.join(_shown(key, each) for each in several(value)))
    return f"{text} Settings: {', '.join(shown)}."


def _shown(key: str, value: Any) -> str:
    return public_name(value) if key in PATH_SETTINGS and value else str(value)


def choice_text(choice: dict[str, Any] | None) -> str:
    """A sentence about which step's weights fine-tuning kept; None means that no choice is recorded."""
    if choice is None:
        return "The weights are those of the last step: no checkpoint was chosen."
    where = f"the {choice['people']} people of split {choice['split']}"
    if isinstance(choice["split"], dict):
        parts = []
        for name, split in choice["split"].items():
            held_out = " (people held out)" if name in choice["held_out_person_ids"] else ""
            parts.append(f"split {split} of {public_name(name)}{held_out}")
        where = f"the {choice['people']} people of {' and '.join(parts)}"
    elif choice["held_out_person_ids"]:
        where = f"{choice['people']} people held out of split {choice['split']}"
    return (
        f"The weights are those of step {choice['step']} of {choice['steps']}, chosen by Rank-1 on {where} "
        f"({choice['score']:.1f} %), never on test."
    )


def loss_curves(folder: Path | str) -> list[str]:
    """Markdown that shows each image of a loss in a model's folder."""
    return [f"![{path.stem.replace('_', ' ')}]({path.name})" for path in sorted(Path(folder).glob("*loss*.png"))]


def environment_text(stages: Sequence[TrainingStage], complete: bool, facts: Facts) -> str:
    """Markdown list of hardware, hours and energy. Each is measured, stated by the user, or said not to be known."""
    taken = [hours(stage) for stage in stages if stage.command != "convert"]
    time = "not recorded"
    if complete and taken and None not in taken:
        time = f"{sum(taken):.2f}, of the training steps by the speed in the training log"
    energy = "not measured"
    if facts.energy_kwh is not None:
        energy = f"{facts.energy_kwh:g} kWh, as stated by whoever trained it"
    return f"* Hardware: {facts.hardware or 'not recorded'}\n* Hours: {time}\n* Energy: {energy}"


def results_text(own: Sequence[Record], others: Sequence[Record]) -> str:
    """The table of the records, others first, and what they were measured on.

    Args:
        own: records of the model that the card is about; the table calls it "this checkpoint".
    """
    records = [*others, *own]
    names = [public_name(record["model"]) for record in others]
    names += [f"{public_name(record['model'])} (this checkpoint)" for record in own]
    table = metrics_table(records, names, [record["benchmark"] for record in records])
    sizes = []
    for record in records:
        sizes.append(
            f"{record['benchmark']} ({record['identities']} people, {record['gallery']} gallery items, "
            f"{record['queries']} queries; chance is {100 / record['identities']:.1f} % Rank-1), {record['direction']}"
        )
    # Models measured on the same data share a size; a dict keeps the order of the table.
    measured_on = "; ".join(dict.fromkeys(sizes))
    return f"{table}\n\nPercent, with bootstrap intervals at 95 % over people, on {measured_on}."


def eval_results(own: Sequence[Record]) -> list[EvalResult]:
    """The model's own records as the Hub shows them beside a model (model-index)."""
    results = []
    for record in own:
        for metric in METRICS:
            is_trapezoidal = metric == "mAP" and _trapezoidal(record)
            result = EvalResult(
                task_type=f"{record['direction']}-retrieval",
                task_name=f"{record['direction']} person retrieval",
                dataset_type=re.sub(r"[^a-z0-9/]+", "-", record["benchmark"].lower()).strip("-"),
                dataset_name=record["benchmark"],
                dataset_split=record["split"],
                metric_type=metric.lower(),
                metric_name=METRIC_NAMES[metric] + (" (trapezoidal)" if is_trapezoidal else ""),
                metric_value=round(record[metric], 2),
            )
            results.append(result)
    return results


def _trapezoidal(record: Record) -> bool:
    return record.get("average_precision") == "trapezoidal"


def write_model_card(folder: Path | str, records: Sequence[Record], facts: Facts) -> None:
    """Write the card, README.md in ``folder``.

    Args:
        records: of train/evaluate_retrieval.py. Those whose model is ``folder`` become the model-index; those of other
            models stand in the table for comparison.

    Raises:
        UserError: the folder is no model, or the records hold nothing of it, or they mix two kinds of mAP.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a model folder: it holds no config.json")
    here = os.path.realpath(folder)
    own = [record for record in records if os.path.realpath(record["model"]) == here]
    others = [record for record in records if record not in own]
    if not own:
        held = ", ".join(dict.fromkeys(str(record["model"]) for record in records)) or "nothing"
        raise UserError(f"the evaluation holds no record of {folder}, only of {held}; evaluate it first")
    if len({_trapezoidal(record) for record in records}) > 1:
        raise UserError("the evaluation mixes mAP and trapezoidal mAP, which cannot be compared; give one of the two")
    stages, complete = lineage(facts.trained_as or folder)
    data = {}
    for stage in stages:
        if "dataset" in stage.settings:
            for name in several(stage.settings["dataset"]):
                data[public_name(name)] = benchmark_title(name)
    header = ModelCardData(
        model_name=facts.name or folder.resolve().name,
        license=facts.license,
        language="en",
        library_name="transformers",
        pipeline_tag="feature-extraction",
        tags=["unipt", "text-to-image-retrieval", "person-retrieval", *facts.tags],
        # The Hub refuses a card that names a dataset which is no Hub id.
        datasets=[dataset for dataset in data if "/" in dataset] or None,
        eval_results=eval_results(own),
    )
    text = Template((CARDS / "unipt.md").read_text(encoding="utf-8")).substitute(
        header=header.to_yaml(),
        name=header.model_name,
        about=facts.about.strip(),
        results=results_text(own, others),
        data="\n".join(f"* {title} (`{name}`)" for name, title in data.items()) or "not recorded",
        training="\n\n".join([training_text(stages, complete), *loss_curves(folder)]),
        environment=environment_text(stages, complete, facts),
    )
    write_text(folder / "README.md", text)
