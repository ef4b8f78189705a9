"""A gallery on disk: a folder whose manifest says what counts.

* ``rows-00000.parquet``, ...: a row for each image: ``content_hash``, ``file_name``, ``embedding`` and its metadata.
* ``removed-00000.parquet``, ...: numbers of rows, counted over all the files above, that are no longer searched.
* ``index-00000.faiss``: the FAISS index of the first so many rows. It can always be made again from the rows.
* ``rejected.jsonl``: images that could not be read.
* ``gallery.json``, the manifest: the model, and the files above that count, with their sizes.

Rows are only ever appended. Each file is written aside and renamed, the manifest last. So what a manifest lists is
whole, and a process that is killed at any moment leaves the former manifest or the new one. Files that no manifest
lists are cleared by the next process that writes. Those that write take turns by the lock file ``.lock``.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

from ..common.atomic_files import PREFIX, write_json, written_aside
from ..common.image_files import write_rejected
from ..common.locks import held
from ..common.stand_ins import refuse_stand_in
from ..common.user_errors import UserError, first_line
from .vector_index import VectorIndex

MANIFEST_FILE = "gallery.json"
REJECTED_FILE = "rejected.jsonl"
LOCK_FILE = ".lock"
FORMAT = 2
ID = "content_hash"
NAME = "file_name"
EMBEDDING = "embedding"
OWN_COLUMNS = (ID, NAME, EMBEDDING)
REINDEX = "index the images again"
# What a killed writer leaves: files that no manifest lists, and unfinished ones (*.aside of version 0.1).
LEFTOVERS = ("rows-*.parquet", "removed-*.parquet", "index-*.faiss", "*.aside", f"{PREFIX}*")


@dataclass(frozen=True)
class GalleryHeader:
    """What all rows of a gallery have in common.

    Attributes:
        folder: where the images lie; their names are relative to it.
        model: folder or Hub name of the model that embedded them.
        revision: the model's Hub revision, if one was asked for.
        weights: SHA-256 of the model's weights.
        dim: length of an embedding.
        index_kind: the kind of index that was asked for, or None for one that suits the number of rows.
    """

    folder: str
    model: str
    revision: str | None
    weights: str
    dim: int
    index_kind: str | None

    def settings(self) -> dict[str, str | None]:
        """The part of ``build_settings.json`` that every command which makes galleries writes."""
        settings = dataclasses.asdict(self)
        # The weights tell it already, and galleries of version 0.1 have no such setting.
        del settings["dim"]
        return settings


@dataclass(frozen=True)
class TableEntry:
    """A Parquet file that counts: its name, number of rows and size in bytes."""

    file: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class IndexEntry:
    """The index file that counts, and what is needed to search it; see `VectorIndex` for the last four."""

    file: str
    rows: int
    bytes: int
    sha256: str
    kind: str
    effort: int | None
    recall_at_10: float
    built_for: int


@dataclass(frozen=True)
class Manifest:
    """The content of ``gallery.json``.

    Attributes:
        images: number of rows that are not removed.
        segments: files of rows, in the order in which their rows are counted.
        removals: files of numbers of removed rows.
    """

    header: GalleryHeader
    images: int = 0
    segments: tuple[TableEntry, ...] = ()
    removals: tuple[TableEntry, ...] = ()
    index: IndexEntry | None = None

    def as_json(self) -> dict[str, Any]:
        """What stands in the file."""
        return {
            "format": FORMAT,
            **dataclasses.asdict(self.header),
            # The word of version 0.1. It stays, so that both versions read each other's galleries.
            "pictures": self.images,
            "segments": [dataclasses.asdict(entry) for entry in self.segments],
            "removals": [dataclasses.asdict(entry) for entry in self.removals],
            "index": self.index and dataclasses.asdict(self.index),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Manifest":
        """What `as_json` gave.

        Raises:
            KeyError: something is missing.
            TypeError: something is not what it should be.
        """
        return cls(
            GalleryHeader(**{field.name: content[field.name] for field in dataclasses.fields(GalleryHeader)}),
            content["pictures"],
            tuple(TableEntry(**entry) for entry in content["segments"]),
            tuple(TableEntry(**entry) for entry in content["removals"]),
            content["index"] and IndexEntry(**content["index"]),
        )


class GalleryFiles:
    """The files of one gallery. Use `create` or `open`.

    Attributes:
        folder: where they lie.
        manifest: which of them count.
    """

    def __init__(self, folder: Path | str, manifest: Manifest) -> None:
        self.folder = Path(folder)
        self.manifest = manifest

    @classmethod
    def create(cls, folder: Path | str, header: GalleryHeader) -> "GalleryFiles":
        """Make the existing ``folder`` an empty gallery.

        Raises:
            UserError: another process makes it at this moment, or the folder cannot be written to.
        """
        files = cls(folder, Manifest(header))
        with files._locked():
            if (files.folder / MANIFEST_FILE).exists():
                raise UserError(f"another process is making gallery {folder}; wait for it, or stop it first")
            files._write_rejected([])
            files._write_manifest(files.manifest)
        return files

    @classmethod
    def open(cls, folder: Path | str) -> "GalleryFiles":
        """Read the manifest.

        Raises:
            UserError: ``folder`` is missing, not a gallery, damaged, or of another format.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(
                f"gallery {folder} does not exist; make one with: unipt index IMAGES --model M --output {folder}"
            )
        return cls(folder, _read_manifest(folder))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder's lock while the block runs.

        Raises:
            UserError: another process holds it, or has changed the gallery since it was opened, or the folder cannot be
                written to.
        """
        with self._locked():
            if _read_manifest(self.folder) != self.manifest:
                raise UserError(f"gallery {self.folder} was changed by another process; load it again")
            self._clear_unlisted()
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        refusal = f"another process is writing to gallery {self.folder}; wait for it, or stop it first"
        with ExitStack() as stack:
            try:
                stack.enter_context(held(self.folder / LOCK_FILE, refusal))
            except OSError as error:
                reason = error.strerror or first_line(error)
                raise UserError(f"gallery {self.folder} cannot be changed ({reason})") from error
            yield

    def commit(
        self,
        images: int,
        rows: pyarrow.Table | None = None,
        embeddings: np.ndarray | None = None,
        removed: Sequence[int] = (),
        index: VectorIndex | None = None,
        rejected: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        """Add to the gallery, all or nothing; to be called while `writing`.

        Args:
            images: how many there are from now on.
            rows: what is known of the new images.
            embeddings: their embeddings, a float32 array of shape (rows, dim).
            removed: numbers of the rows that no longer count.
            index: replaces the one that is there.
            rejected: (file name, reason) of the images that could not be read; replaces the list that is there.

        Raises:
            UserError: a file cannot be written, as on a full disk.
        """
        manifest = dataclasses.replace(self.manifest, images=images)
        if rows is not None and len(rows):
            flat = pyarrow.array(embeddings.ravel(), pyarrow.float32())
            column = pyarrow.FixedSizeListArray.from_arrays(flat, manifest.header.dim)
            entry = self._write_table("rows", len(manifest.segments), rows.append_column(EMBEDDING, column))
            manifest = dataclasses.replace(manifest, segments=(*manifest.segments, entry))
        if len(removed):
            entry = self._write_table("removed", len(manifest.removals), pyarrow.table({"row": sorted(removed)}))
            manifest = dataclasses.replace(manifest, removals=(*manifest.removals, entry))
        if index is not None:
            manifest = dataclasses.replace(manifest, index=self._write_index(index))
        if rejected is not None:
            self._write_rejected(rejected)
        self._write_manifest(manifest)
        self._clear_unlisted()

    @contextmanager
    def _telling_faults(self, path: Path) -> Iterator[None]:
        """Tell the user that ``path`` cannot be written, if the block fails to."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            # FAISS raises RuntimeError when the disk is full.
            reason = getattr(error, "strerror", None) or first_line(error)
            raise UserError(f"{path} cannot be written ({reason}); what the gallery held before is kept") from error

    @contextmanager
    def _aside(self, path: Path) -> Iterator[Path]:
        with self._telling_faults(path), written_aside(path) as aside:
            yield aside

    def _write_table(self, kind: str, number: int, table: pyarrow.Table) -> TableEntry:
        path = self.folder / f"{kind}-{number:05d}.parquet"
        with self._aside(path) as aside:
            parquet.write_table(table, aside, compression="zstd", write_page_checksum=True)
        return TableEntry(path.name, len(table), path.stat().st_size)

    def _write_index(self, index: VectorIndex) -> IndexEntry:
        # A number of its own for each: the former index is the one that counts until the manifest is written.
        before = self.manifest.index
        number = int(before.file[len("index-") : -len(".faiss")]) + 1 if before else 0
        path = self.folder / f"index-{number:05d}.faiss"
        with self._aside(path) as aside:
            index.write(aside)
        return IndexEntry(
            path.name,
            len(index),
            path.stat().st_size,
            _sha256(path),
            index.kind,
            index.effort,
            index.recall,
            index.built_for,
        )

    def _write_rejected(self, rejected: Iterable[tuple[str, str]]) -> None:
        path = self.folder / REJECTED_FILE
        with self._telling_faults(path):
            write_rejected(path, rejected)

    def _write_manifest(self, manifest: Manifest) -> None:
        path = self.folder / MANIFEST_FILE
        with self._telling_faults(path):
            write_json(path, manifest.as_json())
        self.manifest = manifest
        # The renames are on disk only once the folder is. Not every system can open a folder, or force it to disk.
        with suppress(OSError):
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _clear_unlisted(self) -> None:
        listed = {entry.file for entry in (*self.manifest.segments, *self.manifest.removals)}
        if self.manifest.index:
            listed.add(self.manifest.index.file)
        for pattern in LEFTOVERS:
            for path in self.folder.glob(pattern):
                if path.name not in listed:
                    path.unlink()

    def read_rows(self) -> tuple[pyarrow.Table, list[int]]:
        """All rows ever added, without their embeddings, and the numbers of removed rows.

        Raises:
            UserError: a file is missing or damaged.
        """
        tables = [self._read_table(entry, lambda column: column != EMBEDDING) for entry in self.manifest.segments]
        removed = []
        for entry in self.manifest.removals:
            removed += self._read_table(entry)["row"].to_pylist()
        try:
            return pyarrow.concat_tables([empty_rows(), *tables], promote_options="default"), removed
        except pyarrow.ArrowException as error:
            raise UserError(self._damage(first_line(error))) from None

    def read_embeddings(self, start: int = 0) -> np.ndarray:
        """The embeddings of all rows from number ``start`` on, a float32 array of shape (rows, dim).

        Raises:
            UserError: a file is missing or damaged.
        """
        dim = self.manifest.header.dim
        parts = [np.empty((0, dim), dtype=np.float32)]
        first = 0
        for entry in self.manifest.segments:
            if first + entry.rows > start:
                table = self._read_table(entry, lambda column: column == EMBEDDING)
                flat = table[EMBEDDING].combine_chunks().flatten().to_numpy()
                if flat.dtype != np.float32 or flat.size != entry.rows * dim:
                    raise UserError(self._damage(entry.file))
                parts.append(flat.reshape(-1, dim)[max(0, start - first) :])
            first += entry.rows
        return np.concatenate(parts)

    def _read_table(self, entry: TableEntry, wanted: Callable[[str], bool] = lambda column: True) -> pyarrow.Table:
        """The columns of a file whose names are ``wanted``."""
        path = self.folder / entry.file
        try:
            if path.stat().st_size != entry.bytes:
                raise ValueError
            with parquet.ParquetFile(path, page_checksum_verification=True) as file:
                table = file.read([name for name in file.schema_arrow.names if wanted(name)])
            if len(table) != entry.rows:
                raise ValueError
        except (OSError, ValueError, KeyError, pyarrow.ArrowException):
            refuse_stand_in(path)
            raise UserError(self._damage(entry.file)) from None
        return table

    def _damage(self, what: str) -> str:
        return f"the rows of gallery {self.folder} are damaged or incomplete ({what}); {REINDEX}"

    def read_rejected(self) -> list[tuple[str, str]]:
        """File name and reason of each image that could not be read.

        Raises:
            UserError: the list is missing or damaged.
        """
        try:
            lines = (self.folder / REJECTED_FILE).read_text(encoding="utf-8").splitlines()
            rejected = [json.loads(line) for line in lines]
            return [(line["file_name"], line["reason"]) for line in rejected]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{self.folder / REJECTED_FILE} is missing or damaged; {REINDEX}") from None

    def index_trouble(self) -> str | None:
        """What is wrong with the index file, in a few words, or None."""
        entry = self.manifest.index
        if entry is None:
            return "is not made yet"
        path = self.folder / entry.file
        if not path.is_file():
            return f"{entry.file} is missing"
        size = path.stat().st_size
        if size != entry.bytes:
            return f"{entry.file} is truncated or foreign: {size} bytes instead of {entry.bytes}"
        # FAISS reads damaged files without an error, and then finds the wrong images.
        if _sha256(path) != entry.sha256:
            return f"{entry.file} is damaged or foreign: its checksum is another one"
        return None

    def read_index(self) -> VectorIndex | str:
        """The index, or what is wrong with it in a few words."""
        entry = self.manifest.index
        trouble = self.index_trouble()
        if trouble:
            return trouble
        try:
            index = VectorIndex.read(
                self.folder / entry.file, entry.kind, entry.effort, entry.recall_at_10, entry.built_for
            )
        except RuntimeError as error:
            return f"{entry.file} cannot be read ({first_line(error)})"
        if len(index) != entry.rows or index.dim != self.manifest.header.dim:
            return f"{entry.file} does not fit the gallery"
        return index

    def size(self) -> int:
        """Bytes on disk, without the lock file."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file() and path.name != LOCK_FILE)


def empty_rows() -> pyarrow.Table:
    """A table as `GalleryFiles.read_rows` gives it, without rows and metadata."""
    return pyarrow.table({ID: pyarrow.array([], pyarrow.string()), NAME: pyarrow.array([], pyarrow.string())})


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content["format"] == FORMAT
    except FileNotFoundError:
        raise UserError(f"{folder} is not a gallery: it holds no {MANIFEST_FILE}; make one with unipt index") from None
    except (OSError, ValueError, KeyError, TypeError):
        refuse_stand_in(path)
        raise UserError(f"{path} is damaged; {REINDEX}") from None
    try:
        if known:
            return Manifest.from_json(content)
    except (KeyError, TypeError):
        pass
    raise UserError(f"{path} is not of a format this version reads; {REINDEX}")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
