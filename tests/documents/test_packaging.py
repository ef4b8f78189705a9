"""The built wheel carries its data files and works outside the clone; folders import in one direction only."""

import ast
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

ALLOWED = {
    "modeling_unipt": {"modeling_unipt"},
    "dataset_builders": {"modeling_unipt", "dataset_builders"},
}
HUB_FILES = ("configuration_unipt.py", "modeling_unipt.py", "image_processing_unipt.py", "processing_unipt.py")


def imported_roots(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_arrows_between_folders_go_one_way(package):
    ours = {"modeling_unipt", "dataset_builders", "space"} | {path.stem for path in (ROOT / "train").glob("*.py")}
    for path in (ROOT / package).rglob("*.py"):
        assert set(imported_roots(path)) & ours <= ALLOWED[package], path


@pytest.mark.parametrize("name", HUB_FILES)
def test_hub_files_import_only_transformers_and_torch(name):
    allowed = {"transformers", "torch"} | sys.stdlib_module_names
    assert set(imported_roots(ROOT / "modeling_unipt" / name)) <= allowed


def test_no_file_is_larger_than_the_repository_allows():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    sizes = {name: (ROOT / name).stat().st_size for name in listed if name and (ROOT / name).exists()}
    assert [name for name, size in sizes.items() if size > 12_000_000] == []
    assert sum(size for name, size in sizes.items() if name.startswith(("unipt/", "luperson-t/"))) < 20_000_000
    assert sum(size for name, size in sizes.items() if name.startswith("luperson-t/")) < 5_000_000


def test_the_wheel_works_outside_the_clone(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("unipt-*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", tmp_path / "site", wheel],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import dataset_builders, modeling_unipt\n"
        "from dataset_builders.divide.reading import load_vocabulary\n"
        f"assert dataset_builders.__file__.startswith({str(tmp_path)!r}), dataset_builders.__file__\n"
        "print(len(load_vocabulary().attributes))\n"
    )
    # -I: neither the current folder nor PYTHONPATH counts.
    loaded = subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert loaded.stdout.strip() == "14", loaded.stderr
    render = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); sys.argv = ['x', '--output', 'people', "
        "'--identities', '1', '--views', '1', '--seed', '5', '--layout', 'images', '--workers', '1']\n"
        "import runpy; runpy.run_module('dataset_builders.synthetic_pedestrians', run_name='__main__')"
    )
    rendered = subprocess.run([sys.executable, "-I", "-c", render], cwd=tmp_path, capture_output=True, text=True)
    assert rendered.returncode == 0, rendered.stderr
    assert len(list((tmp_path / "people" / "images").iterdir())) == 1
