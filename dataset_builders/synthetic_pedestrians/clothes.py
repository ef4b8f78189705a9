"""Solids of the upper and the lower garment.

A garment is a few cones around the bones, a little thicker than the skin. Details that tell one garment from another
(collars, cuffs, open fronts) are larger than life, so that 64 pixels show them.
"""

from dataclasses import dataclass

import numpy as np

from .geometry import Material, Solids, Triple
from .people import Person, View
from .skeleton import LEFT, RIGHT, SIDES, Skeleton

SLEEVED = ("shirt", "hoodie", "jacket", "coat")
SKIRTS = ("long-skirt", "short-skirt")
BENT_LEGS = ("squatting", "sitting", "riding")
# Metres by which a sleeve or a waist is wider than the body; other garments get the default.
THICKNESS = {"hoodie": 0.022, "jacket": 0.024, "coat": 0.026, "shirt": 0.008, "tank-top": -0.004}
DEFAULT_THICKNESS = 0.003
# Where the garment ends, in metres up the spine from the pelvis; other garments end there.
HEM = {"shirt": -0.05, "t-shirt": -0.03, "hoodie": -0.03, "tank-top": -0.02, "jacket": -0.1}
HEM_TUCKED_IN = 0.11
# The cross-section of a torso: wider than deep.
TORSO_FLAT = (1, 0.7)
HIP_FLAT = (1, 0.74)


@dataclass(frozen=True)
class Cut:
    """Measures of an upper garment on its wearer, in metres at adult size.

    Attributes:
        chest, waist: radii of the body there.
        thickness: distance of the garment from the body.
        hem: where it ends, up the spine from the pelvis.
    """

    chest: float
    waist: float
    thickness: float
    hem: float


def second_colour(colour: Triple) -> Triple:
    """The colour of stripes, checks and dots on a cloth: white on dark, dark on light."""
    luminance = float(np.asarray(colour) @ (0.3, 0.59, 0.11))
    return (0.97, 0.97, 0.95) if luminance < 0.5 else tuple(np.asarray(colour) * 0.12 + (0.06, 0.06, 0.16))


def cloth(person: Person, piece: str) -> Material:
    """What the garment ``piece`` ("upper" or "lower") is made of."""
    colour = person.looks.cloth[piece]
    return Material(piece, colour, second_colour(colour), person.attributes[f"{piece}_pattern"])


def _trim(colour: np.ndarray, factor: float) -> Material:
    """A darker edge of an upper garment; a lighter one if the garment is nearly black."""
    return Material("upper", colour * factor if float(colour.mean()) > 0.2 else colour + 0.2)


def _knee_height(bone: Skeleton) -> float:
    return float(bone.knees[RIGHT][1] + bone.knees[LEFT][1]) / 2


def _add_flared(
    solids: Solids,
    material: Material,
    bone: Skeleton,
    top: float,
    hem_height: float,
    radius_top: float,
    radius_hem: float,
) -> None:
    """Add a skirt around standing or striding legs, from ``top`` (m up the spine) down to ``hem_height`` (m)."""
    start = bone.at(0, top, 0)
    centre = (bone.ankles[RIGHT] + bone.ankles[LEFT]) / 2
    knees = (bone.knees[RIGHT] + bone.knees[LEFT]) / 2
    low = np.array([0, hem_height, 0.5 * (centre[2] + knees[2])], np.float32)
    # A stride needs depth, and the more of it, the lower the skirt goes.
    stride = abs(float(bone.ankles[RIGHT][2] - bone.ankles[LEFT][2]))
    share = np.clip((start[1] - hem_height) / max(start[1], 0.1), 0, 1)
    deep = 0.78 + 0.9 * stride * share
    forward = np.array([0, 0, 1], np.float32)
    solids.cone(
        material,
        low,
        start,
        radius_hem * bone.scale,
        radius_top * bone.scale,
        forward=forward,
        flat=(1, min(deep, 1.5)),
        cut=True,
        offset=float(low[1]) / 2,
    )


def _add_over_thighs(
    solids: Solids, material: Material, bone: Skeleton, radius: float, share: float, shin_share: float = 0.0
) -> None:
    """Add a skirt or coat tail over bent legs.

    Args:
        radius: around each thigh, in metres at adult size.
        share, shin_share: how much of the thighs and of the shins is covered.
    """
    s = bone.scale
    ends = [bone.hips[i] + share * (bone.knees[i] - bone.hips[i]) for i in (RIGHT, LEFT)]
    for i in (RIGHT, LEFT):
        solids.cone(material, ends[i], bone.hips[i], radius * s, (radius + 0.02) * s, cut=share < 1)
        if shin_share:
            low = bone.knees[i] + shin_share * (bone.ankles[i] - bone.knees[i])
            solids.cone(material, low, bone.knees[i], (radius + 0.03) * s, radius * s, cut=True)
    # Cloth also spans the gap between the legs.
    middle = (ends[RIGHT] + ends[LEFT]) / 2
    solids.cone(material, middle, bone.pelvis, radius * s, (radius + 0.02) * s, cut=share < 1)
    if shin_share:
        knees = (bone.knees[RIGHT] + bone.knees[LEFT]) / 2
        ankles = (bone.ankles[RIGHT] + bone.ankles[LEFT]) / 2
        solids.cone(material, knees + shin_share * (ankles - knees), knees, (radius + 0.03) * s, radius * s, cut=True)


def add_lower(solids: Solids, person: Person, view: View, bone: Skeleton) -> None:
    """Add trousers, shorts, leggings or a skirt."""
    attributes = person.attributes
    garment = attributes["lower_garment"]
    material = cloth(person, "lower")
    s = bone.scale
    w = bone.wide
    hip = (0.17 if attributes["gender"] == "woman" else 0.148) * w * s
    solids.cone(
        material,
        bone.at(0, 0.0, 0),
        bone.at(0, 0.1, 0),
        hip,
        0.74 * hip,
        offset=0.1,
        forward=bone.torso[2],
        flat=HIP_FLAT,
    )
    if garment in SKIRTS:
        long = garment == "long-skirt"
        if view.action in BENT_LEGS:
            _add_over_thighs(solids, material, bone, 0.1 * w, 0.97 if long else 0.72, 0.82 if long else 0)
        elif long:
            # It stays inside a coat.
            slim = 0.8 if attributes["upper_garment"] == "coat" else 1.0
            _add_flared(solids, material, bone, 0.1, 0.17 * s, 0.155 * w * slim, 0.25 * w * slim)
        else:
            hem = _knee_height(bone) + 0.16 * s
            _add_flared(solids, material, bone, 0.1, hem, 0.155 * w, 0.225 * w)
        return
    for i in (RIGHT, LEFT):
        hip_joint = bone.hips[i]
        knee = bone.knees[i]
        ankle = bone.ankles[i]
        if garment == "trousers":
            end = knee + 0.96 * (ankle - knee)
            solids.cone(material, hip_joint, knee, 0.092 * s * w, 0.082 * s, offset=0.3)
            solids.cone(material, end, knee, 0.088 * s, 0.08 * s, cut=True, offset=0.0)
        elif garment == "leggings":
            end = knee + 0.74 * (ankle - knee)
            solids.cone(material, hip_joint, knee, 0.086 * s * w, 0.063 * s, offset=0.3)
            solids.cone(material, end, knee, 0.046 * s, 0.062 * s, cut=True, offset=0.0)
        else:
            end = hip_joint + 0.86 * (knee - hip_joint)
            solids.cone(material, end, hip_joint, 0.118 * s * w, 0.094 * s * w, cut=True, offset=0.0)


def _cut_of(person: Person, bone: Skeleton) -> Cut:
    attributes = person.attributes
    garment = attributes["upper_garment"]
    w = bone.wide
    if attributes["age"] == "child":
        chest = 0.15
        waist = 0.15 * w
    elif attributes["gender"] == "woman":
        chest = 0.148
        waist = 0.116 * w**1.6
    else:
        chest = 0.178
        waist = 0.15 * w**1.6
    hem = HEM.get(garment, 0.0)
    if garment in ("t-shirt", "tank-top", "shirt", "hoodie") and attributes["lower_garment"] in SKIRTS:
        hem = HEM_TUCKED_IN
    return Cut(chest * w, waist, THICKNESS.get(garment, DEFAULT_THICKNESS), hem)


def add_upper(solids: Solids, person: Person, view: View, bone: Skeleton) -> None:
    """Add a T-shirt, tank top, shirt, hoodie, jacket, coat or dress."""
    attributes = person.attributes
    garment = attributes["upper_garment"]
    material = cloth(person, "upper")
    woman = attributes["gender"] == "woman"
    child = attributes["age"] == "child"
    cut = _cut_of(person, bone)
    s = bone.scale
    w = bone.wide
    neck = bone.torso_length
    grow = cut.thickness * 0.8
    flat = {"forward": bone.torso[2], "flat": TORSO_FLAT}
    # From the waist up.
    solids.cone(
        material,
        bone.at(0, 0.12, 0),
        bone.at(0, neck - 0.15, 0),
        (cut.waist + grow) * s,
        (cut.chest + grow) * s,
        offset=0.3,
        **flat,
    )
    # From the waist down to the hem.
    hip = (0.188 if woman else 0.172) * w**0.8 + cut.thickness
    solids.cone(
        material,
        bone.at(0, cut.hem, 0),
        bone.at(0, 0.14, 0),
        hip * s,
        (cut.waist + grow) * s,
        cut=True,
        offset=0.14,
        **flat,
    )
    # The shoulder yoke is in two halves, so that its pattern runs like the sleeves'.
    top = Material("skin", person.looks.skin) if garment == "tank-top" else material
    for i, side in enumerate(SIDES):
        solids.cone(
            top,
            bone.at(side * 0.03, neck - 0.045, 0),
            bone.shoulders[i],
            (0.062 + cut.thickness) * s,
            (0.056 + cut.thickness) * s,
        )
    if woman and not child:
        for side in SIDES:
            solids.ellipsoid(
                material,
                bone.at(side * 0.062, neck - 0.18, 0.075 * w),
                (0.068 * s, 0.07 * s, 0.062 * s),
                bone.torso,
                offset=0.32,
            )
    elif w > 1.08 and not child:
        # A belly.
        solids.ellipsoid(
            material, bone.at(0, 0.14, 0.05), ((cut.waist + grow) * s, 0.15 * s, 0.135 * s * w), bone.torso, offset=0.14
        )
    trim = _trim(person.looks.cloth["upper"], 0.55)
    if garment == "jacket":
        # Its waistband, and its cuffs below, tell it from a shirt also from behind.
        solids.cone(
            trim,
            bone.at(0, cut.hem, 0),
            bone.at(0, cut.hem + 0.075, 0),
            (hip + 0.01) * s,
            (hip + 0.006) * s,
            cut=True,
            **flat,
        )
    _add_sleeves(solids, material, trim, garment, bone, cut.thickness, 0.92 if woman else 1.0)
    _add_details(solids, person, view, bone, trim, cut)


def _add_sleeves(
    solids: Solids, material: Material, trim: Material, garment: str, bone: Skeleton, thickness: float, slim: float
) -> None:
    s = bone.scale
    w = bone.wide
    for i, side in enumerate(SIDES):
        shoulder = bone.shoulders[i]
        elbow = bone.elbows[i]
        hand = bone.hands[i]
        if garment in SLEEVED:
            wrist = elbow + 0.84 * (hand - elbow)
            upper = (0.054 * w * slim + thickness) * s
            lower = (0.046 * slim + thickness * 0.9) * s
            solids.cone(material, shoulder, elbow, upper, lower)
            solids.cone(material, wrist, elbow, 0.9 * lower, lower, cut=True)
            if garment == "jacket":
                solids.cone(trim, wrist, elbow + 0.62 * (hand - elbow), lower, 1.06 * lower, cut=True)
        elif garment in ("t-shirt", "dress"):
            end = shoulder + 0.66 * (elbow - shoulder)
            solids.cone(material, end, shoulder, 0.073 * s * slim, 0.064 * s * w * slim, cut=True)
        else:
            # The straps of a tank top, over bare shoulders.
            for z in (0.085, -0.085):
                solids.cone(
                    material,
                    bone.at(side * 0.085, bone.torso_length - 0.17, z),
                    bone.at(side * 0.075, bone.torso_length + 0.005, 0),
                    0.034 * s,
                )


def _add_details(solids: Solids, person: Person, view: View, bone: Skeleton, trim: Material, cut: Cut) -> None:
    """Add what tells garments apart: placket and collar, hood and pocket, open front, long skirts."""
    garment = person.attributes["upper_garment"]
    if garment in ("shirt", "jacket", "coat"):
        _add_collar(solids, person, bone, trim)
    if garment == "shirt":
        _add_placket(solids, person, bone, cut)
    elif garment == "hoodie":
        _add_hood_and_pocket(solids, person, bone, trim, cut)
    elif garment == "jacket":
        _add_open_front(solids, person, bone, trim, cut)
    elif garment == "coat":
        _add_coat_tail(solids, person, view, bone, trim, cut)
    elif garment == "dress":
        material = cloth(person, "upper")
        if view.action in BENT_LEGS:
            _add_over_thighs(solids, material, bone, 0.105 * bone.wide, 0.8)
        else:
            hem = _knee_height(bone) + 0.07 * bone.scale
            _add_flared(solids, material, bone, 0.13, hem, cut.waist * 0.98, 0.3 * bone.wide)


def _front(cut: Cut) -> float:
    """How far in front of the spine the chest of a garment is."""
    return TORSO_FLAT[1] * (cut.chest + cut.thickness)


def _add_collar(solids: Solids, person: Person, bone: Skeleton, trim: Material) -> None:
    s = bone.scale
    neck = bone.torso_length
    colour = person.looks.cloth["upper"]
    collar = trim
    if person.attributes["upper_garment"] == "shirt":
        collar = Material("upper", (0.96, 0.96, 0.96) if colour.mean() < 0.6 else colour * 0.55)
    for side in SIDES:
        solids.cone(
            collar, bone.at(side * 0.075, neck + 0.015, -0.02), bone.at(side * 0.02, neck - 0.075, 0.105), 0.026 * s
        )


def _add_placket(solids: Solids, person: Person, bone: Skeleton, cut: Cut) -> None:
    """Add the strip of a shirt's buttons."""
    s = bone.scale
    strip = _trim(person.looks.cloth["upper"], 0.5)
    top = bone.at(0, bone.torso_length - 0.1, _front(cut) - 0.004)
    solids.cone(strip, top, bone.at(0, 0.0, 0.7 * cut.waist + 0.03), 0.012 * s)


def _add_hood_and_pocket(solids: Solids, person: Person, bone: Skeleton, trim: Material, cut: Cut) -> None:
    s = bone.scale
    neck = bone.torso_length
    colour = person.looks.cloth["upper"]
    plain = Material("upper", colour)
    cord = Material("upper", (0.97, 0.97, 0.97) if colour.mean() < 0.6 else (0.1, 0.1, 0.12))
    solids.ellipsoid(plain, bone.at(0, neck + 0.01, -0.085), (0.145 * s, 0.1 * s, 0.085 * s), bone.torso)
    for side in SIDES:
        solids.cone(plain, bone.at(side * 0.1, neck + 0.035, -0.02), bone.at(side * 0.03, neck - 0.03, 0.1), 0.042 * s)
        solids.cone(
            cord,
            bone.at(side * 0.045, neck - 0.06, _front(cut) + 0.012),
            bone.at(side * 0.045, neck - 0.24, _front(cut) + 0.014),
            0.011 * s,
        )
    solids.box(
        trim,
        bone.at(0, 0.1, 0.7 * (cut.waist + 0.02) * bone.wide**0.3 + 0.005),
        (0.1 * s, 0.065 * s, 0.035 * s),
        0.02,
        bone.torso,
    )


def _add_open_front(solids: Solids, person: Person, bone: Skeleton, trim: Material, cut: Cut) -> None:
    """Add what an open jacket shows, and its two edges."""
    s = bone.scale
    neck = bone.torso_length
    solids.cone(
        Material("inner", person.looks.inner),
        bone.at(0, -0.04, 0.035),
        bone.at(0, neck - 0.09, 0.035),
        (0.6 * cut.waist + 0.03) * s,
        0.6 * cut.chest * s,
        forward=bone.torso[2],
        # Narrow and deep: it stands out in front of the jacket and is hidden by it elsewhere.
        flat=(0.62, 1.12 + 0.3 * max(bone.wide - 1, 0)),
    )
    for side in SIDES:
        solids.cone(
            trim,
            bone.at(side * 0.07, neck - 0.08, _front(cut) + 0.005),
            bone.at(side * 0.078, -0.08, 0.75 * cut.waist + 0.03),
            0.02 * s,
        )


def _add_coat_tail(solids: Solids, person: Person, view: View, bone: Skeleton, trim: Material, cut: Cut) -> None:
    """Add the part of a coat below the waist, and its buttons."""
    s = bone.scale
    w = bone.wide
    material = cloth(person, "upper")
    if view.action in BENT_LEGS:
        _add_over_thighs(solids, material, bone, 0.108 * w, 0.95)
    else:
        _add_flared(solids, material, bone, 0.1, _knee_height(bone) - 0.03 * s, cut.waist + 0.045, 0.25 * w)
    for y in (0.05, 0.16, 0.27):
        for side in SIDES:
            solids.ellipsoid(
                trim, bone.at(side * 0.05, y, 0.7 * (cut.waist + 0.035) + 0.02 * w), (0.02 * s, 0.02 * s, 0.016 * s)
            )
