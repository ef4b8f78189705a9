"""Columns of single values in Arrow tables: which columns those are, and one type for each kind of value."""

import json
from collections.abc import Callable

import pyarrow
from pyarrow import types

_SCALAR: tuple[Callable[[pyarrow.DataType], bool], ...] = (
    types.is_string,
    types.is_large_string,
    types.is_integer,
    types.is_floating,
    types.is_decimal,
    types.is_boolean,
    types.is_date,
    types.is_timestamp,
    types.is_time,
    types.is_dictionary,
    types.is_null,
)


def scalar_columns(table: pyarrow.Table) -> pyarrow.Table:
    """The columns of ``table`` that hold single values; structures of them become columns ``outer.inner``."""
    # flatten() opens one level of structures.
    while any(types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table.select([field.name for field in table.schema if any(is_kind(field.type) for is_kind in _SCALAR)])


def plain(table: pyarrow.Table) -> pyarrow.Table:
    """``table`` with one type for each kind of value, so that tables of different origin can be concatenated."""
    return table.cast(pyarrow.schema([(field.name, _plain_type(field.type)) for field in table.schema]))


def _plain_type(kind: pyarrow.DataType) -> pyarrow.DataType:
    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if types.is_large_string(kind) or types.is_null(kind):
        return pyarrow.string()
    if types.is_integer(kind):
        return pyarrow.int64()
    return pyarrow.float64() if types.is_floating(kind) or types.is_decimal(kind) else kind


def columns_to_know(schema: pyarrow.Schema, image_column: str) -> list[str]:
    """Names of the columns, other than the images, that may hold single values, alone or in a structure."""
    return [
        field.name
        for field in schema
        if field.name != image_column
        and (types.is_struct(field.type) or any(is_kind(field.type) for is_kind in _SCALAR))
    ]


def known_columns(table: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    """The single values in ``table``, with the names of class labels in place of their numbers.

    Args:
        table: some columns of a dataset.
        schema: the dataset's schema, in whose metadata the ``datasets`` library notes the names of class labels.
    """
    for column, labels in _class_labels(schema).items():
        if column in table.column_names:
            named = [None if number is None or number < 0 else labels[number] for number in table[column].to_pylist()]
            table = table.set_column(table.column_names.index(column), column, [pyarrow.array(named, pyarrow.string())])
    return plain(scalar_columns(table))


def _class_labels(schema: pyarrow.Schema) -> dict[str, list[str]]:
    """Name of each column that ``datasets`` stores as numbers of class labels -> the names of these labels."""
    noted = (schema.metadata or {}).get(b"huggingface")
    if noted is None:
        return {}
    features = json.loads(noted).get("info", {}).get("features", {})
    found = {}
    for column, feature in features.items():
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            found[column] = feature["names"]
    return found
