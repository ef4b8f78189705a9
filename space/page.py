"""Pieces of HTML that the tabs share. Everything that a user wrote passes through `escape` on its way to a page."""

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr
from PIL import Image

# Width and height in pixels, at most.
THUMBNAIL = (160, 400)
LARGE = (320, 800)
STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")

# A click on a button with data-action becomes Gradio's event "click" with that action and the number of the image.
CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-action]');
  if (!button) return;
  const index = button.dataset.index === undefined ? null : Number(button.dataset.index);
  trigger('click', {action: button.dataset.action, index});
});
"""
# When a panel appears, the page scrolls to it and it gets the keyboard's focus.
SHOWS_ITSELF = """
watch('value', () => {
  const panel = element.querySelector('[tabindex="-1"]');
  if (!panel) return;
  panel.focus({preventScroll: true});
  panel.scrollIntoView({block: 'start', behavior: 'smooth'});
});
"""


@dataclass(frozen=True)
class Click:
    """A click on a button, as the script above sends it. Its values come from a browser: nothing is sure about them."""

    action: object = None
    index: object = None


def click_of(event: gr.EventData) -> Click:
    """What was clicked."""
    sent = event._data if isinstance(event._data, dict) else {}
    return Click(sent.get("action"), sent.get("index"))


def data_url(image: Image.Image, size: tuple[int, int]) -> str:
    """``image`` as a data: URL of a JPEG that fits into ``size`` (width, height). No file is left, and no EXIF."""
    image = image.convert("RGB")
    image.thumbnail(size)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 image", "2,000 images"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def status_line(text: str) -> str:
    """A line that says what happened."""
    return f'<p role="status">{escape(text)}</p>'


def error_line(error: Exception | str) -> str:
    """What is wrong, as a sentence that a screen reader reads at once."""
    sentence = str(error)
    return f'<p class="mistake" role="alert">{escape(sentence[:1].upper() + sentence[1:])}.</p>'


def person_card(index: int, url: str, label: str, caption: str, actions: str = "") -> str:
    """An image that can be clicked on.

    Args:
        index: its place in the gallery.
        url: the image as a data: URL.
        label: what a click does, for screen readers.
        caption: the text below the image.
        actions: HTML of the buttons below the caption.
    """
    return (
        f'<li class="person"><button type="button" class="pick" data-action="pick" data-index="{index}" '
        f'aria-label="{escape(label)}" title="{escape(label)}"><img src="{url}" alt="{escape(label)}"></button>'
        f'<span class="caption">{escape(caption)}</span>{actions}</li>'
    )


def action_button(action: str, text: str, index: int | None = None, label: str | None = None) -> str:
    """A button that sends ``action``.

    Args:
        index: the place of the image that it is about.
        label: what the button does, for screen readers; by default its text.
    """
    number = "" if index is None else f' data-index="{index}"'
    label = f' aria-label="{escape(label)}"' if label else ""
    return f'<button type="button" class="action" data-action="{action}"{number}{label}>{escape(text)}</button>'
