"""A gallery of person crops on disk: index images, search them by description or image, add and remove.

The names below are loaded on first use, so that ``unipt --help`` does not wait for torch.
"""

import importlib
from typing import Any

__all__ = ["PersonGallery", "SearchResult"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".gallery", __name__), name)
