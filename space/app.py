"""The Space: describe a person, see the pictures of a gallery that fit best.

    python space/app.py

`UNIPT_GALLERY` names a gallery made by `unipt index`; without it, the pictures of the sample dataset luperson-t are
embedded at start. `UNIPT_MODEL` names the model (default: unipt/unipt-tiny). The defaults are looked for in the clone
first, then on the Hugging Face Hub. Other programs search through the endpoint /search(query, top_k=10).
"""

import os
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no calls home

from modeling_unipt.user_errors import UserError, run_command

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_MODEL, DEFAULT_DATASET = "unipt/unipt-tiny", "luperson-t"
MOST_RESULTS, MOST_CHARACTERS = 50, 2000

INTRODUCTION = """# Find people by description

Describe one person as you would to somebody looking for him or her: clothes and their colours, hair, age, what is
carried. **The results are suggestions to look at, not identifications:** the model compares a sentence with pictures,
it knows nobody, and it is often wrong."""
EXAMPLES = [
    "A young woman in a red coat and black trousers, carrying a white handbag.",
    "An old man with gray hair who wears a blue shirt and brown shorts.",
    "Somebody in a yellow hoodie riding a bicycle.",
    "A man in a striped t-shirt with a backpack and a cap.",
]
STYLE = """
#results .grid-container { grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)) !important; }
#results .grid-wrap { max-height: none; min-height: 0; }
#results .thumbnail-item { aspect-ratio: 2 / 5; }
footer { display: none !important; }
"""


class People:
    """A gallery and a way to its pictures."""

    def __init__(self, gallery, picture_of, origin):
        self.gallery, self.picture_of, self.origin = gallery, picture_of, origin

    def search(self, query, top_k):
        """`SearchResult`s, best first.

        Raises:
            UserError: empty or overlong ``query``, ``top_k`` out of range.
        """
        if len(query) > MOST_CHARACTERS:
            raise UserError(f"the description has {len(query)} characters; {MOST_CHARACTERS} are the most")
        if not 1 <= top_k <= MOST_RESULTS:
            raise UserError(f"the number of results is {top_k}; it must lie between 1 and {MOST_RESULTS}")
        return self.gallery.search(query, int(top_k))


def here_or_hub(name, hub_name=None):
    """The folder ``name`` of the clone, if there is one, else the Hub id."""
    return str(ROOT / name) if (ROOT / name).is_dir() else hub_name or name


def load_people():
    """The gallery that the environment asks for.

    Raises:
        UserError: it, its model or the sample dataset cannot be loaded.
    """
    from modeling_unipt import PersonGallery
    from modeling_unipt.image_files import read_image

    folder, model = os.environ.get("UNIPT_GALLERY"), os.environ.get("UNIPT_MODEL")
    if folder:
        gallery = PersonGallery.load(folder, model)
        return People(gallery, lambda result: read_image(result.path), f"the gallery {Path(folder).name}")
    return load_sample(model or here_or_hub(DEFAULT_MODEL))


def load_sample(model_name):
    from datasets import Image, load_dataset

    from modeling_unipt import PersonGallery

    name = here_or_hub(DEFAULT_DATASET, f"unipt/{DEFAULT_DATASET}")
    try:
        rows = load_dataset(name, split="train").select_columns(["image_id", "image"]).cast_column("image", Image())
    except Exception as error:  # datasets and huggingface_hub raise many kinds
        reason = str(error).strip().splitlines()
        raise UserError(
            f"the sample dataset {name} cannot be loaded ({reason[0] if reason else type(error).__name__}); name a "
            "gallery of your own in UNIPT_GALLERY"
        ) from None
    gallery = PersonGallery.from_dataset(rows, model_name)
    row_of = {image_id: row for row, image_id in enumerate(rows["image_id"])}
    return People(
        gallery, lambda result: rows[row_of[result.path]]["image"], "the sample of synthetic people, luperson-t"
    )


def build_app(people):
    """The Gradio app over ``people``."""
    import gradio as gr

    def find(query, top_k):
        try:
            return people.search(query or "", top_k)
        except UserError as mistake:
            sentence = str(mistake)
            raise gr.Error(sentence[0].upper() + sentence[1:] + ".", duration=8, print_exception=False) from None

    def show(query, top_k):
        results = find(query, top_k)
        pictures = [(people.picture_of(result), f"{result.rank}: {result.score:.2f}") for result in results]
        return pictures, f"The best {len(results)} of {len(people.gallery)} pictures; the numbers are similarities."

    def search(query: str, top_k: int = 10) -> list[dict]:
        """Rank, cosine similarity and file name of the pictures that fit the description best."""
        names = people.gallery.file_names
        return [
            {"rank": result.rank, "score": round(result.score, 4), "file_name": names[result.index]}
            for result in find(query, top_k)
        ]

    with gr.Blocks(title="UniPT: find people by description", delete_cache=(600, 600)) as app:
        gr.Markdown(INTRODUCTION)
        with gr.Row(equal_height=True):
            query = gr.Textbox(
                label="Description", placeholder=EXAMPLES[0], max_lines=4, max_length=MOST_CHARACTERS, scale=4
            )
            top_k = gr.Slider(1, MOST_RESULTS, value=10, step=1, label="Results", scale=1, min_width=160)
        gr.Examples([[text] for text in EXAMPLES], query, label="Or try one of these")
        button = gr.Button("Search", variant="primary")
        status = gr.Markdown(f"Searching in {people.origin}: {len(people.gallery)} pictures.")
        results = gr.Gallery(
            label="Results, best first",
            show_label=False,
            elem_id="results",
            object_fit="contain",
            height="auto",
            interactive=False,
            buttons=[],
        )
        gr.on([button.click, query.submit], show, [query, top_k], [results, status], api_visibility="private")
        gr.api(search, api_name="search")
    return app


def main():
    people = load_people()

    import gradio as gr

    theme = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    build_app(people).queue(default_concurrency_limit=2).launch(theme=theme, css=STYLE, ssr_mode=False)


if __name__ == "__main__":
    run_command(main)
