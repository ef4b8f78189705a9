"""The app as a whole: what it loads, its page of tabs, and the server."""

import atexit
from pathlib import Path

# First, because it imports `spaces`, which has to come before torch.
from unipt_space.settings import scorer_name  # isort: split

import gradio as gr
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from dataset_builders.combine.function_words import function_words
from unipt_space.describing import Describer, load_describer
from unipt_space.own_galleries import OwnGalleries
from unipt_space.page import STYLE
from unipt_space.people import People, load_people
from unipt_space.tabs.describe import describe_tab
from unipt_space.tabs.own_gallery import own_gallery_tab
from unipt_space.tabs.quality import quality_tab
from unipt_space.tabs.search import search_tab
from unipt_space.uploads import FILE_BYTES

INTRODUCTION = """<h1>Find people by description</h1>
<p>Describe one person: the clothes and their colours, the hair, and what the person carries. <b>The results are
suggestions to look at, not identifications.</b> The model compares your sentence with images. It knows nobody, and it
is often wrong.</p>"""
USERS_AT_ONCE = 8
MOST_WAITING = 200


def build_app(people: People, describer: Describer, galleries: OwnGalleries) -> gr.Blocks:
    """The page with its four tabs.

    Args:
        people: the served gallery.
        galleries: those that the users make of their own images.
    """
    unimportant_words = function_words(describer.captioner)
    with gr.Blocks(title="UniPT: find people by description") as app:
        gr.HTML(INTRODUCTION, elem_id="head")
        with gr.Tabs():
            with gr.Tab("Search", id="search"):
                search_tab(people, unimportant_words)
            with gr.Tab("Describe", id="describe"):
                describe_tab(people, describer)
            with gr.Tab("Your gallery", id="own"):
                own_gallery_tab(galleries, unimportant_words)
            with gr.Tab("How good is it", id="quality"):
                quality_tab(people.gallery.model.name_or_path)

        def leave(request: gr.Request) -> None:
            galleries.forget(request.session_hash)

        app.unload(leave)
    return app


def serve(work_folder: str, gallery: str | None, model: str | None) -> None:
    """Load the models and serve the page until the program is ended.

    Args:
        work_folder: the folder for what users make.
        gallery: a folder made by `unipt index`; None serves the sample dataset.
        model: folder or Hub id of a UniPT model; None stands for the model that made the gallery, else the default.

    Raises:
        UserError: a model or the gallery cannot be loaded.
    """
    people = load_people(gallery, model)
    describer = load_describer(scorer_name())
    galleries = OwnGalleries(Path(work_folder) / "galleries", people.model)
    atexit.register(galleries.close)
    galleries.start()
    # The first search of a process is slow. Now nobody waits for it.
    people.search("a person", 1)
    # The download of an index reads from here. The names of the folders cannot be guessed.
    gr.set_static_paths([galleries.root])
    app = build_app(people, describer, galleries)
    app.queue(default_concurrency_limit=USERS_AT_ONCE, max_size=MOST_WAITING)
    app.launch(
        theme=gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=STYLE,
        ssr_mode=False,
        max_file_size=FILE_BYTES,
        footer_links=[],
        app_kwargs={"exception_handlers": {ClientDisconnect: _answer_to_nobody}},
    )


def _answer_to_nobody(request: object, error: Exception) -> Response:
    """A user who closes the page during an upload is no error to log."""
    return Response(status_code=400)
