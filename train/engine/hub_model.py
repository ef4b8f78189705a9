"""Send a trained model folder to the Hugging Face Hub, in one commit."""

from pathlib import Path

from dataset_builders.output.hub import HubDataset
from modeling_unipt.common.output_folders import SETTINGS_FILE
from unipt_train.engine.run_arguments import TRACKING


class HubModel(HubDataset):
    """A model repository on the Hub that may be written to; it is made if there is none. See `HubDataset`."""

    kind = "model"

    def publish(self, folder):
        """Make the repository show the files of ``folder`` in one commit; what the Hub holds already is not sent.

        Hidden files, build_settings.json, which has paths of this machine, and a tracker's files, whose names have this
        machine's, are not sent; other files of the repository stay.

        Raises:
            UserError: it failed; called again, it goes on.
        """
        folder = Path(folder)
        names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        names = [name for name in names if name.parts[0] != TRACKING]
        names = [name.as_posix() for name in names if name.as_posix() != SETTINGS_FILE]
        print(f"sending {folder}, {len(names)} files, to {self.name}")
        operations = self.preupload([(name, folder / name) for name in names])
        with self._told():
            commit = self.api.create_commit(
                self.name, operations, commit_message="Model trained by UniPT", repo_type=self.kind
            )
        print(f"{self.name} holds {folder}: {commit.commit_url}")
