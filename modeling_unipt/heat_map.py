"""Which parts of an image respond to which words of a description.

    maps = word_maps(model, processor, image, "A man with a red cap and a backpack.", ["red cap", "backpack"])
    overlay(image, maps[0], maps.max()).save("red_cap.png")

Both encoders make tokens that are projected into one space and then pooled. What some words add to a description is its
embedding minus the embedding of its other tokens alone. A patch of the image responds to the words as far as its own
projected token points in that direction.
"""

import re

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from .common.user_errors import UserError
from .modeling_unipt import UniPTModel, pool_tokens
from .processing_unipt import UniPTProcessor

GLOW = (255, 122, 0)
DIM = (24, 24, 24)
BLENDED = 0.35


# How the embeddings must be made of the tokens: every word and every patch then has its own share in them.
SHARED_BY_ALL_TOKENS = ("max", "mean")


def has_word_maps(model: UniPTModel) -> bool:
    """Whether words have heat maps. A model that reads an embedding off one token has none, such as CLIP or IRRA.

    That token has no part for some words, and no patch of an image is ever compared with a text.
    """
    config = model.config
    return config.vision_pooling in SHARED_BY_ALL_TOKENS and config.text_pooling in SHARED_BY_ALL_TOKENS


def word_maps(
    model: UniPTModel, processor: UniPTProcessor, image: Image.Image, text: str, words: list[str]
) -> np.ndarray:
    """How strongly each patch of an image responds to words of a description.

    Args:
        image: of any size and mode.
        text: the description.
        words: parts of ``text``, each of one word or more. Of a part that occurs twice, the first place counts.

    Returns:
        (len(words), rows, columns) float32 array: the cosine between each patch's projected token and what the words
        add to the text's embedding before it is normalised; zero where they add nothing.

    Raises:
        UserError: the model has no such maps (see :func:`has_word_maps`); or ``words`` is empty, is not in ``text``, or
            stands after the last token that the processor keeps.
    """
    if not has_word_maps(model):
        raise UserError(
            f"a model with the pooling '{model.config.vision_pooling}' of images and '{model.config.text_pooling}' of "
            "texts has no heat maps of words; only the poolings max and mean have them, of both"
        )
    if not words:
        raise UserError("no words are given; name some of the description's")
    # The tokens' places are those in the form that the processor gives the text.
    text = processor.formed(text)
    tokens, spans = _text_tokens(model, processor, text)
    inside = torch.stack([_tokens_of(processor.formed(part), text, spans) for part in words]).to(tokens.device)
    pixels = processor(images=[image], return_tensors="pt")["pixel_values"].to(model.device, model.dtype)
    rows, columns = model.patch_grid(*pixels.shape[-2:])
    with torch.inference_mode():
        # Class tokens come before the patches.
        patches = model.visual_projection(model.get_image_features(pixels).last_hidden_state)[0, -rows * columns :]
        pooling = model.config.text_pooling
        without = pool_tokens(tokens.expand(len(words), -1, -1), ~inside, pooling)
        added = pool_tokens(tokens[None], pooling=pooling) - without
        maps = normalize(added.float(), dim=-1) @ normalize(patches.float(), dim=-1).T
    return maps.reshape(-1, rows, columns).cpu().numpy()


def overlay(image: Image.Image, heat_map: np.ndarray, highest: float) -> Image.Image:
    """Draw a heat map over its image: it glows where it responds to the words, and is gray and dim elsewhere.

    Args:
        heat_map: (rows, columns), one of those that :func:`word_maps` returns.
        highest: the cosine that glows most. Maps of one description should get the same, so that they can be compared.

    Returns:
        An RGB image of the size of ``image``.
    """
    image = image.convert("RGB")
    shares = np.clip(np.asarray(heat_map, np.float32) / max(highest, 1e-6), 0, 1)
    # By the square root a patch of half the highest cosine can still be seen.
    strength = np.sqrt(shares)
    mask = Image.fromarray(np.uint8(255 * strength)).resize(image.size, Image.Resampling.BICUBIC)
    gray = Image.blend(image.convert("L").convert("RGB"), Image.new("RGB", image.size, DIM), BLENDED)
    lit = Image.blend(image, Image.new("RGB", image.size, GLOW), BLENDED)
    return Image.composite(lit, gray, mask)


def hottest_patch(heat_map: np.ndarray) -> tuple[float, float]:
    """(x, y) of the centre of the patch with the highest value, as fractions of the image's width and height.

    Args:
        heat_map: (rows, columns), one of those that :func:`word_maps` returns.
    """
    rows, columns = heat_map.shape
    row, column = divmod(int(np.argmax(heat_map)), columns)
    return (column + 0.5) / columns, (row + 0.5) / rows


def _text_tokens(model: UniPTModel, processor: UniPTProcessor, text: str) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """The projected tokens, (tokens, dim), and each token's (start, end) in the text; special tokens have (0, 0)."""
    inputs = processor(text=[text], return_tensors="pt", return_offsets_mapping=True)
    spans = inputs.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        hidden = model.get_text_features(**inputs.to(model.device)).last_hidden_state
        return model.text_projection(hidden)[0], spans


def _tokens_of(words: str, text: str, spans: list[tuple[int, int]]) -> torch.Tensor:
    """(tokens,) bool tensor: which tokens overlap the first place of ``words`` in ``text``."""
    # Not "art" in "party": no letter may stand beside the words. (\b would fail for words that end in a full stop.)
    found = re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) if words.strip() else None
    if found is None:
        raise UserError(f'the words "{words}" do not stand in the description "{text}"; take them from it')
    inside = torch.tensor([start < found.end() and end > found.start() for start, end in spans])
    if not inside.any():
        raise UserError(f'the words "{words}" stand after the longest text that the model reads; shorten it')
    return inside
