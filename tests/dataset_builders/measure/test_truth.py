"""Truth files: read, and matched with the images of a dataset."""

import pytest

from dataset_builders.measure.truth import match_truth
from modeling_unipt.common.user_errors import UserError


def test_truth_is_matched_whatever_folder_its_names_begin_with():
    truth = {"images/a/1.jpg": "first", "images/b/1.jpg": "second"}
    assert match_truth(["b/1", "a/1.jpg"], truth) == ["second", "first"]
    assert match_truth(["images/b/1.jpg"], truth) == ["second"]
    with pytest.raises(UserError, match="does not know 1 of 2 images, such as 'c/1'"):
        match_truth(["a/1", "c/1"], truth)
