"""Tables as people keep them, CSV in any dress, JSON, Parquet and Arrow, read into one Arrow table."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.json
from pyarrow import parquet

from .delimited_files import DelimitedFile
from .stand_ins import refuse_stand_in
from .user_errors import UserError, first_line

# Numbers that say something by how they are written: 0007, +49, 1e5 and 12345678901234567890 are names.
_IDENTIFIER = re.compile(r"[+-]?0\d[\d.]*|\+\d+|\d+[eE]\d+|[+-]?\d{19,}")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*(?:,\d+)?")


def read_table(path: Path | str, what: str = "table", as_text: Collection[str] = ()) -> pyarrow.Table:
    """All rows of a table in a file.

    Args:
        path: ``.csv``, ``.tsv`` or ``.txt`` (commas, semicolons, tabs or bars between the columns; UTF-8, UTF-16 or
            Windows-1252), ``.json`` (a list of rows), ``.jsonl`` or ``.ndjson``, ``.parquet``, ``.arrow`` or
            ``.feather``.
        what: what the file is, for messages, such as "metadata file".
        as_text: names of columns that are read as text, whatever they hold; for how names are compared see
            :func:`folded_name`.

    Returns:
        Columns with the names of the file, without blanks at their edges. A column of whole numbers, other numbers,
        true or false, dates or times has that type. A column that holds identifiers such as 0007, or values of several
        types, is text. Lists and structures stay what they are. A blank cell is null in a column that is no text.

    Raises:
        UserError: the file is missing, of another kind, or is no table; it says where and how to mend it.
    """
    path = Path(path)
    called = f"{what} {path}"
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        workbook = "; save the workbook as CSV" if path.suffix.lower() in (".xlsx", ".xls", ".ods", ".numbers") else ""
        raise UserError(f"{called} must end in one of {', '.join(_READERS)}{workbook}")
    if not path.exists():
        raise UserError(f"{called} does not exist")
    refuse_stand_in(path)
    try:
        table = reader(path, what, {folded_name(name) for name in as_text})
    except UserError:
        raise
    except (OSError, ValueError, RecursionError, pyarrow.ArrowException) as error:
        raise UserError(f"{called} cannot be read: {first_line(error)}") from None
    names = [" ".join(name.split()) for name in table.column_names]
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise UserError(f"{called} has more than one column called {twice}; rename one of them")
    return table.rename_columns(names)


def folded_name(name: str) -> str:
    """What spellings of a column's name have in common: "file_name", "File Name" and "FileName" are one."""
    return re.sub(r"[\s_.-]+", "", name).casefold()


def _delimited(path: Path, what: str, as_text: Set[str]) -> pyarrow.Table:
    file = DelimitedFile(path, what)
    names = [name for name in file.names if name]
    columns: dict[str, list[str]] = {name: [] for name in names}
    for _, row in file.rows():
        if isinstance(row, str):
            raise UserError(f"{what} {path} cannot be read: {row}")
        for name in names:
            columns[name].append(row[name].strip())
    texts = set()
    for name in names:
        if folded_name(name) in as_text or any(map(_IDENTIFIER.fullmatch, columns[name])):
            texts.add(name)
        elif file.delimiter == ";" and all(map(_DECIMAL_COMMA.fullmatch, columns[name])):
            columns[name] = [value.replace(",", ".") for value in columns[name]]
    return _typed(columns, texts)


def _typed(columns: Mapping[str, Sequence[str]], texts: Collection[str]) -> pyarrow.Table:
    """Columns of texts in the types that Arrow finds for them when it reads CSV; those in ``texts`` stay texts."""
    written = io.BytesIO()
    table = pyarrow.table({name: pyarrow.array(values, pyarrow.string()) for name, values in columns.items()})
    pyarrow.csv.write_csv(table, written)
    return pyarrow.csv.read_csv(
        pyarrow.py_buffer(written.getvalue()),
        # One block: of several, the first one would decide the types.
        pyarrow.csv.ReadOptions(block_size=max(written.tell(), 1)),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(column_types={name: pyarrow.string() for name in texts}),
    )


def _json(path: Path, what: str, as_text: Set[str]) -> pyarrow.Table:
    """A list of rows, a mapping that holds one, a mapping of columns, or a row a line: the content tells which."""
    content = path.read_bytes()
    text = content.decode(json.detect_encoding(content))
    try:
        value = json.loads(text)
    except ValueError as error:
        value = _rows_of_lines(text, error)
    if isinstance(value, dict):
        value = _rows_of_mapping(value, as_text) if path.suffix.lower() == ".json" else [value]
    if not isinstance(value, list) or not _are_rows(value):
        raise UserError(f"{what} {path} cannot be read: it must be a list of rows, each a mapping of column to value")
    kinds: dict[str, set[str]] = {}
    for row in value:
        for name, cell in row.items():
            kinds.setdefault(name, set()).add(_kind(cell))
    mixed = {name for name, found in kinds.items() if len(found - {"null"}) > 1 or folded_name(name) in as_text}
    lines = []
    for row in value:
        cells = {name: _as_text(cell) if name in mixed else cell for name, cell in row.items()}
        lines.append(json.dumps(cells) + "\n")
    written = "".join(lines).encode()
    table = pyarrow.json.read_json(
        pyarrow.py_buffer(written),
        # One block: of several, the first one would decide the types.
        pyarrow.json.ReadOptions(block_size=len(written)),
        pyarrow.json.ParseOptions(explicit_schema=pyarrow.schema([(name, pyarrow.string()) for name in sorted(mixed)])),
    )
    # Arrow puts the columns of the explicit schema first.
    return table.select(list(kinds))


def _rows_of_lines(text: str, whole: ValueError) -> list[Any]:
    """The value of each line; ``whole`` is what is wrong with all of them together."""
    rows = []
    # Not splitlines(), which parts texts at further characters.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if not rows:
                raise whole from None
            raise ValueError(f"line {number} is no JSON ({error.msg} at column {error.colno})") from None
    return rows


def _rows_of_mapping(value: Mapping[str, Any], row_names: Set[str]) -> list[Any]:
    """The rows that a mapping holds; it may be a row itself.

    Args:
        row_names: folded names of columns that every row has.
    """
    # pandas writes a column as a mapping of row number to cell.
    columns = [list(inner.values()) if isinstance(inner, dict) else inner for inner in value.values()]
    are_columns = all(isinstance(column, list) for column in columns) and len({len(column) for column in columns}) == 1
    if row_names & {folded_name(name) for name in value}:
        return (
            [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)] if are_columns else [value]
        )
    tables = [inner for inner in value.values() if isinstance(inner, list) and _are_rows(inner)]
    return tables[0] if len(tables) == 1 else [value]


def _are_rows(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(row, dict) for row in value)


def _kind(value: Any) -> str:
    """What values must have in common to stand in one column."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "number" if -(1 << 63) <= value < 1 << 63 else "number too large for Arrow"
    return "number" if isinstance(value, float) else type(value).__name__


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parquet(path: Path, what: str, as_text: Set[str]) -> pyarrow.Table:
    return parquet.read_table(str(path))


def _arrow(path: Path, what: str, as_text: Set[str]) -> pyarrow.Table:
    """A file in either of Arrow's two layouts, file or stream."""
    with pyarrow.OSFile(str(path)) as file:
        try:
            return pyarrow.ipc.open_file(file).read_all()
        except pyarrow.ArrowInvalid:
            file.seek(0)
            return pyarrow.ipc.open_stream(file).read_all()


_READERS: dict[str, Callable[[Path, str, Set[str]], pyarrow.Table]] = {
    ".csv": _delimited,
    ".parquet": _parquet,
    ".jsonl": _json,
    ".json": _json,
    ".ndjson": _json,
    ".tsv": _delimited,
    ".txt": _delimited,
    ".arrow": _arrow,
    ".feather": _arrow,
}
