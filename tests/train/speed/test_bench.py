"""`make bench`: what its figures say, and that the builder's part measures all it promises (on the smallest scorer)."""

import json

import numpy as np
import pytest

from tests.helpers.paths import ROOT
from unipt_train import bench
from unipt_train.speed import builder as bench_builder
from unipt_train.speed.figures import Figure, line, markdown


def test_a_figure_knows_whether_its_aim_was_met():
    assert Figure("speed", 0.8, "", at_least=0.85).met is False and Figure("speed", 0.85, "", at_least=0.85).met
    assert Figure("memory", 1.11, "", at_most=1.1).met is False and Figure("memory", 1.1, "", at_most=1.1).met
    assert Figure("rate", 5, "images/s").met is None
    assert Figure("rate", 5, "images/s").as_dict() == {"name": "rate", "value": 5, "unit": "images/s"}
    assert Figure("speed", 1, "", at_least=0.5).as_dict()["met"] is True
    assert line(Figure("a rate", 123.456, "images/s")).split() == ["a", "rate", "123.5", "images/s"]
    assert line(Figure("ratio", 0.8, "", at_least=0.85)).split() == [
        "ratio",
        "0.80",
        "aim:",
        "at",
        "least",
        "0.85,",
        "MISSED",
    ]


def test_the_builder_is_measured_by_both_recipes(tiny_clip_folder, tmp_path):
    case = bench_builder.Case("tiny", tiny_clip_folder, 6, 4, 2, 1, 1, 0.5)
    figures = {figure.name: figure for figure in bench_builder.measure_case(case, tmp_path)}
    passes = {recipe: figures[f"tiny, recipe {recipe}: vision passes an image"].value for recipe in ("paper", "best")}
    assert passes == {"paper": 1, "best": 5}
    for recipe in passes:
        ratio = figures[f"tiny, recipe {recipe}: passes a second / bare tower"]
        assert figures[f"tiny, recipe {recipe}: builder"].value > 0 and ratio.value > 0 and ratio.at_least == 0.5
    rate = figures["tiny: zero-shot-image-classification pipeline"].value
    ratio = figures["tiny, recipe paper: builder / pipeline"]
    assert ratio.at_least == 20 and ratio.value == pytest.approx(figures["tiny, recipe paper: builder"].value / rate)


def test_peak_memory_is_that_of_the_command_alone(monkeypatch, tiny_clip_folder, tmp_path):
    ballast = np.ones(200_000_000 // 8)  # this process is large; the one that is measured is not
    monkeypatch.setattr(
        bench_builder, "CHILD", bench_builder.CHILD.replace("sys.argv[1:]", "[sys.executable, '-c', '']")
    )
    peak, seconds = bench_builder.whole_command(tmp_path, tmp_path / "out")
    assert 2 < peak < 100 < ballast.nbytes / 2**20 and 0 < seconds < 60


def test_every_part_is_a_module_that_measures():
    for part in bench.PARTS:
        assert callable(bench.measure_of(part))


def test_parts_are_run_alone_and_written_as_json(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "PARTS", {"one": "first", "two": "second"})
    measures = {"one": lambda folder: [Figure("speed", 3, "images/s", at_least=2)]}
    monkeypatch.setattr(bench, "measure_of", measures.get)
    bench.main(["--only", "one", "--output", str(tmp_path / "new" / "bench.json")])
    assert "aim: at least 2, met" in capsys.readouterr().out
    written = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert list(written["parts"]) == ["one"] and written["parts"]["one"][0]["value"] == 3
    assert written["machine"]["cores"] >= 1
    assert "| speed | 3 | images/s | at least 2, met |" in (tmp_path / "new" / "bench.md").read_text()


def test_the_other_parts_of_this_machine_stay_and_those_of_another_go(monkeypatch, tmp_path):
    figures = {"one": 1.0, "two": 2.0}
    monkeypatch.setattr(bench, "PARTS", dict.fromkeys(figures, "a part"))
    monkeypatch.setattr(bench, "measure_of", lambda part: lambda folder: [Figure("x", figures[part], "")])
    output = tmp_path / "speed.json"
    bench.main(["--output", str(output)])
    figures |= {"one": 3.0, "two": 4.0}
    bench.main(["--only", "two", "--output", str(output)])
    parts = json.loads(output.read_text())["parts"]
    assert (parts["one"][0]["value"], parts["two"][0]["value"]) == (1.0, 4.0)
    monkeypatch.setattr(bench, "machine", lambda: {"platform": "another"})
    bench.main(["--only", "one", "--output", str(output)])
    assert list(json.loads(output.read_text())["parts"]) == ["one"]


def test_the_page_is_made_of_the_numbers_in_the_repository():
    """docs/speed.md is what the code writes of docs/speed.json: nobody edits it by hand."""
    results = json.loads((ROOT / "docs" / "speed.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "speed.md").read_text(encoding="utf-8") == markdown(results)
