"""Find out what ``--source`` names, and open it as the set that ``--layout`` describes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling_unipt.common.delimited_files import SUFFIXES
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest
from modeling_unipt.sources.open import COMPRESSED_TAR, HUB_NAME
from modeling_unipt.sources.saved import hub_splits, is_saved_dataset, saved_splits

from ..records.json_files import LINES_SUFFIXES
from ..records.layout import find_annotation
from ..records.values import split_of
from .annotated import AnnotatedSet
from .base import ImportedSet, split_name
from .columns import Columns, find_columns
from .layouts import LAYOUTS, ImportLayout
from .listed import ListedSet
from .table_files import TableFile
from .tables import TableSet
from .tars import TarSet

LUPERSON_T_COLUMNS = ("image", "caption", "image_id", "split")
# Files of another form -> the layout that reads them.
OTHER_FORMS = {".csv": "table", ".tsv": "table", ".parquet": "dataset", ".arrow": "dataset", ".tar": "webdataset"}
COMPRESSED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar")
TABLE_SUFFIXES = (*SUFFIXES, *LINES_SUFFIXES, ".json")
SHARD_NAME = re.compile(r"(\w+)-\d+-of-\d+(-\w+)?")


@dataclass(frozen=True)
class ImportOptions:
    """What the user says of a set.

    Attributes:
        layout: key of :data:`~.layouts.LAYOUTS`.
        source: files or folders, or the name of a dataset on the Hub.
        images: the folder that paths are relative to, or None if it is not named.
        fix_paths: take the spelling of a path that exists on disk.
        caption_backend: who wrote the captions, or None where the layout says it.
        image_column: name of the column of images, or None to find it.
        caption_columns: names of the columns of captions; none to find them.
    """

    layout: str
    source: Sequence[str]
    images: str | None = None
    fix_paths: bool = False
    caption_backend: str | None = None
    image_column: str | None = None
    caption_columns: Sequence[str] = ()


def open_set(options: ImportOptions) -> ImportedSet:
    """The set that the options name.

    Raises:
        UserError: it is not there, or is something else than the layout says.
    """
    described = LAYOUTS[options.layout]
    if options.image_column and described.form not in ("table", "dataset"):
        raise UserError(f"--image-column has no meaning for --layout {options.layout}; leave it out")
    if options.caption_columns and described.form == "files":
        raise UserError(f"--caption-columns has no meaning for --layout {options.layout}; leave it out")
    if described.form == "dataset":
        return _open_dataset(described, options)
    paths = [Path(source) for source in options.source]
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist; {known_sources(options.layout)}")
    if described.form == "tar":
        return _open_tars(described, options, paths)
    if options.layout == "luperson-t":
        arrow_files = _files(paths, "*.arrow")
        if arrow_files:
            return _open_luperson_t(described, options, paths[0], arrow_files)
    return _open_annotation(described, options, paths)


def known_sources(layout: str) -> str:
    """The end of a sentence: what a layout takes."""
    if layout == "luperson-t":
        return "give the JSON list of {file_path, captions}, or the folder of LUPerson_*.arrow files"
    described = LAYOUTS[layout]
    if described.form == "table":
        return "give a CSV, TSV, JSON or JSON Lines file that names images and captions"
    if described.form == "tar":
        return "give tar files, or their folder"
    names = " or ".join(described.layout.annotations)
    return f"give the annotation of {described.layout.title} or its folder ({names})"


def _files(paths: Sequence[Path], pattern: str) -> list[Path]:
    """The files among ``paths`` and in the folders among them that fit a pattern."""
    found = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.glob(pattern) if file.is_file())
        elif path.match(pattern):
            found.append(path)
    return found


def _open_annotation(described: ImportLayout, options: ImportOptions, paths: Sequence[Path]) -> AnnotatedSet:
    layout = described.layout
    files = []
    for path in paths:
        found = [path]
        if path.is_dir():
            patterns = [f"*{suffix}" for suffix in TABLE_SUFFIXES] if described.form == "table" else []
            tables = [file for pattern in patterns for file in _files([path], pattern)]
            found = tables or find_annotation(layout, path)
        elif path.suffix.lower() in COMPRESSED:
            raise UserError(f"{path} is compressed; unpack it, and give what is in it")
        elif described.form == "table" and path.suffix.lower() not in TABLE_SUFFIXES:
            raise UserError(f"{path} must end in one of {', '.join(TABLE_SUFFIXES)}; save a workbook as CSV")
        elif described.form == "files" and path.suffix.lower() in OTHER_FORMS:
            raise UserError(
                f"{path} is not the annotation of {layout.title}; {known_sources(options.layout)}, or read it with "
                f"--layout {OTHER_FORMS[path.suffix.lower()]}"
            )
        files += found
        if not found:
            released = f"the {layout.title} that was released" if options.layout == "luperson-t" else layout.title
            raise UserError(f"{path} is not {released}; {known_sources(options.layout)}")
    images = _images_of(described, options, paths[0], files[0])
    if described.form == "table":
        return ListedSet(
            described,
            files,
            images,
            options.fix_paths,
            options.caption_backend,
            options.image_column,
            options.caption_columns,
        )
    return AnnotatedSet(described, files, images, options.fix_paths, options.caption_backend)


def _images_of(described: ImportLayout, options: ImportOptions, source: Path, annotation: Path) -> Path:
    """The folder that the paths of an annotation are relative to."""
    if options.images is not None:
        images = Path(options.images)
        if images.exists() and not images.is_dir():
            raise UserError(f"{images} is a file; give the folder that {annotation} names images in")
        if not images.is_dir():
            key = described.layout.image[0] if described.form == "files" else "paths"
            raise UserError(f"folder {images} does not exist; give the folder that the {key} of {annotation} is in")
        return images
    if source.is_dir():
        for name in described.layout.images:
            if (source / name).is_dir():
                return source / name
    raise UserError(f"{annotation} names image files; give their folder with --images")


def _open_luperson_t(
    described: ImportLayout, options: ImportOptions, source: Path, arrow_files: Sequence[Path]
) -> TableSet:
    if options.images is not None:
        raise UserError(f"{source} holds the images itself; leave --images out")
    files = [TableFile(file) for file in arrow_files]
    for file in files:
        names = file.schema().names
        missing = [name for name in LUPERSON_T_COLUMNS if name not in names]
        if missing:
            raise UserError(
                f"{file.path} lacks the columns {', '.join(missing)}; the LUPerson-T that was released has "
                f"{', '.join(LUPERSON_T_COLUMNS)}"
            )
    image, caption, image_id, split = LUPERSON_T_COLUMNS
    columns = Columns(image, (caption,), image_id, split, {})
    return TableSet(files, columns, options.caption_backend or described.backend, ids_are_files=True)


def _open_tars(described: ImportLayout, options: ImportOptions, paths: Sequence[Path]) -> TarSet:
    if options.images is not None:
        raise UserError(f"{paths[0]} holds the images itself; leave --images out")
    for path in paths:
        if path.name.lower().endswith(COMPRESSED_TAR):
            raise UserError(
                f"{path} is a compressed tar file, whose images cannot be found singly; decompress it first"
            )
    archives = _files(paths, "*.tar")
    if not archives:
        raise UserError(f"{paths[0]} holds no tar file; {known_sources(options.layout)}")
    backend = options.caption_backend or described.backend
    return TarSet(archives, backend, *([options.caption_columns] if options.caption_columns else []))


def _open_dataset(described: ImportLayout, options: ImportOptions) -> TableSet:
    files = [file for source in options.source for file in _table_files(source)]
    where = options.source[0]
    columns = find_columns(files, where, options.image_column, options.caption_columns, options.images is not None)
    images = None if options.images is None else Path(options.images)
    if images is not None and not images.is_dir():
        raise UserError(f"folder {images} does not exist; give the folder that the paths of {where} are relative to")
    backend = options.caption_backend or described.backend
    return TableSet(files, columns, backend, images=images, fix_paths=options.fix_paths)


def _table_files(source: str) -> list[TableFile]:
    """The files of a dataset: Parquet or Arrow files, what ``save_to_disk`` wrote, or a dataset on the Hub.

    Args:
        source: a path or a name; ``source:split`` takes one split.
    """
    path = Path(source)
    wanted = None
    if not path.exists():
        name, _, split = source.rpartition(":")
        if name:
            path = Path(name)
            wanted = split
    if not path.exists():
        if not HUB_NAME.fullmatch(source):
            raise UserError(f"{source} does not exist; give Parquet or Arrow files, their folder, or a dataset's name")
        files = _cached_files(hub_splits(str(path), str(path)))
    elif is_saved_dataset(path):
        files = _cached_files(saved_splits(path))
    else:
        found = _files([path], "*.parquet") or _files([path], "data/*.parquet") or _files([path], "*/*.parquet")
        found = found or _files([path], "*.arrow")
        files = [TableFile(file, _split_of_shard(file)) for file in found]
        if not files:
            raise UserError(f"{path} holds neither Parquet nor Arrow files; give a dataset, its folder or its files")
    if wanted is None:
        return files
    kept = [file for file in files if file.split == wanted]
    if not kept:
        known = list(dict.fromkeys(file.split for file in files))
        raise UserError(f"{path} has no split '{wanted}'{nearest(wanted, known)}; it has {', '.join(known)}")
    return kept


def _split_of_shard(file: Path) -> str:
    """The split that the name of a shard says: "train" of ``train-00000-of-00002.parquet``."""
    shard = SHARD_NAME.fullmatch(file.stem)
    return (split_name(shard[1]) if shard else split_of(file.stem)) or "train"


def _cached_files(splits: dict) -> list[TableFile]:
    """The Arrow files in which the ``datasets`` library keeps loaded splits."""
    files = []
    for split, rows in splits.items():
        files += [TableFile(Path(each["filename"]), split_name(split) or "train") for each in rows.cache_files]
    return files
