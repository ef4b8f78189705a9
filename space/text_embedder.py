"""Descriptions to embeddings for many users at once: what waits together is embedded together, and remembered."""

import threading
from collections import OrderedDict

from gpu import on_gpu

REMEMBERED, BATCH = 4096, 32


class TextEmbedder:
    """Embeds descriptions with one model.

    While one thread embeds, the texts of others gather, and the next of them embeds them all in one batch.

    Attributes:
        tokenizing (`threading.Lock`): held while the tokenizer works, which two threads may not use at once.
    """

    def __init__(self, model, processor):
        self.model, self.processor = model, processor
        self.tokenizing = threading.Lock()
        self._guard = threading.Lock()
        self._known, self._waiting = OrderedDict(), {}

    def __call__(self, text):
        """(dim,) float32 embedding of length 1."""
        while True:
            with self._guard:
                if text in self._known:
                    self._known.move_to_end(text)
                    return self._known[text]
                self._waiting[text] = None
            with self.tokenizing:
                self._embed_waiting()

    def _embed_waiting(self):
        with self._guard:
            batch = list(self._waiting)[:BATCH]
        if not batch:
            return
        try:
            embeds = _embed(self.model, self.processor, batch)
        finally:
            with self._guard:
                for text in batch:
                    self._waiting.pop(text, None)
        with self._guard:
            self._known.update(zip(batch, embeds, strict=True))
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


@on_gpu
def _embed(model, processor, texts):
    from modeling_unipt.embedding import embed_texts

    return embed_texts(model, processor, texts)
