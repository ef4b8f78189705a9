"""Small parts of sentences and pages: the nearest valid name, "a" or "an", a Markdown table."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

# "an" before a vowel sound: "an umbrella", but "a uniform", "a used coat", "a European hat", "a one-piece"; "an hour".
_VOWEL_SOUND = r"(?:(?!uni|use|usu|eu|one)[aeiou]|hour|hono|hones)"


def nearest(name: Any, known: Iterable[Any]) -> str:
    """The end of a sentence about an unknown name: " (did you mean 'x'?)", or "" if no known name is close."""
    close = difflib.get_close_matches(str(name), [str(each) for each in known], n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def with_articles(text: str) -> str:
    """``text`` in which every article "a" that stands before a vowel sound has become "an"."""
    return re.sub(rf"\b(a)(?= {_VOWEL_SOUND})", r"\1n", text, flags=re.IGNORECASE)


def markdown_table(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table of left-aligned columns, without a final newline. Cells are shown by ``str``."""
    lines = ["| " + " | ".join(map(str, head)) + " |", "|" + "---|" * len(head)]
    for row in rows:
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)
