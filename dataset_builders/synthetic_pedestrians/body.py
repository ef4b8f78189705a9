"""Solids of the person itself: skin, face, hair and feet.

Faces and hair are larger than life where 64 pixels would lose them: gender, age and hair have to be seen.
"""

import numpy as np

from .clothes import SLEEVED
from .geometry import Material, Solids
from .people import Person
from .skeleton import LEFT, RIGHT, SIDES, Skeleton


def add_body(solids: Solids, person: Person, bone: Skeleton) -> None:
    """Add the neck, the hands and shoes, and the limbs as far as clothes leave them bare."""
    attributes = person.attributes
    s = bone.scale
    wide = bone.wide
    skin = Material("skin", person.looks.skin)
    solids.cone(skin, bone.at(0, bone.torso_length - 0.08, 0), bone.head, 0.062 * s)
    slim = 0.9 if attributes["gender"] == "woman" else 1.0
    for i in (RIGHT, LEFT):
        if attributes["upper_garment"] not in SLEEVED:
            solids.cone(skin, bone.shoulders[i], bone.elbows[i], 0.05 * s * wide * slim, 0.043 * s * slim)
        solids.cone(skin, bone.elbows[i], bone.hands[i], 0.043 * s * slim, 0.034 * s * slim)
        if not attributes["gloves"]:
            solids.ellipsoid(skin, bone.hands[i], (0.046 * s, 0.056 * s, 0.046 * s))
        if attributes["lower_garment"] not in ("trousers", "leggings"):
            solids.cone(skin, bone.hips[i], bone.knees[i], 0.082 * s * wide, 0.06 * s)
        if attributes["lower_garment"] != "trousers":
            solids.cone(skin, bone.knees[i], bone.ankles[i], 0.058 * s, 0.04 * s)
    shoe = Material("shoes", person.looks.shoes)
    for i in (RIGHT, LEFT):
        heel = bone.ankles[i] - np.array([0, 0.035 * s, 0], np.float32)
        solids.cone(shoe, heel, bone.toes[i], 0.052 * s, 0.042 * s)


def add_head(solids: Solids, person: Person, bone: Skeleton) -> None:
    """Add the head with a face that tells gender and age, and the hair that a hat leaves free."""
    looks = person.looks
    r = bone.head_radii
    at = bone.in_head
    axes = bone.head_axes
    skin = Material("skin", looks.skin)
    dark = Material("face", (0.08, 0.06, 0.06))
    woman = person.attributes["gender"] == "woman"
    solids.ellipsoid(skin, bone.head, r, axes)
    # Chin and nose.
    solids.cone(skin, at(0, -0.5, 0.25), at(0, -0.78, 0.42), 0.55 * r[0], 0.42 * r[0])
    solids.ellipsoid(skin, at(0, -0.08, 1.0), (0.17 * r[0], 0.2 * r[1], 0.24 * r[2]), axes)
    for side in SIDES:
        # An ear, an eye and a brow.
        solids.ellipsoid(skin, at(side * 1.0, -0.05, 0.0), (0.14 * r[0], 0.22 * r[1], 0.16 * r[2]), axes)
        solids.ellipsoid(dark, at(side * 0.4, 0.1, 0.88), (0.15 * r[0], 0.1 * r[1], 0.12 * r[2]), axes)
        brow = Material("face", looks.hair * 0.75)
        thick = 0.05 if woman else 0.085
        solids.cone(brow, at(side * 0.2, 0.3, 0.94), at(side * 0.6, 0.3, 0.78), thick * r[0])
    mouth = Material("face", (0.78, 0.08, 0.14) if woman else looks.skin * 0.55)
    width = 0.26 if woman else 0.22
    solids.cone(mouth, at(-width, -0.52, 0.84), at(width, -0.52, 0.84), (0.1 if woman else 0.06) * r[0])
    if looks.beard:
        beard = Material("face", looks.hair * 0.95)
        solids.ellipsoid(beard, at(0, -0.72, 0.36), (0.74 * r[0], 0.46 * r[1], 0.62 * r[2]), axes)
        solids.cone(beard, at(-0.34, -0.4, 0.86), at(0.34, -0.4, 0.86), 0.09 * r[0])
    _add_hair(solids, person, bone)


def _add_hair(solids: Solids, person: Person, bone: Skeleton) -> None:
    looks = person.looks
    attributes = person.attributes
    length = attributes["hair_length"]
    r = bone.head_radii
    at = bone.in_head
    axes = bone.head_axes
    if length == "bald":
        # A shining cap, so that a bald head has pixels of its own.
        scalp = Material("hair_length", np.minimum(looks.skin * 1.04 + 0.02, 1), gloss=0.55)
        if not attributes["hat"]:
            solids.ellipsoid(scalp, at(0, 0.05, -0.04), (1.01 * r[0], 0.99 * r[1], 1.0 * r[2]), axes, cut=0.3)
        return
    hair = Material("hair_length", looks.hair, gloss=0.12)
    child = attributes["age"] == "child"
    if not attributes["hat"]:
        solids.ellipsoid(hair, at(0, 0.2, -0.22), (1.1 * r[0], 0.98 * r[1], 1.02 * r[2]), axes)
        if attributes["gender"] == "woman" or child:
            # A fringe.
            solids.ellipsoid(hair, at(0, 0.62, 0.5), (0.8 * r[0], 0.34 * r[1], 0.46 * r[2]), axes)
    # The back of the head, which shows below a hat, too.
    solids.ellipsoid(hair, at(0, -0.05, -0.34), (1.06 * r[0], 0.9 * r[1], 0.86 * r[2]), axes)
    if attributes["age"] == "middle-aged":
        gray_temples = Material("hair_length", (0.72, 0.72, 0.73))
        for side in SIDES:
            solids.ellipsoid(gray_temples, at(side * 0.84, 0.12, 0.06), (0.3 * r[0], 0.36 * r[1], 0.34 * r[2]), axes)
    if length == "medium":
        solids.ellipsoid(hair, at(0, -0.5, -0.32), (1.34 * r[0], 0.88 * r[1], 0.9 * r[2]), axes)
        for side in SIDES:
            solids.cone(hair, at(side * 1.0, 0.3, 0.05), at(side * 1.14, -0.9, 0.1), 0.3 * r[0], 0.34 * r[0])
    elif length == "long":
        # Down the back, and two strands over the shoulders, so that it is seen from the front.
        low = bone.torso_length - (0.14 if child else 0.2)
        back = bone.at(0, low, -0.13)
        solids.cone(hair, at(0, 0.0, -0.5), back, 1.05 * r[0], 0.95 * r[0], forward=bone.torso[2], flat=(1, 0.45))
        for side in SIDES:
            shoulder = bone.at(side * 0.115, bone.torso_length - 0.02, 0.09)
            end = bone.at(side * 0.115, low, 0.15)
            solids.cone(hair, at(side * 1.0, 0.3, 0.0), shoulder, 0.3 * r[0], 0.36 * r[0])
            solids.cone(hair, shoulder, end, 0.36 * r[0], 0.22 * r[0])
