"""Metadata of images: columns such as camera or time, where they come from, and choosing images by them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from pyarrow import types

from ..common.user_errors import UserError, first_line
from ..sources.columns import plain, scalar_columns
from .files import NAME, OWN_COLUMNS

READERS = {
    ".csv": pyarrow.csv.read_csv,
    ".parquet": pyarrow.parquet.read_table,
    ".jsonl": pyarrow.json.read_json,
}
COMPARISONS = {
    "=": compute.equal,
    "!=": compute.not_equal,
    "<": compute.less,
    "<=": compute.less_equal,
    ">": compute.greater,
    ">=": compute.greater_equal,
}
OPERATORS = (*COMPARISONS, "in")
MOST_VALUES = 200

Condition = tuple[str, str, Any]
"""Column, operator, value."""
Where = Mapping[str, Any] | Sequence[Condition] | Condition
"""Which images may be found; see `matching`."""
Metadata = str | os.PathLike[str] | pyarrow.Table
"""A file that `read_metadata` reads, or a table with a row for each image and the column ``file_name``."""


def metadata_table(metadata: Metadata | None) -> pyarrow.Table | None:
    """``metadata`` as a checked table; the errors are those of `read_metadata`."""
    if metadata is None:
        return None
    if isinstance(metadata, (str, os.PathLike)):
        return read_metadata(metadata)
    return check_metadata(metadata, "the metadata")


def read_metadata(path: str | os.PathLike[str]) -> pyarrow.Table:
    """The table in a .csv, .parquet or .jsonl file: one row for each image, its key column ``file_name``.

    Raises:
        UserError: unreadable, of another kind, without ``file_name``, or with columns that are not single values.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"metadata file {path} must end in one of {', '.join(READERS)}")
    try:
        table = reader(str(path))
    except FileNotFoundError:
        raise UserError(f"metadata file {path} does not exist") from None
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"metadata file {path} cannot be read: {first_line(error)}") from None
    return check_metadata(table, f"metadata file {path}")


def check_metadata(table: pyarrow.Table, what: str) -> pyarrow.Table:
    """``table``, ready to be looked up by ``file_name``; ``what`` names it in the errors of `read_metadata`."""
    if NAME not in table.column_names:
        raise UserError(f"{what} has no column {NAME}, which says whose metadata a row is")
    reserved = [name for name in table.column_names if name in OWN_COLUMNS and name != NAME]
    if reserved:
        raise UserError(f"{what} has a column {reserved[0]}, a name that the gallery needs itself; rename it")
    single = scalar_columns(table).column_names
    odd = [name for name in table.column_names if name not in single]
    if odd:
        kind = table.schema.field(odd[0]).type
        raise UserError(
            f"column {odd[0]} of {what} holds {kind}; metadata are texts, numbers, true or false, and times"
        )
    # A CSV reader makes numbers of file names such as 0017.
    names = table[NAME].cast("string")
    counts = compute.value_counts(names).to_pylist()
    twice = next((count["values"] for count in counts if count["counts"] > 1), None)
    if twice is not None:
        raise UserError(f"{what} has more than one row for {twice}")
    return plain(table.set_column(table.column_names.index(NAME), NAME, names))


def fit_columns(table: pyarrow.Table, rows: pyarrow.Table) -> pyarrow.Table:
    """``table`` with the column types of the gallery's ``rows``.

    Raises:
        UserError: a column's values do not fit.
    """
    for position, field in enumerate(table.schema):
        known = rows.schema.field(field.name).type if field.name in rows.column_names else field.type
        try:
            table = table.set_column(position, field.name, table[field.name].cast(known))
        except pyarrow.ArrowException:
            raise UserError(
                f"column {field.name} holds {known} in the gallery and {field.type} in what is added"
            ) from None
    return table


def metadata_columns(rows: pyarrow.Table) -> list[str]:
    """Names of the metadata columns of the gallery's ``rows``."""
    return [name for name in rows.column_names if name not in OWN_COLUMNS]


def distinct_values(rows: pyarrow.Table) -> dict[str, list[Any] | None]:
    """Metadata column -> its sorted distinct values without null, or None where there are more than 200."""
    distinct: dict[str, list[Any] | None] = {}
    for name in metadata_columns(rows):
        found = compute.unique(rows[name].drop_null())
        distinct[name] = sorted(found.to_pylist()) if len(found) <= MOST_VALUES else None
    return distinct


def matching(rows: pyarrow.Table, where: Where) -> np.ndarray:
    """Which of the gallery's ``rows`` fulfil all conditions; a row without a value fulfils none but ``= None``.

    Args:
        where: ``{"camera": 3, "day": ["Monday", "Tuesday"]}``, column -> value or list of values; or a list of (column,
            operator, value), the operator one of `OPERATORS`. Values are made the column's type, so "3" finds 3.

    Returns:
        bool array of shape (rows,)

    Raises:
        UserError: no such column or operator, or a value that the column cannot hold.
    """
    mask = np.ones(len(rows), dtype=bool)
    for column, operator, value in _conditions(where):
        mask &= _fulfilled(rows, column, operator, value)
    return mask


def _conditions(where: Where) -> Sequence[Condition]:
    if isinstance(where, Mapping):
        several = (list, tuple, set, frozenset)
        return [(column, "in" if isinstance(value, several) else "=", value) for column, value in where.items()]
    where = [where] if isinstance(where, tuple) else where
    if not isinstance(where, list) or not all(isinstance(part, (tuple, list)) and len(part) == 3 for part in where):
        raise UserError(
            'where must be column -> value, as in {"camera": 3}, or a list of (column, operator, value), as in '
            '[("camera", "!=", 3)]'
        )
    return where


def _fulfilled(rows: pyarrow.Table, column: str, operator: str, value: Any) -> np.ndarray:
    known = metadata_columns(rows)
    if column not in known:
        told = f"this gallery has {', '.join(known)}" if known else "this gallery was made without metadata"
        raise UserError(f"there is no column {column!r} to select by; {told}")
    if operator not in OPERATORS:
        raise UserError(f"operator {operator!r} is not one of {' '.join(OPERATORS)}")
    held = rows[column]
    if operator == "in":
        values = pyarrow.array([_as_type(column, one, held.type, "in").as_py() for one in value], held.type)
        return compute.is_in(held, value_set=values).to_numpy()
    if value is None and operator in ("=", "!="):
        # Arrow compares null with nothing, not even with null.
        return (compute.is_null(held) if operator == "=" else compute.is_valid(held)).to_numpy()
    fulfilled = COMPARISONS[operator](held, _as_type(column, value, held.type, operator))
    return compute.fill_null(fulfilled, False).to_numpy()


def _as_type(column: str, value: Any, kind: pyarrow.DataType, operator: str) -> pyarrow.Scalar:
    """``value`` as a value of the column's type."""
    try:
        scalar = pyarrow.scalar(value)
        # "camera < 2.5" makes sense for whole numbers, "camera = 2.5" is a mistake.
        between = types.is_floating(scalar.type) and types.is_integer(kind) and operator in ("<", "<=", ">", ">=")
        return scalar if between else scalar.cast(kind)
    except (pyarrow.ArrowException, TypeError):
        raise UserError(f"column {column} holds {kind}; {value!r} is no such value") from None
