"""Signed distance primitives, and the list in which a scene collects them.

The signed distance of a point to a solid is how far it is from the surface; it is negative inside. Two formulas cover
every solid here, so that the tracer needs only two loops over arrays. In a primitive's own frame, scaled per axis, with
q = R (p - c) / s:

* round: e = (max(hypot(q_x, q_z) - major, floor), q_y - clamp(q_y, +-half_y)). Capsules, round cones and ellipsoids
  have major = 0. Rounded discs have major > 0 with floor = 0. Tori have a floor far below 0.
* box: e = q - clamp(q, +-half).

Here e points from the nearest point of the solid's core (a segment, a disc, a circle or a box) to q. The distance is
|e| - (radius + taper * clamp(q_y)): a core with a thickness, which grows along y in a cone. Where a flat lower end is
wanted, the solid is cut to q_y >= clip.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

# What a pixel can show; the order is the part number in the tracer's mask.
PARTS = [
    "skin",
    "upper",
    "lower",
    "shoes",
    "hair_length",
    "bag",
    "glasses",
    "smoke",
    "hat",
    "cellphone",
    "umbrella",
    "gloves",
    "vehicle",
    "prop",
    "inner",
    "face",
]
PART_NUMBER = {name: number for number, name in enumerate(PARTS)}
PATTERN_NUMBER = {"plain": 0, "striped": 1, "plaid": 2, "dotted": 3}
# A height below every solid: with it nothing is cut off.
NO_CLIP = -1e3
# The floor of a torus is far below every distance to its circle, so that the maximum leaves that distance as it is.
NO_FLOOR = -1e3
IDENTITY = np.eye(3, dtype=np.float32)

# Three numbers: a point or direction (metres), half extents, or a colour (RGB in 0..1).
Triple: TypeAlias = Sequence[float] | np.ndarray


def unit(vector: Triple) -> np.ndarray:
    """(3,) float32 ``vector`` of length 1."""
    vector = np.asarray(vector, dtype=np.float32)
    return vector / (math.sqrt(float(vector @ vector)) + 1e-9)


def cross(a: Triple, b: Triple) -> np.ndarray:
    """The cross product of two 3-vectors; ``np.cross`` is slow for a single pair."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], dtype=np.float32)


def axes_along(direction: Triple, forward: Triple = (0.0, 0.0, 1.0)) -> np.ndarray:
    """(3, 3) rows x, y, z of a frame whose y is ``direction`` and whose z is as near ``forward`` as can be."""
    y = unit(direction)
    x = cross(y, forward)
    if float(x @ x) < 1e-6:
        # The two are parallel, so ``forward`` says nothing; any other direction serves.
        x = cross(y, (1.0, 0.0, 0.001))
    x = unit(x)
    return np.stack([x, y, cross(x, y)])


class Material:
    """What a solid looks like, and the part of the person that its pixels count as.

    Args:
        part: a name in :data:`PARTS`.
        colour: RGB in 0..1.
        second: RGB of the pattern on it.
        pattern: a name in :data:`PATTERN_NUMBER`.
        gloss: strength of the highlight.
    """

    __slots__ = ("colour", "second", "pattern", "part", "gloss")

    def __init__(
        self, part: str, colour: Triple, second: Triple = (1.0, 1.0, 1.0), pattern: str = "plain", gloss: float = 0.0
    ) -> None:
        self.part = PART_NUMBER[part]
        self.colour = tuple(colour)
        self.second = tuple(second)
        self.pattern = PATTERN_NUMBER[pattern]
        self.gloss = gloss


class Solids:
    """A growing list of primitives in the person's frame: x to the person's left, y up, z forward, in metres."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []
        self.centres: list[np.ndarray] = []
        self.axes: list[np.ndarray] = []

    def _add(
        self,
        material: Material,
        centre: np.ndarray,
        axes: np.ndarray,
        scale: Triple,
        half: Triple,
        radius: float,
        taper: float,
        major: float,
        floor: float,
        clip: float,
        is_box: float,
        offset: float,
    ) -> None:
        """Add a row of the table that :class:`PackedSolids` cuts into columns; the names are the formulas'."""
        self.centres.append(centre)
        self.axes.append(axes)
        self.rows.append(
            (
                *scale,
                *half,
                radius,
                taper,
                major,
                floor,
                clip,
                is_box,
                material.part,
                *material.colour,
                *material.second,
                material.pattern,
                material.gloss,
                offset,
            )
        )

    def cone(
        self,
        material: Material,
        a: Triple,
        b: Triple,
        radius_a: float,
        radius_b: float | None = None,
        forward: Triple = (0, 0, 1),
        flat: tuple[float, float] = (1, 1),
        cut: bool = False,
        offset: float | None = None,
    ) -> None:
        """Add a round cone from ``a`` to ``b``.

        Args:
            radius_b: by default ``radius_a``, which makes it a capsule.
            flat: scales of the cross-section across and along ``forward``.
            cut: whether the end ``a`` is flat instead of round.
            offset: how far (m) the pattern is shifted along; None starts it at ``a``.
        """
        a = np.asarray(a, dtype=np.float32)
        b = np.asarray(b, dtype=np.float32)
        radius_b = radius_a if radius_b is None else radius_b
        along = b - a
        length = max(math.sqrt(float(along @ along)), 1e-4)
        half = length / 2
        self._add(
            material,
            centre=(a + b) / 2,
            axes=axes_along(along, forward),
            scale=(flat[0], 1.0, flat[1]),
            half=(0.0, half, 0.0),
            radius=(radius_a + radius_b) / 2,
            taper=(radius_b - radius_a) / length,
            major=0.0,
            floor=0.0,
            clip=-half if cut else NO_CLIP,
            is_box=0.0,
            offset=half if offset is None else offset,
        )

    def ellipsoid(
        self,
        material: Material,
        centre: Triple,
        radii: Triple,
        axes: np.ndarray = IDENTITY,
        cut: float | None = None,
        offset: float = 0.0,
    ) -> None:
        """Add an ellipsoid with ``radii`` along the rows of ``axes``; ``cut`` removes what is below that share of
        radii[1]."""
        self._add(
            material,
            centre=np.asarray(centre, dtype=np.float32),
            axes=axes,
            # A sphere of radius 1 in a frame that is scaled by the radii.
            scale=radii,
            half=(0, 0, 0),
            radius=1.0,
            taper=0.0,
            major=0.0,
            floor=0.0,
            clip=NO_CLIP if cut is None else cut,
            is_box=0.0,
            offset=offset,
        )

    def box(
        self,
        material: Material,
        centre: Triple,
        half: Triple,
        rounding: float = 0.01,
        axes: np.ndarray = IDENTITY,
        offset: float = 0.0,
    ) -> None:
        """Add a box of outer half extents ``half`` along the rows of ``axes``, its edges rounded (m)."""
        self._add(
            material,
            centre=np.asarray(centre, dtype=np.float32),
            axes=axes,
            scale=(1, 1, 1),
            # The rounding is a layer around a smaller box.
            half=tuple(max(each - rounding, 0.0) for each in half),
            radius=rounding,
            taper=0.0,
            major=0.0,
            floor=0.0,
            clip=NO_CLIP,
            is_box=1.0,
            offset=offset,
        )

    def disc(
        self,
        material: Material,
        centre: Triple,
        normal: Triple,
        radius: float,
        thickness: float,
        forward: Triple = (0, 0, 1),
    ) -> None:
        """Add a rounded disc of outer ``radius`` and total ``thickness`` (m)."""
        edge = thickness / 2
        self._add_round(material, centre, axes_along(normal, forward), edge, radius - edge, floor=0.0)

    def ring(
        self,
        material: Material,
        centre: Triple,
        normal: Triple,
        radius: float,
        thickness: float,
        forward: Triple = (0, 0, 1),
    ) -> None:
        """Add a torus around ``normal``: the ``radius`` of its centre line and its total ``thickness`` (m)."""
        self._add_round(material, centre, axes_along(normal, forward), thickness / 2, radius, floor=NO_FLOOR)

    def _add_round(
        self, material: Material, centre: Triple, axes: np.ndarray, radius: float, major: float, floor: float
    ) -> None:
        """Add a solid around a disc or circle of radius ``major``."""
        self._add(
            material,
            centre=np.asarray(centre, dtype=np.float32),
            axes=axes,
            scale=(1, 1, 1),
            half=(0, 0, 0),
            radius=radius,
            taper=0.0,
            major=major,
            floor=floor,
            clip=NO_CLIP,
            is_box=0.0,
            offset=0.0,
        )

    def packed(self) -> "PackedSolids":
        """All primitives as float32 arrays."""
        return PackedSolids(np.array(self.rows, np.float32), np.array(self.centres, np.float32), np.stack(self.axes))


class PackedSolids:
    """N primitives as arrays: ``centre`` (N, 3), ``axes`` (N, 3, 3) and one named column (N,) or (N, 3) each."""

    def __init__(self, table: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> None:
        self.centre = centre
        self.axes = axes.astype(np.float32)
        # In the order of Solids._add.
        self.scale = table[:, 0:3]
        self.half = table[:, 3:6]
        self.radius, self.taper, self.major, self.floor, self.clip = table[:, 6:11].T
        self.is_box = table[:, 11] > 0
        self.part = table[:, 12].astype(np.int16)
        self.colour = table[:, 13:16]
        self.second = table[:, 16:19]
        self.pattern = table[:, 19].astype(np.int8)
        self.gloss = table[:, 20]
        self.offset = table[:, 21]

    def turned(self, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(centre, axes) in the camera's frame, for a (3, 3) ``rotation`` from the person's frame to the camera's."""
        return self.centre @ rotation.T, self.axes @ rotation.T

    def extents(self, axes: np.ndarray) -> np.ndarray:
        """(N, 3) half extents (m) of each primitive along the axes of the frame in which ``axes`` (N, 3, 3) are given.

        They bound the core's own extent plus its largest thickness.
        """
        scaled = axes * self.scale[:, :, None]
        largest = self.radius + np.abs(self.taper) * self.half[:, 1]
        extent = np.abs(scaled * self.half[:, :, None]).sum(1)
        # An ellipsoid with these axes reaches this far: the length of the projected axes.
        extent += largest[:, None] * np.sqrt((scaled**2).sum(1))
        return extent + self.major[:, None] * np.sqrt(scaled[:, 0] ** 2 + scaled[:, 2] ** 2)
