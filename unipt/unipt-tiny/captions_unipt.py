"""One normal form of descriptions, which readers, training, evaluation and search give a text before any tokenizer."""

import html
import re
import unicodedata

# Letters that were joined for print. Copied texts hold them, and no tokenizer knows them.
_LIGATURES = {
    "Ĳ": "IJ",
    "ĳ": "ij",
    "ŉ": "'n",
    "Ǆ": "DŽ",
    "ǅ": "Dž",
    "ǆ": "dž",
    "Ǉ": "LJ",
    "ǈ": "Lj",
    "ǉ": "lj",
    "Ǌ": "NJ",
    "ǋ": "Nj",
    "ǌ": "nj",
    "Ǳ": "DZ",
    "ǲ": "Dz",
    "ǳ": "dz",
    "ﬀ": "ff",
    "ﬁ": "fi",
    "ﬂ": "fl",
    "ﬃ": "ffi",
    "ﬄ": "ffl",
    "ﬅ": "ſt",
    "ﬆ": "st",
}
_CURLY_SINGLE_QUOTES = "\u02bc\u2018\u2019\u201a\u201b"
_CURLY_DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f"
# First and last code point of each range. Tab, line feed, form feed and carriage return are blanks and stay here.
_REMOVED = (
    (0x00, 0x08),
    (0x0B, 0x0B),
    (0x0E, 0x1F),
    (0x7F, 0x7F),
    (0x206A, 0x206F),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFC),
)
# Half-width and full-width forms.
_WIDTHS = range(0xFF01, 0xFFF0)
# Code points that are no characters. Windows-1252 text that was read as Latin-1 has them for quotes and dashes.
_C1_CONTROLS = range(0x80, 0xA0)
# What the further bytes of a character in UTF-8 look like where Windows-1252 or Latin-1 was taken for it.
_FURTHER_BYTES = {chr(code): code for code in range(0x80, 0xC0)}
_FURTHER_BYTES |= {bytes([code]).decode("windows-1252", errors="replace"): code for code in range(0x80, 0xC0)}
del _FURTHER_BYTES["\ufffd"]
_FURTHER = "[" + "".join(_FURTHER_BYTES) + "]"
# Accented letters; quotes and dashes; emoji; a byte-order mark. What other characters look like stands in true texts.
_MISREAD = re.compile(f"[ÂÃ]{_FURTHER}|â{_FURTHER}{{2}}|ð{_FURTHER}{{3}}|ï»¿")
# Texts that were put in capitals as a whole, with the entities in them.
_ENTITY_IN_CAPITALS = re.compile(r"&[A-Z]+[0-9]*;")
_TERMINAL_COLOUR = re.compile(r"\x1b\[[\d;]*[a-zA-Z]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Characters without any width, which alone are no text.
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060"


def _typography() -> dict[int, str | None]:
    """Code point -> what stands for it in the normal form; None: nothing."""
    table: dict[int, str | None] = {}
    for code in _WIDTHS:
        table[code] = unicodedata.normalize("NFKC", chr(code))
    for code in _C1_CONTROLS:
        table[code] = bytes([code]).decode("windows-1252", errors="ignore") or None
    for letter, letters in _LIGATURES.items():
        table[ord(letter)] = letters
    for quote in _CURLY_SINGLE_QUOTES + "\x91\x92":
        table[ord(quote)] = "'"
    for quote in _CURLY_DOUBLE_QUOTES + "\x93\x94":
        table[ord(quote)] = '"'
    for first, last in _REMOVED:
        table.update(dict.fromkeys(range(first, last + 1)))
    return table


_TYPOGRAPHY = _typography()


def normal_caption(text: str) -> str:
    """The one form of a description in which all texts are compared, trained on and searched by.

    HTML entities become characters. UTF-8 that was read as Windows-1252 is read anew. Curly quotes, ligatures and
    full-width letters become plain ones. Byte-order marks and control characters go. Letters with accents are composed
    (NFC). Each run of blanks becomes one space, and none is left at the ends. Case is kept. This is what the tokenizer
    of CLIP's authors does before it lowers the case.

    The normal form of a normal form is itself. That of a text without anything to see is "".
    """
    while (form := _one_pass(text)) != text:
        # An entity may be hidden in another one: "&amp;quot;".
        text = form
    return text


def _one_pass(text: str) -> str:
    if text.isascii() and "&" not in text and text.isprintable():
        # Nearly all texts. The steps below would change nothing but blanks.
        return " ".join(text.split())
    text = _ENTITY_IN_CAPITALS.sub(_in_capitals, html.unescape(text))
    text = _MISREAD.sub(_read_anew, _TERMINAL_COLOUR.sub("", text)).translate(_TYPOGRAPHY)
    if _SURROGATE.search(text):
        # JSON may hold halves of characters, which cannot be written to a file. Two halves are put together.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text if text.strip(_INVISIBLE + " ") else ""


def _in_capitals(entity: re.Match[str]) -> str:
    known = html.unescape(entity[0].lower())
    return entity[0] if known == entity[0].lower() else known.upper()


def _read_anew(misread: re.Match[str]) -> str:
    read = bytes(_FURTHER_BYTES.get(letter, ord(letter)) for letter in misread[0])
    return read.decode("utf-8", errors="ignore") or misread[0]


__all__ = ["normal_caption"]
