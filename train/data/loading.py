"""Reading a dataset from a folder or from the Hub, with one clear sentence for every mistake of a user."""

import logging
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import datasets
from datasets.packaged_modules.parquet.parquet import Parquet

from modeling_unipt.common.stand_ins import refuse_stand_in
from modeling_unipt.common.user_errors import UserError, first_line
from modeling_unipt.sources.saved import is_saved_dataset, saved_splits
from unipt_train.data.parquet_rows import ParquetRows, ParquetShards
from unipt_train.data.rows import JoinedRows, Rows, arrow_column

logger = logging.getLogger(__name__)
# A row group is read up to the row that is needed. In larger ones that takes longer than everything else about a row.
LARGEST_GROUP = 16 << 20
Splits = Mapping[str, Rows]


def load_splits(name: str) -> Splits:
    """All splits of the dataset ``name``.

    Args:
        name: a folder in Hub layout, whose Parquet files are read where they lie; a folder that ``save_to_disk`` wrote;
            or the name of a dataset on the Hub.

    Raises:
        UserError: the folder is empty, or nothing at this name can be loaded.
    """
    # The bars of `datasets` would run through those of training.
    datasets.utils.logging.disable_progress_bar()
    splits: Splits | None = None
    try:
        if not os.path.isdir(name):
            splits = datasets.load_dataset(name)
        elif not any(os.scandir(name)):
            raise UserError(f"dataset folder {name} is empty")
        elif is_saved_dataset(name):
            splits = saved_splits(name)
        else:
            for path in sorted(Path(name).rglob("*.parquet")):
                refuse_stand_in(path)
            # As an absolute path, for a folder may be called as one of the library's own formats, such as "text".
            place = os.path.abspath(name)
            splits = _parquet_splits(place) or datasets.load_dataset(place)
    except UserError:
        raise
    except Exception as error:  # the library raises a dozen classes for "there is nothing usable at this name"
        raise UserError(
            f"dataset '{name}' cannot be loaded, neither as a folder nor from the Hub ({first_line(error)}); build one "
            "with python -m dataset_builders.luperson_t or python -m dataset_builders.benchmarks"
        ) from None
    return {str(split): _with_usual_columns(rows) for split, rows in splits.items()}


def _parquet_splits(folder: str) -> Splits | None:
    """The splits of a folder of Parquet files, read in place; None if it holds something else or cannot be read so."""
    # The library knows which files belong to which split, by the card or by their names. It wants a place of its own
    # for a lock, on which all processes of a training would wait.
    with tempfile.TemporaryDirectory() as elsewhere:
        builder = datasets.load_dataset_builder(folder, cache_dir=elsewhere)
    config = builder.config
    if not isinstance(builder, Parquet) or config.columns or config.filters is not None or config.features:
        return None
    splits = {}
    for split, files in config.data_files.items():
        if not all(os.path.isfile(file) for file in files):
            return None
        shards = ParquetShards(files)
        features = builder.info.features or datasets.Features.from_arrow_schema(shards.schema)
        if not shards.same_columns or not set(features) <= set(shards.schema.names):
            return None
        largest = max((sum(sizes.values()) for sizes in shards.sizes), default=0)
        if largest > LARGEST_GROUP:
            logger.info(
                "%s has row groups of %.0f MB, too large to take single rows from, so the library datasets makes a "
                "copy in its cache; files with row_group_size=256 need none",
                folder,
                largest / 1e6,
            )
            return None
        splits[str(split)] = ParquetRows(shards, features)
    return splits


def _with_usual_columns(rows: Rows) -> Rows:
    """The same rows. Images without a note that they are such become images, and a caption alone becomes a list."""
    image = rows.features.get("image")
    if isinstance(image, dict) and set(image) == {"bytes", "path"} or _is_value(image, "binary"):
        rows = rows.cast_column("image", datasets.Image())
    caption = rows.features.get("captions")
    if _is_value(caption, "string"):
        if isinstance(rows, ParquetRows):
            return rows.cast_column("captions", datasets.List(caption))
        lists = [[text] for text in rows["captions"]]
        rows = rows.remove_columns("captions").add_column("captions", lists)
    return rows


def _is_value(feature: object, dtype: str) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype.removeprefix("large_") == dtype


def load_rows(name: str, split: str, columns: Iterable[str]) -> Rows:
    """One split of the dataset ``name``; for arguments and errors see :func:`load_splits` and :func:`rows_of`."""
    return rows_of(load_splits(name), name, split, columns)


def load_several(names: Sequence[str], split: str, columns: Iterable[str]) -> dict[str, Rows]:
    """Name -> one split, of each of several data sets.

    Raises:
        UserError: as :func:`load_rows`; or a data set is named twice.
    """
    check_names(names)
    columns = list(columns)
    return {name: load_rows(name, split, columns) for name in names}


def check_names(names: Sequence[str]) -> None:
    """Refuse a data set that is named twice.

    Raises:
        UserError: one is, under one name or under two.
    """
    places: dict[str, str] = {}
    for name in names:
        place = os.path.realpath(name) if os.path.isdir(name) else name
        if place in places:
            twice = repr(name) if places[place] == name else f"{places[place]!r} and {name!r} are the same folder: it"
            raise UserError(f"--dataset: {twice} is named twice; --dataset-weights says how often a data set is taken")
        places[place] = name


def joined(parts: Mapping[str, Rows]) -> Rows:
    """The rows of one data set as they are, or those of several as one table."""
    return next(iter(parts.values())) if len(parts) == 1 else JoinedRows(parts)


def rows_of(splits: Splits, name: str, split: str, columns: Iterable[str]) -> Rows:
    """One split of a loaded dataset.

    Args:
        splits: what :func:`load_splits` returned for ``name``.
        name: how messages call the dataset.
        split: name of the split.
        columns: names of the columns that the caller needs.

    Raises:
        UserError: there is no such split, one of the columns is missing, or the split has no rows.
    """
    columns = list(columns)
    if split not in splits:
        raise UserError(f"dataset '{name}' has no split '{split}'; it has {', '.join(splits)}")
    rows = splits[split]
    for column in columns:
        if column not in rows.column_names:
            raise UserError(
                f"dataset '{name}' has no column '{column}', which this command needs; "
                f"it has {', '.join(rows.column_names)}"
            )
    image = rows.features.get("image")
    if "image" in columns and not isinstance(image, datasets.Image):
        raise UserError(
            f"dataset '{name}' has no images in its column 'image' but {getattr(image, 'dtype', image)}; import it "
            "with python -m dataset_builders.import_luperson_t"
        )
    if "person_id" in columns and arrow_column(rows, "person_id").null_count:
        raise UserError(f"split '{split}' of dataset '{name}' has rows whose person_id is empty; leave them out")
    if not len(rows):
        raise UserError(f"split '{split}' of dataset '{name}' is empty")
    return rows
