import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image

import dataset_builders.output.parquet_dataset
from dataset_builders.combine.captioner import Captioner
from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.luperson_t.__main__ import main
from dataset_builders.luperson_t.columns import columns_of
from dataset_builders.output.parquet_dataset import arrow_schema
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.reading import image_ids, read_source_image, unique_ids
from tests.helpers.luperson_t_builds import build, rejected_of, rows_of, write_people
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

COLUMNS = [
    "image",
    "image_id",
    "captions",
    "caption_scores",
    "caption_backends",
    "attributes",
    "attribute_probabilities",
    "duplicate_of",
]


def run_command_line(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "dataset_builders.luperson_t", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Six drawn people, one below a sub-folder, and their made-up truth."""
    names = [*(f"p{index}.png" for index in range(5)), "cam_b/p5.jpg"]
    return write_people(tmp_path_factory.mktemp("people"), names)


@pytest.fixture(scope="module")
def built(people, tiny_clip_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("built") / "luperson-t"
    return build(people / "images", tiny_clip_folder, output, "--truth", people / "truth.jsonl")


def test_the_dataset_loads_with_the_fixed_schema(built):
    from datasets import Image as ImageFeature
    from datasets import List, Value, load_dataset

    rows = load_dataset(str(built), split="train", cache_dir=str(built.parent / "cache"))
    assert rows.column_names == COLUMNS and len(rows) == 6
    assert rows.features["image"] == ImageFeature() and rows.features["captions"] == List(Value("string"))
    assert rows.features["caption_scores"] == List(Value("float32"))
    assert set(rows.features["attributes"]) == set(load_vocabulary().attributes)
    assert rows.features["attribute_probabilities"]["age"] == List(Value("float32"))
    assert list(rows.features["attribute_probabilities"]["upper_clothes"]) == ["colour", "pattern", "garment"]
    assert rows[0]["image"].size == (32, 96) and rows[0]["image"].mode == "RGB"
    streamed = list(load_dataset(str(built), split="train", streaming=True))
    assert [row["captions"] for row in streamed] == rows["captions"][:]


def test_our_schema_and_card_say_what_the_datasets_library_would(built):
    import yaml
    from datasets import Features

    columns = columns_of(load_vocabulary())
    features = Features.from_arrow_schema(arrow_schema(columns))
    assert features.arrow_schema.equals(arrow_schema(columns), check_metadata=True)
    header = yaml.safe_load((built / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert header["dataset_info"]["features"] == features._to_yaml_list()
    assert header["dataset_info"]["splits"][0]["num_examples"] == 6
    assert header["size_categories"] == ["n<1K"] and header["license"] == "other"


def test_every_row_holds_what_the_stages_say(built, tiny_clip_folder):
    from dataset_builders.conquer.paper_recipe import decide
    from dataset_builders.conquer.scorer import Scorer

    vocabulary = load_vocabulary()
    scorer, captioner = Scorer(tiny_clip_folder, vocabulary, device="cpu"), Captioner(vocabulary)
    for row in rows_of(built):
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        probabilities = scorer.probabilities([image])
        (chosen,) = decide(probabilities, vocabulary)
        assert row["attributes"] == {name: choice.phrase if choice else None for name, choice in chosen.items()}
        assert row["captions"] == captioner.captions(chosen, 0, row["image_id"])
        stored = row["attribute_probabilities"]
        np.testing.assert_allclose(stored["hat"], probabilities["hat"][0], atol=1e-5)
        for name in ("upper_clothes", "lower_clothes"):
            for part, values in vocabulary.attributes[name].marginals(probabilities[name]).items():
                np.testing.assert_allclose(stored[name][part], values[0], atol=1e-5)
        assert -1 <= row["caption_scores"][0] <= 1 and row["caption_backends"] == ["templates"]
        assert row["duplicate_of"] is None


def test_rows_keep_the_folders_order_and_the_files_bytes(built, people):
    rows = rows_of(built)
    assert [row["image_id"] for row in rows] == ["cam_b/p5", "p0", "p1", "p2", "p3", "p4"]
    assert rows[0]["image"] == {"bytes": (people / "images/cam_b/p5.jpg").read_bytes(), "path": "p5.jpg"}
    assert rows[1]["image"] == {"bytes": (people / "images/p0.png").read_bytes(), "path": "p0.png"}


def test_the_card_tells_how_it_was_built(built):
    card = (built / "README.md").read_text(encoding="utf-8")
    for told in ("456", "`paper`", "above 0.9", "## Licence", "Bias", "Privacy", "Intended use", "--seed 0"):
        assert told in card, told
    for attribute in load_vocabulary().attributes.values():
        if not attribute.parts:
            positions = [card.index(choice.phrase, card.index(f"**{attribute.name}**")) for choice in attribute.choices]
            assert positions == sorted(positions)
    assert "colour: white, black, gray, red" in card
    assert "Agreement with known attributes" in card and "| upper_garment |" in card and "| hat |" in card


def test_statistics_count_the_rows(built):
    statistics = json.loads((built / "statistics.json").read_text())
    rows = rows_of(built)
    assert statistics["images"] == statistics["captions"] == 6 and statistics["rejected"] == 0
    assert sum(statistics["values"]["age"].values()) == 6
    assert statistics["optional_attributes"]["hat"] == sum(row["attributes"]["hat"] is not None for row in rows)
    words = sum(len(row["captions"][0].split()) for row in rows)
    assert statistics["mean_caption_words"] == pytest.approx(words / 6, abs=1e-3)


def test_a_second_build_is_byte_identical_whatever_the_batches_and_workers(built, people, tiny_clip_folder, tmp_path):
    again = build(
        people / "images", tiny_clip_folder, tmp_path / "again", "--workers", 3, "--truth", people / "truth.jsonl"
    )
    for path in sorted(built.rglob("*")):
        if path.is_file():
            assert (again / path.relative_to(built)).read_bytes() == path.read_bytes(), path.name
    small = build(people / "images", tiny_clip_folder, tmp_path / "small", "--batch-size", 2)
    assert [row["captions"] for row in rows_of(small)] == [row["captions"] for row in rows_of(built)]
    other = build(people / "images", tiny_clip_folder, tmp_path / "other", "--seed", 1)
    assert [row["captions"] for row in rows_of(other)] != [row["captions"] for row in rows_of(built)]


def test_the_same_images_in_a_tar_file_give_the_same_rows(built, people, tiny_clip_folder, tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "people.tar", "w") as archive:
        archive.add(people / "images", arcname=".")
    packed = build(tmp_path / "people.tar", tiny_clip_folder, tmp_path / "packed")
    by_id = {row["image_id"]: row for row in rows_of(packed)}
    assert by_id == {row["image_id"]: row for row in rows_of(built)}


def test_several_shards_and_captions(people, tiny_clip_folder, tmp_path, monkeypatch):
    from datasets import load_dataset

    monkeypatch.setattr(dataset_builders.output.parquet_dataset, "ROW_GROUP_ROWS", 3)
    folder = build(people / "images", tiny_clip_folder, tmp_path / "many", "--captions-per-image", 3, "--shard-size", 4)
    names = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert sorted(path.name for path in folder.glob("data/*")) == names
    assert parquet.ParquetFile(folder / "data" / names[0]).metadata.num_row_groups == 2
    rows = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["image_id"][:] == ["cam_b/p5", "p0", "p1", "p2", "p3", "p4"]
    for row in rows:
        assert len(set(row["captions"])) == len(row["caption_scores"]) == len(row["caption_backends"]) == 3


def test_attributes_left_out_are_neither_scored_nor_written(people, tiny_clip_folder, tmp_path):
    options = ["--without", "gender", "--without", "age", "--truth", people / "truth.jsonl"]
    folder = build(people / "images", tiny_clip_folder, tmp_path / "neutral", *options)
    for row in rows_of(folder):
        for column in ("attributes", "attribute_probabilities"):
            assert "gender" not in row[column] and "age" not in row[column] and len(row[column]) == 12
        words = set(row["captions"][0].lower().replace(".", " ").replace(",", " ").split())
        assert not words & {"he", "she", "man", "woman", "male", "female", "lady", "guy", "young", "old", "child"}
    assert "gender" not in json.loads((folder / "statistics.json").read_text())["values"]
    assert "**gender**" not in (folder / "README.md").read_text(encoding="utf-8")


def test_unusable_images_are_counted_listed_and_left_out(image_folder, tiny_clip_folder, tmp_path, capsys):
    folder = build(image_folder, tiny_clip_folder, tmp_path / "out")
    rejected = rejected_of(folder)
    assert rejected["empty.jpg"] == "zero bytes" and set(rejected) == {"empty.jpg", "torn.png"}
    assert len(rows_of(folder)) == 6
    assert "6 images, 6 captions; 2 files were refused, see rejected.jsonl" in capsys.readouterr().out


def test_a_folder_without_a_usable_image_is_an_error_and_leaves_nothing(tiny_clip_folder, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "empty.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="none of the 1 images .* can be used; the first, empty.jpg.*zero bytes"):
        build(tmp_path / "bad", tiny_clip_folder, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad"]


def test_bytes_are_kept_only_where_every_decoder_shows_the_same(tmp_path):
    person = draw_person(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    person.save(tmp_path / "turned.jpg", exif=exif)
    person.convert("CMYK").save(tmp_path / "print.jpg")
    person.convert("RGBA").save(tmp_path / "alpha.png")
    person.save(tmp_path / "plain.bmp")
    person.save(tmp_path / "wrong_suffix.png", format="JPEG")

    def read(name, prepare=None):
        return read_source_image((tmp_path / name).read_bytes(), name, prepare)

    turned = read("turned.jpg", np.asarray)
    assert turned.pixels.shape[:2] == (32, 96) and Image.open(io.BytesIO(turned.data)).size == (96, 32)
    assert not Image.open(io.BytesIO(turned.data)).getexif()
    for name, encoding, stored in (
        ("print.jpg", "JPEG", "print.jpg"),
        ("alpha.png", "PNG", "alpha.png"),
        ("plain.bmp", "PNG", "plain.png"),
        ("wrong_suffix.png", "JPEG", "wrong_suffix.jpg"),
    ):
        source = read(name)
        with Image.open(io.BytesIO(source.data)) as image:
            assert (image.format, image.mode, image.size, source.file_name) == (encoding, "RGB", (32, 96), stored)
    assert read("wrong_suffix.png").data == (tmp_path / "wrong_suffix.png").read_bytes()


def test_image_ids_are_unique():
    assert image_ids([Path("a/x.jpg"), Path("b/x.jpg"), Path("y.v2.png")]) == ["a/x", "b/x", "y.v2"]
    clashing = [Path("x.jpg"), Path("x.png"), Path("x.png.jpg")]
    assert image_ids(clashing) == ["x.jpg", "x.png", "x.png.jpg"]
    assert unique_ids("aa", ["a", "a", "a~2", "a"]) == ["a", "a~3", "a~2", "a~4"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--images": "nowhere"}, "folder nowhere does not exist"),
        ({"--without": "gendre"}, "no attribute 'gendre' to leave out .did you mean 'gender'"),
        ({"--scorer": "./no/such/folder"}, "neither a folder with a CLIP model nor a name on the Hub"),
        ({"--batch-size": "0"}, "--batch-size 0 must be at least 1"),
        ({"--seed": "-1"}, "--seed -1 must not be negative"),
        ({"--truth": "nowhere.jsonl"}, "truth file nowhere.jsonl cannot be read"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_leaves_nothing(people, tiny_clip_folder, tmp_path, changes, message):
    options = {"--images": str(people / "images"), "--scorer": str(tiny_clip_folder), "--output": str(tmp_path / "out")}
    with pytest.raises(UserError, match=message):
        main([part for pair in (options | changes).items() for part in pair])
    assert not list(tmp_path.iterdir())


def test_a_truth_of_other_images_is_refused_before_the_work(people, tiny_clip_folder, tmp_path):
    line = (people / "truth.jsonl").read_text().splitlines()[0]
    (tmp_path / "other.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match="does not know 5 of 6 images, such as 'cam_b/p5'"):
        build(people / "images", tiny_clip_folder, tmp_path / "out", "--truth", tmp_path / "other.jsonl")
    assert not (tmp_path / "out.partial").exists()


def test_the_command_explains_itself_and_fails_without_a_traceback(people, tiny_clip_folder, tmp_path):
    shown = run_command_line("--help")
    assert shown.returncode == 0 and "example: python -m dataset_builders.luperson_t" in shown.stdout
    (tmp_path / "empty").mkdir()
    failed = run_command_line(
        "--images", tmp_path / "empty", "--scorer", tiny_clip_folder, "--output", tmp_path / "out"
    )
    assert failed.returncode == 2 and failed.stderr.startswith("error: ") and "holds no images" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


def test_a_complete_output_is_left_alone_and_other_settings_are_refused(built, people, tiny_clip_folder):
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    common = ["--images", people / "images", "--scorer", tiny_clip_folder, "--output", built, "--recipe", "paper"]
    common += ["--truth", people / "truth.jsonl"]
    same = run_command_line(*common, "--batch-size", 3)
    assert same.returncode == 0 and "already complete" in same.stderr
    other = run_command_line(*common, "--captions-per-image", 2)
    assert other.returncode == 2 and "captions_per_image was 1 and is now 2" in other.stderr
    assert "Traceback" not in other.stderr
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before


def test_a_setting_that_only_one_version_knows_counts_as_its_default(built, people, tiny_clip_folder, tmp_path, caplog):
    """An older version may not have written a setting, and a newer one may have written more."""
    older = shutil.copytree(built, tmp_path / "older")
    path = older / "build_settings.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({name: settings[name] for name in settings if name not in ("dtype", "shard_size")}))
    caplog.set_level("INFO")
    build(people / "images", tiny_clip_folder, older, "--truth", people / "truth.jsonl")
    assert "is already complete" in caplog.text
    with pytest.raises(UserError, match='dtype was "float32" and is now "bfloat16"'):
        build(people / "images", tiny_clip_folder, older, "--truth", people / "truth.jsonl", "--dtype", "bfloat16")


@pytest.mark.parametrize("command", ["luperson_t", "benchmarks", "import_luperson_t"])
def test_help_needs_neither_torch_nor_transformers(command):
    program = (
        "import runpy, sys\nsys.argv = ['x', '--help']\n"
        f"try:\n    runpy.run_module('dataset_builders.{command}', run_name='__main__')\n"
        "except SystemExit:\n    sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr


def test_a_changed_image_folder_or_scorer_counts_as_other_settings(people, tiny_clip_folder, tmp_path):
    images, scorer, output = tmp_path / "images", tmp_path / "scorer", tmp_path / "out"
    shutil.copytree(people / "images", images)
    shutil.copytree(tiny_clip_folder, scorer)
    build(images, scorer, output)
    draw_person(9).save(images / "new.png")
    with pytest.raises(UserError, match='images was "6 files.*and is now "7 files'):
        build(images, scorer, output)
    (images / "new.png").unlink()
    weights = bytearray((scorer / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (scorer / "model.safetensors").write_bytes(weights)
    with pytest.raises(UserError, match="scorer was"):
        build(images, scorer, output)
