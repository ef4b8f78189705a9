"""Send a LUPerson-T build to the Hugging Face Hub: shards as they finish, and at the end one commit that shows them.

A finished shard is pre-uploaded: the Hub stores its bytes, and no reader sees them before the commit. A marker in
``OUTPUT.partial/hub`` says what was sent, so that an interrupted build does not ask again. The last pass rewrites the
shards that hold near-duplicates, and those are sent anew at the end: the Hub's own storage (Xet) takes only the chunks
that changed, some hundredths of a shard, while plain LFS takes the file. Shards from which near-duplicates are dropped
change throughout, so such a build is sent at its end alone. The Hub, not a marker, has the last word on what it holds:
before the commit it is asked for every file, and gets those that it lacks.
"""

import contextlib
import fnmatch
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modeling_unipt.common.output_folders import SETTINGS_FILE
from modeling_unipt.common.user_errors import UserError

from .shards import held, mark_done, record_of, shards_to_do

FILES_AT_ONCE = 16
SHARDS = "data/*.parquet"


class HubDataset:
    """A dataset repository on the Hub that may be written to; it is made if there is none.

    ``HF_ENDPOINT``, ``HF_TOKEN`` (or ``hf auth login``) and ``HF_HUB_OFFLINE`` are heeded by huggingface_hub.

    Args:
        name: ``namespace/name``, or a name alone in the namespace of the token's owner.
        private: make it private.
    Raises:
        UserError: there is no token, the Hub cannot be reached or refuses, the repository holds a dataset of another
            origin, or it is public and ``private`` was asked for.
    """

    kind = "dataset"  # as huggingface_hub names the kind of a repository

    def __init__(self, name, private=False):
        from huggingface_hub import HfApi, constants, get_token

        self.name, self.api = name, HfApi(library_name="unipt")
        if constants.HF_HUB_OFFLINE:
            raise UserError(f"nothing can be sent to {name} while HF_HUB_OFFLINE is set; unset it")
        with self._told():
            if get_token() is None:
                raise UserError(
                    f"there is no token to write to {name} with; set HF_TOKEN or run `hf auth login`, with a token of "
                    "role write from https://huggingface.co/settings/tokens"
                )
            made = self.api.create_repo(name, repo_type=self.kind, private=private or None, exist_ok=True)
            self.name = made.repo_id
            info = self.api.repo_info(self.name, repo_type=self.kind, expand=["private"])
            if private and not info.private:
                raise UserError(
                    f"{self.name} is there and public, which --private does not change; make it private in its "
                    "settings on the Hub, or name another"
                )
            files = self._files()
        if fnmatch.filter(files, SHARDS) and SETTINGS_FILE not in files:
            raise UserError(f"{self.name} holds a dataset that this command did not make; name another")

    def preupload(self, files):
        """Send what the Hub lacks of ``files``, (path in the repository, local path), without showing it to readers.

        Returns:
            The files as operations for a commit.
        Raises:
            UserError: it failed.
        """
        from huggingface_hub import CommitOperationAdd

        with self._told():
            additions = [CommitOperationAdd(name, str(path)) for name, path in files]
            self.api.preupload_lfs_files(self.name, additions, repo_type=self.kind, free_memory=False)
        return additions

    def publish(self, folder):
        """Make the repository show the finished dataset ``folder``, in one commit; what the Hub holds is not sent.

        Shards of an earlier build under other names go with the same commit; other files stay.

        Raises:
            UserError: it failed, or another process is sending; called again, it goes on.
        """
        from huggingface_hub import CommitOperationDelete, constants
        from huggingface_hub.utils import enable_progress_bars

        if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
            enable_progress_bars()  # the build has its own and turned these off
        folder = Path(folder)
        names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        print(f"sending {folder}, {len(names)} files, to {self.name}")
        operations = []
        try:
            with self._told(), held(folder / SETTINGS_FILE, f"or sending {folder}"):
                for begin in range(0, len(names), FILES_AT_ONCE):
                    some = names[begin : begin + FILES_AT_ONCE]
                    operations += self.preupload((name.as_posix(), folder / name) for name in some)
                kept = {name.as_posix() for name in names}
                stale = [name for name in fnmatch.filter(self._files(), SHARDS) if name not in kept]
                operations += map(CommitOperationDelete, stale)
                commit = self.api.create_commit(
                    self.name, operations, commit_message="Dataset built by UniPT's luperson_t", repo_type=self.kind
                )
        except UserError as error:
            raise UserError(f"{error}; {folder} is complete, and the same command goes on sending it") from None
        print(f"{self.name} holds {folder}: {commit.commit_url}")

    def _files(self):
        return self.api.list_repo_files(self.name, repo_type=self.kind)

    @contextlib.contextmanager
    def _told(self):
        try:
            yield
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError, _http_error()) as error:  # some of them hf_xet's
            raise UserError(self._sentence(error)) from None

    def _sentence(self, error):
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

        while isinstance(error, RuntimeError) and error.__cause__ is not None:  # "Error while uploading ..."
            error = error.__cause__
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = getattr(error, "server_message", None) or str(error) or type(error).__name__
        said = " ".join(said.split())
        if isinstance(error, HFValidationError):
            return f"'{self.name}' cannot name a {self.kind} on the Hub: {said}"
        if isinstance(error, RepositoryNotFoundError) or status == 404:
            return f"the Hub has no {self.kind} {self.name} that this token may see"
        if status == 401:
            return f"the Hub does not accept the token of HF_TOKEN or `hf auth login`: {said}"
        if status == 403:
            return f"this token may not write to {self.name}: {said}"
        if status is not None:
            return f"the Hub refused {self.name} with status {status}: {said}"
        if isinstance(error, _http_error()):
            return f"the Hub at {self.api.endpoint} cannot be reached: {said}"
        return f"sending to {self.name} failed: {said}"


def _http_error():
    from huggingface_hub.errors import HTTPError  # of httpx or httpx2, whichever the installed version uses

    return HTTPError


@contextlib.contextmanager
def shards_sent(dataset, work, shards, team):
    """Send this process's shards in a thread of their own while the block makes more; its end waits for the last.

    A failure stops neither the block nor the build: it is told once, and :meth:`HubDataset.publish` sends the rest.

    Args:
        dataset: :class:`HubDataset`, or None to send nothing.
        work: folder of the build; shards that were done before are sent too, unless a marker says that they were.
        shards: relative paths of the Parquet files.
    Yields:
        A function to be called with the number of each shard that is done.
    """
    if dataset is None:
        yield lambda number: None
        return
    markers, gave_up = Path(work, "hub"), []
    markers.mkdir(exist_ok=True)

    def send(number):
        name, path = shards[number].as_posix(), Path(work, "shards", shards[number])
        sent = record_of(markers, number)
        if gave_up or (sent and (sent["repo"], sent["size"]) == (dataset.name, path.stat().st_size)):
            return
        try:
            (addition,) = dataset.preupload([(name, path)])
        except UserError as error:
            gave_up.append(number)
            print(f"warning: {error}; the build goes on, and what was not sent is sent at its end", file=sys.stderr)
            return
        info = addition.upload_info
        mark_done(markers, number, {"repo": dataset.name, "sha256": info.sha256.hex(), "size": info.size})

    pool = ThreadPoolExecutor(1, thread_name_prefix="hub")
    futures = []
    try:
        todo = set(shards_to_do(work, len(shards), team))
        done = [number for number in range(len(shards)) if team.shares(number) and number not in todo]
        futures += [pool.submit(send, number) for number in done]
        yield lambda number: futures.append(pool.submit(send, number))
        for future in futures:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
