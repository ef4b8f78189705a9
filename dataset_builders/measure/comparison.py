"""Datasets of the same images, made by different recipes, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import markdown_table

from ..divide.vocabulary import Vocabulary
from .agreement import percent
from .reliability import calibration_errors, statements
from .truth import read_dataset


def compare(folders: Sequence[Path | str], truth_path: Path | str, vocabulary: Vocabulary) -> dict[str, dict[str, Any]]:
    """What each dataset says, and how far its stored probabilities can be relied on.

    Returns:
        Name of the folder -> :class:`dataset_builders.measure.reliability.Statements`, with a ``calibration_error`` for
        each field, its mean over the fields, and the number of ``images``.

    Raises:
        UserError: a dataset cannot be read, does not fit the truth, or two folders have one name.
    """
    compared = {}
    for folder in folders:
        name = Path(folder).resolve().name
        if name in compared:
            raise UserError(f"two datasets are named '{name}'; rename a folder, so that the table can tell them apart")
        dataset = read_dataset(folder, truth_path, vocabulary, probabilities=True)
        counted = statements(dataset.said, dataset.truth, dataset.vocabulary)
        slots = slots_of(dataset.probabilities, dataset.vocabulary)
        errors = calibration_errors(slots, dataset.truth, dataset.vocabulary)
        for field, error in errors.items():
            counted["fields"][field]["calibration_error"] = error
        mean = sum(errors.values()) / len(errors)
        compared[name] = {"images": len(dataset.said), **counted, "calibration_error": mean}
    return compared


def slots_of(stored: Sequence[Mapping[str, Any]], vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """The stored probabilities of each field.

    Args:
        stored: N rows of the column ``attribute_probabilities``.

    Returns:
        field -> (N, number of values) array.
    """
    slots = {}
    for name, attribute in vocabulary.attributes.items():
        if attribute.parts:
            for part, field in attribute.part_fields.items():
                slots[field] = np.array([row[name][part] for row in stored])
        else:
            for field in attribute.fields:
                slots[field] = np.array([row[name] for row in stored])
    return slots


def comparison_table(compared: Mapping[str, Mapping[str, Any]]) -> str:
    """:func:`compare`'s result as two Markdown tables: field by field, and over all fields."""
    names = list(compared)
    head = ["field"]
    for what in ("accuracy", "abstained", "ECE"):
        head += [f"{name}: {what}" for name in names]
    # A dict keeps the order; the datasets may lack different fields.
    fields = dict.fromkeys(field for table in compared.values() for field in table["fields"])
    by_field = []
    for field in fields:
        rows = [compared[name]["fields"].get(field, {}) for name in names]
        required = any(row.get("required") for row in rows)
        cells = [field if required else f"{field} (optional)"]
        for key in ("accuracy", "abstained", "calibration_error"):
            cells += [percent(row.get(key)) for row in rows]
        by_field.append(cells)
    tables = compared.values()
    overall = [
        ["false statements, share of all", *(percent(table["false_share"], 2) for table in tables)],
        ["true statements an image", *(f"{table['true_per_image']:.3f}" for table in tables)],
        ["statements an image", *(f"{table['stated_per_image']:.3f}" for table in tables)],
        ["ECE, mean over the fields", *(percent(table["calibration_error"], 2) for table in tables)],
        ["images", *(table["images"] for table in tables)],
    ]
    return markdown_table(head, by_field) + "\n\n" + markdown_table(["", *names], overall)
