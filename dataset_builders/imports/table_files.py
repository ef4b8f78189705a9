"""Rows of Parquet and Arrow files, a few at a time, so that memory does not grow with the files."""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet

from modeling_unipt.common.stand_ins import refuse_stand_in
from modeling_unipt.common.user_errors import UserError, first_line

ROWS_AT_ONCE = 64
# After so many rows, what was read of an Arrow file leaves the memory.
ROWS_KEPT = 4096


@dataclass(frozen=True)
class TableFile:
    """A Parquet or Arrow file, told by its name.

    Attributes:
        path: where it is.
        split: the split of its rows, where no column says it.
    """

    path: Path
    split: str = "train"

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file; else it is an Arrow file."""
        return self.path.suffix.lower() == ".parquet"

    @property
    def kind(self) -> str:
        """What messages call it."""
        return "Parquet file" if self.is_parquet else "Arrow file"

    def schema(self) -> pyarrow.Schema:
        """The columns.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            return self._schema()
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise self._unreadable(error) from None

    def batches(self, columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
        """The rows in order, at most :data:`ROWS_AT_ONCE` in a batch.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            if self.is_parquet:
                # Without buffers and threads of its own, pyarrow would read a whole row group at once.
                with parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 16) as opened:
                    yield from opened.iter_batches(ROWS_AT_ONCE, columns=list(columns), use_threads=False)
            else:
                yield from _arrow_batches(self.path, columns)
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise self._unreadable(error) from None

    def _schema(self) -> pyarrow.Schema:
        if self.is_parquet:
            return parquet.read_schema(self.path)
        return _open_arrow(_mapped(self.path)).schema

    def _unreadable(self, error: Exception) -> UserError:
        refuse_stand_in(self.path)
        article = "a" if self.is_parquet else "an"
        return UserError(f"{self.path} cannot be read as {article} {self.kind} ({first_line(error)})")


def _mapped(path: Path) -> mmap.mmap:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _open_arrow(mapped: mmap.mmap) -> pyarrow.RecordBatchFileReader | pyarrow.RecordBatchStreamReader:
    """A file in either of Arrow's two layouts, file or stream."""
    buffer = pyarrow.py_buffer(mapped)
    try:
        return pyarrow.ipc.open_file(buffer)
    except pyarrow.ArrowInvalid:
        return pyarrow.ipc.open_stream(buffer)


def _arrow_batches(path: Path, columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
    mapped = _mapped(path)
    reader = _open_arrow(mapped)
    if isinstance(reader, pyarrow.RecordBatchFileReader):
        parts = (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        parts = iter(reader)
    since_forgotten = 0
    for part in parts:
        for start in range(0, part.num_rows, ROWS_AT_ONCE):
            batch = part.slice(start, ROWS_AT_ONCE).select(list(columns))
            yield batch
            since_forgotten += batch.num_rows
            if since_forgotten >= ROWS_KEPT and hasattr(mmap, "MADV_DONTNEED"):
                # Pages of a mapped file count as this process's memory until the system wants them back. Many files
                # hold all rows in one batch.
                mapped.madvise(mmap.MADV_DONTNEED)
                since_forgotten = 0
