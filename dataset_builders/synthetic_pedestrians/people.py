"""Who is in the world: identities and their views, sampled by seed, person, view and domain alone."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from .domains import STREET
from .geometry import unit

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
    "bag",
    "glasses",
    "smoke",
    "hat",
    "cellphone",
    "umbrella",
    "gloves",
    "vehicle",
]
OPTIONAL = ["bag", "glasses", "smoke", "hat", "cellphone", "umbrella", "gloves", "vehicle"]
CAMERAS = tuple(f"cam_{letter}" for letter in "abcdefgh")


@cache
def load_world(domain=STREET):
    """The tables of ``world.yaml``, those of the domain's palette in place of its own."""
    files = ["world.yaml", domain.palette] if domain.palette else ["world.yaml"]
    world = {}
    for name in files:
        world |= yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return world


@dataclass(frozen=True)
class Person:
    """One identity: the flat attributes without ``action`` (None where absent), the usual action, and its looks.

    ``looks``: named colours as RGB in 0..1 (skin, hair, upper, lower, shoes, bag, hat, umbrella, vehicle, inner), the
    names of the shades (upper_shade, lower_shade), and numbers (height in metres, stoutness, beard, bag_side).
    """

    attributes: dict
    usual_action: str
    looks: dict


@dataclass(frozen=True)
class View:
    """One picture of an identity: camera, yaw and pitch (radians; yaw 0 faces the camera), action, pose numbers.

    ``nearness`` is 1 / distance (1/m) of the camera from the person's feet; 0 for parallel rays.
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
    def narrowing(self):
        """How much (1/m) things get smaller downwards in the picture: the perspective of an upright plane."""
        return self.nearness * math.tan(self.pitch)


def choose(rng, weights):
    names = list(weights)
    edges = np.cumsum([weights[name] for name in names], dtype=float)
    return names[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


def _pick(rng, rows):
    return np.array(rows[int(rng.integers(len(rows)))], np.float32) / 255


def _clothes(rng, world, gender, age):
    if age != "child" and rng.random() < world["popular_share"]:
        outfits = world["popular"][gender]
        return dict(outfits[int(rng.integers(len(outfits)))])
    upper = choose(rng, world["upper_garment"][gender])
    lower = world["lower_garment"]
    kind = "dress" if upper == "dress" else f"coat {gender}" if upper == "coat" else gender
    clothes = {"upper_garment": upper, "lower_garment": choose(rng, lower[kind])}
    for name in ("upper_colour", "lower_colour", "upper_pattern", "lower_pattern"):
        clothes[name] = choose(rng, world[name])
    if clothes["upper_colour"] == clothes["lower_colour"] and rng.random() < 0.7:
        clothes["lower_colour"] = choose(rng, world["lower_colour"])
    return clothes


def _accessories(rng, world, age):
    """Optional attributes such that no one needs three hands, and children neither smoke nor ride motors."""
    has = {}
    for name in OPTIONAL:
        drawn, kind = rng.random(), choose(rng, world[name]["values"])
        has[name] = kind if drawn < world[name]["share"] else None
    if age == "child":
        has["smoke"] = None
        has["vehicle"] = "bicycle" if has["vehicle"] else None
    if has["vehicle"]:
        has["umbrella"] = has["cellphone"] = None
        if has["bag"] in ("handbag", "suitcase"):
            has["bag"] = "backpack" if has["bag"] == "handbag" else "shoulder-bag"
        if has["vehicle"] == "motorcycle" and rng.random() < 0.6:
            has["hat"] = "helmet"
    if has["umbrella"] and has["cellphone"]:
        has["umbrella" if rng.random() < 0.5 else "cellphone"] = None
    if has["umbrella"] == "open" and has["hat"] == "sun-hat":
        has["hat"] = "cap"
    return has


def sample_person(seed, person, domain=STREET):
    """The :class:`Person` number ``person`` of the world ``seed``; its attributes are the same in every domain."""
    world = load_world(domain)
    rng = np.random.default_rng([seed, person, 0])
    age, gender = choose(rng, world["age"]), choose(rng, world["gender"])
    hair_table = world["hair_length"]
    attributes = {"age": age, "gender": gender, **_clothes(rng, world, gender, age)}
    attributes["hair_length"] = choose(rng, hair_table.get(f"{age} {gender}") or hair_table[gender])
    attributes |= _accessories(rng, world, age)
    usual = "riding" if attributes["vehicle"] else choose(rng, world["action"])
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
    looks = {
        "height": float(height * (0.94 if gender == "woman" and age != "child" else 1.0)),
        "stoutness": float(stoutness),
        "beard": gender == "man" and rng.random() < {"child": 0, "young": 0.15, "middle-aged": 0.5, "old": 0.6}[age],
        "bag_side": 1 if rng.random() < 0.5 else -1,
        "skin": _pick(rng, world["skin"]),
        "hair": _pick(rng, world["hair"].get(age, world["hair"]["young"])),
        "shoes": _pick(rng, world["shoes"]),
        "bag": _pick(rng, world["bags"]),
        "hat": _pick(rng, world["hats"][attributes["hat"] or "cap"]),
        "umbrella": _pick(rng, world["umbrellas"]),
        "vehicle": _pick(rng, world["vehicles"]),
    }
    for piece in ("upper", "lower"):
        shades = world["shades"][attributes[f"{piece}_colour"]]
        looks[f"{piece}_shade"] = list(shades)[int(rng.integers(len(shades)))]
        rgb = np.array(shades[looks[f"{piece}_shade"]], np.float32) / 255
        looks[piece] = np.clip(rgb + rng.normal(0, 0.012, 3).astype(np.float32), 0, 1)
    light_upper = float(looks["upper"].mean()) > 0.55
    looks["inner"] = np.array([0.12, 0.12, 0.14] if light_upper else [0.93, 0.93, 0.92], np.float32)
    return Person({field: attributes.get(field) for field in FIELDS if field != "action"}, usual, looks)


def sample_view(seed, person_number, view_number, person, domain=STREET):
    """The :class:`View` number ``view_number`` of a person: faces the camera or a side of it most often."""
    world = load_world(domain)
    rng = np.random.default_rng([seed, person_number, 1 + view_number, 0])
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


def flat_attributes(person, view):
    """Every field of one picture, in the order of ``FIELDS``."""
    return {field: view.action if field == "action" else person.attributes[field] for field in FIELDS}


def light_direction(rng, domain=STREET):
    """Unit vector towards the light in the camera's frame: above, and more often from the camera's side."""
    return unit([rng.uniform(*domain.light_across), rng.uniform(*domain.light_up), rng.uniform(*domain.light_towards)])
