"""The English of captions about people: who a caption may be about, and the rules of its grammar."""

from dataset_builders.divide.reading import load_vocabulary
from tests.helpers.caption_grammar import Grammar
from tests.helpers.caption_words import words_of_part

_ATTRIBUTES = load_vocabulary().attributes
UPPER = _ATTRIBUTES["upper_clothes"]
MEN = {"man", "male", "guy", "gentleman", "boy"}
WOMEN = {"woman", "female", "lady", "girl"}
CHILDREN = {"boy", "girl", "child", "kid", "youngster"}
ADULTS = {"man", "male", "guy", "gentleman", "woman", "female", "lady"}
AGES = {"youthful", "middle-aged", "mid-aged", "old", "elderly", "senior", "aged", "older"}
PERSONS = MEN | WOMEN | CHILDREN | {"person", "pedestrian", "individual"}
SINGULAR_GARMENTS = words_of_part(UPPER, "garment") | {"top", "skirt"}
PLURAL_GARMENTS = {"trousers", "pants", "shorts", "leggings", "tights", "slacks", "trunks", "bottoms"}
GRAMMAR = Grammar(
    subjects=PERSONS,
    modifiers=[*words_of_part(UPPER, "colour"), *words_of_part(UPPER, "pattern"), *AGES, "young", "little", "small"]
    + ["dark", "light", "colored", "knee", "long", "short", "wind", "half", "tight"],
    singular=[*PERSONS, *SINGULAR_GARMENTS, "cap", "beanie", "helmet", "backpack", "handbag", "bicycle", "scooter"]
    + ["haircut", "umbrella", "suitcase"],
    uncounted=[*PLURAL_GARMENTS, "gloves", "glasses", "sunglasses"],
)
