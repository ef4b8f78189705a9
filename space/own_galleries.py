"""The galleries that users make of their own pictures: one a session, in a folder of its own, deleted after it."""

import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from modeling_unipt.common.user_errors import UserError
from unipt_space.people import People
from unipt_space.uploads import sweep, take

MOST_GALLERIES = 32
IDLE, UPLOAD_AGE, PERIOD = 1800, 40, 10  # seconds


class Gone(Exception):
    """The user left, or began anew, while the gallery was being made."""


@dataclass
class OwnGallery:
    """One user's pictures.

    Attributes:
        folder: holds ``pictures`` and, once made, ``gallery`` and ``gallery.zip``.
        taken: `uploads.Taken`, what came of the upload.
        people: `People`, or None until the gallery is made.
    """

    folder: Path
    taken: object = None
    people: People | None = None
    gone: bool = False
    used: float = field(default_factory=time.monotonic)


class OwnGalleries:
    """All users' galleries.

    Args:
        root: folder for them; everything in it is deleted at `close`.
        model: `ServedModel` that embeds them.
    """

    def __init__(self, root, model):
        self.root, self.model = Path(root), model
        self._of, self._lock, self._closed = {}, threading.Lock(), threading.Event()

    def start(self):
        """Begin to delete what is no longer used."""
        threading.Thread(target=self._clean, name="clean", daemon=True).start()

    def begin(self, session, paths):
        """Take a user's uploads over; a gallery that the user had before is deleted.

        Raises:
            UserError: see `uploads.take`, or too many users have galleries now.
        """
        self.forget(session)
        own = OwnGallery(self.root / secrets.token_urlsafe(16))
        with self._lock:
            if len(self._of) >= MOST_GALLERIES:
                raise UserError("many people are using their own galleries now; try again in some minutes")
            self._of[session] = own
        try:
            (own.folder / "pictures").mkdir(parents=True)
            own.taken = take(paths, own.folder / "pictures")
        except BaseException:
            self.forget(session)
            raise
        return own

    def make(self, session, progress):
        """Embed the pictures that `begin` took over.

        Args:
            progress: function of (pictures done, pictures in all).

        Raises:
            UserError: none can be read. Gone: the user left.
        """
        from modeling_unipt import PersonGallery

        own = self.of(session)

        def told(done, total):
            if own.gone:
                raise Gone
            progress(done, total)

        try:
            self.model.index(own.folder / "pictures", own.folder / "gallery", told)
            gallery = PersonGallery.load(own.folder / "gallery", (self.model.model, self.model.processor))
            shutil.make_archive(str(own.folder / "gallery"), "zip", own.folder, "gallery")
        except BaseException:
            if not own.gone:
                self.forget(session)
            raise
        finally:
            if own.gone:
                shutil.rmtree(own.folder, ignore_errors=True)
        if own.gone:
            raise Gone
        own.people = People(gallery, _reader(own.folder / "pictures"), "your gallery", self.model)
        return own

    def of(self, session):
        """The session's `OwnGallery`.

        Raises:
            UserError: it has none.
        """
        with self._lock:
            own = self._of.get(session)
            if own is not None:
                own.used = time.monotonic()
                return own
        raise UserError("there is no gallery of yours yet; upload pictures first")

    def people_of(self, session):
        """The session's `People`.

        Raises:
            UserError: it has none, or they are still being embedded.
        """
        people = self.of(session).people
        if people is None:
            raise UserError("your pictures are still being read; wait for the end of the bar")
        return people

    def forget(self, session):
        """Delete what the session has."""
        with self._lock:
            own = self._of.pop(session, None)
        if own is not None:
            own.gone, own.people = True, None
            shutil.rmtree(own.folder, ignore_errors=True)

    def close(self):
        """Delete everything, at the end of the app."""
        self._closed.set()
        for session in list(self._of):
            self.forget(session)
        shutil.rmtree(self.root, ignore_errors=True)

    def _clean(self):
        while not self._closed.wait(PERIOD):
            sweep(UPLOAD_AGE)
            with self._lock:
                idle = [name for name, own in self._of.items() if time.monotonic() - own.used > IDLE]
            for session in idle:
                self.forget(session)


def _reader(folder):
    from modeling_unipt.common.image_files import read_image

    return lambda name: read_image(folder / name)
