"""Divide: what can be said about an image, as a vocabulary of attributes and phrases (UniPT, section 3.1).

The vocabulary is data (``data/vocabulary.yaml`` by default); nothing in this module knows that it is about people.

    vocabulary = load_vocabulary()
    [choice.phrase for choice in vocabulary.attributes["hat"].choices]
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modeling_unipt.common.words import nearest

from .exclusions import read_exclusions
from .nodes import PromptForms, check_blanks, check_distinct, read_entry, read_list, texts_of, value_of
from .parts import TEXTS_OF_PARTS, attribute_of_parts
from .vocabulary import WHOLE, Attribute, Card, Choice, Subject, Vocabulary, Wordings, usual_first
from .yaml_file import Complaint, read_data_file

DEFAULT_VOCABULARY = Path(__file__).parents[1] / "data" / "vocabulary.yaml"
KEYS = ["name", "templates", "prompt", "prompts", "regions", "subject", "card", "attributes", "excludes"]
ATTRIBUTE_KEYS = ["required", "region", "field", "prompt", "prompts", "phrases", "negatives", "parts", *TEXTS_OF_PARTS]
PHRASE_KEYS = ["phrase", "value", "synonyms", "more", "prompt", "prompts"]


def load_vocabulary(path: Path | str | None = None) -> Vocabulary:
    """Read and check a vocabulary file, by default the shipped one.

    Raises:
        UserError: the file is missing or wrong; file, line and fault are named.
    """
    path = Path(path or DEFAULT_VOCABULARY)
    content = read_data_file(path)
    complain = Complaint(path)
    complain.check_keys(content, "the vocabulary", KEYS, required=["name", "attributes"])
    name = str(content["name"])
    regions = _regions(complain, content)
    attributes = _attributes(complain, content, regions)
    return Vocabulary(
        name=name,
        attributes=attributes,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        regions=regions,
        exclusions=read_exclusions(complain, content.get("excludes", []), attributes),
        templates=_templates(complain, content, path),
        subject=_subject(complain, content["subject"]) if "subject" in content else None,
        card=_card(complain, content.get("card", {}), name),
    )


def _templates(complain: Complaint, content: Mapping[str, Any], path: Path) -> dict[str, Path]:
    """recipe -> path of its template file. A name in the file counts from the vocabulary's folder."""
    files = content.get("templates", {})
    if not isinstance(files, dict):
        raise complain(content, "'templates' must be a mapping of recipes to template files")
    for recipe, name in files.items():
        if not isinstance(name, str) or not (path.parent / name).is_file():
            raise complain(files, f"the templates of the recipe '{recipe}' are no file: {path.parent / str(name)}")
    return {str(recipe): path.parent / str(name) for recipe, name in files.items()}


def _subject(complain: Complaint, node: Any) -> Subject:
    keys = ["noun", "plural", "prompts", "negatives"]
    complain.check_keys(node, "'subject'", keys, required=keys)
    for key in ("noun", "plural"):
        if not isinstance(node[key], str) or not node[key].strip():
            raise complain(node, f"'{key}' of the subject must be a text, not {node[key]!r}")
    seen = set()
    for key in ("prompts", "negatives"):
        for text in read_list(complain, node, key, "the subject"):
            if not isinstance(text, str):
                raise complain(node, f"'{key}' of the subject must be texts, not {text!r}; put quotes around it")
            check_blanks(complain, text, f"'{key}' of the subject", set())
            if text in seen:
                raise complain(text, f"the subject has the sentence '{text}' twice")
            seen.add(text)
    return Subject(
        noun=str(node["noun"]),
        plural=str(node["plural"]),
        prompts=tuple(map(str, node["prompts"])),
        negatives=tuple(map(str, node["negatives"])),
    )


def _card(complain: Complaint, node: Any, name: str) -> Card:
    """The card of the node ``card``. If it has no title, the title names the vocabulary."""
    complain.check_keys(node, "'card'", ["title", "tags", "bias"])
    title = node.get("title", f"Pseudo-texts of {name}")
    tags = node.get("tags", [])
    bias = node.get("bias", "")
    if not isinstance(title, str) or not isinstance(bias, str):
        raise complain(node, "'title' and 'bias' of the card must be texts")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise complain(node, "'tags' of the card must be a list of texts")
    return Card(str(title), tuple(map(str, tags)), " ".join(bias.split()))


def _regions(complain: Complaint, content: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """name -> (top, bottom) of the declared regions, and of the whole image."""
    declared = content.get("regions", {})
    if not isinstance(declared, dict) or WHOLE in declared:
        raise complain(declared, f"'regions' must be a mapping of names to [top, bottom]; '{WHOLE}' is there by itself")
    regions = {}
    for name, span in declared.items():
        numbers = isinstance(span, list) and all(isinstance(edge, int | float) for edge in span)
        if not numbers or len(span) != 2 or not 0 <= span[0] < span[1] <= 1:
            raise complain(
                declared,
                f"region '{name}' must be [top, bottom], shares of the image's height from 0 to 1, not {span}",
            )
        regions[str(name)] = (float(span[0]), float(span[1]))
    regions[WHOLE] = (0.0, 1.0)
    return regions


def _attributes(
    complain: Complaint, content: Mapping[str, Any], regions: Mapping[str, tuple[float, float]]
) -> dict[str, Attribute]:
    """name -> attribute, in the order of the file; no two give the same field a value."""
    nodes = content["attributes"]
    if not isinstance(nodes, dict) or not nodes:
        raise complain(content, "'attributes' must be a mapping that holds at least one attribute")
    forms = PromptForms(complain, content)
    attributes = {str(name): _attribute(complain, str(name), node, forms, regions) for name, node in nodes.items()}
    owners = {}
    for name, attribute in attributes.items():
        for field in attribute.fields:
            if field in owners:
                raise complain(nodes[name], f"'{name}' and '{owners[field]}' both give the field '{field}' a value")
            owners[field] = name
    return attributes


def _attribute(
    complain: Complaint,
    name: str,
    node: Any,
    forms: PromptForms,
    regions: Mapping[str, tuple[float, float]],
) -> Attribute:
    complain.check_keys(node, f"attribute '{name}'", ATTRIBUTE_KEYS)
    # The name is a blank of templates and a column of datasets.
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise complain(node, f"attribute name '{name}' must be lower-case letters, digits and '_'")
    forms = forms.inside(node)
    region = str(node.get("region", WHOLE))
    if region not in regions:
        raise complain(node, f"attribute '{name}' is seen in an unknown region '{region}'{nearest(region, regions)}")
    required = node.get("required", False)
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
    field = str(node.get("field", name))
    choices = [_choice(complain, name, field, entry, forms, negative=False) for entry in phrases]
    choices += [_choice(complain, name, field, entry, forms, negative=True) for entry in negatives]
    check_distinct(complain, node, name, choices)
    return Attribute(name, required, choices, region)


def _choice(complain: Complaint, name: str, field: str, entry: Any, forms: PromptForms, negative: bool) -> Choice:
    """The choice of one phrase of the attribute ``name``, which gives ``field`` a value."""
    entry = read_entry(complain, entry, f"a phrase of attribute '{name}'", PHRASE_KEYS)
    if "phrase" not in entry:
        raise complain(entry, f"a phrase of attribute '{name}' lacks 'phrase'")
    wordings = (str(entry["phrase"]), *texts_of(complain, entry, "synonyms"))
    everything = Wordings(usual_first(wordings, texts_of(complain, entry, "more")))
    return Choice(
        phrase=wordings[0],
        prompts=forms.prompts(entry, name, wordings[0]),
        value={field: None if negative else value_of(entry)},
        negative=negative,
        wordings=wordings,
        short_wordings=wordings,
        all_wordings=everything,
        all_short_wordings=everything,
    )
