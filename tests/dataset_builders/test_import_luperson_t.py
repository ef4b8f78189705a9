import io
import json
import subprocess
import sys

import pyarrow
import pytest

from dataset_builders.import_luperson_t import main
from dataset_builders.luperson_t.columns import columns_of
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

SPLITS = {"train": [0, 1, 2], "val": [3], "restval": [4], "test": [5, 6]}


def jpeg(number):
    file = io.BytesIO()
    draw_person(number).save(file, "JPEG")
    return file.getvalue()


def entry(number, **changes):
    return {"file_path": f"cam/{number}.jpg", "captions": [f"Person {number}. ", "Walks."], "id": number} | changes


@pytest.fixture
def json_release(tmp_path):
    (tmp_path / "images" / "cam").mkdir(parents=True)
    for number in range(4):
        (tmp_path / "images" / "cam" / f"{number}.jpg").write_bytes(jpeg(number))
    (tmp_path / "luperson-t.json").write_text(json.dumps([entry(number) for number in range(4)]))
    return ["--source", str(tmp_path / "luperson-t.json"), "--images", str(tmp_path / "images")]


def write_arrow(path, numbers, split, layout=pyarrow.ipc.new_file, **columns):
    table = pyarrow.table(
        {
            "image": pyarrow.array([jpeg(number) for number in numbers], pyarrow.binary()),
            "caption": [[f"Person {number}."] for number in numbers],
            "image_id": [f"{number}.jpg" for number in numbers],
            "split": [split] * len(numbers),
        }
        | columns
    )
    with layout(str(path), table.schema) as writer:
        writer.write_table(table.drop_columns([name for name in columns if columns[name] is None]))


@pytest.fixture
def arrow_release(tmp_path):
    folder = tmp_path / "LUPerson_clip_128w_phrase_arrow"
    folder.mkdir()
    for split, numbers in SPLITS.items():
        layout = pyarrow.ipc.new_stream if split == "val" else pyarrow.ipc.new_file
        write_arrow(folder / f"LUPerson_{split}.arrow", numbers, split, layout)
    return folder


def read(output, *options):
    from datasets import load_dataset

    main([*map(str, options), "--output", str(output)])
    return load_dataset(str(output), cache_dir=str(output.parent / "cache"))


def test_the_json_list_becomes_our_schema(json_release, tmp_path):
    from dataset_builders.divide.reading import load_vocabulary

    rows = read(tmp_path / "out", *json_release, "--workers", 2)["train"]
    assert rows.column_names == list(columns_of(load_vocabulary()))
    assert rows["image_id"][:] == [f"cam/{number}" for number in range(4)]
    assert rows[2]["captions"] == ["Person 2.", "Walks."] and rows[2]["caption_backends"] == ["luperson-t"] * 2
    assert rows[2]["image"].size == (32, 96)
    for unknown in ("caption_scores", "attributes", "attribute_probabilities", "duplicate_of"):
        assert rows[unknown][:] == [None] * 4, unknown
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "8 captions" in card and "| train | 4 |" in card and "license: other" in card


def test_the_arrow_files_keep_their_splits_and_bytes(arrow_release, tmp_path, capsys):
    import pyarrow.parquet as parquet

    found = read(tmp_path / "out", "--source", arrow_release)
    assert {split: rows["image_id"][:] for split, rows in found.items()} == {
        split: [str(number) for number in numbers] for split, numbers in SPLITS.items()
    }
    assert found["test"][1]["captions"] == ["Person 6."]
    (shard,) = (tmp_path / "out" / "data").glob("restval-*")
    assert parquet.read_table(shard)["image"].to_pylist() == [{"bytes": jpeg(4), "path": "4.jpg"}]
    assert "train 3 images, " in capsys.readouterr().out


def test_pretraining_can_read_it(json_release, tmp_path):
    from unipt_train.data.loading import load_rows

    main([*json_release, "--output", str(tmp_path / "out")])
    rows = load_rows(str(tmp_path / "out"), "train", ["image", "captions"])
    assert len(rows) == 4


def test_what_cannot_be_used_is_listed(json_release, tmp_path, capsys):
    (tmp_path / "images" / "cam" / "0.jpg").unlink()
    (tmp_path / "images" / "cam" / "1.jpg").write_bytes(b"")
    listed = [entry(number) for number in range(4)] + [entry(2, captions=["Half a \ud83d."])]
    listed += [entry(9, file_path="cam/\0.jpg"), entry(9, file_path="cam/\ud83d.jpg")]
    (tmp_path / "luperson-t.json").write_text(json.dumps(listed))
    rows = read(tmp_path / "out", *json_release)["train"]
    assert rows["image_id"][:] == ["cam/2", "cam/3"]
    assert rows[0]["captions"] == ["Person 2.", "Walks.", "Half a ?."]
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert {line["file_name"]: line["reason"] for line in rejected} == {
        "cam/0.jpg": "cannot be read (No such file or directory)",
        "cam/1.jpg": "zero bytes",
        "cam/\0.jpg": "cannot be read (ValueError)",
        "cam/?.jpg": "cannot be read (No such file or directory)",
    }
    assert "4 images were refused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is not valid JSON"),
        ("{}", "must be a JSON list of {file_path, captions} that is not empty"),
        (
            json.dumps([entry(0), {"image": "x.jpg", "caption": "A man."}]),
            r"entry 1 .* must be a mapping with file_path",
        ),
        (json.dumps([entry(0, captions=7)]), "entry 0 .*'captions' must be a list of texts"),
        (json.dumps([entry(0, captions=[" "])]), "no image of the split 'train' can be used; .* has no caption"),
        (json.dumps([entry(0, file_path="../x.jpg")]), "must be a path below the image folder"),
        (json.dumps([entry(7)]), "no image of the split 'train' can be used; the first, cam/7.jpg, .*No such file"),
    ],
)
def test_a_wrong_list_is_one_sentence_and_leaves_nothing(json_release, tmp_path, content, message):
    (tmp_path / "luperson-t.json").write_text(content)
    with pytest.raises(UserError, match=message):
        main([*json_release, "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def refusal(output, *options):
    """What the command says of something that it refuses; nothing may be left of it."""
    with pytest.raises(UserError) as refused:
        main([*map(str, options), "--output", str(output)])
    assert not output.exists() and not output.with_name(output.name + ".partial").exists()
    assert not list(output.parent.glob(".rows-*"))
    return str(refused.value)


def test_a_wrong_arrow_file_is_one_sentence(arrow_release, tmp_path):
    output = tmp_path / "out"
    table = pyarrow.table({"image": [b""], "text": ["a"]})
    with pyarrow.ipc.new_file(str(tmp_path / "lacks.arrow"), table.schema) as writer:
        writer.write_table(table)
    said = refusal(output, "--source", tmp_path / "lacks.arrow")
    assert "lacks the columns caption, image_id, split; the LUPerson-T that was released" in said
    (tmp_path / "broken.arrow").write_bytes(b"nothing of the kind")
    assert "broken.arrow cannot be read as an Arrow file" in refusal(output, "--source", tmp_path / "broken.arrow")
    write_arrow(tmp_path / "empty.arrow", [], "train")
    assert "without a row" in refusal(output, "--source", tmp_path / "empty.arrow")
    write_arrow(tmp_path / "odd.arrow", [1], "../up")
    said = refusal(output, "--source", tmp_path / "odd.arrow")
    assert "row 0 (counted from 0) has the split '../up', which is no name" in said


def test_another_layout_is_explained(json_release, arrow_release, tmp_path):
    for path, images, message in (
        (tmp_path / "nowhere", None, "nowhere does not exist; give the JSON list"),
        (tmp_path / "nowhere.arrow", None, "nowhere.arrow does not exist"),
        (tmp_path / "images", None, "is not the LUPerson-T that was released; give the JSON list"),
        (tmp_path / "luperson-t.json", None, "names image files; give their folder with --images"),
        (tmp_path / "luperson-t.json", tmp_path / "no", "no does not exist"),
        (arrow_release, tmp_path / "images", "holds the images itself; leave --images out"),
    ):
        options = [] if images is None else ["--images", images]
        assert message in refusal(tmp_path / "out", "--source", path, *options)


def test_the_command_fails_without_a_traceback_and_leaves_complete_outputs_alone(arrow_release, tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "dataset_builders.import_luperson_t", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    failed = run("--source", tmp_path / "nowhere", "--output", tmp_path / "out")
    assert failed.returncode == 2 and failed.stderr.startswith("error: ") and "Traceback" not in failed.stderr
    main(["--source", str(arrow_release), "--output", str(tmp_path / "out")])
    again = run("--source", arrow_release, "--output", tmp_path / "out")
    assert again.returncode == 0 and "already complete" in again.stderr
