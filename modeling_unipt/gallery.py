"""A searchable gallery: pictures of people, embedded once, ranked by description.

On disk a gallery is a folder of `rows-*.parquet` (file name and embedding of each picture), `gallery.json` (the model
that embedded them, and where the pictures lie) and `rejected.jsonl` (files that could not be read).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .image_files import UnreadableImage, find_images, read_image, write_rejected
from .output_folders import finish_output, start_output
from .user_errors import UserError

MANIFEST_FILE, REJECTED_FILE = "gallery.json", "rejected.jsonl"
FORMAT = 1


@dataclass(frozen=True)
class SearchResult:
    """``rank`` counts from 1; ``score`` is the cosine similarity; ``index`` is the picture's row in the gallery."""

    rank: int
    score: float
    path: str
    index: int


class PersonGallery:
    """Pictures and their embeddings, with the model that made them.

    Args:
        file_names (list of str): one a picture, relative to ``folder``.
        embeddings (array of shape (pictures, dim)): of length 1, in the order of ``file_names``.
        model, processor: a `UniPTModel` and its `UniPTProcessor`.
        folder (`str`, *optional*): where the pictures lie; search results are paths below it.
        revision (`str`, *optional*): the Hub revision that ``model`` was loaded from.
    """

    def __init__(self, file_names, embeddings, model, processor, folder="", revision=None):
        self.file_names = list(file_names)
        self.embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
        self.model, self.processor = model, processor
        self.folder, self.revision = str(folder), revision
        self.rejected = []

    def __len__(self):
        return len(self.file_names)

    @classmethod
    def from_folder(cls, folder, model, revision=None, batch_size=64, device=None):
        """Embed every picture below ``folder``; unreadable ones are left out and listed in ``gallery.rejected``.

        Args:
            model: folder or Hub id of a UniPT model, or a (model, processor) pair.
            device (`str`, *optional*): a GPU where there is one, by default.

        Raises:
            UserError: no such folder, no readable picture in it, or ``model`` is not UniPT.
        """
        folder = Path(folder).resolve()
        names = find_images(folder)
        model, processor = model if isinstance(model, tuple) else load_model(model, revision, device)
        gallery = cls([], np.empty((0, model.config.projection_dim)), model, processor, folder, revision)
        gallery._embed(names, batch_size)
        return gallery

    def _embed(self, names, batch_size):
        from .embedding import embed_images

        def readable():
            for name in names:
                try:
                    image = read_image(Path(self.folder, name))
                except UnreadableImage as reason:
                    self.rejected.append((name.as_posix(), str(reason)))
                else:
                    self.file_names.append(name.as_posix())
                    yield image

        self.embeddings = embed_images(self.model, self.processor, readable(), batch_size, total=len(names))
        if not self.file_names:
            name, reason = self.rejected[0]
            raise UserError(
                f"none of the {len(names)} images of {self.folder} can be read; {name}, for example: {reason}"
            )

    def search(self, text, top_k=10):
        """The pictures that fit the description ``text`` best, as `SearchResult`s; equal scores keep gallery order.

        Raises:
            UserError: empty ``text``, or ``top_k`` below 1.
        """
        from .embedding import embed_texts

        if not text.strip():
            raise UserError('the query is empty; describe a person, as in "a woman in a red coat with a black bag"')
        if top_k < 1:
            raise UserError(f"top-k is {top_k}; ask for at least 1 result")
        scores = self.embeddings @ embed_texts(self.model, self.processor, [text])[0]
        return [
            SearchResult(rank, float(scores[index]), str(Path(self.folder, self.file_names[index])), int(index))
            for rank, index in enumerate(_best(scores, top_k), start=1)
        ]

    def save(self, output):
        """Write the gallery as the new folder ``output``.

        Raises:
            UserError: ``output`` exists and is not this gallery.
        """
        names = sorted([*self.file_names, *(name for name, _ in self.rejected)])
        partial = start_output(output, gallery_settings(self.folder, names, self.model, self.revision))
        if partial is not None:
            self.write(partial)
            finish_output(partial, output)

    def write(self, folder):
        """Write the gallery's files into the existing ``folder``."""
        import pyarrow
        import pyarrow.parquet

        embeddings = pyarrow.FixedSizeListArray.from_arrays(self.embeddings.ravel(), self.embeddings.shape[1])
        table = pyarrow.table({"file_name": pyarrow.array(self.file_names, pyarrow.string()), "embedding": embeddings})
        pyarrow.parquet.write_table(table, Path(folder, "rows-00000.parquet"), compression="zstd")
        write_rejected(Path(folder, REJECTED_FILE), self.rejected)
        manifest = {
            "format": FORMAT,
            "folder": self.folder,
            "model": model_name(self.model),
            "revision": self.revision,
            "weights": weights_digest(self.model),
            "pictures": len(self),
            "dim": self.embeddings.shape[1],
        }
        Path(folder, MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder, model=None, device=None):
        """Open a saved gallery with the model that embedded it.

        Args:
            model (*optional*): where that model is now, if it is no longer where it was.

        Raises:
            UserError: ``folder`` is missing, not a gallery or damaged, or the model is missing or another one.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        file_names, embeddings = _read_rows(folder, manifest)
        name = manifest["model"] if model is None else model
        loaded, processor = load_model(name, manifest["revision"] if model is None else None, device)
        if weights_digest(loaded) != manifest["weights"]:
            raise UserError(
                f"gallery {folder} was embedded by {manifest['model']} with other weights than {name} has now; index "
                "its images again"
            )
        gallery = cls(file_names, embeddings, loaded, processor, manifest["folder"], manifest["revision"])
        gallery.rejected = _read_rejected(folder)
        return gallery


def gallery_settings(folder, names, model, revision):
    """The JSON-able description of a gallery to be: the same one means the same result."""
    listing = hashlib.sha256()
    for name in names:
        path = Path(folder, name)
        status = path.stat() if path.exists() else None
        listing.update(repr((Path(name).as_posix(), status and (status.st_size, status.st_mtime_ns))).encode())
    return {
        "command": "index",
        "folder": str(folder),
        "images": len(names),
        "listing": listing.hexdigest(),
        "model": model_name(model),
        "revision": revision,
        "weights": weights_digest(model),
    }


def model_name(model):
    """Where ``model`` was loaded from: a Hub id, or the absolute path of a folder, good in any working directory."""
    name = model.name_or_path
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def weights_digest(model):
    """A short digest that any training changes: of the two projections."""
    digest = hashlib.sha256()
    for projection in (model.visual_projection, model.text_projection):
        digest.update(projection.weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_model(name_or_path, revision=None, device=None):
    """(model on ``device`` or, by default, a GPU where there is one, processor)."""
    import torch

    from .loading import load_unipt

    model, processor = load_unipt(name_or_path, revision)
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")), processor


def read_manifest(folder):
    """The content of ``gallery.json``.

    Raises:
        UserError: ``folder`` is missing, not a gallery, or of a newer format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"gallery {folder} does not exist; make one with: unipt index IMAGES --model M --output {folder}"
        )
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        wanted = {"format", "folder", "model", "revision", "weights", "pictures", "dim"} - manifest.keys()
    except FileNotFoundError:
        raise UserError(f"{folder} is not a gallery: it holds no {MANIFEST_FILE}; make one with unipt index") from None
    except (OSError, ValueError, AttributeError):
        raise UserError(f"{folder / MANIFEST_FILE} is damaged; index the images again") from None
    if wanted or manifest["format"] != FORMAT:
        raise UserError(f"{folder / MANIFEST_FILE} is not of a format this version reads; index the images again")
    return manifest


def _read_rows(folder, manifest):
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.concat_tables(map(pyarrow.parquet.read_table, sorted(folder.glob("rows-*.parquet"))))
        file_names = table["file_name"].to_pylist()
        embeddings = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, manifest["dim"])
        if not len(file_names) == len(embeddings) == manifest["pictures"]:
            raise ValueError
    except (OSError, KeyError, ValueError, pyarrow.ArrowException):
        raise UserError(f"the rows of gallery {folder} are damaged or incomplete; index the images again") from None
    return file_names, embeddings


def _read_rejected(folder):
    try:
        lines = map(json.loads, (folder / REJECTED_FILE).read_text(encoding="utf-8").splitlines())
        return [(line["file_name"], line["reason"]) for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder / REJECTED_FILE} is missing or damaged; index the images again") from None


def _best(scores, top_k):
    """Indices of the ``top_k`` highest scores, best first, lower index first among equals."""
    top_k = min(top_k, len(scores))
    least = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
    candidates = np.flatnonzero(scores >= least)
    return candidates[np.argsort(-scores[candidates], kind="stable")][:top_k]
