"""Tables as people keep them: CSV in any dress, JSON and Parquet, read into one Arrow table."""

from pathlib import Path

import pyarrow

SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet")


def read_table(path: Path | str, what: str = "table") -> pyarrow.Table:
    """All rows of a table in a file.

    Args:
        path: ``.csv``, ``.tsv`` or ``.txt`` (commas, semicolons, tabs or bars between the columns; UTF-8, UTF-16 or
            Windows-1252), ``.json`` (a list of rows), ``.jsonl``, ``.ndjson`` or ``.parquet``.
        what: what the file is, for messages, such as "metadata file".

    Returns:
        Columns with the names of the file, without blanks at their edges. A column of whole numbers, other numbers, true
        or false, or times has that type. A column that holds identifiers such as 0007, or values of several types, is
        text. Lists and structures stay what they are. A blank cell is null.

    Raises:
        UserError: the file is missing, of another kind, or is no table; it says where and how to mend it.
    """
    raise NotImplementedError
