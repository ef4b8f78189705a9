import json

import pyarrow
import pyarrow.parquet as parquet
import pytest

from dataset_builders.agreement import main
from dataset_builders.measure.agreement import agreement, agreement_of_dataset, agreement_table
from dataset_builders.measure.truth import match_truth
from modeling_unipt.common.user_errors import UserError


def choice(vocabulary, name, **values):
    return next(c for c in vocabulary.attributes[name].choices if c.value == values)


def person(vocabulary, **changes):
    """What is said of one person, and the same as truth."""
    said = {name: a.choices[0] if a.required else None for name, a in vocabulary.attributes.items()} | changes
    truth = {}
    for name, attribute in vocabulary.attributes.items():
        truth |= said[name].value if said[name] else dict.fromkeys(attribute.fields)
    return said, truth


def test_clothes_count_as_colour_pattern_and_garment(vocabulary):
    said, truth = person(vocabulary)
    table = agreement([said, said], [truth, truth | {"upper_colour": "red", "lower_garment": "shorts"}], vocabulary)
    assert table["required"]["upper_colour"] == table["required"]["lower_garment"] == 0.5
    assert table["required"]["upper_pattern"] == table["required"]["age"] == 1
    assert len(table["required"]) == 10 and table["required_mean"] == pytest.approx(0.9)


def test_optional_precision_and_recall(vocabulary):
    cap = choice(vocabulary, "hat", hat="cap")
    said, _ = person(vocabulary, hat=cap)
    nothing, nothing_truth = person(vocabulary)
    truths = [nothing_truth | {"hat": hat} for hat in ("cap", "beanie", None, "cap")]
    table = agreement([said, said, said, nothing], truths, vocabulary)
    assert table["optional"]["hat"] == {"precision": 1 / 3, "recall": 1 / 3, "said": 3, "true": 3}
    assert table["optional"]["bag"]["precision"] is None
    assert table["optional_precision"] == pytest.approx(1 / 3)
    assert "| hat | 33.3 % | 33.3 % | 3 | 3 |" in agreement_table(table)


def test_an_abstention_on_a_required_attribute_is_not_right(vocabulary):
    said, truth = person(vocabulary)
    assert agreement([said | {"age": None}], [truth], vocabulary)["required"]["age"] == 0


def test_truth_is_matched_whatever_folder_its_names_begin_with():
    truth = {"images/a/1.jpg": "first", "images/b/1.jpg": "second"}
    assert match_truth(["b/1", "a/1.jpg"], truth) == ["second", "first"]
    assert match_truth(["images/b/1.jpg"], truth) == ["second"]
    with pytest.raises(UserError, match="does not know 1 of 2 images, such as 'c/1'"):
        match_truth(["a/1", "c/1"], truth)


def test_the_command_reads_a_dataset(vocabulary, tmp_path, capsys):
    said, truth = person(vocabulary, hat=choice(vocabulary, "hat", hat="helmet"))
    row = {"image_id": "p", "attributes": {name: c.phrase if c else None for name, c in said.items()}}
    (tmp_path / "set" / "data").mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "truth.jsonl").write_text(json.dumps({"file_name": "images/p.jpg", "attributes": truth}) + "\n")
    main(["--dataset", str(tmp_path / "set"), "--truth", str(tmp_path / "truth.jsonl"), "--json"])
    assert json.loads(capsys.readouterr().out)["optional"]["hat"]["precision"] == 1
    (tmp_path / "truth.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="must hold lines like"):
        agreement_of_dataset(tmp_path / "set", tmp_path / "truth.jsonl", vocabulary)
    with pytest.raises(UserError, match="holds no data"):
        agreement_of_dataset(tmp_path, tmp_path / "truth.jsonl", vocabulary)
