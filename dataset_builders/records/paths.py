"""How an annotation spells the path of an image, and how the image folder does.

images = ImageFolder("CUHK-PEDES/imgs", prefix="imgs")
images.spelled("cam_a/1.png")           # "cam_a/1.png", if that is a file
images.spelled("imgs\\\\cam_a\\\\1.JPG")    # "cam_a/1.png" too, the only file that can be meant
images.spelled("cam_a/2.png")           # None: there is no such image
"""

import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from modeling_unipt.common.image_folders import walk_images
from modeling_unipt.common.image_formats import IMAGE_SUFFIXES
from modeling_unipt.common.user_errors import UserError

# More files than these that end with the same parts are not looked at: none of them can be the one.
_MOST_FILES = 20
# Names that image folders have, in any project.
_USUAL_NAMES = ("imgs", "images", "img", "image")
# "C:\\data", "file:///data" and "https://host/data".
_DRIVE_OR_SERVER = re.compile(r"^[A-Za-z][\w+.-]*:[\\/]")


class ImageFolder:
    """Finds the images that an annotation names, also where the annotation spells their paths differently.

    Understood are: backslashes, upper and lower case, another suffix of an image, blanks at the edges, accents that are
    composed differently, ``%20``, a folder's name too many or too few at the beginning (``imgs/``), and the absolute
    path of another computer, whose last parts say which image it is. A path never leads out of the folder.

    The folder is listed once, when an exact match fails for the first time, into a temporary database on disk, so that
    memory does not grow with it.

    Args:
        folder: what paths are relative to.
        prefix: a folder's name that annotations may put before a path, or leave out, such as "imgs". The folder's own
            name, "imgs", "images", "img" and "image" are always understood.

    Attributes:
        absolute: the folder's absolute path, with a slash at its end.
    """

    def __init__(self, folder: Path | str, prefix: str = "") -> None:
        self.folder = Path(folder)
        names = (prefix.strip("/"), self.folder.resolve().name, *_USUAL_NAMES)
        self._names = {_folded(name) for name in names if name}
        self._root = str(self.folder)
        self.absolute = os.path.join(os.path.abspath(self.folder), "")
        self._listing: sqlite3.Connection | None = None
        # Keys of folders that a path may have left out at its beginning, such as ["imgs"].
        self._outer: list[list[str]] = []
        # Keys of the one beginning of relative paths, of no usual name, that is taken off; see _without_beginning.
        self._beginning: list[str] | None = None

    def spelled(self, path: str) -> str | None:
        """The path of that image as it stands on disk, relative to the folder, or None.

        None means that there is no such image, or several that fit equally well. An exact match comes first and
        costs one look at the disk.
        """
        inside = path.removeprefix(self.absolute)
        if self._is_there(inside):
            return str(PurePosixPath(inside))
        found = self._found(path)
        if found is None and "%" in path:
            found = self._found(unquote(path))
        return found

    def count(self) -> int:
        """The number of images in the folder, also in its sub-folders."""
        if self._listing is None:
            return sum(reason is None for _, reason in walk_images(self.folder))
        return self._listing.execute("SELECT count(*) FROM files").fetchone()[0]

    def _is_there(self, path: str) -> bool:
        if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
            return False
        return os.path.isfile(os.path.join(self._root, path))

    def _found(self, path: str) -> str | None:
        parts = _parts(path)
        if not parts:
            return None
        if self._listing is None:
            self._list()
        asked = _Asked(parts[0], parts[-1], _keys(parts))
        # Most paths that are missing have a name that no file has.
        if not self._ending(asked.keys[:1]):
            return None
        if path.lstrip().startswith(("/", "\\")) or _DRIVE_OR_SERVER.match(path.lstrip()):
            return self._by_last_parts(asked)
        return self._as_it_stands(asked.keys, asked.name) or self._without_beginning(asked)

    def _list(self) -> None:
        """Write the paths of all images into a database that SQLite keeps in a temporary file and deletes itself."""
        self._listing = sqlite3.connect("", check_same_thread=False)
        self._listing.execute("CREATE TABLE files (key TEXT, path BLOB, asked INTEGER)")
        shared: list[str] | None = None

        def rows() -> Iterator[tuple[str, bytes]]:
            nonlocal shared
            for path, reason in walk_images(self.folder):
                if reason is None:
                    folders = list(path.parts[:-1])
                    shared = folders if shared is None else os.path.commonprefix([shared, folders])
                    yield "/".join(_keys(path.parts)), os.fsencode(path)

        self._listing.executemany("INSERT INTO files (key, path) VALUES (?, ?)", rows())
        self._listing.execute("CREATE INDEX by_key ON files (key)")
        # The folders that all images lie in are as good as a name of image folders, outermost ones first.
        shared = [_folded(name) for name in shared or []]
        self._outer = [shared[end::-1] for end in range(len(shared) - 1, -1, -1)]
        self._outer += [[name] for name in sorted(self._names)]

    def _equal(self, keys: Sequence[str]) -> list[str]:
        """The files of these keys."""
        rows = self._listing.execute("SELECT path FROM files WHERE key = ?", ["/".join(keys)])
        return [os.fsdecode(path) for (path,) in rows]

    def _ending(self, keys: Sequence[str]) -> list[str]:
        """The files whose paths end with what these keys stand for, a few at most."""
        key = "/".join(keys)
        # Keys run from the file's name to its outermost folder; "0" is the character that follows "/".
        rows = self._listing.execute(
            f"SELECT path FROM files WHERE key = ? OR (key > ? AND key < ?) LIMIT {_MOST_FILES}",
            [key, f"{key}/", f"{key}0"],
        )
        return [os.fsdecode(path) for (path,) in rows]

    def _as_it_stands(self, keys: list[str], name: str) -> str | None:
        """The file of these keys, or the one that has only names of image folders before it."""
        for outer in ([], *self._outer):
            files = self._equal([*keys, *outer])
            if files:
                return _only(files, name)
        return None

    def _without_beginning(self, asked: "_Asked") -> str | None:
        """The file without the first folders: up to a name of image folders, or one same beginning.

        A beginning of another name is taken off if it is no folder here, and only that one: "cam_a/1.jpg" and
        "cam_b/1.jpg" must not both become "1.jpg".
        """
        if os.path.isdir(os.path.join(self._root, asked.first)):
            return None
        for end in range(len(asked.keys) - 1, 0, -1):
            rest = asked.keys[:end]
            beginning = asked.keys[end:]
            if beginning[0] in self._names:
                found = self._as_it_stands(rest, asked.name)
            elif self._beginning in (None, beginning):
                found = _only(self._equal(rest), asked.name)
                if found is not None:
                    self._beginning = beginning
            else:
                found = None
            if found is not None:
                return found
        return None

    def _by_last_parts(self, asked: "_Asked") -> str | None:
        """The only file that ends with as many of these parts as any does; no other path has been given it."""
        for end in range(len(asked.keys), 0, -1):
            files = self._ending(asked.keys[:end])
            if files:
                found = _only(files, asked.name) if len(files) < _MOST_FILES else None
                return found if found is not None and self._claimed(found, asked) else None
        return None

    def _claimed(self, found: str, asked: "_Asked") -> bool:
        """Note which path was given the file. Two people's "0001.jpg" may be named where only one is in the folder."""
        digest = hash("/".join(asked.keys))
        at = ["/".join(_keys(PurePosixPath(found).parts)), os.fsencode(found)]
        (before,) = self._listing.execute("SELECT asked FROM files WHERE key = ? AND path = ?", at).fetchone()
        if before is None:
            self._listing.execute("UPDATE files SET asked = ? WHERE key = ? AND path = ?", [digest, *at])
        return before in (None, digest)


@dataclass(frozen=True)
class _Asked:
    """A path that is looked for: its first folder and its name, as they are spelled, and :func:`_keys` of it."""

    first: str
    name: str
    keys: list[str]


def _parts(path: str) -> list[str]:
    """The names of a path without what says nothing: blanks at its edges, ``.``, and ``..`` with what it takes back."""
    parts: list[str] = []
    for name in re.split(r"[\\/]+", _DRIVE_OR_SERVER.sub("", path.strip())):
        if name == "..":
            del parts[-1:]
        elif name.strip() not in ("", "."):
            parts.append(name)
    return parts


def _folded(name: str) -> str:
    # Names on disk may hold bytes that are no UTF-8, which SQLite does not take.
    return unicodedata.normalize("NFC", name).casefold().encode("utf-8", "backslashreplace").decode()


def _keys(parts: Sequence[str]) -> list[str]:
    """What all spellings of a path have in common: its names from last to first, the last one without its suffix."""
    keys = [_folded(name) for name in reversed(parts)]
    while True:
        shorter, dot, suffix = keys[0].rpartition(".")
        if not shorter or dot + suffix not in IMAGE_SUFFIXES:
            return keys
        keys[0] = shorter


def _only(files: Sequence[str], name: str) -> str | None:
    """The only file, or the only one whose name differs in case alone, or in nothing."""
    if len(files) < 2:
        return files[0] if files else None
    for spelling in (_folded, str):
        same = [path for path in files if spelling(PurePosixPath(path).name) == spelling(name)]
        if len(same) == 1:
            return same[0]
    return None


@dataclass
class PathTally:
    """Counts how the paths of an annotation fit an image folder, as they are looked up one after another.

    Attributes:
        images: the folder.
        exact: paths that are right as they stand.
        respelled: paths that are spelled differently on disk.
        missing: paths without an image.
        example: the first respelled path, as named and as on disk.
        first_missing: the first path without an image.
    """

    images: ImageFolder
    exact: int = 0
    respelled: int = 0
    missing: int = 0
    example: tuple[str, str] | None = None
    first_missing: str | None = None

    def find(self, path: str) -> str | None:
        """:meth:`ImageFolder.spelled` of the path, counted."""
        spelled = self.images.spelled(path)
        if spelled is None:
            self.missing += 1
            self.first_missing = self.first_missing or path
        elif PurePosixPath(spelled) in (PurePosixPath(path), PurePosixPath(path.removeprefix(self.images.absolute))):
            self.exact += 1
        else:
            self.respelled += 1
            self.example = self.example or (path, spelled)
        return spelled

    def check(self, annotation: Path | str, fix_paths: bool) -> str | None:
        """What to tell the user about paths that are spelled differently on disk, or None if there are none.

        Args:
            annotation: the file that names the images.
            fix_paths: whether the user passed ``--fix-paths``.

        Raises:
            UserError: there are some, and ``fix_paths`` is not set; it says which spelling exists.
        """
        if self.example is None:
            return None
        named, on_disk = self.example
        total = self.exact + self.respelled + self.missing
        counted = f"{self.respelled:,} of the {total:,} paths in {annotation}"
        such_as = f"such as {_quoted(named)}, which is {_quoted(on_disk)} in {self.images.folder}"
        if fix_paths:
            return f"{counted} are spelled differently on disk and were taken as they are there, {such_as}"
        raise UserError(
            f"{counted} are spelled differently on disk, {such_as}; pass --fix-paths to take them as they are on disk, "
            "or mend the annotation"
        )


def _quoted(path: str) -> str:
    """A path in quotes, on one line; backslashes stay single."""
    return f"'{path}'" if path.isprintable() else repr(path)


def coverage_line(annotation: Path | str, images: ImageFolder, named: int, found: int) -> str | None:
    """A sentence with both numbers if an annotation names only a part of the folder, or more than is there, else None.

    Args:
        annotation: the file that names the images.
        named: how many different images it names.
        found: how many of these are in the folder.
    """
    there = images.count()
    if named == found == there:
        return None
    return (
        f"{annotation} names {named:,} images, of which {found:,} are in {images.folder}; that folder holds {there:,} "
        f"images, of which {max(there - found, 0):,} are not named"
    )
