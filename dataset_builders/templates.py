"""Sentence templates: a grammar in a data file, expanded, checked and parsed into pieces that can be filled."""

import hashlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from .data_file import Complaint, nearest, read_data_file

DEFAULT_TEMPLATES = Path(__file__).parent / "data" / "templates.yaml"
BEST_TEMPLATES = Path(__file__).parent / "data" / "templates_best.yaml"
NUMBERS = ("count", "omit_at_most", "tell_at_least")


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


@dataclass(frozen=True)
class TemplateSet:
    """The templates of one file, in the order of the grammar.

    Attributes:
        words: name -> list of :class:`WordForm`.
        omit_at_most: how many of the required attributes that are known a caption may leave out.
        tell_at_least: None, or that a caption may leave out any fact as long as it tells so many; the captions of one
            image then share its facts out.
    """

    templates: list
    words: dict
    omit_at_most: int
    tell_at_least: int | None
    sha256: str


def load_templates(vocabulary, path=None):
    """Read, expand and check a template file (the shipped one by default) against the whole ``vocabulary``.

    Raises:
        UserError: the file is missing or wrong; file, line and fault are named.
    """
    path = Path(path or DEFAULT_TEMPLATES)
    content = read_data_file(path)
    complain = Complaint(path)
    if "templates" not in content:
        raise complain(content, "lacks 'templates', the list of sentence templates")
    for key in NUMBERS:
        if key in content and (type(content[key]) is not int or content[key] < 0):
            raise complain(content, f"'{key}' must be a whole number")
    count, tell_at_least = content.get("count"), content.get("tell_at_least")
    if tell_at_least is not None and "omit_at_most" in content:
        raise complain(content, "'omit_at_most' and 'tell_at_least' exclude each other; give one of them")
    grammar = {name: lines for name, lines in content.items() if name not in (*NUMBERS, "words")}
    for name, lines in grammar.items():
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise complain(content, f"'{name}' must be a list of texts")
    words = _words(complain, content.get("words", {}), vocabulary)
    parser = _Parser(complain, vocabulary, words, brackets_for_all=tell_at_least is not None)
    templates = [
        parser.template(text, line)
        for line in grammar["templates"]
        for text in _expand(complain, line, line, grammar, ("templates",))
    ]
    texts = [template.text for template in templates]
    if len(set(texts)) < len(texts):
        twice = next(text for index, text in enumerate(texts) if text in texts[:index])
        raise complain(grammar["templates"][0], f"the grammar makes the same template twice: '{twice}'")
    if count is not None and len(texts) != count:
        raise complain(grammar["templates"][0], f"the grammar makes {len(texts)} templates, not the {count} of 'count'")
    _check_always_one_fits(complain, grammar["templates"][0], templates, vocabulary, tell_at_least)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return TemplateSet(templates, words, content.get("omit_at_most", 0), tell_at_least, sha256)


def _check_always_one_fits(complain, line, templates, vocabulary, tell_at_least):
    if tell_at_least is None:
        optional = {name for name, attribute in vocabulary.attributes.items() if not attribute.required}
        if not any(not template.required | template.firm and template.places == optional for template in templates):
            raise complain(
                line,
                "no template fits an image of which nothing but optional attributes is known; one must hold no "
                "required attribute's blank and a place in brackets for every optional one",
            )
        return
    if all(template.required | template.firm for template in templates):
        raise complain(
            line, "no template fits an image of which nothing is known; one must hold no blank outside of brackets"
        )
    never = set(vocabulary.attributes).difference(*(template.required | template.places for template in templates))
    if never:
        raise complain(line, f"no template has a place for the attribute '{min(never)}'")


def _expand(complain, text, line, grammar, inside):
    """Every text that ``text`` stands for, in the order of the grammar."""
    pieces = re.split(r"<([a-z_]+)>", text)
    options = []
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            options.append([piece])
            continue
        if piece not in grammar:
            raise complain(line, f"<{piece}> is not defined{nearest(piece, grammar)}")
        if piece in inside:
            raise complain(line, f"<{piece}> stands for itself without end")
        options.append(
            [made for option in grammar[piece] for made in _expand(complain, option, option, grammar, (*inside, piece))]
        )
    return ["".join(combination) for combination in itertools.product(*options)]


def _words(complain, node, vocabulary):
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


class _Parser:
    """Turns template texts into pieces, complaining at the line of ``templates`` that made them."""

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
                for name in () if optional else self.said_by(blank):
                    if name in before:
                        raise self.complain(
                            line,
                            f"'{name}' may be said before its blank outside of brackets, which then is empty: '{text}'",
                        )
                    (required if self.vocabulary.attributes[name].required else firm).add(name)
                before |= self.may_say(blank)
        return Template(text, tuple(pieces), *map(frozenset, (required, firm, places | firm)))

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
            *details, name = name.split()
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
