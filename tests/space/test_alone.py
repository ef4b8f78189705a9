"""The app as a Space's owner uploads it: three files, and the wheel that their requirements bring."""

import ast
import shutil
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions

import pytest
from gradio_client import Client
from packaging.requirements import Requirement

from tests.helpers.space_server import MODEL, ROOT, gallery_server
from tests.helpers.wheel import build_wheel, pip

UPLOADED = ("app.py", "README.md", "requirements.txt")
OWN_PACKAGES = {"modeling_unipt", "dataset_builders", "unipt_space", "spaces"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that pip installed the Space's requirements into; the package comes from nowhere but its wheel."""
    folder = tmp_path_factory.mktemp("alone")
    wheel = build_wheel(folder)
    # What the package needs is in this environment already.
    requirements = ["-r", ROOT / "space" / "requirements.txt"]
    pip("install", "--no-deps", "--no-index", "--find-links", wheel.parent, "--target", folder / "site", *requirements)
    return folder / "site"


def test_what_the_requirements_need_is_all_that_the_app_imports(site):
    metadata = next(site.glob("unipt-*.dist-info")) / "METADATA"
    named = set()
    for line in metadata.read_text().splitlines():
        if line.startswith("Requires-Dist: "):
            requirement = Requirement(line.removeprefix("Requires-Dist: "))
            if not requirement.marker or requirement.marker.evaluate({"extra": "space"}):
                named.add(requirement.name)
    for name in named:
        assert distribution(name).version, name
    providers = packages_distributions()
    modules = list((site / "unipt_space").rglob("*.py"))
    assert len(modules) > 12
    for path in modules:
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
        for root in imported - OWN_PACKAGES - sys.stdlib_module_names:
            assert set(map(str.lower, providers[root])) & named, f"{path.name} imports {root}"


def test_default_folders_are_looked_for_beside_the_started_program_then_in_the_working_folder(tmp_path, site):
    """Also from the wheel, whose files lie in site-packages."""
    beside = tmp_path / "space"
    working = tmp_path / "working"
    for folder in (beside, working):
        folder.mkdir()
    look_three_times = f"""
from pathlib import Path
from unipt_space.settings import here_or_hub
print(here_or_hub("a/b", "hub/b"))
for folder in ({str(working)!r}, {str(beside)!r}):
    Path(folder, "a", "b").mkdir(parents=True)
    print(here_or_hub("a/b", "hub/b"))
"""
    (beside / "app.py").write_text(look_three_times)
    program = [sys.executable, beside / "app.py"]
    environment = {"PYTHONPATH": str(site)}
    done = subprocess.run(program, cwd=working, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["hub/b", str(working / "a" / "b"), str(beside / "a" / "b")]


def test_the_uploaded_files_run_without_the_clone(site, tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    for name in UPLOADED:
        shutil.copy(ROOT / "space" / name, repository)
    look = [sys.executable, "-c", "import unipt_space; print(unipt_space.__file__)"]
    where = subprocess.run(look, env={"PYTHONPATH": str(site)}, cwd=tmp_path, capture_output=True, text=True)
    assert where.stdout.startswith(str(site)), where.stdout + where.stderr
    # A Space that brings the default models along has them beside app.py.
    (repository / "unipt").mkdir()
    for name in ("unipt-tiny", "clip-tiny"):
        (repository / "unipt" / name).symlink_to(ROOT / "unipt" / name)
    environment = {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1", "UNIPT_MODEL": str(MODEL)}
    with gallery_server(tmp_path, [repository / "app.py"], **environment) as server:
        results = Client(server.address, verbose=False).predict("a woman in a red coat", 3, api_name="/search")
        assert [result["rank"] for result in results] == [1, 2, 3]
        assert "Traceback" not in server.log()
