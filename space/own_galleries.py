"""The galleries that users make of their own images: one for each session, in its own folder, deleted after use."""

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from modeling_unipt import PersonGallery
from modeling_unipt.common.user_errors import UserError
from unipt_space.people import People
from unipt_space.served_model import ServedModel
from unipt_space.uploads import Taken, sweep, take

MOST_GALLERIES = 32
IDLE_SECONDS = 1800
UPLOAD_SECONDS = 40
SWEEP_SECONDS = 10


class Gone(Exception):
    """The user left, or began anew, while the gallery was being made."""


@dataclass
class OwnGallery:
    """One user's images.

    Attributes:
        folder: holds the folder ``images`` and later the folder ``gallery`` and the file ``gallery.zip``.
        taken: what came of the upload; None until that is known.
        people: the gallery to search; None until it is made.
        gone: whether the user left. Then nobody looks at this object any more, and its folder goes.
        used: the time (``time.monotonic()``) of the last use.
    """

    folder: Path
    taken: Taken | None = None
    people: People | None = None
    gone: bool = False
    used: float = field(default_factory=time.monotonic)


class OwnGalleries:
    """All users' galleries, by session.

    Args:
        root: the folder for them; `close` deletes everything in it.
        model: embeds them.
    """

    def __init__(self, root: Path, model: ServedModel) -> None:
        self.root = Path(root)
        self.model = model
        self._of: dict[str, OwnGallery] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def start(self) -> None:
        """From now on delete what is no longer used."""
        threading.Thread(target=self._clean, name="clean", daemon=True).start()

    def begin(self, session: str, paths: Iterable[object]) -> OwnGallery:
        """Take a user's uploads over. A gallery that the user had before is deleted.

        Raises:
            UserError: `uploads.take` refuses them, or too many users have galleries now.
        """
        self.forget(session)
        own = OwnGallery(self.root / secrets.token_urlsafe(16))
        with self._lock:
            if len(self._of) >= MOST_GALLERIES:
                raise UserError("many people are using their own galleries now; try again in some minutes")
            self._of[session] = own
        try:
            (own.folder / "images").mkdir(parents=True)
            own.taken = take(paths, own.folder / "images")
        except BaseException:
            self.forget(session)
            raise
        return own

    def make(self, session: str, progress: Callable[[int, int], None]) -> OwnGallery:
        """Embed the images that `begin` took over.

        Args:
            progress: called with the number of images done and of all images.

        Raises:
            UserError: no image can be read.
            Gone: the user left.
        """
        own = self.of(session)

        def go_on(done: int, total: int) -> None:
            if own.gone:
                raise Gone
            progress(done, total)

        try:
            self.model.index(own.folder / "images", own.folder / "gallery", go_on)
            gallery = PersonGallery.load(own.folder / "gallery", (self.model.model, self.model.processor))
            shutil.make_archive(str(own.folder / "gallery"), "zip", own.folder, "gallery")
        except BaseException:
            if not own.gone:
                self.forget(session)
            raise
        finally:
            # `forget` deleted the folder, but what was being written then may have come back since.
            if own.gone:
                shutil.rmtree(own.folder, ignore_errors=True)
        if own.gone:
            raise Gone
        # In the index for download no folder is named, because the user's own copies lie elsewhere.
        gallery.folder = str(own.folder / "images")
        own.people = People(gallery, gallery.image_of, "your gallery", self.model)
        return own

    def of(self, session: str) -> OwnGallery:
        """The session's gallery; this counts as a use of it.

        Raises:
            UserError: it has none.
        """
        with self._lock:
            own = self._of.get(session)
            if own is not None:
                own.used = time.monotonic()
                return own
        raise UserError("there is no gallery of yours yet; upload images first")

    def people_of(self, session: str) -> People:
        """The people in the session's gallery.

        Raises:
            UserError: it has none, or its images are still being embedded.
        """
        people = self.of(session).people
        if people is None:
            raise UserError("your images are still being read; wait for the end of the bar")
        return people

    def forget(self, session: str) -> None:
        """Delete what the session has."""
        with self._lock:
            own = self._of.pop(session, None)
        if own is not None:
            own.gone = True
            own.people = None
            shutil.rmtree(own.folder, ignore_errors=True)

    def close(self) -> None:
        """Delete everything, at the end of the app."""
        self._closed.set()
        for session in list(self._of):
            self.forget(session)
        shutil.rmtree(self.root, ignore_errors=True)

    def _clean(self) -> None:
        while not self._closed.wait(SWEEP_SECONDS):
            sweep(UPLOAD_SECONDS)
            with self._lock:
                now = time.monotonic()
                idle = [session for session, own in self._of.items() if now - own.used > IDLE_SECONDS]
            for session in idle:
                self.forget(session)
