"""What the tests of several rooms score with."""

import pytest

from dataset_builders.conquer.scorer import Scorer


@pytest.fixture(scope="session")
def scorer(tiny_clip_folder, vocabulary):
    """A scorer of random weights, on the CPU, for the vocabulary of people."""
    return Scorer(tiny_clip_folder, vocabulary, device="cpu")
