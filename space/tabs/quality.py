"""The tab How good is it: the evaluation in the model's card, with its curves."""

import re
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from huggingface_hub import try_to_load_from_cache
from PIL import Image

from modeling_unipt.common.image_files import UnreadableImage, read_image
from unipt_space.page import data_url, escape

YAML_BLOCK = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
IMAGE_LINK = re.compile(r"!\[([^\]]*)\]\(([\w./-]+\.(?:png|jpg))\)")
WIDE = (1200, 900)
NO_CARD = "The model has no card that says how good it is. Measure it with `train/evaluate_retrieval.py`."


@dataclass(frozen=True)
class Card:
    """A model's card.

    Attributes:
        text: Markdown without the YAML block at its top; empty if the model has no card.
        folder: where the images of the card lie; None if they are not at hand.
    """

    text: str = ""
    folder: Path | None = None


def read_card(name: str) -> Card:
    """The card of a model, given by its folder or its Hub id."""
    folder = Path(name)
    if folder.is_dir():
        return Card(_read(folder / "README.md"), folder)
    # Only the cache is looked at: the app asks nobody while it runs.
    cached = try_to_load_from_cache(name, "README.md")
    return Card(_read(Path(cached))) if isinstance(cached, str) else Card()


def _read(path: Path) -> str:
    try:
        return YAML_BLOCK.sub("", path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""


def sections(text: str) -> list[tuple[str, str]]:
    """(heading, body) of each part below the title."""
    # The pattern has one group, so that split() gives the title, then headings and bodies in turn.
    parts = HEADING.split(text)
    return list(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


def quality_tab(model_name: str) -> None:
    """Build the tab, within ``gr.Blocks``, from the card of the model called ``model_name``."""
    card = read_card(model_name)
    gr.HTML(f"<p>This is from the card of <b>{escape(Path(model_name).name)}</b>, the model that this page uses.</p>")
    parts = sections(card.text)
    if not parts:
        gr.Markdown(NO_CARD)
    for heading, body in parts:
        gr.Markdown(f"### {heading}\n\n{IMAGE_LINK.sub('', body)}", elem_classes="card")
        for alt, name in IMAGE_LINK.findall(body):
            image = _image(card.folder, name)
            if image is not None:
                gr.HTML(
                    f'<img src="{data_url(image, WIDE)}" alt="{escape(alt or name)}" style="max-width:100%">',
                    elem_classes="curve",
                )


def _image(folder: Path | None, name: str) -> Image.Image | None:
    """The image ``name`` of a card in ``folder``; None if it is missing, damaged or outside of the folder."""
    if folder is None:
        return None
    path = (folder / name).resolve()
    # A card is somebody's text: it must not show other files of this machine.
    if not path.is_relative_to(folder.resolve()):
        return None
    try:
        return read_image(path)
    except UnreadableImage:
        return None
