"""Where images come from: one interface to a folder, tar files, Parquet files, a ``datasets`` dataset or an LMDB.

source = open_source("MY_CROPS")
image = source.read(0)  # source.ids[0] names it
"""

import re
from pathlib import Path

from ..common.image_folders import why_left_out
from ..common.image_formats import IMAGE_SUFFIXES
from ..common.user_errors import UserError
from .base import FolderSource, Source
from .packed import LmdbSource, TarSource
from .saved import is_saved_dataset
from .tables import DatasetSource, ParquetSource

HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?(:\w[\w.-]*)?")
ARCHIVES = (".zip", ".rar", ".7z")
COMPRESSED_TAR = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def open_source(spec: Path | str) -> Source:
    """Open what ``--images`` names.

    Args:
        spec: one of
            a folder of image files, searched with its sub-folders; image_id is the path without its suffix;
            a tar file or a folder of tar files (WebDataset); image_id is the member's path without its suffix;
            a Parquet file or a folder of them (also in its sub-folder data/), or a dataset that
            ``save_to_disk`` wrote, or a dataset's name on the Hub; image_id is the column of that name, else the row's
            number; all splits together, or one as ``spec:split``;
            an LMDB folder with data.mdb, or one that holds such; image_id is the key.

    Raises:
        UserError: there is no such thing, or it holds no images.
    """
    path, split = _path_and_split(spec)
    if not path.exists():
        if not HUB_NAME.fullmatch(str(spec)):
            raise UserError(f"folder {spec} does not exist; give the path of a folder that holds person crops")
        return DatasetSource.from_hub(str(spec))
    if is_saved_dataset(path):
        return DatasetSource.from_disk(path, split)
    databases = _databases(path)
    tars = _files(path, "*.tar")
    tables = _files(path, "*.parquet") or _files(path, "data/*.parquet")
    if path.is_dir():
        # A table beside image files tells something about them; it is no source of images itself.
        folders = {file.parent for file in tables}
        beside_images = {folder for folder in folders if _has_images(folder)}
        tables = [file for file in tables if file.parent not in beside_images]
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
    if path.is_file() and path.name.lower().endswith(COMPRESSED_TAR):
        raise UserError(f"{path} is a compressed tar file, whose images cannot be found singly; decompress it first")
    if path.is_file() and path.suffix.lower() in ARCHIVES:
        raise UserError(f"{path} is an archive; unpack it, and give the folder of images")
    return FolderSource(path)


def absolute_spec(spec: Path | str) -> str:
    """``spec`` as :func:`open_source` takes it, good in any working folder: its path is made absolute."""
    path, split = _path_and_split(spec)
    if not path.exists():
        # A dataset's name on the Hub.
        return str(spec)
    return str(path.resolve()) + ("" if split is None else f":{split}")


def is_packed_file(path: Path | str) -> bool:
    """Whether the name of a file says that it holds many images, packed: a tar file, Parquet file or LMDB."""
    name = Path(path).name.lower()
    return name == "data.mdb" or name.endswith((".tar", ".parquet", *COMPRESSED_TAR))


def _path_and_split(spec: Path | str) -> tuple[Path, str | None]:
    """The two parts of ``folder:split``. A path that exists as it stands may hold colons itself."""
    folder, colon, split = str(spec).rpartition(":")
    if colon and not Path(spec).exists() and Path(folder).is_dir():
        return Path(folder), split
    return Path(spec), None


def _databases(path: Path) -> list[Path]:
    """The folders of LMDB databases at ``path``: itself, or those directly in it."""
    if path.is_file():
        return [path.parent] if path.name == "data.mdb" else []
    found = [path / "data.mdb", *sorted(path.glob("*/data.mdb"))]
    return [file.parent for file in found if file.is_file()]


def _files(path: Path, pattern: str) -> list[Path]:
    """The files of that pattern in the folder ``path``, or ``path`` alone if it is such a file."""
    if path.is_file():
        return [path] if path.match(pattern) else []
    # What macOS makes beside a file has its suffix.
    return sorted(file for file in path.glob(pattern) if file.is_file() and not file.name.startswith("._"))


def _has_images(folder: Path) -> bool:
    names = (inner.name for inner in folder.iterdir() if inner.suffix.lower() in IMAGE_SUFFIXES)
    return any(why_left_out(Path(name)) is None for name in names)
