"""Images packed in tar files (WebDataset's layout) or in LMDB databases (LUPerson's)."""

import functools
import hashlib
import os
import tarfile
import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tqdm import tqdm

from ..common.image_files import UnreadableImage
from ..common.image_folders import left_out_line, tell_left_out, why_left_out
from ..common.image_formats import EVERYDAY_SUFFIXES, IMAGE_SUFFIXES
from ..common.stand_ins import refuse_stand_in
from ..common.user_errors import UserError
from .base import Source
from .reading import MAX_BYTES, readable, unique_ids

if TYPE_CHECKING:
    import lmdb

NOT_A_FILE = -1


class TarSource(Source):
    """The image files in uncompressed tar files, found by one pass over the headers and read in place.

    Nothing is unpacked. A link in the archive counts as found and is refused.

    Args:
        path: what the user named.
        archives: the tar files.
    Raises:
        UserError: a file is no tar file or is cut off, or there is no image in any.
    """

    def __init__(self, path: Path | str, archives: Sequence[Path]) -> None:
        self.archives = [str(archive) for archive in archives]
        # One entry for each image. Arrays, because lists of numbers would fill the memory at millions of images.
        self.members: list[str] = []
        self.archive_of = array("I")
        self.offsets = array("Q")
        self.sizes = array("q")
        total = 0
        digest = hashlib.sha256()
        left_out: Counter[str] = Counter()
        for number, archive in enumerate(tqdm(archives, desc="listing tar files", unit="file", disable=None)):
            archive_size = archive.stat().st_size
            total += archive_size
            _update(digest, archive.name, archive_size)
            for member in _members(archive):
                reason = why_left_out(PurePosixPath(member.name))
                if reason is not None:
                    left_out[reason] += 1
                    continue
                _update(digest, member.name, member.size, member.offset_data)
                self.members.append(readable(member.name))
                self.archive_of.append(number)
                self.offsets.append(member.offset_data)
                self.sizes.append(member.size if member.isreg() and not member.issparse() else NOT_A_FILE)
        self.left_out = dict(sorted(left_out.items()))
        if not self.members:
            line = left_out_line(path, self.left_out)
            raise UserError(
                f"{path} holds tar files and no images in them; looked for {', '.join(EVERYDAY_SUFFIXES)} and rarer "
                f"kinds{f'; {line}' if line else ''}"
            )
        tell_left_out(path, self.left_out)
        self.fingerprint = f"{len(archives)} tar files, {total} bytes, {digest.hexdigest()[:12]}"
        self.ids = unique_ids(
            self._names(suffixes=False, archives=False),
            self._names(suffixes=False, archives=True),
            self._names(suffixes=True, archives=True),
        )

    def _names(self, suffixes: bool, archives: bool) -> Iterator[str]:
        """The members' paths, with or without their suffixes and the name of their archive."""
        stems = [readable(PurePosixPath(archive).stem) for archive in self.archives]
        for number, member in zip(self.archive_of, self.members, strict=True):
            name = member if suffixes else str(PurePosixPath(member).with_suffix(""))
            yield f"{stems[number]}/{name}" if archives else name

    def name(self, position: int) -> str:
        return f"{readable(Path(self.archives[self.archive_of[position]]).name)}/{self.members[position]}"

    def content(self, position: int) -> tuple[bytes, str]:
        size = self.sizes[position]
        if size == NOT_A_FILE:
            raise UnreadableImage("is a link in the tar file, not a file")
        try:
            with open(self.archives[self.archive_of[position]], "rb") as archive:
                archive.seek(self.offsets[position])
                # One byte more than is allowed shows that the image is too large.
                data = archive.read(min(size, MAX_BYTES + 1))
        except OSError as error:
            raise UnreadableImage(f"cannot be read ({error.strerror or type(error).__name__})") from None
        return data, PurePosixPath(self.members[position]).name


def _update(digest: "hashlib._Hash", *facts: str | int) -> None:
    """Make the facts part of the digest; names of files may hold bytes that are no UTF-8."""
    digest.update("".join(f"{fact}\0" for fact in facts).encode("utf-8", "surrogateescape"))


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The members of a tar file that are named like images."""
    found = 0
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                # tarfile would keep every header it has seen.
                archive.members = []
                if not member.isdir() and PurePosixPath(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    found += 1
                    yield member
    except (tarfile.TarError, OSError, ValueError) as error:
        refuse_stand_in(path)
        raise UserError(f"{path} cannot be read as an uncompressed tar file after {found} images ({error})") from None


class LmdbSource(Source):
    """Images in LMDB databases, a key's value being an image file, as LUPerson is distributed.

    The keys are read from the database itself. LUPerson's ``keys.pkl`` beside it is not opened: it tells nothing more,
    and unpickling a stranger's file may run code.

    Args:
        path: what the user named.
        folders: folders with a ``data.mdb``.
    Raises:
        UserError: the package lmdb is missing, a database cannot be opened, or there is no key in any.
    """

    def __init__(self, path: Path | str, folders: Sequence[Path]) -> None:
        self.folders = [str(folder) for folder in folders]
        self.keys: list[bytes] = []
        self.folder_of = array("I")
        facts = []
        for number, folder in enumerate(self.folders):
            database = _database(folder)
            total = database.stat()["entries"]
            facts.append((total, database.info()["last_txnid"], os.stat(os.path.join(folder, "data.mdb")).st_size))
            with database.begin() as transaction:
                keys = transaction.cursor().iternext(keys=True, values=False)
                for key in tqdm(keys, total=total, desc="listing keys", unit="key", disable=None):
                    self.keys.append(bytes(key))
                    self.folder_of.append(number)
        if not self.keys:
            raise UserError(f"{path} is an LMDB without a key; give LUPerson's folder with data.mdb")
        self.fingerprint = f"{len(self.keys)} LMDB keys, {hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"
        self.ids = unique_ids(self._names(folders=False), self._names(folders=True))

    def _names(self, folders: bool) -> Iterator[str]:
        """The keys as text, with or without the name of their folder."""
        names = [readable(Path(folder).name) for folder in self.folders]
        for number, key in zip(self.folder_of, self.keys, strict=True):
            text = key.decode("utf-8", "backslashreplace")
            yield f"{names[number]}/{text}" if folders else text

    def content(self, position: int) -> tuple[bytes, str]:
        import lmdb

        try:
            with _database(self.folders[self.folder_of[position]]).begin() as transaction:
                data = transaction.get(self.keys[position])
        except lmdb.Error as error:
            raise UnreadableImage(f"cannot be read ({type(error).__name__})") from None
        if data is None:
            raise UnreadableImage("its key is gone from the LMDB")
        return data, f"{self.ids[position]}.jpg"


_OPENING = threading.Lock()


def _database(folder: str) -> "lmdb.Environment":
    """The LMDB in a folder. LMDB wants it to be opened only once in a process, and anew in each child process."""
    with _OPENING:
        return _open_database(folder, os.getpid())


@functools.lru_cache(maxsize=64)
def _open_database(folder: str, process: int) -> "lmdb.Environment":
    """Open the database; ``process`` only makes a forked child open its own, because its cache is the parent's."""
    try:
        import lmdb
    except ImportError:
        raise UserError("reading an LMDB needs the package lmdb; run pip install 'unipt[lmdb]'") from None
    try:
        # Without lock and read-ahead: the file may lie on a read-only disk, and images are read one here, one there.
        return lmdb.open(folder, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        refuse_stand_in(os.path.join(folder, "data.mdb"))
        raise UserError(f"the LMDB in {folder} cannot be opened ({error})") from None
