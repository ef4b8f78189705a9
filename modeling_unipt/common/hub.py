"""A repository on the Hugging Face Hub that a folder is sent to, with every failure told in one sentence."""

import contextlib
import fnmatch
import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HFValidationError, HTTPError, RepositoryNotFoundError
from huggingface_hub.utils import enable_progress_bars

from .locks import held
from .user_errors import UserError

logger = logging.getLogger(__name__)
# A killed sending repeats at most this many files: what was pre-uploaded is not sent again.
FILES_AT_ONCE = 16
LOCK_FILE = ".sending.lock"


class HubRepository:
    """A repository on the Hub that may be written to. It is made if there is none.

    huggingface_hub reads ``HF_ENDPOINT``, ``HF_TOKEN`` (or what ``hf auth login`` saved) and ``HF_HUB_OFFLINE``.
    A subclass names its ``kind``, and its own ``publish`` calls :meth:`publish_folder`.

    Attributes:
        kind: what the repository holds, "dataset" or "model".
        name: ``namespace/name`` on the Hub.
        api: the client of huggingface_hub.

    Args:
        name: ``namespace/name``, or only a name, which then stands in the namespace of the token's owner.
        private: whether a new repository is private.

    Raises:
        UserError: there is no token, the Hub cannot be reached or refuses, or the repository is public and ``private``
            was asked for.
    """

    kind: ClassVar[str]
    name: str
    api: HfApi

    def __init__(self, name: str, private: bool = False) -> None:
        self.name = name
        self.api = HfApi(library_name="unipt")
        if constants.HF_HUB_OFFLINE:
            raise UserError(f"nothing can be sent to {name} while HF_HUB_OFFLINE is set; unset it")
        with self._errors_told():
            if get_token() is None:
                raise UserError(
                    f"there is no token to write to {name} with; set HF_TOKEN or run `hf auth login`, with a token of "
                    "role write from https://huggingface.co/settings/tokens"
                )
            # None leaves the choice to the namespace: an organisation may make its new repositories private.
            made = self.api.create_repo(name, repo_type=self.kind, private=private or None, exist_ok=True)
            self.name = made.repo_id
            info = self.api.repo_info(self.name, repo_type=self.kind, expand=["private"])
            if private and not info.private:
                raise UserError(
                    f"{self.name} is there and public, which --private does not change; make it private in its "
                    "settings on the Hub, or name another"
                )

    def files(self) -> list[str]:
        """The paths of all files in the repository.

        Raises:
            UserError: the Hub cannot be reached or refuses.
        """
        with self._errors_told():
            return self.api.list_repo_files(self.name, repo_type=self.kind)

    def preupload(self, files: Iterable[tuple[str, Path]]) -> list[CommitOperationAdd]:
        """Send those of ``files`` that the Hub lacks. Readers see none of them before a commit.

        Args:
            files: pairs of the path in the repository and the local path.

        Returns:
            One operation for each file, to be committed.

        Raises:
            UserError: the Hub cannot be reached or refuses, or a file cannot be read.
        """
        with self._errors_told():
            additions = [CommitOperationAdd(name, str(path)) for name, path in files]
            self.api.preupload_lfs_files(self.name, additions, repo_type=self.kind, free_memory=False)
        return additions

    def publish_folder(
        self, folder: Path | str, message: str, left_out: Collection[str] = (), replaced: str | None = None
    ) -> None:
        """Make the repository show the files of ``folder``, in one commit. What the Hub holds already is not sent.

        Hidden files are never sent. Other files of the repository stay.

        Args:
            message: the commit's message.
            left_out: names of files and folders directly in ``folder`` that are not sent.
            replaced: a pattern of paths, as in ``data/*.parquet``. Files of the repository that match it and are not in
                ``folder`` are deleted by the same commit.

        Raises:
            UserError: it failed, or another process is sending ``folder``. The same call goes on from there.
        """
        folder = Path(folder)
        names = _names_to_send(folder, left_out)
        if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
            # A command with a progress bar of its own has turned those of huggingface_hub off.
            enable_progress_bars()
        logger.info("sending %s, %s files, to %s", folder, len(names), self.name)
        lock = folder / LOCK_FILE
        try:
            with (
                self._errors_told(),
                held(lock, f"another process is sending {folder}; wait for it, or stop it first"),
                _removed_at_the_end(lock),
            ):
                operations = []
                for begin in range(0, len(names), FILES_AT_ONCE):
                    batch = names[begin : begin + FILES_AT_ONCE]
                    operations += self.preupload((name, folder / name) for name in batch)
                if replaced is not None:
                    gone = set(fnmatch.filter(self.files(), replaced)).difference(names)
                    operations += [CommitOperationDelete(name) for name in sorted(gone)]
                commit = self.api.create_commit(self.name, operations, commit_message=message, repo_type=self.kind)
        except UserError as error:
            raise UserError(f"{error}; {folder} is complete, and the same command goes on sending it") from None
        logger.info("%s holds %s: %s", self.name, folder, commit.commit_url)

    @contextlib.contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError, HTTPError) as error:
            # The first three also come from hf_xet and from the checks of huggingface_hub.
            raise UserError(self._sentence(error)) from None

    def _sentence(self, error: BaseException) -> str:
        while isinstance(error, RuntimeError) and error.__cause__ is not None:
            # "Error while uploading ..." hides the reason in its cause.
            error = error.__cause__
        status = getattr(getattr(error, "response", None), "status_code", None)
        message = getattr(error, "server_message", None) or str(error) or type(error).__name__
        message = " ".join(message.split())
        if isinstance(error, HFValidationError):
            return f"'{self.name}' cannot name a {self.kind} on the Hub: {message}"
        if isinstance(error, RepositoryNotFoundError) or status == 404:
            return f"the Hub has no {self.kind} {self.name} that this token may see"
        if status == 401:
            return f"the Hub does not accept the token of HF_TOKEN or `hf auth login`: {message}"
        if status == 403:
            return f"this token may not write to {self.name}: {message}"
        if status is not None:
            return f"the Hub refused {self.name} with status {status}: {message}"
        if isinstance(error, HTTPError):
            return f"the Hub at {self.api.endpoint} cannot be reached: {message}"
        return f"sending to {self.name} failed: {message}"


def _names_to_send(folder: Path, left_out: Collection[str]) -> list[str]:
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and name.parts[0] not in left_out:
            names.append(name.as_posix())
    return names


@contextlib.contextmanager
def _removed_at_the_end(lock: Path) -> Iterator[None]:
    """Remove the lock file after the block, so that a finished folder holds only what its command made.

    A process that opened the file just before may then send beside one that makes a new file. That does no harm: both
    send the same files, and the Hub makes no commit that changes nothing.
    """
    try:
        yield
    finally:
        # Windows does not remove a file that is open; there it stays, empty.
        with contextlib.suppress(OSError):
            lock.unlink()
