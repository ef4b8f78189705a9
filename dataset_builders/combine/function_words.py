"""The words of captions that say nothing about an image: function words and what templates always hold."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..divide.yaml_file import read_data_file
from .captioner import Captioner
from .parser import Agreement, Bracket, Piece

FUNCTION_WORDS = Path(__file__).parents[1] / "data" / "function_words.yaml"
# Letters, with hyphens and apostrophes inside.
WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; "t-shirt" is one."""
    return WORD.findall(text.lower())


def function_words(captioner: Captioner) -> set[str]:
    """The words that captions hold whatever the image shows.

    They are the function words of English, and the words of the captioner's templates outside of their blanks
    ("wearing", "seen"), except those that a phrase of the vocabulary says.
    """
    english = " ".join(read_data_file(FUNCTION_WORDS).values()).split()
    return set(english) | _words_of_templates(captioner) - _words_of_phrases(captioner)


def _words_of_templates(captioner: Captioner) -> set[str]:
    words = set()
    for template in captioner.template_set.templates:
        for text in _fixed_texts(template.pieces):
            words |= set(words_of(text))
    for name, forms in captioner.template_set.words.items():
        # A word with the name of an attribute says it. Any other is a pronoun, or a noun that fits anybody.
        if name in captioner.vocabulary.attributes:
            continue
        for form in forms:
            for text, _ in form.texts:
                words |= set(words_of(re.sub("{.*?}", "", text)))
    return words


def _words_of_phrases(captioner: Captioner) -> set[str]:
    words = set()
    for attribute in captioner.vocabulary.attributes.values():
        for choice in attribute.choices:
            if not choice.negative:
                for wording in choice.wordings:
                    words |= set(words_of(wording))
    return words


def _fixed_texts(pieces: Iterable[Piece]) -> Iterator[str]:
    """The texts of template pieces that stand there whatever fills the blanks."""
    for piece in pieces:
        if isinstance(piece, str):
            yield piece
        elif isinstance(piece, Agreement):
            yield piece.singular
            yield piece.plural
        elif isinstance(piece, Bracket):
            yield from _fixed_texts(piece.pieces)
