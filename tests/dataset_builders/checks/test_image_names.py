"""Images and people that a training set shares with a benchmark are known by file names, too."""

import json
import zlib

import pytest

from dataset_builders.checks.image_checks import Exclusion
from dataset_builders.checks.image_names import Person, person_of_name, telling_name
from dataset_builders.luperson_t.__main__ import main
from modeling_unipt.sources.open import open_source
from tests.helpers.people import draw_person


@pytest.mark.parametrize(
    ("path", "person"),
    [
        ("Market/0346_c3s1_082592_00.jpg", Person("Market-1501", "0346")),
        ("bounding_box_test/0346_c3s1_082592_00", Person("Market-1501", "0346")),
        ("0000_c3s1_082592_00.jpg", None),
        ("-1_c3s1_082592_00.jpg", None),
        ("0005_c2_f0046985.jpg", Person("DukeMTMC-reID", "0005")),
        ("imgs/train/0003/0003_019_05_0303morning_0040_0.jpg", Person("MSMT17", "0003", "train")),
        ("test/0003/0003_019_05_0303morning_0040_0_ex.jpg", Person("MSMT17", "0003", "test")),
        ("0003_019_05_0114afternoon_0040_0.jpg", Person("MSMT17", "0003")),
        ("/data/train/RSTPReid/imgs/0003_c14_0031.jpg", Person("MSMT17", "0003")),
        ("test_query/p11600_s14885.jpg", Person("CUHK-SYSU", "p11600")),
        ("CUHK01/0363004.png", Person("CUHK01", "0363")),
        ("other/0363004.png", None),
        ("cuhk03\\labeled\\1_001_2_06.png", Person("CUHK03", "1_001")),
        ("1_001_2_06.png", None),
        ("cam_a/000_45.bmp", Person("VIPeR", "000")),
        ("cam_c/000_45.bmp", None),
        ("01_02_0003_00000004.jpg", None),
        ("images/3fa9b1c2d4e5f607.jpg", None),
    ],
)
def test_the_person_of_a_name(path, person):
    assert person_of_name(path) == person


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/0346_C3s1_082592_00.JPG", "0346_c3s1_082592_00"),
        ("a/0346_c3s1_082592_00~2", "0346_c3s1_082592_00"),
        ("images/3fa9b1c2d4e5f607.jpg", "3fa9b1c2d4e5f607"),
        ("image_000123.jpg", None),
        ("DSC00012.jpg", None),
        ("00000012", None),
        ("1_001_1_01.png", None),
        ("frame 12.jpg", None),
        ("person.jpg", None),
    ],
)
def test_names_that_tell_an_image(path, name):
    assert telling_name(path) == name


def folder_of(path, names):
    """Every image is another one, so that no hash gives any away."""
    for name in names:
        image = path / name
        image.parent.mkdir(parents=True, exist_ok=True)
        draw_person(zlib.crc32(str(image).encode()), 60, 24).save(image)
    return path


def reasons(tmp_path, benchmark, training, root=""):
    exclusion = Exclusion()
    exclusion.add("bench", open_source(folder_of(tmp_path / "bench", benchmark)), root=str(tmp_path / "bench"))
    return [exclusion.reason_of_name(name, root) for name in training]


def test_market_images_that_cuhk_pedes_holds(tmp_path):
    found = reasons(
        tmp_path,
        ["Market/0346_c3s1_082592_00.jpg", "CUHK01/0363004.png", "CUHK03/3_267_1_4.png", "test_query/p11_s7.jpg"],
        ["0346_c3s1_082592_00.png", "0346_c6s2_000001_01.jpg", "0347_c6s2_000001_01.jpg", "x/p11_s9.jpg", "p12_s9.jpg"],
    )
    assert found == [
        "also in bench: its image Market/0346_c3s1_082592_00 has the same file name",
        "shows person 0346 of Market-1501, as in bench: its image Market/0346_c3s1_082592_00",
        None,
        "shows person p11 of CUHK-SYSU, as in bench: its image test_query/p11_s7",
        None,
    ]


def test_the_folder_that_the_user_named_may_tell_the_set(tmp_path):
    benchmark = ["CUHK01/0363004.png", "CUHK03/3_267_1_4.png"]
    assert reasons(tmp_path, benchmark, ["campus/0363001.png", "campus/0364001.png"], "/data/CUHK01") == [
        "shows person 0363 of CUHK01, as in bench: its image CUHK01/0363004",
        None,
    ]
    assert reasons(tmp_path, benchmark, ["0363001.png"], "/data/others") == [None]
    assert reasons(tmp_path, benchmark, ["3_267_2_9.png"], "/data/cuhk03/detected")[0].startswith("shows person 3_267")


def test_icfg_pedes_and_rstpreid_share_msmt17(tmp_path):
    icfg = ["train/0003/0003_019_05_0303morning_0040_0.jpg", "test/0007/0007_000_01_0113noon_0001_1.jpg"]
    training = [
        "0003_c14_0031.jpg",
        "0007_c1_0000.jpg",
        "0008_c1_0000.jpg",
        "test/0003/0003_001_02_0302morning_0001_0.jpg",
        "test/0007/0007_001_02_0302morning_0001_0.jpg",
    ]
    found = reasons(tmp_path, icfg, training)
    assert found[0] == f"shows person 0003 of MSMT17, as in bench: its image {icfg[0].removesuffix('.jpg')}"
    assert found[1].startswith("shows person 0007 of MSMT17")
    # MSMT17 counts people in train and in test apart.
    assert found[2:4] == [None, None]
    assert found[4].startswith("shows person 0007 of MSMT17")


def test_an_image_that_cannot_be_read_is_excluded_by_its_name(tmp_path):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "0346_c3s1_082592_00.jpg").write_bytes(b"no image")
    exclusion = Exclusion()
    assert exclusion.add("bench", open_source(tmp_path / "bench")) == 1
    assert "same file name" in exclusion.reason_of_name("0346_c3s1_082592_00.jpg")


def test_the_builder_refuses_by_name_and_by_person(tiny_clip_folder, tmp_path):
    folder_of(tmp_path / "bench", ["train/0003/0003_019_05_0303morning_0040_0.jpg"])
    names = ["0003_c14_0031.jpg", "sub/0003_019_05_0303morning_0040_0.png", "0004_c1_0001.jpg"]
    folder_of(tmp_path / "crops", names)
    main(
        ["--images", str(tmp_path / "crops"), "--scorer", str(tiny_clip_folder), "--recipe", "paper"]
        + ["--output", str(tmp_path / "out"), "--exclude", str(tmp_path / "bench")]
    )
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    image_id = "train/0003/0003_019_05_0303morning_0040_0"
    assert {entry["file_name"]: entry["reason"] for entry in rejected} == {
        names[0]: f"shows person 0003 of MSMT17, as in bench: its image {image_id}",
        names[1]: f"also in bench: its image {image_id} has the same file name",
    }
    assert json.loads((tmp_path / "out" / "statistics.json").read_text())["images"] == 1
    settings = json.loads((tmp_path / "out" / "build_settings.json").read_text())
    assert settings["exclude_names"] is True
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| images of benchmarks refused | bench (by look, file name, and people that names tell) |" in card
