"""The pieces of a sentence template, and how they are read from its text.

A template's text holds blanks ``{name}``, brackets ``[ and wears {hat}]`` and agreements ``(has|have)``. The comments
in ``data/templates.yaml`` explain the language.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from modeling_unipt.common.words import nearest

from ..divide.vocabulary import Vocabulary
from ..divide.yaml_file import Complaint


@dataclass(frozen=True)
class Blank:
    """A blank, filled with the text of one name or with the list of several names' texts.

    Attributes:
        names: attributes of the vocabulary, and words of the template file.
        short: those of ``names`` that are attributes to be said in less detail.
    """

    names: tuple[str, ...]
    short: frozenset[str]


@dataclass(frozen=True)
class Agreement:
    """Two forms, for a subject in the singular and in the plural."""

    singular: str
    plural: str


@dataclass(frozen=True)
class Bracket:
    """Pieces that fall away together if the one attribute's blank among them stays empty."""

    pieces: tuple["Piece", ...]


# A plain text stands there whatever fills the blanks.
Piece: TypeAlias = str | Blank | Agreement | Bracket


@dataclass(frozen=True)
class WordForm:
    """One line of a word: its texts, the condition under which it applies, and its number.

    Attributes:
        texts: pairs (text, names of the blanks in it).
        known: flat field -> the value that the image must have; True stands for any value.
        said: flat field -> the value that the caption must have said already; True stands for any value.
        plural: whether what agrees with the word is plural.
    """

    texts: tuple[tuple[str, tuple[str, ...]], ...]
    known: dict[str, str | Literal[True]]
    said: dict[str, str | Literal[True]]
    plural: bool


# Name of a word -> its lines; the first one that applies is taken.
Words: TypeAlias = dict[str, list[WordForm]]


@dataclass(frozen=True)
class Template:
    """One sentence template.

    Attributes:
        required: names of the required attributes whose blanks stand outside of brackets.
        firm: names of the optional attributes whose blanks stand outside of brackets.
        places: names of all the other attributes that it can say, and of those in ``firm``.
    """

    text: str
    pieces: tuple[Piece, ...]
    required: frozenset[str]
    firm: frozenset[str]
    places: frozenset[str]


def read_words(complain: Complaint, node: Any, vocabulary: Vocabulary) -> Words:
    """Read the mapping under ``words`` of a template file.

    Raises:
        UserError: a field, value or blank is unknown; file and line are named.
    """
    if not isinstance(node, dict):
        raise complain(node, "'words' must be a mapping of names to lists")
    values = {}
    for attribute in vocabulary.attributes.values():
        for field in attribute.fields:
            values[field] = attribute.values(field)
    words = {}
    for name, lines in node.items():
        if not isinstance(lines, list) or not lines:
            raise complain(node, f"word '{name}' must be a list that is not empty")
        # A word that has an attribute's name says it; {phrase} is that attribute's own phrase.
        blanks = [*vocabulary.attributes, *(["phrase"] if name in vocabulary.attributes else [])]
        words[str(name)] = [_word_form(complain, str(name), line, values, blanks) for line in lines]
    return words


def _word_form(
    complain: Complaint, name: str, line: Any, values: Mapping[str, set[str]], blanks: Collection[str]
) -> WordForm:
    """One line of a word.

    Args:
        values: field -> its possible values.
        blanks: the blanks that the line's texts may hold.
    """
    complain.check_keys(line, f"word '{name}'", ["text", "if", "if_said", "plural"], required=["text"])
    known = _condition(complain, name, line, "if", values)
    said = _condition(complain, name, line, "if_said", values)
    texts = []
    for text in line["text"] if isinstance(line["text"], list) else [line["text"]]:
        inner = re.findall(r"{([^}]*)}", str(text))
        for blank in inner:
            if blank not in blanks:
                raise complain(line, f"word '{name}' holds an unknown blank {{{blank}}}{nearest(blank, blanks)}")
        texts.append((str(text), tuple(inner)))
    return WordForm(tuple(texts), known, said, plural=bool(line.get("plural", False)))


def _condition(
    complain: Complaint, name: str, line: Any, key: str, values: Mapping[str, set[str]]
) -> dict[str, str | Literal[True]]:
    """The mapping under ``key``, its fields and values checked; "any" becomes True."""
    condition = {}
    for field, value in line.get(key, {}).items():
        if field not in values:
            raise complain(line, f"word '{name}' asks for an unknown field '{field}'{nearest(field, values)}")
        if value != "any" and value not in values[field]:
            hint = nearest(value, values[field])
            raise complain(line, f"word '{name}' asks whether {field} is '{value}', which it never is{hint}")
        condition[str(field)] = True if value == "any" else str(value)
    return condition


class TemplateParser:
    """Turns template texts into pieces, complaining at the line of ``templates`` that made them.

    Args:
        words: as :func:`read_words` gives them.
        brackets_for_all: whether required attributes, too, may stand in brackets.
    """

    def __init__(self, complain: Complaint, vocabulary: Vocabulary, words: Words, brackets_for_all: bool) -> None:
        self.complain = complain
        self.vocabulary = vocabulary
        self.words = words
        self.brackets_for_all = brackets_for_all

    def template(self, text: str, line: Any) -> Template:
        """The template of one text.

        Args:
            line: the line of the file that made the text; errors name its number.

        Raises:
            UserError: the text is no template, or a blank outside of brackets could stay empty.
        """
        pieces: list[Piece] = []
        required: set[str] = set()
        firm: set[str] = set()
        places: set[str] = set()
        before: set[str] = set()
        for chunk in re.split(r"(\[[^\[\]]*\])", text):
            if chunk.startswith("["):
                parsed = self._pieces(chunk.strip("[]"), line, text)
                places |= self._places(parsed, chunk, line, text)
                pieces.append(Bracket(tuple(parsed)))
            else:
                parsed = self._pieces(chunk, line, text)
                pieces += parsed
                self._check_never_empty(parsed, before, line, text)
                for name in self._said_by_all(parsed):
                    (required if self.vocabulary.attributes[name].required else firm).add(name)
            for blank in _blanks(parsed):
                before |= self._may_say(blank)
        return Template(text, tuple(pieces), frozenset(required), frozenset(firm), frozenset(places | firm))

    def _check_never_empty(self, parsed: list[Piece], before: set[str], line: Any, text: str) -> None:
        """Complain if a blank outside of brackets can stay empty although the template fits.

        Args:
            before: names of the attributes that may have been said before these pieces.
        """
        before = set(before)
        for blank in _blanks(parsed):
            for name in sorted(self._may_say(blank) & before):
                raise self.complain(
                    line, f"'{name}' may be said before its blank outside of brackets, which then is empty: '{text}'"
                )
            for name in blank.names:
                if name in self.words and not self._always_says(name):
                    raise self.complain(
                        line,
                        f"the word '{name}' is nothing where none of its lines apply, so it needs brackets: '{text}'",
                    )
            before |= self._may_say(blank)

    def _always_says(self, word: str) -> bool:
        """Whether, for every image of which the facts are known that ``word`` tells, one of its lines applies."""
        said = {word} | self._inner_blanks(word)
        # field of what the word says -> the values for which no line applies so far
        left = {}
        for name in said & set(self.vocabulary.attributes):
            attribute = self.vocabulary.attributes[name]
            for field in attribute.fields:
                left[field] = attribute.values(field)
        for form in self.words[word]:
            # A line that asks for two things, or for what was said, applies to an unknown share of the images.
            if form.said or len(form.known) > 1:
                continue
            if not form.known:
                return True
            ((field, value),) = form.known.items()
            if field in left:
                left[field] = set() if value is True else left[field] - {value}
        return not all(left.values())

    def _inner_blanks(self, word: str) -> set[str]:
        """Names of the blanks in the texts of ``word``."""
        inner = set()
        for form in self.words[word]:
            for _, blanks in form.texts:
                inner |= set(blanks)
        return inner

    def _places(self, parsed: list[Piece], chunk: str, line: Any, text: str) -> set[str]:
        """Names of the attributes whose one blank stands in the brackets ``chunk``."""
        said = []
        for blank in _blanks(parsed):
            names = self._said_by(blank)
            if names:
                said.append(names)
        if len(said) != 1:
            raise self.complain(line, f"brackets must hold exactly one attribute's blank: '{chunk}' in '{text}'")
        for name in said[0]:
            if self.vocabulary.attributes[name].required and not self.brackets_for_all:
                raise self.complain(line, f"the required attribute '{name}' stands in brackets in '{text}'")
        return said[0]

    def _said_by(self, blank: Blank) -> set[str]:
        """Names of the attributes that a blank needs: its own, and those of a word that is nothing without them."""
        names = set()
        for name in blank.names:
            if name in self.vocabulary.attributes:
                names.add(name)
            elif all(form.known for form in self.words[name]):
                names |= self._inner_blanks(name)
        return names

    def _said_by_all(self, parsed: list[Piece]) -> set[str]:
        return set().union(*(self._said_by(blank) for blank in _blanks(parsed)))

    def _may_say(self, blank: Blank) -> set[str]:
        """Names of all the attributes that a blank may say."""
        names = set(blank.names)
        for name in blank.names:
            if name in self.words:
                names |= self._inner_blanks(name)
        return names & set(self.vocabulary.attributes)

    def _blank(self, token: str, line: Any, text: str) -> Blank:
        """The blank of a token such as ``{hat & glasses}`` or ``{short upper_clothes}``."""
        names = []
        short = set()
        for name in token[1:-1].split("&"):
            *details, name = name.split() or [""]
            if name not in self.vocabulary.attributes and name not in self.words:
                known = [*self.vocabulary.attributes, *self.words]
                raise self.complain(line, f"unknown blank {{{name}}}{nearest(name, known)} in '{text}'")
            if details == ["short"] and name not in self.words:
                short.add(name)
            elif details:
                raise self.complain(line, f"only an attribute that is no word can be 'short', not {token} in '{text}'")
            names.append(name)
        return Blank(tuple(names), frozenset(short))

    def _pieces(self, chunk: str, line: Any, text: str) -> list[Piece]:
        """The pieces of a text without brackets."""
        parsed: list[Piece] = []
        for token in re.split(r"({[^{}]*}|\([^()]*\))", chunk):
            if token.startswith("{"):
                parsed.append(self._blank(token, line, text))
            elif token.startswith("("):
                forms = token[1:-1].split("|")
                if len(forms) != 2:
                    raise self.complain(line, f"'{token}' must hold a singular and a plural form in '{text}'")
                parsed.append(Agreement(*forms))
            elif token:
                # What still looks like the template language was not closed, or lies within another bracket.
                if re.search(r"[\[\]{}()<>|&]", token):
                    raise self.complain(line, f"unbalanced or nested brackets near '{token.strip()}' in '{text}'")
                parsed.append(token)
        return parsed


def _blanks(parsed: list[Piece]) -> list[Blank]:
    return [piece for piece in parsed if isinstance(piece, Blank)]
