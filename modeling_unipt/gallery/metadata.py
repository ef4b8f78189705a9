"""Metadata of images: columns such as camera or time, where they come from, and choosing images by them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute
from pyarrow import types

from ..common.table_files import folded_name, read_table
from ..common.user_errors import UserError
from ..sources.columns import plain, scalar_columns
from .files import NAME, OWN_COLUMNS

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
    """The table in a file: one row for each image, its key column ``file_name``.

    Args:
        path: any file that :func:`modeling_unipt.common.table_files.read_table` reads.

    Raises:
        UserError: unreadable, of another kind, without ``file_name``, or with columns that are not single values.
    """
    return check_metadata(read_table(path, "metadata file", as_text=[NAME]), f"metadata file {path}")


def check_metadata(table: pyarrow.Table, what: str) -> pyarrow.Table:
    """``table``, ready to be looked up by ``file_name``; ``what`` names it in the errors of `read_metadata`."""
    table = _with_key(table, what)
    reserved = [name for name in table.column_names if name in OWN_COLUMNS and name != NAME]
    if reserved:
        raise UserError(f"{what} has a column {reserved[0]}, a name that the gallery needs itself; rename it")
    single = scalar_columns(table).column_names
    odd = [name for name in table.column_names if name not in single]
    if odd:
        kind = table.schema.field(odd[0]).type
        raise UserError(
            f"column {odd[0]} of {what} holds {kind}; metadata are texts, numbers, true or false, and times: write one "
            f"of these in each row, or leave the column out"
        )
    names = pyarrow.array(map(_plain_name, table[NAME].cast("string").to_pylist()), pyarrow.string())
    counts = compute.value_counts(names).to_pylist()
    twice = next((count["values"] or f"an empty {NAME}" for count in counts if count["counts"] > 1), None)
    if twice is not None:
        raise UserError(f"{what} has more than one row for {twice}")
    return plain(table.set_column(table.column_names.index(NAME), NAME, names))


def _with_key(table: pyarrow.Table, what: str) -> pyarrow.Table:
    """``table`` whose key column is called ``file_name``, also where it was "File_Name", "file name" or "filename"."""
    if NAME in table.column_names:
        return table
    meant = [name for name in table.column_names if folded_name(name) == folded_name(NAME)]
    if len(meant) != 1:
        raise UserError(
            f"{what} has no column {NAME}, which says whose metadata a row is; of its columns, "
            f"{', '.join(table.column_names)}, rename the one that names the images to {NAME}"
        )
    return table.rename_columns([NAME if name == meant[0] else name for name in table.column_names])


def _plain_name(name: str | None) -> str | None:
    """The name of an image as a gallery spells it, without the backslashes of Windows and "./" at its beginning."""
    return name and name.strip().replace("\\", "/").removeprefix("./")


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
