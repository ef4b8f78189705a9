"""Embedding many images or texts with a UniPT model, in batches; the gallery and the evaluation both use it."""

from itertools import islice

import numpy as np


def embed_images(model, processor, images, batch_size=64, total=None):
    """Embed an iterable of ``PIL.Image``.

    Args:
        total: number of images, for the progress bar; None shows none.

    Returns:
        (N, projection_dim) float32 array, rows of length 1.
    """
    import torch
    from tqdm.auto import tqdm

    images, embeds = iter(images), [np.empty((0, model.config.projection_dim), dtype=np.float32)]
    with tqdm(total=total, desc="embedding images", unit="image", disable=total is None) as bar:
        while batch := list(islice(images, batch_size)):
            pixels = processor(images=batch, return_tensors="pt")["pixel_values"].to(model.device, model.dtype)
            with torch.inference_mode():
                embeds.append(_unit_rows(model.get_image_features(pixels)))
            bar.update(len(batch))
    return np.concatenate(embeds)


def embed_texts(model, processor, texts, batch_size=64):
    """Embed a list of descriptions; longer ones than the processor's limit (100 tokens) are truncated.

    Returns:
        (N, projection_dim) float32 array, rows of length 1.
    """
    import torch
    from tqdm.auto import tqdm

    by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # so that batches need little padding
    embeds = np.empty((len(texts), model.config.projection_dim), dtype=np.float32)
    with tqdm(total=len(texts), desc="embedding texts", unit="text", disable=len(texts) <= batch_size) as bar:
        for start in range(0, len(by_length), batch_size):
            batch = by_length[start : start + batch_size]
            inputs = processor(text=[texts[index] for index in batch], return_tensors="pt").to(model.device)
            with torch.inference_mode():
                embeds[batch] = _unit_rows(model.get_text_features(**inputs))
            bar.update(len(batch))
    return embeds


def _unit_rows(features):
    from torch.nn.functional import normalize

    return normalize(features.pooler_output.float(), dim=-1).cpu().numpy()
