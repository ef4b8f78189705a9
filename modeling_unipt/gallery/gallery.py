"""A searchable gallery: pictures of people, embedded once, ranked by description.

    from modeling_unipt import PersonGallery

    gallery = PersonGallery.from_folder("crops", "unipt/unipt-tiny")
    for result in gallery.search("a woman in a red coat", top_k=5):
        print(result.rank, result.score, result.path)
    gallery.save("my-gallery")

Once saved or loaded, a gallery stays tied to its folder: what `add` and `remove` do is on disk when they return, and
`add` puts what it has on disk as it goes.
"""

import hashlib
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..common.output_folders import finish_output, start_output
from ..common.user_errors import UserError
from ..loading import load_model, model_name, weights_digest
from .files import GalleryFiles, empty_rows
from .images import Picture, pictures_at, pictures_of_dataset
from .query import QueryEncoder
from .rows import GalleryRows
from .staging import Staged, metadata_table, reporting
from .vector_index import KINDS, VectorIndex

SEGMENT_ROWS = 4096  # so many pictures at most are embedded in vain when `add` is killed


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
        self.folder, self.index_kind, self.revision = str(folder), index, revision
        self.rejected = []
        self._rows, self._index, self._files = GalleryRows(empty_rows()), None, None
        self._give_model(model, processor)

    def _give_model(self, model, processor):
        self.model, self.processor = model, processor
        self._encode = QueryEncoder(model, processor)

    def __len__(self):
        return len(self._rows)

    @property
    def file_names(self):
        """Name of each picture, in order of adding."""
        return [self._rows.names[row] for row in self._rows.live.tolist()]

    @property
    def ids(self):
        """SHA-256 of each picture's file, in the order of ``file_names``."""
        return [self._rows.ids[row] for row in self._rows.live.tolist()]

    @property
    def columns(self):
        """Metadata column -> its sorted distinct values, or None where there are more than 200."""
        return self._rows.columns

    @property
    def index(self):
        """The `VectorIndex`, with its kind and its measured recall."""
        if self._index is None:
            self._index = self._load_index() if self._files else VectorIndex.empty(self.model.config.embedding_dim)
        return self._index

    def embedding_of(self, index):
        """The (dim,) float32 embedding of the picture at place ``index`` of ``file_names``, of length 1."""
        return self.index.vector(self._rows.live[index])

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
        pictures, metadata = pictures_at(folder, folder), metadata_table(metadata)
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
        return self._add(pictures, len(pictures), metadata_table(metadata), batch_size, progress)

    def _add(self, pictures, total, metadata, batch_size, progress):
        from ..embedding import embed_in_batches

        index = self.index  # read before anything changes on disk
        staged = Staged(self._rows, self.rejected, metadata)
        with self._writing(), reporting(progress, total) as advance:
            for batch in embed_in_batches(self.model, self.processor, pictures, Picture.read, batch_size):
                for (picture, content_hash, reason), embedding in batch:
                    staged.put(picture.name, content_hash, reason, embedding)
                if len(staged) >= SEGMENT_ROWS:
                    self._commit(staged, index)
                advance(len(batch))
            self._commit(staged, index)
            self._settle_index()
        return staged.report

    def _commit(self, staged, index):
        """Make what is staged part of the gallery, on disk first."""
        table, embeddings, removed = staged.take()
        rows, rejected = self._rows.changed(table, removed), sorted(staged.rejected.items())
        if self._files:
            self._files.commit(len(rows), table, embeddings, removed, rejected=rejected)
        if len(table):
            index.add(embeddings)
        self._rows, self.rejected, staged.rows = rows, rejected, rows

    def _settle_index(self):
        """Give the gallery the index that suits its size, measured anew, and keep it on disk."""
        known = (self._files and self._files.manifest["index"]) or {"rows": 0}
        if not self.index.suits(len(self.index), self.index_kind):
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
        rows = self._rows.numbers(names)
        if None in rows:
            name = names[rows.index(None)]
            raise UserError(
                f"the gallery has no picture with the file name or id {name} ({rows.count(None)} of {len(names)} are "
                "unknown); nothing was removed"
            )
        removed = sorted(set(rows))
        with self._writing():
            left = self._rows.changed(removed=removed)
            if self._files:
                self._files.commit(len(left), removed=removed)
            self._rows = left
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
        known, mask = self._rows, self._rows.selected(where)
        scores, rows = self.index.search(self._encode(query), int(top_k), mask, exact=bool(where))
        places = np.searchsorted(known.live, rows).tolist()
        return [
            SearchResult(
                rank, score, str(Path(self.folder, known.names[row])), place, known.ids[row], known.metadata(row)
            )
            for rank, (score, row, place) in enumerate(zip(scores.tolist(), rows.tolist(), places, strict=True), 1)
        ]

    def check_where(self, where):
        """Raise what `search` would raise about ``where``."""
        self._rows.selected(where)

    def save(self, folder):
        """Write the gallery as the new folder ``folder``, and stay tied to it; see the head of this module.

        A gallery that is tied to ``folder`` already is on disk already; one tied to another folder writes a copy.

        Raises:
            UserError: ``folder`` exists and is not this gallery.
        """
        folder = Path(folder)
        if self._files and folder.exists() and folder.samefile(self._files.folder):
            return
        header, rows = self.header(), self._rows
        listing = "\n".join(f"{rows.ids[row]} {rows.names[row]}" for row in rows.live)
        settings = {key: header[key] for key in ("folder", "model", "revision", "weights", "index_kind")}
        settings |= {
            "command": "gallery",
            "pictures": len(self),
            "listing": hashlib.sha256(listing.encode()).hexdigest(),
        }
        partial = start_output(folder, settings)
        if partial is not None:
            vectors, index = self.index.vectors()[rows.live], self.index
            if rows.removed:
                index = VectorIndex.build(vectors, self.index_kind)
            files = GalleryFiles.create(partial, header)
            with files.writing():
                files.commit(len(self), rows.table.take(rows.live), vectors, index=index, rejected=self.rejected)
            finish_output(partial, folder)
        if self._files is None:
            saved = self.open(folder)
            self._rows, self._files, self._index, self.rejected = saved._rows, saved._files, saved.index, saved.rejected

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
        gallery._rows = GalleryRows(*files.read_rows())
        return gallery

    def use_model(self, model=None, device=None):
        """Give an opened gallery its model; arguments and errors as for `load`."""
        manifest = self._files.manifest
        wanted = manifest["model"] if model is None else model
        loaded, processor = load_model(wanted, self.revision if model is None else None, device)
        name, weights = model_name(loaded), weights_digest(loaded)
        if weights != manifest["weights"]:
            raise UserError(
                f"gallery {self._files.folder} was embedded by {manifest['model']} (weights {manifest['weights'][:8]}) "
                f"and cannot be searched with {name} (weights {weights[:8]}), whose embeddings differ; name the former "
                "or index the images again"
            )
        self._give_model(loaded, processor)

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
            "dim": self.model.config.embedding_dim,
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
            "removed": len(self._rows.removed),
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
            if len(index) < len(self._rows.mask):
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
