"""Calibration files: written, read back, refused for another scorer or vocabulary."""

import dataclasses
import errno
from pathlib import Path

import pytest

from dataset_builders.conquer.calibration import (
    AttributeCalibration,
    Slot,
    default_calibration,
    find_calibration,
    hash_of_scored,
    load_calibration,
)
from dataset_builders.conquer.scorer import scorer_identity
from dataset_builders.divide.reading import DEFAULT_VOCABULARY, load_vocabulary
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.vehicles import VEHICLES


def test_a_calibration_is_stored_and_read_back(vocabulary, tmp_path):
    path = tmp_path / "calibration.json"
    made = default_calibration(vocabulary)
    made = type(made)(made.attributes, "abc", hash_of_scored(vocabulary), 7)
    made.write(path)
    read = load_calibration(path, "folder, abc", vocabulary)
    assert read.images == 7 and read.attributes.keys() == made.attributes.keys()
    slot = read.attributes["age"].slots["age"]
    assert isinstance(read.attributes["age"], AttributeCalibration) and slot == Slot(1.0, (0.25,) * 4, 0.5)
    with pytest.raises(UserError, match="was fitted for the scorer abc, not for other"):
        load_calibration(path, "other", vocabulary)
    with pytest.raises(UserError, match="was fitted for the vocabulary"):
        load_calibration(path, "abc", load_vocabulary(VEHICLES))
    path.write_text("{}")
    with pytest.raises(UserError, match="cannot be read .KeyError.; make one with"):
        load_calibration(path, "abc", vocabulary)


def test_what_is_not_scored_does_not_unfit_a_calibration(vocabulary, tmp_path):
    text = DEFAULT_VOCABULARY.read_text()
    for name, old, new, same in (
        ("synonym", "synonyms: [jogging]", "synonyms: [jogging, sprinting]", True),
        ("subject", "A photo of a tree.", "A photo of a bench.", True),
        ("prompt", "A person {phrase}.", "One person {phrase}.", False),
        ("region", "upper: [0.1, 0.6]", "upper: [0.1, 0.7]", False),
    ):
        assert old in text
        path = tmp_path / f"{name}.yaml"
        path.write_text(text.replace(old, new, 1).replace("templates: {", "# templates: {", 1))
        assert (hash_of_scored(load_vocabulary(path)) == hash_of_scored(vocabulary)) == same


def test_the_released_calibration_fits_the_released_scorer(vocabulary):
    scorer = ROOT / "unipt" / "clip-tiny"
    found = load_calibration(find_calibration(scorer), scorer_identity(str(scorer)), vocabulary)
    assert found.images == 3000 and list(found.attributes) == list(vocabulary.attributes)


def test_a_write_that_is_cut_short_leaves_the_old_calibration(vocabulary, tmp_path, monkeypatch):
    path = tmp_path / "calibration.json"
    made = dataclasses.replace(
        default_calibration(vocabulary), scorer="abc", vocabulary=hash_of_scored(vocabulary), images=7
    )
    made.write(path)
    before = path.read_bytes()
    write_text = Path.write_text

    def half(self, text, *arguments, **options):
        write_text(self, text[: len(text) // 2], *arguments, **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        dataclasses.replace(made, images=8).write(path)
    assert path.read_bytes() == before and load_calibration(path, "abc", vocabulary).images == 7
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]
