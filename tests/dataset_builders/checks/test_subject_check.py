"""``--min-subject-score``: images that do not show what the vocabulary is about are refused after the embedding."""

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from dataset_builders.checks.subject_check import SubjectCheck
from dataset_builders.conquer.scorer import Scorer
from dataset_builders.divide.vocabulary import Subject
from dataset_builders.luperson_t.__main__ import main
from modeling_unipt.common.user_errors import UserError
from tests.helpers.people import draw_person
from tests.helpers.vehicles import VEHICLES

SUBJECT = Subject("thing", "things", ("a red coat.", "an old hat."), ("green shorts.", "a bag.", "nothing."))


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    for number in range(9):
        draw_person(number).save(folder / f"p{number}.png")
    (folder / "torn.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def scorer(tiny_clip_folder, vocabulary):
    return Scorer(tiny_clip_folder, vocabulary, device="cpu")


@pytest.fixture(scope="module")
def scores(crops, scorer, vocabulary):
    """image_id -> subject score by the shipped prompts, one image at a time."""
    check = SubjectCheck(scorer, vocabulary.subject, 0.5)
    embed = lambda number: scorer.embed_pixels(scorer.pixels(draw_person(number))[None])  # noqa: E731
    return {f"p{number}": float(check.scores(embed(number))[0]) for number in range(9)}


def build(crops, scorer, output, *options):
    main(["--images", str(crops), "--scorer", str(scorer), "--output", str(output), *map(str, options)])
    rows = [row for shard in sorted(output.glob("data/*")) for row in parquet.read_table(shard).to_pylist()]
    lines = [json.loads(line) for line in (output / "rejected.jsonl").read_text().splitlines()]
    return {row["image_id"]: row for row in rows}, {line["file_name"]: line["reason"] for line in lines}


def test_the_score_is_the_softmax_of_the_models_own_logits(scorer, tiny_clip_folder):
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(tiny_clip_folder), CLIPProcessor.from_pretrained(tiny_clip_folder)
    images = [draw_person(number).resize((32, 32), processor.image_processor.resample) for number in range(3)]
    texts = [*SUBJECT.prompts, *SUBJECT.negatives]
    with torch.no_grad():
        logits = model(**processor(text=texts, images=images, padding=True, return_tensors="pt")).logits_per_image
    embeds = scorer.embed_pixels(np.stack([scorer.pixels(image) for image in images]))
    scores = SubjectCheck(scorer, SUBJECT, 0.5).scores(embeds)
    np.testing.assert_allclose(scores, logits.softmax(dim=1)[:, :2].sum(dim=1), atol=2e-5)
    least = float(np.sort(scores)[1])
    reasons = SubjectCheck(scorer, SUBJECT, least).reasons(embeds)
    assert [reason is None for reason in reasons] == (scores >= least).tolist() and reasons.count(None) == 2
    told = next(filter(None, reasons))
    assert told == f"no thing to be seen: subject score is {scores.min():.3f}, less than {least:g}"


@pytest.mark.parametrize("recipe", ["paper", "best"])
def test_what_is_refused_is_listed_and_changes_nothing_else(crops, tiny_clip_folder, scores, tmp_path, recipe):
    ordered = sorted(scores, key=scores.get)
    least = (scores[ordered[3]] + scores[ordered[4]]) / 2
    options = ["--recipe", recipe, "--batch-size", 2, "--shard-size", 4, "--captions-per-image", 2]
    everyone, torn = build(crops, tiny_clip_folder, tmp_path / "all", *options)
    rows, rejected = build(crops, tiny_clip_folder, tmp_path / "out", *options, "--min-subject-score", least)
    assert set(rows) == set(ordered[4:]) and set(rejected) == {f"{name}.png" for name in ordered[:4]} | set(torn)
    assert all("no person to be seen" in rejected[f"{name}.png"] for name in ordered[:4])
    for name, row in rows.items():
        assert (row["captions"], row["attributes"]) == (everyone[name]["captions"], everyone[name]["attributes"])
        np.testing.assert_allclose(row["caption_scores"], everyone[name]["caption_scores"], atol=1e-5)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"--min-subject-score {least:g}" in card and f"min subject score {least:g}" in card
    settings = json.loads((tmp_path / "out" / "build_settings.json").read_text())
    assert settings["min_subject_score"] == least
    assert "min_subject_score" not in json.loads((tmp_path / "all" / "build_settings.json").read_text())


def test_a_batch_and_a_build_of_nothing_but_refused_images(crops, tiny_clip_folder, scores, tmp_path):
    best = max(scores, key=scores.get)
    least = np.nextafter(np.float32(scores[best] - 1e-5), np.float32(0))
    rows, rejected = build(crops, tiny_clip_folder, tmp_path / "one", "--batch-size", 1, "--min-subject-score", least)
    assert list(rows) == [best] and len(rejected) == 9
    with pytest.raises(UserError, match="none of the 10 images .* is refused because: no person to be seen"):
        build(crops, tiny_clip_folder, tmp_path / "none", "--min-subject-score", max(0.999, scores[best] + 1e-3))
    assert not (tmp_path / "none").exists() and not (tmp_path / "none.partial").exists()


def test_another_domain_has_its_own_subject_or_is_told_what_it_lacks(crops, tiny_clip_folder, tmp_path):
    options = ["--attributes", VEHICLES, "--min-subject-score", 0.999]
    with pytest.raises(UserError, match="refused because: no vehicle to be seen"):
        build(crops, tiny_clip_folder, tmp_path / "out", *options)
    text = VEHICLES.read_text(encoding="utf-8").replace(
        "vehicles_templates", str(VEHICLES.parent / "vehicles_templates")
    )
    (tmp_path / "bare.yaml").write_text(text[: text.index("subject:")] + text[text.index("attributes:") :])
    options[1] = tmp_path / "bare.yaml"
    with pytest.raises(UserError, match="needs the prompts of a 'subject', which the vocabulary 'vehicles' lacks"):
        build(crops, tiny_clip_folder, tmp_path / "out", *options)
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("least", ["0", "1", "-0.5", "nan"])
def test_an_impossible_score_is_refused(crops, tiny_clip_folder, tmp_path, least):
    with pytest.raises(UserError, match=r"--min-subject-score (0|1|-0.5|nan) must lie between 0 and 1"):
        build(crops, tiny_clip_folder, tmp_path / "out", "--min-subject-score", least)
