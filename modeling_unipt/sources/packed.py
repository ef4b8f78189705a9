"""Images packed in tar files (WebDataset's layout) or in LMDB databases (LUPerson's)."""

import functools
import hashlib
import os
import tarfile
import threading
from array import array
from pathlib import Path, PurePosixPath

from ..common.image_files import IMAGE_SUFFIXES, UnreadableImage
from ..common.user_errors import UserError
from .base import Source
from .reading import MAX_BYTES, readable, unique_ids


class TarSource(Source):
    """The image files in uncompressed tar files, found by one pass over the headers and read in place.

    Nothing is unpacked. A link in the archive counts as found and is refused.

    Args:
        path: what the user named.
        archives: the tar files.
    Raises:
        UserError: a file is no tar file or is cut off, or there is no image in any.
    """

    def __init__(self, path, archives):
        from tqdm import tqdm

        self.archives, self.members = [str(archive) for archive in archives], []
        self.archive_of, self.offsets, self.sizes, total = array("I"), array("Q"), array("q"), 0
        digest = hashlib.sha256()
        for number, archive in enumerate(tqdm(archives, desc="listing tar files", unit="file", disable=None)):
            total += archive.stat().st_size
            digest.update(f"{archive.name}\0{archive.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            for member in _members(archive):
                digest.update(
                    f"{member.name}\0{member.size}\0{member.offset_data}\0".encode("utf-8", "surrogateescape")
                )
                self.members.append(readable(member.name))
                self.archive_of.append(number)
                self.offsets.append(member.offset_data)
                self.sizes.append(member.size if member.isreg() and not member.issparse() else -1)
        if not self.members:
            raise UserError(
                f"{path} holds tar files and no images in them; looked for {', '.join(sorted(IMAGE_SUFFIXES))}"
            )
        self.fingerprint = f"{len(archives)} tar files, {total} bytes, {digest.hexdigest()[:12]}"
        stems = [readable(PurePosixPath(archive).stem) for archive in self.archives]
        bare = lambda: (str(PurePosixPath(member).with_suffix("")) for member in self.members)  # noqa: E731
        owners = lambda: (stems[number] for number in self.archive_of)  # noqa: E731
        self.ids = unique_ids(
            bare(),
            (f"{stem}/{member}" for stem, member in zip(owners(), bare(), strict=True)),
            (f"{stem}/{member}" for stem, member in zip(owners(), self.members, strict=True)),
        )

    def name(self, position):
        return f"{readable(Path(self.archives[self.archive_of[position]]).name)}/{self.members[position]}"

    def content(self, position):
        size = self.sizes[position]
        if size < 0:
            raise UnreadableImage("is a link in the tar file, not a file")
        try:
            with open(self.archives[self.archive_of[position]], "rb") as archive:
                archive.seek(self.offsets[position])
                return archive.read(min(size, MAX_BYTES + 1)), PurePosixPath(self.members[position]).name
        except OSError as error:
            raise UnreadableImage(f"cannot be read ({error.strerror or type(error).__name__})") from None


def _members(path):
    found = 0
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                archive.members = []  # tarfile would keep every header it has seen
                if not member.isdir() and PurePosixPath(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    found += 1
                    yield member
    except (tarfile.TarError, OSError, ValueError) as error:
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

    def __init__(self, path, folders):
        from tqdm import tqdm

        self.folders, self.keys, self.folder_of = [str(folder) for folder in folders], [], array("I")
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
        text = lambda: (key.decode("utf-8", "backslashreplace") for key in self.keys)  # noqa: E731
        names = [readable(Path(folder).name) for folder in self.folders]
        self.ids = unique_ids(
            text(), (f"{names[number]}/{key}" for number, key in zip(self.folder_of, text(), strict=True))
        )

    def content(self, position):
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


def _database(folder):
    """The LMDB in a folder, which must be opened only once in a process, and anew in each."""
    with _OPENING:
        return _open_database(folder, os.getpid())


@functools.lru_cache(maxsize=64)
def _open_database(folder, process):
    try:
        import lmdb
    except ImportError:
        raise UserError("reading an LMDB needs the package lmdb; run pip install 'unipt[lmdb]'") from None
    try:
        return lmdb.open(folder, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise UserError(f"the LMDB in {folder} cannot be opened ({error})") from None
