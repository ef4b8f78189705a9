"""Attributes whose phrases are combinations, as clothes are colour x pattern x garment."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from modeling_unipt.common.words import with_articles

from .nodes import (
    PromptForms,
    blanks_of,
    check_blanks,
    check_distinct,
    read_entry,
    read_list,
    texts_of,
    value_of,
)
from .vocabulary import Attribute, Choice, Wordings, usual_first
from .yaml_file import Complaint

# Keys of an attribute with parts that list further texts -> the kind of those texts.
FURTHER = {f"more_{kind}": kind for kind in ("phrases", "plural_phrases", "short_phrases", "plural_short_phrases")}
TEXTS_OF_PARTS = ["phrase", "plural_phrase", "short_phrase", "plural_short_phrase", "partial", *FURTHER]

# One value of a part, as the file has it: value, phrase, synonyms, more, plural.
Word: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class _Texts:
    """The texts that put parts together, for words in the singular or for those in the plural.

    Attributes:
        full: holds every part.
        short: may hold fewer parts; the same as ``full`` if there is no shorter text.
        more: further texts that hold every part.
        more_short: further texts that may hold fewer parts.
    """

    full: str
    short: str
    more: tuple[str, ...]
    more_short: tuple[str, ...]


def attribute_of_parts(
    complain: Complaint, name: str, node: Mapping[str, Any], required: bool, region: str, forms: PromptForms
) -> Attribute:
    """The attribute of a node with ``parts``. Its phrases are all combinations of the parts' values.

    Args:
        forms: the prompts that hold inside the node.

    Raises:
        UserError: something in the node is wrong; file and line are named.
    """
    if not required:
        raise complain(node, f"attribute '{name}' has parts, so it must be required")
    for key in ("phrases", "negatives", "field"):
        if key in node:
            raise complain(node, f"attribute '{name}' has both 'parts' and '{key}'")
    fields, entries = _parts(complain, name, node)
    singular, plural = _texts_of_parts(complain, name, node, set(entries))
    choices = []
    for spoken in _combinations(entries, list(entries)):
        texts = plural if _is_plural(spoken) else singular
        wordings = _wordings(complain, texts.full, spoken)
        short_wordings = _wordings(complain, texts.short, spoken)
        choices.append(
            Choice(
                phrase=wordings[0],
                prompts=forms.prompts({}, name, wordings[0]),
                value={fields[part]: value_of(word) for part, word in spoken.items()},
                negative=False,
                wordings=wordings,
                # A text without some part gives the same wording for each synonym of that part.
                short_wordings=tuple(dict.fromkeys(short_wordings)),
                all_wordings=_all_wordings(complain, texts.full, texts.more, spoken),
                all_short_wordings=_all_wordings(complain, texts.short, texts.more_short, spoken),
            )
        )
    partial = _partial_choices(complain, name, node, entries, fields)
    check_distinct(complain, node, name, [*choices, *partial])
    values = {part: [value_of(word) for word in words] for part, words in entries.items()}
    return Attribute(name, required, choices, region, values, fields, partial)


def _parts(complain: Complaint, name: str, node: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, list[Word]]]:
    """(part -> its flat field, part -> its words) of the mapping under ``parts``."""
    parts = node["parts"]
    if not isinstance(parts, dict) or not parts:
        raise complain(node, f"'parts' of attribute '{name}' must be a mapping that holds at least one part")
    fields = {}
    entries = {}
    for part, part_node in parts.items():
        where = f"part '{part}' of attribute '{name}'"
        complain.check_keys(part_node, where, ["field", "values"], required=["values"])
        words = []
        for word in read_list(complain, part_node, "values", where):
            word = read_entry(complain, word, f"a value of {where}", ["value", "phrase", "synonyms", "more", "plural"])
            if "phrase" not in word and "value" not in word:
                raise complain(word, f"a value of {where} lacks 'value'")
            words.append(word)
        if len({value_of(word) for word in words}) < len(words):
            raise complain(part_node, f"{where} lists a value twice")
        fields[str(part)] = str(part_node.get("field", f"{name}_{part}"))
        entries[str(part)] = words
    return fields, entries


def _combinations(entries: Mapping[str, list[Word]], said: Sequence[str]) -> Iterator[dict[str, Word]]:
    """Every choice of one word for each of the parts ``said``; the last part varies fastest."""
    for words in itertools.product(*(entries[part] for part in said)):
        yield dict(zip(said, words, strict=True))


def _is_plural(spoken: Mapping[str, Word]) -> bool:
    """Whether one of the words is plural, as "trousers" is; then the whole phrase takes no article."""
    return any(word.get("plural") for word in spoken.values())


def _wordings(complain: Complaint, text: str, spoken: Mapping[str, Word]) -> tuple[str, ...]:
    """Every wording of ``text``, whose blanks are among the parts ``spoken``."""
    slots = [_usual(complain, word) for word in spoken.values()]
    wordings = []
    for filling in itertools.product(*slots):
        wordings.append(with_articles(text.format(**dict(zip(spoken, filling, strict=True)))))
    return tuple(wordings)


def _usual(complain: Complaint, word: Word) -> tuple[str, ...]:
    """A word and its synonyms."""
    return (str(word.get("phrase", word.get("value"))), *texts_of(complain, word, "synonyms"))


def _all_wordings(complain: Complaint, text: str, more: tuple[str, ...], spoken: Mapping[str, Word]) -> Wordings:
    """Those of ``text`` and of the further texts ``more``, each part said by any word that the file lists for it."""
    words = {}
    for part, word in spoken.items():
        words[part] = usual_first(_usual(complain, word), texts_of(complain, word, "more"))
    return Wordings(usual_first((text,), more), words)


def _texts_of_parts(complain: Complaint, name: str, node: Mapping[str, Any], parts: set[str]) -> tuple[_Texts, _Texts]:
    """The texts that put parts together: (those of the singular, those of the plural)."""
    if "phrase" not in node:
        raise complain(node, f"attribute '{name}' has parts and lacks 'phrase', the text that puts them together")
    phrase = node["phrase"]
    plural = node.get("plural_phrase", phrase)
    for text in (phrase, plural):
        check_blanks(complain, text, f"the phrase of attribute '{name}'", parts)
    short = node.get("short_phrase")
    plural_short = node.get("plural_short_phrase", short)
    for text in (short, plural_short):
        if text is not None:
            check_blanks(complain, text, f"the short phrase of attribute '{name}'", parts, all_of_them=False)
    further = {kind: texts_of(complain, node, key) for key, kind in FURTHER.items()}
    for kind, texts in further.items():
        where = f"one of the further {kind.replace('_', ' ')} of attribute '{name}'"
        for text in texts:
            check_blanks(complain, text, where, parts, all_of_them="short" not in kind)
    return (
        _Texts(str(phrase), str(short or phrase), further["phrases"], further["short_phrases"]),
        _Texts(str(plural), str(plural_short or plural), further["plural_phrases"], further["plural_short_phrases"]),
    )


def _partial_choices(
    complain: Complaint,
    name: str,
    node: Mapping[str, Any],
    entries: Mapping[str, list[Word]],
    fields: Mapping[str, str],
) -> list[Choice]:
    """The choices of the texts under ``partial``. Each text holds the blanks of some parts and leaves others open."""
    if "partial" not in node:
        return []
    choices = []
    seen = set()
    for line in read_list(complain, node, "partial", f"attribute '{name}'"):
        where = f"a partial phrase of attribute '{name}'"
        line = read_entry(complain, line, where, ["phrase", "plural_phrase", "more"])
        if "phrase" not in line:
            raise complain(line, f"{where} lacks 'phrase'")
        singular = line["phrase"]
        plural = line.get("plural_phrase", singular)
        more = texts_of(complain, line, "more")
        said = _said_in_part(complain, name, line, (singular, plural, *more), list(entries))
        if said in seen:
            raise complain(line, f"two partial phrases of attribute '{name}' say the same parts: {', '.join(said)}")
        seen.add(said)
        for spoken in _combinations(entries, said):
            text = plural if _is_plural(spoken) else singular
            wordings = _wordings(complain, text, spoken)
            everything = _all_wordings(complain, text, more, spoken)
            value = {field: value_of(spoken[part]) if part in spoken else None for part, field in fields.items()}
            choices.append(
                Choice(
                    phrase=wordings[0],
                    prompts=(),
                    value=value,
                    negative=False,
                    wordings=wordings,
                    short_wordings=wordings,
                    all_wordings=everything,
                    all_short_wordings=everything,
                )
            )
    return choices


def _said_in_part(
    complain: Complaint, name: str, line: Mapping[str, Any], texts: Sequence[str], parts: Sequence[str]
) -> tuple[str, ...]:
    """The parts that a partial phrase says, in their order. Its ``texts`` must all hold the same blanks."""
    held = []
    for text in texts:
        check_blanks(complain, text, f"a partial phrase of attribute '{name}'", parts, all_of_them=False)
        held.append(set(blanks_of(text)))
    if any(blanks != held[0] for blanks in held):
        raise complain(line, f"the forms of a partial phrase of attribute '{name}' hold different blanks")
    said = tuple(part for part in parts if part in held[0])
    if not said or len(said) == len(parts):
        how = "all" if said else "none"
        raise complain(line, f"a partial phrase of attribute '{name}' must hold some of its parts, not {how}")
    return said
