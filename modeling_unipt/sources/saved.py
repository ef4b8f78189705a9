"""What the ``datasets`` library opens: the Hub, and folders of ``save_to_disk``. Arrow files are mapped, not loaded."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..common.stand_ins import refuse_stand_in
from ..common.user_errors import UserError, first_line

if TYPE_CHECKING:
    from datasets import Dataset

# One of these lies in such a folder: of several splits the first, of a single data set the second.
SAVED_DATASET = ("dataset_dict.json", "state.json")
# What a data set is called whose split is not recorded.
DEFAULT_SPLIT = "train"


def is_saved_dataset(path: Path | str) -> bool:
    """Whether ``save_to_disk`` wrote the folder ``path``."""
    return any(Path(path, name).is_file() for name in SAVED_DATASET)


def saved_splits(path: Path | str) -> "dict[str, Dataset]":
    """Split -> its rows, of a folder that ``save_to_disk`` wrote.

    A data set that was saved alone is the split that it was taken from.

    Raises:
        UserError: it cannot be loaded, or a file in it is a stand-in for the real one.
    """
    try:
        from datasets import Dataset, load_from_disk
    except ImportError:
        raise UserError(f"{path} is a saved dataset; to read it, run: pip install 'unipt[data]'") from None
    for file in sorted(Path(path).rglob("*.arrow")):
        refuse_stand_in(file)
    try:
        loaded = load_from_disk(str(path))
    except Exception as error:  # missing and broken files raise many kinds
        raise UserError(
            f"{path} cannot be read as a saved dataset ({type(error).__name__}: {first_line(error)}); save it again "
            "with save_to_disk"
        ) from None
    if not isinstance(loaded, Dataset):
        return {str(name): split for name, split in loaded.items()}
    # A part of a split is recorded as "train[:10%]".
    name = str(loaded.split or DEFAULT_SPLIT).partition("[")[0]
    return {name if name.isidentifier() else DEFAULT_SPLIT: loaded}


def hub_splits(name: str, missing: str) -> "dict[str, Dataset]":
    """Split -> its rows, of a dataset on the Hugging Face Hub, or of a copy of it in the cache.

    Args:
        missing: what messages say does not exist: ``name`` was looked for on the disk first.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(
            f"{missing} does not exist; to read a dataset of that name, run: pip install 'unipt[data]'"
        ) from None
    try:
        return load_dataset(name)
    except Exception as error:  # hub, network, format and configuration errors: all mean "no dataset of this name"
        raise UserError(
            f"{missing} does not exist, and no dataset of that name can be loaded ({first_line(error)})"
        ) from None
