"""The model that everybody's searches share: it embeds the texts of many users in one batch, and new galleries."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from modeling_unipt import PersonGallery, UniPTModel, UniPTProcessor
from modeling_unipt.embedding import embed_texts
from modeling_unipt.heat_map import word_maps
from unipt_space.settings import LENT, on_gpu

MOST_REMEMBERED = 4096
TEXTS_AT_ONCE = 32
IMAGES_AT_ONCE = 32


class ServedModel:
    """A model with its processor, for use by several threads.

    While one thread embeds, the texts of others gather. The next thread embeds them all in one batch. What is embedded
    is remembered.

    The three methods that run on the GPU take and return only what can be pickled, because a lent GPU works in another
    process. The model itself is not pickled: that process is a fork.
    """

    def __init__(self, model: UniPTModel, processor: UniPTProcessor) -> None:
        self.model = model
        self.processor = processor
        # A fast tokenizer that two threads use at once may raise "Already borrowed".
        self._tokenizing = threading.Lock()
        # Guards the two tables below. It is never held while the model works.
        self._guard = threading.Lock()
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()
        # The keys are a queue without repetition.
        self._waiting: dict[str, None] = {}
        self._on_gpu = {work: on_gpu(work) for work in (self._embedded, self._mapped, self._indexed)}

    def embed(self, text: str) -> np.ndarray:
        """The (dim,) float32 embedding of a description, of length 1."""
        # A loop, because a batch has a limit: a text may have to wait for a further one.
        while True:
            with self._guard:
                if text in self._known:
                    self._known.move_to_end(text)
                    return self._known[text]
                self._waiting[text] = None
            with self._tokenizing:
                self._embed_waiting()

    def word_maps(self, image: Image.Image, text: str, phrases: Sequence[str]) -> np.ndarray:
        """The (len(phrases), rows, columns) map of each phrase; see `modeling_unipt.heat_map.word_maps`."""
        with self._tokenizing:
            return self._on_gpu[self._mapped](image, text, phrases)

    def index(self, images: Path, folder: Path, progress: Callable[[int, int], None]) -> None:
        """Embed the images below the folder ``images`` and save the gallery as the new ``folder``.

        Args:
            progress: called with the number of images done and of all images; not called if the GPU is lent.

        Raises:
            UserError: no image can be read.
        """
        # A function cannot travel to the process of a lent GPU.
        self._on_gpu[self._indexed](str(images), str(folder), None if LENT else progress)

    def _embed_waiting(self) -> None:
        with self._guard:
            batch = list(self._waiting)[:TEXTS_AT_ONCE]
        if not batch:
            return
        try:
            embeds = self._on_gpu[self._embedded](batch)
        finally:
            # Also after an error: a text that fails must not fail for everybody after it.
            with self._guard:
                for text in batch:
                    self._waiting.pop(text, None)
        with self._guard:
            self._known.update(zip(batch, embeds, strict=True))
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)

    def _embedded(self, texts: list[str]) -> np.ndarray:
        return embed_texts(self.model, self.processor, texts)

    def _mapped(self, image: Image.Image, text: str, phrases: Sequence[str]) -> np.ndarray:
        return word_maps(self.model, self.processor, image, text, phrases)

    def _indexed(self, images: str, folder: str, progress: Callable[[int, int], None] | None) -> None:
        def no_progress(done: int, total: int) -> None:
            """Without a function the gallery would draw a bar in the log."""

        gallery = PersonGallery.from_folder(
            images, (self.model, self.processor), batch_size=IMAGES_AT_ONCE, progress=progress or no_progress
        )
        # The index is for download. Its user's images lie in the folder from which it will be used.
        gallery.folder = "."
        gallery.save(folder)
