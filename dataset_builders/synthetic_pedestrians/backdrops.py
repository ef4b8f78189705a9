"""Walls, floors and things around a person, by the names that the domains call them.

A painter changes ``image`` (H, W, 3) in place. Places are shares of height and width; ``horizon`` is where the wall
ends and the floor begins. The order of the random draws in a painter is part of the datasets that exist.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Generator: TypeAlias = np.random.Generator


@dataclass(frozen=True)
class Place:
    """What a painter of a wall or floor needs.

    Attributes:
        y, x: (H, 1, 1) and (1, W, 1) centres of the pixels.
        above: (H,) which rows lie above the horizon.
        horizon: share of the height at which the floor begins.
        shift, period, contrast: how far this image shifts, widens and strengthens the camera's pattern.
    """

    y: np.ndarray
    x: np.ndarray
    above: np.ndarray
    horizon: float
    shift: float
    period: float
    contrast: np.float32

    @property
    def depth(self) -> np.ndarray:
        """(H, 1, 1) from 0 at the horizon to 1 at the lower edge."""
        return np.clip((self.y - self.horizon) / (1 - self.horizon + 1e-6), 1e-3, 1)


# Paints a wall or a floor.
Surfacing: TypeAlias = Callable[[np.ndarray, Generator, Place], None]
# Paints a thing at a share of the width; the arguments are image, generator, that share, horizon, and whether the
# camera stands outdoors.
Thing: TypeAlias = Callable[[np.ndarray, Generator, float, float, bool], None]


def muted(rng: Generator) -> np.ndarray:
    """(3,) a colour near gray."""
    return np.clip(rng.uniform(0.15, 0.85) + rng.normal(0, 0.1, 3), 0, 1).astype(np.float32)


def pixel_centres(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, 1) and (1, W) float32 centres of the pixels, as shares of height and width."""
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :]
    return y, x


def paint(
    image: np.ndarray,
    rows: tuple[float, float],
    columns: tuple[float, float],
    colour: np.ndarray,
    strength: float = 1.0,
) -> None:
    """Fill a rectangle, given in shares of height and width; a ``strength`` below 1 lets the ground shine through."""
    height, width = image.shape[:2]
    top, bottom = (int(np.clip(round(row * height), 0, height)) for row in rows)
    left, right = (int(np.clip(round(column * width), 0, width)) for column in columns)
    if bottom > top and right > left:
        image[top:bottom, left:right] += strength * (colour - image[top:bottom, left:right])


def add_figure(
    image: np.ndarray, rng: Generator, centre: float, top: float, bottom: float, breadth: float
) -> np.ndarray:
    """Paint a person without details; returns the (H, W) bool mask of it. The measures are shares of the image."""
    y, x = pixel_centres(*image.shape[:2])
    # From 0 at the top of the head to 1 at the feet.
    along = (y - top) / (bottom - top)
    head = ((x - centre) / (0.3 * breadth)) ** 2 + ((along - 0.075) / 0.075) ** 2 < 1
    half = np.interp(along[:, 0], [0.14, 0.2, 0.5, 1.0], [0.12, 0.5, 0.42, 0.28]).astype(np.float32)[:, None] * breadth
    body = (along > 0.15) & (along < 1) & (np.abs(x - centre) < half)
    gap_between_legs = (along > 0.55) & (np.abs(x - centre) < 0.07 * breadth)
    body &= ~gap_between_legs
    upper = muted(rng)
    lower = muted(rng)
    image[body & (along < 0.5)] = upper
    image[body & (along >= 0.5)] = lower
    image[head] = np.array([0.8, 0.62, 0.5], np.float32) * rng.uniform(0.5, 1.1)
    return head | body


def _plain(image: np.ndarray, rng: Generator, place: Place) -> None:
    pass


def _stripes(image: np.ndarray, rng: Generator, place: Place) -> None:
    image[place.above] += place.contrast * (((place.x / place.period + place.shift) % 1) < 0.5)


def _bricks(image: np.ndarray, rng: Generator, place: Place) -> None:
    courses = place.y / (place.period * 0.4)
    # Every second course is shifted by half a brick.
    half_brick = 0.5 * (np.floor(courses) % 2)
    level = courses % 1 < 0.16
    upright = (place.x / (place.period * 2.4) + half_brick + place.shift) % 1 < 0.07
    image[place.above] += (place.contrast * (level | upright))[place.above]


def _windows(image: np.ndarray, rng: Generator, place: Place) -> None:
    for column in np.arange(-0.3 + 0.5 * place.shift, 1.2, 0.5):
        paint(image, (0.06, min(0.3, place.horizon)), (column, column + 0.3), muted(rng), 0.8)


def _panels(image: np.ndarray, rng: Generator, place: Place) -> None:
    """Large wall plates with a dado of another colour."""
    seams = ((place.x / (place.period * 4) + place.shift) % 1 < 0.05) | ((place.y / 0.13) % 1 < 0.06)
    image[place.above] -= (abs(place.contrast) * seams)[place.above]
    paint(image, (place.horizon - 0.09, place.horizon), (0, 1), muted(rng), 0.7)


def _shutters(image: np.ndarray, rng: Generator, place: Place) -> None:
    """Roller shutters: fine level slats."""
    image[place.above] += (place.contrast * (((place.y / (place.period * 0.25)) % 1) < 0.5))[place.above]


def _posters(image: np.ndarray, rng: Generator, place: Place) -> None:
    for column in np.arange(-0.5 + 0.6 * place.shift, 1.1, 0.6):
        colour = np.clip(rng.uniform(0.0, 1.0, 3), 0.05, 0.95).astype(np.float32)
        rows = (place.horizon - 0.34, place.horizon - 0.07)
        paint(image, rows, (column, column + 0.42), np.float32([0.9, 0.9, 0.88]))
        paint(image, (rows[0] + 0.015, rows[1] - 0.015), (column + 0.04, column + 0.38), colour)


def _glass(image: np.ndarray, rng: Generator, place: Place) -> None:
    """Draw a wall: a dark glass front with vertical bars."""
    paint(image, (0, place.horizon), (0, 1), np.float32([0.25, 0.33, 0.36]), 0.75)
    mullions = (place.x / (place.period * 3) + place.shift) % 1 < 0.12
    image[place.above] += np.float32(0.3) * mullions


def _tiles(image: np.ndarray, rng: Generator, place: Place) -> None:
    depth = place.depth
    # Cross lines get closer towards the horizon, and the others run together there.
    across = (np.log(depth) * 3 + place.shift) % 1 < 0.12
    along = ((place.x - 0.5) / (0.3 + depth) * 3 + place.shift) % 1 < 0.06
    image[~place.above] -= np.float32(0.1) * (across | along)[~place.above]


def _floor_places(place: Place, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """(across, along), each (H, W, 1): where each pixel lies on the floor, turned by ``turn`` radians.

    Both shrink with the distance, so that a regular pattern of them recedes towards the horizon.
    """
    depth = place.depth
    across = (place.x - 0.5) / (0.6 + 0.7 * depth)
    along = 1.6 * depth / (0.6 + 0.7 * depth)
    cos = np.float32(np.cos(turn))
    sin = np.float32(np.sin(turn))
    return cos * across + sin * along, cos * along - sin * across


def _slabs(image: np.ndarray, rng: Generator, place: Place) -> None:
    """Draw a floor: square stone slabs in two tones, laid diagonally."""
    across, along = _floor_places(place, 0.3 + place.shift)
    size = place.period * 3
    odd = (np.floor(across / size) + np.floor(along / size)) % 2
    joints = ((across / size) % 1 < 0.05) | ((along / size) % 1 < 0.05)
    image[~place.above] += (place.contrast * np.float32(0.6) * odd - np.float32(0.12) * joints)[~place.above]


def _guide_strip(image: np.ndarray, rng: Generator, place: Place) -> None:
    """The yellow strip with ribs that leads the blind."""
    across, along = _floor_places(place, 0.5 - place.shift)
    strip = np.abs(across + 0.5 * (place.shift - 0.5)) < 0.06
    colour = np.float32([0.82, 0.68, 0.2]) * np.where((along / 0.04) % 1 < 0.5, np.float32(0.85), np.float32(1.05))
    lying = (strip & ~place.above[:, None, None])[..., 0]
    image[lying] = colour[lying]


def _lamps(image: np.ndarray, rng: Generator, place: Place) -> None:
    """Ceiling lamps mirrored in a polished floor."""
    for _ in range(3):
        at = rng.uniform(0, 1)
        row = rng.uniform(place.horizon, 1)
        size = rng.uniform(0.15, 0.35)
        shine = np.exp(-(((place.x - at) / size) ** 2) - ((place.y - row) / (0.25 * size)) ** 2)
        image[~place.above] += (np.float32(0.3) * shine)[~place.above]


def _terrazzo(image: np.ndarray, rng: Generator, place: Place) -> None:
    """Chips of stone: coarse grain that belongs to the floor."""
    height, width = image.shape[:2]
    grain = rng.standard_normal((height, width, 1), np.float32)
    image[~place.above] += np.float32(0.07) * grain[~place.above]


def _figure(image: np.ndarray, rng: Generator, at: float, horizon: float, outdoors: bool) -> None:
    top = horizon - rng.uniform(0.1, 0.28)
    bottom = horizon + rng.uniform(0.05, 0.2)
    add_figure(image, rng, at, top, bottom, rng.uniform(0.12, 0.3))


def _thing(image: np.ndarray, rng: Generator, at: float, horizon: float, outdoors: bool) -> None:
    """Draw a thing that stands behind the person: a parked car, a bench or a box."""
    bottom = horizon + rng.uniform(0.02, 0.12)
    breadth = rng.uniform(0.3, 0.9)
    colour = muted(rng)
    paint(image, (bottom - rng.uniform(0.08, 0.2), bottom), (at - breadth / 2, at + breadth / 2), colour)
    paint(image, (bottom - 0.02, bottom), (at - breadth / 2, at + breadth / 2), colour * 0.4)


def _pole(image: np.ndarray, rng: Generator, at: float, horizon: float, outdoors: bool) -> None:
    """Draw a pole or a tree trunk."""
    paint(image, (0, horizon + rng.uniform(0.0, 0.15)), (at, at + rng.uniform(0.04, 0.14)), muted(rng) * 0.8)


def _foliage_or_board(image: np.ndarray, rng: Generator, at: float, horizon: float, outdoors: bool) -> None:
    if not outdoors:
        paint(image, (0.08, 0.3), (at - 0.2, at + 0.2), muted(rng), 0.9)
        return
    y, x = pixel_centres(*image.shape[:2])
    blob = ((x - at) / 0.4) ** 2 + ((y - rng.uniform(0.05, 0.3)) / 0.16) ** 2 < 1
    image[blob] = np.array([0.22, 0.4, 0.2], np.float32) * rng.uniform(0.6, 1.3)


def _bench(image: np.ndarray, rng: Generator, at: float, horizon: float, outdoors: bool) -> None:
    """Draw a row of seats, seen from above."""
    top = horizon + rng.uniform(0.05, 0.3)
    colour = muted(rng)
    for seat in range(3):
        left = at - 0.5 + 0.3 * seat
        paint(image, (top, top + 0.05), (left, left + 0.26), colour)
        paint(image, (top + 0.05, top + 0.075), (left, left + 0.26), colour * 0.6)


def _barrier(image: np.ndarray, rng: Generator, at: float, horizon: float, outdoors: bool) -> None:
    """Draw a steel barrier with its posts."""
    row = horizon + rng.uniform(0.1, 0.4)
    steel = np.float32([0.72, 0.74, 0.76]) * rng.uniform(0.7, 1.1)
    paint(image, (row, row + 0.018), (0, 1), steel)
    for post in (at - 0.6, at, at + 0.6):
        paint(image, (row, row + 0.14), (post, post + 0.05), steel * 0.85)


def _pillar(image: np.ndarray, rng: Generator, at: float, horizon: float, outdoors: bool) -> None:
    """Draw a broad round pillar that stands on the floor."""
    breadth = rng.uniform(0.2, 0.4)
    colour = muted(rng) * 0.5 + 0.4
    foot = horizon + rng.uniform(0.08, 0.25)
    # Strips that are brightest in the middle make it round.
    for part in range(6):
        left = at + breadth * part / 6
        paint(image, (0, foot), (left, left + breadth / 6), colour * (0.75 + 0.1 * min(part, 5 - part)))


def _luggage(image: np.ndarray, rng: Generator, at: float, horizon: float, outdoors: bool) -> None:
    """Somebody's case."""
    bottom = horizon + rng.uniform(0.1, 0.5)
    colour = np.clip(muted(rng) * 0.8, 0, 1)
    paint(image, (bottom - 0.1, bottom), (at, at + 0.22), colour)
    paint(image, (bottom - 0.1, bottom - 0.085), (at, at + 0.22), colour * 1.2)
    paint(image, (bottom - 0.14, bottom - 0.1), (at + 0.09, at + 0.13), np.float32([0.3, 0.3, 0.3]))


WALLS: dict[str, Surfacing] = {
    "plain": _plain,
    "stripes": _stripes,
    "bricks": _bricks,
    "windows": _windows,
    "panels": _panels,
    "shutters": _shutters,
    "posters": _posters,
    "glass": _glass,
}
FLOORS: dict[str, Surfacing] = {
    "tiles": _tiles,
    "slabs": _slabs,
    "guide strip": _guide_strip,
    "lamps": _lamps,
    "terrazzo": _terrazzo,
}
CLUTTER: dict[str, Thing] = {
    "figure": _figure,
    "thing": _thing,
    "pole": _pole,
    "foliage or board": _foliage_or_board,
    "bench": _bench,
    "barrier": _barrier,
    "pillar": _pillar,
    "luggage": _luggage,
}
