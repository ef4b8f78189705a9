"""Drawn people and the size of tiny encoders, for every test."""

import numpy as np
from PIL import Image

ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def draw_person(seed, height=96, width=32):
    """Two blocks of colour and a head on a noisy ground: different for each seed, quick to make."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(90, 160, (height, width, 3))
    for top, bottom in ((0.1, 0.22), (0.22, 0.55), (0.55, 0.95)):
        pixels[int(top * height) : int(bottom * height), width // 4 : 3 * width // 4] = generator.integers(0, 255, 3)
    return Image.fromarray(pixels.astype(np.uint8))
