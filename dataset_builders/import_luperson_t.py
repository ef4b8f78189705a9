"""Read the LUPerson-T that the authors of UniPT released into the columns that dataset_builders.luperson_t writes.

    python -m dataset_builders.import_luperson_t --source luperson-t.json --images LUPerson --output luperson-t
    python -m dataset_builders.import_luperson_t --source LUPerson_clip_128w_phrase_arrow --output luperson-t

The release is either a JSON list of {file_path, captions, id} beside an image folder, or Arrow files with the columns
image (JPEG bytes), caption, image_id and split. It holds captions alone, so the attributes, their probabilities and the
scores of the captions are null.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.image_files import UnreadableImage, write_rejected
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError, first_line, run_command
from modeling_unipt.sources.base import FolderSource, Source
from modeling_unipt.sources.reading import SourceImage, fingerprint, image_ids

from .benchmarks.annotation import entry_name, is_path_below, read_json_list
from .divide.reading import load_vocabulary
from .luperson_t.columns import columns_of
from .output.parquet_dataset import Row, SplitSize
from .output.splits import write_splits
from .report.card import write_import_card

CAPTION_BACKEND = "luperson-t"
ARROW_COLUMNS = ("image", "caption", "image_id", "split")
DEFAULT_LICENSE = "other"


class JsonRelease(FolderSource):
    """The JSON list with its image folder. All images are of the split ``train``.

    Args:
        annotation: the JSON file.
        images: the folder that the paths in it are relative to, or None if the user named none.

    Raises:
        UserError: a file is missing, or an entry is not what it should be.
    """

    def __init__(self, annotation: Path, images: Path | str | None) -> None:
        if images is None:
            raise UserError(f"{annotation} names image files; give their folder with --images")
        if not Path(images).is_dir():
            raise UserError(f"folder {images} does not exist; give the folder that the file_path of {annotation} is in")
        content = read_json_list(annotation, "{file_path, captions}")
        paths = []
        self._captions = []
        for number, entry in enumerate(content.entries):
            path, captions = _entry(entry_name(annotation, number), entry)
            paths.append(Path(path))
            self._captions.append(captions)
        super().__init__(images, paths)
        self.fingerprint += f", annotation {content.sha256[:12]}"
        self.splits: dict[str, Sequence[int]] = {"train": range(len(paths))}

    def captions(self, position: int) -> list[str]:
        """The captions of an image."""
        return self._captions[position]


def _entry(where: str, entry: Any) -> tuple[str, list[str]]:
    """The path and the captions of an entry; ``where`` names it in messages."""
    if not isinstance(entry, dict) or not {"file_path", "captions"} <= set(entry):
        raise UserError(
            f"{where} must be a mapping with file_path and captions, as in the LUPerson-T that was released"
        )
    captions = _clean_captions(entry["captions"])
    if captions is None:
        raise UserError(f"{where}: 'captions' must be a list of texts that is not empty")
    path = entry["file_path"]
    if not is_path_below(path):
        raise UserError(f"{where}: 'file_path' must be a path below the image folder, not {path!r}")
    return _encodable(path), captions


def _encodable(text: str) -> str:
    """``text`` without halves of surrogate pairs: JSON can hold them, and no file can."""
    return text.encode("utf-8", "replace").decode()


def _clean_captions(value: Any) -> list[str] | None:
    """Stripped texts that are not empty, or None if ``value`` is no list of texts or holds none."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        return None
    return [_encodable(text.strip()) for text in value if text.strip()] or None


class ArrowRelease(Source):
    """Arrow IPC files. They are mapped into memory and not loaded. The column ``split`` says the split of a row.

    Args:
        path: what the user named, for messages.
        files: the files, in order.

    Raises:
        UserError: a file cannot be read or lacks a column, or there is no row.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self._files = [str(file) for file in files]
        self._rows = _read_tables(self._files)
        if not len(self._rows):
            raise UserError(f"{path} holds Arrow files without a row")
        names = [PurePosixPath(str(name)) for name in self._rows["image_id"].to_pylist()]
        self.ids = image_ids(names)
        self.splits: dict[str, list[int]] = {}
        for position, split in enumerate(self._rows["split"].to_pylist()):
            # The split becomes a part of file names.
            if not isinstance(split, str) or not split.isidentifier():
                raise UserError(f"{path}: row {position} (counted from 0) has the split {split!r}, which is no name")
            self.splits.setdefault(split, []).append(position)
        self.fingerprint = fingerprint(files[0].parent, [Path(file.name) for file in files])

    def content(self, position: int) -> tuple[bytes, str]:
        """The bytes of an image and its name."""
        data = self._rows["image"][position].as_py()
        if not data:
            raise UnreadableImage("zero bytes")
        return data, Path(str(self._rows["image_id"][position])).name

    def captions(self, position: int) -> list[str] | None:
        """The captions of an image, or None if the row holds none."""
        return _clean_captions(self._rows["caption"][position].as_py())

    # Pickling a mapped table would write all images; another process maps the files again.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_rows"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._rows = _read_tables(self._files)


def _read_tables(files: Sequence[str]) -> pyarrow.Table:
    """The rows of all files, with the columns :data:`ARROW_COLUMNS`."""
    tables = []
    for file in files:
        table = _read_table(file)
        missing = [name for name in ARROW_COLUMNS if name not in table.column_names]
        if missing:
            raise UserError(
                f"{file} lacks the columns {', '.join(missing)}; the LUPerson-T that was released has "
                f"{', '.join(ARROW_COLUMNS)}"
            )
        tables.append(table.select(ARROW_COLUMNS))
    try:
        return pyarrow.concat_tables(tables)
    except pyarrow.ArrowException as error:
        raise UserError(f"the Arrow files do not fit together ({first_line(error)})") from None


def _read_table(file: str) -> pyarrow.Table:
    """A file in either of Arrow's two layouts, file or stream."""
    mapped = pyarrow.memory_map(file)
    try:
        try:
            return pyarrow.ipc.open_file(mapped).read_all()
        except pyarrow.ArrowInvalid:
            mapped.seek(0)
            return pyarrow.ipc.open_stream(mapped).read_all()
    except pyarrow.ArrowException as error:
        raise UserError(f"{file} cannot be read as an Arrow file ({first_line(error)})") from None


def open_release(source: Path | str, images: Path | str | None = None) -> JsonRelease | ArrowRelease:
    """The release that ``--source`` names.

    Args:
        images: the image folder of a JSON list.

    Raises:
        UserError: it is neither of the two layouts, or it cannot be read.
    """
    path = Path(source)
    files = []
    if path.is_dir():
        files = sorted(path.glob("*.arrow"))
    elif path.suffix == ".arrow" and path.exists():
        files = [path]
    if files:
        if images is not None:
            raise UserError(f"{path} holds the images itself; leave --images out")
        return ArrowRelease(path, files)
    if path.is_file() and path.suffix == ".json":
        return JsonRelease(path, images)
    known = "give the JSON list of {file_path, captions}, or the folder of LUPerson_*.arrow files"
    if not path.exists():
        raise UserError(f"{path} does not exist; {known}")
    raise UserError(f"{path} is not the LUPerson-T that was released; {known}")


@dataclass(frozen=True)
class Imported:
    """What was written: the size of each split, the number of captions, and (image, reason) of those left out."""

    sizes: dict[str, SplitSize]
    captions: int
    rejected: list[tuple[str, str]]


def import_release(
    release: JsonRelease | ArrowRelease, output: Path | str, license_name: str, workers: int
) -> Imported | None:
    """Write the dataset.

    Args:
        license_name: the licence that the dataset card names.
        workers: threads that read and decode images.

    Returns:
        What was written, or None if the output is complete already.

    Raises:
        UserError: the output is something else, or no image of a split can be used.
    """
    vocabulary = load_vocabulary()
    columns = columns_of(vocabulary)
    settings = {"release": release.fingerprint, "license": license_name}
    folder = start_output(output, settings, defaults={"license": DEFAULT_LICENSE})
    if folder is None:
        return None
    captions = 0

    def row_of(position: int, image: SourceImage) -> Row | str:
        nonlocal captions
        texts = release.captions(position)
        if not texts:
            return "has no caption"
        captions += len(texts)
        return {
            "image": {"bytes": image.data, "path": image.file_name},
            "image_id": release.ids[position],
            "captions": texts,
            "caption_scores": None,
            "caption_backends": [CAPTION_BACKEND] * len(texts),
            "attributes": None,
            "attribute_probabilities": None,
            "duplicate_of": None,
        }

    try:
        written = write_splits(folder, columns, release, release.splits, row_of, workers, "LUPerson-T")
    except UserError:
        shutil.rmtree(folder)
        raise
    write_rejected(folder / "rejected.jsonl", written.rejected)
    write_import_card(folder, columns, vocabulary, written.sizes, captions, len(written.rejected), license_name)
    finish_output(folder, output)
    return Imported(written.sizes, captions, written.rejected)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; None stands for this process's own command line.

    Raises:
        UserError: see :func:`open_release` and :func:`import_release`.
    """
    parser = CommandParser(
        prog="python -m dataset_builders.import_luperson_t",
        description="Read the LUPerson-T that was released with the paper into a folder of Parquet shards, for "
        "load_dataset and train/pretrain.py. The file rejected.jsonl lists the images that cannot be used.",
        epilog="example: python -m dataset_builders.import_luperson_t --source LUPerson_clip_128w_phrase_arrow "
        "--output luperson-t",
    )
    parser.add_argument(
        "--source",
        required=True,
        help="a JSON list of {file_path, captions}, an Arrow file, or a folder of Arrow files",
    )
    parser.add_argument(
        "--images", help="for a JSON list: the folder that its file_path is relative to. Arrow files hold the images"
    )
    parser.add_argument("--output", required=True, help="folder for the dataset; must be new")
    parser.add_argument(
        "--workers", type=int, default=1, help="threads that read and decode images (default: %(default)s)"
    )
    parser.add_argument(
        "--license",
        default=DEFAULT_LICENSE,
        help="licence named in the dataset card, by its name on the Hub (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        raise UserError(f"--workers {arguments.workers} must be at least 1")
    release = open_release(arguments.source, arguments.images)
    imported = import_release(release, arguments.output, arguments.license, arguments.workers)
    if imported is None:
        return
    parts = [f"{split} {size['num_examples']} images" for split, size in imported.sizes.items()]
    refused = f"; {len(imported.rejected)} images were refused, see rejected.jsonl in it" if imported.rejected else ""
    print(f"wrote {arguments.output}: {', '.join(parts)}, {imported.captions} captions{refused}")


if __name__ == "__main__":
    run_command(main)
