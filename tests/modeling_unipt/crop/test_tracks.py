"""Boxes and tracks, on numbers that can be checked by hand."""

import itertools

import numpy as np
import pytest

from modeling_unipt.crop.boxes import Detection, clipped, intersection, iou, iou_table, widened
from modeling_unipt.crop.tracks import Tracker


def seen(*boxes):
    return [Detection(box, 1.0) for box in boxes]


def test_overlaps_by_hand():
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(2 / 6)
    assert iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0 and iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0
    assert intersection((0, 0, 10, 10), (2, 3, 4, 5)) == 4
    assert widened((10, 20, 20, 60), 0.1) == (9, 16, 21, 64)
    assert clipped((-3, -1, 500, 40), 100, 50) == (0, 0, 100, 40)


def test_the_table_of_overlaps_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (9, 2))
    boxes = np.concatenate([low, low + rng.uniform(-1, 40, (9, 2))], 1)
    table = iou_table(boxes[:5], boxes[5:])
    assert table.shape == (5, 4)
    for row, column in itertools.product(range(5), range(4)):
        assert table[row, column] == pytest.approx(iou(tuple(boxes[row]), tuple(boxes[5 + column])))


def test_somebody_who_stands_keeps_the_number_and_others_get_their_own():
    tracker = Tracker()
    for step in range(20):
        assert tracker.update(step / 5, seen((10, 10, 30, 70), (60, 10, 80, 70))) == [1, 2]
    assert tracker.update(4.0, seen((60, 10, 80, 70), (200, 10, 220, 70), (10, 10, 30, 70))) == [2, 3, 1]


def test_two_who_cross_keep_their_numbers():
    """By their overlap alone they would change: in the middle each is nearer to where the other was."""
    tracker = Tracker(7)
    for step in range(30):
        time = step / 5
        right = 10 * step
        left = 300 - 10 * step
        boxes = [(right, 0, right + 60, 120), (left, 5, left + 60, 125)]
        assert tracker.update(time, seen(*boxes)) == [7, 8], step


def test_somebody_fast_leaves_the_box_between_two_frames_and_is_still_followed():
    tracker = Tracker()
    numbers = [tracker.update(step / 5, seen((50 * step, 0, 50 * step + 40, 100)))[0] for step in range(8)]
    assert numbers == [1] * 8
    assert tracker.tracks[0].speed == pytest.approx((250, 0))


def test_a_short_gap_is_bridged_at_the_expected_place_and_a_long_one_is_not():
    tracker = Tracker()
    for step in range(5):
        tracker.update(step / 5, seen((20 * step, 0, 20 * step + 40, 100)))
    for step in range(5, 10):
        assert tracker.update(step / 5, []) == []
    # After one second without the person, who went on at 100 pixels a second.
    assert tracker.update(2.0, seen((200, 0, 240, 100))) == [1]
    for step in range(11, 20):
        tracker.update(step / 5, [])
    assert tracker.update(4.0, seen((400, 0, 440, 100))) == [2]


def test_who_appears_where_nobody_is_expected_gets_a_new_number():
    tracker = Tracker()
    tracker.update(0.0, seen((0, 0, 40, 100)))
    assert tracker.update(0.2, seen((200, 0, 240, 100))) == [2]


def test_frames_far_apart_join_who_stands_but_not_after_many_seconds():
    tracker = Tracker()
    tracker.update(0.0, seen((0, 0, 40, 100)))
    assert tracker.update(3.0, seen((2, 0, 42, 100))) == [1]
    assert tracker.update(60.0, seen((2, 0, 42, 100))) == [2]


def test_two_frames_of_one_time_do_no_harm():
    tracker = Tracker()
    tracker.update(1.0, seen((0, 0, 40, 100)))
    assert tracker.update(1.0, seen((1, 0, 41, 100))) == [1]


def test_a_restored_tracker_goes_on_as_the_first_one_would():
    rng = np.random.default_rng(3)
    steps = []
    for step in range(40):
        left = rng.uniform(0, 300, 3) + step
        steps.append((step / 5, seen(*[(x, 0.0, x + 40, 100.0) for x in left if x < 280])))
    straight = Tracker()
    expected = [straight.update(*step) for step in steps]
    stopping = Tracker()
    numbers = []
    for step in steps:
        stopping = Tracker.restored(stopping.state())
        numbers.append(stopping.update(*step))
    assert numbers == expected and stopping.state() == straight.state()
