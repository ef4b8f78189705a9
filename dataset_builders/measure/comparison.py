"""Datasets of the same images, made by different recipes, side by side; see :mod:`dataset_builders.agreement`."""

from pathlib import Path

import numpy as np

from modeling_unipt.common.user_errors import UserError

from ..agreement import read_dataset
from .reliability import calibration_errors, statements


def compare(folders, truth_path, vocabulary):
    """What each dataset says, and how far its stored probabilities can be relied on.

    Returns:
        Name of the folder -> :func:`dataset_builders.measure.reliability.statements`, with ``calibration_error`` for each field
        and its mean over the fields.
    Raises:
        UserError: a dataset cannot be read, does not fit the truth, or two folders have one name.
    """
    compared = {}
    for folder in folders:
        name = Path(folder).resolve().name
        if name in compared:
            raise UserError(f"two datasets are named '{name}'; rename a folder, so that the table can tell them apart")
        said, truth, known, stored = read_dataset(folder, truth_path, vocabulary, probabilities=True)
        counted, errors = statements(said, truth, known), calibration_errors(slots_of(stored, known), truth, known)
        for field, error in errors.items():
            counted["fields"][field]["calibration_error"] = error
        compared[name] = {"images": len(said), **counted, "calibration_error": sum(errors.values()) / len(errors)}
    return compared


def slots_of(stored, vocabulary):
    """field -> (N, number of values), of the column ``attribute_probabilities`` as a list of N rows."""
    slots = {}
    for name, attribute in vocabulary.attributes.items():
        for field in attribute.fields:
            if attribute.parts:
                part = next(part for part, of_part in attribute.part_fields.items() if of_part == field)
                slots[field] = np.array([row[name][part] for row in stored])
            else:
                slots[field] = np.array([row[name] for row in stored])
    return slots


def comparison_table(compared):
    """:func:`compare`'s result as Markdown."""
    percent = lambda value: "–" if value is None else f"{100 * value:.1f} %"  # noqa: E731
    names = list(compared)
    heads = [f"{name}: {what}" for what in ("accuracy", "abstained", "ECE") for name in names]
    lines = [f"| field | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    fields = dict.fromkeys(field for table in compared.values() for field in table["fields"])
    for field in fields:
        rows = [compared[name]["fields"].get(field, {}) for name in names]
        cells = [percent(row.get(key)) for key in ("accuracy", "abstained", "calibration_error") for row in rows]
        required = any(row.get("required") for row in rows)
        lines.append(f"| {field if required else f'{field} (optional)'} | {' | '.join(cells)} |")
    lines += ["", f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for what, text in (
        (
            "false statements, share of all",
            lambda table: "–" if table["false_share"] is None else f"{100 * table['false_share']:.2f} %",
        ),
        ("true statements an image", lambda table: f"{table['true_per_image']:.3f}"),
        ("statements an image", lambda table: f"{table['stated_per_image']:.3f}"),
        ("ECE, mean over the fields", lambda table: f"{100 * table['calibration_error']:.2f} %"),
        ("images", lambda table: str(table["images"])),
    ):
        lines.append(f"| {what} | {' | '.join(text(compared[name]) for name in names)} |")
    return "\n".join(lines)
