"""Rendering domains: the same people with the same attributes, in other light and places, with other dyes and words.

Two domains differ as two benchmarks of the field do, so that transfer from one to the other can be measured. A domain
is data alone: its numbers are here, its colours and words in YAML files. The kinds of walls, floors and things that are
named here are painted by ``backdrops``.
"""

from dataclasses import dataclass
from typing import TypeAlias

# The limits of a uniform draw.
Range: TypeAlias = tuple[float, float]
RGB: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Domain:
    """One rendering domain. Shares and colours lie in 0..1.

    Attributes:
        palette: YAML file whose tables replace those of the same name in ``world.yaml``; None for none.
        words: YAML file of its captions.
        manner: how its captions tell about a person, a name in ``phrases.MANNERS``.
        pitch: radians by which a camera looks down; 0 is level.
        nearness: 1 / distance (1/m) of the camera from the feet; 0 for parallel rays.
        light_across, light_up, light_towards: direction of the light in the camera's frame, before normalising.
        light: RGB of the light.
        ambient: share of the light that comes from everywhere.
        sky: additional ambient light on what faces up.
        shadow: strength of the shadow on the floor.
        shadow_breadth: its radius in metres.
        wall, floor: brightness.
        wall_tint, floor_tint: added to the brightness as RGB.
        wall_kinds, floor_kinds: names in ``backdrops.WALLS`` and ``backdrops.FLOORS``; a camera has one of each.
        floor_share: how often the floor shows its kind.
        clutter: names in ``backdrops.CLUTTER``.
        most_clutter: an image has fewer things than this.
        horizon: the wall ends no higher in the image than this share of its height.
        occluded: how often something hides a part of the view.
        warmth: mean shift of a camera's white balance from blue to red.
        tint: mean shift of it towards green.
        exposure, contrast: of a camera, as factors.
        blur: of a camera, in pixels of an image 192 pixels high.
        noise: of a camera, as share of white.
        noise_channels: 1 for gray noise, 3 for coloured.
        detail: resolution of the sensor as share of the image's.
        quality: JPEG quality of a camera.
        worst_quality: JPEG quality of any image is at least this.
    """

    palette: str | None
    words: str
    manner: str
    pitch: Range
    nearness: Range
    light_across: Range
    light_up: Range
    light_towards: Range
    light: RGB
    ambient: Range
    sky: float
    shadow: Range
    shadow_breadth: float
    wall: Range
    wall_tint: RGB
    floor: Range
    floor_tint: RGB
    wall_kinds: tuple[str, ...]
    floor_kinds: tuple[str, ...]
    floor_share: float
    clutter: tuple[str, ...]
    most_clutter: int
    horizon: float
    occluded: float
    warmth: float
    tint: float
    exposure: Range
    contrast: Range
    blur: Range
    noise: Range
    noise_channels: int
    detail: Range
    quality: tuple[int, int]
    worst_quality: int


# Cameras at the height of a head or a door, daylight, walls of houses.
STREET = Domain(
    palette=None,
    words="captions.yaml",
    manner="at a glance",
    pitch=(0.0, 0.3),
    nearness=(0.0, 0.0),
    light_across=(-0.8, 0.8),
    light_up=(0.35, 1.0),
    light_towards=(0.35, 1.0),
    light=(1.0, 1.0, 1.0),
    ambient=(0.5, 0.68),
    sky=0.1,
    shadow=(0.3, 0.6),
    shadow_breadth=0.2,
    wall=(0.3, 0.75),
    wall_tint=(0.0, 0.0, 0.0),
    floor=(0.3, 0.7),
    floor_tint=(0.0, 0.0, 0.0),
    wall_kinds=("plain", "stripes", "bricks", "windows"),
    floor_kinds=("tiles",),
    floor_share=0.5,
    clutter=("figure", "thing", "pole", "foliage or board"),
    most_clutter=4,
    horizon=0.3,
    occluded=0.1,
    warmth=0.0,
    tint=0.0,
    exposure=(0.92, 1.1),
    contrast=(0.85, 1.1),
    blur=(0.2, 0.45),
    noise=(0.003, 0.014),
    noise_channels=1,
    detail=(1.0, 1.0),
    quality=(62, 90),
    worst_quality=45,
)

# Cameras under the ceiling of a hall, lamps above, stone floors, coarse sensors.
STATION = Domain(
    palette="station_palette.yaml",
    words="station_captions.yaml",
    manner="head to toe",
    pitch=(0.38, 0.72),
    nearness=(0.14, 0.24),
    light_across=(-0.35, 0.35),
    light_up=(0.9, 1.3),
    light_towards=(0.3, 0.8),
    light=(0.97, 1.02, 0.97),
    ambient=(0.56, 0.72),
    sky=0.2,
    shadow=(0.2, 0.4),
    shadow_breadth=0.3,
    wall=(0.5, 0.8),
    wall_tint=(0.0, 0.02, -0.01),
    floor=(0.45, 0.8),
    floor_tint=(0.02, 0.01, -0.02),
    wall_kinds=("panels", "shutters", "posters", "glass"),
    floor_kinds=("slabs", "guide strip", "lamps", "terrazzo"),
    floor_share=0.9,
    clutter=("figure", "bench", "barrier", "pillar", "luggage"),
    most_clutter=4,
    horizon=0.03,
    occluded=0.14,
    warmth=0.015,
    tint=0.02,
    exposure=(0.95, 1.14),
    contrast=(0.74, 0.94),
    blur=(0.1, 0.3),
    noise=(0.012, 0.03),
    noise_channels=3,
    detail=(0.62, 0.8),
    quality=(38, 62),
    worst_quality=32,
)

DOMAINS = {"street": STREET, "station": STATION}
