"""Where images come from: one interface to a folder, tar files, Parquet files, a ``datasets`` dataset or an LMDB.

source = open_source("MY_CROPS")
image = source.read(0)  # source.ids[0] names it
"""

import re
from pathlib import Path

from ..common.image_files import IMAGE_SUFFIXES
from ..common.user_errors import UserError
from .base import FolderSource
from .packed import LmdbSource, TarSource
from .tables import DatasetSource, ParquetSource

HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?(:\w[\w.-]*)?")
SAVED_DATASET = ("dataset_dict.json", "state.json")


def open_source(spec):
    """Open what ``--images`` names.

    Args:
        spec: one of
            a folder of image files, searched with its sub-folders; image_id is the path without its suffix;
            a tar file or a folder of tar files (WebDataset); image_id is the member's path without its suffix;
            a Parquet file or a folder of them (also in its sub-folder data/), or a dataset that
            ``save_to_disk`` wrote, or a dataset's name on the Hub; image_id is the column of that name, else the row's
            number; all splits together, or one as ``spec:split``;
            an LMDB folder with data.mdb, or one that holds such; image_id is the key.
    Returns:
        A :class:`Source`.
    Raises:
        UserError: there is no such thing, or it holds no images.
    """
    spec, split = str(spec), None
    if not Path(spec).exists() and Path(spec.rpartition(":")[0]).is_dir() and ":" in spec:
        spec, _, split = spec.rpartition(":")
    path = Path(spec)
    if not path.exists():
        if not HUB_NAME.fullmatch(spec):
            raise UserError(f"folder {spec} does not exist; give the path of a folder that holds person crops")
        return DatasetSource.from_hub(spec)
    if any((path / name).is_file() for name in SAVED_DATASET):
        return DatasetSource.from_disk(path, split)
    databases = _databases(path)
    tars = _files(path, "*.tar")
    tables = _files(path, "*.parquet") or _files(path, "data/*.parquet")
    if path.is_dir():  # a table beside image files is about them
        beside = {folder for folder in {file.parent for file in tables} if _has_images(folder)}
        tables = [file for file in tables if file.parent not in beside]
    if split is not None and not tables:
        raise UserError(f"{path} has no splits, so '{split}' cannot be taken from it; give the folder alone")
    if bool(databases) + bool(tars) + bool(tables) > 1:
        raise UserError(f"{path} holds images in more than one form (tar, Parquet, LMDB); give one of them by its path")
    if databases:
        return LmdbSource(path, databases)
    if tables:
        return ParquetSource(path, tables, split)
    if tars:
        if path.is_dir() and _has_images(path):
            raise UserError(f"{path} holds tar files and image files side by side; give a folder with only one of them")
        return TarSource(path, tars)
    if path.is_file() and path.name.lower().endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")):
        raise UserError(f"{path} is a compressed tar file, whose images cannot be found singly; decompress it first")
    return FolderSource(path)


def _databases(path):
    if path.is_file():
        return [path.parent] if path.name == "data.mdb" else []
    found = [path / "data.mdb", *sorted(path.glob("*/data.mdb"))]
    return [file.parent for file in found if file.is_file()]


def _files(path, pattern):
    if path.is_file():
        return [path] if path.match(pattern) else []
    return sorted(file for file in path.glob(pattern) if file.is_file())


def _has_images(folder):
    return any(inner.suffix.lower() in IMAGE_SUFFIXES for inner in folder.iterdir())
