"""A gallery, the pictures that go with it, and the limits of what may be asked of it."""

from functools import lru_cache
from pathlib import Path

from modeling_unipt.common.user_errors import UserError, first_line
from unipt_space.gpu import device
from unipt_space.page import LARGE, THUMBNAIL, data_url
from unipt_space.served_model import ServedModel
from unipt_space.settings import DATASET, MODEL, SENSITIVE, here_or_hub

MOST_RESULTS, MOST_CHARACTERS, MOST_PHRASES = 50, 2000, 8


class People:
    """A gallery and a way to its pictures.

    Args:
        gallery: a `PersonGallery`.
        picture_of: function of a picture's name that gives its `PIL.Image`.
        origin: what the gallery is, to be told to the user.
        model: `ServedModel`, the gallery's.
    """

    def __init__(self, gallery, picture_of, origin, model):
        self.gallery, self.origin, self.model = gallery, origin, model
        self.names = gallery.file_names
        self._picture_of = picture_of
        self.thumbnail = lru_cache(maxsize=1024)(self._thumbnail)

    def __len__(self):
        return len(self.names)

    def picture(self, index):
        """The `PIL.Image` at place ``index`` of the gallery."""
        return self._picture_of(self.names[self.place(index)])

    def _thumbnail(self, index):
        return data_url(self.picture(index), THUMBNAIL)

    def search(self, query, top_k, where=None):
        """`SearchResult`s for a description, best first.

        Raises:
            UserError: empty or overlong ``query``, ``top_k`` out of range.
        """
        if not query.strip():
            raise UserError('the query is empty; describe a person, as in "a woman in a red coat with a black bag"')
        if len(query) > MOST_CHARACTERS:
            raise UserError(f"the description has {len(query)} characters; {MOST_CHARACTERS} are the most")
        return self.gallery.search(self.model.embed(query), _checked(top_k), where=where or None)

    def alike(self, index, top_k, where=None):
        """`SearchResult`s for the picture at place ``index``, less itself; ranks begin at 2 where it is the first.

        Raises:
            UserError: there is no such picture, or ``top_k`` is out of range.
        """
        index = self.place(index)
        found = self.gallery.search(self.gallery.embedding_of(index), _checked(top_k) + 1, where=where or None)
        return [result for result in found if result.index != index][: int(top_k)]

    def place(self, index):
        """``index``, which a browser sent, as the place of a picture.

        Raises:
            UserError: there is no such picture.
        """
        if type(index) is not int or not 0 <= index < len(self):
            raise UserError("there is no such picture in the gallery; search again")
        return index

    def heat_maps(self, index, text, phrases):
        """(picture, [(phrase, how much the hottest cosine exceeds the mean, glowing picture)])."""
        from modeling_unipt.heat_map import overlay

        picture = self.picture(index).convert("RGB")
        picture.thumbnail(LARGE)
        phrases, maps = self._maps(picture, text, list(phrases)[:MOST_PHRASES])
        maps = [heat_map - heat_map.mean() for heat_map in maps]  # where in this picture, not whether in it
        highest = max((float(heat_map.max()) for heat_map in maps), default=0)
        return picture, [
            (phrase, float(heat_map.max()), overlay(picture, heat_map, highest))
            for phrase, heat_map in zip(phrases, maps, strict=True)
        ]

    def _maps(self, picture, text, phrases):
        """(phrases, maps), without the last phrases where the model does not read as far."""
        while phrases:
            try:
                return phrases, self.model.word_maps(picture, text, phrases)
            except UserError:
                phrases = phrases[:-1]
        return [], []


def _checked(top_k):
    if not 1 <= top_k <= MOST_RESULTS:
        raise UserError(f"the number of results is {top_k}; it must lie between 1 and {MOST_RESULTS}")
    return int(top_k)


def load_people(folder, name):
    """The gallery in ``folder``, or without one the sample dataset, with the model called ``name``.

    Args:
        name: of the model; None takes the one that made the gallery.

    Raises:
        UserError: the gallery, its model or the sample dataset cannot be loaded.
    """
    if not folder:
        return load_sample(name or here_or_hub(MODEL))
    from modeling_unipt import PersonGallery
    from modeling_unipt.common.image_files import read_image

    gallery = PersonGallery.load(folder, name, device=device())
    return People(
        gallery,
        lambda file_name: read_image(Path(gallery.folder, file_name)),
        f"the gallery {Path(folder).name}",
        ServedModel(gallery.model, gallery.processor),
    )


def load_sample(name):
    """The sample dataset luperson-t, embedded now; it can be filtered by what is worn, carried and done.

    Raises:
        UserError: it or the model cannot be loaded.
    """
    from datasets import Image, load_dataset

    from modeling_unipt import PersonGallery
    from modeling_unipt.loading import load_model

    model, processor = load_model(name, device=device())
    dataset = here_or_hub(DATASET, f"unipt/{DATASET}")
    try:
        rows = load_dataset(dataset, split="train").cast_column("image", Image())
    except Exception as error:  # datasets and huggingface_hub raise many kinds
        raise UserError(
            f"the sample dataset {dataset} cannot be loaded ({first_line(error)}); name a gallery of your own in "
            "UNIPT_GALLERY"
        ) from None
    gallery = PersonGallery.from_dataset(filterable(rows), (model, processor))
    row_of = {name: row for row, name in enumerate(rows["image_id"])}
    return People(
        gallery,
        lambda image_id: rows[row_of[image_id]]["image"],
        "the sample of synthetic people, luperson-t",
        ServedModel(model, processor),
    )


def filterable(rows):
    """Pictures and names of LUPerson-T, and a column for each attribute but the sensitive ones."""
    from datasets import concatenate_datasets

    kept = rows.select_columns(["image", "image_id"])
    if "attributes" not in rows.column_names:
        return kept
    attributes = rows.select_columns(["attributes"]).flatten()
    attributes = attributes.rename_columns({name: name.removeprefix("attributes.") for name in attributes.column_names})
    attributes = attributes.remove_columns([name for name in SENSITIVE if name in attributes.column_names])
    return concatenate_datasets([kept, attributes], axis=1)
