"""The package as users install it: a wheel built from the clone, and a folder that pip installed it into."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.paths import ROOT

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
FOLDERS = ("modeling_unipt", "dataset_builders", "train", "space")
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def pip(*words: object) -> None:
    subprocess.run([*PIP, *map(str, words)], check=True, capture_output=True, timeout=120)


def build_wheel(folder: Path) -> Path:
    """Build the wheel into ``folder/dist`` and give its path.

    The sources are copied first, because a build leaves folders beside them.
    """
    source = folder / "source"
    source.mkdir(parents=True)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", source)
    (wheel,) = (folder / "dist").glob("unipt-*.whl")
    return wheel


def install(wheel: Path, site: Path) -> None:
    """Install the wheel alone into ``site``, without network; what it needs is in this environment already."""
    pip("install", "--no-deps", "--no-index", "--target", site, wheel)
