"""A gallery on disk: a folder whose manifest says what counts.

* ``rows-00000.parquet``, ...: a row each picture: ``content_hash``, ``file_name``, ``embedding`` and its metadata.
* ``removed-00000.parquet``, ...: numbers of rows, counted over all the files above, that are no longer searched.
* ``index-00000.faiss``: the FAISS index of the first so many rows. It can always be made again from the rows.
* ``rejected.jsonl``: pictures that could not be read.
* ``gallery.json``, the manifest: the model, and the files above that count, with their sizes.

Rows are only ever appended. Each file is written aside and renamed, the manifest last: so what a manifest lists is
whole, and a process killed at any moment leaves the manifest before or the one after. Files that no manifest lists are
cleared by the next one who writes; writers take turns by a lock on the folder.
"""

import hashlib
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from ..common.image_files import write_rejected
from ..common.user_errors import UserError, first_line

MANIFEST_FILE, REJECTED_FILE = "gallery.json", "rejected.jsonl"
FORMAT = 2
ID, NAME, EMBEDDING = "content_hash", "file_name", "embedding"
OWN_COLUMNS = (ID, NAME, EMBEDDING)
HEADER = {"format", "folder", "model", "revision", "weights", "dim", "index_kind"}
REINDEX = "index the images again"


class GalleryFiles:
    """The files of one gallery. Use `create` or `open`.

    Attributes:
        folder (`Path`): where they lie.
        manifest (`dict`): the content of ``gallery.json``.
    """

    def __init__(self, folder, manifest):
        self.folder, self.manifest = Path(folder), manifest

    @classmethod
    def create(cls, folder, header):
        """Make the existing ``folder`` an empty gallery; ``header`` has the keys `HEADER` but for the format.

        Raises:
            UserError: another process makes it at this moment.
        """
        files = cls(folder, {"format": FORMAT, **header, "pictures": 0, "segments": [], "removals": [], "index": None})
        with _lock(files.folder):
            if (files.folder / MANIFEST_FILE).exists():
                raise UserError(f"another process is making gallery {folder}; wait for it, or stop it first")
            write_rejected(files.folder / REJECTED_FILE, [])
            files._write_manifest(files.manifest)
        return files

    @classmethod
    def open(cls, folder):
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
    def writing(self):
        """Hold the folder's lock.

        Raises:
            UserError: another process holds it, or has changed the gallery since it was opened.
        """
        with _lock(self.folder):
            if _read_manifest(self.folder) != self.manifest:
                raise UserError(f"gallery {self.folder} was changed by another process; load it again")
            self._clear_unlisted()
            yield

    def commit(self, pictures, rows=None, embeddings=None, removed=(), index=None, rejected=None):
        """Add to the gallery, all or nothing; to be called while `writing`.

        Args:
            pictures: how many there are from now on.
            rows (`pyarrow.Table`), embeddings (array of shape (rows, dim)): what is new.
            removed: numbers of the rows that no longer count.
            index: a `VectorIndex` to keep in place of the one that is there.
            rejected: list of (file name, reason) in place of the one that is there.
        """
        import pyarrow

        manifest = {**self.manifest, "pictures": pictures}
        if rows is not None and len(rows):
            flat = pyarrow.array(embeddings.ravel(), pyarrow.float32())
            column = pyarrow.FixedSizeListArray.from_arrays(flat, manifest["dim"])
            entry = self._write_table("rows", manifest["segments"], rows.append_column(EMBEDDING, column))
            manifest["segments"] = [*manifest["segments"], entry]
        if len(removed):
            entry = self._write_table("removed", manifest["removals"], pyarrow.table({"row": sorted(removed)}))
            manifest["removals"] = [*manifest["removals"], entry]
        if index is not None:
            manifest["index"] = self._write_index(index)
        if rejected is not None:
            with self._aside(self.folder / REJECTED_FILE) as aside:
                write_rejected(aside, rejected)
        self._write_manifest(manifest)
        self._clear_unlisted()

    @contextmanager
    def _aside(self, path):
        """Give a path to write to; afterwards the file is on disk and has the name ``path``."""
        aside = path.with_name(path.name + ".aside")
        try:
            yield aside
            with open(aside, "rb+") as written:
                os.fsync(written.fileno())
            os.replace(aside, path)
        except (OSError, RuntimeError) as error:  # FAISS raises the latter when the disk is full
            aside.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or first_line(error)
            raise UserError(f"{path} cannot be written ({reason}); what the gallery held before is kept") from error

    def _write_table(self, kind, entries, table):
        import pyarrow.parquet

        path = self.folder / f"{kind}-{len(entries):05d}.parquet"
        with self._aside(path) as aside:
            pyarrow.parquet.write_table(table, aside, compression="zstd", write_page_checksum=True)
        return {"file": path.name, "rows": len(table), "bytes": path.stat().st_size}

    def _write_index(self, index):
        before = self.manifest["index"]
        number = int(before["file"][len("index-") : -len(".faiss")]) + 1 if before else 0
        path = self.folder / f"index-{number:05d}.faiss"
        with self._aside(path) as aside:
            index.write(aside)
        made = {"kind": index.kind, "effort": index.effort, "recall_at_10": index.recall, "built_for": index.built_for}
        return {"file": path.name, "rows": len(index), "bytes": path.stat().st_size, "sha256": _sha256(path)} | made

    def _write_manifest(self, manifest):
        with self._aside(self.folder / MANIFEST_FILE) as aside:
            aside.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        self.manifest = manifest
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # the renames; not every file system can
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _clear_unlisted(self):
        entries = [*self.manifest["segments"], *self.manifest["removals"], self.manifest["index"] or {}]
        listed = {entry.get("file") for entry in entries}
        for pattern in ("rows-*.parquet", "removed-*.parquet", "index-*.faiss", "*.aside"):
            for path in self.folder.glob(pattern):
                if path.name not in listed:
                    path.unlink()

    def read_rows(self):
        """All rows ever added without their embeddings, as a `pyarrow.Table`, and the list of removed row numbers.

        Raises:
            UserError: a file is missing or damaged.
        """
        import pyarrow

        tables = self._read_tables(self.manifest["segments"], lambda column: column != EMBEDDING)
        removed = [table["row"].to_pylist() for table in self._read_tables(self.manifest["removals"])]
        try:
            return pyarrow.concat_tables([empty_rows(), *tables], promote_options="default"), sum(removed, [])
        except pyarrow.ArrowException as error:
            raise UserError(self._damage(first_line(error))) from None

    def read_embeddings(self, start=0):
        """The (rows, dim) float32 array of all rows from number ``start`` on; the errors are those of `read_rows`."""
        import numpy as np

        parts, first = [np.empty((0, self.manifest["dim"]), dtype=np.float32)], 0
        for entry in self.manifest["segments"]:
            if first + entry["rows"] > start:
                (table,) = self._read_tables([entry], lambda column: column == EMBEDDING)
                flat = table[EMBEDDING].combine_chunks().flatten().to_numpy()
                if flat.dtype != np.float32 or flat.size != entry["rows"] * self.manifest["dim"]:
                    raise UserError(self._damage(entry["file"]))
                parts.append(flat.reshape(-1, self.manifest["dim"])[max(0, start - first) :])
            first += entry["rows"]
        return np.concatenate(parts)

    def _read_tables(self, entries, wanted=lambda column: True):
        import pyarrow
        import pyarrow.parquet

        tables = []
        for entry in entries:
            try:
                path = self.folder / entry["file"]
                if path.stat().st_size != entry["bytes"]:
                    raise ValueError
                with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
                    table = file.read([name for name in file.schema_arrow.names if wanted(name)])
                if len(table) != entry["rows"]:
                    raise ValueError
            except (OSError, ValueError, KeyError, pyarrow.ArrowException):
                raise UserError(self._damage(entry["file"])) from None
            tables.append(table)
        return tables

    def _damage(self, what):
        return f"the rows of gallery {self.folder} are damaged or incomplete ({what}); {REINDEX}"

    def read_rejected(self):
        """List of (file name, reason)."""
        try:
            lines = map(json.loads, (self.folder / REJECTED_FILE).read_text(encoding="utf-8").splitlines())
            return [(line["file_name"], line["reason"]) for line in lines]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{self.folder / REJECTED_FILE} is missing or damaged; {REINDEX}") from None

    def index_trouble(self):
        """What is wrong with the index file, in a few words, or None."""
        entry = self.manifest["index"]
        if entry is None:
            return "is not made yet"
        path = self.folder / entry["file"]
        if not path.is_file():
            return f"{entry['file']} is missing"
        if path.stat().st_size != entry["bytes"]:
            return f"{entry['file']} is truncated or foreign: {path.stat().st_size} bytes instead of {entry['bytes']}"
        if _sha256(path) != entry["sha256"]:
            return f"{entry['file']} is damaged or foreign: its checksum is another one"
        return None

    def read_index(self):
        """The `VectorIndex`, or what is wrong with it in a few words."""
        from .vector_index import VectorIndex

        trouble, entry = self.index_trouble(), self.manifest["index"]
        if trouble:
            return trouble
        path = self.folder / entry["file"]
        try:
            index = VectorIndex.read(path, entry["kind"], entry["effort"], entry["recall_at_10"], entry["built_for"])
        except RuntimeError as error:
            return f"{entry['file']} cannot be read ({first_line(error)})"
        if len(index) != entry["rows"] or index.index.d != self.manifest["dim"]:
            return f"{entry['file']} does not fit the gallery"
        return index

    def size(self):
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())


@contextmanager
def _lock(folder):
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"another process is writing to gallery {folder}; wait for it, or stop it first") from None
    finally:
        os.close(descriptor)


def empty_rows():
    """A `pyarrow.Table` as `GalleryFiles.read_rows` gives it, without rows and metadata."""
    import pyarrow

    return pyarrow.table({ID: pyarrow.array([], pyarrow.string()), NAME: pyarrow.array([], pyarrow.string())})


def _read_manifest(folder):
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT
        lacking = (HEADER | {"pictures", "segments", "removals", "index"}) - manifest.keys()
    except FileNotFoundError:
        raise UserError(f"{folder} is not a gallery: it holds no {MANIFEST_FILE}; make one with unipt index") from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        raise UserError(f"{folder / MANIFEST_FILE} is damaged; {REINDEX}") from None
    if not known or lacking:
        raise UserError(f"{folder / MANIFEST_FILE} is not of a format this version reads; {REINDEX}")
    return manifest


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
