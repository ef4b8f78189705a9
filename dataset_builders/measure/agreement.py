"""How far stored attributes agree with known ones, counted on the attributes, never on the captions' wording."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from modeling_unipt.common.words import markdown_table

from ..divide.vocabulary import Chosen, Truth, Vocabulary
from .reliability import said_and_true
from .truth import read_dataset


class PrecisionRecall(TypedDict):
    """How far the statements about one optional attribute agree with the truth.

    Attributes:
        precision: share of the statements that name the true value (a handbag called a backpack is wrong); None if
            nothing is stated.
        recall: share of the things present that are stated rightly; None if there are none.
        said: number of statements.
        true: number of things present.
    """

    precision: float | None
    recall: float | None
    said: int
    true: int


class Agreement(TypedDict):
    """What was said of some images against what is true of them; JSON-able.

    Attributes:
        images: number of images.
        required: field -> accuracy. Clothes count as colour, pattern and garment apart.
        required_mean: mean of these; None if no attribute is required.
        optional: field -> its counts.
        optional_precision: precision over all optional attributes together.
        optional_recall: recall over all optional attributes together.
    """

    images: int
    required: dict[str, float]
    required_mean: float | None
    optional: dict[str, PrecisionRecall]
    optional_precision: float | None
    optional_recall: float | None


def agreement(said: Sequence[Chosen], truth: Sequence[Truth], vocabulary: Vocabulary) -> Agreement:
    """Compare what was said of each image with what is true of it.

    Args:
        said: for each image, what was said of it.
        truth: for each image, what is true of it; in the same order.
    """
    required = {}
    optional = {}
    all_right = 0
    all_said = 0
    all_true = 0
    for name, attribute in vocabulary.attributes.items():
        for field in attribute.fields:
            pairs = said_and_true(said, truth, name, field)
            right = sum(value is not None and value == known for value, known in pairs)
            if attribute.required:
                required[field] = right / len(pairs)
                continue
            stated = sum(value is not None for value, _ in pairs)
            present = sum(known is not None for _, known in pairs)
            optional[field] = {
                "precision": _share(right, stated),
                "recall": _share(right, present),
                "said": stated,
                "true": present,
            }
            all_right += right
            all_said += stated
            all_true += present
    return {
        "images": len(said),
        "required": required,
        "required_mean": sum(required.values()) / len(required) if required else None,
        "optional": optional,
        "optional_precision": _share(all_right, all_said),
        "optional_recall": _share(all_right, all_true),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def agreement_of_dataset(folder: Path | str, truth_path: Path | str, vocabulary: Vocabulary) -> Agreement:
    """:func:`agreement` of a LUPerson-T folder with a ``truth.jsonl``.

    Raises:
        UserError: see :func:`dataset_builders.measure.truth.read_dataset`.
    """
    dataset = read_dataset(folder, truth_path, vocabulary)
    return agreement(dataset.said, dataset.truth, dataset.vocabulary)


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage, such as "12.5 %", or a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def agreement_table(table: Agreement) -> str:
    """The result of :func:`agreement` as two Markdown tables."""
    required = [(field, percent(accuracy)) for field, accuracy in table["required"].items()]
    required.append(("**mean**", f"**{percent(table['required_mean'])}**"))
    optional = []
    for field, row in table["optional"].items():
        optional.append((field, percent(row["precision"]), percent(row["recall"]), row["said"], row["true"]))
    total = [sum(row[key] for row in table["optional"].values()) for key in ("said", "true")]
    overall = [f"**{percent(table[f'optional_{key}'])}**" for key in ("precision", "recall")]
    optional.append(("**all**", *overall, *total))
    return "\n\n".join(
        [
            markdown_table(["required field", "accuracy"], required),
            markdown_table(["optional attribute", "precision", "recall", "stated", "true"], optional),
        ]
    )
