"""The tab How good is it: the evaluation in the model's card, with its curves."""

import re
from pathlib import Path

from unipt_space.page import data_url, escape

HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
PICTURE = re.compile(r"!\[([^\]]*)\]\(([\w./-]+\.(?:png|jpg))\)")
WIDE = (1200, 900)
NO_CARD = "The model has no card that says how good it is; measure it with `train/evaluate_retrieval.py`."


def read_card(name):
    """(text of a model's card without its YAML, folder of its pictures or None); ("", None) where there is no card."""
    folder = Path(name)
    if not folder.is_dir():
        return _card_of_hub(name), None
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "", None
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL), folder


def _card_of_hub(name):
    """From the Hub's cache where the model came from, without asking again."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, "README.md")
    return read_card(str(Path(path).parent))[0] if isinstance(path, str) else ""


def sections(text):
    """(heading, body) of each part below the title."""
    parts = HEADING.split(text)
    return list(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


def quality_tab(model_name):
    """Build the tab, within ``gr.Blocks``, from the card of the model called ``model_name``."""
    import gradio as gr

    text, folder = read_card(model_name)
    gr.HTML(f"<p>From the card of <b>{escape(Path(model_name).name)}</b>, the model that this page serves.</p>")
    parts = sections(text)
    if not parts:
        gr.Markdown(NO_CARD)
    for heading, body in parts:
        gr.Markdown(f"### {heading}\n\n{PICTURE.sub('', body)}", elem_classes="card")
        for alt, name in PICTURE.findall(body):
            picture = _picture(folder, name)
            if picture is not None:
                gr.HTML(
                    f'<img src="{data_url(picture, WIDE)}" alt="{escape(alt or name)}" style="max-width:100%">',
                    elem_classes="curve",
                )


def _picture(folder, name):
    from modeling_unipt.common.image_files import UnreadableImage, read_image

    path = folder and (folder / name).resolve()
    if not path or not path.is_relative_to(folder.resolve()):
        return None
    try:
        return read_image(path)
    except UnreadableImage:
        return None
