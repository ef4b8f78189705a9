"""Metadata of pictures: columns such as camera or time, where they come from, and choosing pictures by them."""

from pathlib import Path

from ..common.user_errors import UserError, first_line
from .files import NAME, OWN_COLUMNS

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in")
MOST_VALUES = 200


def read_metadata(path):
    """The table in a .csv, .parquet or .jsonl file: a row a picture, its key column ``file_name``.

    Returns:
        `pyarrow.Table`

    Raises:
        UserError: unreadable, of another kind, without ``file_name``, or with columns that are not single values.
    """
    import pyarrow
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    readers = {
        ".csv": pyarrow.csv.read_csv,
        ".parquet": pyarrow.parquet.read_table,
        ".jsonl": pyarrow.json.read_json,
    }
    path = Path(path)
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"metadata file {path} must end in one of {', '.join(readers)}")
    try:
        table = reader(str(path))
    except FileNotFoundError:
        raise UserError(f"metadata file {path} does not exist") from None
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"metadata file {path} cannot be read: {first_line(error)}") from None
    return check_metadata(table, f"metadata file {path}")


def check_metadata(table, what):
    """``table``, ready to be looked up by ``file_name``; ``what`` names it in the errors of `read_metadata`."""
    import pyarrow.compute as compute

    if NAME not in table.column_names:
        raise UserError(f"{what} has no column {NAME}, which says whose metadata a row is")
    reserved = [name for name in table.column_names if name in OWN_COLUMNS and name != NAME]
    if reserved:
        raise UserError(f"{what} has a column {reserved[0]}, a name that the gallery needs itself; rename it")
    odd = [name for name in table.column_names if name not in scalar_columns(table).column_names]
    if odd:
        kind = table.schema.field(odd[0]).type
        raise UserError(
            f"column {odd[0]} of {what} holds {kind}; metadata are texts, numbers, true or false, and times"
        )
    names = table[NAME].cast("string")
    counts = compute.value_counts(names).to_pylist()
    twice = next((count["values"] for count in counts if count["counts"] > 1), None)
    if twice is not None:
        raise UserError(f"{what} has more than one row for {twice}")
    return plain(table.set_column(table.column_names.index(NAME), NAME, names))


def scalar_columns(table):
    """The columns of ``table`` that hold single values; structures of them become columns ``outer.inner``."""
    import pyarrow.types as types

    while any(types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    scalar = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    scalar += (types.is_date, types.is_timestamp, types.is_time, types.is_dictionary, types.is_null)
    return table.select([field.name for field in table.schema if any(kind(field.type) for kind in scalar)])


def plain(table):
    """``table`` with one type for each kind of value, so that tables of different origin can follow each other."""
    import pyarrow
    import pyarrow.types as types

    def plain_type(kind):
        if types.is_dictionary(kind):
            return plain_type(kind.value_type)
        if types.is_large_string(kind) or types.is_null(kind):
            return pyarrow.string()
        if types.is_integer(kind):
            return pyarrow.int64()
        return pyarrow.float64() if types.is_floating(kind) else kind

    return table.cast(pyarrow.schema([(field.name, plain_type(field.type)) for field in table.schema]))


def fit_columns(table, rows):
    """``table`` with the column types of the gallery's ``rows``.

    Raises:
        UserError: a column's values do not fit.
    """
    import pyarrow

    for position, field in enumerate(table.schema):
        known = rows.schema.field(field.name).type if field.name in rows.column_names else field.type
        try:
            table = table.set_column(position, field.name, table[field.name].cast(known))
        except pyarrow.ArrowException:
            raise UserError(
                f"column {field.name} holds {known} in the gallery and {field.type} in what is added"
            ) from None
    return table


def metadata_columns(rows):
    """Names of the metadata columns of the gallery's ``rows``."""
    return [name for name in rows.column_names if name not in OWN_COLUMNS]


def distinct_values(rows):
    """Metadata column -> its sorted distinct values without null, or None where there are more than 200."""
    import pyarrow.compute as compute

    values = {name: compute.unique(rows[name].drop_null()) for name in metadata_columns(rows)}
    return {name: sorted(found.to_pylist()) if len(found) <= MOST_VALUES else None for name, found in values.items()}


def matching(rows, where):
    """Which of the gallery's ``rows`` fulfil all conditions; a row without a value fulfils none but ``= None``.

    Args:
        where: ``{"camera": 3, "day": ["Monday", "Tuesday"]}``, column -> value or list of values; or a list of (column,
            operator, value), the operator one of `OPERATORS`. Values are made the column's type, so "3" finds 3.

    Returns:
        bool array of shape (rows,)

    Raises:
        UserError: no such column or operator, or a value that the column cannot hold.
    """
    import numpy as np

    mask = np.ones(len(rows), dtype=bool)
    for condition in _conditions(where):
        mask &= _fulfilled(rows, *condition)
    return mask


def _conditions(where):
    if isinstance(where, dict):
        several = (list, tuple, set, frozenset)
        return [(column, "in" if isinstance(value, several) else "=", value) for column, value in where.items()]
    where = [where] if isinstance(where, tuple) else where
    if not isinstance(where, list) or not all(isinstance(part, (tuple, list)) and len(part) == 3 for part in where):
        raise UserError(
            'where must be column -> value, as in {"camera": 3}, or a list of (column, operator, value), as in '
            '[("camera", "!=", 3)]'
        )
    return where


def _fulfilled(rows, column, operator, value):
    import pyarrow
    import pyarrow.compute as compute

    known = metadata_columns(rows)
    if column not in known:
        raise UserError(
            f"there is no column {column!r} to select by; this gallery has {', '.join(known)}"
            if known
            else f"there is no column {column!r} to select by; this gallery was made without metadata"
        )
    if operator not in OPERATORS:
        raise UserError(f"operator {operator!r} is not one of {' '.join(OPERATORS)}")
    held = rows[column]
    if operator == "in":
        values = pyarrow.array([_as_type(column, one, held.type, "in").as_py() for one in value], held.type)
        return compute.is_in(held, value_set=values).to_numpy()
    if value is None and operator in ("=", "!="):
        return (compute.is_null(held) if operator == "=" else compute.is_valid(held)).to_numpy()
    compare = {
        "=": compute.equal,
        "!=": compute.not_equal,
        "<": compute.less,
        "<=": compute.less_equal,
        ">": compute.greater,
        ">=": compute.greater_equal,
    }[operator]
    return compute.fill_null(compare(held, _as_type(column, value, held.type, operator)), False).to_numpy()


def _as_type(column, value, kind, operator):
    import pyarrow
    import pyarrow.types as types

    try:
        scalar = pyarrow.scalar(value)
        between = types.is_floating(scalar.type) and types.is_integer(kind) and operator in ("<", "<=", ">", ">=")
        return scalar if between else scalar.cast(kind)
    except (pyarrow.ArrowException, TypeError):
        raise UserError(f"column {column} holds {kind}; {value!r} is no such value") from None
