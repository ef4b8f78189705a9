"""Turns a query into an embedding. A query is a description, an image, both, or an embedding already."""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..captions_unipt import normal_caption
from ..common.image_files import UnreadableImage, read_image
from ..common.user_errors import UserError
from ..embedding import embed_images, embed_texts
from .constants import EMPTY_QUERY

if TYPE_CHECKING:
    from ..modeling_unipt import UniPTModel
    from ..processing_unipt import UniPTProcessor

CACHED_TEXTS = 1024

QueryImage = Image.Image | os.PathLike[str]
Query = str | QueryImage | tuple[str, QueryImage | str] | np.ndarray
"""What a gallery can be searched by; see `PersonGallery.search`."""


class QueryEncoder:
    """Embeds queries with a model; the last texts are remembered."""

    def __init__(self, model: "UniPTModel", processor: "UniPTProcessor", dtype: str = "auto") -> None:
        self.model = model
        self.processor = processor
        self.dtype = dtype
        self._text = lru_cache(CACHED_TEXTS)(self._embed_text)

    def __call__(self, query: Query) -> np.ndarray:
        """The (dim,) float32 embedding of a query as `PersonGallery.search` takes it; the errors are told there."""
        if isinstance(query, str):
            return self._text(query)
        if isinstance(query, np.ndarray):
            return self._checked(query)
        if isinstance(query, (tuple, list)) and len(query) == 2 and isinstance(query[0], str):
            text, image = query
            image = Path(image) if isinstance(image, str) else image
            # The inner product with this mean is the mean of both similarities, so it is not made length 1.
            return (self._text(text) + self._embed_image(image)) / 2
        return self._embed_image(query)

    def _embed_text(self, text: str) -> np.ndarray:
        if not normal_caption(text):
            raise UserError(EMPTY_QUERY)
        return embed_texts(self.model, self.processor, [text], dtype=self.dtype)[0]

    def _embed_image(self, image: QueryImage) -> np.ndarray:
        if isinstance(image, os.PathLike):
            if not Path(image).is_file():
                raise UserError(f"image {image} does not exist")
            try:
                image = read_image(image)
            except UnreadableImage as reason:
                raise UserError(f"image {image} cannot be searched by: {reason}") from None
        elif not isinstance(image, Image.Image):
            raise UserError(
                "a query is a text, an image (PIL image or pathlib.Path), a (text, image) pair or an embedding, not "
                f"{type(image).__name__}"
            )
        return embed_images(self.model, self.processor, [image], dtype=self.dtype)[0]

    def _checked(self, embedding: np.ndarray) -> np.ndarray:
        dim = self.model.config.embedding_dim
        embedding = embedding.astype(np.float32)
        length = float(np.linalg.norm(embedding))
        # Written so that nan is refused as well.
        if embedding.shape != (dim,) or not 0 < length < float("inf"):
            raise UserError(f"an embedding to search by must be {dim} finite numbers, not all zero")
        return embedding / length
