"""Tables of text, CSV and its kin, read line by line: whatever separates their columns, in whatever encoding."""

import codecs
import csv
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from .stand_ins import HEAD_BYTES, refuse_stand_in
from .user_errors import UserError

SUFFIXES = (".csv", ".tsv", ".txt")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BLOCK = 1 << 20
# The delimiter is found out from so many lines.
_SAMPLE_LINES = 20
# A longer cell is a double quote that is never closed.
_LONGEST_CELL = 1 << 20
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
logger = logging.getLogger(__name__)


class DelimitedFile:
    """A table of text with a line of names at its beginning.

    Args:
        path: the file.
        what: what the file is, for messages, such as "metadata file".

    Attributes:
        encoding: of the file, as Python calls it.
        delimiter: what separates its columns.
        names: of its columns, without blanks at their edges; "" is a column without a name, which is left out.

    Raises:
        UserError: the file cannot be read, has no line of names, or two columns of one name.
    """

    def __init__(self, path: Path | str, what: str = "table") -> None:
        self.path = Path(path)
        self._called = f"{what} {path}"
        if not self.path.exists():
            raise UserError(f"{self._called} does not exist")
        refuse_stand_in(path)
        try:
            self.encoding, self._errors = self._find_encoding()
            self.delimiter, self._quoting, self._lines_before = self._find_dialect()
        except OSError as error:
            raise UserError(f"{self._called} cannot be read ({error.strerror or type(error).__name__})") from None
        header = next((cells for _, cells in self._cells(0)), None)
        if not isinstance(header, list):
            raise UserError(f"{self._called} has no line with the names of its columns: {header or 'it holds no text'}")
        self.names = [" ".join(name.split()) for name in header]
        named = [name for name in self.names if name]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise UserError(f"{self._called} has more than one column called {twice}; rename one of them")

    def rows(self) -> Iterator[tuple[int, dict[str, str] | str]]:
        """Every row that is not blank, one after another.

        Yields:
            The number of the row's last line, and either column -> text, or in words what is wrong with the row.
        """
        width = len(self.names)
        for line, cells in self._cells(1):
            if isinstance(cells, str):
                yield line, cells
                continue
            if len(cells) < width:
                yield line, f"line {line} has {len(cells)} of the {width} columns that the first line names"
                continue
            if any(cell.strip() for cell in cells[width:]):
                separator = DELIMITERS[self.delimiter]
                yield (
                    line,
                    f"line {line} has {len(cells)} columns and the first line names {width}; put a text that holds "
                    f"{separator} in double quotes",
                )
                continue
            yield line, {name: cell for name, cell in zip(self.names, cells, strict=False) if name}

    def _cells(self, skipped: int) -> Iterator[tuple[int, list[str] | str]]:
        """The cells of each line that is not blank, after so many such lines, or what is wrong with the line."""
        with open(self.path, encoding=self.encoding, errors=self._errors, newline="") as file:
            for _ in range(self._lines_before):
                file.readline()
            csv.field_size_limit(_LONGEST_CELL)
            reader = csv.reader(
                file, delimiter=self.delimiter, quoting=self._quoting, skipinitialspace=True, strict=True
            )
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    line = self._lines_before + reader.line_num
                    yield (
                        line,
                        f"line {line} is not quoted well ({error}); write a double quote within a text twice, and the "
                        "text in double quotes",
                    )
                    continue
                if any(cell.strip() for cell in cells):
                    if skipped:
                        skipped -= 1
                    else:
                        yield self._lines_before + reader.line_num, cells

    def _find_encoding(self) -> tuple[str, str]:
        """The encoding, and how Python treats bytes that do not fit."""
        with open(self.path, "rb") as file:
            head = file.read(HEAD_BYTES)
            for mark, encoding in _BYTE_ORDER_MARKS:
                if head.startswith(mark):
                    return encoding, "replace"
            # In UTF-16 every second byte of plain text is zero.
            for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
                if zeros and zeros.count(0) > len(zeros) / 2:
                    return encoding, "replace"
            file.seek(0)
            decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
            fits = 0
            does_not_fit = 0
            while block := file.read(_BLOCK):
                if block.isascii():
                    continue
                beyond = [letter for letter in decoder.decode(block) if letter > "\x7f"]
                wrong = sum("\udc80" <= letter <= "\udcff" for letter in beyond)
                does_not_fit += wrong
                fits += len(beyond) - wrong
        if not does_not_fit:
            return "utf-8", "strict"
        if fits > does_not_fit:
            logger.warning("%s holds %s bytes that are no UTF-8; they are read as \ufffd", self.path, does_not_fit)
            return "utf-8", "replace"
        logger.warning("%s is read as Windows-1252 (Western European); if it is not, save it in UTF-8", self.path)
        return "cp1252", "replace"

    def _find_dialect(self) -> tuple[str, int, int]:
        """The delimiter, how cells are quoted, and the number of lines before the line of names."""
        lines_before = 0
        sample: list[str] = []
        with open(self.path, encoding=self.encoding, errors=self._errors, newline="") as file:
            for line in file:
                # Excel takes the delimiter from such a line.
                if not sample and line.lower().strip("\r\n") in [f"sep={delimiter}" for delimiter in DELIMITERS]:
                    return line[4], csv.QUOTE_MINIMAL, lines_before + 1
                if line.strip() or sample:
                    sample.append(line)
                else:
                    lines_before += 1
                if len(sample) == _SAMPLE_LINES:
                    break
        # max() keeps the order of DELIMITERS among equals.
        delimiter = max(DELIMITERS, key=lambda each: _fit(sample, each))
        if delimiter == "\t" and not _is_quoted(sample):
            # Files with tabs are mostly written without quotes, and then a quote in a text is a letter like others.
            return delimiter, csv.QUOTE_NONE, lines_before
        return delimiter, csv.QUOTE_MINIMAL, lines_before


def _fit(lines: Sequence[str], delimiter: str) -> tuple[int, int]:
    """How well a delimiter parts lines: the number of those that have as many columns as the first, and this width."""
    widths = []
    try:
        for cells in csv.reader(lines, delimiter=delimiter):
            widths.append(len(cells))
    except csv.Error:
        pass
    width = widths[0] if widths else 0
    return (widths.count(width) if width > 1 else 0), width


def _is_quoted(lines: Sequence[str]) -> bool:
    """Whether lines with tabs can be read as if double quotes enclose cells. The last line may be cut off in a cell."""
    reader = csv.reader(lines, delimiter="\t", strict=True)
    try:
        for _ in reader:
            pass
    except csv.Error:
        # Only a cell that begins with a quote and goes on behind its end, or one that does not end, is an error.
        return reader.line_num == len(lines) == _SAMPLE_LINES
    return True
