"""A vocabulary of two attributes, for tests of what a vocabulary file may hold."""

from pathlib import Path

SMALL = """\
name: cars
prompt: A photo of a car {phrase}.
attributes:
  kind:
    required: true
    prompt: A photo of a {phrase}.
    phrases: [bus, van, {phrase: estate car, value: estate, prompt: A photo of an estate car.}]
  load:
    phrases: [with a roof box, towing a trailer]
    negatives: [with no load]
"""


def write_vocabulary(folder: Path, text: str) -> Path:
    """Write ``text`` as ``folder/vocabulary.yaml``; the path of it."""
    path = folder / "vocabulary.yaml"
    path.write_text(text, encoding="utf-8")
    return path
