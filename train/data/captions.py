"""Which of the stored captions of a row are trained on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow

from modeling_unipt.captions_unipt import normal_caption
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest
from unipt_train.data.rows import Rows, arrow_column

CAPTIONS = "captions"
BACKENDS = "caption_backends"
SCORES = "caption_scores"


@dataclass(frozen=True)
class CaptionChoice:
    """What a caption must be to be trained on. One without a letter to read never is.

    Attributes:
        backends: it was written by one of these; None: by whomever.
        least_score: it has at least this score; None: any or none.
    """

    backends: frozenset[str] | None = None
    least_score: float | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that must be there to choose."""
        asked = [(BACKENDS, self.backends), (SCORES, self.least_score)]
        return [CAPTIONS, *(name for name, limit in asked if limit is not None)]

    def of(self, row: Mapping[str, Any]) -> list[str]:
        """The captions of a row that may be trained on, in their order."""
        captions = row[CAPTIONS] or []
        if isinstance(captions, str):
            captions = [captions]
        count = len(captions)
        backends = _filled(row[BACKENDS], count) if self.backends is not None else captions
        scores = _filled(row[SCORES], count) if self.least_score is not None else captions
        chosen = []
        for caption, backend, score in zip(captions, backends, scores, strict=True):
            if caption is None or not normal_caption(caption):
                continue
            if self.backends is not None and backend not in self.backends:
                continue
            # No score, or one that is no number, is not at least anything.
            if self.least_score is not None and not (score is not None and score >= self.least_score):
                continue
            chosen.append(caption)
        return chosen


ANY_CAPTION = CaptionChoice()


def _filled(values: list[Any] | None, count: int) -> list[Any]:
    """``count`` values: None for each that is not stored."""
    values = list(values or [])[:count]
    return values + [None] * (count - len(values))


def with_captions(name: str, rows: Rows, choice: CaptionChoice) -> tuple[Rows, str]:
    """The rows that have a caption to train on, and a sentence about the others, "" if there are none.

    Args:
        name: of the data set, for messages.
        rows: with the columns of the choice.

    Raises:
        UserError: the captions are no texts, or no row has one.
    """
    feature = rows.features[CAPTIONS]
    text = getattr(feature, "feature", None)
    if not (isinstance(text, datasets.Value) and text.dtype in ("string", "large_string")):
        raise UserError(f"dataset '{name}': the column 'captions' must hold lists of texts, not {feature}")
    chunks = [arrow_column(rows, column) for column in choice.columns]
    kept = []
    position = 0
    # A piece at a time: Python's texts take more memory than Arrow's.
    for piece in zip(*(_pieces(column) for column in chunks), strict=True):
        for values in zip(*piece, strict=True):
            if choice.of(dict(zip(choice.columns, values, strict=True))):
                kept.append(position)
            position += 1
    if not kept:
        raise UserError(_nothing_left(name, rows, choice))
    if len(kept) == len(rows):
        return rows, ""
    return rows.select(kept), (
        f"{len(rows) - len(kept)} of {len(rows)} rows of {name} have no caption to train on and are left out"
    )


def _pieces(column: pyarrow.ChunkedArray, size: int = 10_000) -> Iterator[list[Any]]:
    """The values of a column, ``size`` rows at a time."""
    for start in range(0, len(column), size):
        yield column[start : start + size].to_pylist()


def _nothing_left(name: str, rows: Rows, choice: CaptionChoice) -> str:
    text = f"no row of dataset '{name}' has a caption to train on"
    if choice.backends is not None:
        written = set()
        for piece in _pieces(arrow_column(rows, BACKENDS)):
            for backends in piece:
                written.update(backends or [])
        known = sorted(written - {None})
        unknown = sorted(choice.backends - set(known))
        hint = nearest(unknown[0], known) if unknown else ""
        told = ", ".join(known) or "none"
        text += f" by --caption-backends {' '.join(sorted(choice.backends))}{hint}; its backends: {told}"
    if choice.least_score is not None:
        stored = []
        for piece in _pieces(arrow_column(rows, SCORES)):
            for scores in piece:
                stored += [score for score in scores or [] if score is not None]
        best = max(stored, default=None)
        told = "it has no scores" if best is None else f"its highest score is {best:.4g}"
        text += f" with --min-caption-score {choice.least_score:g}; {told}"
    return text
