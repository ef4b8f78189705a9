"""Signed distance primitives and the list in which a scene collects them.

Two formulas cover every solid. In a primitive's own frame, scaled per axis, with q = R (p - c) / s:

* round: e = (max(hypot(q_x, q_z) - major, floor), q_y - clamp(q_y, +-half_y)); capsules, round cones and ellipsoids
  have major = 0, rounded discs major > 0 with floor = 0, tori a floor far below 0.
* box: e = q - clamp(q, +-half).

The distance is |e| - (radius + taper * clamp(q_y)), cut to q_y >= clip where a flat lower end is wanted.
"""

import math

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
NO_CLIP = -1e3
IDENTITY = np.eye(3, dtype=np.float32)


def unit(vector):
    vector = np.asarray(vector, dtype=np.float32)
    return vector / (math.sqrt(float(vector @ vector)) + 1e-9)


def cross(a, b):
    """np.cross for two 3-vectors, without its overhead."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], dtype=np.float32)


def axes_along(direction, forward=(0.0, 0.0, 1.0)):
    """(3, 3) rows x, y, z of a frame whose y is ``direction`` and whose z is as near ``forward`` as can be."""
    y = unit(direction)
    x = cross(y, forward)
    if float(x @ x) < 1e-6:
        x = cross(y, (1.0, 0.0, 0.001))
    x = unit(x)
    return np.stack([x, y, cross(x, y)])


class Material:
    """Colour (RGB in 0..1), its pattern and second colour, gloss, and the part that its pixels belong to."""

    __slots__ = ("colour", "second", "pattern", "part", "gloss")

    def __init__(self, part, colour, second=(1.0, 1.0, 1.0), pattern="plain", gloss=0.0):
        self.part = PART_NUMBER[part]
        self.colour, self.second = tuple(colour), tuple(second)
        self.pattern = PATTERN_NUMBER[pattern]
        self.gloss = gloss


class Solids:
    """A growing list of primitives in the person's frame: x to the person's left, y up, z forward, in metres."""

    def __init__(self):
        self.rows, self.centres, self.axes = [], [], []

    def _add(self, material, centre, axes, scale, half, radius, taper, major, floor, clip, is_box, offset):
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

    def cone(self, material, a, b, radius_a, radius_b=None, forward=(0, 0, 1), flat=(1, 1), cut=False, offset=None):
        """Round cone from ``a`` to ``b``; ``flat`` = cross-section scales (across, along forward).

        ``cut`` gives the end ``a`` a flat cut. ``offset`` (m) shifts the pattern along; None starts it at ``a``.
        """
        a, b = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
        radius_b = radius_a if radius_b is None else radius_b
        along = b - a
        length = max(math.sqrt(float(along @ along)), 1e-4)
        half = length / 2
        self._add(
            material,
            (a + b) / 2,
            axes_along(along, forward),
            (flat[0], 1.0, flat[1]),
            (0.0, half, 0.0),
            (radius_a + radius_b) / 2,
            (radius_b - radius_a) / length,
            0.0,
            0.0,
            -half if cut else NO_CLIP,
            0.0,
            half if offset is None else offset,
        )

    def ellipsoid(self, material, centre, radii, axes=IDENTITY, cut=None, offset=0.0):
        """Ellipsoid of ``radii`` along the rows of ``axes``; ``cut`` removes what lies below that share of radii[1]."""
        clip = NO_CLIP if cut is None else cut
        centre = np.asarray(centre, dtype=np.float32)
        self._add(material, centre, axes, radii, (0, 0, 0), 1.0, 0.0, 0.0, 0.0, clip, 0.0, offset)

    def box(self, material, centre, half, rounding=0.01, axes=IDENTITY, offset=0.0):
        """Rounded box of outer half extents ``half`` along the rows of ``axes``."""
        inner = tuple(max(h - rounding, 0.0) for h in half)
        centre = np.asarray(centre, dtype=np.float32)
        self._add(material, centre, axes, (1, 1, 1), inner, rounding, 0.0, 0.0, 0.0, NO_CLIP, 1.0, offset)

    def disc(self, material, centre, normal, radius, thickness, forward=(0, 0, 1)):
        """Rounded disc of outer ``radius`` and total ``thickness`` (m)."""
        r = thickness / 2
        centre = np.asarray(centre, dtype=np.float32)
        axes = axes_along(normal, forward)
        self._add(material, centre, axes, (1, 1, 1), (0, 0, 0), r, 0.0, radius - r, 0.0, NO_CLIP, 0.0, 0.0)

    def ring(self, material, centre, normal, radius, thickness, forward=(0, 0, 1)):
        """Torus of centre-line ``radius`` and total ``thickness`` (m) around ``normal``."""
        centre = np.asarray(centre, dtype=np.float32)
        axes = axes_along(normal, forward)
        self._add(material, centre, axes, (1, 1, 1), (0, 0, 0), thickness / 2, 0.0, radius, -1e3, NO_CLIP, 0.0, 0.0)

    def packed(self):
        """A :class:`PackedSolids` of float32 arrays."""
        return PackedSolids(np.array(self.rows, np.float32), np.array(self.centres, np.float32), np.stack(self.axes))


class PackedSolids:
    """N primitives as arrays: ``centre`` (N, 3), ``axes`` (N, 3, 3) and one named column (N,) or (N, 3) each."""

    def __init__(self, table, centre, axes):
        self.centre, self.axes = centre, axes.astype(np.float32)
        self.scale, self.half = table[:, 0:3], table[:, 3:6]
        self.radius, self.taper, self.major, self.floor, self.clip = table[:, 6:11].T
        self.is_box = table[:, 11] > 0
        self.part = table[:, 12].astype(np.int16)
        self.colour, self.second = table[:, 13:16], table[:, 16:19]
        self.pattern, self.gloss, self.offset = table[:, 19].astype(np.int8), table[:, 20], table[:, 21]

    def turned(self, rotation):
        """(centre, axes) in the camera's frame, for a (3, 3) ``rotation`` from the person's frame to the camera's."""
        return self.centre @ rotation.T, self.axes @ rotation.T

    def extents(self, axes):
        """(N, 3) half extents (m) of each primitive along the axes of the frame that ``axes`` are given in."""
        scaled = axes * self.scale[:, :, None]
        largest = self.radius + np.abs(self.taper) * self.half[:, 1]
        extent = np.abs(scaled * self.half[:, :, None]).sum(1)
        extent += largest[:, None] * np.sqrt((scaled**2).sum(1))
        return extent + self.major[:, None] * np.sqrt(scaled[:, 0] ** 2 + scaled[:, 2] ** 2)
