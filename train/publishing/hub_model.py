"""Send a trained model folder to the Hugging Face Hub, in one commit."""

from pathlib import Path

from modeling_unipt.common.hub import HubRepository
from modeling_unipt.common.output_folders import SETTINGS_FILE
from unipt_train.engine.run_arguments import TRACKING

# The settings hold paths of this machine, and a tracker's files have its name in theirs.
LEFT_OUT = (SETTINGS_FILE, TRACKING)


class HubModel(HubRepository):
    """A model repository on the Hub that may be written to. It is made if there is none; see `HubRepository`."""

    kind = "model"

    def publish(self, folder: Path | str) -> None:
        """Make the repository show the files of ``folder``, in one commit; other files of the repository stay.

        Raises:
            UserError: it failed. Called again, it goes on.
        """
        self.publish_folder(folder, "Model trained by UniPT", left_out=LEFT_OUT)
