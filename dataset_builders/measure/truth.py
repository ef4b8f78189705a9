"""Known attributes of images (``truth.jsonl``), and the attributes that a dataset stores of the same images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as parquet

from modeling_unipt.common.stand_ins import refuse_stand_in
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.saved import is_saved_dataset, saved_splits

from ..divide.vocabulary import Chosen, Truth, Vocabulary

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class LabelledDataset:
    """What a LUPerson-T folder says of N images, and what is true of them.

    Attributes:
        said: for each image, what the dataset says of it.
        truth: for each image, what is true of it.
        vocabulary: the vocabulary without the attributes that were left out of the dataset.
        probabilities: the column ``attribute_probabilities``, one row an image; empty if it was not asked for.
    """

    said: list[Chosen]
    truth: list[Truth]
    vocabulary: Vocabulary
    probabilities: list[dict[str, Any]]


def read_dataset(
    folder: Path | str, truth_path: Path | str, vocabulary: Vocabulary, probabilities: bool = False
) -> LabelledDataset:
    """Read what a LUPerson-T folder says, and the truth about its images.

    Args:
        vocabulary: the vocabulary with which the dataset was made.
        probabilities: whether to read the stored probabilities, too.

    Raises:
        UserError: a file is missing or not what it should be, or an image of the dataset is not in the truth.
    """
    shards = sorted(Path(folder).glob("data/*.parquet"))
    if not shards and not is_saved_dataset(folder):
        raise UserError(
            f"{folder} holds no data/*.parquet; give a folder written by dataset_builders.luperson_t, or saved from "
            "such a one with save_to_disk"
        )
    truth = read_truth(truth_path)
    columns = ["image_id", "attributes"]
    if probabilities:
        columns.append("attribute_probabilities")
    rows = []
    if is_saved_dataset(folder):
        for split in saved_splits(folder).values():
            rows += _saved_rows(folder, split, columns)
    else:
        for shard in shards:
            rows += _read_rows(shard, columns)
    if not rows:
        raise UserError(f"{folder} holds no images")
    # The builder's option --without leaves attributes out of every row alike.
    vocabulary = vocabulary.without([name for name in vocabulary.attributes if name not in rows[0]["attributes"]])
    choice_of = {name: {**attribute.by_phrase, None: None} for name, attribute in vocabulary.attributes.items()}
    try:
        said = [{name: choice_of[name][row["attributes"][name]] for name in choice_of} for row in rows]
    except KeyError as error:
        raise UserError(f"{folder} holds the phrase {error}, which this vocabulary lacks; name its own") from None
    matched = match_truth([row["image_id"] for row in rows], truth, truth_path)
    for attribute in vocabulary.attributes.values():
        for field in attribute.fields:
            if field not in matched[0]:
                raise UserError(f"{truth_path} does not say '{field}', which the vocabulary knows")
    stored = [row["attribute_probabilities"] for row in rows] if probabilities else []
    return LabelledDataset(said, matched, vocabulary, stored)


def _saved_rows(folder: Path | str, split: "datasets.Dataset", columns: list[str]) -> list[dict[str, Any]]:
    if not set(columns) <= set(split.column_names):
        raise UserError(f"{folder} lacks the columns {' and '.join(columns)}; is it a LUPerson-T dataset?")
    return split.select_columns(columns).to_list()


def _read_rows(shard: Path, columns: list[str]) -> list[dict[str, Any]]:
    try:
        table = parquet.read_table(shard, columns=columns)
    except (OSError, ValueError) as error:
        refuse_stand_in(shard)
        raise UserError(f"{shard} cannot be read ({type(error).__name__})") from None
    # A column that is missing is silently left out.
    if table.column_names != columns:
        raise UserError(f"{shard} lacks the columns {' and '.join(columns)}; is it a LUPerson-T dataset?")
    return table.to_pylist()


def read_truth(path: Path | str) -> dict[str, Truth]:
    """file name -> what is true of that image, of a ``truth.jsonl``.

    Raises:
        UserError: the file cannot be read, is empty, or holds something else.
    """
    try:
        with open(path, encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines if line.strip()]
        truth = {record["file_name"]: record["attributes"] for record in records}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"truth file {path} cannot be read ({type(error).__name__})") from None
    except (ValueError, KeyError, TypeError) as error:
        refuse_stand_in(path)
        raise UserError(
            f"truth file {path} must hold lines like "
            f'{{"file_name": ..., "attributes": {{...}}}} ({type(error).__name__}: {error})'
        ) from None
    if not truth:
        raise UserError(f"truth file {path} is empty")
    return truth


def match_truth(
    image_ids: Sequence[str], truth: Mapping[str, Truth], truth_path: Path | str = "the truth"
) -> list[Truth]:
    """What is true of each image.

    Image ids are paths below the image folder, and the names in the truth may begin at a folder above it. So the first
    folders of those names are dropped, the same number for all, until every id is found. An id may lack the file's
    suffix.

    Args:
        truth: as :func:`read_truth` gives it.
        truth_path: what the error calls it.

    Raises:
        UserError: an id is not found.
    """
    deepest = max(len(PurePosixPath(name).parts) for name in truth)
    best_missing = None
    for dropped in range(deepest):
        by_id = {}
        for name, attributes in truth.items():
            path = PurePosixPath(*PurePosixPath(name).parts[dropped:])
            by_id[str(path)] = attributes
            by_id[str(path.with_suffix(""))] = attributes
        missing = [image_id for image_id in image_ids if image_id not in by_id]
        if not missing:
            return [by_id[image_id] for image_id in image_ids]
        # The error tells of the number of folders that came nearest.
        if best_missing is None or len(missing) < len(best_missing):
            best_missing = missing
    raise UserError(
        f"{truth_path} does not know {len(best_missing)} of {len(image_ids)} images, such as '{best_missing[0]}'; "
        "give the truth.jsonl of these very images"
    )


def check_truth(truth: Sequence[Truth], vocabulary: Vocabulary, path: Path | str) -> None:
    """Check that the truth of every image gives each field a value that the vocabulary knows.

    Args:
        path: what the error calls the truth.

    Raises:
        UserError: a field is missing or has an unknown value. (None is a value of optional attributes only.)
    """
    for attribute in vocabulary.attributes.values():
        for field, values in attribute.slots.items():
            for known in truth:
                if field not in known:
                    what = f"does not say '{field}'"
                elif known[field] not in values:
                    what = f"gives {field} the value {known[field]!r}"
                else:
                    continue
                raise UserError(f"{path} {what}, which the vocabulary '{vocabulary.name}' does not understand")
