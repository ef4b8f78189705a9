"""Sentence templates: a grammar in a data file, expanded and checked."""

import hashlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from ..divide.yaml_file import Complaint, nearest, read_data_file
from .parser import TemplateParser, read_words

NUMBERS = ("count", "omit_at_most", "tell_at_least")


@dataclass(frozen=True)
class TemplateSet:
    """The templates of one file, in the order of the grammar.

    Attributes:
        words: name -> list of :class:`WordForm`.
        omit_at_most: how many of the required attributes that are known a caption may leave out.
        tell_at_least: None, or that a caption may leave out any fact as long as it tells so many; the captions of one
            image then share its facts out.
        all_synonyms: whether captions draw from the vocabulary's further wordings too, those under ``more``.
    """

    templates: list
    words: dict
    omit_at_most: int
    tell_at_least: int | None
    all_synonyms: bool
    sha256: str


def load_templates(vocabulary, path=None):
    """Read, expand and check a template file (by default that of `paper`) against the whole ``vocabulary``.

    Raises:
        UserError: the file is missing or wrong; file, line and fault are named.
    """
    path = Path(path or vocabulary.templates_for("paper"))
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
    all_synonyms = content.get("all_synonyms", False)
    if not isinstance(all_synonyms, bool):
        raise complain(content, "'all_synonyms' must be true or false")
    grammar = {name: lines for name, lines in content.items() if name not in (*NUMBERS, "words", "all_synonyms")}
    for name, lines in grammar.items():
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise complain(content, f"'{name}' must be a list of texts")
    words = read_words(complain, content.get("words", {}), vocabulary)
    parser = TemplateParser(complain, vocabulary, words, brackets_for_all=tell_at_least is not None)
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
    return TemplateSet(templates, words, content.get("omit_at_most", 0), tell_at_least, all_synonyms, sha256)


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
