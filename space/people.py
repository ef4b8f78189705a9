"""A gallery that is served, its images, and the limits of what may be asked of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from modeling_unipt import PersonGallery
from modeling_unipt.captions_unipt import normal_caption
from modeling_unipt.common.image_files import UnreadableImage
from modeling_unipt.common.user_errors import UserError, first_line
from modeling_unipt.gallery import SearchResult
from modeling_unipt.heat_map import has_word_maps, overlay
from modeling_unipt.loading import load_model
from unipt_space.page import LARGE, THUMBNAIL, data_url
from unipt_space.served_model import ServedModel
from unipt_space.settings import DATASET, MODEL, SENSITIVE, device, here_or_hub

MOST_RESULTS = 50
MOST_CHARACTERS = 2000
MOST_PHRASES = 8
THUMBNAILS_KEPT = 1024
MISSING_IMAGE = Image.new("RGB", (64, 160), (154, 165, 177))


@dataclass(frozen=True)
class HeatMap:
    """Where an image answers to a phrase.

    Attributes:
        highest: how far the cosine of the brightest part is above the mean over the image.
        glowing: the image, bright where it answers and dim elsewhere.
    """

    phrase: str
    highest: float
    glowing: Image.Image


class People:
    """A gallery with its images.

    Args:
        image_of: gives the image at this place of the gallery.
        origin: what the gallery is, in words for the user.
        model: the model that made the gallery.

    Attributes:
        thumbnail: gives the small image at this place of the gallery, as a data: URL.
    """

    def __init__(
        self, gallery: PersonGallery, image_of: Callable[[int], Image.Image], origin: str, model: ServedModel
    ) -> None:
        self.gallery = gallery
        self.origin = origin
        self.model = model
        self.names = gallery.file_names
        self._image_of = image_of
        # A cache of each object's own: one on the method would keep the galleries of users who left.
        self.thumbnail: Callable[[int], str] = lru_cache(maxsize=THUMBNAILS_KEPT)(self._thumbnail)

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> Image.Image:
        """The image at place ``index`` of the gallery.

        Raises:
            UserError: there is no such image, or its file is gone or damaged.
        """
        index = self.place(index)
        try:
            return self._image_of(index)
        except UnreadableImage as error:
            raise UserError(f"{self.names[index]} cannot be shown: {error}") from None

    def _thumbnail(self, index: int) -> str:
        try:
            return data_url(self.image(index), THUMBNAIL)
        except UserError:
            # One lost file must not spoil the results that it is among. A click on it says what is wrong.
            return data_url(MISSING_IMAGE, THUMBNAIL)

    def search(self, query: str, top_k: int, where: Mapping[str, Sequence[Any]] | None = None) -> list[SearchResult]:
        """The ``top_k`` images that fit a description best, the best first.

        Args:
            where: the values that each of these columns may have; None searches everybody.

        Raises:
            UserError: ``query`` is empty or too long, or ``top_k`` is out of range.
        """
        if not normal_caption(query):
            raise UserError('the query is empty; describe a person, as in "a woman in a red coat with a black bag"')
        if len(query) > MOST_CHARACTERS:
            raise UserError(f"the description has {len(query)} characters; {MOST_CHARACTERS} are the most")
        return self.gallery.search(self.model.embed(query), _checked(top_k), where=where or None)

    def alike(self, index: int, top_k: int, where: Mapping[str, Sequence[Any]] | None = None) -> list[SearchResult]:
        """The ``top_k`` images that resemble the one at place ``index`` most, without that one itself.

        The ranks begin at 2 if that one would be the first.

        Raises:
            UserError: there is no such image, or ``top_k`` is out of range.
        """
        index = self.place(index)
        found = self.gallery.search(self.gallery.embedding_of(index), _checked(top_k) + 1, where=where or None)
        others = [result for result in found if result.index != index]
        return others[: int(top_k)]

    def place(self, index: object) -> int:
        """``index``, which a browser sent, if it is the place of an image.

        Raises:
            UserError: it is not.
        """
        # Not isinstance: True is an int, too, and would be taken for 1.
        if type(index) is not int or not 0 <= index < len(self):
            raise UserError("there is no such image in the gallery; search again")
        return index

    @property
    def has_heat_maps(self) -> bool:
        """Whether the model has heat maps of words."""
        return has_word_maps(self.model.model)

    def heat_maps(self, index: int, text: str, phrases: Sequence[str]) -> tuple[Image.Image, list[HeatMap]]:
        """(the image at place ``index``, where it answers to each of ``phrases``).

        Phrases beyond the longest text that the model reads are left out, and so are those after the eighth.

        Args:
            text: the description that holds the phrases.
        """
        image = self.image(index).convert("RGB")
        image.thumbnail(LARGE)
        phrases, cosines = self._word_maps(image, text, list(phrases[:MOST_PHRASES]))
        # Less the mean: the map shall show where in this image the words fit, not whether they fit it.
        differences = [each - each.mean() for each in cosines]
        # All maps of an image share one scale, so that their brightness compares.
        highest = max((float(each.max()) for each in differences), default=0)
        maps = []
        for phrase, difference in zip(phrases, differences, strict=True):
            maps.append(HeatMap(phrase, float(difference.max()), overlay(image, difference, highest)))
        return image, maps

    def _word_maps(
        self, image: Image.Image, text: str, phrases: list[str]
    ) -> tuple[list[str], np.ndarray | list[np.ndarray]]:
        """(phrases, their maps), without the last phrases if the model does not read as far."""
        while phrases and self.has_heat_maps:
            try:
                return phrases, self.model.word_maps(image, text, phrases)
            except UserError:
                phrases = phrases[:-1]
        return [], []


def _checked(top_k: int) -> int:
    if not 1 <= top_k <= MOST_RESULTS:
        raise UserError(f"the number of results is {top_k}; it must lie between 1 and {MOST_RESULTS}")
    return int(top_k)


def load_people(folder: str | None, name: str | None) -> People:
    """The gallery in ``folder``, or the sample dataset if ``folder`` is None or empty.

    Args:
        name: the model; None takes the one that made the gallery.

    Raises:
        UserError: the gallery, its model or the sample dataset cannot be loaded.
    """
    if not folder:
        return load_sample(name or here_or_hub(MODEL))
    gallery = PersonGallery.load(folder, name, device=device())
    model = ServedModel(gallery.model, gallery.processor)
    return People(gallery, gallery.image_of, f"the gallery {Path(folder).name}", model)


def load_sample(name: str) -> People:
    """The sample dataset luperson-t, embedded now by the model ``name``, with a filter for each attribute.

    Raises:
        UserError: it or the model cannot be loaded.
    """
    model, processor = load_model(name, device=device())
    dataset = here_or_hub(DATASET, f"unipt/{DATASET}")
    try:
        rows = datasets.load_dataset(dataset, split="train").cast_column("image", datasets.Image())
    except Exception as error:  # datasets and huggingface_hub raise many kinds
        raise UserError(
            f"the sample dataset {dataset} cannot be loaded ({first_line(error)}); name a gallery of your own in "
            "UNIPT_GALLERY"
        ) from None
    gallery = PersonGallery.from_dataset(filterable(rows), (model, processor))
    # The gallery leaves out what it cannot read and what comes twice, so its places are not the rows' numbers.
    row_of = {image_id: row for row, image_id in enumerate(rows["image_id"])}
    row_at = [row_of[name] for name in gallery.file_names]
    return People(
        gallery,
        lambda index: rows[row_at[index]]["image"],
        "the sample of synthetic people, luperson-t",
        ServedModel(model, processor),
    )


def filterable(rows: datasets.Dataset) -> datasets.Dataset:
    """The images and names of LUPerson-T, with a column for each attribute except the sensitive ones."""
    kept = rows.select_columns(["image", "image_id"])
    if "attributes" not in rows.column_names:
        return kept
    attributes = rows.select_columns(["attributes"]).flatten()
    attributes = attributes.rename_columns({name: name.removeprefix("attributes.") for name in attributes.column_names})
    attributes = attributes.remove_columns([name for name in SENSITIVE if name in attributes.column_names])
    return datasets.concatenate_datasets([kept, attributes], axis=1)
