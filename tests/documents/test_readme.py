"""README's Python example runs as printed, from the root of the clone, in a process of its own."""

import json
import re
import subprocess
import sys

from tests.helpers.paths import ROOT


def test_the_inference_example_runs_as_printed():
    first_example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S).group(1)
    assert len(first_example.strip().splitlines()) <= 10
    finished = subprocess.run(
        [sys.executable, "-c", first_example], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    assert "tensor(" in finished.stdout


def test_every_local_link_and_picture_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_option_of_the_builder_that_the_docs_name_exists(capsys):
    import pytest

    from dataset_builders.luperson_t.options import parse

    with pytest.raises(SystemExit):
        parse(["--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    others = {"--nproc-per-node", "--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--requeue"}
    others |= {"--only", "--source"}
    text = (ROOT / "docs" / "luperson_t_at_scale.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert len(named & known) > 10 and named - known <= others


def test_every_make_target_named_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M))
    assert {"demo", "test", "app"} <= named <= targets


def test_the_tables_of_three_seeds_are_what_was_measured_and_show_what_is_said():
    """Issue 2: zero-shot 20 x chance, from scratch 10 x, pre-training worth 10 points, or 5 at half the budget."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "demo_seeds.md").read_text(encoding="utf-8") in text
    seeds = json.loads((ROOT / "docs" / "demo_seeds.json").read_text(encoding="utf-8"))
    assert len(seeds) == 3
    for measured in seeds:
        rows = {row["name"]: row for row in measured["rows"]}
        rank_1 = {name: row["R1"] for name, row in rows.items()}
        chance = 100 / rows["untrained"]["identities"]
        assert rows["untrained"]["identities"] >= 100 and rows["untrained"]["gallery"] >= 400
        assert rank_1["untrained"] <= 4 * chance
        assert rank_1["UniPT zero-shot"] >= 20 * chance
        assert rank_1["fine-tuned from scratch"] >= 10 * chance
        assert rank_1["fine-tuned from UniPT"] >= rank_1["fine-tuned from scratch"] + 10
        assert rank_1["fine-tuned from UniPT"] >= rank_1["from scratch, twice the steps"] + 5
        assert 90 <= measured["oracle_R1"] <= 99 and max(rank_1.values()) <= 90
