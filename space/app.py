"""The Space: search a gallery of people by description, and see what UniPT does.

    python space/app.py              # in a clone
    python -m unipt_space.app        # after pip install 'unipt[space]'

`UNIPT_GALLERY` names a gallery made by `unipt index`. Without it, the images of the sample dataset luperson-t are
embedded at the start. `UNIPT_MODEL` names the model (default: unipt/unipt-tiny), `UNIPT_SCORER` the CLIP model that
describes images (default: unipt/clip-tiny). The defaults are looked for as folders beside this file, in the working
folder and in the clone, then on the Hugging Face Hub. Other programs use the endpoints /search(query, top_k=10) and
/describe(image).
"""

import os
import tempfile

# Gradio reads these two when it is imported, so they are set before that.
WORK_FOLDER = tempfile.mkdtemp(prefix="unipt-space-")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_TEMP_DIR", os.path.join(WORK_FOLDER, "uploads"))

from unipt_space.serve import serve  # noqa: E402


def main() -> None:
    """Serve until the program is ended."""
    serve(WORK_FOLDER, os.environ.get("UNIPT_GALLERY"), os.environ.get("UNIPT_MODEL"))


if __name__ == "__main__":
    from modeling_unipt.common.user_errors import run_command

    run_command(main)
