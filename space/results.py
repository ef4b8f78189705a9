"""Search results as cards. A click on one explains it: which parts of the image answer to which words."""

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.gallery import SearchResult
from unipt_space.page import (
    CLICKS,
    LARGE,
    SHOWS_ITSELF,
    action_button,
    click_of,
    counted,
    data_url,
    error_line,
    escape,
    person_card,
    status_line,
)
from unipt_space.people import People

# A word, with hyphens and apostrophes inside it, or a punctuation mark.
WORD_OR_MARK = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*|[.,;:!?()]")
EXPLANATION = (
    "The model compares each part of the image with what the words below it add to your description. A part glows "
    "where this similarity is above its mean over the image. The number says how far above the mean the brightest part "
    "is. Words for something that is not in the image make some part glow, too."
)
NO_MAPS = (
    "This model compares the image as a whole with the description as a whole. So there is no heat map that shows "
    "which part answers to which words."
)


def phrases_of(text: str, unimportant_words: AbstractSet[str]) -> list[str]:
    """The runs of words in ``text`` between unimportant words and punctuation, each once: "red coat", "backpack"."""
    spans = []
    in_phrase = False
    for found in WORD_OR_MARK.finditer(text):
        if found[0].lower() in unimportant_words or not found[0][0].isalnum():
            in_phrase = False
        elif in_phrase:
            spans[-1][1] = found.end()
        else:
            spans.append([found.start(), found.end()])
            in_phrase = True
    return list(dict.fromkeys(text[start:end] for start, end in spans))


@dataclass(frozen=True)
class Search:
    """What a user searched for: the description, how many results, and the values that each column may have."""

    text: str = ""
    top_k: int = 10
    where: Mapping[str, Sequence[Any]] | None = None


class Results:
    """The components that show what a search found.

    Args:
        people_of: gives the people whom the sender of a request may search.
        unimportant_words: words that get no heat map.
        name: the beginning of the components' ids.
        status: the text that is shown before the first search.

    Attributes:
        outputs: the components that a search fills, in the order in which `search` returns their values.
    """

    def __init__(
        self,
        people_of: Callable[[gr.Request], People],
        unimportant_words: AbstractSet[str],
        name: str,
        status: str = "",
    ) -> None:
        self.people_of = people_of
        self.unimportant_words = unimportant_words
        self.last_search = gr.State(Search())
        self.status = gr.HTML(status_line(status) if status else "", elem_id=f"{name}-status")
        self.panel = gr.HTML("", elem_id=f"{name}-why", js_on_load=CLICKS + SHOWS_ITSELF)
        self.cards = gr.HTML("", elem_id=f"{name}-results", js_on_load=CLICKS)
        self.outputs = [self.last_search, self.status, self.panel, self.cards]
        for part in (self.cards, self.panel):
            part.click(
                self._clicked, [self.last_search], self.outputs, api_visibility="private", show_progress="hidden"
            )

    def search(
        self, request: gr.Request, text: str | None, top_k: int, where: Mapping[str, Sequence[Any]] | None = None
    ) -> tuple[Search, str, str, str]:
        """The values of the outputs for a description. A mistake becomes a sentence in the place of the results."""
        search = Search(text or "", top_k, where)
        try:
            people = self.people_of(request)
            results = people.search(search.text, top_k, where)
        except UserError as mistake:
            return Search(), error_line(mistake), "", ""
        return search, *_shown(people, results, "best", bool(where))

    def _clicked(self, search: Search, event: gr.EventData, request: gr.Request) -> tuple[Any, Any, Any, Any]:
        """The values of the outputs after a click on a card or a button; `gr.skip()` leaves a component as it is."""
        click = click_of(event)
        if click.action == "close":
            return gr.skip(), gr.skip(), "", gr.skip()
        try:
            people = self.people_of(request)
            index = people.place(click.index)
            if click.action == "alike":
                results = people.alike(index, search.top_k, search.where)
                return search, *_shown(people, results, "most similar", bool(search.where))
            text = people.model.processor.formed(search.text)
            panel = explanation(people, index, text, phrases_of(text, self.unimportant_words))
            return gr.skip(), gr.skip(), panel, gr.skip()
        except UserError as mistake:
            return gr.skip(), error_line(mistake), "", gr.skip()


def _shown(people: People, results: Sequence[SearchResult], how: str, filtered: bool) -> tuple[str, str, str]:
    """(status, panel, cards) for ``results``, which are the ``how`` ("best") of all."""
    if not results:
        return status_line("No image fits the filters. Choose fewer of them."), "", ""
    cards = []
    for rank, result in enumerate(results, start=1):
        label = f"Result {rank}, similarity {result.score:.2f}: show why"
        similar = action_button("alike", "Similar", result.index, f"More like result {rank}")
        caption = f"{rank} · {result.score:.2f}"
        cards.append(person_card(result.index, people.thumbnail(result.index), label, caption, similar))
    status = f"The {len(results)} {how} of {counted(len(people), 'image')}{', filtered' if filtered else ''}. "
    status += "Below each stand its rank and its similarity. Pick an image to see why it was found."
    return status_line(status), "", f'<ol class="people">{"".join(cards)}</ol>'


def explanation(people: People, index: int, text: str, phrases: Sequence[str]) -> str:
    """The panel that shows an image, and beside it a copy for each phrase that glows where it answers to the phrase."""
    image, heat_maps = people.heat_maps(index, text, phrases)
    told = EXPLANATION if people.has_heat_maps else NO_MAPS
    figures = [_figure(image, "the image", "", f"Image {people.names[index]}")]
    for heat_map in heat_maps:
        alt = f"Where the image answers to: {heat_map.phrase}"
        figures.append(_figure(heat_map.glowing, heat_map.phrase, f"+{heat_map.highest:.2f}", alt))
    return (
        '<section class="panel" tabindex="-1" aria-label="Why this image was found"><h3>Why this image?</h3>'
        f'<p>{told}</p><div class="maps">{"".join(figures)}</div><div class="actions">'
        f"{action_button('alike', 'More like this', index)}{action_button('close', 'Close')}</div></section>"
    )


def _figure(image: Image.Image, caption: str, number: str, alt: str) -> str:
    return (
        f'<figure><img src="{data_url(image, LARGE)}" alt="{escape(alt)}"><figcaption>{escape(caption)}'
        f"<br><small>{number}</small></figcaption></figure>"
    )
