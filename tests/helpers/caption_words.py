"""The words by which captions tell a choice, taken from the vocabulary."""

import re
from collections.abc import Iterable

from dataset_builders.divide.vocabulary import Attribute, Choice

GENDERS = {
    "man": ["man", "male", "guy", "gentleman", "boy"],
    "woman": ["woman", "lady", "female", "girl"],
    "child": ["child", "boy", "girl", "kid", "youngster", "little", "small"],
}


def words_of(choice: Choice) -> set[str]:
    """Texts without their article; every caption that tells ``choice`` holds one. For clothes, the garment's names."""
    garments = choice.all_wordings.words.get("garment")
    texts = garments or (*choice.all_wordings, *choice.all_short_wordings)
    return {re.sub("^an? ", "", text) for text in texts} | set(GENDERS.get(choice.phrase, []))


def pattern_of(texts: Iterable[str]) -> re.Pattern:
    """A compiled pattern that finds any of ``texts`` as whole words, the longest that fits."""
    longest_first = sorted(set(texts), key=len, reverse=True)
    return re.compile(rf"(?<![a-z-])(?:{'|'.join(map(re.escape, longest_first))})(?![a-z-])")


def words_of_part(attribute: Attribute, part: str) -> set[str]:
    """Every word that any value of a part may be called by."""
    return {word for choice in attribute.choices for word in choice.all_wordings.words[part]}
