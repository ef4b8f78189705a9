"""One view of one person: scene, framing, tracing, shading, background, and what a camera spoils.

The order of the random draws in this file is part of the datasets that exist.
"""

import io
import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageFilter

from . import accessories, body, clothes, scenery
from .domains import Domain
from .geometry import PART_NUMBER, PackedSolids, Solids
from .people import OPTIONAL, Person, View, light_direction
from .scenery import CameraStyle
from .skeleton import Skeleton, pose
from .tracer import Surface, box_seen, seen_at, trace

# The scene is traced at so many times the final resolution, then averaged.
OVERSAMPLING = 2
BOXED_PARTS = ("hair_length", *OPTIONAL)
# Fewer traced pixels are not called visible.
SMALLEST_SEEN = 5
SMOKE_COLOUR = (0.74, 0.75, 0.79)
# Sizes in pixels are given for images of this height.
USUAL_HEIGHT = 192

# Attribute -> pixel box [x0, y0, x1, y1] of what can be seen of it; x1 and y1 are exclusive.
Boxes: TypeAlias = dict[str, list[int]]


@dataclass(frozen=True)
class Frame:
    """The part of the image plane that an image shows, in metres, and its size in pixels."""

    left: float
    right: float
    bottom: float
    top: float
    height: int
    width: int

    @property
    def metre(self) -> tuple[float, float]:
        """Pixels in a metre, across and up."""
        return self.width / (self.right - self.left), self.height / (self.top - self.bottom)


def build_solids(person: Person, view: View) -> tuple[PackedSolids, Skeleton]:
    """The solids and the joints of a person in the pose of a view."""
    solids = Solids()
    bone = pose(person, view)
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


def camera_rotation(yaw: float, pitch: float) -> np.ndarray:
    """(3, 3) from the person's frame to the camera's: yaw 0 faces the camera, pitch > 0 looks down."""
    cos_yaw = math.cos(yaw)
    sin_yaw = math.sin(yaw)
    cos_pitch = math.cos(pitch)
    sin_pitch = math.sin(pitch)
    turn = np.array([[cos_yaw, 0, sin_yaw], [0, 1, 0], [-sin_yaw, 0, cos_yaw]], np.float32)
    tip = np.array([[1, 0, 0], [0, cos_pitch, -sin_pitch], [0, sin_pitch, cos_pitch]], np.float32)
    return tip @ turn


def _frame(
    solids: PackedSolids, rotation: np.ndarray, narrowing: float, rng: np.random.Generator, height: int, width: int
) -> Frame:
    """The box of an automatic person detector, with its jitter and its cuts."""
    centre, axes = solids.turned(rotation)
    extent = solids.extents(axes)[:, :2]
    low, high = box_seen(centre[:, :2] - extent, centre[:, :2] + extent, narrowing)
    # A detector frames the body. Of what stands out of it, a part may be cut off.
    outer = np.isin(solids.part, [PART_NUMBER[name] for name in ("vehicle", "umbrella", "bag", "prop", "smoke")])
    inner_low = low[~outer].min(0)
    inner_high = high[~outer].max(0)
    riding = PART_NUMBER["vehicle"] in solids.part
    share = np.array([0.6 if riding else 0.93, 0.97], np.float32)
    low = inner_low + share * (np.minimum(low.min(0), inner_low) - inner_low)
    high = inner_high + share * (np.maximum(high.max(0), inner_high) - inner_high)
    size = high - low
    margin = size * rng.uniform(0.01, 0.06, (2, 2))
    low = low - margin[0]
    high = high + margin[1]
    middle = (low + high) / 2
    size = high - low
    # Crops of every shape are squeezed into one, but only so far. The rest of the difference widens the box.
    squeeze = (size[0] / size[1]) / (width / height)
    most = 1.7 if riding else 1.4
    least = 0.95
    if squeeze > most:
        size[1] *= squeeze / most
        middle[1] += (rng.random() - 0.6) * 0.3 * (size[1] - (high[1] - low[1]))
    elif squeeze < least:
        size[0] *= least / squeeze
    middle = middle + rng.normal(0, 0.015, 2) * size
    low = middle - size / 2
    high = middle + size / 2
    cut = rng.random()
    if cut < 0.07:  # the feet are cut off
        low[1] += size[1] * rng.uniform(0.06, 0.2)
    elif cut < 0.1:  # the top of the head is
        high[1] -= size[1] * rng.uniform(0.02, 0.07)
    elif cut < 0.15:  # one side is
        shift = size[0] * rng.uniform(0.06, 0.16) * (1 if rng.random() < 0.5 else -1)
        low[0] += shift
        high[0] += shift
    return Frame(low[0], high[0], low[1], high[1], height, width)


def _pattern(solids: PackedSolids, n: np.ndarray, local: np.ndarray) -> np.ndarray:
    """(M,) share of the second colour at each shown point, from its place on its primitive.

    Args:
        n: (M,) number of the primitive.
        local: (M, 3) scaled coordinates of the point in its frame.
    """
    kind = solids.pattern[n]
    share = np.zeros(len(n), np.float32)
    some = np.flatnonzero(kind > 0)
    if not len(some):
        return share
    m = n[some]
    kind = kind[some]
    # Metres along the primitive and around it: sizes in these are the same on all solids.
    y = (local[some] * solids.scale[m])[:, 1] + solids.offset[m]
    around = np.arctan2(local[some, 0], local[some, 2]) * solids.radius[m] * solids.scale[m, 0]
    striped = ((y / 0.105) % 1) < 0.42
    level = ((y / 0.135) % 1 < 0.42).astype(np.float32)
    upright = ((around / 0.135 + 0.21) % 1 < 0.42).astype(np.float32)
    # Where bands cross, both count.
    plaid = 0.42 * (level + upright)
    # Dots of 3.1 cm radius; every second row is shifted by half a step.
    row = np.floor(y / 0.095)
    from_row = ((y / 0.095) % 1 - 0.5) * 0.095
    from_column = ((around / 0.11 + 0.5 * (row % 2)) % 1 - 0.5) * 0.11
    dotted = from_row**2 + from_column**2 < 0.031**2
    # In the order of PATTERN_NUMBER.
    share[some] = np.where(kind == 1, striped, np.where(kind == 2, plaid, dotted))
    return share


def _shade(
    solids: PackedSolids, surface: Surface, light: np.ndarray, light_colour: np.ndarray, ambient: float, sky: float
) -> np.ndarray:
    """(M, 3) colours of the shown points: Lambert's law, ambient light, and a highlight on glossy things.

    Args:
        light: (3,) unit vector towards the light in the camera's frame.
        light_colour: (3,) RGB.
        ambient, sky: as in :class:`~.domains.Domain`.
    """
    n = surface.solid.ravel()[surface.pixel]
    normal = surface.normal
    share = _pattern(solids, n, surface.local)[:, None]
    colour = solids.colour[n] * (1 - share) + solids.second[n] * share
    towards = np.maximum(normal @ light, 0)
    lit = ambient + sky * normal[:, 1] + (1.02 - ambient) * towards
    # Limbs stand out from the body by their darker rims.
    lit *= 0.66 + 0.34 * np.clip(normal[:, 2], 0, 1)
    # Blinn's highlight: a surface shines that faces halfway between the light and the camera.
    halfway = light + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    shine = solids.gloss[n] * np.maximum(normal @ halfway, 0) ** 24
    return np.clip(colour * lit[:, None] * light_colour + shine[:, None], 0, 1).astype(np.float32)


def _puff(
    image: np.ndarray, rng: np.random.Generator, at: tuple[float, float], radius: float, free: np.ndarray | float
) -> np.ndarray:
    """Blend rising gray smoke into ``image``; returns the (H, W) share of smoke.

    Args:
        at: (x, y) where it begins, in pixels.
        radius: in pixels.
        free: (H, W) how much of the smoke can be seen, or one number for all.
    """
    height, width = image.shape[:2]
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    clear = np.ones((height, width), np.float32)
    drift = rng.uniform(-0.5, 0.5)
    for step in range(5):
        size = radius * (0.55 + 0.22 * step)
        centre_x = at[0] + radius * drift * step + rng.normal(0, 0.25) * radius
        centre_y = at[1] - radius * (0.6 + 0.95 * step)
        clear *= 1 - 0.75 * np.exp(-(((x - centre_x) / size) ** 2) - ((y - centre_y) / size) ** 2)
    smoke = (1 - clear) * free
    image += smoke[..., None] * (np.float32(SMOKE_COLOUR) - image)
    return smoke


def _box(mask: np.ndarray, factor: int) -> list[int]:
    """[x0, y0, x1, y1] around a mask that is ``factor`` times as large as the image."""
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    return [
        int(columns[0] // factor),
        int(rows[0] // factor),
        int(columns[-1] // factor) + 1,
        int(rows[-1] // factor) + 1,
    ]


def _boxes(parts: np.ndarray, factor: int) -> Boxes:
    """The boxes of all attributes that can be seen, from part numbers at ``factor`` times the resolution."""
    boxes = {}
    names = {"upper_clothes": "upper", "lower_clothes": "lower"} | {name: name for name in BOXED_PARTS}
    for name, part in names.items():
        mask = parts == PART_NUMBER[part]
        if mask.sum() >= SMALLEST_SEEN * factor:
            boxes[name] = _box(mask, factor)
    return boxes


def render(
    person: Person, view: View, style: CameraStyle, rng: np.random.Generator, height: int = 192, width: int = 64
) -> tuple[bytes, Boxes]:
    """Render one image: (the JPEG file, the boxes of what can be seen).

    Args:
        style: of the view's camera.
        rng: for light, framing, background and damage.
    """
    pixels, parts = draw(person, view, style, rng, height, width)
    pixels = _spoil(pixels, style, rng)
    data = io.BytesIO()
    quality = int(np.clip(style.quality + rng.integers(-8, 6), style.domain.worst_quality, 95))
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    return data.getvalue(), _boxes(parts, OVERSAMPLING)


def draw(
    person: Person, view: View, style: CameraStyle, rng: np.random.Generator, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """(image (H, W, 3) float32 in 0..1, parts (2H, 2W) part numbers or -1), before the camera spoils it."""
    k = OVERSAMPLING
    domain = style.domain
    solids, bone = build_solids(person, view)
    rotation = camera_rotation(view.yaw, view.pitch)
    frame = _frame(solids, rotation, view.narrowing, rng, height, width)
    surface = _traced(solids, rotation, view.narrowing, frame)
    painted = _painted(solids, surface, rng, domain, frame)

    def to_pixel(point: np.ndarray) -> tuple[float, float, float]:
        """(x, y) in pixels of a (3,) point of the person's frame, and its depth in metres towards the camera."""
        x, y, z = rotation @ point
        x, y = seen_at(x, y, view.narrowing)
        across = (x - frame.left) / (frame.right - frame.left) * width
        down = (frame.top - y) / (frame.top - frame.bottom) * height
        return across, down, z

    _, ground, _ = to_pixel(np.zeros(3, np.float32))
    # The more a camera looks down, the higher the floor rises in the image.
    horizon = float(np.clip(ground / height - 0.08 - 1.3 * view.pitch * rng.uniform(0.5, 1.3), domain.horizon, 0.97))
    image = scenery.background(rng, style, height, width, horizon)
    feet = [to_pixel(np.array([ankle[0], 0.0, ankle[2]], np.float32))[:2] for ankle in bone.ankles]
    if view.action in ("riding", "sitting"):
        # The vehicle or bench casts a shadow, too.
        feet += [to_pixel(np.array([0, 0, z], np.float32))[:2] for z in (-0.5, -0.1, 0.3)]
    metre = frame.metre
    # A round shadow looks the flatter, the more level the camera looks.
    flat = 0.1 + 0.25 * math.sin(view.pitch)
    breadth = domain.shadow_breadth
    radius = (breadth * metre[0], flat * (breadth / 0.4) * metre[1])
    scenery.cast_shadow(image, feet, radius, rng.uniform(*domain.shadow))
    image = image * (1 - painted[..., 3:]) + painted[..., :3]
    parts = np.full(height * k * width * k, -1, np.int16)
    parts[surface.pixel] = solids.part[surface.solid.ravel()[surface.pixel]]
    parts = parts.reshape(height * k, width * k)
    if person.attributes["smoke"]:
        x, y, depth = to_pixel(accessories.mouth(bone) + 0.12 * bone.head_axes[2])
        # Of somebody who looks away, the body hides the smoke.
        free = 1 - painted[..., 3] if depth < to_pixel(bone.head)[2] else 1.0
        smoke = _puff(image, rng, (x, y), 0.075 * max(bone.scale, 0.8) * metre[1], free)
        parts[(smoke > 0.35).repeat(k, 0).repeat(k, 1)] = PART_NUMBER["smoke"]
    if rng.random() < domain.occluded:
        hidden = scenery.occlude(image, rng)
        parts[hidden.repeat(k, 0).repeat(k, 1)] = -1
    return image, parts


def _traced(solids: PackedSolids, rotation: np.ndarray, narrowing: float, frame: Frame) -> Surface:
    """What the pixels of the frame show, at :data:`OVERSAMPLING` times its resolution."""
    k = OVERSAMPLING
    columns = np.arange(frame.width * k) + 0.5
    rows = np.arange(frame.height * k) + 0.5
    xs = (frame.left + columns * (frame.right - frame.left) / (frame.width * k)).astype(np.float32)
    ys = (frame.top - rows * (frame.top - frame.bottom) / (frame.height * k)).astype(np.float32)
    return trace(solids, rotation, xs, ys, narrowing)


def _painted(
    solids: PackedSolids, surface: Surface, rng: np.random.Generator, domain: Domain, frame: Frame
) -> np.ndarray:
    """(H, W, 4) RGB of the person times the share of the pixel that it covers, and that share."""
    k = OVERSAMPLING
    light_colour = np.array(domain.light, np.float32) + rng.normal(0, 0.02, 3).astype(np.float32)
    ambient = rng.uniform(*domain.ambient)
    painted = np.zeros((frame.height * k * frame.width * k, 4), np.float32)
    light = light_direction(rng, domain)
    painted[surface.pixel, :3] = _shade(solids, surface, light, light_colour, ambient, domain.sky)
    painted[surface.pixel, 3] = 1
    return painted.reshape(frame.height, k, frame.width, k, 4).mean((1, 3))


def _spoil(image: np.ndarray, style: CameraStyle, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 after a camera's exposure, white balance, resolution, blur and noise."""
    height, width = image.shape[:2]
    image = image * (style.balance * style.exposure * rng.uniform(0.9, 1.09))
    contrast = rng.uniform(*style.domain.contrast)
    image = np.clip(0.45 + contrast * (image - 0.45), 0, 1)
    sharp = Image.fromarray((image * 255).astype(np.uint8))
    sensor = (max(round(width * style.detail), 1), max(round(height * style.detail), 1))
    sharp = sharp.resize(sensor, Image.Resampling.BOX).resize((width, height), Image.Resampling.BICUBIC)
    radius = (style.blur + rng.exponential(0.08)) * height / USUAL_HEIGHT
    blurred = sharp.filter(ImageFilter.GaussianBlur(min(radius, 1.5 * height / USUAL_HEIGHT)))
    noise = rng.standard_normal((height, width, style.domain.noise_channels), np.float32)
    noise = noise * np.float32(255 * style.noise)
    return np.clip(np.asarray(blurred, np.float32) + noise, 0, 255).astype(np.uint8)
