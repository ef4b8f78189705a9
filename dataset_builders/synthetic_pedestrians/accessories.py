"""Solids of what people carry, wear on top and ride; small things larger than life, so that 64 pixels show them."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from .geometry import IDENTITY, Material, Solids, Triple, axes_along, unit
from .people import Person, View
from .skeleton import LEFT, RIGHT, SIDES, Skeleton

UP = np.array([0, 1, 0], np.float32)
ACROSS = (1, 0, 0)
RUBBER = (0.07, 0.07, 0.08)
CHROME = (0.72, 0.73, 0.76)
SADDLE = (0.12, 0.1, 0.1)
LAMP = (1.0, 0.97, 0.8)
REAR_LAMP = (0.9, 0.08, 0.08)


def add_accessories(solids: Solids, person: Person, view: View, bone: Skeleton) -> None:
    """Add everything optional that the person has, except the vehicle."""
    attributes = person.attributes
    if attributes["bag"]:
        BAGS[attributes["bag"]](solids, person, bone)
    if attributes["glasses"]:
        _add_glasses(solids, bone, attributes["glasses"] == "sunglasses")
    if attributes["smoke"]:
        _add_smoke(solids, bone, attributes["smoke"] == "pipe", person.looks.bag_side)
    if attributes["hat"]:
        _add_hat(solids, bone, attributes["hat"], person.looks.hat)
    # The bag is in one hand, the phone or the umbrella in the other.
    free = RIGHT if person.looks.bag_side > 0 else LEFT
    if attributes["cellphone"]:
        _add_cellphone(solids, bone, free, attributes["cellphone"] == "calling")
    if attributes["umbrella"] == "open":
        _add_open_umbrella(solids, bone, free, person.looks.umbrella)
    elif attributes["umbrella"] == "folded":
        _add_folded_umbrella(solids, bone, free, person.looks.umbrella, view.action in ("standing", "walking"))
    if attributes["gloves"]:
        _add_gloves(solids, bone, attributes["gloves"] == "dark-gloves")


def _contrasting(colour: np.ndarray, other: np.ndarray) -> np.ndarray:
    """``colour``, or a light or dark stand-in if it would vanish against ``other``."""
    if np.abs(colour - other).max() > 0.3:
        return colour
    return np.array([0.93, 0.88, 0.74] if other.mean() < 0.5 else [0.14, 0.12, 0.13], np.float32)


def _point(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z], np.float32)


def _add_strap(solids: Solids, material: Material, bone: Skeleton, points: Sequence[Triple], radius: float) -> None:
    """Add a strap through ``points`` of the torso."""
    points = [bone.at(*point) for point in points]
    for start, end in zip(points, points[1:], strict=False):
        solids.cone(material, start, end, radius * bone.scale)


def _add_backpack(solids: Solids, person: Person, bone: Skeleton) -> None:
    s = bone.scale
    neck = bone.torso_length
    w = bone.wide
    colour = _contrasting(person.looks.bag, person.looks.cloth["upper"])
    bag = Material("bag", colour)
    dark = Material("bag", colour * 0.6)
    solids.box(bag, bone.at(0, neck - 0.21, -0.235 * w**0.5), (0.17 * s, 0.225 * s, 0.11 * s), 0.06 * s, bone.torso)
    solids.box(dark, bone.at(0, neck - 0.31, -0.35 * w**0.5), (0.12 * s, 0.1 * s, 0.04 * s), 0.03 * s, bone.torso)
    # Two straps over the shoulders and down the chest, so that a backpack shows from the front.
    z = 0.15 * w
    for x in (-0.105, 0.105):
        _add_strap(
            solids,
            dark,
            bone,
            [(x, neck + 0.02, -0.12), (x, neck + 0.035, 0.03), (x, neck - 0.14, z), (x * 1.25, neck - 0.36, z * 0.7)],
            0.027,
        )


def _add_handbag(solids: Solids, person: Person, bone: Skeleton) -> None:
    s = bone.scale
    i = LEFT if person.looks.bag_side > 0 else RIGHT
    colour = _contrasting(person.looks.bag, person.looks.cloth["lower"])
    bag = Material("bag", colour, gloss=0.2)
    dark = Material("bag", colour * 0.55)
    hand = bone.hands[i]
    centre = hand - _point(0, 0.27 * s, 0) + _point(SIDES[i] * 0.035 * s, 0, 0)
    # Not into the ground when the person squats.
    centre[1] = max(centre[1], 0.14 * s)
    solids.box(bag, centre, (0.075 * s, 0.125 * s, 0.18 * s), 0.04 * s)
    solids.box(dark, centre + UP * 0.09 * s, (0.08 * s, 0.025 * s, 0.185 * s), 0.02 * s)
    for z in (-0.09, 0.09):
        solids.cone(dark, centre + _point(0, 0.12 * s, z * s), hand, 0.016 * s)


def _add_shoulder_bag(solids: Solids, person: Person, bone: Skeleton) -> None:
    s = bone.scale
    neck = bone.torso_length
    w = bone.wide
    side = person.looks.bag_side
    colour = _contrasting(person.looks.bag, person.looks.cloth["upper"])
    bag = Material("bag", colour)
    dark = Material("bag", colour * 0.7)
    solids.box(bag, bone.at(side * 0.24 * w**0.5, -0.02, 0.02), (0.07 * s, 0.125 * s, 0.165 * s), 0.04 * s, bone.torso)
    solids.box(
        dark, bone.at(side * (0.24 * w**0.5 + 0.05), 0.04, 0.02), (0.03 * s, 0.07 * s, 0.165 * s), 0.02 * s, bone.torso
    )
    # The strap runs across the chest, and across the back by the same points with z turned round.
    z = 0.155 * w
    front = [
        (-side * 0.1, neck + 0.03, 0.03),
        (-side * 0.05, neck - 0.17, z),
        (side * 0.1, 0.14, z),
        (side * 0.2, 0.06, 0.08),
    ]
    back = [front[0]] + [(x, y, -abs(depth) + 0.02) for x, y, depth in front[1:]]
    _add_strap(solids, dark, bone, front, 0.026)
    _add_strap(solids, dark, bone, back, 0.026)


def _add_suitcase(solids: Solids, person: Person, bone: Skeleton) -> None:
    s = bone.scale
    side = person.looks.bag_side
    i = LEFT if side > 0 else RIGHT
    colour = person.looks.bag if person.looks.bag.mean() > 0.15 else person.looks.bag + 0.12
    case = Material("bag", colour, gloss=0.3)
    dark = Material("bag", colour * 0.55)
    metal = Material("bag", (0.7, 0.7, 0.72))
    # A child's suitcase is no toy.
    k = max(s, 0.75)
    x = bone.hands[i][0] + side * 0.03
    z = bone.hands[i][2] - 0.1
    centre = _point(x + side * 0.08 * k, 0.36 * k, z)
    solids.box(case, centre, (0.13 * k, 0.29 * k, 0.2 * k), 0.05 * k)
    for dy in (-0.14, 0.02, 0.17):
        solids.box(dark, centre + UP * dy * k, (0.136 * k, 0.013 * k, 0.206 * k), 0.01 * k)
    for dz in (-0.14, 0.14):
        wheel = centre + np.array([0, -0.32 * k, dz * k])
        solids.ellipsoid(Material("bag", (0.1, 0.1, 0.1)), wheel, (0.045 * k,) * 3)
    for dz in (-0.06, 0.06):
        base = centre + _point(0, 0.28 * k, dz * k)
        solids.cone(metal, base, bone.hands[i] + _point(0, 0, dz * 0.6 * k), 0.014 * k)


BAGS: dict[str, Callable[[Solids, Person, Skeleton], None]] = {
    "backpack": _add_backpack,
    "handbag": _add_handbag,
    "shoulder-bag": _add_shoulder_bag,
    "suitcase": _add_suitcase,
}


def _add_glasses(solids: Solids, bone: Skeleton, dark: bool) -> None:
    r = bone.head_radii
    at = bone.in_head
    axes = bone.head_axes
    rim = Material("glasses", (0.03, 0.03, 0.04))
    if dark:
        lens = Material("glasses", (0.02, 0.02, 0.03), gloss=0.5)
    else:
        lens = Material("glasses", (0.86, 0.95, 1.0), gloss=0.6)
    for side in SIDES:
        centre = at(side * 0.47, 0.08, 1.0)
        normal = axes[2] + side * 0.3 * axes[0]
        if dark:
            solids.ellipsoid(lens, centre, (0.43 * r[0], 0.3 * r[1], 0.16 * r[2]), axes)
        else:
            solids.disc(lens, centre, normal, 0.38 * r[0], 0.02 * bone.scale, forward=axes[1])
            solids.ring(rim, centre, normal, 0.38 * r[0], 0.022 * bone.scale, forward=axes[1])
        # The temple, from the lens to the ear.
        solids.cone(rim, at(side * 0.88, 0.16, 0.72), at(side * 1.08, 0.14, -0.1), (0.1 if dark else 0.075) * r[0])
    solids.cone(rim, at(-0.2, 0.14, 1.06), at(0.2, 0.14, 1.06), 0.06 * r[0])


def mouth(bone: Skeleton) -> np.ndarray:
    """(3,) where smoke leaves, in the person's frame."""
    return bone.in_head(0, -0.5, 1.0)


def _add_smoke(solids: Solids, bone: Skeleton, pipe: bool, side: int) -> None:
    """Add a cigarette or a pipe; the smoke itself is painted over the image."""
    s = max(bone.scale, 0.85)
    start = bone.in_head(side * 0.12, -0.5, 0.9)
    way = unit(bone.head_axes[2] + side * 0.75 * bone.head_axes[0] - 0.12 * bone.head_axes[1])
    if pipe:
        wood = Material("smoke", (0.3, 0.13, 0.05), gloss=0.2)
        end = start + 0.14 * s * way
        solids.cone(wood, start, end, 0.014 * s, 0.02 * s)
        low = end - UP * 0.02 * s
        solids.cone(wood, low, low + UP * 0.05 * s, 0.036 * s, 0.05 * s)
        solids.ellipsoid(Material("smoke", (1.0, 0.45, 0.1)), low + UP * 0.088 * s, (0.034 * s,) * 3)
    else:
        end = start + 0.17 * s * way
        solids.cone(Material("smoke", (0.98, 0.98, 0.96)), start, end, 0.02 * s)
        solids.ellipsoid(Material("smoke", (1.0, 0.35, 0.05)), end + 0.015 * s * way, (0.03 * s,) * 3)


def _add_hat(solids: Solids, bone: Skeleton, kind: str, colour: np.ndarray) -> None:
    r = bone.head_radii
    at = bone.in_head
    axes = bone.head_axes
    hat = Material("hat", colour, gloss=0.05)
    dark = Material("hat", colour * 0.65)
    if kind == "cap":
        solids.ellipsoid(hat, at(0, 0.32, -0.06), (1.1 * r[0], 0.86 * r[1], 1.1 * r[2]), axes, cut=0.02)
        solids.ellipsoid(dark, at(0, 0.42, 1.15), (0.86 * r[0], 0.1 * r[1], 0.72 * r[2]), axes)
        solids.ellipsoid(dark, at(0, 1.18, -0.06), (0.12 * r[0],) * 3, axes)
    elif kind == "sun-hat":
        band = Material("hat", (0.45, 0.16, 0.12))
        solids.disc(hat, at(0, 0.5, -0.04), axes[1] + 0.06 * axes[2], 2.15 * r[0], 0.035 * bone.scale, forward=axes[2])
        solids.ellipsoid(hat, at(0, 0.5, -0.04), (1.08 * r[0], 0.85 * r[1], 1.06 * r[2]), axes, cut=0.0)
        solids.disc(band, at(0, 0.64, -0.04), axes[1], 1.12 * r[2], 0.3 * r[1], forward=axes[2])
    elif kind == "beanie":
        solids.ellipsoid(hat, at(0, 0.36, -0.08), (1.14 * r[0], 1.0 * r[1], 1.1 * r[2]), axes, cut=0.0)
        fold = Material("hat", np.minimum(colour * 0.5 + 0.4, 1))
        solids.disc(fold, at(0, 0.42, -0.06), axes[1] - 0.1 * axes[2], 1.2 * r[0], 0.36 * r[1], forward=axes[2])
        solids.ellipsoid(fold, at(0, 1.45, -0.08), (0.4 * r[0],) * 3, axes)
    else:
        solids.ellipsoid(
            Material("hat", colour, gloss=0.7),
            at(0, 0.28, -0.06),
            (1.34 * r[0], 1.08 * r[1], 1.32 * r[2]),
            axes,
            cut=-0.28,
        )
        stripe = Material("hat", (0.08, 0.08, 0.1) if colour.mean() > 0.3 else (0.95, 0.95, 0.95))
        solids.ellipsoid(stripe, at(0, 0.28, -0.06), (0.26 * r[0], 1.13 * r[1], 1.37 * r[2]), axes, cut=0.0)
        strap = Material("hat", (0.06, 0.06, 0.07))
        for side in SIDES:
            solids.cone(strap, at(side * 1.08, 0.1, 0.05), at(side * 0.3, -1.0, 0.42), 0.09 * r[0])


def _add_cellphone(solids: Solids, bone: Skeleton, hand: int, calling: bool) -> None:
    """Add a phone at the ear if somebody is calling, else in front of the face; ``hand`` is RIGHT or LEFT."""
    s = max(bone.scale, 0.85)
    side = SIDES[hand]
    case = Material("cellphone", (0.03, 0.03, 0.04))
    screen = Material("cellphone", (0.55, 0.9, 1.0), gloss=0.3)
    if calling:
        axes = axes_along(bone.head_axes[1] - 0.45 * bone.head_axes[2], bone.head_axes[2])
        centre = bone.in_head(side * 1.3, -0.1, 0.22)
        solids.box(case, centre, (0.026 * s, 0.105 * s, 0.06 * s), 0.012 * s, axes)
        solids.box(screen, centre + side * 0.02 * s * axes[0], (0.012 * s, 0.07 * s, 0.038 * s), 0.005 * s, axes)
    else:
        to_face = unit(bone.head - bone.hands[hand])
        up = unit(_point(0, 1, 0.35))
        axes = axes_along(up, -to_face)
        centre = bone.hands[hand] + UP * 0.07 * s
        solids.box(case, centre, (0.065 * s, 0.115 * s, 0.02 * s), 0.012 * s, axes)
        solids.box(screen, centre + 0.014 * s * to_face, (0.05 * s, 0.095 * s, 0.012 * s), 0.005 * s, axes)
        # The lens of its camera, so that the back of a phone is not just a dark patch.
        solids.box(
            screen, centre - 0.014 * s * to_face + axes[1] * 0.07 * s, (0.022 * s, 0.02 * s, 0.012 * s), 0.005 * s, axes
        )


def _add_open_umbrella(solids: Solids, bone: Skeleton, hand: int, colour: np.ndarray) -> None:
    s = bone.scale
    grip_at = bone.hands[hand]
    metal = Material("umbrella", (0.6, 0.6, 0.62))
    grip = Material("umbrella", (0.5, 0.28, 0.1))
    top = bone.head + _point(SIDES[hand] * 0.06, bone.head_radii[1] + 0.3 * s, 0.05)
    axis = unit(top - grip_at + UP * 0.4)
    axes = axes_along(axis)
    rim = top - axis * 0.12 * s
    solids.ellipsoid(Material("umbrella", colour), rim, (0.56 * s, 0.26 * s, 0.56 * s), axes, cut=0.0)
    # Stripes across the cover: flat ellipsoids that stand out of it a little, each turned about the stick.
    other = Material("umbrella", np.clip(colour * 0.6 + 0.36 if colour.mean() < 0.25 else colour * 0.55, 0, 1))
    for turn in (0.3, 1.35, 2.4):
        cos = math.cos(turn)
        sin = math.sin(turn)
        stripe = np.stack([cos * axes[0] + sin * axes[2], axes[1], -sin * axes[0] + cos * axes[2]])
        solids.ellipsoid(other, rim, (0.1 * s, 0.265 * s, 0.566 * s), stripe, cut=0.0)
    solids.cone(metal, grip_at, top + axis * 0.14 * s, 0.014 * s)
    solids.cone(grip, grip_at - axis * 0.12 * s, grip_at, 0.026 * s)


def _add_folded_umbrella(solids: Solids, bone: Skeleton, hand: int, colour: np.ndarray, upright: bool) -> None:
    """Add an umbrella that hangs from the hand of somebody ``upright``, and points forward otherwise."""
    s = bone.scale
    grip_at = bone.hands[hand]
    metal = Material("umbrella", (0.6, 0.6, 0.62))
    grip = Material("umbrella", (0.5, 0.28, 0.1))
    way = unit(_point(0, -1, 0.22) if upright else _point(0.0, -0.45, 0.9))
    # Its tip stays above the ground.
    length = min(0.74 * s, max(grip_at[1] - 0.03, 0.2) / abs(float(way[1])))
    # A dark one would be lost before dark clothes.
    cover = Material("umbrella", colour if colour.mean() > 0.25 else (0.85, 0.75, 0.2))
    solids.cone(cover, grip_at + way * 0.05 * s, grip_at + way * (length - 0.12 * s), 0.062 * s, 0.03 * s)
    solids.cone(metal, grip_at, grip_at + way * length, 0.014 * s)
    hook = grip_at - way * 0.08 * s
    solids.cone(grip, grip_at, hook, 0.024 * s)
    solids.ring(grip, hook + _point(0, 0.02, 0.05 * s), ACROSS, 0.05 * s, 0.036 * s)


def _add_gloves(solids: Solids, bone: Skeleton, dark: bool) -> None:
    s = max(bone.scale, 0.8)
    glove = Material("gloves", (0.04, 0.04, 0.06) if dark else (0.99, 0.97, 0.9))
    cuff = Material("gloves", (0.2, 0.2, 0.24) if dark else (0.82, 0.8, 0.74))
    for i in (RIGHT, LEFT):
        back = unit(bone.elbows[i] - bone.hands[i])
        solids.ellipsoid(glove, bone.hands[i] - back * 0.015 * s, (0.07 * s, 0.082 * s, 0.07 * s), axes_along(back))
        solids.cone(cuff, bone.hands[i] + back * 0.05 * s, bone.hands[i] + back * 0.08 * s, 0.064 * s, 0.068 * s)


# Gives the point (x, y, z), in metres at adult size, of a vehicle of its rider's size.
Place = Callable[[float, float, float], np.ndarray]


def add_vehicle(solids: Solids, person: Person, bone: Skeleton) -> None:
    """Add a bicycle, motorcycle or motor scooter under the rider."""
    k = bone.scale
    paint = Material("vehicle", person.looks.vehicle, gloss=0.3)
    VEHICLES[person.attributes["vehicle"]](solids, lambda x, y, z: _point(x, y, z) * k, k, paint)


def _add_bicycle(solids: Solids, p: Place, k: float, paint: Material) -> None:
    tyre = Material("vehicle", RUBBER)
    metal = Material("vehicle", CHROME)
    seat = Material("vehicle", SADDLE)
    rear = p(0, 0.34, -0.55)
    front = p(0, 0.34, 0.56)
    crank = p(0, 0.32, 0.0)
    head = p(0, 0.86, 0.36)
    post = p(0, 0.8, -0.16)
    for hub in (rear, front):
        solids.ring(tyre, hub, ACROSS, 0.31 * k, 0.055 * k)
        solids.cone(metal, hub - p(0, 0.3, 0), hub + p(0, 0.3, 0), 0.008 * k)
        solids.cone(metal, hub - p(0, 0, 0.3), hub + p(0, 0, 0.3), 0.008 * k)
    for start, end in ((rear, crank), (rear, post), (crank, post), (crank, head), (post, head), (head, front)):
        solids.cone(paint, start, end, 0.024 * k)
    solids.cone(paint, head, p(0, 1.02, 0.32), 0.022 * k)
    solids.cone(metal, p(-0.27, 1.04, 0.34), p(0.27, 1.04, 0.34), 0.022 * k)
    solids.cone(seat, p(0, 0.88, -0.3), p(0, 0.88, -0.1), 0.065 * k, 0.03 * k)
    solids.disc(metal, crank, ACROSS, 0.09 * k, 0.03 * k)
    for side in SIDES:
        solids.box(seat, p(side * 0.12, 0.33, 0.0), (0.05 * k, 0.018 * k, 0.07 * k))


def _add_motorcycle(solids: Solids, p: Place, k: float, paint: Material) -> None:
    tyre = Material("vehicle", RUBBER)
    metal = Material("vehicle", CHROME, gloss=0.4)
    seat = Material("vehicle", SADDLE)
    engine = Material("vehicle", (0.3, 0.3, 0.33), gloss=0.3)
    for z in (-0.68, 0.72):
        solids.ring(tyre, p(0, 0.33, z), ACROSS, 0.24 * k, 0.18 * k)
        solids.disc(metal, p(0, 0.33, z), ACROSS, 0.17 * k, 0.1 * k)
    solids.ellipsoid(paint, p(0, 0.76, 0.16), (0.17 * k, 0.15 * k, 0.3 * k))
    solids.cone(seat, p(0, 0.72, -0.62), p(0, 0.68, -0.08), 0.11 * k, 0.12 * k)
    solids.box(engine, p(0, 0.42, 0.02), (0.17 * k, 0.19 * k, 0.26 * k), 0.05 * k)
    solids.cone(paint, p(0, 0.6, -0.85), p(0, 0.66, -0.45), 0.08 * k, 0.1 * k)
    solids.ellipsoid(paint, p(0, 0.6, 0.74), (0.1 * k, 0.07 * k, 0.28 * k))
    for side in SIDES:
        solids.cone(metal, p(side * 0.11, 0.33, 0.72), p(side * 0.11, 0.95, 0.42), 0.03 * k)
        solids.cone(metal, p(side * 0.19, 0.3, 0.1), p(side * 0.22, 0.34, -0.8), 0.05 * k, 0.065 * k)
    solids.cone(tyre, p(-0.36, 1.02, 0.3), p(0.36, 1.02, 0.3), 0.03 * k)
    solids.ellipsoid(paint, p(0, 0.9, 0.5), (0.19 * k, 0.17 * k, 0.14 * k))
    solids.ellipsoid(Material("vehicle", LAMP, gloss=0.6), p(0, 0.9, 0.57), (0.12 * k, 0.12 * k, 0.1 * k))
    solids.ellipsoid(Material("vehicle", REAR_LAMP), p(0, 0.7, -0.9), (0.07 * k, 0.05 * k, 0.05 * k))


def _add_scooter(solids: Solids, p: Place, k: float, paint: Material) -> None:
    tyre = Material("vehicle", RUBBER)
    seat = Material("vehicle", SADDLE)
    for z in (-0.52, 0.58):
        solids.ring(tyre, p(0, 0.2, z), ACROSS, 0.135 * k, 0.12 * k)
        solids.disc(Material("vehicle", CHROME), p(0, 0.2, z), ACROSS, 0.09 * k, 0.08 * k)
    solids.box(paint, p(0, 0.24, 0.1), (0.18 * k, 0.045 * k, 0.36 * k), 0.03 * k)
    solids.ellipsoid(paint, p(0, 0.46, -0.42), (0.21 * k, 0.25 * k, 0.36 * k))
    solids.cone(seat, p(0, 0.72, -0.6), p(0, 0.71, -0.18), 0.085 * k, 0.1 * k)
    shield = axes_along((0, 1, -0.22))
    solids.box(paint, p(0, 0.58, 0.42), (0.25 * k, 0.36 * k, 0.04 * k), 0.03 * k, shield)
    solids.ellipsoid(paint, p(0, 0.38, 0.6), (0.11 * k, 0.09 * k, 0.2 * k))
    solids.ellipsoid(paint, p(0, 0.98, 0.34), (0.15 * k, 0.1 * k, 0.1 * k))
    solids.ellipsoid(Material("vehicle", LAMP, gloss=0.6), p(0, 0.98, 0.41), (0.09 * k, 0.08 * k, 0.06 * k))
    solids.cone(tyre, p(-0.32, 1.0, 0.29), p(0.32, 1.0, 0.29), 0.026 * k)
    solids.ellipsoid(Material("vehicle", REAR_LAMP), p(0, 0.52, -0.78), (0.09 * k, 0.05 * k, 0.03 * k))
    # Mirrors.
    for side in SIDES:
        solids.cone(tyre, p(side * 0.22, 1.0, 0.3), p(side * 0.28, 1.2, 0.3), 0.012 * k)
        solids.ellipsoid(paint, p(side * 0.29, 1.22, 0.3), (0.055 * k, 0.04 * k, 0.02 * k))


VEHICLES: dict[str, Callable[[Solids, Place, float, Material], None]] = {
    "bicycle": _add_bicycle,
    "motorcycle": _add_motorcycle,
    "scooter": _add_scooter,
}


def add_seat(solids: Solids, bone: Skeleton, colour: Triple) -> None:
    """Add the bench under a sitting person."""
    s = bone.scale
    height = max(bone.seat, 0.1)
    bench = Material("prop", colour)
    z = float(bone.pelvis[2]) - 0.02
    solids.box(bench, _point(0, height - 0.03, z), (0.3 * s, 0.035, 0.24 * s), 0.015, IDENTITY)
    for x in (-0.25, 0.25):
        solids.box(
            Material("prop", np.asarray(colour) * 0.7),
            _point(x * s, (height - 0.06) / 2, z - 0.05),
            (0.03, (height - 0.06) / 2, 0.18 * s),
        )
