"""Embedding many images or texts with a UniPT model, in batches; the gallery and the evaluation both use it."""

from itertools import islice

import numpy as np

from .common.parallel import map_ahead, usable_cores

MOST_READERS = 8


def embed_images(model, processor, images, batch_size=64, total=None):
    """Embed an iterable of ``PIL.Image``.

    Args:
        total: number of images, for the progress bar; None shows none.

    Returns:
        (N, config.embedding_dim) float32 array, rows of length 1.
    """
    from tqdm.auto import tqdm

    embeds = [np.empty((0, model.config.embedding_dim), dtype=np.float32)]
    with tqdm(total=total, desc="embedding images", unit="image", disable=total is None) as bar:
        for batch in embed_in_batches(model, processor, images, lambda image: (None, image), batch_size):
            embeds.append(np.stack([embedding for _, embedding in batch]))
            bar.update(len(batch))
    return np.concatenate(embeds)


def embed_in_batches(model, processor, items, read, batch_size=64):
    """Read pictures and embed them; reading and resizing happen in threads, ahead of the model.

    Args:
        items: what to read, an iterable; it is iterated in the calling thread.
        read: a function of an item that gives (note, ``PIL.Image``), or (note, None) where there is nothing to embed.

    Yields:
        For each ``batch_size`` items in turn, the list of their (note, embedding); an embedding is an
        (config.embedding_dim,) float32 array of length 1, or None.
    """
    import torch

    def prepare(batch):
        notes, images = zip(*map(read, batch), strict=True)
        readable = [image for image in images if image is not None]
        # Numbers of one byte: the model's device makes floats of them, a quarter of the memory has to travel.
        pixels = (
            processor(images=readable, return_tensors="np", do_rescale=False, do_normalize=False) if readable else {}
        )
        return notes, [image is not None for image in images], pixels.get("pixel_values")

    threads = min(MOST_READERS, len(usable_cores()))
    for notes, is_readable, pixels in map_ahead(prepare, _batches(items, batch_size), threads, threads + 1):
        embeds = iter(())
        if pixels is not None:
            with torch.inference_mode():
                embeds = iter(_unit_rows(model.get_image_features(_normalised(pixels, model, processor))))
        yield [(note, next(embeds) if there else None) for note, there in zip(notes, is_readable, strict=True)]


def _batches(items, batch_size):
    items = iter(items)
    while batch := list(islice(items, batch_size)):
        yield batch


def _normalised(pixels, model, processor):
    """What the image processor does to (images, 3, height, width) values from 0 to 255 after resizing."""
    import torch

    steps = processor.image_processor
    values = torch.from_numpy(pixels).to(model.device).float()
    if steps.do_rescale:
        values = values * steps.rescale_factor
    if steps.do_normalize:
        mean, std = (
            torch.tensor(numbers, device=model.device)[:, None, None] for numbers in (steps.image_mean, steps.image_std)
        )
        values = (values - mean) / std
    return values.to(model.dtype)


def embed_texts(model, processor, texts, batch_size=64):
    """Embed a list of descriptions; longer ones than the processor's limit (100 tokens) are truncated.

    Returns:
        (N, config.embedding_dim) float32 array, rows of length 1.
    """
    import torch
    from tqdm.auto import tqdm

    by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # so that batches need little padding
    embeds = np.empty((len(texts), model.config.embedding_dim), dtype=np.float32)
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
