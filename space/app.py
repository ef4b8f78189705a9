"""The Space: search a gallery of people by description, and see what UniPT does.

    python space/app.py

`UNIPT_GALLERY` names a gallery made by `unipt index`; without it, the pictures of the sample dataset luperson-t are
embedded at start. `UNIPT_MODEL` names the model (default: unipt/unipt-tiny), `UNIPT_SCORER` the CLIP that describes
pictures (default: unipt/clip-tiny). The defaults are looked for beside this file and in the clone first, then on the
Hugging Face Hub. Other programs use the endpoints /search(query, top_k=10) and /describe(image).
"""

import atexit
import os
import tempfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no calls home
WORK = tempfile.mkdtemp(prefix="unipt-space-")
os.environ.setdefault("GRADIO_TEMP_DIR", os.path.join(WORK, "uploads"))

from modeling_unipt.common.user_errors import run_command  # noqa: E402
from unipt_space.describing import load_describer  # noqa: E402
from unipt_space.own_galleries import OwnGalleries  # noqa: E402
from unipt_space.page import STYLE  # noqa: E402
from unipt_space.people import load_people  # noqa: E402
from unipt_space.settings import scorer_name  # noqa: E402
from unipt_space.tabs.describe import describe_tab  # noqa: E402  after the environment is set
from unipt_space.tabs.own_gallery import own_gallery_tab  # noqa: E402
from unipt_space.tabs.quality import quality_tab  # noqa: E402
from unipt_space.tabs.search import search_tab  # noqa: E402
from unipt_space.uploads import FILE_BYTES  # noqa: E402

INTRODUCTION = """<h1>Find people by description</h1>
<p>Describe one person as you would to somebody looking for him or her: clothes and their colours, hair, what is
carried. <b>The results are suggestions to look at, not identifications:</b> the model compares a sentence with
pictures, it knows nobody, and it is often wrong.</p>"""
USERS_AT_ONCE = 8


def build_app(people, describer, galleries):
    """The Gradio app.

    Args:
        people: `People`, the served gallery. describer: `Describer`. galleries: `OwnGalleries` of the users.
    """
    import gradio as gr

    from dataset_builders.report.word_cloud import function_words

    words = function_words(describer.captioner)
    with gr.Blocks(title="UniPT: find people by description") as app:
        gr.HTML(INTRODUCTION, elem_id="head")
        with gr.Tabs():
            with gr.Tab("Search", id="search"):
                search_tab(people, words)
            with gr.Tab("Describe", id="describe"):
                describe_tab(people, describer)
            with gr.Tab("Your gallery", id="own"):
                own_gallery_tab(galleries, words)
            with gr.Tab("How good is it", id="quality"):
                quality_tab(people.gallery.model.name_or_path)

        def leave(request: gr.Request):
            galleries.forget(request.session_hash)

        app.unload(leave)
    return app


def main():
    people = load_people(os.environ.get("UNIPT_GALLERY"), os.environ.get("UNIPT_MODEL"))
    describer = load_describer(scorer_name())

    import gradio as gr
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

    galleries = OwnGalleries(os.path.join(WORK, "galleries"), people.model)
    atexit.register(galleries.close)
    galleries.start()
    people.search("a person", 1)  # so that nobody waits for the first search
    gr.set_static_paths([galleries.root])  # for the download; its folders have names that cannot be guessed
    theme = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    app = build_app(people, describer, galleries).queue(default_concurrency_limit=USERS_AT_ONCE, max_size=200)
    left = {ClientDisconnect: lambda request, error: Response(status_code=400)}  # a user who left is no error
    app.launch(
        theme=theme,
        css=STYLE,
        ssr_mode=False,
        max_file_size=FILE_BYTES,
        footer_links=[],
        app_kwargs={"exception_handlers": left},
    )


if __name__ == "__main__":
    run_command(main)
