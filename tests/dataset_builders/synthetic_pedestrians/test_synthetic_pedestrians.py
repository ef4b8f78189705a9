"""The renderer of people: determinism, layouts, truth, captions and the difficulty of the benchmark."""

import dataclasses
import io
import json
import re
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
import yaml
from PIL import Image

from dataset_builders.synthetic_pedestrians import __main__ as command
from dataset_builders.synthetic_pedestrians.captions import caption_pair, load_words, tokens
from dataset_builders.synthetic_pedestrians.domains import DOMAINS, STATION, STREET
from dataset_builders.synthetic_pedestrians.geometry import Material, Solids
from dataset_builders.synthetic_pedestrians.oracle import oracle_rank1, read_benchmark, sample_benchmark
from dataset_builders.synthetic_pedestrians.people import (
    CAMERAS,
    FIELDS,
    OPTIONAL,
    flat_attributes,
    load_world,
    sample_person,
    sample_view,
)
from dataset_builders.synthetic_pedestrians.render import render
from dataset_builders.synthetic_pedestrians.scenery import CameraStyle
from dataset_builders.synthetic_pedestrians.tracer import trace
from dataset_builders.synthetic_pedestrians.write_world import captions_of
from modeling_unipt.common.user_errors import UserError

VALUES = {
    "age": ["child", "young", "middle-aged", "old"],
    "gender": ["man", "woman"],
    "upper_colour": list(load_world()["upper_colour"]),
    "lower_colour": list(load_world()["lower_colour"]),
    "upper_pattern": ["plain", "striped", "plaid", "dotted"],
    "lower_pattern": ["plain", "striped", "plaid", "dotted"],
    "upper_garment": ["t-shirt", "tank-top", "shirt", "hoodie", "jacket", "coat", "dress"],
    "lower_garment": ["trousers", "shorts", "long-skirt", "short-skirt", "leggings"],
    "action": ["standing", "walking", "running", "squatting", "sitting", "riding"],
    "hair_length": ["bald", "short", "medium", "long"],
    "bag": [None, "backpack", "handbag", "shoulder-bag", "suitcase"],
    "glasses": [None, "glasses", "sunglasses"],
    "smoke": [None, "cigarette", "pipe"],
    "hat": [None, "cap", "sun-hat", "beanie", "helmet"],
    "cellphone": [None, "calling", "looking"],
    "umbrella": [None, "open", "folded"],
    "gloves": [None, "dark-gloves", "light-gloves"],
    "vehicle": [None, "bicycle", "motorcycle", "scooter"],
}


def build(output, *more):
    workers = [] if "--workers" in more else ["--workers", "1"]
    command.main(["--output", str(output), *workers, *map(str, more)])
    return output


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_truth(folder):
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "people"
    return build(folder, "--identities", 7, "--views", 4, "--seed", 5, "--layout", "cuhk-pedes")


# A frontal view as the domain's cameras have it.
FRONTAL = {STREET: {"yaw": 0.5, "pitch": 0.1}, STATION: {"yaw": 0.5, "pitch": 0.5, "nearness": 0.2}}


def portrait(changes, looks=None, domain=STREET, number=3, **view_changes):
    """(JPEG bytes, boxes) of a fixed person and view, except for the changed attributes, looks and view."""
    person = sample_person(11, number, domain)
    plain = {name: None for name in OPTIONAL} | {
        "upper_garment": "t-shirt",
        "lower_garment": "trousers",
        "age": "young",
    }
    attributes = {**person.attributes, **plain, **changes}
    person = dataclasses.replace(
        person, attributes=attributes, looks=dataclasses.replace(person.looks, **(looks or {}))
    )
    view = dataclasses.replace(sample_view(11, number, 0, person, domain), action="standing", **FRONTAL[domain])
    view = dataclasses.replace(view, **view_changes)
    rng = np.random.default_rng(1)
    return render(person, view, CameraStyle(11, 2, domain), rng)


def test_same_seed_gives_same_bytes_with_any_number_of_workers(tmp_path):
    settings = ["--identities", "3", "--views", "2", "--seed", "9"]
    one = build(tmp_path / "one", *settings)
    command.main(["--output", str(tmp_path / "two"), *settings, "--workers", "2"])
    assert contents(one) == contents(tmp_path / "two")
    other = build(tmp_path / "other", "--identities", 3, "--views", 2, "--seed", 10)
    assert not set(contents(other)) - {"truth.jsonl", "build_settings.json"} & set(contents(one))
    assert [row["attributes"] for row in read_truth(one)] != [row["attributes"] for row in read_truth(other)]


def test_a_person_does_not_depend_on_how_many_there_are(tmp_path):
    few = build(tmp_path / "few", "--identities", 1, "--views", 2)
    more = contents(build(tmp_path / "more", "--identities", 2, "--views", 2))
    images = {name: data for name, data in contents(few).items() if name.endswith(".jpg")}
    assert len(images) == 2
    assert all(more[name] == data for name, data in images.items())


def test_images_layout(tmp_path):
    folder = build(tmp_path / "out", "--identities", 2, "--views", 3, "--height", 96, "--width", 48)
    rows = read_truth(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["build_settings.json", "images", "truth.jsonl"]
    assert {row["file_name"] for row in rows} == {f"images/{path.name}" for path in (folder / "images").iterdir()}
    assert len(rows) == 6 and {row["person_id"] for row in rows} == {1, 2}
    assert all(re.fullmatch(r"images/[0-9a-f]{16}\.jpg", row["file_name"]) for row in rows)
    for row in rows:
        assert list(row["attributes"]) == list(FIELDS)
        assert row["camera"] in CAMERAS and "captions" not in row
        with Image.open(folder / row["file_name"]) as image:
            assert image.size == (48, 96) and image.mode == "RGB"


def test_cuhk_layout(benchmark):
    records = json.loads((benchmark / "reid_raw.json").read_text())
    rows = {row["file_name"]: row for row in read_truth(benchmark)}
    assert len(records) == len(rows) == 28
    splits = {}
    for record in records:
        assert set(record) == {"split", "captions", "file_path", "processed_tokens", "id"}
        row = rows["imgs/" + record["file_path"]]
        assert (benchmark / "imgs" / record["file_path"]).is_file()
        assert record["id"] == row["person_id"] and len(record["captions"]) == 2
        assert record["captions"] == row["captions"]
        assert record["processed_tokens"] == [tokens(caption) for caption in record["captions"]]
        splits.setdefault(record["id"], set()).add(record["split"])
    assert sorted(splits) == list(range(1, 8))
    assert sorted(name for names in splits.values() for name in names) == ["test"] * 2 + ["train"] * 3 + ["val"] * 2


def test_identity_keeps_everything_but_the_action(benchmark):
    people = {}
    for row in read_truth(benchmark):
        kept = {field: value for field, value in row["attributes"].items() if field != "action"}
        assert people.setdefault(row["person_id"], kept) == kept
        assert (row["attributes"]["action"] == "riding") == (row["attributes"]["vehicle"] is not None)


def test_boxes_lie_inside_and_belong_to_attributes(benchmark):
    names = {*OPTIONAL, "hair_length", "upper_clothes", "lower_clothes"}
    for row in read_truth(benchmark):
        assert set(row["boxes"]) <= names
        for name, (x0, y0, x1, y1) in row["boxes"].items():
            assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 192
            assert row["attributes"].get(name, "clothes") is not None


def test_captions_state_true_and_visible_facts(benchmark):
    for row in read_truth(benchmark):
        for facts in row["caption_attributes"]:
            assert facts and set(facts.items()) <= set(row["attributes"].items())
            assert None not in facts.values()
            assert all(name in row["boxes"] for name in OPTIONAL if name in facts)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("field", FIELDS)
def test_every_value_gives_another_image(field, domain):
    domain = DOMAINS[domain]
    images = []
    for value in VALUES[field]:
        view = {"action": value} if field == "action" else {"action": "riding"} if field == "vehicle" and value else {}
        changes = {} if field == "action" else {field: value}
        if field == "action" and value == "riding":
            changes = {"vehicle": "bicycle"}
        looks = {}
        if field == "age":
            people = (sample_person(11, number, domain) for number in range(100))
            looks = vars(next(one.looks for one in people if one.attributes["age"] == value))
        if field.endswith("_colour"):
            piece = field.removesuffix("_colour")
            shade = next(iter(load_world(domain)["shades"][value].values()))
            cloth = sample_person(11, 3, domain).looks.cloth
            looks = {"cloth": cloth | {piece: np.array(shade, np.float32) / 255}}
        data, boxes = portrait(changes, looks=looks, domain=domain, **view)
        if value is not None and field in (*OPTIONAL, "hair_length"):
            assert field in boxes, f"{value} cannot be seen from the front"
        images.append(np.asarray(Image.open(io.BytesIO(data)), np.int16))
    for i, first in enumerate(images):
        for second in images[:i]:
            changed = (np.abs(first - second).max(-1) > 40).sum()
            assert changed >= 12, f"only {changed} pixels tell two values of {field} apart"


@pytest.mark.parametrize("yaw", [0.0, 1.5, 3.0])
@pytest.mark.parametrize("action", ["walking", "running", "squatting", "sitting"])
def test_poses_are_shown_whole_from_every_side(yaw, action):
    _, boxes = portrait({}, yaw=yaw, action=action)
    assert {"upper_clothes", "lower_clothes", "hair_length"} <= set(boxes)
    assert boxes["hair_length"][1] < boxes["lower_clothes"][1]


def test_box_covers_the_pixels_that_change():
    without, _ = portrait({})
    coloured, boxes = portrait({"hat": "helmet"}, looks={"hat": np.array([1, 0, 0], np.float32)})
    image = np.asarray(Image.open(io.BytesIO(coloured)), np.int16)
    red = (image[..., 0] > 130) & (image[..., 1] < 70) & (image[..., 2] < 70)
    x0, y0, x1, y1 = boxes["hat"]
    assert red[y0:y1, x0:x1].mean() > 0.3 and without != coloured


def test_tracer_equals_the_analytic_sphere_and_box():
    solids = Solids()
    solids.ellipsoid(Material("skin", (1, 0, 0)), (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    solids.box(Material("prop", (0, 1, 0)), (-0.8, 0.0, 0.0), (0.2, 0.3, 0.4), rounding=0.001)
    xs, ys = np.linspace(-1.2, 1.2, 49, dtype=np.float32), np.linspace(1, -1, 41, dtype=np.float32)
    surface = trace(solids.packed(), np.eye(3, dtype=np.float32), xs, ys)
    x, y = xs[surface.pixel % 49], ys[surface.pixel // 49]
    sphere = surface.solid.ravel()[surface.pixel] == 0
    expected = 0.3 + np.sqrt(np.maximum(0.25 - (x - 0.1) ** 2 - (y - 0.2) ** 2, 0))
    inside = sphere & (0.25 - (x - 0.1) ** 2 - (y - 0.2) ** 2 > 0.01)
    np.testing.assert_allclose(surface.depth[inside], expected[inside], atol=0.01)
    outward = np.stack([x - 0.1, y - 0.2, surface.depth - 0.3], 1)[inside] / 0.5
    np.testing.assert_allclose(surface.normal[inside], outward, atol=0.03)
    np.testing.assert_allclose(surface.depth[~sphere], 0.4, atol=0.005)
    covered = ((xs[None] - 0.1) ** 2 + (ys[:, None] - 0.2) ** 2) < 0.25
    assert (np.isin(surface.solid, 0) == covered).mean() > 0.99


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=list(DOMAINS))
def test_captions_are_grammatical(domain):
    for number in range(600):
        person = sample_person(21, number, domain)
        view = sample_view(21, number, 0, person, domain)
        captions, stated = captions_of(21, number, 0, person, view, domain=domain)
        for caption, facts in zip(captions, stated, strict=True):
            assert caption.endswith(".") and caption[0].isupper()
            assert not re.search(r"\b(\w+) \1\b", caption, re.IGNORECASE), caption
            assert not re.search(r"\b(an?|the) (an?|the)\b|[,(] *\.|\b(with|in|is|a) *[.,]", caption), caption
            assert not re.search(r"\s\s|[{}!]|\s[.,;]|None|\.\.", caption), caption
            assert all(sentence[0].isupper() for sentence in re.split(r"(?<=\.) ", caption))
            assert not re.search(r"\ba (?!one\b|uni)[aeiou]|\ban [^aeiou]", caption, re.IGNORECASE), caption
            assert not re.search(r"\bthey (is|has|wears|carries|brings|seems)\b", caption, re.IGNORECASE), caption
            assert not re.search(r"\bs?he (are|have|wear|carry|bring|seem)\b", caption, re.IGNORECASE), caption
            said = set(re.findall(r"\b(he|his|him|she|her|they|their|them)\b", caption.lower()))
            right = {"man": {"he", "his", "him"}, "woman": {"she", "her"}, None: {"they", "their", "them"}}
            assert said <= right[facts.get("gender")], caption
            assert len(facts) >= 4
            if person.attributes["age"] == "child":
                assert not re.search(r"\b(man|guy|gentleman|fellow|woman|lady|male|female)\b", caption), caption


@pytest.mark.parametrize("domain, least, most", [(STREET, 5, 9), (STATION, 7, 10)], ids=list(DOMAINS))
def test_describers_differ_and_leave_things_out(domain, least, most):
    lengths, same = [], 0
    for number in range(200):
        person = sample_person(22, number, domain)
        captions, stated = captions_of(22, number, 0, person, sample_view(22, number, 0, person), domain=domain)
        lengths += [len(facts) for facts in stated]
        same += captions[0] == captions[1]
    assert same == 0
    assert least <= np.mean(lengths) <= most


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=list(DOMAINS))
def test_plain_and_shade_words_fit_the_world(domain):
    words, world = load_words(domain), load_world(domain)
    assert set(words["shades"]) == {shade for shades in world["shades"].values() for shade in shades}
    for colour, shades in world["shades"].items():
        assert set(words["plain_words"]) >= {colour} and shades
    assert set(words.get("hair", words["hair_with"])) == set(VALUES["hair_length"])
    for table, field in (("upper_garments", "upper_garment"), ("hair_with", "hair_length"), ("vehicles", "vehicle")):
        assert set(words[table]) == {value for value in VALUES[field] if value}


def test_no_sentence_is_shared_with_luperson_t():
    """Fine-tuning shall meet another style: no sentence pattern of the captions occurs among LUPerson-T's."""
    ours = [sentence for table in load_words()["openings"].values() for sentence in table]
    ours += [
        sentence for table in ("wears", "carries", "does", "wears_and_carries") for sentence in load_words()[table]
    ]
    skeletons = {re.sub(r"\{\w+\}", "_", sentence).lower() for sentence in ours}
    assert len(skeletons) > 15
    for path in files("dataset_builders").joinpath("data").iterdir():
        if path.name.endswith(".yaml"):
            for line in path.read_text(encoding="utf-8").splitlines():
                pattern = re.sub(r"\{\w+\}", "_", line.strip().strip("-'\" ")).lower()
                assert pattern not in skeletons


def test_world_values_are_those_of_the_contract():
    seen = {field: set() for field in FIELDS}
    for number in range(1500):
        person = sample_person(23, number)
        view = sample_view(23, number, 0, person)
        for field, value in flat_attributes(person, view).items():
            seen[field].add(value)
    for field, values in VALUES.items():
        assert seen[field] == set(values), field


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_oracle_is_good_but_not_perfect(seed):
    gallery, queries = sample_benchmark(seed, 100, 4, first=200)
    assert len(gallery) == 400 and len(queries) == 800
    assert 90 <= oracle_rank1(gallery, queries) <= 99


def test_oracle_counts_agreement_and_prefers_the_lower_index():
    gallery = [(1, {"hat": "cap", "bag": None}), (2, {"hat": "cap", "bag": "handbag"}), (1, {"hat": None, "bag": None})]
    assert oracle_rank1(gallery, [(1, {"hat": "cap"})]) == 100
    assert oracle_rank1(gallery, [(2, {"hat": "cap"})]) == 0
    assert oracle_rank1(gallery, [(2, {"hat": "cap", "bag": "handbag"}), (2, {"hat": "cap"})]) == 50


def test_oracle_reads_a_written_benchmark(benchmark, tmp_path):
    gallery, queries = read_benchmark(benchmark / "truth.jsonl", benchmark / "reid_raw.json")
    assert len(gallery) == 8 and len(queries) == 16
    with pytest.raises(UserError, match=r"cannot read .*nowhere"):
        read_benchmark(tmp_path / "nowhere.jsonl", benchmark / "reid_raw.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UserError, match="no test images|not the truth"):
        read_benchmark(benchmark / "truth.jsonl", tmp_path / "bad.json")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--identities", "0"], "--identities is 0 but must be at least 1"),
        (["--views", "0"], "--views is 0 but must be at least 1"),
        (["--workers", "0"], "--workers is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--layout", "cuhk-pedes", "--views", "3"], "--views is 3 but --layout cuhk-pedes needs at least 4"),
        (["--layout", "cuhk-pedes", "--identities", "3"], "leave none of 3 for training"),
        (["--layout", "cuhk-pedes", "--test-identities", "0"], "make no benchmark"),
        (["--test-identities", "2"], "belongs to --layout cuhk-pedes"),
    ],
)
def test_bad_numbers_are_refused_in_one_sentence(tmp_path, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        build(tmp_path / "out", *options)
    assert not list(tmp_path.iterdir())


def test_complete_output_is_left_alone_and_other_settings_refused(tmp_path, caplog):
    folder = build(tmp_path / "out", "--identities", 1, "--views", 1)
    before = contents(folder)
    with caplog.at_level("INFO"):
        build(folder, "--identities", 1, "--views", 1)
    assert "already complete" in caplog.text
    with pytest.raises(UserError, match="seed was 0 and is now 3"):
        build(folder, "--identities", 1, "--views", 1, "--seed", 3)
    assert contents(folder) == before


def test_command_line_fails_without_traceback_and_helps():
    run = [sys.executable, "-m", "dataset_builders.synthetic_pedestrians"]
    failed = subprocess.run([*run, "--output", "x", "--identities", "0"], capture_output=True, text=True)
    assert (
        failed.returncode == 2 and failed.stderr.startswith("error: --identities") and "Traceback" not in failed.stderr
    )
    shown = subprocess.run([*run, "--help"], capture_output=True, text=True).stdout
    assert "example:" in shown and "default: 192" in shown and "None" not in shown
    wrong = subprocess.run([*run, "--output", "x", "--domain", "beach"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "argument --domain: invalid choice: 'beach'" in wrong.stderr
    assert "street" in wrong.stderr and "station" in wrong.stderr and "Traceback" not in wrong.stderr


def test_caption_pair_of_bare_attributes():
    person = sample_person(1, 1)
    attributes = flat_attributes(person, sample_view(1, 1, 0, person))
    rng = np.random.default_rng(0)
    captions, facts = caption_pair(rng, attributes, person.looks.shades, visible={"upper_clothes"})
    assert len(captions) == 2
    assert not any(field.startswith("lower") or field in OPTIONAL for each in facts for field in each)


def test_data_files_are_plain_yaml():
    assert yaml.safe_load(yaml.safe_dump(load_world())) == load_world()
