"""The tab Your gallery: upload images, wait for the bar, search them, and download the index."""

from collections.abc import Set as AbstractSet
from typing import Any

import gradio as gr

from modeling_unipt.common.user_errors import UserError
from unipt_space.own_galleries import Gone, OwnGalleries, OwnGallery
from unipt_space.page import counted, error_line, status_line
from unipt_space.results import Results, Search
from unipt_space.tabs.search import search_boxes
from unipt_space.uploads import FILE_BYTES, MEGABYTE, MOST_IMAGES, TOTAL_BYTES

SHOWN_REFUSALS = 5
NOTE = (
    f"Upload images of people, or a zip file of them: at most {MOST_IMAGES:,} images and {TOTAL_BYTES // MEGABYTE} MB "
    "in all. Nobody else sees them. They are deleted when you close or reload this page, or after half an hour without "
    "use."
)
# What a function returns by component. Gradio takes an empty dict for one value, so something is always in it.
Updates = dict[gr.components.Component | gr.blocks.BlockContext, Any]


def own_gallery_tab(galleries: OwnGalleries, unimportant_words: AbstractSet[str]) -> None:
    """Build the tab, within ``gr.Blocks``."""
    gr.HTML(f"<p>{NOTE}</p>")
    upload = gr.File(
        label=f"Images or zip files, each of at most {FILE_BYTES // MEGABYTE} MB",
        file_count="multiple",
        elem_id="own-upload",
        height=190,
    )
    status = gr.HTML("", elem_id="own-made")
    with gr.Column(visible=False) as searching:
        query, top_k, button = search_boxes("own")
        results = Results(lambda request: galleries.people_of(request.session_hash), unimportant_words, "own")
        download = gr.DownloadButton("Download the index", elem_id="own-download")
    # Whether images were taken over that wait to be embedded.
    waiting = gr.State(False)

    def take_over(paths: list[str] | None, request: gr.Request) -> Updates:
        cleared: Updates = {upload: None, searching: gr.update(visible=False), waiting: False}
        try:
            own = galleries.begin(request.session_hash, paths or [])
        except UserError as mistake:
            return cleared | {status: error_line(mistake)}
        received = status_line(f"{counted(len(own.taken.names), 'image')} received.")
        return cleared | {status: received, waiting: True}

    def make(
        waiting: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio reads this default
    ) -> Updates:
        if not waiting:
            return {status: gr.skip()}
        progress(0, desc="Reading your images")

        def show(done: int, total: int) -> None:
            progress((done, total), desc="Embedding", unit="images")

        try:
            own = galleries.make(request.session_hash, show)
        except UserError as mistake:
            return {status: error_line(mistake)}
        except Gone:
            return {status: gr.skip()}
        return {
            status: status_line(_report(own)),
            searching: gr.update(visible=True),
            download: gr.update(value=str(own.folder / "gallery.zip")),
            results.cards: "",
            results.panel: "",
            results.status: "",
        }

    def find(query: str, top_k: int, request: gr.Request) -> tuple[Search, str, str, str]:
        return results.search(request, query, top_k)

    # Two steps: the first is quick and says at once what was received. The second embeds, for one user at a time.
    upload.upload(
        take_over, [upload], [upload, status, searching, waiting], api_visibility="private", show_progress="hidden"
    ).then(
        make,
        [waiting],
        [status, searching, download, results.cards, results.panel, results.status],
        api_visibility="private",
        show_progress_on=status,
        concurrency_limit=1,
    )
    gr.on(
        [button.click, query.submit],
        find,
        [query, top_k],
        results.outputs,
        api_visibility="private",
        show_progress="minimal",
    )


def _report(own: OwnGallery) -> str:
    """What became of the images, in some sentences."""
    unread = own.people.gallery.rejected
    refusals = [*own.taken.refused, *unread]
    kept = len(own.people)
    copies = len(own.taken.names) - len(unread) - kept
    text = f"Your gallery has {counted(kept, 'image')}."
    if copies:
        text += f" {counted(copies, 'image')} came more than once and count{'s' * (copies == 1)} once."
    if refusals:
        reasons = [f"{name}: {reason}" for name, reason in refusals[:SHOWN_REFUSALS]]
        if len(refusals) > SHOWN_REFUSALS:
            reasons.append(f"and {len(refusals) - SHOWN_REFUSALS:,} more")
        text += f" {counted(len(refusals), 'file')} could not be used: {'; '.join(reasons)}."
    return text
