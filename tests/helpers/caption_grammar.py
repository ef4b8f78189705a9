"""Rules of English that every caption must keep, for the words of any domain."""

import re
from collections.abc import Iterable

SENTENCES = re.compile(r"[A-Z][a-z0-9'-]*(?:,? [a-z0-9'-]+)*\.(?: [A-Z][a-z0-9'-]*(?:,? [a-z0-9'-]+)*\.)*")
LINKS = "and|with|in|of|to|by|beside|next|wearing|carrying|holding|dressed|wears?|carr(?:y|ies)|holds?|is|are|has|have"
FINITE = "is|are|has|have|wears?|carr(?:y|ies)|holds?|appears?|can"


class Grammar:
    """What is wrong with a caption, by rule.

    Args:
        subjects: nouns that a sentence may be about, in the singular.
        modifiers: words that may stand between an article and a noun.
        singular: nouns that take an article.
        uncounted: nouns that take none: plurals and what is not counted.
    """

    def __init__(
        self, subjects: Iterable[str], modifiers: Iterable[str], singular: Iterable[str], uncounted: Iterable[str]
    ) -> None:
        subjects = "|".join(subjects)
        modifiers = "|".join(modifiers)
        singular = "|".join(singular)
        uncounted = "|".join(uncounted)
        self.rules = {
            "a word twice in a row": r"\b([\w-]+),? \1\b",
            "two articles": r"\b(?:an?|the|this) (?:an?|the|this)\b",
            "a before a vowel": r"\ba (?!one[- ]|uni)[aeiou]",
            "an before a consonant": r"\ban [^aeiou]",
            "an article without a noun": rf"\b(?:an?|the|this)(?:[,.]| (?:{FINITE}|and|with|in|of)\b)",
            "an article before what is not counted": rf"\ban? (?:(?:{modifiers}) )*(?:{uncounted})\b",
            "no article before a noun": rf"(?:\b(?:{LINKS}|on)|,) (?:(?:{modifiers}) )*(?:{singular})\b",
            "an empty blank before a stop": rf"(?<![\w-])(?:{LINKS}|a|an|the)[,.]",
            "an empty blank between links": r"\b(?:with|in|of|wearing|carrying) (?:and|is|are|has|have)\b",
            "two links in a row": r"\b(?:and|with|in) (?:and|with|in)\b",
            "two finite verbs": rf"\b(?:{FINITE}) (?:{FINITE})\b",
            "a sentence that begins with its verb": rf"(?:^|\. )(?:{FINITE}|and|or)\b",
            "they with a singular verb": r"\bthey (?:is|has|wears|carries|holds)\b",
            "he, she or it with a plural verb": r"\b(?:he|she|it) (?:are|have|wear|carry|hold)\b",
            "a singular noun with a plural verb": rf"\b(?:{subjects}) (?:are|have|wear|carry|hold|appear)\b",
        }
        # The comma of "a blue, striped shirt" is none between clauses.
        self.parted = re.compile(rf"\b(an? (?:{modifiers})), (?=(?:{modifiers})\b)")
        self.any_rule = re.compile("|".join(f"(?:{rule})" for rule in list(self.rules.values())[1:]))

    def faults(self, caption: str) -> list[str]:
        """The names of the rules that ``caption`` breaks."""
        text = self.parted.sub(r"\1 ", caption.lower())
        faults = [] if SENTENCES.fullmatch(caption) else ["not sentences with one capital and one stop each"]
        if self.any_rule.search(text) or re.search(self.rules["a word twice in a row"], text):
            faults += [name for name, rule in self.rules.items() if re.search(rule, text)]
        return faults
