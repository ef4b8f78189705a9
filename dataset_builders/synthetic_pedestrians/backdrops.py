"""Walls, floors and things around a person, by the names that the domains call them.

A painter changes ``image`` (H, W, 3) in place. Places are shares of height and width; ``horizon`` is where the wall
ends and the floor begins.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Place:
    """What a painter of a wall or floor needs: pixel centres ``y`` (H, 1, 1) and ``x`` (1, W, 1), which rows (H,) lie
    ``above`` the horizon, and how far this picture shifts, widens and strengthens the camera's pattern."""

    y: np.ndarray
    x: np.ndarray
    above: np.ndarray
    horizon: float
    shift: float
    period: float
    contrast: np.float32

    @property
    def depth(self):
        """(H, 1, 1) from 0 at the horizon to 1 at the lower edge."""
        return np.clip((self.y - self.horizon) / (1 - self.horizon + 1e-6), 1e-3, 1)


def muted(rng):
    return np.clip(rng.uniform(0.15, 0.85) + rng.normal(0, 0.1, 3), 0, 1).astype(np.float32)


def paint(image, rows, columns, colour, strength=1.0):
    """Fill the rectangle given in shares of height and width."""
    height, width = image.shape[:2]
    r0, r1 = (int(np.clip(round(r * height), 0, height)) for r in rows)
    c0, c1 = (int(np.clip(round(c * width), 0, width)) for c in columns)
    if r1 > r0 and c1 > c0:
        image[r0:r1, c0:c1] += strength * (colour - image[r0:r1, c0:c1])


def _figure_outline(height, width, centre, top, bottom, breadth):
    """(H, W) bool mask of a person-like outline, in shares of height and width."""
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :]
    along = (y - top) / (bottom - top)
    head = ((x - centre) / (0.3 * breadth)) ** 2 + ((along - 0.075) / 0.075) ** 2 < 1
    half = np.interp(along[:, 0], [0.14, 0.2, 0.5, 1.0], [0.12, 0.5, 0.42, 0.28]).astype(np.float32)[:, None] * breadth
    body = (along > 0.15) & (along < 1) & (np.abs(x - centre) < half)
    legs = ~((along > 0.55) & (np.abs(x - centre) < 0.07 * breadth))
    return head, body & legs, along


def add_figure(image, rng, centre, top, bottom, breadth):
    """Paint a person without details; returns the (H, W) bool mask of it."""
    head, body, along = _figure_outline(*image.shape[:2], centre, top, bottom, breadth)
    upper, lower = muted(rng), muted(rng)
    image[body & (along < 0.5)] = upper
    image[body & (along >= 0.5)] = lower
    image[head] = np.array([0.8, 0.62, 0.5], np.float32) * rng.uniform(0.5, 1.1)
    return head | body


def _plain(image, rng, place):
    pass


def _stripes(image, rng, place):
    image[place.above] += place.contrast * (((place.x / place.period + place.shift) % 1) < 0.5)


def _bricks(image, rng, place):
    y, x, period = place.y, place.x, place.period
    row = np.floor(y / (period * 0.4))
    lines = ((y / (period * 0.4)) % 1 < 0.16) | ((x / (period * 2.4) + 0.5 * (row % 2) + place.shift) % 1 < 0.07)
    image[place.above] += (place.contrast * lines)[place.above]


def _windows(image, rng, place):
    for column in np.arange(-0.3 + 0.5 * place.shift, 1.2, 0.5):
        paint(image, (0.06, min(0.3, place.horizon)), (column, column + 0.3), muted(rng), 0.8)


def _panels(image, rng, place):
    """Large wall plates with a dado of another colour."""
    seams = ((place.x / (place.period * 4) + place.shift) % 1 < 0.05) | ((place.y / 0.13) % 1 < 0.06)
    image[place.above] -= (abs(place.contrast) * seams)[place.above]
    paint(image, (place.horizon - 0.09, place.horizon), (0, 1), muted(rng), 0.7)


def _shutters(image, rng, place):
    """Roller shutters: fine level slats."""
    image[place.above] += (place.contrast * (((place.y / (place.period * 0.25)) % 1) < 0.5))[place.above]


def _posters(image, rng, place):
    for column in np.arange(-0.5 + 0.6 * place.shift, 1.1, 0.6):
        colour = np.clip(rng.uniform(0.0, 1.0, 3), 0.05, 0.95).astype(np.float32)
        rows = (place.horizon - 0.34, place.horizon - 0.07)
        paint(image, rows, (column, column + 0.42), np.float32([0.9, 0.9, 0.88]))
        paint(image, (rows[0] + 0.015, rows[1] - 0.015), (column + 0.04, column + 0.38), colour)


def _glass(image, rng, place):
    """A dark glass front with mullions."""
    paint(image, (0, place.horizon), (0, 1), np.float32([0.25, 0.33, 0.36]), 0.75)
    mullions = (place.x / (place.period * 3) + place.shift) % 1 < 0.12
    image[place.above] += np.float32(0.3) * mullions


def _tiles(image, rng, place):
    depth = place.depth
    tiles = ((np.log(depth) * 3 + place.shift) % 1 < 0.12) | (
        ((place.x - 0.5) / (0.3 + depth) * 3 + place.shift) % 1 < 0.06
    )
    image[~place.above] -= np.float32(0.1) * tiles[~place.above]


def _across_along(place, turn):
    """(H, W, 1) floor coordinates of each pixel, turned by ``turn`` radians; what is far is smaller."""
    depth = place.depth
    across, along = (place.x - 0.5) / (0.6 + 0.7 * depth), 1.6 * depth / (0.6 + 0.7 * depth)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    return c * across + s * along, c * along - s * across


def _slabs(image, rng, place):
    """Square stone slabs in two tones, laid aslant."""
    across, along = _across_along(place, 0.3 + place.shift)
    size = place.period * 3
    odd = (np.floor(across / size) + np.floor(along / size)) % 2
    joints = ((across / size) % 1 < 0.05) | ((along / size) % 1 < 0.05)
    image[~place.above] += (place.contrast * np.float32(0.6) * odd - np.float32(0.12) * joints)[~place.above]


def _guide_strip(image, rng, place):
    """The yellow strip with ribs that leads the blind."""
    across, along = _across_along(place, 0.5 - place.shift)
    strip = np.abs(across + 0.5 * (place.shift - 0.5)) < 0.06
    colour = np.float32([0.82, 0.68, 0.2]) * np.where((along / 0.04) % 1 < 0.5, np.float32(0.85), np.float32(1.05))
    lying = (strip & ~place.above[:, None, None])[..., 0]
    image[lying] = colour[lying]


def _lamps(image, rng, place):
    """Ceiling lamps mirrored in a polished floor."""
    for _ in range(3):
        at, row, size = rng.uniform(0, 1), rng.uniform(place.horizon, 1), rng.uniform(0.15, 0.35)
        shine = np.exp(-(((place.x - at) / size) ** 2) - ((place.y - row) / (0.25 * size)) ** 2)
        image[~place.above] += (np.float32(0.3) * shine)[~place.above]


def _terrazzo(image, rng, place):
    """Chips of stone: coarse grain that belongs to the floor."""
    height, width = image.shape[:2]
    grain = rng.standard_normal((height, width, 1), np.float32)
    image[~place.above] += np.float32(0.07) * grain[~place.above]


def _figure(image, rng, at, horizon, style):
    top, bottom = horizon - rng.uniform(0.1, 0.28), horizon + rng.uniform(0.05, 0.2)
    add_figure(image, rng, at, top, bottom, rng.uniform(0.12, 0.3))


def _thing(image, rng, at, horizon, style):
    """A parked car, a bench, a box."""
    bottom, breadth, colour = horizon + rng.uniform(0.02, 0.12), rng.uniform(0.3, 0.9), muted(rng)
    paint(image, (bottom - rng.uniform(0.08, 0.2), bottom), (at - breadth / 2, at + breadth / 2), colour)
    paint(image, (bottom - 0.02, bottom), (at - breadth / 2, at + breadth / 2), colour * 0.4)


def _pole(image, rng, at, horizon, style):
    """A pole or trunk."""
    paint(image, (0, horizon + rng.uniform(0.0, 0.15)), (at, at + rng.uniform(0.04, 0.14)), muted(rng) * 0.8)


def _foliage_or_board(image, rng, at, horizon, style):
    if not style.outdoors:
        paint(image, (0.08, 0.3), (at - 0.2, at + 0.2), muted(rng), 0.9)
        return
    height, width = image.shape[:2]
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :]
    blob = ((x - at) / 0.4) ** 2 + ((y - rng.uniform(0.05, 0.3)) / 0.16) ** 2 < 1
    image[blob] = np.array([0.22, 0.4, 0.2], np.float32) * rng.uniform(0.6, 1.3)


def _bench(image, rng, at, horizon, style):
    """A row of seats, seen from above."""
    top, colour = horizon + rng.uniform(0.05, 0.3), muted(rng)
    for seat in range(3):
        left = at - 0.5 + 0.3 * seat
        paint(image, (top, top + 0.05), (left, left + 0.26), colour)
        paint(image, (top + 0.05, top + 0.075), (left, left + 0.26), colour * 0.6)


def _barrier(image, rng, at, horizon, style):
    """A steel barrier with its posts."""
    row = horizon + rng.uniform(0.1, 0.4)
    steel = np.float32([0.72, 0.74, 0.76]) * rng.uniform(0.7, 1.1)
    paint(image, (row, row + 0.018), (0, 1), steel)
    for post in (at - 0.6, at, at + 0.6):
        paint(image, (row, row + 0.14), (post, post + 0.05), steel * 0.85)


def _pillar(image, rng, at, horizon, style):
    """A broad round pillar with its foot on the floor."""
    breadth, colour = rng.uniform(0.2, 0.4), muted(rng) * 0.5 + 0.4
    foot = horizon + rng.uniform(0.08, 0.25)
    for part in range(6):  # lit in the middle
        left = at + breadth * part / 6
        paint(image, (0, foot), (left, left + breadth / 6), colour * (0.75 + 0.1 * min(part, 5 - part)))


def _luggage(image, rng, at, horizon, style):
    """Somebody's case."""
    bottom, colour = horizon + rng.uniform(0.1, 0.5), np.clip(muted(rng) * 0.8, 0, 1)
    paint(image, (bottom - 0.1, bottom), (at, at + 0.22), colour)
    paint(image, (bottom - 0.1, bottom - 0.085), (at, at + 0.22), colour * 1.2)
    paint(image, (bottom - 0.14, bottom - 0.1), (at + 0.09, at + 0.13), np.float32([0.3, 0.3, 0.3]))


WALLS = {
    "plain": _plain,
    "stripes": _stripes,
    "bricks": _bricks,
    "windows": _windows,
    "panels": _panels,
    "shutters": _shutters,
    "posters": _posters,
    "glass": _glass,
}
FLOORS = {
    "tiles": _tiles,
    "slabs": _slabs,
    "guide strip": _guide_strip,
    "lamps": _lamps,
    "terrazzo": _terrazzo,
}
CLUTTER = {
    "figure": _figure,
    "thing": _thing,
    "pole": _pole,
    "foliage or board": _foliage_or_board,
    "bench": _bench,
    "barrier": _barrier,
    "pillar": _pillar,
    "luggage": _luggage,
}
