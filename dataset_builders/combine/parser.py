"""The pieces of a sentence template, and how they are read from its text."""

import re
from dataclasses import dataclass

from ..divide.yaml_file import nearest


@dataclass(frozen=True)
class Blank:
    """A blank, filled with one name's text or the list of several names' texts.

    Attributes:
        short: those of ``names`` that are attributes to be said in less detail.
    """

    names: tuple
    short: frozenset


@dataclass(frozen=True)
class Agreement:
    """Two forms, for a subject in the singular and in the plural."""

    singular: str
    plural: str


@dataclass(frozen=True)
class Optional:
    """Pieces that fall away together when their one content blank is empty."""

    pieces: tuple


@dataclass(frozen=True)
class WordForm:
    """One line of a word: its texts, when it applies, and whether what agrees with it is plural.

    Attributes:
        texts: pairs (text, names of the blanks in it).
        known, said: flat field -> value that the image must have, or that the caption must have said already; True
            stands for any value.
    """

    texts: tuple
    known: dict
    said: dict
    plural: bool


@dataclass(frozen=True)
class Template:
    """One sentence template.

    Attributes:
        required: names of the required attributes whose blanks stand outside of brackets.
        firm: names of optional attributes whose blanks stand outside of brackets.
        places: names of all the other attributes it can say, and of those in ``firm``.
    """

    text: str
    pieces: tuple
    required: frozenset
    firm: frozenset
    places: frozenset


def read_words(complain, node, vocabulary):
    """name -> list of :class:`WordForm`, of the mapping under ``words`` of a template file.

    Raises:
        UserError: a field, value or blank is unknown; file and line are named.
    """
    if not isinstance(node, dict):
        raise complain(node, "'words' must be a mapping of names to lists")
    values = {
        field: {choice.value[field] for choice in attribute.choices} - {None}
        for attribute in vocabulary.attributes.values()
        for field in attribute.fields
    }
    words = {}
    for name, lines in node.items():
        if not isinstance(lines, list) or not lines:
            raise complain(node, f"word '{name}' must be a list that is not empty")
        blanks = [*vocabulary.attributes, *(["phrase"] if name in vocabulary.attributes else [])]
        words[str(name)] = [_word_form(complain, str(name), line, values, blanks) for line in lines]
    return words


def _word_form(complain, name, line, values, blanks):
    """One line of a word; ``values``: field -> its possible values, ``blanks``: the blanks that its texts may hold."""
    complain.check_keys(line, f"word '{name}'", ["text", "if", "if_said", "plural"], required=["text"])
    conditions = {"if": {}, "if_said": {}}
    for key, condition in conditions.items():
        for field, value in line.get(key, {}).items():
            if field not in values:
                raise complain(line, f"word '{name}' asks for an unknown field '{field}'{nearest(field, values)}")
            if value != "any" and value not in values[field]:
                hint = nearest(value, values[field])
                raise complain(line, f"word '{name}' asks whether {field} is '{value}', which it never is{hint}")
            condition[str(field)] = True if value == "any" else str(value)
    texts = []
    for text in line["text"] if isinstance(line["text"], list) else [line["text"]]:
        inner = re.findall(r"{([^}]*)}", str(text))
        for blank in inner:
            if blank not in blanks:
                raise complain(line, f"word '{name}' holds an unknown blank {{{blank}}}{nearest(blank, blanks)}")
        texts.append((str(text), tuple(inner)))
    return WordForm(tuple(texts), conditions["if"], conditions["if_said"], bool(line.get("plural", False)))


class TemplateParser:
    """Turns template texts into pieces, complaining at the line of ``templates`` that made them.

    Args:
        complain: the file's :class:`dataset_builders.divide.yaml_file.Complaint`.
        words: as :func:`read_words` gives them.
        brackets_for_all: whether required attributes, too, may stand in brackets.
    """

    def __init__(self, complain, vocabulary, words, brackets_for_all):
        self.complain, self.vocabulary, self.words = complain, vocabulary, words
        self.brackets_for_all = brackets_for_all

    def template(self, text, line):
        pieces, required, firm, places, before = [], set(), set(), set(), set()
        for chunk in re.split(r"(\[[^\[\]]*\])", text):
            optional = chunk.startswith("[")
            parsed = self.pieces(chunk.strip("[]") if optional else chunk, line, text)
            if optional:
                places |= self.places(parsed, chunk, line, text)
                pieces.append(Optional(tuple(parsed)))
            else:
                pieces += parsed
            for blank in (piece for piece in parsed if isinstance(piece, Blank)):
                if not optional:
                    self.check_never_empty(blank, before, line, text)
                for name in () if optional else self.said_by(blank):
                    (required if self.vocabulary.attributes[name].required else firm).add(name)
                before |= self.may_say(blank)
        return Template(text, tuple(pieces), *map(frozenset, (required, firm, places | firm)))

    def check_never_empty(self, blank, before, line, text):
        """Raise if a blank outside of brackets can stay empty where the template fits; ``before``: what may be said."""
        for name in sorted(self.may_say(blank) & before):
            raise self.complain(
                line, f"'{name}' may be said before its blank outside of brackets, which then is empty: '{text}'"
            )
        for name in blank.names:
            if name in self.words and not self.always_says(name):
                raise self.complain(
                    line, f"the word '{name}' is nothing where none of its lines apply, so it needs brackets: '{text}'"
                )

    def always_says(self, word):
        """Whether some line of ``word`` applies whatever is known of the image, as long as what the word says is."""
        said = {word, *(inner for form in self.words[word] for _, inners in form.texts for inner in inners)}
        values = {
            field: attribute.values(field)
            for name, attribute in self.vocabulary.attributes.items()
            for field in attribute.fields
            if name in said
        }
        for form in self.words[word]:
            if form.said or len(form.known) > 1:
                continue
            if not form.known:
                return True
            ((field, value),) = form.known.items()
            if field in values:
                values[field] = values[field] - {value} if value is not True else set()
        return not all(values.values())

    def places(self, parsed, chunk, line, text):
        """Names of the attributes whose one blank stands in the brackets ``chunk``."""
        said = [names for names in (self.said_by(piece) for piece in parsed if isinstance(piece, Blank)) if names]
        if len(said) != 1:
            raise self.complain(line, f"brackets must hold exactly one attribute's blank: '{chunk}' in '{text}'")
        for name in said[0]:
            if self.vocabulary.attributes[name].required and not self.brackets_for_all:
                raise self.complain(line, f"the required attribute '{name}' stands in brackets in '{text}'")
        return said[0]

    def said_by(self, blank):
        """Names of the attributes that a blank needs: its own, and those of a word that is nothing without them."""
        names = set()
        for name in blank.names:
            if name in self.vocabulary.attributes:
                names.add(name)
            elif all(form.known for form in self.words[name]):
                names |= {blank for form in self.words[name] for _, inner in form.texts for blank in inner}
        return names

    def may_say(self, blank):
        """Names of all the attributes that a blank may say."""
        names = set(blank.names) | {
            inner
            for name in blank.names
            for form in self.words.get(name, ())
            for _, said in form.texts
            for inner in said
        }
        return names & set(self.vocabulary.attributes)

    def blank(self, token, line, text):
        names, short = [], set()
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

    def pieces(self, chunk, line, text):
        parsed = []
        for token in re.split(r"({[^{}]*}|\([^()]*\))", chunk):
            if token.startswith("{"):
                parsed.append(self.blank(token, line, text))
            elif token.startswith("("):
                forms = token[1:-1].split("|")
                if len(forms) != 2:
                    raise self.complain(line, f"'{token}' must hold a singular and a plural form in '{text}'")
                parsed.append(Agreement(*forms))
            elif token:
                if re.search(r"[\[\]{}()<>|&]", token):
                    raise self.complain(line, f"unbalanced or nested brackets near '{token.strip()}' in '{text}'")
                parsed.append(token)
        return parsed
