"""The tab Your gallery: upload pictures, wait for the bar, search them, take the index with you."""

from modeling_unipt.common.user_errors import UserError
from unipt_space.own_galleries import Gone
from unipt_space.page import refused, told
from unipt_space.results import Results
from unipt_space.tabs.search import search_boxes
from unipt_space.uploads import FILE_BYTES, MEGABYTE, PICTURES, TOTAL_BYTES

SHOWN_REFUSALS = 5
NOTE = (
    f"Upload pictures of people, or a zip of them: at most {PICTURES:,} pictures, {TOTAL_BYTES // MEGABYTE} MB in all. "
    "They are seen by nobody else, and deleted when you close or reload this page, or after half an hour without use."
)


def own_gallery_tab(galleries, function_words):
    """Build the tab over `OwnGalleries`, within ``gr.Blocks``."""
    import gradio as gr

    gr.HTML(f"<p>{NOTE}</p>")
    upload = gr.File(
        label=f"Pictures or zip files, {FILE_BYTES // MEGABYTE} MB each at most", file_count="multiple",
        elem_id="own-upload", height=190,
    )  # fmt: skip
    status = gr.HTML("", elem_id="own-made")
    with gr.Column(visible=False) as searching:
        query, top_k, button = search_boxes("own")
        results = Results(lambda request: galleries.people_of(request.session_hash), function_words, "own")
        download = gr.DownloadButton("Download the index", elem_id="own-download")
    waiting = gr.State(False)

    def take_over(paths, request: gr.Request):
        shown = {upload: None, searching: gr.update(visible=False), waiting: False}
        try:
            own = galleries.begin(request.session_hash, paths or [])
        except UserError as mistake:
            return shown | {status: refused(mistake)}
        return shown | {status: told(f"{len(own.taken.names):,} pictures received."), waiting: True}

    def make(waiting, request: gr.Request, progress=gr.Progress()):  # noqa: B008  Gradio reads this default
        if not waiting:
            return {status: gr.skip()}  # an empty dict is no set of outputs to Gradio
        progress(0, desc="Reading your pictures")
        try:
            own = galleries.make(
                request.session_hash, lambda done, total: progress((done, total), desc="Embedding", unit="pictures")
            )
        except UserError as mistake:
            return {status: refused(mistake)}
        except Gone:
            return {status: gr.skip()}  # an empty dict is no set of outputs to Gradio
        return {
            status: _report(own),
            searching: gr.update(visible=True),
            download: gr.update(value=str(own.folder / "gallery.zip")),
            results.cards: "",
            results.panel: "",
            results.status: "",
        }

    def find(query, top_k, request: gr.Request):
        return results.search(request, query, top_k, None)

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


def _report(own):
    """What became of the pictures, in a sentence or two."""
    unread = [(name, reason) for name, reason in own.people.gallery.rejected]
    refusals, kept = [*own.taken.refused, *unread], len(own.people)
    copies = len(own.taken.names) - len(unread) - kept
    text = f"Your gallery has {kept:,} picture{'s' * (kept != 1)}."
    if copies:
        text += f" {copies:,} came more than once and count once."
    if refusals:
        listed = "; ".join(f"{name}: {reason}" for name, reason in refusals[:SHOWN_REFUSALS])
        more = f"; and {len(refusals) - SHOWN_REFUSALS:,} more" if len(refusals) > SHOWN_REFUSALS else ""
        text += f" {len(refusals):,} could not be used: {listed}{more}."
    return told(text)
