"""Solids of the upper and the lower garment."""

import numpy as np

from .geometry import Material
from .skeleton import LEFT, RIGHT, SIDES

SLEEVED = ("shirt", "hoodie", "jacket", "coat")
BENT = ("squatting", "sitting", "riding")


def second_colour(colour):
    """The colour of stripes, checks and dots on a cloth: white on dark, dark on light."""
    luminance = float(np.asarray(colour) @ (0.3, 0.59, 0.11))
    return (0.97, 0.97, 0.95) if luminance < 0.5 else tuple(np.asarray(colour) * 0.12 + (0.06, 0.06, 0.16))


def cloth(person, piece):
    colour = person.looks[piece]
    return Material(piece, colour, second_colour(colour), person.attributes[f"{piece}_pattern"])


def _darker(material_part, colour, factor=0.6):
    colour = np.asarray(colour)
    shade = colour * factor if float(colour.mean()) > 0.2 else colour + 0.2
    return Material(material_part, shade)


def _flared(solids, material, bone, view, top, hem_height, radius_top, radius_hem):
    """A skirt around standing or striding legs, from ``top`` (m up the spine) to ``hem_height`` above the ground."""
    start = bone.at(0, top, 0)
    centre = (bone.ankles[RIGHT] + bone.ankles[LEFT]) / 2
    knees = (bone.knees[RIGHT] + bone.knees[LEFT]) / 2
    low = np.array([0, hem_height, 0.5 * (centre[2] + knees[2])], np.float32)
    spread = abs(float(bone.ankles[RIGHT][2] - bone.ankles[LEFT][2]))
    share = np.clip((start[1] - hem_height) / max(start[1], 0.1), 0, 1)
    deep = 0.78 + 0.9 * spread * share
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


def _over_thighs(solids, material, bone, radius, share, shin_share=0.0):
    """A skirt or coat tail over bent legs: ``share`` of the thighs and ``shin_share`` of the shins are covered."""
    s = bone.scale
    ends = [bone.hips[i] + share * (bone.knees[i] - bone.hips[i]) for i in (RIGHT, LEFT)]
    for i in (RIGHT, LEFT):
        solids.cone(material, ends[i], bone.hips[i], radius * s, (radius + 0.02) * s, cut=share < 1)
        if shin_share:
            low = bone.knees[i] + shin_share * (bone.ankles[i] - bone.knees[i])
            solids.cone(material, low, bone.knees[i], (radius + 0.03) * s, radius * s, cut=True)
    middle = (ends[RIGHT] + ends[LEFT]) / 2
    solids.cone(material, middle, bone.pelvis, radius * s, (radius + 0.02) * s, cut=share < 1)
    if shin_share:
        knees = (bone.knees[RIGHT] + bone.knees[LEFT]) / 2
        ankles = (bone.ankles[RIGHT] + bone.ankles[LEFT]) / 2
        solids.cone(material, knees + shin_share * (ankles - knees), knees, (radius + 0.03) * s, radius * s, cut=True)


def add_lower(solids, person, view, bone):
    """Trousers, shorts, leggings or a skirt."""
    a, s, w = person.attributes, bone.scale, bone.wide
    garment, material = a["lower_garment"], cloth(person, "lower")
    hip = (0.17 if a["gender"] == "woman" else 0.148) * w * s
    torso = {"forward": bone.torso[2], "flat": (1, 0.74)}
    solids.cone(material, bone.at(0, 0.0, 0), bone.at(0, 0.1, 0), hip, 0.74 * hip, offset=0.1, **torso)
    if garment in ("long-skirt", "short-skirt"):
        long = garment == "long-skirt"
        if view.action in BENT:
            _over_thighs(solids, material, bone, 0.1 * w, 0.97 if long else 0.72, 0.82 if long else 0)
        elif long:
            slim = 0.8 if a["upper_garment"] == "coat" else 1.0  # it stays inside the coat
            _flared(solids, material, bone, view, 0.1, 0.17 * s, 0.155 * w * slim, 0.25 * w * slim)
        else:
            hem = float(bone.knees[RIGHT][1] + bone.knees[LEFT][1]) / 2 + 0.16 * s
            _flared(solids, material, bone, view, 0.1, hem, 0.155 * w, 0.225 * w)
        return
    for i in (RIGHT, LEFT):
        hip_joint, knee, ankle = bone.hips[i], bone.knees[i], bone.ankles[i]
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


def add_upper(solids, person, view, bone):
    """T-shirt, tank top, shirt, hoodie, jacket, coat or dress."""
    a, s, w = person.attributes, bone.scale, bone.wide
    garment, material = a["upper_garment"], cloth(person, "upper")
    woman, child = a["gender"] == "woman", a["age"] == "child"
    thick = {"hoodie": 0.022, "jacket": 0.024, "coat": 0.026, "shirt": 0.008, "tank-top": -0.004}.get(garment, 0.003)
    chest = (0.15 if child else 0.148 if woman else 0.178) * w
    waist = (0.15 if child else 0.116 if woman else 0.15) * w ** (1.6 if not child else 1)
    neck = bone.torso_length
    grow = thick * 0.8
    flat = {"forward": bone.torso[2], "flat": (1, 0.7)}
    top = Material("skin", person.looks["skin"]) if garment == "tank-top" else material
    solids.cone(
        material,
        bone.at(0, 0.12, 0),
        bone.at(0, neck - 0.15, 0),
        (waist + grow) * s,
        (chest + grow) * s,
        offset=0.3,
        **flat,
    )
    hem = {"shirt": -0.05, "t-shirt": -0.03, "hoodie": -0.03, "tank-top": -0.02, "jacket": -0.1}.get(garment, 0.0)
    if garment in ("t-shirt", "tank-top", "shirt", "hoodie") and a["lower_garment"] in ("long-skirt", "short-skirt"):
        hem = 0.11  # tucked in
    hip = (0.188 if woman else 0.172) * w**0.8 + thick
    solids.cone(
        material, bone.at(0, hem, 0), bone.at(0, 0.14, 0), hip * s, (waist + grow) * s, cut=True, offset=0.14, **flat
    )
    for side in SIDES:  # shoulder yoke, in two halves so that their pattern runs like the sleeves'
        outer = bone.shoulders[0 if side < 0 else 1]
        solids.cone(top, bone.at(side * 0.03, neck - 0.045, 0), outer, (0.062 + thick) * s, (0.056 + thick) * s)
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
        solids.ellipsoid(
            material, bone.at(0, 0.14, 0.05), ((waist + grow) * s, 0.15 * s, 0.135 * s * w), bone.torso, offset=0.14
        )
    trim = _darker("upper", person.looks["upper"], 0.55)
    if garment == "jacket":  # its waistband and cuffs tell it from a shirt also from behind
        band = bone.at(0, hem, 0), bone.at(0, hem + 0.075, 0)
        solids.cone(trim, *band, (hip + 0.01) * s, (hip + 0.006) * s, cut=True, **flat)
    _add_sleeves(solids, material, trim, garment, bone, thick, a)
    _add_details(solids, person, view, bone, garment, trim, chest, waist, thick)


def _add_sleeves(solids, material, trim, garment, bone, thick, a):
    s, w = bone.scale, bone.wide
    slim = 0.92 if a["gender"] == "woman" else 1.0
    for i in (RIGHT, LEFT):
        shoulder, elbow, hand = bone.shoulders[i], bone.elbows[i], bone.hands[i]
        if garment in SLEEVED:
            wrist = elbow + 0.84 * (hand - elbow)
            upper, lower = (0.054 * w * slim + thick) * s, (0.046 * slim + thick * 0.9) * s
            solids.cone(material, shoulder, elbow, upper, lower)
            solids.cone(material, wrist, elbow, 0.9 * lower, lower, cut=True)
            if garment == "jacket":
                solids.cone(trim, wrist, elbow + 0.62 * (hand - elbow), lower, 1.06 * lower, cut=True)
        elif garment in ("t-shirt", "dress"):
            end = shoulder + 0.66 * (elbow - shoulder)
            solids.cone(material, end, shoulder, 0.073 * s * slim, 0.064 * s * w * slim, cut=True)
        else:  # tank top: straps over bare shoulders
            side = SIDES[i]
            for z in (0.085, -0.085):
                solids.cone(
                    material,
                    bone.at(side * 0.085, bone.torso_length - 0.17, z),
                    bone.at(side * 0.075, bone.torso_length + 0.005, 0),
                    0.034 * s,
                )


def _add_details(solids, person, view, bone, garment, trim, chest, waist, thick):
    """What tells garments apart: placket and collar, hood and pocket, open front, long skirts."""
    looks, s, w, neck = person.looks, bone.scale, bone.wide, bone.torso_length
    material = cloth(person, "upper")
    plain = Material("upper", looks["upper"])
    front = 0.7 * (chest + thick)
    if garment in ("shirt", "jacket", "coat"):
        collar = Material("upper", (0.96, 0.96, 0.96) if looks["upper"].mean() < 0.6 else looks["upper"] * 0.55)
        collar = collar if garment == "shirt" else trim
        for side in SIDES:
            solids.cone(
                collar, bone.at(side * 0.075, neck + 0.015, -0.02), bone.at(side * 0.02, neck - 0.075, 0.105), 0.026 * s
            )
    if garment == "shirt":
        strip = _darker("upper", looks["upper"], 0.5)
        solids.cone(strip, bone.at(0, neck - 0.1, front - 0.004), bone.at(0, 0.0, 0.7 * waist + 0.03), 0.012 * s)
    elif garment == "hoodie":
        solids.ellipsoid(plain, bone.at(0, neck + 0.01, -0.085), (0.145 * s, 0.1 * s, 0.085 * s), bone.torso)
        for side in SIDES:
            solids.cone(
                plain, bone.at(side * 0.1, neck + 0.035, -0.02), bone.at(side * 0.03, neck - 0.03, 0.1), 0.042 * s
            )
            cord = Material("upper", (0.97, 0.97, 0.97) if looks["upper"].mean() < 0.6 else (0.1, 0.1, 0.12))
            at = bone.at(side * 0.045, neck - 0.06, front + 0.012), bone.at(side * 0.045, neck - 0.24, front + 0.014)
            solids.cone(cord, *at, 0.011 * s)
        solids.box(
            trim,
            bone.at(0, 0.1, 0.7 * (waist + 0.02) * w**0.3 + 0.005),
            (0.1 * s, 0.065 * s, 0.035 * s),
            0.02,
            bone.torso,
        )
    elif garment == "jacket":
        inner = Material("inner", looks["inner"])
        solids.cone(
            inner,
            bone.at(0, -0.04, 0.035),
            bone.at(0, neck - 0.09, 0.035),
            (0.6 * waist + 0.03) * s,
            0.6 * chest * s,
            forward=bone.torso[2],
            flat=(0.62, 1.12 + 0.3 * max(w - 1, 0)),
        )
        for side in SIDES:
            edge = bone.at(side * 0.07, neck - 0.08, front + 0.005), bone.at(side * 0.078, -0.08, 0.75 * waist + 0.03)
            solids.cone(trim, *edge, 0.02 * s)
    elif garment == "coat":
        if view.action in BENT:
            _over_thighs(solids, material, bone, 0.108 * w, 0.95)
        else:
            hem = float(bone.knees[RIGHT][1] + bone.knees[LEFT][1]) / 2 - 0.03 * s
            _flared(solids, material, bone, view, 0.1, hem, waist + 0.045, 0.25 * w)
        for y in (0.05, 0.16, 0.27):
            for side in SIDES:
                solids.ellipsoid(
                    trim, bone.at(side * 0.05, y, 0.7 * (waist + 0.035) + 0.02 * w), (0.02 * s, 0.02 * s, 0.016 * s)
                )
    elif garment == "dress":
        if view.action in BENT:
            _over_thighs(solids, material, bone, 0.105 * w, 0.8)
        else:
            hem = float(bone.knees[RIGHT][1] + bone.knees[LEFT][1]) / 2 + 0.07 * s
            _flared(solids, material, bone, view, 0.13, hem, waist * 0.98, 0.3 * w)
