"""The model that everybody's searches go through: texts of many users in one batch, heat maps, new galleries."""

import threading
from collections import OrderedDict

from unipt_space.gpu import LENT, on_gpu

REMEMBERED, BATCH, IMAGES = 4096, 32, 32


class ServedModel:
    """A `UniPTModel` with its `UniPTProcessor`, for use by several threads.

    While one thread embeds, the texts of others gather, and the next of them embeds them all in one batch. What is
    embedded is remembered. What runs on a borrowed GPU takes and gives only what can travel between processes.
    """

    def __init__(self, model, processor):
        self.model, self.processor = model, processor
        self._tokenizing = threading.Lock()  # a fast tokenizer in use by two threads may raise "Already borrowed"
        self._guard = threading.Lock()
        self._known, self._waiting = OrderedDict(), {}
        self._on_gpu = {work: on_gpu(work) for work in (self._embedded, self._mapped, self._indexed)}

    def embed(self, text):
        """(dim,) float32 embedding of a description, of length 1."""
        while True:
            with self._guard:
                if text in self._known:
                    self._known.move_to_end(text)
                    return self._known[text]
                self._waiting[text] = None
            with self._tokenizing:
                self._embed_waiting()

    def word_maps(self, picture, text, phrases):
        """As `modeling_unipt.heat_map.word_maps`."""
        with self._tokenizing:
            return self._on_gpu[self._mapped](picture, text, phrases)

    def index(self, pictures, folder, progress):
        """Embed the pictures below the folder ``pictures``; the saved gallery is the new ``folder``.

        Args:
            progress: function of (pictures done, pictures in all); not called where the GPU is lent.

        Raises:
            UserError: none can be read.
        """
        self._on_gpu[self._indexed](str(pictures), str(folder), None if LENT else progress)

    def _embed_waiting(self):
        with self._guard:
            batch = list(self._waiting)[:BATCH]
        if not batch:
            return
        try:
            embeds = self._on_gpu[self._embedded](batch)
        finally:
            with self._guard:
                for text in batch:
                    self._waiting.pop(text, None)
        with self._guard:
            self._known.update(zip(batch, embeds, strict=True))
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _embedded(self, texts):
        from modeling_unipt.embedding import embed_texts

        return embed_texts(self.model, self.processor, texts)

    def _mapped(self, picture, text, phrases):
        from modeling_unipt.heat_map import word_maps

        return word_maps(self.model, self.processor, picture, text, phrases)

    def _indexed(self, pictures, folder, progress):
        from modeling_unipt import PersonGallery

        progress = progress or (lambda done, total: None)
        gallery = PersonGallery.from_folder(
            pictures, (self.model, self.processor), batch_size=IMAGES, progress=progress
        )
        gallery.folder = "."  # wherever its user keeps the pictures
        gallery.save(folder)
