"""The shipped vocabulary of another domain, road vehicles, and the English of its captions."""

from pathlib import Path

import dataset_builders
from tests.helpers.caption_grammar import Grammar

VEHICLES = Path(dataset_builders.__file__).parent / "data" / "vehicles.yaml"
NOUNS = ["car", "automobile", "van", "minivan", "pickup", "truck", "lorry", "bus", "coach", "vehicle"]
GRAMMAR = Grammar(
    subjects=NOUNS,
    modifiers=[
        "passenger",
        "motor",
        "pickup",
        "white",
        "black",
        "red",
        "glossy",
        "matte",
        "roof",
        "taxi",
        "open",
        "cargo",
    ],
    singular=[*NOUNS, "rack", "box", "sunroof", "sign", "ladder", "advertisement"],
    uncounted=["paint", "lights", "advertising"],
)
