"""A tiny model, loaded once for all tests of galleries."""

import pytest

from modeling_unipt import load_unipt


@pytest.fixture(scope="session")
def model_and_processor(tiny_unipt_folder):
    return load_unipt(tiny_unipt_folder)
