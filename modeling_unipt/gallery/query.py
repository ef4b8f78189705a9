"""A query's embedding: of a description, a picture, both, or given as it is."""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..common.user_errors import UserError

CACHED_TEXTS = 1024


class QueryEncoder:
    """Embeds queries with a model; the last texts are remembered.

    Args:
        model, processor: a `UniPTModel` and its `UniPTProcessor`.
    """

    def __init__(self, model, processor):
        self.model, self.processor = model, processor
        self._text = lru_cache(CACHED_TEXTS)(self._embed_text)

    def __call__(self, query):
        """The (dim,) float32 embedding of a query as `PersonGallery.search` takes it; the errors are told there."""
        if isinstance(query, str):
            return self._text(query)
        if isinstance(query, np.ndarray):
            return self._checked(query)
        if isinstance(query, (tuple, list)) and len(query) == 2 and isinstance(query[0], str):
            text, picture = query
            picture = Path(picture) if isinstance(picture, str) else picture
            return (self._text(text) + self._embed_picture(picture)) / 2
        return self._embed_picture(query)

    def _embed_text(self, text):
        from ..embedding import embed_texts

        if not text.strip():
            raise UserError('the query is empty; describe a person, as in "a woman in a red coat with a black bag"')
        return embed_texts(self.model, self.processor, [text])[0]

    def _embed_picture(self, picture):
        from ..common.image_files import UnreadableImage, read_image
        from ..embedding import embed_images

        if isinstance(picture, os.PathLike):
            if not Path(picture).is_file():
                raise UserError(f"picture {picture} does not exist")
            try:
                picture = read_image(picture)
            except UnreadableImage as reason:
                raise UserError(f"picture {picture} cannot be searched by: {reason}") from None
        elif not hasattr(picture, "getpixel"):
            raise UserError(
                "a query is a text, a picture (PIL image or pathlib.Path), a (text, picture) pair or an embedding, not "
                f"{type(picture).__name__}"
            )
        return embed_images(self.model, self.processor, [picture])[0]

    def _checked(self, embedding):
        dim, embedding = self.model.config.embedding_dim, embedding.astype(np.float32)
        length = float(np.linalg.norm(embedding))
        if embedding.shape != (dim,) or not 0 < length < float("inf"):
            raise UserError(f"an embedding to search by must be {dim} finite numbers, not all zero")
        return embedding / length
