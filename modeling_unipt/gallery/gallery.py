"""A searchable gallery: images of people, embedded once, ranked by description.

    from modeling_unipt import PersonGallery

    gallery = PersonGallery.from_folder("crops", "unipt/unipt-tiny")
    for result in gallery.search("a woman in a red coat", top_k=5):
        print(result.rank, result.score, result.path)
    gallery.save("my-gallery")

Once saved or loaded, a gallery stays tied to its folder: what `add` and `remove` do is on disk when they return, and
`add` puts what it has on disk as it goes.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import pyarrow

from ..common.output_folders import finish_output, start_output
from ..common.user_errors import UserError
from ..embedding import embed_in_batches
from ..loading import load_model, model_name, weights_digest
from ..sources.open import absolute_spec, open_source
from .files import GalleryFiles, GalleryHeader
from .images import FoundImages, PathLike, fetched, images_at, images_of_dataset, images_of_source, read
from .metadata import Metadata, Where, metadata_table
from .query import Query, QueryEncoder
from .records import GalleryRecords
from .staging import AddReport, Progress, Staged, reporting
from .vector_index import VectorIndex

if TYPE_CHECKING:
    from datasets import Dataset

    from ..modeling_unipt import UniPTModel
    from ..processing_unipt import UniPTProcessor

logger = logging.getLogger(__name__)

# Images per commit; a killed `add` loses at most this many.
SEGMENT_ROWS = 4096
# Rows without a place in the index file, which are added to the index each time a gallery is loaded, because writing
# the whole file for a few rows would take longer: so many, or a tenth of the rows in the file.
FEW_ROWS = 1000

ModelOrPair = Union[str, os.PathLike[str], "tuple[UniPTModel, UniPTProcessor]"]
"""The folder or Hub name of a UniPT model, or a model and its processor."""


@dataclass(frozen=True)
class SearchResult:
    """One image found.

    Args:
        rank: from 1.
        score: cosine similarity of query and image.
        path: of its file; of an image in a tar file, table or database, the path of that followed by the image's id;
            of an image from a `datasets` dataset, its name there.
        index: its place in ``gallery.file_names``.
        id: SHA-256 of its file.
        metadata: column -> value.
    """

    rank: int
    score: float
    path: str
    index: int
    id: str
    metadata: dict[str, Any] = field(default_factory=dict, hash=False)


class PersonGallery(GalleryRecords):
    """Images and their embeddings, with the model that made them; an empty gallery until something is added.

    Args:
        model: embeds images and queries; None for a gallery that is only looked at.
        processor: the model's.
        folder: where the images lie; their names are relative to it.
        index: kind of index, ``"exact"``, ``"hnsw"`` or ``"ivf"``; by default exact up to 500,000 images, ivf for more.
        revision: the Hub revision that ``model`` was loaded from.
        dtype: number format in which the model computes, ``"float32"``, ``"bfloat16"`` or ``"float16"``; "auto" is
            bfloat16 on a GPU that has it, and float32 elsewhere. Embeddings are float32 in any case, so a query of one
            format finds images that were embedded in another.

    Attributes:
        rejected: (file name, reason) of the images that could not be read.
    """

    def __init__(
        self,
        model: "UniPTModel | None",
        processor: "UniPTProcessor | None",
        folder: PathLike = "",
        index: str | None = None,
        revision: str | None = None,
        dtype: str = "auto",
    ) -> None:
        super().__init__(folder, index, revision)
        self._index: VectorIndex | None = None
        self._give_model(model, processor, dtype)

    def _give_model(self, model: "UniPTModel | None", processor: "UniPTProcessor | None", dtype: str) -> None:
        self.model = model
        self.processor = processor
        self.dtype = dtype
        self._encode = QueryEncoder(model, processor, dtype)

    @property
    def index(self) -> VectorIndex:
        """The index of the embeddings, with its kind and its measured recall."""
        if self._index is None:
            self._index = self._load_index() if self._files else VectorIndex.empty(self.model.config.embedding_dim)
        return self._index

    def embedding_of(self, index: int) -> np.ndarray:
        """The (dim,) float32 embedding of the image at place ``index`` of ``file_names``, of length 1."""
        return self.index.vector(self._rows.live[index])

    @classmethod
    def from_folder(
        cls,
        folder: PathLike,
        model: ModelOrPair,
        *,
        metadata: Metadata | None = None,
        index: str | None = None,
        revision: str | None = None,
        batch_size: int = 64,
        device: str | None = None,
        dtype: str = "auto",
        progress: Progress | None = None,
    ) -> "PersonGallery":
        """Embed every image below ``folder``; unreadable ones are left out and listed in ``gallery.rejected``.

        Args:
            folder: a folder of image files, or a tar file, Parquet file, LMDB or saved dataset, see
                :func:`~modeling_unipt.sources.open.open_source`.
            model: folder or Hub id of a UniPT model, or a (model, processor) pair.
            metadata: as for `add`.
            index: kind of index, see `PersonGallery`.
            revision: the Hub revision of ``model`` to load.
            batch_size: images embedded at once.
            device: where the model runs; a GPU where there is one, by default.
            dtype: number format in which it computes, see `PersonGallery`.
            progress: as for `add`.

        Raises:
            UserError: no such folder, no readable image in it, or ``model`` is not UniPT.
        """
        location = absolute_spec(folder)
        found = images_of_source(open_source(folder), location, location)
        metadata = metadata_table(metadata)
        gallery = cls(*load_model(model, revision, device), location, index, revision, dtype)
        gallery.add_found(found, metadata, batch_size, progress)
        gallery.refuse_empty(f"of {location} ")
        return gallery

    @classmethod
    def from_dataset(
        cls,
        dataset: "Dataset | PathLike",
        model: ModelOrPair,
        *,
        split: str = "train",
        image_column: str | None = None,
        index: str | None = None,
        revision: str | None = None,
        batch_size: int = 64,
        device: str | None = None,
        dtype: str = "auto",
        progress: Progress | None = None,
    ) -> "PersonGallery":
        """Embed the images of a `datasets.Dataset`, or of one given by its name and ``split``.

        An image is named by the column ``file_name`` or ``image_id``, else by its file. Other columns of single
        values, also those within a structure (``attributes.gender``), become metadata; lists are left out. The same
        image twice becomes one, and unreadable ones are left out: look rows up by name, not by number.

        Args:
            image_column: the column that holds the images; by default the one called ``image``, else the only one.
            model: as for `from_folder`.
            split: which split of a dataset given by its name.
            index: as for `from_folder`.
            revision: as for `from_folder`.
            batch_size: as for `from_folder`.
            device: as for `from_folder`.
            dtype: as for `from_folder`.
            progress: as for `add`.

        Raises:
            UserError: the dataset cannot be loaded or has no such column, no image of it can be read, or ``model`` is
                not UniPT.
        """
        found = images_of_dataset(dataset, split, image_column)
        gallery = cls(*load_model(model, revision, device), "", index, revision, dtype)
        gallery.add_found(found, None, batch_size, progress)
        gallery.refuse_empty("of the dataset ")
        return gallery

    def refuse_empty(self, where: str = "") -> None:
        """Raise a `UserError` with the first reason if there is no image. ``where`` names the source: "of crops "."""
        if len(self):
            return
        name, reason = self.rejected[0] if self.rejected else ("", "there is none")
        raise UserError(f"none of the {len(self.rejected)} images {where}can be read; {name}, for example: {reason}")

    def add(
        self,
        images: PathLike | Sequence[PathLike],
        metadata: Metadata | None = None,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> AddReport:
        """Embed more images. Those whose very bytes are there already are not added again, whatever their name.

        Args:
            images: a folder, searched with its sub-folders, an image file, a tar file, Parquet file, LMDB or dataset
                (see :func:`~modeling_unipt.sources.open.open_source`), or a list of such.
            metadata: a .csv, .parquet or .jsonl file or a `pyarrow.Table`: a row for each image, the column
                ``file_name`` as in ``gallery.file_names``; searches can select by the other columns. By default the
                columns of a dataset, if the images come from one.
            batch_size: images embedded at once.
            progress: called with (images done, images in all); by default a bar is shown.

        Raises:
            UserError: no image is found, or the metadata cannot be read or have other types than the gallery's, or
                another process writes to the saved gallery.
        """
        return self.add_found(images_at(images, self.folder), metadata_table(metadata), batch_size, progress)

    def add_found(
        self,
        found: FoundImages,
        metadata: pyarrow.Table | None = None,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> AddReport:
        """Embed images that were found already; for ``metadata``, a checked table, and the rest see `add`."""
        # Read before anything changes on disk.
        index = self.index
        staged = Staged(self._rows, self.rejected, found.metadata if metadata is None else metadata)
        with self._writing(), reporting(progress, len(found)) as advance:
            images = fetched(found.images)
            for batch in embed_in_batches(self.model, self.processor, images, read, batch_size, self.dtype):
                for image, embedding in batch:
                    staged.put(image, embedding)
                if len(staged) >= SEGMENT_ROWS:
                    self._commit(staged, index)
                advance(len(batch))
            self._commit(staged, index)
            self._settle_index()
        if metadata is None:
            # A source tells something of every image, also of those that are there already or cannot be read.
            staged.report.unused_metadata = 0
        return staged.report

    def _commit(self, staged: Staged, index: VectorIndex) -> None:
        """Make what is staged part of the gallery, on disk first."""
        new = staged.take()
        rows = self._rows.changed(new.table, new.removed)
        rejected = sorted(staged.rejected.items())
        if self._files:
            self._files.commit(len(rows), new.table, new.embeddings, new.removed, rejected=rejected)
        if len(new.table):
            index.add(new.embeddings)
        self._rows = rows
        self.rejected = rejected
        staged.rows = rows

    def _settle_index(self) -> None:
        """Give the gallery the index that suits its size, measured anew, and keep it on disk."""
        entry = self._files.manifest.index if self._files else None
        on_disk = entry.rows if entry else 0
        if not self.index.suits(len(self.index), self.index_kind):
            self._index = VectorIndex.build(self.index.vectors(), self.index_kind)
            on_disk = 0
        behind = len(self.index) - on_disk
        if on_disk == 0 or behind > max(FEW_ROWS, on_disk // 10):
            if on_disk:
                self.index.measure()
            if self._files:
                self._files.commit(len(self), index=self.index)

    def search(self, query: Query, top_k: int = 10, where: Where | None = None) -> list[SearchResult]:
        """The images that fit best, best first; equal scores keep gallery order.

        Args:
            query: a description (`str`); an image (``PIL.Image``, or a `pathlib.Path` of one) that results should
                resemble; a (description, image) pair, whose score is the mean of both cosine similarities; or an
                embedding, an array of shape (dim,), as `embedding_of` gives.
            top_k: number of results, fewer where fewer match.
            where: which images may be found, ``{"camera": 3, "day": ["Monday", "Tuesday"]}`` or
                ``[("camera", "!=", 3)]``, see `metadata.matching`. Such a search is always exact.

        Raises:
            UserError: empty text, unreadable image, ``top_k`` below 1, unknown column in ``where``.
        """
        if top_k < 1:
            raise UserError(f"top-k is {top_k}; ask for at least 1 result")
        # The rows as they are now: another thread may add some meanwhile.
        known = self._rows
        mask = known.selected(where)
        scores, rows = self.index.search(self._encode(query), int(top_k), mask, exact=bool(where))
        places = np.searchsorted(known.live, rows).tolist()
        results = []
        for score, row, place in zip(scores.tolist(), rows.tolist(), places, strict=True):
            path = str(Path(self.folder, known.names[row]))
            results.append(SearchResult(len(results) + 1, score, path, place, known.ids[row], known.metadata(row)))
        return results

    def save(self, folder: PathLike) -> None:
        """Write the gallery as the new folder ``folder``, and stay tied to it; see the head of this module.

        A gallery that is tied to ``folder`` already is on disk already; one tied to another folder writes a copy.

        Raises:
            UserError: ``folder`` exists and is not this gallery.
        """
        folder = Path(folder)
        if self._files and folder.exists() and folder.samefile(self._files.folder):
            return
        header = self.header()
        rows = self._rows
        listing = "\n".join(f"{rows.ids[row]} {rows.names[row]}" for row in rows.live)
        settings = {
            **header.settings(),
            "command": "gallery",
            # The word of version 0.1, whose galleries are recognised by their settings.
            "pictures": len(self),
            "listing": hashlib.sha256(listing.encode()).hexdigest(),
        }
        partial = start_output(folder, settings)
        if partial is not None:
            vectors = self.index.vectors()[rows.live]
            # Without removed rows the index is as it would be made now, and building it may take long.
            index = VectorIndex.build(vectors, self.index_kind) if rows.removed else self.index
            files = GalleryFiles.create(partial, header)
            with files.writing():
                files.commit(len(self), rows.table.take(rows.live), vectors, index=index, rejected=self.rejected)
            finish_output(partial, folder)
        if self._files is None:
            saved = self.open(folder)
            self._rows = saved._rows
            self._files = saved._files
            self._index = saved.index
            self.rejected = saved.rejected

    @classmethod
    def load(
        cls, folder: PathLike, model: ModelOrPair | None = None, device: str | None = None, dtype: str = "auto"
    ) -> "PersonGallery":
        """Open a saved gallery with the model that embedded it.

        Args:
            model: where that model is now, if it is no longer where it was; or a (model, processor) pair.
            device: where the model runs; a GPU where there is one, by default.
            dtype: number format in which it computes, see `PersonGallery`.

        Raises:
            UserError: ``folder`` is missing, not a gallery or damaged, or the model is missing or another one.
        """
        gallery = cls.open(folder)
        gallery.use_model(model, device, dtype)
        # Now, not at the first search.
        gallery._index = gallery._load_index()
        return gallery

    @classmethod
    def open(cls, folder: PathLike) -> "PersonGallery":
        """A saved gallery without its model: enough to look at it and to `remove`, not to `add` or `search`."""
        files = GalleryFiles.open(folder)
        header = files.manifest.header
        gallery = cls(None, None, header.folder, header.index_kind, header.revision)
        gallery._read(files)
        return gallery

    def use_model(self, model: ModelOrPair | None = None, device: str | None = None, dtype: str = "auto") -> None:
        """Give an opened gallery its model; arguments and errors as for `load`."""
        header = self._files.manifest.header
        wanted = header.model if model is None else model
        loaded, processor = load_model(wanted, self.revision if model is None else None, device)
        weights = weights_digest(loaded)
        if weights != header.weights:
            raise UserError(
                f"gallery {self._files.folder} was embedded by {header.model} (weights {header.weights[:8]}) "
                f"and cannot be searched with {model_name(loaded)} (weights {weights[:8]}), whose embeddings differ; "
                "name the former or index the images again"
            )
        self._give_model(loaded, processor, dtype)

    def header(self) -> GalleryHeader:
        """What the manifest says of the model and the images' folder."""
        if self._files:
            return self._files.manifest.header
        return GalleryHeader(
            self.folder,
            model_name(self.model),
            self.revision,
            weights_digest(self.model),
            self.model.config.embedding_dim,
            self.index_kind,
        )

    def create_files(self, folder: PathLike) -> None:
        """Tie a gallery that is still empty to the existing, empty ``folder``."""
        self._index = self.index
        self._files = GalleryFiles.create(folder, self.header())

    def _load_index(self) -> VectorIndex:
        index = self._files.read_index()
        if isinstance(index, VectorIndex):
            if len(index) < len(self._rows.mask):
                index.add(self._files.read_embeddings(len(index)))
            return index
        if self._files.manifest.index is not None:
            logger.warning("gallery %s: %s; made again from the Parquet rows", self._files.folder, index)
        index = VectorIndex.build(self._files.read_embeddings(), self.index_kind)
        try:
            with self._files.writing():
                self._files.commit(len(self), index=index)
        except (OSError, UserError) as error:
            # The folder cannot be written to, or somebody else writes to it: the gallery is served from memory.
            logger.warning("gallery %s: the index was made but cannot be saved (%s)", self._files.folder, error)
        return index
