"""From measures and an action to joints: free limbs swing by angles, hands and feet with a goal reach for it."""

import math
from dataclasses import dataclass, field

import numpy as np

from .geometry import unit

RIGHT, LEFT = 0, 1
SIDES = (-1, 1)  # x sign of right and left; the person faces +z


@dataclass
class Skeleton:
    """Joints (3,) in metres, person's frame, ground at y = 0; pairs are [right, left].

    ``torso`` and ``head_axes`` are (3, 3) rows x, y, z; ``scale`` is the height relative to 1.75 m, ``wide`` the
    breadth relative to a lean adult, ``head_radii`` (3,). ``seat`` is None or the height of what one sits on.
    ``goals`` {side index: point} is where a busy hand must be.
    """

    scale: float
    wide: float
    head_radii: np.ndarray
    pelvis: np.ndarray = None
    torso: np.ndarray = None
    head: np.ndarray = None
    head_axes: np.ndarray = None
    shoulders: list = field(default_factory=list)
    elbows: list = field(default_factory=list)
    hands: list = field(default_factory=list)
    hips: list = field(default_factory=list)
    knees: list = field(default_factory=list)
    ankles: list = field(default_factory=list)
    toes: list = field(default_factory=list)
    torso_length: float = 0.5
    seat: float | None = None
    goals: dict = field(default_factory=dict)

    def at(self, x, y, z):
        """Point (x, y, z), metres at adult size, in the torso's frame: origin at the pelvis, y up the spine."""
        s = self.scale
        return self.pelvis + s * (x * self.torso[0] + y * self.torso[1] + z * self.torso[2])

    def in_head(self, x, y, z):
        """Point in head radii from the head's centre."""
        r = self.head_radii
        return self.head + x * r[0] * self.head_axes[0] + y * r[1] * self.head_axes[1] + z * r[2] * self.head_axes[2]


def tilted(lean):
    """Axes leaning forward by ``lean`` radians."""
    c, s = math.cos(lean), math.sin(lean)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]], np.float32)


def _limb(side, flex, spread):
    """Direction of a limb hanging down, swung forward by ``flex`` and outward by ``spread`` (radians)."""
    c = math.cos(spread)
    return np.array([side * math.sin(spread), -c * math.cos(flex), c * math.sin(flex)], np.float32)


def reach(start, goal, first, second, pole):
    """Middle joint and end of a two-bone limb from ``start`` towards ``goal``, bent towards ``pole``."""
    way = goal - start
    length = min(max(float(np.linalg.norm(way)), abs(first - second) + 1e-3), (first + second) * 0.998)
    way = unit(way)
    along = (first**2 - second**2 + length**2) / (2 * length)
    out = unit(np.asarray(pole, np.float32) - (np.asarray(pole, np.float32) @ way) * way)
    return start + along * way + math.sqrt(max(first**2 - along**2, 0)) * out, start + length * way


def _angles(action, view, old):
    """Leg (flex, knee, spread) and arm (flex, elbow, spread) in degrees for [right, left], and the torso's lean."""
    n, k = view.loose, view.phase
    fore, back = (RIGHT, LEFT) if view.side > 0 else (LEFT, RIGHT)
    legs, arms, lean = [None, None], [None, None], 0
    if action == "walking":
        k = k * (0.7 if old else 1.0)
        legs[fore], legs[back] = (34 * k, 6, 3), (-22 * k, 26 * k, 3)
        arms[fore], arms[back] = (-28 * k, 12, 10), (32 * k, 22, 10)
        lean = 4
    elif action == "running":
        legs[fore], legs[back] = (72 * k, 88, 4), (-30 * k, 62 + 30 * k, 4)
        arms[fore], arms[back] = (-58 * k, 88, 14), (48 * k, 98, 12)
        lean = 17
    elif action == "squatting":
        legs[RIGHT], legs[LEFT] = (112, 138, 16 + 5 * n[0]), (114, 140, 16 - 5 * n[0])
        arms[RIGHT], arms[LEFT] = (46, 26, 8), (48, 30, 8)
        lean = 22
    elif action == "sitting":
        legs[RIGHT], legs[LEFT] = (84, 84 + 6 * n[0], 7), (84, 84 - 6 * n[1], 7)
        arms[RIGHT], arms[LEFT] = (22, 48, 9), (22, 48, 9)
        lean = 3
    else:
        legs[RIGHT], legs[LEFT] = (3 * n[0], 2, 4 + n[1]), (-3 * n[0], 2, 4 + n[1])
        arms[RIGHT], arms[LEFT] = (4 * n[2], 8, 11 + 3 * n[3]), (4 * n[4], 8, 11 + 3 * n[5])
    if old and action in ("standing", "walking"):
        legs = [(flex + 9, knee + 18, spread + 1) for flex, knee, spread in legs]
    return legs, arms, lean


# Where riders sit and hold on (metres at adult size): pelvis, lean (degrees), hands (x, y, z), feet per side.
RIDES = {
    "bicycle": ((0, 0.97, -0.2), 24, (0.24, 1.05, 0.36), (0.12, 0.33, 0.0)),
    "motorcycle": ((0, 0.82, -0.22), 14, (0.3, 1.0, 0.3), (0.24, 0.3, -0.02)),
    "scooter": ((0, 0.8, -0.26), 3, (0.26, 0.98, 0.27), (0.13, 0.3, 0.18)),
}


def pose(person, view):
    """The :class:`Skeleton` of a person in a view, with ``goals`` for whatever the hands hold."""
    a, looks = person.attributes, person.looks
    child, old, woman = a["age"] == "child", a["age"] == "old", a["gender"] == "woman"
    scale = looks["height"] / 1.75
    radii = np.array([0.104, 0.136, 0.118], np.float32) * (looks["height"] / 1.75) ** 0.8
    if child:
        radii *= 1.28
    bone = Skeleton(scale=scale, wide=looks["stoutness"], head_radii=radii)
    legs, arms, lean = _angles(view.action, view, old)
    lean = math.radians(lean + (17 if old and view.action != "riding" else 0))
    thigh = shin = (0.36 if child else 0.415) * scale
    upper_arm, forearm = 0.285 * scale, 0.25 * scale
    bone.torso_length = 0.5 if child else 0.52
    ride = RIDES.get(a["vehicle"]) if view.action == "riding" else None
    if ride:
        lean = math.radians(ride[1] + (8 if old else 0))
    bone.torso = tilted(lean)
    bone.pelvis = np.zeros(3, np.float32)
    hip = (0.085 if woman else 0.08) * scale * looks["stoutness"] ** 0.5
    bone.hips = [np.array([side * hip, 0, 0], np.float32) for side in SIDES]
    if ride:
        bone.pelvis = np.array(ride[0], np.float32) * scale
        bone.hips = [bone.pelvis + hip_joint for hip_joint in bone.hips]
        for i, side in enumerate(SIDES):
            foot = np.array(ride[3], np.float32) * scale * (side, 1, 1)
            if a["vehicle"] == "bicycle":
                swing = view.loose[0] * math.pi + (math.pi if side < 0 else 0)
                foot[1:] += 0.16 * scale * np.array([math.sin(swing), math.cos(swing)], np.float32)
            foot[1] += 0.08 * scale
            knee, ankle = reach(bone.hips[i], foot, thigh, shin, (side * 0.35, 0.2, 1))
            bone.knees.append(knee)
            bone.ankles.append(ankle)
    else:
        for i, side in enumerate(SIDES):
            flex, bend, spread = (math.radians(value) for value in legs[i])
            knee = bone.hips[i] + thigh * _limb(side, flex, spread)
            bone.knees.append(knee)
            bone.ankles.append(knee + shin * _limb(side, flex - bend, spread * 0.3))
        lift = 0.085 * scale - min(float(ankle[1]) for ankle in bone.ankles)
        for joints in (bone.hips, bone.knees, bone.ankles):
            for joint in joints:
                joint[1] += lift
        bone.pelvis = np.array([0, lift, 0], np.float32)
        if view.action == "sitting":
            bone.seat = float(lift) - 0.1 * scale
    for i, side in enumerate(SIDES):
        shin_axis = unit(bone.knees[i] - bone.ankles[i])
        forward = np.array([side * 0.2, 0, 1], np.float32)
        if not ride:
            forward = unit(forward - 0.8 * (forward @ shin_axis) * shin_axis)
        bone.toes.append(bone.ankles[i] + scale * (0.13 * unit(forward) - np.array([0, 0.045, 0], np.float32)))
    broad = (0.16 if woman else 0.212) * (0.8 if child else 1) * looks["stoutness"] ** 0.5
    neck = bone.torso_length
    bone.shoulders = [bone.at(side * broad, neck - 0.05, 0) for side in SIDES]
    nod = lean + (0.5 if a["cellphone"] == "looking" else 0) - (0.3 * lean if ride else 0)
    nod += math.radians(8 * view.loose[6]) - 0.5 * lean
    turn = 0.25 * view.loose[7]
    cos, sin = math.cos(turn), math.sin(turn)
    bone.head_axes = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], np.float32) @ tilted(nod)
    bone.head = bone.at(0, neck + 0.06, 0.03 if old else 0.0) + 0.86 * radii[1] * unit(
        bone.head_axes[1] + bone.torso[1]
    )
    bone.goals = _goals(a, view, bone, looks["bag_side"], ride)
    for i, side in enumerate(SIDES):
        if i in bone.goals:
            raised = bone.goals[i][1] > bone.shoulders[i][1]
            pole = (side * 0.7, -0.8, 0.4 if raised else -0.4)
            elbow, hand = reach(bone.shoulders[i], bone.goals[i], upper_arm, forearm, pole)
        else:
            flex, bend, spread = (math.radians(value) for value in arms[i])
            flex += 0.6 * lean if view.action in ("squatting",) else 0
            elbow = bone.shoulders[i] + upper_arm * _limb(side, flex, spread)
            hand = elbow + forearm * _limb(side, flex + bend, spread * 0.4)
        bone.elbows.append(elbow)
        bone.hands.append(hand)
    return bone


def _goals(a, view, bone, bag_side, ride):
    """{side index: point that the hand must reach}."""
    goals = {}
    if ride:
        x, y, z = ride[2]
        return {i: np.array([side * x, y, z], np.float32) * bone.scale for i, side in enumerate(SIDES)}
    bag = LEFT if bag_side > 0 else RIGHT
    free = 1 - bag
    side = SIDES[free]
    if a["cellphone"] == "calling":
        goals[free] = bone.in_head(side * 1.22, -0.35, 0.2)
    elif a["cellphone"] == "looking":
        goals[free] = bone.at(side * 0.1, 0.36, 0.34)
    elif a["umbrella"] == "open":
        goals[free] = bone.at(side * 0.17, 0.3, 0.24)
    elif a["umbrella"] == "folded":
        goals[free] = bone.at(side * 0.3, 0.04, 0.14)
    side = SIDES[bag]
    if a["bag"] == "suitcase":
        goals[bag] = bone.at(side * 0.33, max(0.0, (0.72 * bone.scale - bone.pelvis[1]) / bone.scale), -0.1)
    elif a["bag"] == "handbag":
        if view.action in ("standing", "walking"):
            goals[bag] = bone.at(side * 0.31, 0.02, 0.06 + 0.1 * view.loose[2])
        else:
            goals[bag] = bone.at(side * 0.34, 0.2, 0.2)
    return goals
