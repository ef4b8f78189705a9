"""Send a LUPerson-T build to the Hugging Face Hub: shards as they finish, and at the end one commit that shows them.

A finished shard is pre-uploaded: the Hub stores its bytes, and no reader sees them before the commit. A marker in
``OUTPUT.partial/hub`` says what was sent, so that a build that goes on does not ask again.

The end of a build rewrites the shards that hold near-duplicates, and those are sent a second time. The Hub's own
storage (Xet) takes only the chunks that changed, a few percent of a shard; plain LFS takes the whole file. If
near-duplicates are dropped, every shard changes throughout; such a build is sent only at its end.

The Hub, not a marker, has the last word on what it holds: before the commit it is asked about every file, and gets
those that it lacks.
"""

import fnmatch
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from modeling_unipt.common.hub import HubRepository
from modeling_unipt.common.output_folders import SETTINGS_FILE
from modeling_unipt.common.user_errors import UserError

from .shards import Team, mark_done, record_of, shards_to_do

logger = logging.getLogger(__name__)
SHARDS = "data/*.parquet"


class HubDataset(HubRepository):
    """A dataset repository on the Hub that may be written to. It is made if there is none.

    Raises:
        UserError: see :class:`HubRepository`; or the repository holds a dataset that this command did not make.
    """

    kind = "dataset"

    def __init__(self, name: str, private: bool = False) -> None:
        super().__init__(name, private)
        files = self.files()
        if fnmatch.filter(files, SHARDS) and SETTINGS_FILE not in files:
            raise UserError(f"{self.name} holds a dataset that this command did not make; name another")

    def publish(self, folder: Path | str) -> None:
        """Make the repository show the finished dataset ``folder``, in one commit.

        The commit also deletes the shards of an earlier build that have other names. Other files stay.

        Raises:
            UserError: see :meth:`HubRepository.publish_folder`.
        """
        self.publish_folder(folder, "Dataset built by UniPT's luperson_t", replaced=SHARDS)


@contextmanager
def shards_sent(
    dataset: HubDataset | None, work: Path, shards: Sequence[Path], team: Team
) -> Iterator[Callable[[int], None]]:
    """Send this process's shards in a thread of their own while the block makes more. The end waits for the last.

    A failure stops neither the block nor the build: there is one warning, and :meth:`HubDataset.publish` sends the
    rest.

    Args:
        dataset: None sends nothing.
        work: folder of the build. Shards that are done already are sent too, unless a marker says that they were.
        shards: relative paths of the Parquet files.

    Yields:
        A function that takes the number of each shard that is done.
    """
    if dataset is None:
        yield lambda number: None
        return
    markers = work / "hub"
    markers.mkdir(exist_ok=True)
    gave_up = False

    def send(number: int) -> None:
        nonlocal gave_up
        if gave_up:
            return
        name = shards[number].as_posix()
        path = work / "shards" / shards[number]
        sent = record_of(markers, number)
        if sent is not None and (sent["repo"], sent["size"]) == (dataset.name, path.stat().st_size):
            return
        try:
            (addition,) = dataset.preupload([(name, path)])
        except UserError as error:
            gave_up = True
            logger.warning("%s; the build goes on, and what was not sent is sent at its end", error)
            return
        info = addition.upload_info
        mark_done(markers, number, {"repo": dataset.name, "sha256": info.sha256.hex(), "size": info.size})

    # One thread: the Hub's client already sends the parts of a file at once, and shards go in order.
    pool = ThreadPoolExecutor(1, thread_name_prefix="hub")
    futures = []
    try:
        todo = set(shards_to_do(work, len(shards), team))
        for number in range(len(shards)):
            if team.shares(number) and number not in todo:
                futures.append(pool.submit(send, number))
        yield lambda number: futures.append(pool.submit(send, number))
        for future in futures:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
