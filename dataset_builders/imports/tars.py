"""Captioned WebDatasets: tar files in which each image stands beside the file that holds its captions."""

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.common.image_folders import left_out_line, why_left_out
from modeling_unipt.common.image_formats import IMAGE_SUFFIXES
from modeling_unipt.common.stand_ins import refuse_stand_in
from modeling_unipt.common.user_errors import UserError, first_line
from modeling_unipt.sources.reading import MAX_BYTES, readable

from ..records.layout import split_of_file
from ..records.values import Texts, texts_of
from .base import Content, FurtherColumn, ImportedSet
from .layouts import CAPTION_KEYS
from .store import Listing, RowStore, StoredRow

TEXT_SUFFIXES = (".txt", ".text", ".caption", ".captions", ".cap")
# What else is told of an image, captions among it.
MAPPING_SUFFIX = ".json"
# The order numbers the "files" of the store: an image has one member of each kind.
KINDS = ("image", *TEXT_SUFFIXES, MAPPING_SUFFIX)
LONGEST_TEXT = 1 << 20


class TarSet(ImportedSet):
    """The images of tar files whose texts lie beside them: ``0001.jpg`` and ``0001.txt`` or ``0001.json``.

    Args:
        archives: the tar files, uncompressed.
        backend: who wrote the captions.
        caption_keys: keys of a ``.json`` member that hold captions.
    """

    def __init__(self, archives: Sequence[Path], backend: str, caption_keys: Sequence[str] = CAPTION_KEYS) -> None:
        super().__init__()
        self.backend = backend
        self.archives = archives
        self.caption_keys = caption_keys

    def read(self, store: RowStore) -> None:
        digest = hashlib.sha256()
        left_out: Counter[str] = Counter()
        number = 0
        for archive_number, archive in enumerate(self.archives):
            for member, content in tqdm(_members(archive), desc=f"reading {archive.name}", unit="file", disable=None):
                reason = why_left_out(PurePosixPath(member.name))
                if reason is not None:
                    left_out[reason] += 1
                    continue
                digest.update(f"{archive.name}\0{member.name}\0{member.size}\0".encode("utf-8", "surrogateescape"))
                self._keep(store, number, archive_number, member, content)
                number += 1
        self.fingerprint = f"{len(self.archives)} tar files, {digest.hexdigest()[:12]}"
        line = left_out_line(self.archives[0], left_out)
        if line is not None:
            self.told.append(line)

    def _keep(
        self, store: RowStore, number: int, archive_number: int, member: tarfile.TarInfo, content: bytes | None
    ) -> None:
        """Keep a member: an image, or what tells something of the image whose name is the same up to the suffix."""
        archive = self.archives[archive_number]
        path = PurePosixPath(readable(member.name))
        stem = path.with_suffix("").as_posix()
        suffix = path.suffix.lower()
        place = None
        found = Texts([], [])
        known = {}
        if content is None:
            kind = KINDS.index("image")
            place = json.dumps([archive_number, member.offset_data, member.size if member.isreg() else None])
        else:
            kind = KINDS.index(suffix)
            try:
                text = content.decode("utf-8-sig")
                found = self._in_json(text) if suffix == MAPPING_SUFFIX else texts_of(text)
            except ValueError as error:
                store.refuse(f"{readable(archive.name)}/{path}", f"holds no captions ({first_line(error)})")
                return
            if suffix == MAPPING_SUFFIX:
                self.columns.setdefault("set_metadata", FurtherColumn("string", "the JSON that lay beside the image"))
                known["set_metadata"] = text
        key = f"{archive_number}\0{stem}"
        name = f"{readable(archive.stem)}/{stem}"
        listing = Listing(number, key, kind, split_of_file(archive) or "train", name, place, [], known, short=stem)
        self.add(store, listing, found.texts, [self.backend] * len(found.texts), found.written)

    def _in_json(self, text: str) -> Texts:
        """The captions in a ``.json`` member: under the caption keys of a mapping, or its only content.

        Raises:
            ValueError: it is not JSON, or holds something else than texts there.
        """
        told = json.loads(text)
        values = [told[key] for key in self.caption_keys if key in told] if isinstance(told, dict) else [told]
        texts = Texts([], [])
        for value in values:
            found = texts_of(value)
            if found is None:
                raise ValueError("they are not texts")
            texts = Texts(texts.written + found.written, texts.texts + found.texts)
        return texts

    def contents(self, rows: Iterable[StoredRow]) -> Iterator[tuple[StoredRow, Content]]:
        for row in rows:
            yield row, partial(self._content, row)

    def _content(self, row: StoredRow) -> tuple[bytes, str]:
        if row.place is None:
            raise UnreadableImage("is a text without an image beside it")
        archive_number, offset, size = json.loads(row.place)
        if size is None:
            raise UnreadableImage("is a link in the tar file, not a file")
        with open(self.archives[archive_number], "rb") as archive:
            archive.seek(offset)
            # One byte more than is allowed shows that the image is too large.
            return archive.read(min(size, MAX_BYTES + 1)), PurePosixPath(row.name).name


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The members of a tar file that are images or texts, and the content of texts."""
    read = 0
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                # tarfile would keep every header it has seen.
                archive.members = []
                read += 1
                suffix = PurePosixPath(member.name).suffix.lower()
                if member.isdir():
                    continue
                if suffix in IMAGE_SUFFIXES:
                    yield member, None
                elif suffix in KINDS and member.isreg() and member.size <= LONGEST_TEXT:
                    yield member, archive.extractfile(member).read()
    except (tarfile.TarError, OSError) as error:
        refuse_stand_in(path)
        raise UserError(f"{path} cannot be read as an uncompressed tar file after {read} files ({error})") from None
