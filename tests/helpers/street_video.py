"""Videos of rendered pedestrians who walk past a wall, with the true box of each in every frame."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np

from dataset_builders.synthetic_pedestrians import scenery
from dataset_builders.synthetic_pedestrians.domains import STREET
from dataset_builders.synthetic_pedestrians.people import View, sample_person
from dataset_builders.synthetic_pedestrians.render import draw
from dataset_builders.synthetic_pedestrians.scenery import CameraStyle

SEED = 31
WIDTH = 384
HEIGHT = 288
HORIZON = 0.55
STEPS_A_SECOND = 3


@dataclass(frozen=True)
class Walker:
    """Somebody who walks through the frame.

    Attributes:
        number: of the rendered person.
        begin: the second at which the person's left edge is at ``left`` pixels.
        left: in pixels.
        speed: pixels a second, to the right.
        feet: the row below the feet.
        height: in pixels.
        end: the second from which on the person is gone.
    """

    number: int
    begin: float
    left: float
    speed: float
    feet: int = 280
    height: int = 190
    end: float = 1e9

    def box(self, time):
        """(left, top, right, bottom) of what is seen at ``time``, or None."""
        if not self.begin <= time < self.end:
            return None
        person = cut_out(self.number, self.height, int(time * STEPS_A_SECOND) % 2)
        left = round(self.left + self.speed * (time - self.begin))
        right = left + person.shape[1]
        if right <= 0 or left >= WIDTH:
            return None
        return max(left, 0), self.feet - person.shape[0], min(right, WIDTH), self.feet


@cache
def cut_out(number, height, step):
    """(H, W, 4) float32 RGB and cover of a walking person, H pixels high."""
    person = sample_person(SEED, number)
    view = View("street", 1.2, 0.05, "walking", 0.9, 1 if step else -1, np.zeros(8))
    rng = np.random.default_rng([SEED, number, 5])
    image, parts = draw(person, view, CameraStyle(SEED, 1), rng, 256, 128)
    cover = (parts >= 0).reshape(256, 2, 128, 2).mean((1, 3)).astype(np.float32)
    rows = np.flatnonzero((cover > 0.5).any(1))
    columns = np.flatnonzero((cover > 0.5).any(0))
    whole = np.concatenate([image * cover[..., None], cover[..., None]], -1)
    whole = whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Nearest pixels: edges as sharp as those of a photograph of that size would be.
    size = (height, round(height * whole.shape[1] / whole.shape[0]))
    down = np.arange(size[0]) * whole.shape[0] // size[0]
    across = np.arange(size[1]) * whole.shape[1] // size[1]
    return whole[down][:, across]


@cache
def street():
    """(HEIGHT, WIDTH, 3) float32: the backdrop."""
    rng = np.random.default_rng(SEED)
    return scenery.background(rng, CameraStyle(SEED, 1, STREET), HEIGHT, WIDTH, HORIZON)


def frame_at(walkers, time, number):
    """(HEIGHT, WIDTH, 3) uint8: the street at ``time``, with the noise of frame ``number``."""
    image = street().copy()
    for walker in walkers:
        box = walker.box(time)
        if box is None:
            continue
        person = cut_out(walker.number, walker.height, int(time * STEPS_A_SECOND) % 2)
        left = round(walker.left + walker.speed * (time - walker.begin))
        person = person[:, max(-left, 0) : WIDTH - left]
        part = image[box[1] : box[3], box[0] : box[2]]
        part *= 1 - person[..., 3:]
        part += person[..., :3]
    noise = np.random.default_rng([SEED, number]).normal(0, 0.008, image.shape)
    return (np.clip(image + noise, 0, 1) * 255).astype(np.uint8)


def write_video(path, frames, fps=10, codec="mpeg4", key_every=10):
    """Encode frames (H, W, 3) uint8 to a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 3_000_000
        stream.gop_size = key_every
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return Path(path)


def write_street(path, walkers, seconds, fps=10):
    """Render a video of ``walkers``; returns the true boxes: a list for each frame of (number of the walker, box)."""
    times = [number / fps for number in range(round(seconds * fps))]
    write_video(path, [frame_at(walkers, time, number) for number, time in enumerate(times)], fps)
    truth = []
    for time in times:
        boxes = [(walker.number, walker.box(time)) for walker in walkers]
        truth.append([(number, box) for number, box in boxes if box is not None])
    return truth
