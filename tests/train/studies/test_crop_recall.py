"""What train/crop_recall.py counts, by hand, and the page that it wrote."""

import json

import pytest

from modeling_unipt.crop.boxes import Detection
from tests.helpers.paths import ROOT
from unipt_train import crop_recall
from unipt_train.crop_recall import Count, read_labels

HERE = (10.0, 10.0, 30.0, 70.0)
THERE = (60.0, 10.0, 80.0, 70.0)
# Three quarters of HERE.
NEARLY_HERE = (10.0, 10.0, 30.0, 55.0)
HALF_BESIDE = (20.0, 10.0, 40.0, 70.0)


def counted(*frames):
    count = Count()
    for number, (labels, boxes) in enumerate(frames):
        count.add(number, labels, [Detection(box, score) for box, score in boxes])
    return count.summary()


def test_people_who_are_found_and_boxes_that_are_false():
    told = counted(
        ([HERE, THERE], [(NEARLY_HERE, 0.9), (THERE, 0.8)]),
        # Somebody found twice, and somebody missed.
        ([HERE, THERE], [(HERE, 0.9), (NEARLY_HERE, 0.8)]),
        # A third of the union is not enough.
        ([HERE], [(HALF_BESIDE, 0.9)]),
        ([], []),
    )
    assert (told["frames"], told["people"], told["found"], told["false"]) == (4, 5, 3, 2)
    assert told["recall"] == 0.6 and told["false_per_image"] == 0.5
    assert told["mean_iou"] == pytest.approx((0.75 + 1 + 1) / 3, abs=1e-4)
    assert told["missed"] == [1, 2] and told["wrong"] == [1, 2]


def test_the_surest_box_chooses_first():
    assert counted(([HERE], [(NEARLY_HERE, 0.8), (HERE, 0.9)]))["mean_iou"] == 1


def test_the_labels_are_boxes_in_the_frame_at_equal_distances():
    labels = read_labels(ROOT / "docs" / "crop_labels.json")
    assert list(labels) == list(range(11, 11 + 60 * 23, 23))
    for boxes in labels.values():
        for left, top, right, bottom in boxes:
            assert 0 <= left < right <= 768 and 0 <= top < bottom <= 432


def test_the_page_says_what_was_measured_and_the_aim_is_reached():
    measured = json.loads((ROOT / "docs" / "crop_recall.json").read_text())
    assert (ROOT / "docs" / "crop_recall.md").read_text() == crop_recall.markdown(measured)
    assert measured["ways"][crop_recall.FIXED]["recall"] >= 0.8
