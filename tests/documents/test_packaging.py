"""The built wheel carries all four packages with their data, and works outside the clone."""

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.wheel import build_wheel, install

PACKAGES = {
    "modeling_unipt": "modeling_unipt",
    "dataset_builders": "dataset_builders",
    "unipt_train": "train",
    "unipt_space": "space",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    install(build_wheel(folder), folder / "site")
    return folder / "site"


def run(site, folder, *words):
    """Run Python in ``folder`` with the installed wheel; the clone is neither the working folder nor on the path."""
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )


def test_setup_cfg_lists_every_package():
    """A folder that is missing there would be missing from the wheel, and nobody in the clone would notice."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    found = set()
    for package, folder in PACKAGES.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
        for module in (ROOT / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module.parent} lacks __init__.py"
    assert set(config["options"]["packages"].split()) == found


def test_no_file_is_larger_than_the_repository_allows():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    sizes = {name: (ROOT / name).stat().st_size for name in listed if name and (ROOT / name).exists()}
    assert [name for name, size in sizes.items() if size > 12_000_000] == []
    assert sum(size for name, size in sizes.items() if name.startswith(("unipt/", "luperson-t/"))) < 20_000_000
    assert sum(size for name, size in sizes.items() if name.startswith("luperson-t/")) < 5_000_000


def test_every_package_comes_from_the_wheel_with_its_data(site, tmp_path):
    for package, folder in PACKAGES.items():
        data = {
            path.relative_to(ROOT / folder)
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        data -= {Path("README.md"), Path("requirements.txt")}  # of the Space's own repository
        assert sorted(data - {path.relative_to(site / package) for path in (site / package).rglob("*")}) == []
    program = "import modeling_unipt, dataset_builders, unipt_train, unipt_space as last; print(last.__file__)"
    assert run(site, tmp_path, "-c", program).stdout.startswith(str(site))


def test_the_wheel_has_no_package_that_a_users_file_could_hide(site):
    """A package called `train` would lose against any train.py in the user's folder."""
    assert {path.name for path in site.iterdir() if path.is_dir() and "." not in path.name} - {"bin"} == {*PACKAGES}


def test_the_command_tells_its_version(site, tmp_path):
    told = run(site, tmp_path, "-m", "modeling_unipt.cli", "--version")
    version = re.search(r"^version = (.*)$", (ROOT / "setup.cfg").read_text(), re.M).group(1)
    assert (told.returncode, told.stdout) == (0, f"unipt {version}\n")


def test_the_renderer_runs_from_the_wheel(site, tmp_path):
    words = ["--output", "people", "--identities", "1", "--views", "1", "--seed", "5", "--layout", "images"]
    rendered = run(site, tmp_path, "-m", "dataset_builders.synthetic_pedestrians", *words, "--workers", "1")
    assert rendered.returncode == 0, rendered.stderr
    assert len(list((tmp_path / "people" / "images").iterdir())) == 1


def test_training_runs_from_the_wheel_in_any_folder(site, tmp_path):
    """A recipe's bare name is found, and the encoders that it names lie beside it."""
    (tmp_path / "train.py").write_text("raise SystemExit('the file of a user')")
    launch = ["-m", "accelerate.commands.launch", "--cpu", "-m", "unipt_train.pretrain"]
    options = ["--config", "pretrain_tiny.yaml", "--dataset", ROOT / "luperson-t", "--output_dir", "model"]
    small = ["--max_steps", "1", "--batch_size", "8", "--precision", "no"]
    trained = run(site, tmp_path, *launch, *options, *small)
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "model" / "model.safetensors").is_file()
