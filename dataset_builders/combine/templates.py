"""Sentence templates: a grammar in a data file, expanded and checked."""

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_unipt.common.words import nearest

from ..divide.vocabulary import Vocabulary
from ..divide.yaml_file import Complaint, read_data_file
from .parser import Template, TemplateParser, Words, read_words

# Keys of a template file that are no rules of its grammar.
NUMBERS = ("count", "omit_at_most", "tell_at_least")
SETTINGS = (*NUMBERS, "words", "all_synonyms")


@dataclass(frozen=True)
class TemplateSet:
    """The templates of one file, in the order of the grammar.

    Attributes:
        words: name of a word -> its lines.
        omit_at_most: how many of the required attributes that are known a caption may leave out.
        tell_at_least: None, or how many facts a caption tells at least. A caption may then leave out any other fact,
            and the captions of one image share its facts out.
        all_synonyms: whether captions draw from the vocabulary's further wordings too, those under ``more``.
        sha256: hash of the file.
    """

    templates: list[Template]
    words: Words
    omit_at_most: int
    tell_at_least: int | None
    all_synonyms: bool
    sha256: str


def load_templates(vocabulary: Vocabulary, path: Path | str | None = None) -> TemplateSet:
    """Read, expand and check a template file.

    Args:
        vocabulary: the whole vocabulary, also when attributes are left out of the captions.
        path: path of the file; by default the vocabulary's for the recipe `paper`.

    Raises:
        UserError: the file is missing or wrong; file, line and fault are named.
    """
    path = Path(path or vocabulary.templates_for("paper"))
    content = read_data_file(path)
    complain = Complaint(path)
    if "templates" not in content:
        raise complain(content, "lacks 'templates', the list of sentence templates")
    _check_settings(complain, content)
    tell_at_least = content.get("tell_at_least")
    grammar = {name: lines for name, lines in content.items() if name not in SETTINGS}
    for name, lines in grammar.items():
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise complain(content, f"'{name}' must be a list of texts")
    words = read_words(complain, content.get("words", {}), vocabulary)
    parser = TemplateParser(complain, vocabulary, words, brackets_for_all=tell_at_least is not None)
    templates = []
    for line in grammar["templates"]:
        for text in _expand(complain, line, grammar, ("templates",)):
            templates.append(parser.template(text, line))
    first_line = grammar["templates"][0]
    _check_number(complain, first_line, templates, content.get("count"))
    _check_always_one_fits(complain, first_line, templates, vocabulary, tell_at_least)
    return TemplateSet(
        templates=templates,
        words=words,
        omit_at_most=content.get("omit_at_most", 0),
        tell_at_least=tell_at_least,
        all_synonyms=content.get("all_synonyms", False),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _check_settings(complain: Complaint, content: Mapping[str, Any]) -> None:
    for key in NUMBERS:
        # isinstance would take a truth value for a number.
        if key in content and (type(content[key]) is not int or content[key] < 0):
            raise complain(content, f"'{key}' must be a whole number")
    if content.get("tell_at_least") is not None and "omit_at_most" in content:
        raise complain(content, "'omit_at_most' and 'tell_at_least' exclude each other; give one of them")
    if not isinstance(content.get("all_synonyms", False), bool):
        raise complain(content, "'all_synonyms' must be true or false")


def _check_number(complain: Complaint, line: Any, templates: Sequence[Template], count: int | None) -> None:
    """Check that all templates differ and that there are ``count`` of them, if that is given."""
    text, times = Counter(template.text for template in templates).most_common(1)[0]
    if times > 1:
        raise complain(line, f"the grammar makes the same template twice: '{text}'")
    if count is not None and len(templates) != count:
        raise complain(line, f"the grammar makes {len(templates)} templates, not the {count} of 'count'")


def _check_always_one_fits(
    complain: Complaint, line: Any, templates: Sequence[Template], vocabulary: Vocabulary, tell_at_least: int | None
) -> None:
    """Check that some template fits every image, whatever is known of it."""
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


def _expand(complain: Complaint, line: str, grammar: Mapping[str, list[str]], inside: tuple[str, ...]) -> list[str]:
    """Every text for which a line stands, in the order of the grammar.

    Args:
        inside: the rules that are being expanded; the line belongs to the last of them.
    """
    # Every second piece is the name of a rule, such as "subject" of "<subject> is {action}."
    pieces = re.split(r"<([a-z_]+)>", line)
    options = []
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            options.append([piece])
            continue
        if piece not in grammar:
            raise complain(line, f"<{piece}> is not defined{nearest(piece, grammar)}")
        if piece in inside:
            raise complain(line, f"<{piece}> stands for itself without end")
        made = []
        for option in grammar[piece]:
            made += _expand(complain, option, grammar, (*inside, piece))
        options.append(made)
    return ["".join(combination) for combination in itertools.product(*options)]
