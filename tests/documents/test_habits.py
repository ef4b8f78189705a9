"""Makefile, workflow, hooks and pins agree with one another."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.helpers.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split())


def steps_of_the_workflow() -> list[dict]:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as the truth value.
    assert workflow[True].keys() == {"push", "pull_request", "schedule"}
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_target_that_the_workflow_and_ci_call_exists():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    commands = [step["run"] for step in steps_of_the_workflow() if "run" in step]
    called = {re.fullmatch(r"make ([a-z-]+)", command).group(1) for command in commands}
    assert called == {"test", "minimum", "test-slow"} and called <= targets
    assert set(re.findall(r"^make ([a-z-]+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.M)) <= targets
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M).group(1).split()
    assert set(phony) == targets


def test_the_workflow_needs_no_secret_and_tests_every_python_that_is_promised():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert "secrets" not in text
    (matrix,) = re.findall(r"python: \[(.*)\]", text)
    assert re.findall(r"[\d.]+", matrix) == ["3.11", "3.12", "3.13", "3.14"]
    assert "python_requires = >=3.11" in (ROOT / "setup.cfg").read_text(encoding="utf-8")


def test_pre_commit_runs_the_versions_that_are_pinned():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    revisions = {repository["repo"].rsplit("/", 1)[1]: repository["rev"] for repository in hooks["repos"]}
    assert revisions == {"ruff-pre-commit": f"v{PINS['ruff']}", "typos": f"v{PINS['typos']}"}


def minimum_versions(setup) -> subprocess.CompletedProcess:
    script = ROOT / ".ci" / "minimum_versions.py"
    return subprocess.run([sys.executable, script, setup], capture_output=True, text=True)


def test_minimum_versions_are_those_of_setup_cfg():
    finished = minimum_versions(ROOT / "setup.cfg")
    assert finished.returncode == 0, finished.stderr
    found = dict(line.split("==") for line in finished.stdout.split())
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert found == dict(re.findall(r"^    ([\w-]+)>=([\d.]+)$", text, re.M))
    # One of the package itself, of an extra, and of an extra that only another includes.
    assert found.keys() >= {"torch", "gradio", "datasets", "pytest"}


@pytest.mark.parametrize("requirement, told", [("numpy", "'numpy'"), ("torch==2.1", "'torch==2.1'")])
def test_a_requirement_without_a_lowest_version_is_named(tmp_path, requirement, told):
    setup = tmp_path / "setup.cfg"
    setup.write_text(f"[options]\ninstall_requires =\n    {requirement}\n[options.extras_require]\n")
    finished = minimum_versions(setup)
    assert finished.returncode == 1 and told in finished.stderr


def test_the_higher_of_two_lowest_versions_counts(tmp_path):
    """An extra may need more than the package itself; numbers compare, not texts."""
    setup = tmp_path / "setup.cfg"
    setup.write_text("[options]\ninstall_requires =\n    numpy>=2.9\n[options.extras_require]\nx =\n    numpy>=2.10\n")
    assert minimum_versions(setup).stdout == "numpy==2.10\n"


def test_make_hub_code_copies_into_the_released_folders_that_have_the_files(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "modeling_unipt", tmp_path / "modeling_unipt", ignore=shutil.ignore_patterns("__pycache__"))
    released, clip = tmp_path / "unipt" / "unipt-tiny", tmp_path / "unipt" / "clip-tiny"
    for folder in (released, clip):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    names = [path.name for path in (ROOT / "unipt" / "unipt-tiny").glob("*.py")]
    assert len(names) == 6
    for name in names:
        (released / name).write_text("old\n")
    subprocess.run(["make", "hub-code"], cwd=tmp_path, check=True, capture_output=True)
    for name in names:
        assert (released / name).read_bytes() == (ROOT / "modeling_unipt" / name).read_bytes()
    assert [path.name for path in clip.iterdir()] == ["config.json"]
