"""Frames of videos and folders: which, when, in which order, and what a damaged file does."""

import json
import os
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.crop.frames import SAMPLES, Choice
from modeling_unipt.crop.open import open_sources
from modeling_unipt.crop.videos import VideoFrames
from tests.helpers.street_video import write_video

EVERY = Choice(1, None)
CODECS = {".mp4": "mpeg4", ".avi": "mpeg4", ".mkv": "libx264", ".ts": "libx264"}


@pytest.fixture(scope="module")
def moving():
    """60 frames (48, 64, 3); each column of frame n has the colours of column - n of the first one."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    return [np.roll(noise, number, 1) for number in range(60)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory, moving):
    """suffix -> a video of 6 seconds, 10 frames a second."""
    folder = tmp_path_factory.mktemp("videos")
    return {suffix: write_video(folder / f"v{suffix}", moving, 10, codec) for suffix, codec in CODECS.items()}


def looked_at(video, choice, after=-1):
    return list(VideoFrames(video, "door").frames(choice, after))


@pytest.mark.parametrize("suffix", CODECS)
def test_every_frame_comes_with_its_number_time_and_content(videos, moving, suffix):
    source = VideoFrames(videos[suffix], "door")
    frames = list(source.frames(EVERY))
    assert [frame.number for frame in frames] == list(range(60)) and source.expected(EVERY) == 60
    assert [frame.time for frame in frames] == [round(number / 10, 3) for number in range(60)]
    for frame in frames[::20]:
        other = np.abs(frame.image.astype(int) - moving[frame.number - 5]).mean()
        # Compression spoils noise, but less than another frame would.
        assert np.abs(frame.image.astype(int) - moving[frame.number]).mean() < 0.7 * other


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        (Choice(7, None), [0, 7, 14, 21, 28, 35, 42, 49, 56]),
        (Choice(None, 5.0), list(range(0, 60, 2))),
        (Choice(None, 0.5), [0, 20, 40]),
        (Choice(None, 100.0), list(range(60))),
        # 10 is no multiple of 3: the first frame at or after each third of a second.
        (Choice(None, 3.0), [0, 4, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40, 44, 47, 50, 54, 57]),
    ],
)
def test_frames_are_chosen_by_number_or_by_time(videos, choice, numbers):
    assert [frame.number for frame in looked_at(videos[".mp4"], choice)] == numbers
    assert VideoFrames(videos[".mp4"], "door").expected(choice) == len(numbers)
    assert [frame.number for frame in looked_at(videos[".mp4"], choice, after=20)] == [n for n in numbers if n > 20]


def test_samples_are_spread_over_the_whole_video(videos, tmp_path, moving):
    times = [frame.time for frame in VideoFrames(videos[".mp4"], "door").samples()]
    assert len(times) == SAMPLES and times == sorted(times)
    long = write_video(tmp_path / "long.mp4", moving * 10, 10, key_every=5)
    times = [frame.time for frame in VideoFrames(long, "door").samples()]
    assert SAMPLES * 0.8 <= len(times) <= SAMPLES and times[0] == 0 and times[-1] > 58


def test_a_file_without_times_and_length_is_counted(tmp_path, moving):
    """Raw H.264, as some recorders write it; it does not even tell its rate, which FFmpeg takes to be 25."""
    with av.open(str(tmp_path / "raw.h264"), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in moving:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    source = VideoFrames(tmp_path / "raw.h264", "door")
    assert (source.seconds, source.expected(EVERY)) == (2.4, 60)
    assert [frame.time for frame in source.frames(EVERY)] == [round(number / 25, 3) for number in range(60)]
    assert len(list(source.samples())) == 60


def test_names_that_are_no_utf_8(videos, tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff\xfe.mp4")
    odd.write_bytes(videos[".mp4"].read_bytes())
    (source,) = open_sources([str(tmp_path)])
    assert len(list(source.frames(EVERY))) == 60 and json.loads(json.dumps(source.settings()))["video"] == str(odd)


def test_a_camera_held_upright_and_pixels_that_are_not_square_are_put_right(tmp_path, moving):
    if not hasattr(av.video.stream.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write such a video")
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 32:] = 200
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        # Turned counter-clockwise, the right half comes to the top.
        stream.set_display_rotation(90)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    (frame,) = looked_at(tmp_path / "v.mp4", EVERY)
    assert frame.image.shape == (128, 48, 3)
    assert frame.image[:50].mean() > 150 > 50 > frame.image[-50:].mean()


@pytest.mark.parametrize("suffix", CODECS)
def test_a_broken_place_in_the_middle_costs_only_what_is_there(videos, tmp_path, suffix):
    data = videos[suffix].read_bytes()
    middle = len(data) // 2
    broken = tmp_path / f"broken{suffix}"
    broken.write_bytes(data[:middle] + bytes(len(data) // 20) + data[middle + len(data) // 20 :])
    frames = looked_at(broken, EVERY)
    whole = [frame for frame in frames if frame.image is not None]
    assert 45 <= len(whole) < 60
    assert {frame.reason for frame in frames if frame.image is None} == {"cannot be decoded"}
    # What follows the broken place has its true time, where the file tells times (AVI does not).
    assert whole[-1].time == 5.9 or suffix == ".avi"


def test_a_file_that_was_cut_off_gives_what_is_there_and_says_so(videos, tmp_path, caplog):
    data = videos[".mkv"].read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    frames = looked_at(tmp_path / "cut.mkv", EVERY)
    assert 20 < len(frames) < 40
    assert "cut.mkv ends after 2." in caplog.text or "cut.mkv ends after 3." in caplog.text


def refusal(*places, **options):
    with pytest.raises(UserError) as raised:
        open_sources([str(place) for place in places], **options)
    return str(raised.value)


def test_files_that_are_no_videos_are_named(videos, tmp_path):
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    assert "is no video that FFmpeg can read (Invalid data" in refusal(tmp_path / "text.mp4")
    (tmp_path / "cut.mp4").write_bytes(videos[".mp4"].read_bytes()[:5000])
    assert "cut off before the recorder had closed it" in refusal(tmp_path / "cut.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert refusal(tmp_path / "empty.mp4") == f"{tmp_path / 'empty.mp4'} is empty; copy the video again"
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    assert "holds no video, only audio" in refusal(tmp_path / "sound.wav")
    unknown = videos[".mkv"].read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_XPEG4/ISO/AVC")
    (tmp_path / "unknown.mkv").write_bytes(unknown)
    told = refusal(tmp_path / "unknown.mkv")
    assert "the codec of" in told and "ffmpeg -i VIDEO -c:v libx264" in told


def test_places_that_are_nothing_to_look_at_are_named(videos, tmp_path):
    assert "nowhere does not exist" in refusal(tmp_path / "nowhere")
    assert "is an address; record it" in refusal("rtsp://camera/stream")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    assert "holds neither videos nor images" in refusal(tmp_path / "empty")
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    assert "one.png is a single image; give the folder" in refusal(tmp_path / "one.png")
    (tmp_path / "v.mp4").write_bytes(videos[".mp4"].read_bytes())
    assert "holds videos, such as v.mp4, and images, such as one.png" in refusal(tmp_path)
    assert "v.mp4 is named twice" in refusal(tmp_path / "v.mp4", tmp_path / "v.mp4")


def test_a_folder_of_videos_is_one_source_each_and_sub_folders_are_cameras(videos, tmp_path):
    for name in ("b/2.mp4", "b/1.MP4", "a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(videos[".mp4"].read_bytes())
    (tmp_path / "b" / "._1.mp4").write_bytes(b"what macOS leaves")
    (tmp_path / "readme.txt").write_text("not a video")
    sources = open_sources([str(tmp_path)])
    told = [(source.path.relative_to(tmp_path).as_posix(), source.camera) for source in sources]
    assert told == [("a.mp4", "a"), ("b/1.MP4", "b"), ("b/2.mp4", "b")]
    assert {source.camera for source in open_sources([str(tmp_path)], camera="door")} == {"door"}


def test_folders_of_images_are_sequences_in_the_order_of_names(tmp_path):
    for folder, count in (("day", 3), ("day/night", 2)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            Image.new("RGB", (8, 8), (number * 50, 0, 0)).save(tmp_path / folder / f"{number}.png")
    (tmp_path / "day" / "1.png").write_bytes(b"broken")
    day, night = open_sources([str(tmp_path / "day")])
    assert (day.camera, night.camera) == ("day", "night") and day.in_sequence
    frames = list(day.frames(EVERY))
    assert [frame.number for frame in frames] == [0, 1, 2] and [frame.time for frame in frames] == [None] * 3
    assert frames[1].image is None and "cannot be decoded" in frames[1].reason
    assert frames[2].image[0, 0].tolist() == [100, 0, 0] and frames[2].file == str(tmp_path / "day" / "2.png")
    assert [frame.number for frame in day.frames(Choice(2, None))] == [0, 2] == [f.number for f in day.samples()]
    assert day.expected(Choice(2, None)) == 2
    assert not open_sources([str(tmp_path)], single_images=True)[0].in_sequence
