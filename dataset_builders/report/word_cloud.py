"""A word cloud of captions: counted row by row, laid out without overlaps, the same for the same counts.

words = CaptionWords(function_words(captioner))
words.add(captions)
draw_words(place_words(words.counts)).save("word_cloud.png")
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..combine.function_words import words_of

MOST_COUNTED = 50_000
MOST_DRAWN = 70
LARGEST, SMALLEST, INK_AREA = 96, 17, 250_000  # pixels
GAP, MARGIN = 10, 24
SPIRAL_POINTS = 12_000
PAPER, COLOURS = "#ffffff", ("#0072b2", "#b34a00", "#00735a", "#7a3b69")  # told apart by the colour-blind, too


class CaptionWords:
    """Counts of the words of captions, ``left_out`` aside.

    Templates have some hundred words. Another captioner may have any number; so that memory stays bounded, words that
    appear for the first time after 50,000 others are not counted.
    """

    def __init__(self, left_out):
        self.left_out, self.counts = left_out, Counter()

    def add(self, captions):
        for caption in captions:
            for word in words_of(caption):
                if word not in self.left_out and (word in self.counts or len(self.counts) < MOST_COUNTED):
                    self.counts[word] += 1


@dataclass(frozen=True)
class PlacedWord:
    """A word of the cloud: ``size`` of its font in pixels, ``box`` of its ink as (left, top, right, bottom)."""

    word: str
    size: int
    box: tuple


def place_words(counts):
    """Lay out the most frequent words, largest first, each at the first free place of a spiral from the centre.

    The area of a word's letters grows with its count.

    Args:
        counts: word -> how often it occurs.
    Returns:
        List of :class:`PlacedWord`, most frequent first; no two boxes are nearer than ``GAP`` pixels.
    """
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_DRAWN]
    angles = np.sqrt(20.0 * np.arange(SPIRAL_POINTS))  # points at even distances
    spiral_x, spiral_y = 1.8 * angles * np.cos(angles), angles * np.sin(angles)
    largest, placed = _largest_size(ranked), []
    for word, count in ranked:
        size = max(SMALLEST, round(largest * (count / ranked[0][1]) ** 0.5))
        left, top, right, bottom = ImageFont.load_default(size).getbbox(word)
        width, height = right - left, bottom - top
        x, y = np.round(spiral_x - width / 2), np.round(spiral_y - height / 2)
        free = np.ones(SPIRAL_POINTS, dtype=bool)
        for other in placed:
            left, top, right, bottom = other.box
            free &= (x + width + GAP <= left) | (x >= right + GAP) | (y + height + GAP <= top) | (y >= bottom + GAP)
        if not free.any():
            continue
        first = free.argmax()
        left, top = int(x[first]), int(y[first])
        placed.append(PlacedWord(word, size, (left, top, left + int(width), top + int(height))))
    return placed


def _largest_size(ranked):
    """The size of the first word with which all of them together take about ``INK_AREA``, at most ``LARGEST``."""
    boxes = [(count, ImageFont.load_default(LARGEST).getbbox(word)) for word, count in ranked]
    area = sum(count / ranked[0][1] * (right - left) * (bottom - top) for count, (left, top, right, bottom) in boxes)
    return LARGEST * min(1, INK_AREA / area) ** 0.5 if ranked else LARGEST


def draw_words(placed):
    """The ``PIL.Image``, with a palette, of a cloud that is not empty, cut to its words."""
    left, top = (min(word.box[side] for word in placed) - MARGIN for side in (0, 1))
    right, bottom = (max(word.box[side] for word in placed) + MARGIN for side in (2, 3))
    picture = Image.new("RGB", (right - left, bottom - top), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, word in enumerate(placed):
        font = ImageFont.load_default(word.size)
        ink = font.getbbox(word.word)
        corner = (word.box[0] - left - ink[0], word.box[1] - top - ink[1])
        draw.text(corner, word.word, fill=COLOURS[number % len(COLOURS)], font=font)
    return picture.quantize(64, dither=Image.Dither.NONE)
