"""Who is in the world: identities and their views, sampled by seed, person, view and domain alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml

from .domains import STREET, Domain
from .geometry import unit

OPTIONAL = ["bag", "glasses", "smoke", "hat", "cellphone", "umbrella", "gloves", "vehicle"]
FIELDS = [
    "age",
    "gender",
    "upper_colour",
    "upper_pattern",
    "upper_garment",
    "lower_colour",
    "lower_pattern",
    "lower_garment",
    "action",
    "hair_length",
    *OPTIONAL,
]
CAMERAS = tuple(f"cam_{letter}" for letter in "abcdefgh")

# field -> value, None for a thing that is absent.
Attributes: TypeAlias = dict[str, str | None]


@cache
def load_world(domain: Domain = STREET) -> dict[str, Any]:
    """The tables of ``world.yaml``; those of the domain's palette replace those of the same name."""
    files = ["world.yaml", domain.palette] if domain.palette else ["world.yaml"]
    world = {}
    for name in files:
        world |= yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return world


@dataclass(frozen=True)
class Looks:
    """What of a person no attribute names. Colours are (3,) float32 RGB in 0..1.

    Attributes:
        height: in metres.
        stoutness: breadth relative to a lean adult.
        bag_side: 1 for a bag on the left, -1 on the right.
        cloth: the colours of "upper" and "lower".
        shades: the names of these colours' shades in the domain's palette.
        inner: the colour of what an open jacket shows.
        hat, umbrella and so on: the colours of these things if the person has them.
    """

    height: float
    stoutness: float
    beard: bool
    bag_side: int
    skin: np.ndarray
    hair: np.ndarray
    shoes: np.ndarray
    bag: np.ndarray
    hat: np.ndarray
    umbrella: np.ndarray
    vehicle: np.ndarray
    cloth: dict[str, np.ndarray]
    shades: dict[str, str]
    inner: np.ndarray


@dataclass(frozen=True)
class Person:
    """One identity: its attributes without ``action``, its usual action, and its looks."""

    attributes: Attributes
    usual_action: str
    looks: Looks


@dataclass(frozen=True)
class View:
    """One image of an identity.

    Attributes:
        camera: a name in :data:`CAMERAS`.
        yaw: radians by which the person is turned; 0 faces the camera.
        pitch: radians by which the camera looks down.
        phase: how far a stride goes, 0.6 to 1.
        side: 1 if the right leg is ahead, -1 if the left one is.
        loose: (8,) numbers in -1..1 by which joints differ from view to view.
        nearness: 1 / distance (1/m) of the camera from the person's feet; 0 for parallel rays.
    """

    camera: str
    yaw: float
    pitch: float
    action: str
    phase: float
    side: int
    loose: np.ndarray
    nearness: float = 0.0

    @property
    def narrowing(self) -> float:
        """How much (1/m) things get smaller downwards in the image: the perspective of an upright plane."""
        return self.nearness * math.tan(self.pitch)


def choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """One of the names, with a chance in proportion to its weight."""
    names = list(weights)
    edges = np.cumsum([weights[name] for name in names], dtype=float)
    return names[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


def _pick(rng: np.random.Generator, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """One of the colours ``rows`` (RGB, 0..255), as (3,) float32 in 0..1."""
    return np.array(rows[int(rng.integers(len(rows)))], np.float32) / 255


def _clothes(rng: np.random.Generator, world: Mapping[str, Any], gender: str, age: str) -> dict[str, str]:
    if age != "child" and rng.random() < world["popular_share"]:
        outfits = world["popular"][gender]
        return dict(outfits[int(rng.integers(len(outfits)))])
    upper = choose(rng, world["upper_garment"][gender])
    # A dress or a coat leaves only some lower garments to be seen.
    kind = {"dress": "dress", "coat": f"coat {gender}"}.get(upper, gender)
    clothes = {"upper_garment": upper, "lower_garment": choose(rng, world["lower_garment"][kind])}
    for name in ("upper_colour", "lower_colour", "upper_pattern", "lower_pattern"):
        clothes[name] = choose(rng, world[name])
    if clothes["upper_colour"] == clothes["lower_colour"] and rng.random() < 0.7:
        clothes["lower_colour"] = choose(rng, world["lower_colour"])
    return clothes


def _accessories(rng: np.random.Generator, world: Mapping[str, Any], age: str) -> Attributes:
    """The optional attributes. Nobody needs three hands for them, and children neither smoke nor ride motors."""
    has: Attributes = {}
    for name in OPTIONAL:
        drawn = rng.random()
        # Drawn for everybody, so that a changed share in world.yaml changes nobody else's things.
        kind = choose(rng, world[name]["values"])
        has[name] = kind if drawn < world[name]["share"] else None
    if age == "child":
        has["smoke"] = None
        has["vehicle"] = "bicycle" if has["vehicle"] else None
    if has["vehicle"]:
        has["umbrella"] = None
        has["cellphone"] = None
        if has["bag"] in ("handbag", "suitcase"):
            has["bag"] = "backpack" if has["bag"] == "handbag" else "shoulder-bag"
        if has["vehicle"] == "motorcycle" and rng.random() < 0.6:
            has["hat"] = "helmet"
    if has["umbrella"] and has["cellphone"]:
        has["umbrella" if rng.random() < 0.5 else "cellphone"] = None
    if has["umbrella"] == "open" and has["hat"] == "sun-hat":
        has["hat"] = "cap"
    return has


def sample_person(seed: int, person: int, domain: Domain = STREET) -> Person:
    """Person number ``person`` of the world ``seed``; its attributes are the same in every domain.

    The order of all draws below is part of the datasets that exist: another order gives other people.
    """
    world = load_world(domain)
    rng = np.random.default_rng([seed, person, 0])
    age = choose(rng, world["age"])
    gender = choose(rng, world["gender"])
    hair_table = world["hair_length"]
    attributes = {"age": age, "gender": gender, **_clothes(rng, world, gender, age)}
    attributes["hair_length"] = choose(rng, hair_table.get(f"{age} {gender}") or hair_table[gender])
    attributes |= _accessories(rng, world, age)
    usual_action = "riding" if attributes["vehicle"] else choose(rng, world["action"])
    looks = _sample_looks(rng, world, attributes)
    without_action = {field: attributes.get(field) for field in FIELDS if field != "action"}
    return Person(without_action, usual_action, looks)


def _sample_looks(rng: np.random.Generator, world: Mapping[str, Any], attributes: Attributes) -> Looks:
    """Draw what no attribute names. Height and breadth tell the age, so that it can be seen."""
    age = attributes["age"]
    man = attributes["gender"] == "man"
    # One draw for each age, whichever it is.
    height = {
        "child": rng.uniform(1.02, 1.2),
        "young": rng.uniform(1.7, 1.84),
        "middle-aged": rng.uniform(1.66, 1.8),
        "old": rng.uniform(1.6, 1.72),
    }[age]
    stoutness = {
        "child": rng.uniform(0.95, 1.08),
        "young": rng.uniform(0.88, 1.0),
        "middle-aged": rng.uniform(1.1, 1.28),
        "old": rng.uniform(0.94, 1.12),
    }[age]
    beard = man and rng.random() < {"child": 0, "young": 0.15, "middle-aged": 0.5, "old": 0.6}[age]
    bag_side = 1 if rng.random() < 0.5 else -1
    skin = _pick(rng, world["skin"])
    hair = _pick(rng, world["hair"].get(age, world["hair"]["young"]))
    shoes = _pick(rng, world["shoes"])
    bag = _pick(rng, world["bags"])
    hat = _pick(rng, world["hats"][attributes["hat"] or "cap"])
    umbrella = _pick(rng, world["umbrellas"])
    vehicle = _pick(rng, world["vehicles"])
    cloth = {}
    shades = {}
    for piece in ("upper", "lower"):
        named = world["shades"][attributes[f"{piece}_colour"]]
        shades[piece] = list(named)[int(rng.integers(len(named)))]
        rgb = np.array(named[shades[piece]], np.float32) / 255
        # No two garments of a shade are quite the same.
        cloth[piece] = np.clip(rgb + rng.normal(0, 0.012, 3).astype(np.float32), 0, 1)
    light_upper = float(cloth["upper"].mean()) > 0.55
    return Looks(
        height=float(height * (0.94 if not man and age != "child" else 1.0)),
        stoutness=float(stoutness),
        beard=bool(beard),
        bag_side=bag_side,
        skin=skin,
        hair=hair,
        shoes=shoes,
        bag=bag,
        hat=hat,
        umbrella=umbrella,
        vehicle=vehicle,
        cloth=cloth,
        shades=shades,
        inner=np.array([0.12, 0.12, 0.14] if light_upper else [0.93, 0.93, 0.92], np.float32),
    )


def sample_view(seed: int, person_number: int, view_number: int, person: Person, domain: Domain = STREET) -> View:
    """View number ``view_number`` of a person, who most often faces the camera or turns a side to it."""
    world = load_world(domain)
    rng = np.random.default_rng([seed, person_number, 1 + view_number, 0])
    # A person's views come from different cameras as long as there are any.
    order = np.random.default_rng([seed, person_number, 0, 1]).permutation(len(CAMERAS))
    camera = CAMERAS[order[view_number % len(CAMERAS)]]
    sector = choose(rng, {"front": 50, "side": 35, "back": 15})
    turn = {"front": rng.uniform(-0.7, 0.7), "side": rng.uniform(0.7, 1.95), "back": rng.uniform(1.95, np.pi)}[sector]
    yaw = turn if sector == "front" else turn * (1 if rng.random() < 0.5 else -1)
    action = person.usual_action
    if action != "riding" and rng.random() > world["action_kept"]:
        action = choose(rng, world["action"])
    return View(
        camera=camera,
        yaw=float(yaw),
        pitch=float(rng.uniform(*domain.pitch)),
        action=action,
        phase=float(rng.uniform(0.6, 1.0)),
        side=1 if rng.random() < 0.5 else -1,
        loose=rng.uniform(-1, 1, 8),
        nearness=float(rng.uniform(*domain.nearness)),
    )


def flat_attributes(person: Person, view: View) -> Attributes:
    """Every field of one image, in the order of :data:`FIELDS`."""
    return {field: view.action if field == "action" else person.attributes[field] for field in FIELDS}


def light_direction(rng: np.random.Generator, domain: Domain = STREET) -> np.ndarray:
    """(3,) unit vector towards the light in the camera's frame: above, and more often from the camera's side."""
    return unit([rng.uniform(*domain.light_across), rng.uniform(*domain.light_up), rng.uniform(*domain.light_towards)])
