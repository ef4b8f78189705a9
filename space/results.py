"""Search results as cards, and for a picked one the reason: which parts of it answer to which words."""

import re

from modeling_unipt.common.user_errors import UserError
from unipt_space.page import CLICKS, LARGE, SHOWS_ITSELF, action, data_url, escape, person_card, refused, told

PHRASE = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*|[.,;:!?()]")


def phrases_of(text, function_words):
    """The runs of words in ``text`` that stand between function words and punctuation, without repetition."""
    phrases, run = [], None
    for found in re.finditer(PHRASE, text):
        if found[0].lower() in function_words or not found[0][0].isalnum():
            run = None
        elif run is None:
            phrases.append(run := [found.start(), found.end()])
        else:
            run[1] = found.end()
    return list(dict.fromkeys(text[start:end] for start, end in phrases))


class Results:
    """The components that show what a search found; ``outputs`` of whatever searches.

    Args:
        people_of: function of a ``gr.Request`` that gives the `People` to search.
        function_words: words of no interest to a heat map.
        name: prefix of the components' ids.
        status: what is told before the first search.
    """

    def __init__(self, people_of, function_words, name, status=""):
        import gradio as gr

        self.people_of, self.function_words = people_of, function_words
        self.asked = gr.State({})
        self.status = gr.HTML(told(status) if status else "", elem_id=f"{name}-status")
        self.panel = gr.HTML("", elem_id=f"{name}-why", js_on_load=CLICKS + SHOWS_ITSELF)
        self.cards = gr.HTML("", elem_id=f"{name}-results", js_on_load=CLICKS)
        self.outputs = [self.asked, self.status, self.panel, self.cards]

        def clicked(asked, event: gr.EventData, request: gr.Request):
            return self.clicked(asked, event, request)

        for part in (self.cards, self.panel):
            part.click(clicked, [self.asked], self.outputs, api_visibility="private", show_progress="hidden")

    def search(self, request, text, top_k, where):
        """Outputs for a description; an error becomes a sentence where the results would be."""
        asked = {"text": text, "top_k": top_k, "where": where}
        try:
            people = self.people_of(request)
            results = people.search(text or "", top_k, where)
        except UserError as mistake:
            return {}, refused(mistake), "", ""
        return asked, *self._shown(people, results, "best", where)

    def clicked(self, asked, event, request):
        import gradio as gr

        data = event._data if isinstance(event._data, dict) else {}
        try:
            people = self.people_of(request)
            if data.get("action") == "close":
                return gr.skip(), gr.skip(), "", gr.skip()
            index = people.place(data.get("index"))
            if data.get("action") == "alike":
                where = asked.get("where")
                results = people.alike(index, asked.get("top_k", 10), where)
                return asked, *self._shown(people, results, "most similar", where)
            return gr.skip(), gr.skip(), self._reason(people, index, asked.get("text") or ""), gr.skip()
        except UserError as mistake:
            return gr.skip(), refused(mistake), "", gr.skip()

    def _shown(self, people, results, how, where):
        """(status, panel, cards)."""
        if not results:
            return told("No picture fits the filters; choose fewer."), "", ""
        cards = []
        for rank, result in enumerate(results, start=1):
            more = action("alike", "Similar", result.index, f"More like result {rank}")
            label = f"Result {rank}, similarity {result.score:.2f}: show why"
            caption = f"{rank} · {result.score:.2f}"
            cards.append(person_card(result.index, people.thumbnail(result.index), label, caption, more))
        filtered = ", filtered" if where else ""
        status = f"The {how} {len(results)} of {len(people):,} pictures{filtered}; the numbers are similarities. "
        status += "Pick a picture to see why it was found."
        return told(status), "", f'<ol class="people">{"".join(cards)}</ol>'

    def _reason(self, people, index, text):
        picture, maps = people.heat_maps(index, text, phrases_of(text, self.function_words))
        figures = [_figure(picture, "the picture", "", f"Picture {people.names[index]}")]
        for phrase, hottest, glowing in maps:
            figures.append(_figure(glowing, phrase, f"+{hottest:.2f}", f"Where the picture answers to: {phrase}"))
        return (
            '<section class="panel" tabindex="-1" aria-label="Why this picture was found"><h3>Why this picture?</h3>'
            "<p>It glows where the model's image patches are more similar to what the words add to the description "
            "than the picture is on the whole; the number says by how much. Words for what is not there glow, too, "
            "somewhere.</p>"
            f'<div class="maps">{"".join(figures)}</div><div class="actions">'
            f"{action('alike', 'More like this', index)}{action('close', 'Close')}</div></section>"
        )


def _figure(image, caption, number, alt):
    return (
        f'<figure><img src="{data_url(image, LARGE)}" alt="{escape(alt)}"><figcaption>{escape(caption)}'
        f"<br><small>{number}</small></figcaption></figure>"
    )
