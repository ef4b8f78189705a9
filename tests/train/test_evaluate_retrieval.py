"""The evaluation command on small datasets: what it counts, what it writes, and every bad input that it must bear."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeling_unipt import embedding
from modeling_unipt.common.user_errors import UserError, run_command
from modeling_unipt.precision import computing_in
from tests.helpers.people import draw_person
from unipt_train.data.identity import dataset_digest
from unipt_train.evaluate_retrieval import main
from unipt_train.evaluation.confidence import identity_intervals
from unipt_train.evaluation.measure import embed_rows, training_setting
from unipt_train.evaluation.report import METRICS, markdown
from unipt_train.metrics.person_retrieval.person_retrieval import retrieval_metrics

SENTENCE = "a young man in a red coat and black trousers"


def write_dataset(folder, people, captions=lambda person, view: [f"{SENTENCE}, number {person}", "a woman in blue"]):
    """A dataset of ``people``, person_id -> number of views."""
    import datasets

    rows = {"image": [], "person_id": [], "captions": []}
    for person, views in people.items():
        for view in range(views):
            rows["image"].append(draw_person(10 * person + view, 48, 16))
            rows["person_id"].append(person)
            rows["captions"].append(captions(person, view))
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    embedded = table.with_format("arrow").map(datasets.table.embed_table_storage, batched=True)
    folder.mkdir(parents=True)
    embedded.with_format(None).to_parquet(folder / "test-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    """Two small benchmarks; in the first, person 3 has one image."""
    folder = tmp_path_factory.mktemp("data")
    return write_dataset(folder / "first", {1: 2, 2: 3, 3: 1, 4: 2}), write_dataset(folder / "second", {7: 2, 9: 2})


def evaluate(tmp_path, *options):
    """The records, and what the command printed is left to capsys."""
    main([*map(str, options), "--cpu", "--output", str(tmp_path / "out" / "results.json")])
    return json.loads((tmp_path / "out" / "results.json").read_text())


def test_numbers_are_the_metrics_own_on_what_the_model_embeds(benchmarks, tiny_unipt_folder, tmp_path, capsys):
    import datasets

    from modeling_unipt.embedding import embed_images, embed_texts
    from modeling_unipt.loading import load_unipt

    found = evaluate(tmp_path, "--model", tiny_unipt_folder, "--dataset", benchmarks[0], "--direction", "both")
    rows = datasets.load_dataset(str(benchmarks[0]), split="test")
    model, processor = load_unipt(tiny_unipt_folder)
    captions = [caption for row in rows for caption in row["captions"]]
    text_ids = [row["person_id"] for row in rows for _ in row["captions"]]
    data = embed_texts(model, processor, captions), text_ids, embed_images(model, processor, rows["image"])
    for record, direction, counts in zip(
        found, ("text-to-image", "image-to-text"), ((16, 8, 4), (8, 16, 4)), strict=True
    ):
        expected = retrieval_metrics(*data, rows["person_id"], direction)
        assert {name: record[name] for name in expected} == pytest.approx(expected, abs=1e-9)
        assert (record["queries"], record["gallery"], record["identities"]) == counts
        assert record["direction"] == direction and record["setting"] == "" and record["split"] == "test"
        for name in METRICS:
            low, high = record["intervals"][name]
            assert 0 <= low <= record[name] <= high <= 100
    told = capsys.readouterr().out
    assert "16 queries, 8 gallery items, 4 identities" in told and "no " not in told


def test_blank_captions_are_no_queries_and_an_untidy_one_is_read_in_its_normal_form(
    tiny_unipt_folder, tiny_clip_folder, tmp_path, capsys
):
    def untidy(person, view):
        return [f" \ufeff{SENTENCE.replace(' ', '&nbsp; ')}, number&#32;{person}", "", " \n&nbsp;"]

    def tidy(person, view):
        return [f"{SENTENCE}, number {person}"]

    people = {1: 2, 2: 3, 4: 1}
    found = []
    for name, captions in (("untidy", untidy), ("tidy", tidy)):
        dataset = write_dataset(tmp_path / name, people, captions)
        found.append(evaluate(tmp_path, "--model", tiny_unipt_folder, tiny_clip_folder, "--dataset", dataset))
    told = capsys.readouterr().out
    assert told.count("12 captions are blank and were left out") == 2
    for first, second in zip(*found, strict=True):
        assert (first["blank_captions"], second["blank_captions"]) == (12, 0)
        same = (*METRICS, "queries", "captions_truncated")
        assert [first[name] for name in same] == [second[name] for name in same]
        assert first["queries"] == 6


def test_models_by_datasets_with_a_clip_as_baseline(benchmarks, tiny_unipt_folder, tiny_clip_folder, tmp_path):
    models, table = [tiny_clip_folder, tiny_unipt_folder], tmp_path / "made" / "table.md"
    options = ["--table", table, "--contact_sheet", tmp_path / "sheet.png", "--queries_shown", 2]
    found = evaluate(tmp_path, "--model", *models, "--dataset", *benchmarks, *options)
    assert [(r["model"], r["dataset"]) for r in found] == [(str(m), str(d)) for m in models for d in benchmarks]
    assert [r["setting"] for r in found] == ["baseline", "baseline", "", ""]
    lines = table.read_text(encoding="utf-8").splitlines()
    first = found[0]
    low, high = first["intervals"]["R1"]
    assert (
        f"| {models[0]} | {benchmarks[0]} | baseline | text-to-image | {first['R1']:.1f} [{low:.1f}, {high:.1f}] |"
        in ("\n".join(lines))
    )
    (row,) = [
        line for line in lines[lines.index("Rank-1 / mAP, text-to-image:") :] if line.startswith(f"| {models[1]} ")
    ]
    cells = [f"{r['R1']:.1f} / {r['mAP']:.1f}" for r in found[2:]]
    assert row == f"| {models[1]} | {cells[0]} | {cells[1]} |"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 200
    assert not list(tmp_path.rglob("*partial*")) and not list(tmp_path.rglob(".aside-*"))


def test_how_a_model_met_a_dataset_is_read_from_its_own_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    for made, told in (
        ({"command": "pretrain", "dataset": "luperson-t", "max_steps": 5}, "direct transfer"),
        ({"command": "pretrain", "dataset": "luperson-t", "max_steps": 0}, "untrained"),
        ({"command": "finetune", "dataset": "./cuhk"}, "fine-tuned"),
        ({"command": "finetune", "dataset": "icfg"}, "fine-tuned on icfg"),
        ({}, ""),
    ):
        (tmp_path / "model" / "build_settings.json").write_text(json.dumps(made))
        assert training_setting("model", "cuhk") == told
    assert training_setting("unipt/unipt-tiny", "cuhk") == ""


def model_that_says(folder, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "build_settings.json").write_text(json.dumps(settings))
    return str(folder)


def copy_of_a_benchmark(folder, annotation):
    """What python -m dataset_builders.benchmarks leaves of its settings, beside a card of the same title."""
    settings = {"benchmark": "cuhk-pedes", "annotation": annotation, "images": "9 files", "license": "other"}
    model_that_says(folder, **settings)
    (folder / "README.md").write_text("---\npretty_name: Data in CUHK-PEDES's layout\n---\n")
    return folder


def test_a_dataset_is_known_by_what_made_it_wherever_model_and_dataset_lie(tmp_path, monkeypatch):
    mine, other = copy_of_a_benchmark(tmp_path / "a" / "cuhk", "1f"), copy_of_a_benchmark(tmp_path / "b" / "cuhk", "2e")
    digest = dataset_digest(mine)
    assert digest and digest != dataset_digest(other)
    model = model_that_says(tmp_path / "model", command="finetune", dataset="cuhk", dataset_digest=digest)
    monkeypatch.chdir(tmp_path / "b")  # where the path that was typed leads to the other one
    assert training_setting(model, "cuhk") == "fine-tuned on cuhk"
    assert training_setting(model, "../a/cuhk") == "fine-tuned"
    moved = shutil.move(mine, tmp_path / "renamed")
    copy_of_a_benchmark(Path(moved), "1f").joinpath("README.md").write_text("---\nlicense: mit\n---\n")
    assert training_setting(shutil.move(model, tmp_path / "published"), moved) == "fine-tuned"


def test_a_folder_that_is_not_ours_is_known_by_its_files(benchmarks, tmp_path):
    copy = shutil.copytree(benchmarks[0], tmp_path / "copy")
    digest = dataset_digest(copy)
    assert digest == dataset_digest(benchmarks[0]) != dataset_digest(benchmarks[1])
    (copy / "README.md").write_text("more about it")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "x").write_text("1")
    assert dataset_digest(copy) == digest
    (copy / "train-00000-of-00001.parquet").write_bytes(b"more of it")
    assert dataset_digest(copy) != digest
    assert dataset_digest("me/cuhk-pedes") is None


@pytest.mark.parametrize(
    ("typed", "measured", "told"),
    [
        ("runs/cuhk", "runs/cuhk", "fine-tuned"),
        ("runs/cuhk", "{elsewhere}/runs/cuhk", "fine-tuned"),
        ("../runs/cuhk", "runs/cuhk", "fine-tuned"),
        ("runs/icfg", "runs/cuhk", "fine-tuned on runs/icfg"),
        ("{elsewhere}/runs/cuhk", "runs/cuhk", "fine-tuned"),
        ("/other/runs/cuhk", "runs/cuhk", "fine-tuned on /other/runs/cuhk"),
        ("me/cuhk", "me/cuhk", "fine-tuned"),
        ("me/cuhk", "you/cuhk", "fine-tuned on me/cuhk"),
    ],
)
def test_of_an_older_model_the_end_of_the_path_decides(tmp_path, monkeypatch, typed, measured, told):
    """It was typed in a folder that nobody knows."""
    copy_of_a_benchmark(tmp_path / "runs" / "cuhk", "1f")
    model = model_that_says(tmp_path / "model", command="finetune", dataset=typed.format(elsewhere=tmp_path))
    monkeypatch.chdir(tmp_path)
    assert training_setting(model, measured.format(elsewhere=tmp_path)) == told


def card_of(folder, *stages):
    """The card that train/model_card.py writes for a folder, without the settings that stay on the machine."""
    from unipt_train.publishing.card import TrainingStage, training_text

    text = training_text([TrainingStage(settings, [], None) for settings in stages], complete=True)
    folder.mkdir()
    (folder / "README.md").write_text(f"# model\n\n## How it was trained\n{text}\n\n## Environment\n")
    return str(folder)


def test_a_published_model_is_known_by_its_card(tmp_path):
    official = copy_of_a_benchmark(tmp_path / "cuhk", "1f")
    (official / "README.md").write_text("---\npretty_name: CUHK-PEDES\n---\n")
    rendered = copy_of_a_benchmark(tmp_path / "rendered", "2e")
    pretrained = {"command": "pretrain", "dataset": "luperson-t", "split": "train", "max_steps": 5, "rows": 9}
    of = {"command": "finetune", "split": "train", "pairs": 12, "max_steps": 5}
    by_digest = card_of(
        tmp_path / "1", pretrained, of | {"dataset": str(rendered), "dataset_digest": dataset_digest(rendered)}
    )
    by_title = card_of(tmp_path / "2", pretrained, of | {"dataset": str(official)})
    unknown = card_of(tmp_path / "3", pretrained, of | {"dataset": str(rendered)})
    shutil.move(official, tmp_path / "moved")
    assert training_setting(by_digest, str(rendered)) == "fine-tuned"
    assert training_setting(by_digest, str(tmp_path / "moved")) == "fine-tuned on Data in CUHK-PEDES's layout"
    assert training_setting(by_title, str(tmp_path / "moved")) == "fine-tuned"
    assert training_setting(by_title, str(rendered)) == "fine-tuned on CUHK-PEDES"
    # Others have that title as well.
    assert training_setting(unknown, str(rendered)) == "fine-tuned on Data in CUHK-PEDES's layout"
    assert training_setting(card_of(tmp_path / "4", pretrained), str(rendered)) == "direct transfer"
    assert training_setting(card_of(tmp_path / "5", pretrained | {"max_steps": 0}), str(rendered)) == "untrained"
    assert training_setting(card_of(tmp_path / "6"), str(rendered)) == ""


def test_a_batch_of_one_gives_the_same_numbers(benchmarks, tiny_unipt_folder, tmp_path):
    both = [
        evaluate(tmp_path, "--model", tiny_unipt_folder, "--dataset", benchmarks[0], "--batch_size", size)[0]
        for size in (1, 64)
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize("model", ["tiny_unipt_folder", "tiny_clip_folder"])
def test_the_number_format_is_told_and_reaches_the_model(benchmarks, model, tmp_path, request, monkeypatch):
    formats = []

    def noted(dtype, device):
        formats.append(dtype)
        return computing_in(dtype, device)

    monkeypatch.setattr(embedding, "computing_in", noted)
    options = ["--model", request.getfixturevalue(model), "--dataset", benchmarks[0]]
    for dtype, said in (("auto", "float32"), ("bfloat16", "bfloat16")):
        formats.clear()
        (record,) = evaluate(tmp_path, *options, "--dtype", dtype)
        assert record["dtype"] == said and {str(each) for each in formats} == {f"torch.{said}"}
        assert ("Embedded in bfloat16, not in float32." in markdown([record])) == (said == "bfloat16")


@pytest.mark.parametrize(("model", "limit"), [("tiny_unipt_folder", 64), ("tiny_clip_folder", 77)])
def test_captions_longer_than_the_limit_are_cut_and_counted(model, limit, tmp_path, capsys, request):
    def captions(person, view):
        return [SENTENCE, "red " * 120] if person == 1 else [SENTENCE]

    data = write_dataset(tmp_path / "long", {1: 2, 2: 1}, captions)
    (record,) = evaluate(tmp_path, "--model", request.getfixturevalue(model), "--dataset", data)
    assert (record["captions_truncated"], record["text_limit"], record["queries"]) == (2, limit, 5)
    assert f"2 captions are longer than the model's {limit} tokens and were cut there" in capsys.readouterr().out
    assert f"2 captions cut at {limit} tokens" in markdown([record])


def test_a_gallery_without_a_match_is_a_number_and_is_told(tiny_unipt_folder, tmp_path, capsys):
    data = write_dataset(tmp_path / "some", {1: 2, 2: 1}, lambda person, view: [SENTENCE] if person == 1 else [])
    options = ["--model", tiny_unipt_folder, "--dataset", data, "--direction", "image-to-text"]
    (record,) = evaluate(tmp_path, *options)
    assert (record["queries"], record["gallery"], record["queries_without_match"]) == (3, 2, 1)
    assert record["R1"] == pytest.approx(200 / 3) and record["mINP"] == pytest.approx(200 / 3)
    assert "1 queries have no image or caption of their person in the gallery and count as 0" in capsys.readouterr().out
    shutil.rmtree(data)
    data = write_dataset(tmp_path / "none", {1: 1}, lambda person, view: [])
    with pytest.raises(UserError, match="none of the images has a caption"):
        evaluate(tmp_path, "--model", tiny_unipt_folder, "--dataset", data)


@pytest.mark.parametrize("model", ["tiny_unipt_folder", "tiny_clip_folder"])
def test_images_of_any_mode_are_embedded(model, request):
    from unipt_train.evaluation.models import load_model

    class Rows(list):
        def select_columns(self, names):
            return self

    person = draw_person(3, 96, 32)
    modes = [person.convert(mode) for mode in ("RGB", "L", "P", "RGBA", "LA", "CMYK", "1", "F")]
    modes.append(person.convert("L").convert("I;16"))  # Pillow 10 makes 16-bit grey of grey alone
    rows = Rows({"image": image, "person_id": n, "captions": [SENTENCE]} for n, image in enumerate(modes))
    embedded = embed_rows(*load_model(request.getfixturevalue(model)), rows, batch_size=4)
    assert embedded.image_embeds.shape[0] == len(modes) and np.isfinite(embedded.image_embeds).all()
    assert embedded.image_embeds[0] @ embedded.image_embeds[3] == pytest.approx(1, abs=1e-5)  # opaque RGBA is the RGB


def test_a_baseline_sees_the_whole_person(tiny_clip_folder):
    from unipt_train.evaluation.models import load_model

    _, processor = load_model(str(tiny_clip_folder))
    person = draw_person(0, 96, 32)
    headless = person.copy()
    headless.paste((255, 0, 255), (0, 0, 32, 10))  # a centre crop would not have these rows
    pixels = processor(images=[person, headless])["pixel_values"]
    assert pixels.shape == (2, 3, 32, 32) and not (pixels[0] == pixels[1]).all()


def test_intervals_hold_what_resampling_people_one_by_one_gives():
    rng = np.random.default_rng(0)
    person_ids = np.repeat(np.arange(40), rng.integers(1, 6, 40))
    value = rng.random(len(person_ids)) + 0.5 * (person_ids % 2)
    of_person = [value[person_ids == person] for person in range(40)]
    means = [np.concatenate([of_person[i] for i in rng.integers(0, 40, 40)]).mean() for _ in range(4000)]
    found = identity_intervals({"x": value}, person_ids, 4000, seed=1)["x"]
    assert found == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.015)
    assert identity_intervals({"x": value}, person_ids, 4000, seed=1)["x"] == found
    assert identity_intervals({"x": value}, person_ids, 4000, seed=2)["x"] != found
    assert identity_intervals({"x": value[:1]}, person_ids[:1], 100, seed=0) is None
    assert identity_intervals({"x": value}, person_ids, 0, seed=0) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch_size", "0"], "--batch-size 0 must be at least 1"),
        (["--bootstrap", "-1"], "--bootstrap -1 must be at least 0"),
        (["--contact_sheet", "sheet.txt"], "--contact-sheet sheet.txt must end in one of .jpeg"),
        (["--split", "val"], "has no split 'val'; it has test"),
        (["--model", "./nowhere"], "model folder ./nowhere does not exist"),
        (["--model", "bert"], "is a BertModel, which does not compare images with texts"),
        (["--dataset", "./nothing"], "dataset './nothing' cannot be loaded"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    benchmarks, tiny_unipt_folder, tmp_path, options, message, capsys, monkeypatch
):
    from transformers import BertConfig

    monkeypatch.chdir(tmp_path)
    BertConfig().save_pretrained("bert")
    (tmp_path / "bert" / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    given = {"--model": str(tiny_unipt_folder), "--dataset": str(benchmarks[0]), "--output": "out.json"}
    given |= dict([options])
    command = [word for pair in given.items() for word in pair]
    with pytest.raises(SystemExit, match="2"):
        run_command(lambda: main(command))
    told = capsys.readouterr().err
    assert message in told and told.splitlines()[-1].startswith("error: ") and not (tmp_path / "out.json").exists()
