"""Which parts of a picture answer to which words of a description.

    maps = word_maps(model, processor, picture, "A man with a red cap and a backpack.", ["red cap", "backpack"])
    overlay(picture, maps[0], maps.max()).save("red_cap.png")

Both encoders give tokens that are projected into one space and then pooled. What some words add to a description is its
embedding less the embedding that its other tokens alone would have; a patch answers to the words as far as its own
projected token points in that direction.
"""

import re

import numpy as np
from PIL import Image

from .common.user_errors import UserError

GLOW = (255, 122, 0)


def word_maps(model, processor, image, text, words):
    """How each patch of a picture answers to each of some words.

    Args:
        model, processor: a `UniPTModel` and its `UniPTProcessor`.
        image (`PIL.Image`): of any size and mode.
        text: the description.
        words (list of str): parts of ``text``, of one word or more; of one that occurs twice the first is meant.

    Returns:
        (len(words), rows, columns) float32 array: the cosine of each patch's projected token and what the words add
        to the text's embedding before it is normalised; zero where they add nothing.

    Raises:
        UserError: ``words`` is empty or not in ``text``, or stands after the processor's limit of tokens.
    """
    import torch
    from torch.nn.functional import normalize

    from .modeling_unipt import pool_tokens

    if not words:
        raise UserError("no words are given; name some of the description's")
    tokens, spans = _text_tokens(model, processor, text)
    inside = torch.stack([_tokens_of(part, text, spans) for part in words]).to(tokens.device)
    pixels = processor(images=[image], return_tensors="pt")["pixel_values"].to(model.device, model.dtype)
    rows, columns = model.patch_grid(*pixels.shape[-2:])
    with torch.inference_mode():
        patches = model.visual_projection(model.get_image_features(pixels).last_hidden_state)[0, -rows * columns :]
        pooling = model.config.pooling
        without = pool_tokens(tokens.expand(len(words), -1, -1), ~inside, pooling)
        added = pool_tokens(tokens[None], pooling=pooling) - without
        maps = normalize(added.float(), dim=-1) @ normalize(patches.float(), dim=-1).T
    return maps.reshape(-1, rows, columns).cpu().numpy()


def overlay(image, heat_map, highest):
    """A picture that glows where it answers to the words, and is gray and dim elsewhere.

    Args:
        image (`PIL.Image`).
        heat_map: (rows, columns), as :func:`word_maps` gives one.
        highest: the cosine that glows most; give the maps of one description the same, so that they compare.

    Returns:
        RGB ``PIL.Image`` of the size of ``image``.
    """
    image = image.convert("RGB")
    strength = np.sqrt(np.clip(np.asarray(heat_map, np.float32) / max(highest, 1e-6), 0, 1))  # so that half is seen
    mask = Image.fromarray(np.uint8(255 * strength)).resize(image.size, Image.Resampling.BICUBIC)
    gray = Image.blend(image.convert("L").convert("RGB"), Image.new("RGB", image.size, (24, 24, 24)), 0.35)
    lit = Image.blend(image, Image.new("RGB", image.size, GLOW), 0.35)
    return Image.composite(lit, gray, mask)


def hottest_patch(heat_map):
    """(x, y) of the middle of the patch that answers most, as shares of the picture's width and height."""
    rows, columns = heat_map.shape
    row, column = divmod(int(np.argmax(heat_map)), columns)
    return (column + 0.5) / columns, (row + 0.5) / rows


def _text_tokens(model, processor, text):
    """((tokens, dim) projected, list of each token's (start, end) in the text; special tokens have an empty one)."""
    import torch

    inputs = processor(text=[text], return_tensors="pt", return_offsets_mapping=True)
    spans = inputs.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        hidden = model.get_text_features(**inputs.to(model.device)).last_hidden_state
        return model.text_projection(hidden)[0], spans


def _tokens_of(words, text, spans):
    """(tokens,) bool tensor: which tokens overlap the first place of ``words`` in ``text``."""
    import torch

    found = re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) if words.strip() else None
    if found is None:
        raise UserError(f'the words "{words}" do not stand in the description "{text}"; take them from it')
    inside = torch.tensor([start < found.end() and end > found.start() for start, end in spans])
    if not inside.any():
        raise UserError(f'the words "{words}" stand after the longest text that the model reads; shorten it')
    return inside
