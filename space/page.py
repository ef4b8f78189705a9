"""Pieces of HTML that the tabs share. Whatever a user wrote goes through `escape` before it stands in a page."""

import base64
import io
from html import escape
from pathlib import Path

THUMBNAIL, LARGE = (160, 400), (320, 800)  # width and height in pixels, at most
STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")

# A click on a button with data-action becomes Gradio's event "click" with that action and the number of the picture.
CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-action]');
  if (!button) return;
  const index = button.dataset.index === undefined ? null : Number(button.dataset.index);
  trigger('click', {action: button.dataset.action, index});
});
"""
# A panel that comes up is scrolled to and gets the keyboard's focus.
SHOWS_ITSELF = """
watch('value', () => {
  const panel = element.querySelector('[tabindex="-1"]');
  if (!panel) return;
  panel.focus({preventScroll: true});
  panel.scrollIntoView({block: 'start', behavior: 'smooth'});
});
"""


def data_url(image, size):
    """A picture as a data: URL of a JPEG that fits ``size``, (width, height): no file is left behind, and no EXIF."""
    image = image.convert("RGB")
    image.thumbnail(size)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()


def told(text):
    """A line of status."""
    return f'<p role="status">{escape(text)}</p>'


def refused(mistake):
    """What is wrong, as a sentence that a screen reader reads at once."""
    sentence = str(mistake)
    return f'<p class="refused" role="alert">{escape(sentence[:1].upper() + sentence[1:])}.</p>'


def person_card(index, picture, label, caption, actions=""):
    """A picture that can be picked.

    Args:
        picture: data: URL.
        label: what a click does, for screen readers.
        caption: text below it.
        actions: HTML after the caption.
    """
    return (
        f'<li class="person"><button type="button" class="pick" data-action="pick" data-index="{index}" '
        f'aria-label="{escape(label)}" title="{escape(label)}"><img src="{picture}" alt="{escape(label)}"></button>'
        f'<span class="caption">{escape(caption)}</span>{actions}</li>'
    )


def action(name, text, index=None, label=None):
    """A button that triggers the action ``name``."""
    number = "" if index is None else f' data-index="{index}"'
    label = f' aria-label="{escape(label)}"' if label else ""
    return f'<button type="button" class="action" data-action="{name}"{number}{label}>{escape(text)}</button>'
