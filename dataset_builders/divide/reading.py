"""Divide: what can be said about a picture, as a vocabulary of attributes and phrases (UniPT, section 3.1).

The vocabulary is data (``data/vocabulary.yaml`` by default); nothing in this module knows that it is about people.

    vocabulary = load_vocabulary()
    [choice.phrase for choice in vocabulary.attributes["hat"].choices]
"""

import hashlib
import re
from pathlib import Path

from .exclusions import read_exclusions
from .nodes import PromptForms, check_blanks, check_distinct, read_entry, read_list, texts_of, value_of
from .parts import TEXTS_OF_PARTS, attribute_of_parts
from .vocabulary import WHOLE, Attribute, Card, Choice, Subject, Vocabulary, Wordings, usual_first
from .yaml_file import Complaint, nearest, read_data_file

DEFAULT_VOCABULARY = Path(__file__).parents[1] / "data" / "vocabulary.yaml"


def load_vocabulary(path=None):
    """Read and check a vocabulary file; the shipped one by default.

    Raises:
        UserError: the file is missing or wrong; file, line and fault are named.
    """
    path = Path(path or DEFAULT_VOCABULARY)
    content = read_data_file(path)
    complain = Complaint(path)
    allowed = ["name", "templates", "prompt", "prompts", "regions", "subject", "card", "attributes"]
    allowed += ["excludes"]
    complain.check_keys(content, "the vocabulary", allowed, required=["name", "attributes"])
    attributes, regions = content["attributes"], _regions(complain, content)
    if not isinstance(attributes, dict) or not attributes:
        raise complain(content, "'attributes' must be a mapping that holds at least one attribute")
    forms = PromptForms(complain, content)
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
    return Vocabulary(
        str(content["name"]),
        loaded,
        sha256,
        regions,
        exclusions,
        _templates(complain, content, path),
        _subject(complain, content["subject"]) if "subject" in content else None,
        _card(complain, content.get("card", {}), str(content["name"])),
    )


def _templates(complain, content, path):
    """recipe -> path of its template file, which lies beside the vocabulary or where it says."""
    files = content.get("templates", {})
    if not isinstance(files, dict):
        raise complain(content, "'templates' must be a mapping of recipes to template files")
    for recipe, name in files.items():
        if not isinstance(name, str) or not (path.parent / name).is_file():
            raise complain(files, f"the templates of the recipe '{recipe}' are no file: {path.parent / str(name)}")
    return {str(recipe): path.parent / str(name) for recipe, name in files.items()}


def _subject(complain, node):
    """The :class:`Subject` of the node ``subject``."""
    keys, seen, prompts = ["noun", "plural", "prompts", "negatives"], set(), {}
    complain.check_keys(node, "'subject'", keys, required=keys)
    for key in ("noun", "plural"):
        if not isinstance(node[key], str) or not node[key].strip():
            raise complain(node, f"'{key}' of the subject must be a text, not {node[key]!r}")
    for key in ("prompts", "negatives"):
        for text in read_list(complain, node, key, "the subject"):
            if not isinstance(text, str):
                raise complain(node, f"'{key}' of the subject must be texts, not {text!r}; put quotes around it")
            check_blanks(complain, text, f"'{key}' of the subject", set())
            if text in seen:
                raise complain(text, f"the subject has the sentence '{text}' twice")
            seen.add(text)
        prompts[key] = tuple(map(str, node[key]))
    return Subject(str(node["noun"]), str(node["plural"]), **prompts)


def _card(complain, node, name):
    """The :class:`Card` of the node ``card``; its title names the vocabulary where it has none."""
    complain.check_keys(node, "'card'", ["title", "tags", "bias"])
    title, tags, bias = node.get("title", f"Pseudo-texts of {name}"), node.get("tags", []), node.get("bias", "")
    if not all(isinstance(text, str) for text in (title, bias)):
        raise complain(node, "'title' and 'bias' of the card must be texts")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise complain(node, "'tags' of the card must be a list of texts")
    return Card(str(title), tuple(map(str, tags)), " ".join(bias.split()))


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


def _attribute(complain, name, node, forms, regions):
    allowed = ["required", "region", "field", "prompt", "prompts", "phrases", "negatives", "parts", *TEXTS_OF_PARTS]
    complain.check_keys(node, f"attribute '{name}'", allowed)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise complain(node, f"attribute name '{name}' must be lower-case letters, digits and '_'")
    required, region, forms = node.get("required", False), str(node.get("region", WHOLE)), forms.inside(node)
    if region not in regions:
        raise complain(node, f"attribute '{name}' is seen in an unknown region '{region}'{nearest(region, regions)}")
    if not isinstance(required, bool):
        raise complain(node, f"'required' of attribute '{name}' must be true or false")
    if "parts" in node:
        return attribute_of_parts(complain, name, node, required, region, forms)
    for key in TEXTS_OF_PARTS:
        if key in node:
            raise complain(node, f"attribute '{name}' has '{key}', which belongs to attributes with 'parts'")
    phrases = read_list(complain, node, "phrases", f"attribute '{name}'")
    negatives = read_list(complain, node, "negatives", f"attribute '{name}'") if "negatives" in node else []
    if required and negatives:
        raise complain(node, f"attribute '{name}' is required, so it cannot have negative phrases")
    if not required and not negatives:
        raise complain(node, f"attribute '{name}' is optional and lacks 'negatives', the phrases that say it is absent")
    field, phrase_keys = str(node.get("field", name)), ["phrase", "value", "synonyms", "more", "prompt", "prompts"]
    choices = []
    for entry, negative in [(entry, False) for entry in phrases] + [(entry, True) for entry in negatives]:
        entry = read_entry(complain, entry, f"a phrase of attribute '{name}'", phrase_keys)
        if "phrase" not in entry:
            raise complain(entry, f"a phrase of attribute '{name}' lacks 'phrase'")
        wordings = (str(entry["phrase"]), *texts_of(complain, entry, "synonyms"))
        everything = Wordings(usual_first(wordings, texts_of(complain, entry, "more")))
        choices.append(
            Choice(
                phrase=wordings[0],
                prompts=forms.prompts(entry, name, wordings[0]),
                value={field: None if negative else value_of(entry)},
                negative=negative,
                wordings=wordings,
                short_wordings=wordings,
                all_wordings=everything,
                all_short_wordings=everything,
            )
        )
    check_distinct(complain, node, name, choices)
    return Attribute(name, required, choices, region)
