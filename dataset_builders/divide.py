"""Divide: what can be said about a picture, as a vocabulary of attributes and phrases (UniPT, section 3.1).

The vocabulary is data (``data/vocabulary.yaml`` by default); nothing in this module knows that it is about people.

    vocabulary = load_vocabulary()
    [choice.phrase for choice in vocabulary.attributes["hat"].choices]
"""

import dataclasses
import hashlib
import itertools
import re
import string
from dataclasses import dataclass
from pathlib import Path

from modeling_unipt.user_errors import UserError

from .data_file import Complaint, LinedDict, nearest, read_data_file

DEFAULT_VOCABULARY = Path(__file__).parent / "data" / "vocabulary.yaml"


@dataclass(frozen=True)
class Choice:
    """One thing that can be said about one attribute.

    Attributes:
        phrase: the text that a caption holds.
        prompt: the full sentence that a CLIP compares with the image.
        value: flat field -> name of the value said; None where the phrase says that the thing is absent.
        negative: whether the phrase says that the thing is absent; it is scored and never written.
        wordings: the phrase and what a caption may write instead of it.
    """

    phrase: str
    prompt: str
    value: dict
    negative: bool
    wordings: tuple


@dataclass(frozen=True)
class Attribute:
    """One attribute and all its choices, in the order of the stored probabilities.

    Attributes:
        parts: None, or part -> list of its values; the choices are then their full product, the last part fastest.
        part_fields: part -> flat field; empty without parts.
    """

    name: str
    required: bool
    choices: list
    parts: dict | None = None
    part_fields: dict = dataclasses.field(default_factory=dict)

    @property
    def fields(self):
        """The flat fields that this attribute's choices give a value."""
        return list(self.choices[0].value)

    def marginals(self, probabilities):
        """part -> (N, number of values): ``probabilities`` (N, number of choices) summed over the other parts."""
        sizes = [len(values) for values in self.parts.values()]
        table = probabilities.reshape(len(probabilities), *sizes)
        axes = range(1, len(sizes) + 1)
        return {part: table.sum(tuple(a for a in axes if a != i + 1)) for i, part in enumerate(self.parts)}


@dataclass(frozen=True)
class Vocabulary:
    """Attributes by name, in the order of the file.

    Attributes:
        sha256: of the file it was read from.
    """

    name: str
    attributes: dict
    sha256: str

    def without(self, names):
        """This vocabulary less the attributes ``names``.

        Raises:
            UserError: a name is not an attribute (the nearest valid one is named), or nothing would be left.
        """
        for name in names:
            if name not in self.attributes:
                raise UserError(
                    f"there is no attribute '{name}' to leave out{nearest(name, self.attributes)}; "
                    f"the attributes are {', '.join(self.attributes)}"
                )
        kept = {name: attribute for name, attribute in self.attributes.items() if name not in names}
        if not kept:
            raise UserError("every attribute is left out, so nothing could be said; keep at least one")
        return dataclasses.replace(self, attributes=kept)


def with_articles(text):
    """``text`` with every article "a" that stands before a vowel sound made "an"."""
    return re.sub(r"\b(a)(?= (?:(?!uni|use|usu|eu|one)[aeiou]|hour|hono|hones))", r"\1n", text, flags=re.IGNORECASE)


def load_vocabulary(path=None):
    """Read and check a vocabulary file; the shipped one by default.

    Raises:
        UserError: the file is missing or wrong; file, line and fault are named.
    """
    path = Path(path or DEFAULT_VOCABULARY)
    content = read_data_file(path)
    complain = Complaint(path)
    complain.check_keys(content, "the vocabulary", ["name", "prompt", "attributes"], required=["name", "attributes"])
    attributes = content["attributes"]
    if not isinstance(attributes, dict) or not attributes:
        raise complain(content, "'attributes' must be a mapping that holds at least one attribute")
    loaded = {
        str(name): _attribute(complain, str(name), node, content.get("prompt")) for name, node in attributes.items()
    }
    owners = {}
    for attribute in loaded.values():
        for field in attribute.fields:
            if field in owners:
                raise complain(
                    attributes[attribute.name],
                    f"'{attribute.name}' and '{owners[field]}' both give the field '{field}' a value",
                )
            owners[field] = attribute.name
    return Vocabulary(str(content["name"]), loaded, hashlib.sha256(path.read_bytes()).hexdigest())


def _attribute(complain, name, node, default_prompt):
    allowed = ["required", "field", "prompt", "phrases", "negatives", "phrase", "plural_phrase", "parts"]
    complain.check_keys(node, f"attribute '{name}'", allowed)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise complain(node, f"attribute name '{name}' must be lower-case letters, digits and '_'")
    required, prompt = node.get("required", False), node.get("prompt", default_prompt)
    if not isinstance(required, bool):
        raise complain(node, f"'required' of attribute '{name}' must be true or false")
    if "parts" in node:
        return _attribute_of_parts(complain, name, node, required, prompt)
    for key in ("phrase", "plural_phrase"):
        if key in node:
            raise complain(node, f"attribute '{name}' has '{key}', which belongs to attributes with 'parts'")
    phrases = _list(complain, node, "phrases", f"attribute '{name}'")
    negatives = _list(complain, node, "negatives", f"attribute '{name}'") if "negatives" in node else []
    if required and negatives:
        raise complain(node, f"attribute '{name}' is required, so it cannot have negative phrases")
    if not required and not negatives:
        raise complain(node, f"attribute '{name}' is optional and lacks 'negatives', the phrases that say it is absent")
    field = str(node.get("field", name))
    choices = []
    for entry, negative in [(entry, False) for entry in phrases] + [(entry, True) for entry in negatives]:
        entry = _entry(complain, entry, f"a phrase of attribute '{name}'", ["phrase", "value", "synonyms", "prompt"])
        if "phrase" not in entry:
            raise complain(entry, f"a phrase of attribute '{name}' lacks 'phrase'")
        phrase = str(entry["phrase"])
        choices.append(
            Choice(
                phrase=phrase,
                prompt=_prompt(complain, entry, name, prompt, phrase),
                value={field: None if negative else str(entry.get("value", phrase))},
                negative=negative,
                wordings=(phrase, *_synonyms(complain, entry)),
            )
        )
    _check_distinct(complain, node, name, choices)
    return Attribute(name, required, choices)


def _attribute_of_parts(complain, name, node, required, prompt):
    """An attribute whose phrases are combinations, as clothes are colour x pattern x garment."""
    if not required:
        raise complain(node, f"attribute '{name}' has parts, so it must be required")
    for key in ("phrases", "negatives", "field"):
        if key in node:
            raise complain(node, f"attribute '{name}' has both 'parts' and '{key}'")
    parts = node["parts"]
    if not isinstance(parts, dict) or not parts:
        raise complain(node, f"'parts' of attribute '{name}' must be a mapping that holds at least one part")
    pattern = node.get("phrase")
    if pattern is None:
        raise complain(node, f"attribute '{name}' has parts and lacks 'phrase', the text that puts them together")
    plural_pattern = node.get("plural_phrase", pattern)
    for text in (pattern, plural_pattern):
        _check_blanks(complain, text, f"the phrase of attribute '{name}'", set(map(str, parts)))
    entries, fields, values_of, word_keys = {}, {}, {}, ["value", "phrase", "synonyms", "plural"]
    for part, part_node in parts.items():
        where = f"part '{part}' of attribute '{name}'"
        complain.check_keys(part_node, where, ["field", "values"], required=["values"])
        fields[str(part)] = str(part_node.get("field", f"{name}_{part}"))
        entries[str(part)] = []
        for word in _list(complain, part_node, "values", where):
            word = _entry(complain, word, f"a value of {where}", word_keys)
            if "phrase" not in word and "value" not in word:
                raise complain(word, f"a value of {where} lacks 'value'")
            entries[str(part)].append(word)
        values = values_of[str(part)] = [_value(word) for word in entries[str(part)]]
        if len(set(values)) < len(values):
            raise complain(part_node, f"{where} lists a value twice")
    choices = []
    for words in itertools.product(*entries.values()):
        text = plural_pattern if any(word.get("plural") for word in words) else pattern
        slots = [(str(word.get("phrase", word.get("value"))), *_synonyms(complain, word)) for word in words]
        wordings = [
            with_articles(str(text).format(**dict(zip(entries, wording, strict=True))))
            for wording in itertools.product(*slots)
        ]
        values = [_value(word) for word in words]
        choices.append(
            Choice(
                phrase=wordings[0],
                prompt=_prompt(complain, {}, name, prompt, wordings[0]),
                value=dict(zip(fields.values(), values, strict=True)),
                negative=False,
                wordings=tuple(wordings),
            )
        )
    _check_distinct(complain, node, name, choices)
    names = {
        part: [str(word.get("value", word.get("phrase"))) for word in part_words]
        for part, part_words in entries.items()
    }
    return Attribute(name, required, choices, parts=names, part_fields=fields)


def _list(complain, node, key, where):
    values = node.get(key)
    if not isinstance(values, list) or not values:
        raise complain(node, f"{where} needs '{key}', a list that is not empty")
    return values


def _entry(complain, entry, where, allowed):
    """A phrase or value written as a bare text, or as a mapping, as a mapping."""
    if isinstance(entry, dict):
        complain.check_keys(entry, where, allowed)
        return entry
    if not isinstance(entry, str):
        raise complain(entry, f"{where} must be a text or a mapping, not {entry!r}; put quotes around it")
    content = LinedDict({allowed[0]: entry})
    content.line = getattr(entry, "line", None)
    return content


def _value(word):
    return str(word.get("value", word.get("phrase")))


def _synonyms(complain, entry):
    synonyms = entry.get("synonyms", [])
    if not isinstance(synonyms, list) or not all(isinstance(synonym, str) and synonym.strip() for synonym in synonyms):
        raise complain(entry, "'synonyms' must be a list of texts")
    return tuple(map(str, synonyms))


def _check_blanks(complain, text, where, blanks):
    """Raise unless ``text`` holds exactly the blanks ``{name}`` of the set ``blanks``."""
    try:
        found = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except (ValueError, TypeError):
        raise complain(text, f"{where} is not a text with blanks like {{name}}: {text!r}") from None
    for name in found:
        if name not in blanks:
            raise complain(text, f"{where} holds an unknown blank {{{name}}}{nearest(name, blanks)}: '{text}'")
    for name in sorted(blanks):
        if name not in found:
            raise complain(text, f"{where} lacks the blank {{{name}}}: '{text}'")


def _prompt(complain, entry, name, inherited, phrase):
    """The prompt of one phrase. A phrase's own prompt may be a whole sentence, without a blank."""
    prompt = entry.get("prompt", inherited)
    if not isinstance(prompt, str) or not prompt.strip():
        raise complain(entry, f"phrase '{phrase}' of attribute '{name}' has no prompt, and there is no default one")
    if "prompt" not in entry or "{" in prompt:
        _check_blanks(complain, prompt, f"the prompt of attribute '{name}'", {"phrase"})
        prompt = prompt.format(phrase=phrase)
    return with_articles(str(prompt))


def _check_distinct(complain, node, name, choices):
    for what in ("phrase", "prompt"):
        seen = set()
        for choice in choices:
            text = getattr(choice, what)
            if text in seen:
                raise complain(node, f"attribute '{name}' has the {what} '{text}' twice")
            seen.add(text)
