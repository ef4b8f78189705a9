"""What is odd in one caption: signs that it is no description of an image. Nothing here reads a data set."""

import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of odd caption.

    Attributes:
        what: what is counted, in the plural.
        is_fault: whether ``--strict`` refuses it.
    """

    what: str
    is_fault: bool = True


BLANK = Kind("blank captions")
NO_LETTERS = Kind("captions without letters")
NO_TEXT = Kind("captions of one word, or that say there is none")
MARKUP = Kind("captions with markup")
CODE = Kind("captions with program code or an unfilled template")
INSTRUCTION = Kind('captions with a rest of an instruction, as "description]"')
ESCAPES = Kind('captions with a line break that is spelled out, as "/n"')
ADDRESS = Kind("captions with a web address or the name of an image file")
CHAT = Kind("answers of a chat model that do not describe")
WRONG_ENCODING = Kind("captions with letters that were read in a wrong encoding")
REPEATED = Kind("captions that say one word four times in a row")
# A caption is never wrong for its language, but a tokenizer may not know it.
OTHER_LANGUAGE = Kind("captions in another language than English", is_fault=False)

# Signs that need a character which few captions have. The others are not searched for them, which saves time.
_RARE_CHARACTER = re.compile(r"[^A-Za-z0-9 ,.'\"!?-]")
_RARE_SIGNS = {
    # "<" has no place in a description: LUPerson-MLLM's authors drop such texts too.
    MARKUP: re.compile(r"[<`]|\*\*|^#{1,6} |!\[|\]\(|\[/?[a-z]{1,6}\d?\](?=\S)", re.IGNORECASE),
    CODE: re.compile(
        r"[{}]|\$[a-z]|%[sd]\b|\w\.\w+ ?= ?\w|\w\(\)|\w\([^()]*\) ?;|==|!=|=>|\+=|:=|&&|\|\||^(?://|#!|/\*|#include)|\\[a-z]+\{"
        r"|\b(?:print|printf|len|range|def \w+|function ?\w*)\(|\b\w+\.\w+\(|\b(?:var|let|const|int|float|auto) \w+ ?="
        r"|\w ?= ?(?:[\[\"'\d]|None\b|True\b|False\b|new )|\bSELECT\b.+\bFROM\b"
    ),
    INSTRUCTION: re.compile(r"[\[\]]|\b(?:caption|description|answer|output|assistant):|</?s>", re.IGNORECASE),
    ESCAPES: re.compile(
        r"[/\\][nrt](?![A-Za-z])|(?<=[.!?,;:])[/\\]n|[/\\]n(?=[A-Z])|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}"
    ),
    ADDRESS: re.compile(r"https?:|\w/\w+\.\w{3,4}\b", re.IGNORECASE),
    # The replacement character, or a rest of what the normal form mends.
    WRONG_ENCODING: re.compile("\ufffd|â€"),
}
# Attributes of a tag look like assignments, and an address holds what looks like calls.
_NO_CODE = re.compile(r"<[^<>]*>|\bhttps?:\S+")
_CODE_WORDS = re.compile(r"import [\w.]+$|from [\w.]+ import\b|(?:return|elif|(?:public|private|static) \w+) \w+[.(]")
_IMAGE_NAME = re.compile(r"\bwww\.|\.(?:jpe?g|png|bmp|gif|webp)\b", re.IGNORECASE)
# One of these stands in every answer that the pattern below finds; searching for them is quicker.
_CHAT_WORDS = (
    "as an ai",
    "language model",
    "sorry",
    "unable to",
    "not able",
    "i can",
    "image",
    "sure",
    "certainly",
    "no pe",
)
_CHAT = re.compile(
    r"\bas an ai\b|\blanguage model\b|\bi(?:'m| am) (?:sorry|unable|not able)\b|\bsorry, (?:but )?i\b"
    r"|\bi (?:cannot|can't|can not) (?:see|view|describe|assist|help|provide|identify|determine)"
    r"|\bunable to (?:view|see|describe)\b|\bno image (?:was |is )?(?:provided|attached|given)\b"
    r"|\bimage (?:does not|doesn't) (?:show|contain)\b|\bno (?:person|people|pedestrian)s? (?:in|is|are|visible)\b"
    r"|^(?:sure|certainly)[,!]"
)
# Texts that stand where nobody wrote one, in full.
_STAND_INS = frozenset(("n/a", "not available", "no description", "no caption", "no text", "to do", "no comment"))
_FILLER = "lorem ipsum"
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
# Frequent words of English captions, and of captions in other languages that write Latin letters. No word is in both.
_ENGLISH = frozenset(
    """the and with his her he she of has is are wearing wears woman man person carrying walking holding black white
    blue red green shirt pants trousers shoes hair bag jacket coat""".split()  # noqa: SIM905
)
_OTHERS = frozenset(
    """
    un una el los las del con que lleva hombre mujer chica camisa camiseta chaqueta pelo negro negra rojo roja
    azul blanco blanca zapatos pantalones um uma homem mulher vestindo com preto preta calça sapatos branca
    branco uomo donna indossa gli della maglietta pantaloni giacca nera nero rossa rosso è une le les des et
    avec homme femme porte veste rouge noir noire bleu bleue blanche chaussures pantalon cheveux eine einen
    einem einer der das den dem und mit mann frau trägt jacke hose schwarze schwarzen rote roter weiße haare
    schuhe een het met vrouw draagt jas broek zwarte rode schoenen mężczyzna kobieta sobie kurtkę kurtce spodnie
    spodniach czarnych bir ve giyen adam kadın kırmızı siyah người đàn ông phụ nữ mặc áo quần màu đen đỏ và một
    pria wanita yang dengan memakai mengenakan baju celana hitam merah
    """.split()  # noqa: SIM905
)


def odd_kinds(form: str) -> list[Kind]:
    """The kinds of oddity that a caption has.

    Args:
        form: the caption in its normal form, see :func:`modeling_unipt.captions_unipt.normal_caption`.
    """
    if not form:
        return [BLANK]
    if not _LETTER.search(form):
        return [NO_LETTERS]
    kinds = []
    if _RARE_CHARACTER.search(form):
        without_tags = _NO_CODE.sub(" ", form)
        for kind, signs in _RARE_SIGNS.items():
            if signs.search(without_tags if kind == CODE else form):
                kinds.append(kind)
    if _CODE_WORDS.match(form) and CODE not in kinds:
        kinds.append(CODE)
    if _IMAGE_NAME.search(form) and ADDRESS not in kinds:
        kinds.append(ADDRESS)
    lower = form.lower()
    if _FILLER in lower and INSTRUCTION not in kinds:
        kinds.append(INSTRUCTION)
    if any(word in lower for word in _CHAT_WORDS) and _CHAT.search(lower):
        kinds.append(CHAT)
    words = _WORD.findall(lower)
    if _is_repeated(words):
        kinds.append(REPEATED)
    # Chinese, Japanese and Thai have no blanks between words.
    has_other_letters = _has_other_letters(form)
    if (len(words) == 1 and not has_other_letters) or lower.strip(".!") in _STAND_INS:
        kinds.append(NO_TEXT)
    elif has_other_letters or _is_other_language(words):
        kinds.append(OTHER_LANGUAGE)
    return kinds


def _is_repeated(words: list[str]) -> bool:
    if len(set(words)) > len(words) - 3:
        return False
    return any(len(set(words[start : start + 4])) == 1 for start in range(len(words) - 3))


def _has_other_letters(form: str) -> bool:
    """Whether most letters are not Latin ones."""
    if form.isascii():
        return False
    letters = [letter for letter in form if letter.isalpha()]
    others = sum(not unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return 2 * others > len(letters)


def _is_other_language(words: list[str]) -> bool:
    others = sum(word in _OTHERS for word in words)
    return others >= 2 and others > sum(word in _ENGLISH for word in words)
