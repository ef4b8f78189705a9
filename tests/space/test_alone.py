"""The Space's folder alone, as it is uploaded: its requirements bring every package that it imports, and it runs."""

import ast
import shutil
import subprocess
import sys

import pytest

from tests.helpers.space_server import ROOT, gallery_server

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """(a copy of space/ outside the clone, the folder that pip installed its requirements into)."""
    folder = tmp_path_factory.mktemp("alone")
    source = folder / "source"  # pip's build leaves folders beside the sources
    source.mkdir()
    for name in ("modeling_unipt", "dataset_builders", "train", "space"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", source]
    subprocess.run([*PIP, *build], check=True, capture_output=True, timeout=120)
    shutil.copytree(ROOT / "space", folder / "space", ignore=shutil.ignore_patterns("__pycache__"))
    # What the package needs itself is in this environment already; the package comes from nowhere but its wheel.
    requirements = ["--no-index", "--find-links", folder / "dist", "-r", folder / "space" / "requirements.txt"]
    install = ["install", "--no-deps", "--target", folder / "site", *requirements]
    subprocess.run([*PIP, *install], check=True, capture_output=True, timeout=120)
    return folder / "space", folder / "site"


def test_what_the_requirements_need_is_all_that_the_app_imports(alone):
    from importlib.metadata import distribution, packages_distributions

    from packaging.requirements import Requirement

    space, site = alone
    metadata = next(site.glob("unipt-*.dist-info")) / "METADATA"
    wanted = [line.partition(": ")[2] for line in metadata.read_text().splitlines() if line.startswith("Requires-Dist")]
    named = {Requirement(line).name for line in wanted if not (marker := Requirement(line).marker)
             or marker.evaluate({"extra": "space"})}  # fmt: skip
    for name in named:
        assert distribution(name).version, name
    providers = packages_distributions()
    own = {path.stem for path in space.glob("*.py")} | {"modeling_unipt", "dataset_builders", "unipt_space", "spaces"}
    for path in space.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for root in {module.split(".")[0] for module in modules} - own - sys.stdlib_module_names:
                assert set(map(str.lower, providers[root])) & named, f"{path.name} imports {root}"


def test_the_folder_alone_runs(alone, tmp_path):
    from gradio_client import Client

    space, site = alone
    where = subprocess.run(
        [sys.executable, "-c", "import modeling_unipt; print(modeling_unipt.__file__)"],
        env={"PYTHONPATH": str(site)}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site)), where.stdout + where.stderr
    environment = {
        "PYTHONPATH": str(site),
        "UNIPT_MODEL": str(ROOT / "unipt" / "unipt-tiny"),
        "UNIPT_SCORER": str(ROOT / "unipt" / "clip-tiny"),
        "HF_HUB_OFFLINE": "1",
    }
    with gallery_server(tmp_path, space / "app.py", **environment) as server:
        results = Client(server.address, verbose=False).predict("a woman in a red coat", 3, api_name="/search")
        assert [result["rank"] for result in results] == [1, 2, 3]
        assert "Traceback" not in server.log()
