"""What lies behind and before the person: walls, floors, clutter, and things that hide a part of the view."""

from collections.abc import Iterable

import numpy as np

from .backdrops import CLUTTER, FLOORS, WALLS, Place, add_figure, muted, pixel_centres
from .domains import STREET, Domain


class CameraStyle:
    """What camera ``number`` of the world ``seed`` does to its images: place, white balance, sharpness, noise, JPEG.

    The order of the draws is part of the datasets that exist.
    """

    def __init__(self, seed: int, number: int, domain: Domain = STREET) -> None:
        self.domain = domain
        rng = np.random.default_rng([seed, number, 0, 9])
        self.outdoors = bool(number % 2)
        base = rng.uniform(*domain.wall)
        self.wall = np.clip(base + rng.normal(domain.wall_tint, 0.045, 3), 0.12, 0.9).astype(np.float32)
        base = rng.uniform(*domain.floor)
        self.floor = np.clip(base + rng.normal(domain.floor_tint, 0.045, 3), 0.15, 0.85).astype(np.float32)
        warmth = rng.normal(domain.warmth, 0.018)
        tint = rng.normal(domain.tint, 0.007)
        self.balance = np.array([1 + warmth, 1 + tint, 1 - warmth], np.float32)
        self.exposure = float(rng.uniform(*domain.exposure))
        self.blur = float(rng.uniform(*domain.blur))
        self.noise = float(rng.uniform(*domain.noise))
        self.quality = int(rng.integers(*domain.quality))
        self.wall_kind = domain.wall_kinds[int(rng.integers(len(domain.wall_kinds)))]
        self.period = float(rng.uniform(0.05, 0.16))
        self.floor_kind = domain.floor_kinds[int(rng.integers(len(domain.floor_kinds)))]
        self.detail = float(rng.uniform(*domain.detail))


def background(rng: np.random.Generator, style: CameraStyle, height: int, width: int, horizon: float) -> np.ndarray:
    """(H, W, 3) float32 wall, floor and clutter before ``style``'s camera; ``horizon`` is a share of the height."""
    domain = style.domain
    y, x = (centres[..., None] for centres in pixel_centres(height, width))
    wall = np.clip(style.wall + rng.normal(0, 0.05) + rng.normal(0, 0.02, 3), 0.08, 0.95).astype(np.float32)
    floor = np.clip(style.floor + rng.normal(0, 0.05), 0.1, 0.9).astype(np.float32)
    # The wall is brighter at one side and end, the floor at the lower edge.
    slope, side = rng.uniform(-0.2, 0.2, 2)
    image = np.where(y < horizon, wall * (1 + slope * (y - 0.4) + side * (x - 0.5)), floor * (0.82 + 0.3 * y))
    image = np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)), dtype=np.float32)
    above = (y < horizon)[:, 0, 0]
    shift = rng.random()
    period = style.period * rng.uniform(0.8, 1.3)
    contrast = np.float32(rng.uniform(0.06, 0.22) * rng.choice([-1, 1]))
    place = Place(y, x, above, horizon, shift, period, contrast)
    WALLS[style.wall_kind](image, rng, place)
    if rng.random() < domain.floor_share:
        FLOORS[style.floor_kind](image, rng, place)
    for _ in range(int(rng.integers(0, domain.most_clutter))):
        kind = rng.integers(len(domain.clutter))
        at = rng.random()
        CLUTTER[domain.clutter[kind]](image, rng, at, horizon, style.outdoors)
    return np.clip(image, 0.02, 1)


def cast_shadow(
    image: np.ndarray, feet: Iterable[tuple[float, float]], radius: tuple[float, float], strength: float
) -> None:
    """Darken the floor around each foot (x, y), within ``radius`` (x, y); all in pixels."""
    height, width = image.shape[:2]
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    dark = np.zeros((height, width), np.float32)
    for foot_x, foot_y in feet:
        # The maximum: two feet beside each other do not make a shadow twice as dark.
        dark = np.maximum(dark, np.exp(-(((x - foot_x) / radius[0]) ** 2) - ((y - foot_y) / radius[1]) ** 2))
    image *= (1 - strength * dark)[..., None]


def occlude(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put something in front of a part of ``image``; returns the (H, W) bool mask of what it hides."""
    height, width = image.shape[:2]
    hidden = np.zeros((height, width), bool)
    kind = rng.integers(3)
    if kind == 0:  # pole
        left = rng.uniform(-0.02, 0.9)
        columns = slice(max(int(left * width), 0), max(int((left + rng.uniform(0.07, 0.16)) * width), 1))
        hidden[:, columns] = True
        shade = np.linspace(1.15, 0.7, max(hidden[0].sum(), 1), dtype=np.float32)
        image[:, columns] = (muted(rng) * shade[:, None])[None]
    elif kind == 1:  # a box, a wall or a parked thing, from below
        top = rng.uniform(0.68, 0.88)
        left = rng.uniform(-0.3, 0.5)
        right = rng.uniform(0.5, 1.3)
        columns = slice(max(int(left * width), 0), int(right * width))
        hidden[int(top * height) :, columns] = True
        image[hidden] = muted(rng)
        image[int(top * height) : int((top + 0.015) * height), columns] *= 1.3
    else:  # somebody walks through the image
        centre = rng.uniform(-0.12, 0.06) if rng.random() < 0.5 else rng.uniform(0.94, 1.12)
        hidden = add_figure(image, rng, centre, rng.uniform(0.0, 0.15), rng.uniform(1.0, 1.2), rng.uniform(0.4, 0.7))
    return hidden
