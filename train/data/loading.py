"""Reading a dataset from a folder or from the Hub, with one clear sentence for every mistake of a user."""

import os
from collections.abc import Iterable

import datasets

from modeling_unipt.common.user_errors import UserError, first_line


def load_splits(name: str) -> datasets.DatasetDict:
    """All splits of the dataset ``name``: a folder in Hub layout or the name of a dataset on the Hub.

    Raises:
        UserError: the folder is empty, or nothing at this name can be loaded.
    """
    # The bars of `datasets` would run through those of training.
    datasets.utils.logging.disable_progress_bar()
    if os.path.isdir(name) and not any(os.scandir(name)):
        raise UserError(f"dataset folder {name} is empty")
    try:
        return datasets.load_dataset(name)
    except Exception as error:  # the library raises a dozen classes for "there is nothing usable at this name"
        raise UserError(
            f"dataset '{name}' cannot be loaded, neither as a folder nor from the Hub ({first_line(error)}); build one "
            "with python -m dataset_builders.luperson_t or python -m dataset_builders.benchmarks"
        ) from None


def load_rows(name: str, split: str, columns: Iterable[str]) -> datasets.Dataset:
    """One split of the dataset ``name``; for arguments and errors see :func:`load_splits` and :func:`rows_of`."""
    return rows_of(load_splits(name), name, split, columns)


def rows_of(splits: datasets.DatasetDict, name: str, split: str, columns: Iterable[str]) -> datasets.Dataset:
    """One split of a loaded dataset.

    Args:
        splits: what :func:`load_splits` returned for ``name``.
        name: how messages call the dataset.
        split: name of the split.
        columns: names of the columns that the caller needs.

    Raises:
        UserError: there is no such split, one of the columns is missing, or the split has no rows.
    """
    if split not in splits:
        raise UserError(f"dataset '{name}' has no split '{split}'; it has {', '.join(splits)}")
    rows = splits[split]
    for column in columns:
        if column not in rows.column_names:
            raise UserError(
                f"dataset '{name}' has no column '{column}', which this command needs; "
                f"it has {', '.join(rows.column_names)}"
            )
    if not len(rows):
        raise UserError(f"split '{split}' of dataset '{name}' is empty")
    return rows
