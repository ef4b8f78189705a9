"""What the repository ships: sample dataset, tiny CLIP and tiny model load by their names and are as good as stated."""

import json
import re
import subprocess
import sys

import datasets
import pytest
from PIL import Image

from dataset_builders.conquer.paper_recipe import decide
from dataset_builders.conquer.scorer import Scorer
from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.measure.agreement import agreement
from dataset_builders.measure.truth import read_truth
from tests.helpers.paths import ROOT
from unipt_train import release
from unipt_train.publishing.card import CARDS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """30 people of four views in CUHK-PEDES's layout, of a seed that nothing else uses."""
    folder = tmp_path_factory.mktemp("world") / "people"
    subprocess.run(
        [sys.executable, "-m", "dataset_builders.synthetic_pedestrians", "--output", folder, "--identities", "34"]
        + ["--views", "4", "--seed", "770077", "--test-identities", "30", "--val-identities", "2"]
        + ["--layout", "cuhk-pedes"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_the_sample_dataset_loads_by_name_and_streams(monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = datasets.load_dataset("luperson-t", split="train")
    assert 900 <= len(rows) <= 1100
    streamed = next(iter(datasets.load_dataset("luperson-t", split="train", streaming=True)))
    assert streamed["captions"] == rows[0]["captions"]
    assert streamed["image"].size == (64, 192)
    assert set(rows.column_names) == {
        "image", "image_id", "captions", "caption_scores", "caption_backends", "attributes", "attribute_probabilities",
        "duplicate_of",
    }  # fmt: skip


def test_the_released_code_is_the_packages_own():
    for path in (ROOT / "unipt" / "unipt-tiny").glob("*.py"):
        assert path.read_bytes() == (ROOT / "modeling_unipt" / path.name).read_bytes(), "run `make hub-code`"


def test_the_cards_are_what_the_release_would_write_today(monkeypatch):
    """Words change in train/cards and in the code; the numbers stay those that were measured."""
    monkeypatch.setattr(release, "MACHINE", "x86_64, two CPU cores, no accelerator")
    card = (ROOT / "unipt" / "clip-tiny" / "README.md").read_text(encoding="utf-8")
    table = card[card.index("| required field") : card.index("\n\n`python -m dataset_builders.calibrate`")]
    assert card == release.fill_card("clip-tiny", table=table)
    card = (ROOT / "unipt" / "unipt-tiny" / "README.md").read_text(encoding="utf-8")
    oracle = float(re.search(r"reaches ([\d.]+) % Rank-1", card).group(1))
    assert release.about_unipt_tiny(oracle).strip() in card
    for words in re.split(r"\$\w+", (CARDS / "unipt.md").read_text(encoding="utf-8")):
        assert words in card


def test_the_tiny_clip_is_as_good_as_its_card_says_on_new_people(world):
    truth = read_truth(world / "truth.jsonl")
    vocabulary = load_vocabulary()
    scorer = Scorer(str(ROOT / "unipt" / "clip-tiny"), vocabulary)
    probabilities = scorer.probabilities([Image.open(world / name) for name in truth])
    found = agreement(decide(probabilities, vocabulary), list(truth.values()), vocabulary)
    card = (ROOT / "unipt" / "clip-tiny" / "README.md").read_text(encoding="utf-8")
    stated = float(re.search(r"\| \*\*mean\*\* \| \*\*([\d.]+) %", card).group(1)) / 100
    assert found["required_mean"] > stated - 0.06
    assert found["optional_precision"] > 0.9


def test_the_tiny_model_is_as_good_as_its_card_says_on_new_people(world, tmp_path):
    dataset, results = tmp_path / "cuhk-pedes", tmp_path / "results.json"
    for command in (
        ["-m", "dataset_builders.benchmarks", "cuhk-pedes", "--source", world, "--output", dataset]
        + ["--allow-partial"],
        ["train/evaluate_retrieval.py", "--model", "unipt/unipt-tiny", "--dataset", dataset, "--output", results],
    ):
        subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True, capture_output=True)
    (found,) = json.loads(results.read_text())
    card = (ROOT / "unipt" / "unipt-tiny" / "README.md").read_text(encoding="utf-8")
    stated = float(re.search(r"this checkpoint\) \|.*?text-to-image \| ([\d.]+)", card).group(1))
    people, queries = map(int, re.search(r"\((\d+) people, \d+ gallery items, (\d+) queries", card).groups())
    assert people >= 200 and queries >= 1600
    assert found["identities"] == 30
    assert found["R1"] >= stated  # fewer people are easier to tell apart


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_demo_shows_what_pretraining_is_worth(tmp_path):
    subprocess.run([sys.executable, "train/demo.py", "--output", tmp_path], cwd=ROOT, check=True, timeout=1440)
    rows = {row["name"]: row for row in json.loads((tmp_path / "results.json").read_text())}
    chance = 100 / rows["untrained"]["identities"]
    scratch, finetuned = rows["fine-tuned from scratch"]["R1"], rows["fine-tuned from UniPT"]["R1"]
    assert rows["untrained"]["identities"] >= 100 and rows["untrained"]["gallery"] >= 400
    assert rows["UniPT zero-shot"]["R1"] >= 20 * chance
    assert rows["untrained"]["R1"] <= 4 * chance
    assert scratch >= 10 * chance
    assert finetuned >= scratch + 10
    assert max(row["R1"] for row in rows.values()) <= 90
    assert (tmp_path / "contact_sheet.png").stat().st_size > 10_000
