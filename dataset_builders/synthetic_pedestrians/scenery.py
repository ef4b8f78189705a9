"""What lies behind and before the person: walls, floors, clutter, and things that hide a part of the view."""

import numpy as np


class CameraStyle:
    """What one camera of the world ``seed`` does to every picture: palette, white balance, sharpness, noise, JPEG."""

    def __init__(self, seed, number):
        rng = np.random.default_rng([seed, number, 0, 9])
        self.outdoors = bool(number % 2)
        base = rng.uniform(0.3, 0.75)
        self.wall = np.clip(base + rng.normal(0, 0.045, 3), 0.12, 0.9).astype(np.float32)
        self.floor = np.clip(rng.uniform(0.3, 0.7) + rng.normal(0, 0.045, 3), 0.15, 0.85).astype(np.float32)
        warmth, tint = rng.normal(0, 0.018), rng.normal(0, 0.007)
        self.balance = np.array([1 + warmth, 1 + tint, 1 - warmth], np.float32)
        self.exposure = float(rng.uniform(0.92, 1.1))
        self.blur = float(rng.uniform(0.2, 0.45))
        self.noise = float(rng.uniform(0.003, 0.014))
        self.quality = int(rng.integers(62, 90))
        self.wall_kind = ("plain", "stripes", "bricks", "windows")[int(rng.integers(4))]
        self.period = float(rng.uniform(0.05, 0.16))


def _muted(rng):
    return np.clip(rng.uniform(0.15, 0.85) + rng.normal(0, 0.1, 3), 0, 1).astype(np.float32)


def _paint(image, rows, columns, colour, strength=1.0):
    """Fill the rectangle given in shares of height and width."""
    height, width = image.shape[:2]
    r0, r1 = (int(np.clip(round(r * height), 0, height)) for r in rows)
    c0, c1 = (int(np.clip(round(c * width), 0, width)) for c in columns)
    if r1 > r0 and c1 > c0:
        image[r0:r1, c0:c1] += strength * (colour - image[r0:r1, c0:c1])


def _figure(height, width, centre, top, bottom, breadth):
    """(H, W) bool mask of a person-like outline, in shares of height and width."""
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :]
    along = (y - top) / (bottom - top)
    head = ((x - centre) / (0.3 * breadth)) ** 2 + ((along - 0.075) / 0.075) ** 2 < 1
    half = np.interp(along[:, 0], [0.14, 0.2, 0.5, 1.0], [0.12, 0.5, 0.42, 0.28]).astype(np.float32)[:, None] * breadth
    body = (along > 0.15) & (along < 1) & (np.abs(x - centre) < half)
    legs = ~((along > 0.55) & (np.abs(x - centre) < 0.07 * breadth))
    return head, body & legs, along


def _add_figure(image, rng, centre, top, bottom, breadth):
    head, body, along = _figure(*image.shape[:2], centre, top, bottom, breadth)
    upper, lower = _muted(rng), _muted(rng)
    image[body & (along < 0.5)] = upper
    image[body & (along >= 0.5)] = lower
    image[head] = np.array([0.8, 0.62, 0.5], np.float32) * rng.uniform(0.5, 1.1)
    return head | body


def background(rng, style, height, width, horizon):
    """(H, W, 3) float32 wall, floor and clutter before ``style``'s camera; ``horizon`` is a share of the height."""
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :, None]
    wall = np.clip(style.wall + rng.normal(0, 0.05) + rng.normal(0, 0.02, 3), 0.08, 0.95).astype(np.float32)
    floor = np.clip(style.floor + rng.normal(0, 0.05), 0.1, 0.9).astype(np.float32)
    slope, side = rng.uniform(-0.2, 0.2, 2)
    image = np.where(y < horizon, wall * (1 + slope * (y - 0.4) + side * (x - 0.5)), floor * (0.82 + 0.3 * y))
    image = np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)), dtype=np.float32)
    above = (y < horizon)[:, 0, 0]
    shift, period = rng.random(), style.period * rng.uniform(0.8, 1.3)
    contrast = np.float32(rng.uniform(0.06, 0.22) * rng.choice([-1, 1]))
    if style.wall_kind == "stripes":
        image[above] += contrast * (((x / period + shift) % 1) < 0.5)
    elif style.wall_kind == "bricks":
        row = np.floor(y / (period * 0.4))
        lines = ((y / (period * 0.4)) % 1 < 0.16) | ((x / (period * 2.4) + 0.5 * (row % 2) + shift) % 1 < 0.07)
        image[above] += (contrast * lines)[above]
    elif style.wall_kind == "windows":
        for column in np.arange(-0.3 + 0.5 * shift, 1.2, 0.5):
            _paint(image, (0.06, min(0.3, horizon)), (column, column + 0.3), _muted(rng), 0.8)
    if rng.random() < 0.5:
        depth = np.clip((y - horizon) / (1 - horizon + 1e-6), 1e-3, 1)
        tiles = ((np.log(depth) * 3 + shift) % 1 < 0.12) | (((x - 0.5) / (0.3 + depth) * 3 + shift) % 1 < 0.06)
        image[~above] -= np.float32(0.1) * tiles[~above]
    for _ in range(int(rng.integers(0, 4))):
        kind, at = rng.integers(4), rng.random()
        if kind == 0:
            _add_figure(
                image,
                rng,
                at,
                horizon - rng.uniform(0.1, 0.28),
                horizon + rng.uniform(0.05, 0.2),
                rng.uniform(0.12, 0.3),
            )
        elif kind == 1:  # a parked car, a bench, a box
            bottom, breadth, colour = horizon + rng.uniform(0.02, 0.12), rng.uniform(0.3, 0.9), _muted(rng)
            _paint(image, (bottom - rng.uniform(0.08, 0.2), bottom), (at - breadth / 2, at + breadth / 2), colour)
            _paint(image, (bottom - 0.02, bottom), (at - breadth / 2, at + breadth / 2), colour * 0.4)
        elif kind == 2:  # a pole or trunk
            _paint(image, (0, horizon + rng.uniform(0.0, 0.15)), (at, at + rng.uniform(0.04, 0.14)), _muted(rng) * 0.8)
        elif style.outdoors:  # foliage
            blob = ((x[..., 0] - at) / 0.4) ** 2 + ((y[..., 0] - rng.uniform(0.05, 0.3)) / 0.16) ** 2 < 1
            image[blob] = np.array([0.22, 0.4, 0.2], np.float32) * rng.uniform(0.6, 1.3)
        else:
            _paint(image, (0.08, 0.3), (at - 0.2, at + 0.2), _muted(rng), 0.9)
    return np.clip(image, 0.02, 1)


def cast_shadow(image, feet, radius, strength):
    """Darken the floor around ``feet`` [(x, y), ...] (pixels) within ``radius`` = (x, y) pixels."""
    height, width = image.shape[:2]
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    dark = np.zeros((height, width), np.float32)
    for fx, fy in feet:
        dark = np.maximum(dark, np.exp(-(((x - fx) / radius[0]) ** 2) - ((y - fy) / radius[1]) ** 2))
    image *= (1 - strength * dark)[..., None]


def occlude(image, rng):
    """Put something in front of a part of the view, in place; returns the (H, W) bool mask of what it hides."""
    height, width = image.shape[:2]
    hidden = np.zeros((height, width), bool)
    kind = rng.integers(3)
    if kind == 0:  # pole
        c0 = rng.uniform(-0.02, 0.9)
        columns = slice(max(int(c0 * width), 0), max(int((c0 + rng.uniform(0.07, 0.16)) * width), 1))
        hidden[:, columns] = True
        shade = np.linspace(1.15, 0.7, max(hidden[0].sum(), 1), dtype=np.float32)
        image[:, columns] = (_muted(rng) * shade[:, None])[None]
    elif kind == 1:  # a box, a wall or a parked thing, from below
        top, left, right = rng.uniform(0.68, 0.88), rng.uniform(-0.3, 0.5), rng.uniform(0.5, 1.3)
        columns = slice(max(int(left * width), 0), int(right * width))
        hidden[int(top * height) :, columns] = True
        image[hidden] = _muted(rng)
        image[int(top * height) : int((top + 0.015) * height), columns] *= 1.3
    else:  # somebody walks through the picture
        centre = rng.uniform(-0.12, 0.06) if rng.random() < 0.5 else rng.uniform(0.94, 1.12)
        hidden = _add_figure(image, rng, centre, rng.uniform(0.0, 0.15), rng.uniform(1.0, 1.2), rng.uniform(0.4, 0.7))
    return hidden
