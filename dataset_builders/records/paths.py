"""How an annotation spells the path of an image, and how the image folder does.

images = ImageFolder("CUHK-PEDES/imgs", prefix="imgs")
images.spelled("cam_a/1.png")           # "cam_a/1.png", if that is a file
images.spelled("imgs\\cam_a\\1.JPG")    # "cam_a/1.png" too, the only file that can be meant
images.spelled("cam_a/2.png")           # None: there is no such image
"""

from dataclasses import dataclass
from pathlib import Path


class ImageFolder:
    """Finds the images that an annotation names, also where the annotation spells their paths differently.

    Backslashes, upper and lower case, another suffix of an image, blanks at the edges, a name of the image folder too
    many or too few (``imgs/``), and the absolute path of another computer are understood. The folder is listed once,
    when an exact match fails for the first time, into a temporary database on disk: memory does not grow with it.

    Args:
        folder: what paths are relative to.
        prefix: a folder's name that annotations may put before a path, or leave out, such as "imgs". The folder's own
            name, "imgs", "images", "img" and "image" are always understood.
    """

    def __init__(self, folder: Path | str, prefix: str = "") -> None:
        self.folder = Path(folder)
        self.prefix = prefix

    def spelled(self, path: str) -> str | None:
        """The path of that image as it stands on disk, relative to the folder, or None.

        None means that there is no such image, or several that fit equally well. An exact match comes first and
        costs one look at the disk.
        """
        return path if (self.folder / path).is_file() else None

    def count(self) -> int:
        """The number of images in the folder, also in its sub-folders."""
        raise NotImplementedError


@dataclass
class PathTally:
    """Counts how the paths of an annotation fit an image folder, as they are looked up one after another.

    Attributes:
        images: the folder.
        exact: paths that are right as they stand.
        respelled: paths that are spelled differently on disk.
        missing: paths without an image.
        example: the first respelled path, as named and as on disk.
        first_missing: the first path without an image.
    """

    images: ImageFolder
    exact: int = 0
    respelled: int = 0
    missing: int = 0
    example: tuple[str, str] | None = None
    first_missing: str | None = None

    def find(self, path: str) -> str | None:
        """:meth:`ImageFolder.spelled` of the path, counted."""
        raise NotImplementedError

    def check(self, annotation: Path | str, fix_paths: bool) -> str | None:
        """What to tell the user about paths that are spelled differently on disk, or None if there are none.

        Args:
            annotation: the file that names the images.
            fix_paths: whether the user passed ``--fix-paths``.

        Raises:
            UserError: there are some, and ``fix_paths`` is not set; it says which spelling exists.
        """
        raise NotImplementedError


def coverage_line(annotation: Path | str, images: ImageFolder, named: int, found: int) -> str | None:
    """A sentence with both numbers if an annotation names only a part of the folder, or more than is there, else None.

    Args:
        annotation: the file that names the images.
        named: how many different images it names.
        found: how many of these are in the folder.
    """
    raise NotImplementedError
