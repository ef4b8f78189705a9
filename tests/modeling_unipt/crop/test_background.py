"""The background of a fixed camera, and what is found before it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from modeling_unipt.crop import offline
from modeling_unipt.crop.background import Background, Blob, background_of, blobs, foreground
from modeling_unipt.crop.boxes import Detection, iou
from modeling_unipt.crop.frames import Frame, FrameSource
from modeling_unipt.crop.offline import _joined

HEIGHT = 200
WIDTH = 260


@pytest.fixture
def room():
    """(HEIGHT, WIDTH, 3) uint8: a wall and a floor."""
    image = np.full((HEIGHT, WIDTH, 3), (200, 205, 215), np.uint8)
    image[120:] = (150, 100, 60)
    return image


def with_person(image, left, colour=(20, 20, 30), top=40, bottom=180, width=50):
    image = image.copy()
    image[top:bottom, left : left + width] = colour
    return image


def noisy(image, seed):
    noise = np.random.default_rng(seed).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_the_background_is_free_of_people_who_stand_most_of_the_time(room):
    """Somebody in black stands at one place in six of ten frames: a median would show him or her."""
    samples = []
    people = []
    for number in range(10):
        there = number < 6
        samples.append(noisy(with_person(room, 100) if there else room, number))
        # In one of six frames the person is not found.
        people.append([(100, 40, 150, 180)] if there and number else [])
    background = background_of(samples, people)
    assert background.known.all()
    assert np.abs(background.image.astype(int) - room).max() < 10
    assert np.abs(np.median(samples, axis=0) - room).max() > 100


def test_where_somebody_stood_in_every_sample_nothing_is_known(room):
    samples = [noisy(with_person(room, 100), number) for number in range(9)]
    background = background_of(samples, [[(100, 40, 150, 180)]] * 9)
    assert not background.known[100, 120] and background.known[100, 90] and background.known[190, 120]


def test_a_moving_camera_few_frames_and_sizes_that_change_have_no_background(room):
    texture = np.random.default_rng(1).integers(0, 255, (HEIGHT, 2 * WIDTH, 3)).astype(np.uint8)
    moving = [texture[:, 9 * number : 9 * number + WIDTH] for number in range(8)]
    assert background_of(moving, [[]] * 8) is None
    assert background_of([room] * 7, [[]] * 7) is None
    assert background_of([room] * 8 + [room[:-1]], [[]] * 9) is None


def test_a_person_is_one_blob_and_the_shadow_beside_is_not_in_its_box(room):
    image = with_person(room, 100)
    shadow = image[150:180, 150:220]
    shadow[:] = (shadow * 0.7).astype(np.uint8)
    mask = foreground(cv2, noisy(image, 5), Background(room, np.ones((HEIGHT, WIDTH), bool)))
    (blob,) = blobs(cv2, mask)
    assert iou(blob.box, (100, 40, 150, 180)) > 0.9
    assert blob.share > 0.9 and 0.6 < blob.sure < 0.9


def test_a_shadow_alone_is_surely_nothing(room):
    image = room.copy()
    image[40:180, 100:150] = (image[40:180, 100:150] * 0.7).astype(np.uint8)
    mask = foreground(cv2, image, Background(room, np.ones((HEIGHT, WIDTH), bool)))
    assert mask.any() and all(blob.sure < 0.1 for blob in blobs(cv2, mask))


def test_a_camera_that_gets_brighter_changes_nothing(room):
    brighter = np.clip(room.astype(int) + 35, 0, 255).astype(np.uint8)
    mask = foreground(cv2, brighter, Background(room, np.ones((HEIGHT, WIDTH), bool)))
    assert not mask.any()


class Lamp(FrameSource):
    """A room that is dark for the first minute, then lit."""

    path = Path("lamp.mp4")

    def __init__(self, room):
        self.room = room

    def at(self, time):
        return Frame(0, float(time), "lamp.mp4", self.room if time >= 60 else (self.room * 0.3).astype(np.uint8))

    def samples(self):
        return (self.at(time) for time in range(0, 125, 5))


def test_a_long_video_has_a_background_for_each_part(room, monkeypatch):
    monkeypatch.setattr(offline, "SAMPLES", 12)
    detector = offline.OfflineDetector(0.5)
    source = Lamp(room[:, :100])
    detector.begin(source)
    # The last of 25 samples alone makes no background.
    assert [begin for begin, _ in detector.backgrounds] == [0, 60]
    for time in (3, 58, 63, 300):
        seen = detector._background_of(source.at(time)).image
        assert abs(float(seen.mean()) - float(source.at(time).image.mean())) < 5
        assert detector.detect(source.at(time)) == []
    source.in_sequence = False
    detector.begin(source)
    assert detector.backgrounds == []


def blob(left, top, right, bottom, share=0.6, sure=0.9):
    return Blob((left, top, right, bottom), share, sure)


@pytest.mark.parametrize(
    ("people", "parts", "expected"),
    [
        # The blob knows better where the person is; HOG how sure.
        ([((98, 30, 160, 185), 0.95)], [blob(100, 40, 150, 180)], [((100, 40, 150, 180), 0.95)]),
        # HOG missed the person.
        ([], [blob(100, 40, 150, 180)], [((100, 40, 150, 180), 0.65)]),
        # HOG's box is larger all around, and still that of the same person.
        ([((80, 10, 180, 199), 0.8)], [blob(100, 40, 150, 180)], [((100, 40, 150, 180), 0.8)]),
        # Of somebody in the colour of the wall only the legs differ.
        ([((80, 10, 160, 190), 0.8)], [blob(100, 100, 150, 180)], [((80, 10, 160, 190), 0.8)]),
        # Parts of a person are not people.
        (
            [((105, 120, 130, 180), 0.9), ((110, 40, 140, 80), 0.8)],
            [blob(100, 40, 150, 180)],
            [((100, 40, 150, 180), 0.65)],
        ),
        # Two people side by side are one blob.
        (
            [((100, 40, 150, 180), 0.9), ((150, 45, 200, 180), 0.8)],
            [blob(100, 40, 200, 180)],
            [((100, 40, 150, 180), 0.9), ((150, 45, 200, 180), 0.8)],
        ),
        # A thing that is as wide as high, and nobody in it.
        ([], [blob(100, 40, 240, 180)], []),
        # The same, cut off by the lower edge: head and shoulders.
        ([], [blob(100, 100, 200, 200)], [((100, 100, 200, 200), 0.65)]),
        # Nearly all shadow, or hardly anything.
        ([], [blob(100, 40, 150, 180, sure=0.1)], []),
        ([], [blob(100, 40, 150, 180, share=0.2)], []),
        # Somebody where no blob is large enough.
        ([((10, 40, 50, 150), 0.7)], [], [((10, 40, 50, 150), 0.7)]),
    ],
)  # fmt: skip
def test_hog_and_background_together(people, parts, expected):
    everywhere = np.ones((HEIGHT, WIDTH), bool)
    found = _joined([Detection(*person) for person in people], parts, everywhere)
    assert [(each.box, pytest.approx(each.score)) for each in found] == expected


def test_a_box_beside_a_person_who_was_found_needs_something_of_its_own():
    differs = np.zeros((HEIGHT, WIDTH), bool)
    differs[40:180, 100:150] = True
    person = blob(100, 40, 150, 180)
    beside = Detection((130.0, 60.0, 180.0, 199.0), 0.9)
    assert len(_joined([beside], [person], differs)) == 1
    differs[60:199, 155:180] = True
    assert beside in _joined([beside], [person], differs)
