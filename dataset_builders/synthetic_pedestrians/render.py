"""One view of one person: scene, framing, tracing, shading, background and what a camera spoils."""

import io
import math

import numpy as np
from PIL import Image, ImageFilter

from . import accessories, body, clothes, scenery
from .geometry import PART_NUMBER, Solids
from .people import light_direction
from .skeleton import pose
from .tracer import box_seen, seen_at, trace

OVERSAMPLING = 2
BOXED_PARTS = ("hair_length", "bag", "glasses", "smoke", "hat", "cellphone", "umbrella", "gloves", "vehicle")
SMALLEST_SEEN = 5  # traced pixels; fewer are not called visible


def build_solids(person, view):
    """(PackedSolids, Skeleton) of a person as posed in a view."""
    solids, bone = Solids(), pose(person, view)
    body.add_body(solids, person, bone)
    body.add_head(solids, person, bone)
    clothes.add_lower(solids, person, view, bone)
    clothes.add_upper(solids, person, view, bone)
    accessories.add_accessories(solids, person, view, bone)
    if view.action == "riding":
        accessories.add_vehicle(solids, person, bone)
    if bone.seat is not None:
        accessories.add_seat(solids, bone, (0.42, 0.36, 0.3) if view.side > 0 else (0.5, 0.52, 0.55))
    return solids.packed(), bone


def camera_rotation(yaw, pitch):
    """(3, 3) from the person's frame to the camera's: yaw 0 faces the camera, pitch > 0 looks down."""
    c, s, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)
    tip = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]], np.float32)
    return tip @ turn


def _frame(solids, rotation, narrowing, rng, height, width):
    """(left, right, bottom, top) in picture metres: an automatic cropper's box, its jitter and cuts included."""
    centre, axes = solids.turned(rotation)
    extent = solids.extents(axes)[:, :2]
    low, high = box_seen(centre[:, :2] - extent, centre[:, :2] + extent, narrowing)
    outer = np.isin(solids.part, [PART_NUMBER[name] for name in ("vehicle", "umbrella", "bag", "prop", "smoke")])
    inner_low, inner_high = low[~outer].min(0), high[~outer].max(0)
    riding = PART_NUMBER["vehicle"] in solids.part
    share = np.array([0.6 if riding else 0.93, 0.97], np.float32)
    low = inner_low + share * (np.minimum(low.min(0), inner_low) - inner_low)
    high = inner_high + share * (np.maximum(high.max(0), inner_high) - inner_high)
    size = high - low
    margin = size * rng.uniform(0.01, 0.06, (2, 2))
    low, high = low - margin[0], high + margin[1]
    middle, size = (low + high) / 2, high - low
    # Crops of every shape are squeezed into one, but only so far.
    squeeze = (size[0] / size[1]) / (width / height)
    most, least = 1.7 if riding else 1.4, 0.95
    if squeeze > most:
        size[1] *= squeeze / most
        middle[1] += (rng.random() - 0.6) * 0.3 * (size[1] - (high[1] - low[1]))
    elif squeeze < least:
        size[0] *= least / squeeze
    middle = middle + rng.normal(0, 0.015, 2) * size
    low, high = middle - size / 2, middle + size / 2
    cut = rng.random()
    if cut < 0.07:
        low[1] += size[1] * rng.uniform(0.06, 0.2)
    elif cut < 0.1:
        high[1] -= size[1] * rng.uniform(0.02, 0.07)
    elif cut < 0.15:
        shift = size[0] * rng.uniform(0.06, 0.16) * (1 if rng.random() < 0.5 else -1)
        low[0], high[0] = low[0] + shift, high[0] + shift
    return low[0], high[0], low[1], high[1]


def _pattern(solids, n, local):
    """(M,) share of the second colour at each shown point, from its place on its primitive."""
    kind = solids.pattern[n]
    share = np.zeros(len(n), np.float32)
    some = np.flatnonzero(kind > 0)
    if not len(some):
        return share
    m = n[some]
    kind = kind[some]
    x, y, z = (local[some] * solids.scale[m]).T
    y = y + solids.offset[m]
    around = np.arctan2(local[some, 0], local[some, 2]) * solids.radius[m] * solids.scale[m, 0]
    striped = ((y / 0.105) % 1) < 0.42
    bands = ((y / 0.135) % 1 < 0.42).astype(np.float32), ((around / 0.135 + 0.21) % 1 < 0.42).astype(np.float32)
    plaid = 0.42 * (bands[0] + bands[1])
    row = np.floor(y / 0.095)
    dotted = (((y / 0.095) % 1 - 0.5) * 0.095) ** 2 + (
        ((around / 0.11 + 0.5 * (row % 2)) % 1 - 0.5) * 0.11
    ) ** 2 < 0.031**2
    share[some] = np.where(kind == 1, striped, np.where(kind == 2, plaid, dotted))
    return share


def _shade(solids, surface, light, light_colour, ambient, sky):
    """(M, 3) colours of the shown points: Lambert, ambient with a little sky, and a highlight on glossy things."""
    n, normal = surface.solid.ravel()[surface.pixel], surface.normal
    share = _pattern(solids, n, surface.local)[:, None]
    colour = solids.colour[n] * (1 - share) + solids.second[n] * share
    towards = np.maximum(normal @ light, 0)
    lit = ambient + sky * normal[:, 1] + (1.02 - ambient) * towards
    lit *= 0.66 + 0.34 * np.clip(normal[:, 2], 0, 1)  # limbs stand out from the body by their darker rims
    halfway = light + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    shine = solids.gloss[n] * np.maximum(normal @ halfway, 0) ** 24
    return np.clip(colour * lit[:, None] * light_colour + shine[:, None], 0, 1).astype(np.float32)


def _puff(image, rng, at, radius, free):
    """Blend rising grey smoke into ``image`` where ``free`` (H, W) lets it; returns the (H, W) share of smoke."""
    height, width = image.shape[:2]
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    clear = np.ones((height, width), np.float32)
    drift = rng.uniform(-0.5, 0.5)
    for step in range(5):
        size = radius * (0.55 + 0.22 * step)
        cx, cy = at[0] + radius * drift * step + rng.normal(0, 0.25) * radius, at[1] - radius * (0.6 + 0.95 * step)
        clear *= 1 - 0.75 * np.exp(-(((x - cx) / size) ** 2) - ((y - cy) / size) ** 2)
    smoke = (1 - clear) * free
    image += smoke[..., None] * (np.float32([0.74, 0.75, 0.79]) - image)
    return smoke


def _box(mask, factor):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [
        int(columns[0] // factor),
        int(rows[0] // factor),
        int(columns[-1] // factor) + 1,
        int(rows[-1] // factor) + 1,
    ]


def _boxes(parts, factor):
    """{name: [x0, y0, x1, y1]} in final pixels (x1, y1 exclusive) of every visible boxed attribute."""
    boxes = {}
    names = {"upper_clothes": "upper", "lower_clothes": "lower"} | {name: name for name in BOXED_PARTS}
    for name, part in names.items():
        mask = parts == PART_NUMBER[part]
        if mask.sum() >= SMALLEST_SEEN * factor:
            boxes[name] = _box(mask, factor)
    return boxes


def render(person, view, style, rng, height=192, width=64):
    """Render one picture.

    Args:
        person, view: what :func:`~.people.sample_person` and :func:`~.people.sample_view` give.
        style: the :class:`~.scenery.CameraStyle` of the view's camera.
        rng: NumPy generator for light, framing, background and damage.

    Returns:
        (JPEG bytes, {attribute: [x0, y0, x1, y1]} of what is visible)
    """
    pixels, parts = draw(person, view, style, rng, height, width)
    pixels = _spoil(pixels, style, rng)
    data = io.BytesIO()
    quality = int(np.clip(style.quality + rng.integers(-8, 6), style.domain.worst_quality, 95))
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    return data.getvalue(), _boxes(parts, OVERSAMPLING)


def draw(person, view, style, rng, height, width):
    """(image (H, W, 3) float32 in 0..1, parts (2H, 2W) part numbers or -1), before the camera spoils it."""
    k, domain = OVERSAMPLING, style.domain
    solids, bone = build_solids(person, view)
    rotation = camera_rotation(view.yaw, view.pitch)
    left, right, bottom, top = _frame(solids, rotation, view.narrowing, rng, height, width)
    xs = (left + (np.arange(width * k) + 0.5) * (right - left) / (width * k)).astype(np.float32)
    ys = (top - (np.arange(height * k) + 0.5) * (top - bottom) / (height * k)).astype(np.float32)
    surface = trace(solids, rotation, xs, ys, view.narrowing)
    light_colour = np.array(domain.light, np.float32) + rng.normal(0, 0.02, 3).astype(np.float32)
    ambient = rng.uniform(*domain.ambient)
    painted = np.zeros((height * k * width * k, 4), np.float32)
    light = light_direction(rng, domain)
    painted[surface.pixel, :3] = _shade(solids, surface, light, light_colour, ambient, domain.sky)
    painted[surface.pixel, 3] = 1
    painted = painted.reshape(height, k, width, k, 4).mean((1, 3))

    def to_pixel(point):
        x, y, z = rotation @ point
        x, y = seen_at(x, y, view.narrowing)
        return (x - left) / (right - left) * width, (top - y) / (top - bottom) * height, z

    _, ground, _ = to_pixel(np.zeros(3, np.float32))
    horizon = float(np.clip(ground / height - 0.08 - 1.3 * view.pitch * rng.uniform(0.5, 1.3), domain.horizon, 0.97))
    image = scenery.background(rng, style, height, width, horizon)
    feet = [to_pixel(np.array([ankle[0], 0.0, ankle[2]], np.float32))[:2] for ankle in bone.ankles]
    if view.action in ("riding", "sitting"):
        feet += [to_pixel(np.array([0, 0, z], np.float32))[:2] for z in (-0.5, -0.1, 0.3)]
    metre = width / (right - left), height / (top - bottom)
    flat = 0.1 + 0.25 * math.sin(view.pitch)
    breadth = domain.shadow_breadth
    scenery.cast_shadow(
        image, feet, (breadth * metre[0], flat * (breadth / 0.4) * metre[1]), rng.uniform(*domain.shadow)
    )
    image = image * (1 - painted[..., 3:]) + painted[..., :3]
    parts = np.full(height * k * width * k, -1, np.int16)
    parts[surface.pixel] = solids.part[surface.solid.ravel()[surface.pixel]]
    parts = parts.reshape(height * k, width * k)
    if person.attributes["smoke"]:
        x, y, depth = to_pixel(accessories.mouth(bone) + 0.12 * bone.head_axes[2])
        free = 1 - painted[..., 3] if depth < to_pixel(bone.head)[2] else 1.0
        smoke = _puff(image, rng, (x, y), 0.075 * max(bone.scale, 0.8) * metre[1], free)
        parts[(smoke > 0.35).repeat(k, 0).repeat(k, 1)] = PART_NUMBER["smoke"]
    if rng.random() < domain.occluded:
        hidden = scenery.occlude(image, rng)
        parts[hidden.repeat(k, 0).repeat(k, 1)] = -1
    return image, parts


def _spoil(image, style, rng):
    """Exposure, white balance, resolution, blur and noise of a camera; returns (H, W, 3) uint8."""
    height, width = image.shape[:2]
    image = image * (style.balance * style.exposure * rng.uniform(0.9, 1.09))
    contrast = rng.uniform(*style.domain.contrast)
    image = np.clip(0.45 + contrast * (image - 0.45), 0, 1)
    sharp = Image.fromarray((image * 255).astype(np.uint8))
    sensor = max(round(width * style.detail), 1), max(round(height * style.detail), 1)
    sharp = sharp.resize(sensor, Image.Resampling.BOX).resize((width, height), Image.Resampling.BICUBIC)
    radius = (style.blur + rng.exponential(0.08)) * height / 192
    pixels = np.asarray(sharp.filter(ImageFilter.GaussianBlur(min(radius, 1.5 * height / 192))), np.float32)
    noise = rng.standard_normal((height, width, style.domain.noise_channels), np.float32) * np.float32(
        255 * style.noise
    )
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)
