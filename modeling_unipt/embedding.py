"""Embedding many images or texts with a UniPT model, in batches; the gallery and the evaluation both use it.

``dtype`` is in all functions the name of the number format that the model computes in, see
:func:`modeling_unipt.precision.pick_dtype`. Embeddings are float32 in any case.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from .common.parallel import map_ahead, usable_cores
from .modeling_unipt import UniPTFeatures, UniPTModel
from .precision import computing_in, pick_dtype
from .processing_unipt import UniPTProcessor

Item = TypeVar("Item")
Note = TypeVar("Note")

# Each thread holds a batch of images in memory, so there is a limit on machines with many cores.
MOST_READERS = 8


def embed_images(
    model: UniPTModel,
    processor: UniPTProcessor,
    images: Iterable[Image.Image],
    batch_size: int = 64,
    total: int | None = None,
    dtype: str = "auto",
) -> np.ndarray:
    """Embed images.

    Args:
        total: number of images, for the progress bar; None shows none.

    Returns:
        (N, config.embedding_dim) float32 array, rows of length 1.
    """
    embeds = [np.empty((0, model.config.embedding_dim), dtype=np.float32)]
    with tqdm(total=total, desc="embedding images", unit="image", disable=total is None) as bar:
        for batch in embed_in_batches(model, processor, images, lambda image: (None, image), batch_size, dtype):
            embeds.append(np.stack([embedding for _, embedding in batch]))
            bar.update(len(batch))
    return np.concatenate(embeds)


def embed_in_batches(
    model: UniPTModel,
    processor: UniPTProcessor,
    items: Iterable[Item],
    read: Callable[[Item], tuple[Note, Image.Image | None]],
    batch_size: int = 64,
    dtype: str = "auto",
) -> Iterator[list[tuple[Note, np.ndarray | None]]]:
    """Read images and embed them. Threads read and resize the next batches while the model embeds one.

    Args:
        items: what to read; the calling thread iterates over it.
        read: a function of an item that returns a note for the caller and the image, or None for the image where
            there is nothing to embed.

    Yields:
        One list for each ``batch_size`` items in turn, of pairs of note and embedding. An embedding is a
        (config.embedding_dim,) float32 array of length 1, or None where there was no image.
    """

    def prepare(batch: list[Item]) -> tuple[list[tuple[Note, bool]], np.ndarray | None]:
        notes = []
        images = []
        for item in batch:
            note, image = read(item)
            notes.append((note, image is not None))
            if image is not None:
                images.append(image)
        if not images:
            return notes, None
        # The values stay bytes until they are on the model's device: a quarter of the memory has to travel there.
        inputs = processor(images=images, return_tensors="np", do_rescale=False, do_normalize=False)
        return notes, inputs["pixel_values"]

    number_format = pick_dtype(dtype, model.device)
    threads = min(MOST_READERS, len(usable_cores()))
    # One batch more than there are threads is ready or begun, so that no thread waits for the model.
    for notes, pixels in map_ahead(prepare, _batches(items, batch_size), threads, threads + 1):
        embeds = iter(())
        if pixels is not None:
            with torch.inference_mode(), computing_in(number_format, model.device):
                embeds = iter(_unit_rows(model.get_image_features(_normalised(pixels, model, processor))))
        yield [(note, next(embeds) if has_image else None) for note, has_image in notes]


def _batches(items: Iterable[Item], batch_size: int) -> Iterator[list[Item]]:
    items = iter(items)
    while batch := list(islice(items, batch_size)):
        yield batch


def _normalised(pixels: np.ndarray, model: UniPTModel, processor: UniPTProcessor) -> torch.Tensor:
    """What the image processor does to (images, 3, height, width) values from 0 to 255 after resizing."""
    steps = processor.image_processor
    values = torch.from_numpy(pixels).to(model.device).float()
    if steps.do_rescale:
        values = values * steps.rescale_factor
    if steps.do_normalize:
        mean = torch.tensor(steps.image_mean, device=model.device)[:, None, None]
        std = torch.tensor(steps.image_std, device=model.device)[:, None, None]
        values = (values - mean) / std
    return values.to(model.dtype)


def embed_texts(
    model: UniPTModel, processor: UniPTProcessor, texts: list[str], batch_size: int = 64, dtype: str = "auto"
) -> np.ndarray:
    """Embed descriptions. Those longer than the processor's limit (100 tokens) are truncated.

    Returns:
        (N, config.embedding_dim) float32 array, rows of length 1, in the order of ``texts``.
    """
    number_format = pick_dtype(dtype, model.device)
    order = by_length(texts)
    embeds = np.empty((len(texts), model.config.embedding_dim), dtype=np.float32)
    with tqdm(total=len(texts), desc="embedding texts", unit="text", disable=len(texts) <= batch_size) as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            inputs = processor(text=[texts[index] for index in batch], return_tensors="pt").to(model.device)
            with torch.inference_mode(), computing_in(number_format, model.device):
                embeds[batch] = _unit_rows(model.get_text_features(**inputs))
            bar.update(len(batch))
    return embeds


def by_length(texts: list[str]) -> list[int]:
    """Indices of the texts, shortest first: texts of similar length share a batch, which then needs little padding."""
    return sorted(range(len(texts)), key=lambda index: len(texts[index]))


def _unit_rows(features: UniPTFeatures) -> np.ndarray:
    return normalize(features.pooler_output.float(), dim=-1).cpu().numpy()
