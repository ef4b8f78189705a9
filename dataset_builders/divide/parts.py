"""Attributes whose phrases are combinations, as clothes are colour x pattern x garment."""

import itertools
import string

from .nodes import check_blanks, check_distinct, read_entry, read_list, texts_of, value_of
from .vocabulary import Attribute, Choice, Wordings, usual_first, with_articles

FURTHER = {f"more_{kind}": kind for kind in ("phrases", "plural_phrases", "short_phrases", "plural_short_phrases")}
TEXTS_OF_PARTS = ["phrase", "plural_phrase", "short_phrase", "plural_short_phrase", "partial", *FURTHER]


def attribute_of_parts(complain, name, node, required, region, forms):
    """The :class:`Attribute` of a node with ``parts``; its phrases are every combination of the parts' values."""
    if not required:
        raise complain(node, f"attribute '{name}' has parts, so it must be required")
    for key in ("phrases", "negatives", "field"):
        if key in node:
            raise complain(node, f"attribute '{name}' has both 'parts' and '{key}'")
    parts = node["parts"]
    if not isinstance(parts, dict) or not parts:
        raise complain(node, f"'parts' of attribute '{name}' must be a mapping that holds at least one part")
    entries, fields, word_keys = {}, {}, ["value", "phrase", "synonyms", "more", "plural"]
    for part, part_node in parts.items():
        where = f"part '{part}' of attribute '{name}'"
        complain.check_keys(part_node, where, ["field", "values"], required=["values"])
        fields[str(part)] = str(part_node.get("field", f"{name}_{part}"))
        entries[str(part)] = []
        for word in read_list(complain, part_node, "values", where):
            word = read_entry(complain, word, f"a value of {where}", word_keys)
            if "phrase" not in word and "value" not in word:
                raise complain(word, f"a value of {where} lacks 'value'")
            entries[str(part)].append(word)
        values = [value_of(word) for word in entries[str(part)]]
        if len(set(values)) < len(values):
            raise complain(part_node, f"{where} lists a value twice")
    patterns, choices = _patterns(complain, name, node, set(entries)), []
    further = _further(complain, name, node, set(entries))
    for words in itertools.product(*entries.values()):
        plural = any(word.get("plural") for word in words)
        full, short = patterns[plural]
        spoken = dict(zip(entries, words, strict=True))
        wordings = _wordings(complain, full, spoken)
        choices.append(
            Choice(
                phrase=wordings[0],
                prompts=forms.prompts({}, name, wordings[0]),
                value={fields[part]: value_of(word) for part, word in spoken.items()},
                negative=False,
                wordings=wordings,
                short_wordings=tuple(dict.fromkeys(_wordings(complain, short, spoken))),
                all_wordings=_all_wordings(complain, (full,), further[plural][0], spoken),
                all_short_wordings=_all_wordings(complain, (short,), further[plural][1], spoken),
            )
        )
    partial = _partial_choices(complain, name, node, entries, fields)
    check_distinct(complain, node, name, [*choices, *partial])
    values = {part: [value_of(word) for word in words] for part, words in entries.items()}
    return Attribute(name, required, choices, region, values, fields, partial)


def _wordings(complain, text, spoken):
    """Every wording of ``text``, whose blanks are among the parts ``spoken``, part -> word."""
    slots = [_usual(complain, word) for word in spoken.values()]
    return tuple(
        with_articles(text.format(**dict(zip(spoken, wording, strict=True)))) for wording in itertools.product(*slots)
    )


def _usual(complain, word):
    """A word and its synonyms."""
    return (str(word.get("phrase", word.get("value"))), *texts_of(complain, word, "synonyms"))


def _all_wordings(complain, texts, more, spoken):
    words = {
        part: usual_first(_usual(complain, word), texts_of(complain, word, "more")) for part, word in spoken.items()
    }
    return Wordings(usual_first(texts, more), words)


def _further(complain, name, node, parts):
    """(texts, shorter texts) besides those of :func:`_patterns`: of the singular at False, of the plural at True."""
    texts = {kind: texts_of(complain, node, key) for key, kind in FURTHER.items()}
    for kind, found in texts.items():
        for text in found:
            where = f"one of the further {kind.replace('_', ' ')} of attribute '{name}'"
            check_blanks(complain, text, where, parts, all_of_them="short" not in kind)
    return {
        False: (texts["phrases"], texts["short_phrases"]),
        True: (texts["plural_phrases"], texts["plural_short_phrases"]),
    }


def _partial_choices(complain, name, node, entries, fields):
    """The choices of the texts under ``partial``, each of which holds the blanks of some parts and leaves the others
    open."""
    if "partial" not in node:
        return []
    choices, seen = [], {}
    for line in read_list(complain, node, "partial", f"attribute '{name}'"):
        line = read_entry(
            complain, line, f"a partial phrase of attribute '{name}'", ["phrase", "plural_phrase", "more"]
        )
        if "phrase" not in line:
            raise complain(line, f"a partial phrase of attribute '{name}' lacks 'phrase'")
        texts = [line["phrase"], line.get("plural_phrase", line["phrase"])]
        blanks, more = [], texts_of(complain, line, "more")
        for text in (*texts, *more):
            check_blanks(complain, text, f"a partial phrase of attribute '{name}'", set(entries), all_of_them=False)
            blanks.append({blank for _, blank, _, _ in string.Formatter().parse(text) if blank is not None})
        if any(found != blanks[0] for found in blanks):
            raise complain(line, f"the forms of a partial phrase of attribute '{name}' hold different blanks")
        said = [part for part in entries if part in blanks[0]]
        if not said or len(said) == len(entries):
            how = "none" if not said else "all"
            raise complain(line, f"a partial phrase of attribute '{name}' must hold some of its parts, not {how}")
        if tuple(said) in seen:
            raise complain(line, f"two partial phrases of attribute '{name}' say the same parts: {', '.join(said)}")
        seen[tuple(said)] = True
        for words in itertools.product(*(entries[part] for part in said)):
            spoken = dict(zip(said, words, strict=True))
            text = texts[any(word.get("plural") for word in words)]
            wordings, everything = (
                _wordings(complain, text, spoken),
                _all_wordings(complain, (text,), tuple(more), spoken),
            )
            value = {field: value_of(spoken[part]) if part in spoken else None for part, field in fields.items()}
            choices.append(Choice(wordings[0], (), value, False, wordings, wordings, everything, everything))
    return choices


def _patterns(complain, name, node, parts):
    """(text, shorter text) that put parts together, for the singular (at False) and the plural (at True)."""
    if "phrase" not in node:
        raise complain(node, f"attribute '{name}' has parts and lacks 'phrase', the text that puts them together")
    phrase = node["phrase"]
    plural, short = node.get("plural_phrase", phrase), node.get("short_phrase")
    for text in (phrase, plural):
        check_blanks(complain, text, f"the phrase of attribute '{name}'", parts)
    plural_short = node.get("plural_short_phrase", short)
    for text in (short, plural_short):
        if text is not None:
            check_blanks(complain, text, f"the short phrase of attribute '{name}'", parts, all_of_them=False)
    return {False: (str(phrase), str(short or phrase)), True: (str(plural), str(plural_short or plural))}
