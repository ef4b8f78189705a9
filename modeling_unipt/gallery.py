"""A searchable gallery: pictures of people, embedded once, ranked by description.

    from modeling_unipt import PersonGallery

    gallery = PersonGallery.from_folder("crops", "unipt/unipt-tiny")
    for result in gallery.search("a woman in a red coat", top_k=5):
        print(result.rank, result.score, result.path)
    gallery.save("my-gallery")

Once saved or loaded, a gallery stays tied to its folder: what `add` and `remove` do is on disk when they return, and
`add` puts what it has on disk as it goes.
"""

import os
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from .gallery_files import ID, NAME, GalleryFiles
from .gallery_metadata import (
    check_metadata,
    distinct_values,
    fit_columns,
    matching,
    metadata_columns,
    read_metadata,
)
from .gallery_model import load_model, model_name, weights_digest
from .gallery_sources import Picture, pictures_at, pictures_of_dataset
from .output_folders import finish_output, start_output
from .user_errors import UserError
from .vector_index import KINDS, VectorIndex

SEGMENT_ROWS = 4096  # so many pictures at most are embedded in vain when `add` is killed
CACHED_TEXTS = 1024


@dataclass(frozen=True)
class SearchResult:
    """One picture found.

    Args:
        rank: from 1.
        score: cosine similarity of query and picture.
        path: of its file; of a picture from a dataset, its name there.
        index: its place in ``gallery.file_names``.
        id: SHA-256 of its file.
        metadata: column -> value.
    """

    rank: int
    score: float
    path: str
    index: int
    id: str
    metadata: dict = field(default_factory=dict, hash=False)


@dataclass
class AddReport:
    """What `PersonGallery.add` did with each picture.

    Args:
        added: number of new pictures, those in ``replaced`` among them.
        unchanged: number that were there already under the same name.
        duplicates: (name, name in the gallery) of those whose very bytes were there already under another name.
        replaced: names whose file has other bytes than when it was added; the former picture is removed.
        rejected: (name, reason) of those that cannot be read.
        without_metadata: number of new pictures of which the metadata say nothing.
        unused_metadata: number of rows of the metadata that name none of the pictures.
    """

    added: int = 0
    unchanged: int = 0
    duplicates: list = field(default_factory=list)
    replaced: list = field(default_factory=list)
    rejected: list = field(default_factory=list)
    without_metadata: int = 0
    unused_metadata: int = 0


class PersonGallery:
    """Pictures and their embeddings, with the model that made them; an empty one until something is added.

    Args:
        model, processor: a `UniPTModel` and its `UniPTProcessor`.
        folder (`str`, *optional*): where the pictures lie; names of pictures are relative to it.
        index (`str`, *optional*): kind of index, ``"exact"``, ``"hnsw"`` or ``"ivf"``; by default exact up to 500,000
            pictures, ivf for more.
        revision (`str`, *optional*): the Hub revision that ``model`` was loaded from.
    """

    def __init__(self, model, processor, folder="", index=None, revision=None):
        if index is not None and index not in KINDS:
            raise UserError(f"index is {index!r}; it must be one of {', '.join(KINDS)}")
        self.model, self.processor = model, processor
        self.folder, self.index_kind, self.revision = str(folder), index, revision
        self.rejected = []
        self._files = None
        self._set_rows(GalleryFiles(".", {"segments": [], "removals": []}).read_rows()[0], [])
        self._index = None
        self._text_embedding = lru_cache(CACHED_TEXTS)(self._embed_text)

    def _set_rows(self, rows, removed):
        """``rows`` are all ever added, a `pyarrow.Table`; of them ``removed`` do not count."""
        self._rows, self._removed = rows.combine_chunks(), sorted(removed)
        self._ids, self._names = rows[ID].to_pylist(), rows[NAME].to_pylist()
        self._mask = np.ones(len(rows), dtype=bool)
        self._mask[self._removed] = False
        self._live = np.flatnonzero(self._mask)
        self._row_of_name = {self._names[row]: row for row in self._live.tolist()}
        self._row_of_id = {self._ids[row]: row for row in self._live.tolist()}
        self._columns = None

    def __len__(self):
        return len(self._live)

    @property
    def file_names(self):
        """Name of each picture, in order of adding."""
        return [self._names[row] for row in self._live.tolist()]

    @property
    def ids(self):
        """SHA-256 of each picture's file, in the order of ``file_names``."""
        return [self._ids[row] for row in self._live.tolist()]

    @property
    def columns(self):
        """Metadata column -> its sorted distinct values, or None where there are more than 200."""
        if self._columns is None:
            self._columns = distinct_values(self._rows.take(self._live))
        return self._columns

    @property
    def index(self):
        """The `VectorIndex`, with its kind and its measured recall."""
        if self._index is None:
            self._index = self._load_index() if self._files else VectorIndex.empty(self.model.config.projection_dim)
        return self._index

    def embedding_of(self, index):
        """The (dim,) float32 embedding of the picture at place ``index`` of ``file_names``, of length 1."""
        return self.index.vector(self._live[index])

    @classmethod
    def from_folder(
        cls,
        folder,
        model,
        *,
        metadata=None,
        index=None,
        revision=None,
        batch_size=64,
        device=None,
        progress=None,
    ):
        """Embed every picture below ``folder``; unreadable ones are left out and listed in ``gallery.rejected``.

        Args:
            model: folder or Hub id of a UniPT model, or a (model, processor) pair.
            metadata, batch_size, progress: as for `add`.
            index: kind of index, see `PersonGallery`.
            device (`str`, *optional*): a GPU where there is one, by default.

        Raises:
            UserError: no such folder, no readable picture in it, or ``model`` is not UniPT.
        """
        folder = Path(folder).resolve()
        pictures, metadata = pictures_at(folder, folder), _metadata_table(metadata)
        gallery = cls(*load_model(model, revision, device), folder, index, revision)
        gallery._add(pictures, len(pictures), metadata, batch_size, progress)
        gallery.refuse_empty(f"of {folder} ")
        return gallery

    @classmethod
    def from_dataset(
        cls,
        dataset,
        model,
        *,
        split="train",
        image_column=None,
        index=None,
        revision=None,
        batch_size=64,
        device=None,
        progress=None,
    ):
        """Embed the pictures of a `datasets.Dataset`, or of one given by its name and ``split``.

        A picture is named by the column ``file_name`` or ``image_id``, else by its file. Other columns of single
        values, also those within a structure (``attributes.gender``), become metadata; lists are left out. The same
        picture twice becomes one, and unreadable ones are left out: look rows up by name, not by number.

        Args:
            image_column (`str`, *optional*): the only one, by default.
            model, index, device: as for `from_folder`. batch_size, progress: as for `add`.

        Raises:
            UserError: the dataset cannot be loaded or has no such column, no picture of it can be read, or ``model`` is
                not UniPT.
        """
        count, pictures, known = pictures_of_dataset(dataset, split, image_column)
        gallery = cls(*load_model(model, revision, device), "", index, revision)
        gallery._add(pictures, count, known, batch_size, progress)
        gallery.refuse_empty("of the dataset ")
        return gallery

    def refuse_empty(self, where=""):
        """Raise a `UserError` if there is no picture, with the first reason."""
        if not len(self):
            name, reason = self.rejected[0] if self.rejected else ("", "there is none")
            raise UserError(
                f"none of the {len(self.rejected)} images {where}can be read; {name}, for example: {reason}"
            )

    def add(self, images, metadata=None, batch_size=64, progress=None):
        """Embed more pictures. Those whose very bytes are there already are not added again, whatever their name.

        Args:
            images: a folder, searched with its sub-folders, an image file, or a list of image files.
            metadata (*optional*): a .csv, .parquet or .jsonl file or a `pyarrow.Table`: a row a picture, the column
                ``file_name`` as in ``gallery.file_names``, the others single values to select by.
            batch_size: pictures embedded at once.
            progress (*optional*): a function called with (pictures done, pictures in all); by default a bar is shown.

        Returns:
            `AddReport`

        Raises:
            UserError: nothing there, metadata unreadable or not of the types that the gallery has, or, of a saved
                gallery, another process writes to it.
        """
        pictures = pictures_at(images, self.folder)
        return self._add(pictures, len(pictures), _metadata_table(metadata), batch_size, progress)

    def _add(self, pictures, total, metadata, batch_size, progress):
        from .embedding import embed_in_batches

        self.index  # noqa: B018  (loaded before anything changes on disk)
        report, rejected = AddReport(), dict(self.rejected)
        if metadata is not None:
            metadata = fit_columns(metadata, self._rows)
        staged = _Staged(metadata)
        with self._writing(), _reporting(progress, total) as advance:
            for batch in embed_in_batches(self.model, self.processor, pictures, Picture.read, batch_size):
                for (picture, content_hash, reason), embedding in batch:
                    rejected.pop(picture.name, None)
                    if reason is not None:
                        rejected[picture.name] = reason
                        report.rejected.append((picture.name, reason))
                        continue
                    self._take(picture.name, content_hash, embedding, staged, report)
                if len(staged.names) >= SEGMENT_ROWS:
                    self._commit(staged, sorted(rejected.items()))
                advance(len(batch))
            self._commit(staged, sorted(rejected.items()))
            self._settle_index()
        report.without_metadata, report.unused_metadata = staged.without, staged.unused
        return report

    def _take(self, name, content_hash, embedding, staged, report):
        """Decide about one readable picture."""
        former = self._row_of_name.get(name)
        if former is not None and self._ids[former] != content_hash:
            staged.removed.add(former)
            report.replaced.append(name)
        there = self._row_of_id.get(content_hash)
        same_as = staged.name_of.get(content_hash) if there is None or there in staged.removed else self._names[there]
        if same_as is None:
            staged.append(name, content_hash, embedding)
            report.added += 1
        elif same_as == name:
            report.unchanged += 1
        else:
            report.duplicates.append((name, same_as))

    def _commit(self, staged, rejected):
        """Make what is staged part of the gallery, on disk first."""
        rows, embeddings, removed = staged.take(self._rows.schema)
        everything = _concatenated(self._rows, rows)
        if self._files:
            pictures = len(self) + len(rows) - len(removed)
            self._files.commit(pictures, rows, embeddings, removed, rejected=rejected)
        if len(rows):
            self.index.add(embeddings)
        self.rejected = rejected
        self._set_rows(everything, [*self._removed, *removed])

    def _settle_index(self):
        """Give the gallery the index that suits its size, measured anew, and keep it on disk."""
        known = (self._files and self._files.manifest["index"]) or {"rows": 0}
        if not self.index.suits(len(self._rows), self.index_kind):
            self._index = VectorIndex.build(self.index.vectors(), self.index_kind)
            known = {"rows": 0}
        behind = len(self.index) - known["rows"]
        if known["rows"] == 0 or behind > max(1000, known["rows"] // 10):  # a few are quicker added when loading
            if known["rows"]:
                self.index.measure()
            if self._files:
                self._files.commit(len(self), index=self.index)

    def remove(self, names):
        """Take pictures out of the gallery.

        Their rows stay in the gallery's files, marked as removed; `save` to a new folder writes only what is left.

        Args:
            names: a file name or id (SHA-256 of the file), or a list of them.

        Returns:
            Number of pictures removed.

        Raises:
            UserError: the gallery has no such picture; then nothing is removed.
        """
        names = [names] if isinstance(names, str) else list(names)
        rows = [self._row_of_name.get(name, self._row_of_id.get(name)) for name in names]
        if None in rows:
            name = names[rows.index(None)]
            raise UserError(
                f"the gallery has no picture with the file name or id {name} ({rows.count(None)} of {len(names)} are "
                "unknown); nothing was removed"
            )
        removed = sorted(set(rows))
        with self._writing():
            if self._files:
                self._files.commit(len(self) - len(removed), removed=removed)
            self._set_rows(self._rows, [*self._removed, *removed])
        return len(removed)

    def search(self, query, top_k=10, where=None):
        """The pictures that fit best; equal scores keep gallery order.

        Args:
            query: a description (`str`); a picture (``PIL.Image``, or a `pathlib.Path` of one) that results should
                resemble; a (description, picture) pair, whose score is the mean of both cosine similarities; or an
                embedding, an array of shape (dim,), as `embedding_of` gives.
            top_k: number of results, fewer where fewer match.
            where (*optional*): which pictures may be found, ``{"camera": 3, "day": ["Monday", "Tuesday"]}`` or
                ``[("camera", "!=", 3)]``, see `gallery_metadata.matching`. Such a search is always exact.

        Returns:
            list of `SearchResult`, best first.

        Raises:
            UserError: empty text, unreadable picture, ``top_k`` below 1, unknown column in ``where``.
        """
        if top_k < 1:
            raise UserError(f"top-k is {top_k}; ask for at least 1 result")
        mask = None if len(self) == len(self._rows) else self._mask
        if where:
            mask = self._mask & matching(self._rows, where)
        scores, rows = self.index.search(self._embed_query(query), int(top_k), mask, exact=bool(where))
        places, columns = np.searchsorted(self._live, rows), metadata_columns(self._rows)
        return [
            SearchResult(
                rank,
                score,
                str(Path(self.folder, self._names[row])),
                place,
                self._ids[row],
                {column: self._rows[column][row].as_py() for column in columns},
            )
            for rank, (score, row, place) in enumerate(
                zip(scores.tolist(), rows.tolist(), places.tolist(), strict=True), 1
            )
        ]

    def check_where(self, where):
        """Raise what `search` would raise about ``where``."""
        matching(self._rows.slice(0, 0), where or [])

    def _embed_query(self, query):
        if isinstance(query, str):
            return self._text_embedding(query)
        if isinstance(query, (tuple, list)) and len(query) == 2:
            text, picture = query
            picture = Path(picture) if isinstance(picture, str) else picture
            return (self._embed_query(text) + self._embed_query(picture)) / 2
        if isinstance(query, np.ndarray):
            vector, dim = query.astype(np.float32), self.model.config.projection_dim
            length = float(np.linalg.norm(vector))
            if vector.shape != (dim,) or not 0 < length < float("inf"):
                raise UserError(f"an embedding to search by must be {dim} finite numbers, not all zero")
            return vector / length
        return self._embed_picture(query)

    def _embed_text(self, text):
        from .embedding import embed_texts

        if not text.strip():
            raise UserError('the query is empty; describe a person, as in "a woman in a red coat with a black bag"')
        return embed_texts(self.model, self.processor, [text])[0]

    def _embed_picture(self, picture):
        from .embedding import embed_images
        from .image_files import UnreadableImage, read_image

        if isinstance(picture, os.PathLike):
            try:
                picture = read_image(picture)
            except UnreadableImage as reason:
                there = Path(picture).is_file()
                raise UserError(f"picture {picture} {reason if there else 'does not exist'}") from None
        elif not hasattr(picture, "mode"):
            raise UserError(f"a query is a text, a picture or a pair of them, not {type(picture).__name__}")
        return embed_images(self.model, self.processor, [picture])[0]

    def save(self, folder):
        """Write the gallery as the new folder ``folder``, and stay tied to it; see the head of this module.

        A gallery that is tied to ``folder`` already is on disk already; one tied to another folder writes a copy.

        Raises:
            UserError: ``folder`` exists and is not this gallery.
        """
        folder = Path(folder)
        if self._files and folder.exists() and folder.samefile(self._files.folder):
            return
        header, names = self.header(), self.file_names
        listing = "\n".join(f"{content_hash} {name}" for content_hash, name in zip(self.ids, names, strict=True))
        settings = {key: header[key] for key in ("folder", "model", "revision", "weights", "index_kind")}
        settings |= {"command": "gallery", "pictures": len(self), "listing": _digest(listing)}
        partial = start_output(folder, settings)
        if partial is not None:
            vectors, index = self.index.vectors()[self._live], self.index
            if len(self) < len(self._rows):
                index = VectorIndex.build(vectors, self.index_kind)
            files = GalleryFiles.create(partial, header)
            with files.writing():
                files.commit(len(self), self._rows.take(self._live), vectors, index=index, rejected=self.rejected)
            finish_output(partial, folder)
        if self._files is None:
            saved = self.open(folder)
            self._set_rows(saved._rows, saved._removed)
            self._files, self._index, self.rejected = saved._files, saved.index, saved.rejected

    @classmethod
    def load(cls, folder, model=None, device=None):
        """Open a saved gallery with the model that embedded it.

        Args:
            model (*optional*): where that model is now, if it is no longer where it was; or a (model, processor) pair.

        Raises:
            UserError: ``folder`` is missing, not a gallery or damaged, or the model is missing or another one.
        """
        gallery = cls.open(folder)
        gallery.use_model(model, device)
        gallery._index = gallery._load_index()  # now, not at the first search
        return gallery

    @classmethod
    def open(cls, folder):
        """A saved gallery without its model: enough to look at it and to `remove`, not to `add` or `search`."""
        files = GalleryFiles.open(folder)
        manifest = files.manifest
        gallery = cls(None, None, manifest["folder"], manifest["index_kind"], manifest["revision"])
        gallery._files, gallery.rejected = files, files.read_rejected()
        gallery._set_rows(*files.read_rows())
        return gallery

    def use_model(self, model=None, device=None):
        """Give an opened gallery its model; arguments and errors as for `load`."""
        manifest = self._files.manifest
        wanted = manifest["model"] if model is None else model
        self.model, self.processor = load_model(wanted, self.revision if model is None else None, device)
        name, weights = model_name(self.model), weights_digest(self.model)
        if weights != manifest["weights"]:
            raise UserError(
                f"gallery {self._files.folder} was embedded by {manifest['model']} (weights {manifest['weights'][:8]}) "
                f"and cannot be searched with {name} (weights {weights[:8]}), whose embeddings differ; name the former "
                "or index the images again"
            )

    def header(self):
        """What the manifest says of the model and the pictures' folder."""
        if self._files:
            return {
                key: self._files.manifest[key]
                for key in ("folder", "model", "revision", "weights", "dim", "index_kind")
            }
        return {
            "folder": self.folder,
            "model": model_name(self.model),
            "revision": self.revision,
            "weights": weights_digest(self.model),
            "dim": self.model.config.projection_dim,
            "index_kind": self.index_kind,
        }

    def create_files(self, folder):
        """Tie a gallery that is still empty to the existing, empty ``folder``."""
        self._index = self.index
        self._files = GalleryFiles.create(folder, self.header())

    def info(self):
        """What a saved gallery holds, JSON-able but for dates among the values of ``columns``."""
        index, manifest = dict(self._files.manifest["index"] or {"kind": self.index_kind}), self._files.manifest
        shown = {key: index.get(key) for key in ("kind", "recall_at_10", "effort", "rows")}
        return {
            "images": len(self),
            "removed": len(self._removed),
            "rejected": len(self.rejected),
            "folder": self.folder,
            **{key: manifest[key] for key in ("model", "revision", "weights", "dim")},
            "index": {**shown, "trouble": self._files.index_trouble()},
            "columns": self.columns,
            "segments": len(manifest["segments"]),
            "bytes": self._files.size(),
        }

    def _load_index(self):
        index = self._files.read_index()
        if isinstance(index, VectorIndex):
            if len(index) < len(self._rows):
                index.add(self._files.read_embeddings(len(index)))
            return index
        if self._files.manifest["index"] is not None:
            print(f"gallery {self._files.folder}: {index}; made again from the Parquet rows", file=sys.stderr)
        index = VectorIndex.build(self._files.read_embeddings(), self.index_kind)
        try:
            with self._files.writing():
                self._files.commit(len(self), index=index)
        except (OSError, UserError) as error:  # not ours to write, or busy: it serves from memory
            print(f"gallery {self._files.folder}: the index is not kept ({error})", file=sys.stderr)
        return index

    def _writing(self):
        return self._files.writing() if self._files else nullcontext()


class _Staged:
    """New pictures that are not yet part of the gallery, and rows that they replace."""

    def __init__(self, metadata):
        self.metadata = metadata
        self.metadata_row = (
            {} if metadata is None else {name: row for row, name in enumerate(metadata[NAME].to_pylist())}
        )
        self.unused, self.without = len(self.metadata_row), 0
        self._clear()

    def _clear(self):
        self.names, self.name_of, self.embeddings, self.removed = [], {}, [], set()

    def append(self, name, content_hash, embedding):
        self.names.append(name)
        self.name_of[content_hash] = name
        self.embeddings.append(embedding)

    def take(self, schema):
        """(rows as a `pyarrow.Table`, their embeddings, the rows they replace); nothing is staged afterwards."""
        import pyarrow

        rows = pyarrow.table(
            {ID: list(self.name_of), NAME: self.names}, pyarrow.schema([schema.field(ID), schema.field(NAME)])
        )
        if self.metadata is not None:
            places = [self.metadata_row.get(name) for name in self.names]
            self.without += places.count(None)
            self.unused -= len(places) - places.count(None)
            found = self.metadata.take(pyarrow.array(places, pyarrow.int64()))
            for column in metadata_columns(found):
                rows = rows.append_column(column, found[column])
        taken = rows, np.array(self.embeddings, dtype=np.float32), self.removed
        self._clear()
        return taken


def _concatenated(rows, more):
    import pyarrow

    return pyarrow.concat_tables([rows, more], promote_options="default")


def _metadata_table(metadata):
    if metadata is None:
        return None
    if isinstance(metadata, (str, os.PathLike)):
        return read_metadata(metadata)
    return check_metadata(metadata, "the metadata")


def _digest(text):
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _reporting(progress, total):
    """Gives a function that is told how many more pictures are done."""
    if progress is None:
        from tqdm.auto import tqdm

        with tqdm(total=total, desc="embedding images", unit="image") as bar:
            yield bar.update
        return
    done = 0

    def advance(more):
        nonlocal done
        done += more
        progress(done, total)

    yield advance
