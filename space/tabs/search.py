"""The tab Search: a description over the served gallery, with filters, and the endpoint /search."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import gradio as gr

from modeling_unipt.common.user_errors import UserError
from unipt_space.page import counted
from unipt_space.people import MOST_RESULTS, People
from unipt_space.results import Results, Search

EXAMPLES = [
    "A young woman in a red coat and black trousers, carrying a white handbag.",
    "An old man with gray hair who wears a blue shirt and brown shorts.",
    "Somebody in a yellow hoodie riding a bicycle.",
    "A man in a striped t-shirt with a backpack and a cap.",
]
MOST_FILTERS = 12


def search_boxes(name: str, examples: Sequence[str] = ()) -> tuple[gr.Textbox, gr.Slider, gr.Button]:
    """The components that take a description: (text, number of results, button).

    Args:
        name: the beginning of the components' ids.
        examples: descriptions to pick from.
    """
    with gr.Row():
        # No max_length: a browser would silently cut a long text. It is refused with a sentence instead.
        query = gr.Textbox(
            label="Description", placeholder=EXAMPLES[0], max_lines=4, scale=4, elem_id=f"{name}-query", min_width=240
        )
        with gr.Column(scale=1, min_width=200):
            top_k = gr.Slider(1, MOST_RESULTS, value=10, step=1, label="Results")
            button = gr.Button("Search", variant="primary", elem_id=f"{name}-go")
    if examples:
        gr.Examples([[text] for text in examples], query, label="Or try one of these")
    return query, top_k, button


def search_tab(people: People, unimportant_words: AbstractSet[str]) -> None:
    """Build the tab over ``people``, within ``gr.Blocks``."""
    query, top_k, button = search_boxes("search", EXAMPLES)
    # Columns of too many values come as None. A column of one value would filter nothing.
    columns = [(name, values) for name, values in people.gallery.columns.items() if values and len(values) > 1]
    columns = columns[:MOST_FILTERS]
    filters = []
    if columns:
        with gr.Accordion("Filters", open=False), gr.Row():
            for column, values in columns:
                choices = [(str(value), value) for value in values]
                label = column.replace("_", " ")
                filters.append(gr.Dropdown(choices, multiselect=True, label=label, min_width=200))
    searched = f"This searches {people.origin}: {counted(len(people), 'image')}."
    results = Results(lambda request: people, unimportant_words, "search", searched)

    def find(query: str, top_k: int, request: gr.Request, *chosen: list[Any] | None) -> tuple[Search, str, str, str]:
        where = {column: values for (column, _), values in zip(columns, chosen, strict=True) if values}
        return results.search(request, query, top_k, where)

    gr.on(
        [button.click, query.submit],
        find,
        [query, top_k, *filters],
        results.outputs,
        api_visibility="private",
        show_progress="minimal",
    )
    gr.api(endpoint(people), api_name="search")


def endpoint(people: People) -> Callable[[str, int], list[dict]]:
    """The function of the endpoint /search. Gradio documents it by its annotations and its docstring."""

    def search(query: str, top_k: int = 10) -> list[dict]:
        """Rank, cosine similarity and file name of the images that fit the description best."""
        try:
            found = people.search(query or "", top_k)
        except UserError as mistake:
            raise gr.Error(str(mistake), print_exception=False) from None
        return [
            {"rank": result.rank, "score": round(result.score, 4), "file_name": people.names[result.index]}
            for result in found
        ]

    return search
