"""The words by which captions tell a choice, taken from the vocabulary; a helper of the tests."""

import re

GENDERS = {
    "man": ["man", "male", "guy", "gentleman", "boy"],
    "woman": ["woman", "lady", "female", "girl"],
    "child": ["child", "boy", "girl", "kid", "youngster", "little", "small"],
}


def words_of(choice):
    """Texts without their article, one of which stands in whatever tells ``choice``: of clothes the garment's names."""
    garments = choice.all_wordings.words.get("garment")
    texts = garments or (*choice.all_wordings, *choice.all_short_wordings)
    return {re.sub("^an? ", "", text) for text in texts} | set(GENDERS.get(choice.phrase, []))


def pattern_of(texts):
    """A compiled pattern that finds any of ``texts`` as whole words, the longest that fits."""
    longest_first = sorted(set(texts), key=len, reverse=True)
    return re.compile(rf"(?<![a-z-])(?:{'|'.join(map(re.escape, longest_first))})(?![a-z-])")


def words_of_part(attribute, part):
    """Every word that any value of a part may be called by."""
    return {word for choice in attribute.choices for word in choice.all_wordings.words[part]}
