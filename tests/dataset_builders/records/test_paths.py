"""Paths as annotations spell them, and as they stand on disk."""

import tracemalloc
from pathlib import Path

import pytest

from dataset_builders.records.paths import ImageFolder, PathTally, coverage_line
from modeling_unipt.common.user_errors import UserError

ON_DISK = [
    "imgs/cam_a/1.png",
    "imgs/cam_a/2.JPG",
    "imgs/cam_a/GRÖSSE.png",
    "imgs/cam_a/a b.png",
    "imgs/cam_a/3.jpg.jpg",
    "imgs/cam_b/1.png",
    "imgs/cam_b/7.jpg",
    "imgs/cam_b/7.png",
    "imgs/cam_b/only_here.png",
    "imgs/cam_b/._8.png",
    "imgs/cam_b/9.txt",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("CUHK-PEDES")
    write(folder, *ON_DISK)
    return folder


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("named", "on_disk"),
    [
        ("cam_a/1.png", "cam_a/1.png"),
        ("./cam_a/1.png", "cam_a/1.png"),
        ("cam_a//1.png", "cam_a/1.png"),
        (" cam_a/1.png\n", "cam_a/1.png"),
        ("cam_a\\1.png", "cam_a/1.png"),
        ("imgs/cam_a/1.png", "cam_a/1.png"),
        ("imgs/imgs/cam_a/1.png", "cam_a/1.png"),
        ("imgs\\cam_a\\1.JPG", "cam_a/1.png"),
        ("images/cam_a/1.png", "cam_a/1.png"),
        ("../imgs/cam_a/1.png", "cam_a/1.png"),
        ("cam_b/../cam_a/1.png", "cam_a/1.png"),
        ("CAM_A/1.PNG", "cam_a/1.png"),
        ("cam_a/2.jpg", "cam_a/2.JPG"),
        ("cam_a/2", "cam_a/2.JPG"),
        ("cam_a/3.jpg", "cam_a/3.jpg.jpg"),
        ("cam_a/gro\u0308ße.png", "cam_a/GRÖSSE.png"),
        ("cam_a/a%20b.png", "cam_a/a b.png"),
        ("cam_b/7.PNG", "cam_b/7.png"),
        ("/home/you/CUHK-PEDES/imgs/cam_a/1.png", "cam_a/1.png"),
        ("C:\\data\\imgs\\cam_a\\1.png", "cam_a/1.png"),
        ("file:///data/cam_a/1.png", "cam_a/1.png"),
        ("/data/other/only_here.jpg", "cam_b/only_here.png"),
        ("CUHK-PEDES/imgs/cam_a/1.png", "cam_a/1.png"),
        ("my_copy/cam_a/1.png", "cam_a/1.png"),
        # Two images that differ in their suffix alone.
        ("cam_b/7.bmp", None),
        # The right name in another folder is another person's image.
        ("cam_c/1.png", None),
        ("1.png", None),
        ("only_here.png", None),
        ("cam_a/only_here.png", None),
        ("/data/1.png", None),
        ("cam_a/4.png", None),
        ("cam_b/8.png", None),
        ("cam_b/9.txt.png", None),
        ("cam_a", None),
        ("", None),
        (".", None),
        ("/", None),
        ("..", None),
        ("../../../etc/passwd", None),
        ("/etc/passwd", None),
        ("cam_a/1.png\0", None),
        ("%", None),
    ],
)
def test_the_spelling_on_disk(root, named, on_disk):
    found = ImageFolder(root / "imgs", "imgs").spelled(named)
    assert found == on_disk
    assert found is None or (root / "imgs" / found).is_file()


def test_a_folder_name_that_the_annotation_leaves_out(root):
    images = ImageFolder(root)
    assert images.spelled("cam_a/1.png") == "imgs/cam_a/1.png"
    assert images.spelled("images\\cam_a\\1.jpg") == "imgs/cam_a/1.png"
    assert images.spelled("cam_c/1.png") is None


def test_a_prefix_of_another_name(tmp_path):
    write(tmp_path, "crops/1.jpg", "other/2.jpg")
    assert ImageFolder(tmp_path, "crops").spelled("1.jpg") == "crops/1.jpg"
    assert ImageFolder(tmp_path).spelled("1.jpg") is None
    assert ImageFolder(tmp_path / "crops", "persons").spelled("some/persons/1.jpg") == "1.jpg"


def test_only_one_beginning_is_taken_off(tmp_path):
    """Else two people's images would become one."""
    write(tmp_path, "1.jpg", "2.jpg")
    images = ImageFolder(tmp_path)
    assert images.spelled("cam_a/1.jpg") == "1.jpg" and images.spelled("cam_b/1.jpg") is None
    assert images.spelled("cam_a/2.jpg") == "2.jpg"
    write(tmp_path, "cam_c/3.jpg")
    assert ImageFolder(tmp_path).spelled("cam_c/1.jpg") is None


def test_a_file_is_given_to_one_foreign_path_only(tmp_path):
    write(tmp_path, "0001.jpg", "0002.jpg")
    images = ImageFolder(tmp_path)
    assert images.spelled("/data/cam_a/0001.jpg") == "0001.jpg"
    assert images.spelled("/data/cam_b/0001.jpg") is None
    assert images.spelled("/data/cam_a/0001.JPG") == "0001.jpg"
    assert images.spelled("/data/cam_b/0002.jpg") == "0002.jpg"


def test_an_absolute_path_into_the_folder_is_exact(root):
    tally = PathTally(ImageFolder(root / "imgs"))
    assert tally.find(str(root / "imgs" / "cam_a" / "1.png")) == "cam_a/1.png"
    assert tally.find("./cam_b/1.png") == "cam_b/1.png"
    assert (tally.exact, tally.respelled, tally.missing) == (2, 0, 0)
    assert tally.check("a.json", fix_paths=False) is None


def test_exact_paths_do_not_list_the_folder(root, monkeypatch):
    monkeypatch.setattr("dataset_builders.records.paths.walk_images", lambda folder: pytest.fail("listed"))
    assert ImageFolder(root / "imgs").spelled("cam_b/7.jpg") == "cam_b/7.jpg"


def test_paths_are_counted_and_the_spelling_that_exists_is_told(root):
    tally = PathTally(ImageFolder(root / "imgs"))
    for path in ("cam_a/1.png", "imgs\\cam_b\\1.jpg", "cam_a/2.jpg", "cam_a/4.png"):
        tally.find(path)
    assert (tally.exact, tally.respelled, tally.missing, tally.first_missing) == (1, 2, 1, "cam_a/4.png")
    assert tally.example == ("imgs\\cam_b\\1.jpg", "cam_b/1.png")
    with pytest.raises(UserError) as refusal:
        tally.check("reid_raw.json", fix_paths=False)
    assert str(refusal.value) == (
        "2 of the 4 paths in reid_raw.json are spelled differently on disk, such as 'imgs\\cam_b\\1.jpg', which is "
        f"'cam_b/1.png' in {root / 'imgs'}; pass --fix-paths to take them as they are on disk, or mend the annotation"
    )
    line = tally.check("reid_raw.json", fix_paths=True)
    assert line.startswith(
        "2 of the 4 paths in reid_raw.json are spelled differently on disk and were taken as they are"
    )


def test_both_numbers_are_told_of_a_part(root):
    images = ImageFolder(root / "imgs")
    assert images.count() == 9
    line = coverage_line("reid_raw.json", images, named=7, found=5)
    assert line == (
        f"reid_raw.json names 7 images, of which 5 are in {root / 'imgs'}; that folder holds 9 images, of which 4 are "
        "not named"
    )
    assert coverage_line("reid_raw.json", images, named=9, found=9) is None
    # What was listed is not walked again, and counts the same.
    images.spelled("gone.png")
    assert images.count() == 9


def test_memory_does_not_grow_with_the_folder(tmp_path, monkeypatch):
    peaks = []
    for number in (200, 1_500):
        names = [f"cam_{row % 7}/a_long_name_of_an_image_{row:08d}.jpg" for row in range(number)]
        monkeypatch.setattr(
            "dataset_builders.records.paths.walk_images",
            lambda folder, names=names: ((Path(name), None) for name in names),
        )
        images = ImageFolder(tmp_path)
        tracemalloc.start()
        for name in names:
            assert images.spelled(name.upper()) == name
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A listing of 1,300 more images would take more than 150 kB.
    assert peaks[1] - peaks[0] < 60_000
