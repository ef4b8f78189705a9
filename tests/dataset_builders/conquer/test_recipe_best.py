"""The recipe `best` through the builder's command, and two recipes compared."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset_builders import agreement, calibrate
from dataset_builders.combine.sampler import CaptionSampler
from dataset_builders.conquer.best_recipe import BestRecipe
from dataset_builders.conquer.calibration import default_calibration
from dataset_builders.conquer.scorer import Scorer
from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.luperson_t.__main__ import main
from dataset_builders.measure.comparison import compare
from modeling_unipt.common.user_errors import UserError
from tests.helpers.luperson_t_builds import build, rows_of, write_people
from tests.helpers.vehicles import VEHICLES


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = write_people(tmp_path_factory.mktemp("labelled"), [f"p{index}.png" for index in range(12)])
    return folder / "images"


@pytest.fixture(scope="module")
def truth(people):
    return people.parent / "truth.jsonl"


@pytest.fixture(scope="module")
def best(people, truth, tiny_clip_folder):
    output = people.parent / "best"
    return build(people, tiny_clip_folder, output, "--recipe", "best", "--truth", truth, "--captions-per-image", 2)


def test_rows_hold_what_the_recipe_says(best, people, tiny_clip_folder):
    vocabulary = load_vocabulary()
    recipe = BestRecipe(Scorer(tiny_clip_folder, vocabulary, device="cpu"), default_calibration(vocabulary))
    sampler = CaptionSampler(vocabulary, vocabulary.templates_for("best"))
    for row in rows_of(best):
        pixels = recipe.pixels(Image.open(people / f"{row['image_id']}.png"))
        _, stored, (chosen,) = recipe.describe(pixels[None])
        assert row["attributes"] == {name: choice.phrase if choice else None for name, choice in chosen.items()}
        assert row["captions"][0] == sampler.caption(row["attributes"], 0, row["image_id"], 0)
        np.testing.assert_allclose(row["attribute_probabilities"]["hat"], stored["hat"][0], atol=1e-4)
        for part, values in stored["upper_clothes"].items():
            np.testing.assert_allclose(row["attribute_probabilities"]["upper_clothes"][part], values[0], atol=1e-4)


def test_the_card_and_the_settings_say_so(best, people, tiny_clip_folder, tmp_path):
    card = (best / "README.md").read_text()
    for told in ("`best`: several prompts and views", "--recipe best", "none: even priors", "is left out"):
        assert told in card, told
    assert "Required attributes are always named" not in card
    settings = json.loads((best / "build_settings.json").read_text())
    assert settings["recipe"] == "best" and settings["calibration"] is None
    paper = build(people, tiny_clip_folder, tmp_path / "paper")
    settings = json.loads((paper / "build_settings.json").read_text())
    assert settings["recipe"] == "paper" and settings["calibration"] is None
    words = " ".join((paper / "README.md").read_text().split())
    assert "Required attributes are always named, also where the image does not show them. `--without" in words
    with pytest.raises(UserError, match='recipe was "paper" and is now "best"'):
        build(people, tiny_clip_folder, paper, "--recipe", "best")


def test_a_calibration_can_be_named_and_one_of_another_scorer_is_refused(people, truth, tiny_clip_folder, tmp_path):
    fitted = tmp_path / "fitted.json"
    calibrate.main(
        ["--images", str(people), "--truth", str(truth), "--scorer", str(tiny_clip_folder)] + ["--output", str(fitted)]
    )
    options = ["--recipe", "best", "--calibration", fitted]
    built = build(people, tiny_clip_folder, tmp_path / "built", *options, "--without", "gender")
    assert "`fitted.json`" in (built / "README.md").read_text()
    assert all("gender" not in row["attributes"] for row in rows_of(built))
    assert json.loads((built / "build_settings.json").read_text())["calibration"]
    content = json.loads(fitted.read_text())
    fitted.write_text(json.dumps(content | {"scorer": "0123456789ab"}))
    with pytest.raises(UserError, match="was fitted for the scorer 0123456789ab, not for"):
        build(people, tiny_clip_folder, tmp_path / "other", *options)
    assert not (tmp_path / "other").exists() and not (tmp_path / "other.partial").exists()
    with pytest.raises(UserError, match="--calibration belongs to --recipe best"):
        build(people, tiny_clip_folder, tmp_path / "other", "--calibration", fitted)


def test_a_calibration_beside_the_scorer_can_be_done_without(people, truth, tiny_clip_folder, tmp_path):
    scorer = shutil.copytree(tiny_clip_folder, tmp_path / "clip")
    calibrate.main(["--images", str(people), "--truth", str(truth), "--scorer", str(scorer)])
    options = ["--recipe", "best", "--attributes", VEHICLES]
    with pytest.raises(UserError, match="was fitted for the vocabulary .*, or do without by --calibration none"):
        build(people, scorer, tmp_path / "vehicles", *options)
    built = build(people, scorer, tmp_path / "vehicles", *options, "--calibration", "none")
    assert json.loads((built / "build_settings.json").read_text())["calibration"] is None
    card = (built / "README.md").read_text(encoding="utf-8")
    assert "--recipe best --calibration none --attributes vehicles.yaml" in card and "none: even priors" in card


def test_the_result_does_not_depend_on_batches_or_shards(best, people, truth, tiny_clip_folder, tmp_path):
    other = build(people, tiny_clip_folder, tmp_path / "other", "--recipe", "best", "--shard-size", 5)
    assert [row["attributes"] for row in rows_of(other)] == [row["attributes"] for row in rows_of(best)]


def test_vehicles_are_described_too_and_their_card_is_not_about_people(people, best, tiny_clip_folder, tmp_path):
    built = build(people, tiny_clip_folder, tmp_path / "vehicles", "--recipe", "best", "--attributes", VEHICLES)
    assert all({"type", "paint"} <= set(row["attributes"]) and row["captions"] for row in rows_of(built))
    card = (built / "README.md").read_text(encoding="utf-8")
    assert "# Pseudo-texts of vehicles\n\nImages of vehicles with" in card and "- vehicle-retrieval" in card
    assert "find a described vehicle among images" in card and "about vehicles that look" in " ".join(card.split())
    citation = "Pseudo Texts for Text-To-Image Person"
    own = " ".join(card.split()).replace(citation, "").replace("to decide about people", "")
    assert not re.search(r"\b(person|people|gender|age|clothes|LUPerson-T)\b", own, re.IGNORECASE)
    card = (best / "README.md").read_text(encoding="utf-8")
    assert (
        "# LUPerson-T\n\nImages of people with" in card and "The attributes age and gender record how a person" in card
    )
    assert (
        "says more about people that look as the scorer expects" in " ".join(card.split())
        and "- person-retrieval" in card
    )


def test_two_recipes_are_compared(best, people, truth, tiny_clip_folder, tmp_path, capsys):
    paper = build(people, tiny_clip_folder, tmp_path / "paper")
    agreement.main(["--dataset", str(paper), str(best), "--truth", str(truth)])
    table = capsys.readouterr().out
    assert "| field | paper: accuracy | best: accuracy | paper: abstained |" in table
    assert "| hat (optional) |" in table and "| false statements, share of all |" in table
    compared = compare([paper, best], truth, load_vocabulary())
    assert compared["paper"]["fields"]["age"]["abstained"] == 0 and compared["paper"]["stated_per_image"] >= 10
    assert all(0 <= row["calibration_error"] <= 1 for row in compared["best"]["fields"].values())
    with pytest.raises(UserError, match="two datasets are named 'best'"):
        compare([best, best], truth, load_vocabulary())


def test_it_is_the_default_and_says_what_it_lacks(people, tiny_clip_folder, tmp_path, caplog):
    main(["--images", str(people), "--scorer", str(tiny_clip_folder), "--output", str(tmp_path / "out")])
    assert "there is no calibration of" in caplog.text
    assert json.loads((tmp_path / "out" / "build_settings.json").read_text())["recipe"] == "best"
