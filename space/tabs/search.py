"""The tab Search: a description over the served gallery, with filters, and the endpoint /search."""

from modeling_unipt.common.user_errors import UserError
from unipt_space.people import MOST_RESULTS
from unipt_space.results import Results

EXAMPLES = [
    "A young woman in a red coat and black trousers, carrying a white handbag.",
    "An old man with gray hair who wears a blue shirt and brown shorts.",
    "Somebody in a yellow hoodie riding a bicycle.",
    "A man in a striped t-shirt with a backpack and a cap.",
]
MOST_FILTERS = 12


def search_boxes(name, examples=()):
    """The components that take a description: (text, number of results, button)."""
    import gradio as gr

    with gr.Row():
        # No max_length: a browser would cut a long text without a word; it is refused with a sentence instead.
        query = gr.Textbox(
            label="Description", placeholder=EXAMPLES[0], max_lines=4, scale=4, elem_id=f"{name}-query", min_width=240
        )
        with gr.Column(scale=1, min_width=200):
            top_k = gr.Slider(1, MOST_RESULTS, value=10, step=1, label="Results")
            button = gr.Button("Search", variant="primary", elem_id=f"{name}-go")
    if examples:
        gr.Examples([[text] for text in examples], query, label="Or try one of these")
    return query, top_k, button


def search_tab(people, function_words):
    """Build the tab over ``people``, within ``gr.Blocks``."""
    import gradio as gr

    query, top_k, button = search_boxes("search", EXAMPLES)
    columns = [(name, values) for name, values in people.gallery.columns.items() if values and len(values) > 1]
    columns, filters = columns[:MOST_FILTERS], []
    if columns:
        with gr.Accordion("Filters", open=False), gr.Row():
            for column, values in columns:
                label = column.replace("_", " ")
                filters.append(
                    gr.Dropdown([(str(value), value) for value in values], multiselect=True, label=label, min_width=200)
                )
    where_from = f"Searching in {people.origin}: {len(people):,} pictures."
    results = Results(lambda request: people, function_words, "search", where_from)

    def find(query, top_k, request: gr.Request, *chosen):
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
    return query


def endpoint(people):
    """The function of the endpoint /search."""
    import gradio as gr

    def search(query: str, top_k: int = 10) -> list[dict]:
        """Rank, cosine similarity and file name of the pictures that fit the description best."""
        try:
            found = people.search(query or "", top_k)
        except UserError as mistake:
            raise gr.Error(str(mistake), print_exception=False) from None
        return [
            {"rank": result.rank, "score": round(result.score, 4), "file_name": people.names[result.index]}
            for result in found
        ]

    return search
