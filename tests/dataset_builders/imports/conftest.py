"""What makes the tests of imports fast."""

import pytest

from dataset_builders.imports import build


@pytest.fixture(scope="package", autouse=True)
def vocabulary_is_read_once(vocabulary):
    """Reading the vocabulary takes longer than an import of a few images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "load_vocabulary", lambda: vocabulary)
        yield
