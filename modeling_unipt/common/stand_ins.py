"""Files that are not what their name says: what a download leaves behind when it goes wrong."""

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

from .user_errors import UserError

HEAD_BYTES = 4096
# An error message that a server sends in place of a file is short.
LONGEST_MESSAGE = 1000
LONGEST_TITLE = 60

_AGAIN = "download it again, in a browser if a log-in is needed"
_UNPACK = "unpack it, and give what is in it"
_CONVERT = "save the data in the format that the file's name says"
_GET_IT = "get the file itself"

# Torch writes zip archives, and people call them so.
_CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".model")
# What a folder holds a model in.
_MODEL_SUFFIXES = (".json", ".safetensors", ".txt", *_CHECKPOINTS)
# First bytes of a file -> what it is, how to get the data, and the suffixes that files of that kind rightly have.
_SIGNATURES = (
    (
        b"PK\x03\x04",
        "a zip archive or an Excel workbook",
        f"{_UNPACK}, or save the workbook as CSV",
        (".zip", ".xlsx", ".npz", *_CHECKPOINTS),
    ),
    (b"PK\x05\x06", "an empty zip archive", _AGAIN, (".zip",)),
    (b"\x1f\x8b", "a gzip archive", _UNPACK, (".gz", ".tgz")),
    (b"BZh", "a bzip2 archive", _UNPACK, (".bz2", ".tbz")),
    (b"\xfd7zXZ\0", "an xz archive", _UNPACK, (".xz", ".txz")),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK, (".zst",)),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK, (".7z",)),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK, (".rar",)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", _CONVERT, (".xls", ".doc")),
    (b"%PDF-", "a PDF document", _CONVERT, (".pdf",)),
    (b"{\\rtf", "a rich text document", _CONVERT, (".rtf",)),
    (b"PAR1", "a Parquet file", "give it the suffix .parquet", (".parquet",)),
    (b"ARROW1\0\0", "an Arrow file", "give it the suffix .arrow", (".arrow", ".feather")),
    (b"SQLite format 3\0", "an SQLite database", _CONVERT, (".db", ".sqlite", ".sqlite3")),
    (b"bplist00", "a property list, such as iCloud leaves in place of a file", _GET_IT, (".plist",)),
    (b"\0\x05\x16\x07", "an AppleDouble file, which macOS makes beside the real one", _GET_IT, ()),
    (b"book\0\0\0\0mark", "an alias of macOS, not the file itself", _GET_IT, ()),
    (b"L\0\0\0\x01\x14\x02\0", "a shortcut of Windows, not the file itself", _GET_IT, (".lnk",)),
    (b"[InternetShortcut]", "a link to a web page, not the file itself", _GET_IT, (".url",)),
    (b"<<<<<<< ", "a file with unresolved conflicts of git", "resolve them", (".diff", ".patch")),
    (b"d8:announce", "a BitTorrent file, which only says where the data is", _GET_IT, (".torrent",)),
)
_LFS = re.compile(rb"version https?://(?:git-lfs|hawser)\.[\w./-]+\r?\n")
_LFS_SIZE = re.compile(rb"^size (\d+)\r?$", re.MULTILINE)
_ANNEX = re.compile(rb"(?:\.\./)*(?:\.git)?/annex/objects/\S+\s*")
_DVC = re.compile(rb"(?:md5: \w+\r?\n)?outs:\r?\n- (?:md5|hash|etag|path|size):")
_LINK_TEXT = re.compile(rb"(?:\.\./)+[\w./-]+\s*")
_PAGE = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html"
    rb"|html|head|body|script|noscript|style|meta|link|title|div|form|table|center|h\d|p|a)\b",
    re.IGNORECASE | re.DOTALL,
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LOG_IN = re.compile(rb"log[ -]?in|sign[ -]?in|password", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml\b|\s*<Error><Code>")
_XML_CODE = re.compile(rb"<Error>.*?<Code>(\w+)</Code>", re.DOTALL)
# What servers send as plain text, such as the Hugging Face Hub and GitHub.
_SERVER_WORDS = re.compile(
    rb"\s*(?:\d{3}\b[:\s-]*)?(?:(?:entry|repository|page|file|resource)? ?not found"
    rb"|invalid (?:username or password|credentials)|access (?:to \S+ \S+ is restricted|denied)|permission denied"
    rb"|forbidden|unauthorized|too many requests|(?:internal )?server error|bad (?:gateway|request)"
    rb"|service unavailable|request timeout|error code: \d+|(?:rate limit|quota|bandwidth) exceeded)\b",
    re.IGNORECASE,
)
_MESSAGE_KEYS = {"error", "errors", "message", "detail", "error_description", "error_msg", "errmsg", "msg"}
_KEYS_BESIDE = {
    *("status", "statuscode", "status_code", "code", "error_code", "errcode", "errno", "type", "success"),
    *("title", "path", "url", "documentation_url", "request_id", "requestid", "timestamp"),
}


@dataclass(frozen=True)
class _StandIn:
    """What a file is, how to get what it should be, and the suffixes for which it is right after all."""

    what: str
    remedy: str
    right_suffixes: tuple[str, ...] = ()


def what_stands_there(head: bytes) -> str | None:
    """What a file is instead of data, such as "a Git LFS pointer, not the file itself", or None if that is not known.

    Args:
        head: the first :data:`HEAD_BYTES` bytes of the file; of an empty file nothing is known.
    """
    found = _stand_in(head)
    return found.what if found else None


def refuse_stand_in(path: Path | str) -> None:
    """Look at the beginning of a file before it is parsed. A file that is missing or cannot be read is no matter here.

    Raises:
        UserError: the file is empty or a stand-in for the data; it says what the file is and how to get the data.
    """
    path = Path(path)
    try:
        if not path.is_file():
            return
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return
    if not head:
        raise UserError(f"{path} is empty; download or copy it again")
    found = _stand_in(head)
    if found is not None and path.suffix.lower() not in found.right_suffixes:
        raise UserError(f"{path} is {found.what}; {found.remedy}")


def refuse_stand_ins_of_model(folder: Path | str) -> None:
    """:func:`refuse_stand_in` of every file in the folder of a model that cannot be loaded; a Hub name is no matter.

    Raises:
        UserError: see :func:`refuse_stand_in`.
    """
    if Path(folder).is_dir():
        for path in sorted(Path(folder).iterdir()):
            if path.suffix.lower() in _MODEL_SUFFIXES:
                refuse_stand_in(path)


def _stand_in(head: bytes) -> _StandIn | None:
    for begin, what, remedy, suffixes in _SIGNATURES:
        if head.startswith(begin):
            return _StandIn(what, remedy, suffixes)
    if head and not head.strip(b"\0"):
        return _StandIn("nothing but zero bytes at its beginning, as a broken download leaves", "download it again")
    # A byte-order mark before the text.
    text = head.removeprefix(b"\xef\xbb\xbf")
    return _pointer(text) or _page(text) or _message(text)


def _pointer(text: bytes) -> _StandIn | None:
    """What tools leave in a working copy in place of a large file."""
    if _LFS.match(text):
        size = _LFS_SIZE.search(text)
        to = f" to a file of {int(size[1]):,} bytes" if size else ""
        return _StandIn(
            f"a Git LFS pointer{to}, not the file itself",
            "run 'git lfs pull' in its folder, or download the file itself",
        )
    if _ANNEX.fullmatch(text):
        return _StandIn("a git-annex pointer, not the file itself", "run 'git annex get' in its folder")
    if _DVC.match(text):
        return _StandIn("a DVC pointer, not the file itself", "run 'dvc pull' in its folder", (".dvc",))
    if _LINK_TEXT.fullmatch(text):
        return _StandIn("the text of a symbolic link, not the file that it points to", "copy the file itself")
    return None


def _page(text: bytes) -> _StandIn | None:
    """A web page, or another document that a server sends."""
    if _PAGE.match(text):
        kind = "a log-in page" if _LOG_IN.search(text) else "a web page"
        title = _TITLE.search(text.decode("utf-8", "replace"))
        words = " ".join(html.unescape(title[1]).split()) if title else ""
        named = f' ("{words[:LONGEST_TITLE]}")' if words else ""
        return _StandIn(f"{kind}{named}, not the file itself", _AGAIN, (".html", ".htm", ".xhtml"))
    if _XML.match(text):
        code = _XML_CODE.search(text)
        if code:
            return _StandIn(f"an error message of a server ({code[1].decode()})", _AGAIN)
        return _StandIn("an XML document", _CONVERT, (".xml", ".svg"))
    return None


def _message(text: bytes) -> _StandIn | None:
    """A short error message, in words or in JSON, that a server sends."""
    if len(text) > LONGEST_MESSAGE:
        return None
    told = text.decode("utf-8", "replace").strip()
    if _SERVER_WORDS.match(text):
        return _StandIn(f'an error message of a server ("{told.splitlines()[0][:LONGEST_TITLE]}")', _AGAIN)
    if not told.startswith("{"):
        return None
    try:
        keys = {key.lower() for key in json.loads(told)}
    except (ValueError, RecursionError):
        return None
    if keys & _MESSAGE_KEYS and keys <= _MESSAGE_KEYS | _KEYS_BESIDE:
        return _StandIn(f"an error message of a server ({told[:LONGEST_TITLE]})", _AGAIN)
    return None
