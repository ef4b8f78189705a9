"""A vocabulary with fewer templates: nested subsets that are valid, caption whatever is known, and build."""

import itertools
import logging
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as parquet
import pytest

from dataset_builders.combine.captioner import Captioner
from dataset_builders.combine.templates import load_templates
from dataset_builders.divide.reading import load_vocabulary
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person
from unipt_train.studies import fewer_templates

ALL = {"paper": 456, "best": 1570}


def made(output, *options):
    """The vocabulary that the command writes."""
    fewer_templates.main(["--output", str(output), *map(str, options)])
    return load_vocabulary(output / "vocabulary.yaml")


def texts_of(vocabulary, recipe="paper"):
    return [template.text for template in load_templates(vocabulary, vocabulary.templates_for(recipe)).templates]


@pytest.mark.parametrize("recipe", ALL)
def test_sets_are_nested_and_of_the_number_asked_for(tmp_path, recipe):
    everything, before = texts_of(load_vocabulary(), recipe), set()
    for count in sorted({114, 228, ALL[recipe]}):
        kept = texts_of(made(tmp_path / f"{count}", "--recipe", recipe, "--templates", count, "--seed", 3), recipe)
        assert len(kept) == count and before <= set(kept) <= set(everything)
        before = set(kept)
    assert kept == everything
    other = texts_of(made(tmp_path / "other", "--recipe", recipe, "--templates", 114, "--seed", 4), recipe)
    assert set(other) != set(texts_of(load_vocabulary(tmp_path / "114" / "vocabulary.yaml"), recipe))


def test_only_the_recipes_templates_change(tmp_path):
    usual, vocabulary = load_vocabulary(), made(tmp_path / "few", "--templates", 114)
    assert vocabulary.sha256 == usual.sha256
    assert vocabulary.templates_for("best").read_bytes() == usual.templates_for("best").read_bytes()
    fewer, whole = (load_templates(v, v.templates_for("paper")) for v in (vocabulary, usual))
    assert fewer.words == whole.words and fewer.omit_at_most == whole.omit_at_most
    assert fewer.tell_at_least is whole.tell_at_least is None and fewer.sha256 != whole.sha256


@pytest.mark.parametrize("recipe, seed", itertools.product(ALL, range(2)))
def test_the_fewest_caption_whatever_is_known(tmp_path, recipe, seed):
    with pytest.raises(UserError, match=r"--templates 0 must be from (\d+), with") as refused:
        made(tmp_path / "none", "--recipe", recipe, "--templates", 0, "--seed", seed)
    fewest = int(str(refused.value).split("from ")[1].split(",")[0])
    assert 1 <= fewest <= 14 and not (tmp_path / "none").exists()
    vocabulary = made(tmp_path / "few", "--recipe", recipe, "--templates", fewest, "--seed", seed)
    captioner = Captioner(vocabulary, vocabulary.templates_for(recipe))
    rng = np.random.default_rng(seed)
    for number, chance in itertools.product(range(30), (0.0, 0.3, 0.7, 1.0)):
        chosen = {
            name: attribute.choices[int(rng.integers(len(attribute.choices)))] if rng.random() < chance else None
            for name, attribute in vocabulary.attributes.items()
        }
        captions = captioner.captions(chosen, seed=0, image_id=str(number), count=3)
        assert len(captions) == 3 and all(caption.endswith(".") for caption in captions)
    told = set().union(*(t.required | t.places for t in captioner.template_set.templates))
    assert told == set(vocabulary.attributes)


def test_luperson_t_builds_with_it(tmp_path, tiny_clip_folder):
    (tmp_path / "people").mkdir()
    for number in range(4):
        draw_person(number).save(tmp_path / "people" / f"{number}.png")
    vocabulary = made(tmp_path / "few", "--templates", 114, "--seed", 1)
    command = [sys.executable, "-m", "dataset_builders.luperson_t", "--images", tmp_path / "people"]
    command += [
        "--scorer",
        tiny_clip_folder,
        "--attributes",
        tmp_path / "few" / "vocabulary.yaml",
        "--recipe",
        "paper",
        "--captions-per-image",
        2,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*map(str, command), "--output", str(tmp_path / "built")], cwd=ROOT, env=environment, check=True,
        capture_output=True,
    )  # fmt: skip
    rows = [
        row for shard in (tmp_path / "built").glob("data/*.parquet") for row in parquet.read_table(shard).to_pylist()
    ]
    captioner = Captioner(vocabulary)
    assert len(rows) == 4 and len(captioner.template_set.templates) == 114
    for row in rows:
        phrases = {name: attribute.by_phrase for name, attribute in vocabulary.attributes.items()}
        chosen = {name: phrases[name][phrase] for name, phrase in row["attributes"].items() if phrase}
        assert row["captions"] == captioner.captions(chosen, 0, row["image_id"], 2)


def test_a_complete_output_is_left_alone_and_other_settings_refused(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    made(tmp_path / "few", "--templates", 114)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "few").iterdir()}
    made(tmp_path / "few", "--templates", 114)
    assert "already complete" in caplog.text
    with pytest.raises(UserError, match="templates was 114 and is now 228"):
        made(tmp_path / "few", "--templates", 228)
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "few").iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["few"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--templates", "457"], "--templates 457 must be from .* to 456, the number of the recipe 'paper'"),
        (["--templates", "1571", "--recipe", "best"], "to 1570, the number of the recipe 'best'"),
        (["--templates", "-1"], "--templates -1 must be from"),
        (["--templates", "114", "--seed", "-1"], "--seed -1 must not be negative"),
    ],
)
def test_bad_numbers_are_refused_in_one_sentence(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        made(tmp_path / "few", *options)
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path):
    run = [sys.executable, "train/studies/fewer_templates.py", "--output", str(tmp_path / "few"), "--templates"]
    failed = subprocess.run([*run, "9999"], cwd=ROOT, capture_output=True, text=True)
    assert failed.returncode == 2 and failed.stderr.startswith("error: --templates 9999")
    assert "Traceback" not in failed.stderr and not (tmp_path / "few").exists()
    done = subprocess.run([*run, "30"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "30 of the 456 templates" in done.stdout
