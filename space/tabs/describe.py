"""The tab Describe: an image goes through the LUPerson-T pipeline, and every step shows its numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from modeling_unipt.common.user_errors import UserError
from unipt_space.describing import Describer, Description, Fact, as_json
from unipt_space.page import (
    CLICKS,
    LARGE,
    click_of,
    counted,
    data_url,
    error_line,
    escape,
    person_card,
    status_line,
)
from unipt_space.people import People
from unipt_space.uploads import open_image

SAMPLES = 8
SHOWN_VALUES = 3
AT_ONCE = 2
NOTE = (
    "Upload an image of one person, or pick one here. A frozen CLIP model compares it with the phrases of a vocabulary "
    "and states only what it is sure of. Templates turn the stated phrases into captions. The captions of LUPerson-T, "
    "from which UniPT learns, are written in this way."
)
DONE = "The description is below."


def describe_tab(people: People, describer: Describer) -> None:
    """Build the tab, within ``gr.Blocks``. The first images of ``people`` are its samples."""
    gr.HTML(f"<p>{NOTE}</p>")
    with gr.Row():
        upload = gr.File(
            label="An image of one person",
            file_types=["image"],
            file_count="single",
            elem_id="describe-upload",
            scale=1,
            min_width=240,
            height=190,
        )
        with gr.Column(scale=2, min_width=300):
            samples = gr.HTML(_samples(people), elem_id="describe-samples", js_on_load=CLICKS)
            guess = gr.Checkbox(
                False,
                label="Also guess age and gender",
                info="While this is off, the model estimates neither, and no caption states them. "
                "A guess about looks is not knowledge about a person.",
            )
    status = gr.HTML("", elem_id="describe-status")
    output = gr.HTML("", elem_id="describe-output")
    # The place of the sample that is shown; None after an upload.
    picked = gr.State(None)

    def describe_upload(path: str, guess: bool) -> tuple[None, None, str, str]:
        try:
            return None, None, status_line(DONE), page_of(open_image(path), guess)
        except UserError as mistake:
            return None, None, error_line(mistake), ""

    def describe_clicked(guess: bool, event: gr.EventData) -> tuple[Any, str, str]:
        return describe_sample(click_of(event).index, guess)

    def describe_sample(index: object, guess: bool) -> tuple[Any, str, str]:
        if index is None:
            return None, "", ""
        try:
            return index, status_line(DONE), page_of(people.image(index), guess)
        except UserError as mistake:
            return None, error_line(mistake), ""

    def page_of(image: Image.Image, guess: bool) -> str:
        return _page(image, describer.describe(image, guess))

    options = {"api_visibility": "private", "concurrency_id": "describe", "concurrency_limit": AT_ONCE}
    upload.upload(describe_upload, [upload, guess], [upload, picked, status, output], **options)
    samples.click(describe_clicked, [guess], [picked, status, output], **options)
    guess.change(describe_sample, [picked, guess], [picked, status, output], **options)
    gr.api(endpoint(describer), api_name="describe", concurrency_id="describe", concurrency_limit=AT_ONCE)


def endpoint(describer: Describer) -> Callable[[dict, bool], dict]:
    """The function of the endpoint /describe. Gradio documents it by its annotations and its docstring."""

    def describe(image: dict, age_and_gender: bool = False) -> dict:
        """Captions of an image of one person, and the probabilities that they rest on.

        image: a file, as gradio_client's handle_file gives it. Age and gender are guessed only if age_and_gender is
        true.
        """
        try:
            path = image.get("path") if isinstance(image, dict) else None
            return as_json(describer.describe(open_image(path), age_and_gender))
        except UserError as mistake:
            raise gr.Error(str(mistake), print_exception=False) from None

    return describe


def _samples(people: People) -> str:
    cards = []
    for index in range(min(SAMPLES, len(people))):
        cards.append(person_card(index, people.thumbnail(index), f"Describe image {index + 1}", ""))
    return f'<ol class="people">{"".join(cards)}</ol>'


def _page(image: Image.Image, description: Description) -> str:
    """The image, its captions, a bar for each fact, and how all of it came about."""
    stated = []
    unsure = []
    absent = []
    for fact in description.facts:
        if fact.stated:
            stated.append(fact)
        elif fact.most_probable is None:
            absent.append(fact)
        else:
            unsure.append(fact)
    captions = ""
    for text, score in description.captions:
        captions += f"<li>{escape(text)} <small>similarity {score:.2f}</small></li>"
    parts = [f'<h3>Captions</h3><ol class="captions">{captions}</ol>']
    parts.append(f'<h3>Stated</h3><div class="facts">{"".join(map(_bar, stated))}</div>')
    if unsure:
        parts.append(f'<h3>Left open</h3><div class="facts">{"".join(map(_bar, unsure))}</div>')
    if absent:
        listed = ", ".join(f"{_words(fact.field)} ({fact.probabilities[None]:.0%})" for fact in absent)
        parts.append(f"<h3>Most probably not there</h3><p>{escape(listed)}</p>")
    parts.append(f"<h3>How it came about</h3>{_stages(description, stated, unsure, absent)}")
    shown = f'<img src="{data_url(image, LARGE)}" alt="The image that is described">'
    return f'<section class="seen" aria-label="Description">{shown}<div>{"".join(parts)}</div></section>'


def _bar(fact: Fact) -> str:
    """The most probable value of a fact as a bar, with a line at the threshold."""
    value = _words(fact.most_probable)
    probability = fact.probabilities[fact.most_probable]
    label = f"{_words(fact.field)}: {value} {probability:.0%}; the threshold is {fact.threshold:.0%}"
    note = fact.reason
    if note is None:
        most_probable = list(fact.probabilities.items())[:SHOWN_VALUES]
        note = " · ".join(f"{_words(value or 'absent')} {each:.0%}" for value, each in most_probable)
    return (
        f'<div class="fact{"" if fact.stated else " open"}"><div class="what"><span>{escape(_words(fact.field))}</span>'
        f"<b>{escape(value)}</b></div>"
        f'<div class="bar" role="img" aria-label="{escape(label)}" title="{escape(label)}">'
        f'<span style="width:{100 * probability:.1f}%"></span><i style="left:{100 * fact.threshold:.1f}%"></i></div>'
        f"<small>{escape(note)}</small></div>"
    )


def _stages(description: Description, stated: Sequence[Fact], unsure: Sequence[Fact], absent: Sequence[Fact]) -> str:
    """The three stages in sentences, with this image's numbers."""
    divide = (
        f"<b>Divide.</b> The vocabulary divides what can be said about a person into {description.attribute_count} "
        f"attributes. Their phrases make {description.prompt_count:,} sentences to compare an image with."
    )
    conquer = (
        f"<b>Conquer.</b> The scorer looked at {counted(len(description.views), 'view')} of this image "
        f"({escape(', '.join(description.views))}) and compared each view with the sentences. A calibration turned the "
        "similarities into probabilities. The line across a bar marks the threshold that a probability must exceed. "
        f"{counted(len(stated), 'fact')} could be stated, {len(unsure)} had to be left open, and "
        f"{counted(len(absent), 'thing')} are most probably not there."
    )
    surest = max(stated, key=lambda fact: fact.probabilities[fact.most_probable], default=None)
    if surest:
        conquer += (
            f" The surest fact is {escape(_words(surest.field))}: {escape(_words(surest.most_probable))}. Its "
            f"probability is {surest.probabilities[surest.most_probable]:.1%}, and its threshold is "
            f"{surest.threshold:.0%}."
        )
    scores = [f"{score:.2f}" for _, score in description.captions]
    combine = (
        f"<b>Combine.</b> There are {description.template_count:,} sentence templates. "
        f"{len(description.captions)} were drawn from those that the stated facts can fill. The captions share the "
        f"facts among them. Their similarities to the image, by the scorer, are {', '.join(scores[:-1])} and "
        f"{scores[-1]}."
    )
    return f'<ol class="stages"><li>{divide}</li><li>{conquer}</li><li>{combine}</li></ol>'


def _words(name: str) -> str:
    """The name of a field or value as words."""
    return name.replace("_", " ").replace("-", " ")
