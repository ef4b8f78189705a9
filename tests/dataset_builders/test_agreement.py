"""The command that compares what datasets say with what is true."""

import json

import pyarrow
import pyarrow.parquet as parquet
import pytest

from dataset_builders.agreement import main
from dataset_builders.measure.agreement import agreement_of_dataset
from modeling_unipt.common.user_errors import UserError
from tests.helpers.said_and_true import choice, person


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


def test_a_folder_of_save_to_disk_is_compared_as_well(vocabulary, tmp_path, capsys):
    """The same numbers as of Parquet files of the same rows."""
    import datasets

    said, truth = person(vocabulary, hat=choice(vocabulary, "hat", hat="helmet"))
    row = {"image_id": "p", "attributes": {name: c.phrase if c else None for name, c in said.items()}}
    (tmp_path / "truth.jsonl").write_text(json.dumps({"file_name": "images/p.jpg", "attributes": truth}) + "\n")
    rows = datasets.Dataset.from_list([row])
    (tmp_path / "parquet" / "data").mkdir(parents=True)
    rows.to_parquet(tmp_path / "parquet" / "data" / "train-00000-of-00001.parquet")
    rows.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "splits")
    told = []
    for folder in ("parquet", "saved", "splits"):
        main(["--dataset", str(tmp_path / folder), "--truth", str(tmp_path / "truth.jsonl"), "--json"])
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1] == told[2] and told[0]["optional"]["hat"]["precision"] == 1
    rows.remove_columns("attributes").save_to_disk(tmp_path / "without")
    with pytest.raises(UserError, match="lacks the columns image_id and attributes"):
        agreement_of_dataset(tmp_path / "without", tmp_path / "truth.jsonl", vocabulary)
