"""Divide: what can be said about a picture, as a vocabulary of attributes and phrases (UniPT, section 3.1).

The vocabulary is data (``data/vocabulary.yaml`` by default); nothing in this module knows that it is about people.

    vocabulary = load_vocabulary()
    [choice.phrase for choice in vocabulary.attributes["hat"].choices]
"""

import hashlib
import itertools
import re
import string
from pathlib import Path

from .data_file import Complaint, LinedDict, nearest, read_data_file
from .exclusions import read_exclusions
from .vocabulary import WHOLE, Attribute, Choice, Vocabulary

DEFAULT_VOCABULARY = Path(__file__).parent / "data" / "vocabulary.yaml"


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
    allowed = ["name", "templates", "prompt", "prompts", "regions", "attributes", "excludes"]
    complain.check_keys(content, "the vocabulary", allowed, required=["name", "attributes"])
    attributes, regions = content["attributes"], _regions(complain, content)
    if not isinstance(attributes, dict) or not attributes:
        raise complain(content, "'attributes' must be a mapping that holds at least one attribute")
    forms = _PromptForms(complain, content)
    loaded = {str(name): _attribute(complain, str(name), node, forms, regions) for name, node in attributes.items()}
    owners = {}
    for attribute in loaded.values():
        for field in attribute.fields:
            if field in owners:
                raise complain(
                    attributes[attribute.name],
                    f"'{attribute.name}' and '{owners[field]}' both give the field '{field}' a value",
                )
            owners[field] = attribute.name
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    exclusions = read_exclusions(complain, content.get("excludes", []), loaded)
    return Vocabulary(str(content["name"]), loaded, sha256, regions, exclusions, _templates(complain, content, path))


def _templates(complain, content, path):
    """recipe -> path of its template file, which lies beside the vocabulary or where it says."""
    files = content.get("templates", {})
    if not isinstance(files, dict):
        raise complain(content, "'templates' must be a mapping of recipes to template files")
    for recipe, name in files.items():
        if not isinstance(name, str) or not (path.parent / name).is_file():
            raise complain(files, f"the templates of the recipe '{recipe}' are no file: {path.parent / str(name)}")
    return {str(recipe): path.parent / str(name) for recipe, name in files.items()}


def _regions(complain, content):
    """name -> (top, bottom) of the declared regions, and of the whole picture."""
    declared = content.get("regions", {})
    if not isinstance(declared, dict) or WHOLE in declared:
        raise complain(declared, f"'regions' must be a mapping of names to [top, bottom]; '{WHOLE}' is there by itself")
    for name, span in declared.items():
        numbers = isinstance(span, list) and all(isinstance(edge, int | float) for edge in span)
        if not numbers or len(span) != 2 or not 0 <= span[0] < span[1] <= 1:
            raise complain(
                declared,
                f"region '{name}' must be [top, bottom], shares of the picture's height from 0 to 1, not {span}",
            )
    return {**{str(name): tuple(map(float, span)) for name, span in declared.items()}, WHOLE: (0.0, 1.0)}


class _PromptForms:
    """The prompt and the further forms for an ensemble that hold for what lies inside one node of the file.

    Whoever has a ``prompt`` of its own takes none of the forms around it: they were written for another sentence.
    """

    def __init__(self, complain, node, around=None):
        self.complain = complain
        self.own = "prompt" in node
        self.prompt = node.get("prompt", around.prompt if around else None)
        self.others = node.get("prompts", around.others if around and not self.own else [])
        if not isinstance(self.others, list) or not all(isinstance(form, str) for form in self.others):
            raise complain(node, "'prompts' must be a list of texts, further forms of 'prompt'")

    def inside(self, node):
        return _PromptForms(self.complain, node, self)

    def prompts(self, node, name, phrase):
        """The prompts of one phrase, whose node may have forms of its own. Those may lack the blank."""
        forms = self.inside(node)
        if not isinstance(forms.prompt, str) or not forms.prompt.strip():
            raise self.complain(
                node, f"phrase '{phrase}' of attribute '{name}' has no prompt, and there is no default one"
            )
        made = []
        for form, own in [(forms.prompt, "prompt" in node), *((form, "prompts" in node) for form in forms.others)]:
            if not own or "{" in form:
                _check_blanks(self.complain, form, f"the prompt of attribute '{name}'", {"phrase"})
                form = form.format(phrase=phrase)
            made.append(with_articles(str(form)))
        return tuple(made)


def _attribute(complain, name, node, forms, regions):
    texts_of_parts = ["phrase", "plural_phrase", "short_phrase", "plural_short_phrase"]
    allowed = ["required", "region", "field", "prompt", "prompts", "phrases", "negatives", "parts", *texts_of_parts]
    complain.check_keys(node, f"attribute '{name}'", allowed)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise complain(node, f"attribute name '{name}' must be lower-case letters, digits and '_'")
    required, region, forms = node.get("required", False), str(node.get("region", WHOLE)), forms.inside(node)
    if region not in regions:
        raise complain(node, f"attribute '{name}' is seen in an unknown region '{region}'{nearest(region, regions)}")
    if not isinstance(required, bool):
        raise complain(node, f"'required' of attribute '{name}' must be true or false")
    if "parts" in node:
        return _attribute_of_parts(complain, name, node, required, region, forms)
    for key in texts_of_parts:
        if key in node:
            raise complain(node, f"attribute '{name}' has '{key}', which belongs to attributes with 'parts'")
    phrases = _list(complain, node, "phrases", f"attribute '{name}'")
    negatives = _list(complain, node, "negatives", f"attribute '{name}'") if "negatives" in node else []
    if required and negatives:
        raise complain(node, f"attribute '{name}' is required, so it cannot have negative phrases")
    if not required and not negatives:
        raise complain(node, f"attribute '{name}' is optional and lacks 'negatives', the phrases that say it is absent")
    field, phrase_keys = str(node.get("field", name)), ["phrase", "value", "synonyms", "prompt", "prompts"]
    choices = []
    for entry, negative in [(entry, False) for entry in phrases] + [(entry, True) for entry in negatives]:
        entry = _entry(complain, entry, f"a phrase of attribute '{name}'", phrase_keys)
        if "phrase" not in entry:
            raise complain(entry, f"a phrase of attribute '{name}' lacks 'phrase'")
        wordings = (str(entry["phrase"]), *_synonyms(complain, entry))
        choices.append(
            Choice(
                phrase=wordings[0],
                prompts=forms.prompts(entry, name, wordings[0]),
                value={field: None if negative else _value(entry)},
                negative=negative,
                wordings=wordings,
                short_wordings=wordings,
            )
        )
    _check_distinct(complain, node, name, choices)
    return Attribute(name, required, choices, region)


def _attribute_of_parts(complain, name, node, required, region, forms):
    """An attribute whose phrases are combinations, as clothes are colour x pattern x garment."""
    if not required:
        raise complain(node, f"attribute '{name}' has parts, so it must be required")
    for key in ("phrases", "negatives", "field"):
        if key in node:
            raise complain(node, f"attribute '{name}' has both 'parts' and '{key}'")
    parts = node["parts"]
    if not isinstance(parts, dict) or not parts:
        raise complain(node, f"'parts' of attribute '{name}' must be a mapping that holds at least one part")
    entries, fields, word_keys = {}, {}, ["value", "phrase", "synonyms", "plural"]
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
        values = [_value(word) for word in entries[str(part)]]
        if len(set(values)) < len(values):
            raise complain(part_node, f"{where} lists a value twice")
    patterns = _part_patterns(complain, name, node, set(entries))
    choices = []
    for words in itertools.product(*entries.values()):
        full, short = patterns[any(word.get("plural") for word in words)]
        slots = [(str(word.get("phrase", word.get("value"))), *_synonyms(complain, word)) for word in words]
        wordings, short_wordings = [], []
        for wording in itertools.product(*slots):
            texts = dict(zip(entries, wording, strict=True))
            wordings.append(with_articles(full.format(**texts)))
            short_wordings.append(with_articles(short.format(**texts)))
        choices.append(
            Choice(
                phrase=wordings[0],
                prompts=forms.prompts({}, name, wordings[0]),
                value=dict(zip(fields.values(), map(_value, words), strict=True)),
                negative=False,
                wordings=tuple(wordings),
                short_wordings=tuple(dict.fromkeys(short_wordings)),
            )
        )
    _check_distinct(complain, node, name, choices)
    values = {part: [_value(word) for word in part_words] for part, part_words in entries.items()}
    return Attribute(name, required, choices, region, values, fields)


def _part_patterns(complain, name, node, parts):
    """(text, shorter text) that put parts together, for the singular (at False) and the plural (at True)."""
    if "phrase" not in node:
        raise complain(node, f"attribute '{name}' has parts and lacks 'phrase', the text that puts them together")
    phrase = node["phrase"]
    plural, short = node.get("plural_phrase", phrase), node.get("short_phrase")
    for text in (phrase, plural):
        _check_blanks(complain, text, f"the phrase of attribute '{name}'", parts)
    plural_short = node.get("plural_short_phrase", short)
    for text in (short, plural_short):
        if text is not None:
            _check_blanks(complain, text, f"the short phrase of attribute '{name}'", parts, all_of_them=False)
    return {False: (str(phrase), str(short or phrase)), True: (str(plural), str(plural_short or plural))}


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


def _check_blanks(complain, text, where, blanks, all_of_them=True):
    """Raise unless ``text`` holds the blanks ``{name}`` of the set ``blanks``, all of them and no others."""
    try:
        found = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except (ValueError, TypeError):
        raise complain(text, f"{where} is not a text with blanks like {{name}}: {text!r}") from None
    for name in found:
        if name not in blanks:
            raise complain(text, f"{where} holds an unknown blank {{{name}}}{nearest(name, blanks)}: '{text}'")
    for name in sorted(blanks) if all_of_them else ():
        if name not in found:
            raise complain(text, f"{where} lacks the blank {{{name}}}: '{text}'")


def _check_distinct(complain, node, name, choices):
    for what, texts in (
        ("phrase", [choice.phrase for choice in choices]),
        ("prompt", [prompt for choice in choices for prompt in choice.prompts]),
    ):
        seen = set()
        for text in texts:
            if text in seen:
                raise complain(node, f"attribute '{name}' has the {what} '{text}' twice")
            seen.add(text)
