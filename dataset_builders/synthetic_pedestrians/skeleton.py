"""From measures and an action to joints: free limbs swing by angles, hands and feet with a goal reach for it."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .geometry import Triple, unit
from .people import Person, View

# Places in every pair of joints.
RIGHT = 0
LEFT = 1
# The sign of x on the right and on the left; the person faces +z.
SIDES = (-1, 1)
ADULT_HEIGHT = 1.75


class Swing(NamedTuple):
    """Degrees of a free limb: forward at the hip or shoulder, bent at the knee or elbow, outward."""

    flex: float
    bend: float
    spread: float


class Ride(NamedTuple):
    """How one sits on a vehicle, in metres at adult size; ``lean`` in degrees. Hand and foot are the left ones."""

    pelvis: tuple[float, float, float]
    lean: float
    hand: tuple[float, float, float]
    foot: tuple[float, float, float]


RIDES = {
    "bicycle": Ride(pelvis=(0, 0.97, -0.2), lean=24, hand=(0.24, 1.05, 0.36), foot=(0.12, 0.33, 0.0)),
    "motorcycle": Ride(pelvis=(0, 0.82, -0.22), lean=14, hand=(0.3, 1.0, 0.3), foot=(0.24, 0.3, -0.02)),
    "scooter": Ride(pelvis=(0, 0.8, -0.26), lean=3, hand=(0.26, 0.98, 0.27), foot=(0.13, 0.3, 0.18)),
}


@dataclass
class Skeleton:
    """Joints as (3,) points in metres in the person's frame, whose ground is at y = 0. Lists are [right, left].

    Attributes:
        scale: the height relative to 1.75 m.
        wide: the breadth relative to a lean adult.
        head_radii: (3,) half extents of the head in metres.
        torso, head_axes: (3, 3) rows x, y, z.
        torso_length: in metres at adult size.
        seat: the height of what the person sits on; None for nobody who sits.
        goals: side -> the point where a busy hand must be.
    """

    scale: float
    wide: float
    head_radii: np.ndarray
    torso: np.ndarray
    torso_length: float
    pelvis: np.ndarray = field(default_factory=lambda: np.zeros(3, np.float32))
    head: np.ndarray | None = None
    head_axes: np.ndarray | None = None
    shoulders: list[np.ndarray] = field(default_factory=list)
    elbows: list[np.ndarray] = field(default_factory=list)
    hands: list[np.ndarray] = field(default_factory=list)
    hips: list[np.ndarray] = field(default_factory=list)
    knees: list[np.ndarray] = field(default_factory=list)
    ankles: list[np.ndarray] = field(default_factory=list)
    toes: list[np.ndarray] = field(default_factory=list)
    seat: float | None = None
    goals: dict[int, np.ndarray] = field(default_factory=dict)

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """The point (x, y, z), metres at adult size, of the torso's frame: from the pelvis, with y up the spine."""
        s = self.scale
        return self.pelvis + s * (x * self.torso[0] + y * self.torso[1] + z * self.torso[2])

    def in_head(self, x: float, y: float, z: float) -> np.ndarray:
        """The point (x, y, z), in head radii from the centre of the head."""
        r = self.head_radii
        return self.head + x * r[0] * self.head_axes[0] + y * r[1] * self.head_axes[1] + z * r[2] * self.head_axes[2]


def tilted(lean: float) -> np.ndarray:
    """(3, 3) axes that lean forward by ``lean`` radians."""
    c = math.cos(lean)
    s = math.sin(lean)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]], np.float32)


def _limb(side: int, flex: float, spread: float) -> np.ndarray:
    """The direction of a limb that hangs down, swung forward by ``flex`` and outward by ``spread`` (radians)."""
    c = math.cos(spread)
    return np.array([side * math.sin(spread), -c * math.cos(flex), c * math.sin(flex)], np.float32)


def reach(
    start: np.ndarray, goal: np.ndarray, first: float, second: float, pole: Triple
) -> tuple[np.ndarray, np.ndarray]:
    """(middle joint, end) of a limb of two bones from ``start`` towards ``goal``, bent towards the direction ``pole``.

    Args:
        first, second: lengths of the bones.
    """
    way = goal - start
    # The triangle of the bones needs a third side that is neither too long nor too short for them.
    length = min(max(float(np.linalg.norm(way)), abs(first - second) + 1e-3), (first + second) * 0.998)
    way = unit(way)
    # Law of cosines: how far along the way the joint stands. The rest of the first bone goes aside.
    along = (first**2 - second**2 + length**2) / (2 * length)
    out = unit(np.asarray(pole, np.float32) - (np.asarray(pole, np.float32) @ way) * way)
    return start + along * way + math.sqrt(max(first**2 - along**2, 0)) * out, start + length * way


def _swings(view: View, old: bool) -> tuple[list[Swing], list[Swing], float]:
    """(legs, arms, degrees by which the torso leans) of a person on foot; legs and arms are [right, left]."""
    loose = view.loose
    phase = view.phase
    if view.action == "walking":
        phase = phase * (0.7 if old else 1.0)
        # The arm of a side swings against its leg.
        legs = _fore_and_back(view, Swing(34 * phase, 6, 3), Swing(-22 * phase, 26 * phase, 3))
        arms = _fore_and_back(view, Swing(-28 * phase, 12, 10), Swing(32 * phase, 22, 10))
        lean = 4
    elif view.action == "running":
        legs = _fore_and_back(view, Swing(72 * phase, 88, 4), Swing(-30 * phase, 62 + 30 * phase, 4))
        arms = _fore_and_back(view, Swing(-58 * phase, 88, 14), Swing(48 * phase, 98, 12))
        lean = 17
    elif view.action == "squatting":
        legs = [Swing(112, 138, 16 + 5 * loose[0]), Swing(114, 140, 16 - 5 * loose[0])]
        arms = [Swing(46, 26, 8), Swing(48, 30, 8)]
        lean = 22
    elif view.action == "sitting":
        legs = [Swing(84, 84 + 6 * loose[0], 7), Swing(84, 84 - 6 * loose[1], 7)]
        arms = [Swing(22, 48, 9), Swing(22, 48, 9)]
        lean = 3
    else:
        legs = [Swing(3 * loose[0], 2, 4 + loose[1]), Swing(-3 * loose[0], 2, 4 + loose[1])]
        arms = [Swing(4 * loose[2], 8, 11 + 3 * loose[3]), Swing(4 * loose[4], 8, 11 + 3 * loose[5])]
        lean = 0
    if old and view.action in ("standing", "walking"):
        # Old people stand and walk with bent knees.
        legs = [Swing(leg.flex + 9, leg.bend + 18, leg.spread + 1) for leg in legs]
    return legs, arms, lean


def _fore_and_back(view: View, fore: Swing, back: Swing) -> list[Swing]:
    """[right, left] of two limbs, by which side strides ahead in the view."""
    return [fore, back] if view.side > 0 else [back, fore]


def pose(person: Person, view: View) -> Skeleton:
    """The skeleton of a person in a view."""
    attributes = person.attributes
    child = attributes["age"] == "child"
    old = attributes["age"] == "old"
    woman = attributes["gender"] == "woman"
    stoutness = person.looks.stoutness
    scale = person.looks.height / ADULT_HEIGHT
    # A head grows less than the body, and a child's is larger still: so the age shows.
    radii = np.array([0.104, 0.136, 0.118], np.float32) * (person.looks.height / ADULT_HEIGHT) ** 0.8
    if child:
        radii *= 1.28
    legs, arms, lean = _swings(view, old)
    ride = RIDES.get(attributes["vehicle"]) if view.action == "riding" else None
    if ride:
        lean = ride.lean
    # Age bends the back, less so in a saddle.
    stoop = (8 if ride else 17) if old else 0
    lean = math.radians(lean + stoop)
    bone = Skeleton(scale, stoutness, radii, tilted(lean), torso_length=0.5 if child else 0.52)
    hip = (0.085 if woman else 0.08) * scale * stoutness**0.5
    bone.hips = [np.array([side * hip, 0, 0], np.float32) for side in SIDES]
    shank = (0.36 if child else 0.415) * scale
    if ride:
        _seat_rider(bone, view, ride, attributes["vehicle"] == "bicycle", shank)
    else:
        _stand(bone, view, legs, shank)
    _add_toes(bone, riding=ride is not None)
    broad = (0.16 if woman else 0.212) * (0.8 if child else 1) * stoutness**0.5
    bone.shoulders = [bone.at(side * broad, bone.torso_length - 0.05, 0) for side in SIDES]
    _add_head(bone, view, lean, old, attributes["cellphone"] == "looking", riding=ride is not None)
    bone.goals = _goals(attributes, view, bone, person.looks.bag_side, ride)
    _add_arms(bone, view, arms, lean)
    return bone


def _seat_rider(bone: Skeleton, view: View, ride: Ride, pedals: bool, shank: float) -> None:
    """Put the pelvis on the saddle and the feet where the vehicle wants them."""
    scale = bone.scale
    bone.pelvis = np.array(ride.pelvis, np.float32) * scale
    bone.hips = [bone.pelvis + hip_joint for hip_joint in bone.hips]
    for i, side in enumerate(SIDES):
        foot = np.array(ride.foot, np.float32) * scale * (side, 1, 1)
        if pedals:
            # The feet go round, half a turn apart.
            swing = view.loose[0] * math.pi + (math.pi if side < 0 else 0)
            foot[1:] += 0.16 * scale * np.array([math.sin(swing), math.cos(swing)], np.float32)
        # The goal is the ankle, above the sole.
        foot[1] += 0.08 * scale
        knee, ankle = reach(bone.hips[i], foot, shank, shank, (side * 0.35, 0.2, 1))
        bone.knees.append(knee)
        bone.ankles.append(ankle)


def _stand(bone: Skeleton, view: View, legs: list[Swing], shank: float) -> None:
    """Hang the legs from the hips, then lift everything so that the lower foot stands on the ground."""
    for i, side in enumerate(SIDES):
        flex, bend, spread = (math.radians(value) for value in legs[i])
        knee = bone.hips[i] + shank * _limb(side, flex, spread)
        bone.knees.append(knee)
        bone.ankles.append(knee + shank * _limb(side, flex - bend, spread * 0.3))
    lift = 0.085 * bone.scale - min(float(ankle[1]) for ankle in bone.ankles)
    for joints in (bone.hips, bone.knees, bone.ankles):
        for joint in joints:
            joint[1] += lift
    bone.pelvis = np.array([0, lift, 0], np.float32)
    if view.action == "sitting":
        bone.seat = float(lift) - 0.1 * bone.scale


def _add_toes(bone: Skeleton, riding: bool) -> None:
    for i, side in enumerate(SIDES):
        shin_axis = unit(bone.knees[i] - bone.ankles[i])
        forward = np.array([side * 0.2, 0, 1], np.float32)
        if not riding:
            # A foot follows its shin, but not wholly: the ankle bends, too.
            forward = unit(forward - 0.8 * (forward @ shin_axis) * shin_axis)
        bone.toes.append(bone.ankles[i] + bone.scale * (0.13 * unit(forward) - np.array([0, 0.045, 0], np.float32)))


def _add_head(bone: Skeleton, view: View, lean: float, old: bool, looks_down: bool, riding: bool) -> None:
    """Set the head on the neck, turned and nodding a little, and more level than the torso leans."""
    nod = lean + (0.5 if looks_down else 0) - (0.3 * lean if riding else 0)
    nod += math.radians(8 * view.loose[6]) - 0.5 * lean
    turn = 0.25 * view.loose[7]
    cos = math.cos(turn)
    sin = math.sin(turn)
    bone.head_axes = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], np.float32) @ tilted(nod)
    neck = bone.at(0, bone.torso_length + 0.06, 0.03 if old else 0.0)
    bone.head = neck + 0.86 * bone.head_radii[1] * unit(bone.head_axes[1] + bone.torso[1])


def _add_arms(bone: Skeleton, view: View, arms: list[Swing], lean: float) -> None:
    """Busy hands reach for their goals, the others hang and swing."""
    upper_arm = 0.285 * bone.scale
    forearm = 0.25 * bone.scale
    for i, side in enumerate(SIDES):
        if i in bone.goals:
            raised = bone.goals[i][1] > bone.shoulders[i][1]
            pole = (side * 0.7, -0.8, 0.4 if raised else -0.4)
            elbow, hand = reach(bone.shoulders[i], bone.goals[i], upper_arm, forearm, pole)
        else:
            flex, bend, spread = (math.radians(value) for value in arms[i])
            flex += 0.6 * lean if view.action == "squatting" else 0
            elbow = bone.shoulders[i] + upper_arm * _limb(side, flex, spread)
            hand = elbow + forearm * _limb(side, flex + bend, spread * 0.4)
        bone.elbows.append(elbow)
        bone.hands.append(hand)


def _goals(
    attributes: dict[str, str | None], view: View, bone: Skeleton, bag_side: int, ride: Ride | None
) -> dict[int, np.ndarray]:
    """Side -> the point that its hand must reach."""
    goals = {}
    if ride:
        for i, side in enumerate(SIDES):
            goals[i] = np.array([side * ride.hand[0], *ride.hand[1:]], np.float32) * bone.scale
        return goals
    # One hand has the bag; the other one has the phone or the umbrella.
    bag = LEFT if bag_side > 0 else RIGHT
    free = 1 - bag
    side = SIDES[free]
    if attributes["cellphone"] == "calling":
        goals[free] = bone.in_head(side * 1.22, -0.35, 0.2)
    elif attributes["cellphone"] == "looking":
        goals[free] = bone.at(side * 0.1, 0.36, 0.34)
    elif attributes["umbrella"] == "open":
        goals[free] = bone.at(side * 0.17, 0.3, 0.24)
    elif attributes["umbrella"] == "folded":
        goals[free] = bone.at(side * 0.3, 0.04, 0.14)
    side = SIDES[bag]
    if attributes["bag"] == "suitcase":
        # The handle stands at 0.72 m for everybody of this size, however high the pelvis is.
        goals[bag] = bone.at(side * 0.33, max(0.0, (0.72 * bone.scale - bone.pelvis[1]) / bone.scale), -0.1)
    elif attributes["bag"] == "handbag":
        if view.action in ("standing", "walking"):
            goals[bag] = bone.at(side * 0.31, 0.02, 0.06 + 0.1 * view.loose[2])
        else:
            goals[bag] = bone.at(side * 0.34, 0.2, 0.2)
    return goals
