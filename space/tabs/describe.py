"""The tab Describe: a picture goes through the LUPerson-T pipeline, and every step shows its numbers."""

from modeling_unipt.common.user_errors import UserError
from unipt_space.describing import as_json
from unipt_space.page import CLICKS, LARGE, data_url, escape, person_card, refused, told
from unipt_space.uploads import open_picture

SAMPLES, SHOWN_VALUES = 8, 3
NOTE = (
    "Upload a picture, or pick one. A frozen CLIP compares it with the phrases of a vocabulary and says only what it "
    "is sure of; templates make sentences of that. So LUPerson-T, the pseudo-texts that UniPT learns from, is written."
)


def describe_tab(people, describer):
    """Build the tab, within ``gr.Blocks``; samples are the first pictures of ``people``."""
    import gradio as gr

    gr.HTML(f"<p>{NOTE}</p>")
    with gr.Row():
        upload = gr.File(
            label="A picture of one person", file_types=["image"], file_count="single", elem_id="describe-upload",
            scale=1, min_width=240, height=190,
        )  # fmt: skip
        with gr.Column(scale=2, min_width=300):
            samples = gr.HTML(_samples(people), elem_id="describe-samples", js_on_load=CLICKS)
            guess = gr.Checkbox(
                False,
                label="Also guess age and gender",
                info="Off: they are neither scored nor written. A guess about looks is not knowledge about a person.",
            )
    status = gr.HTML("", elem_id="describe-status")
    output = gr.HTML("", elem_id="describe-output")
    picked = gr.State(None)

    def uploaded(path, guess):
        try:
            return None, None, told("Described."), page_of(open_picture(path), guess)
        except UserError as mistake:
            return None, None, refused(mistake), ""

    def chosen(guess, event: gr.EventData):
        data = event._data if isinstance(event._data, dict) else {}
        return again(data.get("index"), guess)

    def again(index, guess):
        if index is None:
            return None, "", ""
        try:
            return index, told("Described."), page_of(people.picture(index), guess)
        except UserError as mistake:
            return None, refused(mistake), ""

    def page_of(image, guess):
        return _page(image, describer.describe(image, guess))

    shown = {"api_visibility": "private", "concurrency_id": "describe", "concurrency_limit": 2}
    upload.upload(uploaded, [upload, guess], [upload, picked, status, output], **shown)
    samples.click(chosen, [guess], [picked, status, output], **shown)
    guess.change(again, [picked, guess], [picked, status, output], **shown)
    gr.api(endpoint(describer), api_name="describe", concurrency_id="describe", concurrency_limit=2)


def endpoint(describer):
    """The function of the endpoint /describe."""
    import gradio as gr

    def describe(image: dict, age_and_gender: bool = False) -> dict:
        """Captions of a picture of one person, and the probabilities that they rest on.

        image: a file, as gradio_client's handle_file gives it. Age and gender are guessed only on demand.
        """
        try:
            path = image.get("path") if isinstance(image, dict) else None
            return as_json(describer.describe(open_picture(path), age_and_gender))
        except UserError as mistake:
            raise gr.Error(str(mistake), print_exception=False) from None

    return describe


def _samples(people):
    cards = [
        person_card(index, people.thumbnail(index), f"Describe picture {number}", "")
        for number, index in enumerate(range(min(SAMPLES, len(people))), start=1)
    ]
    return f'<ol class="people">{"".join(cards)}</ol>'


def _page(image, description):
    facts = [fact for fact in description.facts if fact.stated]
    unsure = [fact for fact in description.facts if not fact.stated and next(iter(fact.probabilities)) is not None]
    absent = [fact for fact in description.facts if not fact.stated and next(iter(fact.probabilities)) is None]
    captions = "".join(
        f"<li>{escape(text)} <small>similarity {score:.2f}</small></li>" for text, score in description.captions
    )
    parts = [f'<h3>Captions</h3><ol class="captions">{captions}</ol>']
    parts.append(f'<h3>Stated</h3><div class="facts">{"".join(map(_fact, facts))}</div>')
    if unsure:
        parts.append(f'<h3>Left open</h3><div class="facts">{"".join(map(_fact, unsure))}</div>')
    if absent:
        told_absent = ", ".join(f"{_words(fact.field)} ({fact.probabilities[None]:.0%})" for fact in absent)
        parts.append(f"<h3>Most probably not there</h3><p>{escape(told_absent)}</p>")
    parts.append(f"<h3>How it came about</h3>{_stages(description, facts, unsure, absent)}")
    picture = f'<img src="{data_url(image, LARGE)}" alt="The picture that is described">'
    return f'<section class="seen" aria-label="Description">{picture}<div>{"".join(parts)}</div></section>'


def _fact(fact):
    best = next(iter(fact.probabilities))
    probability = fact.probabilities[best]
    values = list(fact.probabilities.items())[:SHOWN_VALUES]
    others = " · ".join(f"{_words(value or 'absent')} {p:.0%}" for value, p in values)
    label = f"{_words(fact.field)}: {_words(best)} {probability:.0%}, more than {fact.threshold:.0%} is asked for"
    return (
        f'<div class="fact{"" if fact.stated else " open"}"><div class="what"><span>{escape(_words(fact.field))}</span>'
        f"<b>{escape(_words(best))}</b></div>"
        f'<div class="bar" role="img" aria-label="{escape(label)}" title="{escape(label)}">'
        f'<span style="width:{100 * probability:.1f}%"></span><i style="left:{100 * fact.threshold:.1f}%"></i></div>'
        f"<small>{escape(fact.reason or others)}</small></div>"
    )


def _stages(description, facts, unsure, absent):
    views = description.views
    surest = max(facts, key=lambda fact: max(fact.probabilities.values()), default=None)
    divide = (
        f"<b>Divide.</b> What can be said of a person is cut into {description.attributes} attributes; together their "
        f"phrases make {description.prompts} sentences to compare a picture with."
    )
    conquer = (
        f"<b>Conquer.</b> The scorer looked at {len(views)} views of this picture ({escape(', '.join(views))}) and "
        f"compared each with the sentences. The similarities became probabilities by a calibration; the line across a "
        f"bar is the threshold that it set. {len(facts)} facts pass theirs, {len(unsure)} do not and are left open, "
        f"{len(absent)} things are most probably not there."
    )
    if surest:
        value, probability = next(iter(surest.probabilities.items()))
        conquer += (
            f" The surest: {escape(_words(surest.field))}, {escape(_words(value))}, with {probability:.1%} where more "
            f"than {surest.threshold:.0%} is asked for."
        )
    combine = (
        f"<b>Combine.</b> Of {description.templates} sentence templates {len(description.captions)} were drawn that "
        f"the {len(facts)} facts can fill; the captions share the facts out. The scorer finds them similar to it "
        f"by {', '.join(f'{score:.2f}' for _, score in description.captions)}."
    )
    return f'<ol class="stages"><li>{divide}</li><li>{conquer}</li><li>{combine}</li></ol>'


def _words(name):
    return name.replace("_", " ").replace("-", " ")
