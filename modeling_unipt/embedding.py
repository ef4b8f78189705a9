"""Embedding many images or texts with a UniPT model, in batches; the gallery and the evaluation both use it."""

from itertools import islice

import numpy as np
import torch
from tqdm import tqdm


def embed_images(model, processor, images, batch_size=64, total=None):
    """Embed an iterable of ``PIL.Image``.

    Args:
        total: number of images, for the progress bar; None shows none.
    Returns:
        (N, projection_dim) float32 array, rows of length 1.
    """
    images, embeds = iter(images), []
    with tqdm(total=total, desc="embedding images", unit="image", disable=total is None) as bar, torch.inference_mode():
        while batch := list(islice(images, batch_size)):
            pixels = processor.image_processor(batch, return_tensors="pt")["pixel_values"]
            pixels = pixels.to(model.device, model.dtype)
            embeds.append(model.get_image_features(pixel_values=pixels).pooler_output.float().cpu())
            bar.update(len(batch))
    return _unit_rows(embeds)


def embed_texts(model, processor, texts, batch_size=64):
    """Embed a list of descriptions; longer ones than the tokenizer's limit are truncated.

    Returns:
        (N, projection_dim) float32 array, rows of length 1.
    """
    embeds = []
    with torch.inference_mode():
        for start in range(0, len(texts), batch_size):
            encoded = processor.tokenizer(
                texts[start : start + batch_size], padding=True, truncation=True, return_tensors="pt"
            ).to(model.device)
            features = model.get_text_features(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
            embeds.append(features.pooler_output.float().cpu())
    return _unit_rows(embeds)


def _unit_rows(embeds):
    return torch.nn.functional.normalize(torch.cat(embeds), dim=-1).numpy().astype(np.float32)
