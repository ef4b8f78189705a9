"""The rooms of the house: arrows between folders and rooms go one way, without circles."""

import ast
import sys

import pytest

from tests.helpers.import_graph import PACKAGES, between_files, between_rooms, circle_in, drawing, modules, room_of
from tests.helpers.paths import ROOT

# package -> packages of ours that it may import
BELOW = {
    "modeling_unipt": set(),
    "dataset_builders": {"modeling_unipt"},
    "unipt_train": {"modeling_unipt", "dataset_builders"},
    "unipt_space": {"modeling_unipt", "dataset_builders"},
}
HUB_FILES = (
    "captions_unipt.py",
    "configuration_unipt.py",
    "encoders_unipt.py",
    "image_processing_unipt.py",
    "modeling_unipt.py",
    "processing_unipt.py",
)
# What every user of transformers' vision models has.
HUB_PACKAGES = {"PIL", "numpy", "torch", "transformers"}


@pytest.fixture(scope="module")
def files():
    return between_files()


@pytest.fixture(scope="module")
def rooms(files):
    return between_rooms(files)


def is_script(module):
    """Whether a module lies in a package itself and is started as a program."""
    text = modules()[module].read_text(encoding="utf-8")
    return room_of(module) == module and '__name__ == "__main__"' in text


@pytest.mark.parametrize("package", BELOW)
def test_arrows_between_top_folders_go_one_way(files, package):
    for module, imported in files.items():
        if module.split(".")[0] == package:
            assert {other.split(".")[0] for other in imported} - {package} <= BELOW[package], module


def test_no_files_import_each_other_in_a_circle(files):
    assert circle_in(files) == []


def test_no_rooms_import_each_other_in_a_circle(rooms):
    assert circle_in(rooms) == [], "\n" + "\n\n".join(f"{each}\n{drawing(rooms, each)}" for each in PACKAGES)


def test_no_room_imports_a_program(files):
    """A program stands on the top floor: it imports rooms, and no room imports it."""
    programs = {module for module in files if module.count(".") == 1 and is_script(module)}
    assert {"unipt_train.pretrain", "dataset_builders.calibrate", "modeling_unipt.cli"} <= programs
    for module, imported in files.items():
        if room_of(module) != module:
            assert imported & programs == set(), module


def test_every_room_stands_on_a_floor(rooms):
    """The drawing names every room once; a broken import reader would lose some."""
    for package in PACKAGES:
        names = drawing(rooms, package).split()
        drawn = [name for name in names if not name.isdigit()]
        assert sorted(drawn) == sorted(room.partition(".")[2] for room in rooms if room.startswith(f"{package}."))


@pytest.mark.parametrize(
    ("graph", "circle"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"a"}}, ["a", "a"]),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, []),
    ],
)
def test_circles_are_found(graph, circle):
    assert circle_in(graph) == circle


def test_the_graph_sees_every_way_to_import(files):
    """Relative and absolute imports, modules and names, at the top and inside functions."""
    assert "modeling_unipt.common.user_errors" in files["modeling_unipt.cli"]
    assert "modeling_unipt.common.user_errors" in files["unipt_train.pretrain"]
    assert "modeling_unipt.modeling_unipt" in files["modeling_unipt"]
    assert "dataset_builders.synthetic_pedestrians.body" in files["dataset_builders.synthetic_pedestrians.render"]


@pytest.mark.parametrize("name", HUB_FILES)
def test_hub_files_import_only_transformers_torch_and_each_other(name):
    for node in ast.walk(ast.parse((ROOT / "modeling_unipt" / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots = {node.module.split(".")[0]}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 and f"{node.module}.py" in HUB_FILES
            continue
        else:
            continue
        assert roots <= HUB_PACKAGES | sys.stdlib_module_names
