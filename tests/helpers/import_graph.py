"""The import graph of the four source folders, read from the code: between files, and between rooms."""

import ast
from collections.abc import Iterable
from pathlib import Path

from tests.helpers.paths import ROOT

# package -> its folder in the clone
PACKAGES = {
    "modeling_unipt": "modeling_unipt",
    "dataset_builders": "dataset_builders",
    "unipt_train": "train",
    "unipt_space": "space",
}
Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Dotted name -> path of every source file; a package's own name stands for its ``__init__.py``."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def _named_by(node: ast.AST, module: str, is_package: bool) -> Iterable[str]:
    """The dotted names that an import statement of ``module`` may mean, the longest first."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            inside = module.split(".") if is_package else module.split(".")[:-1]
            inside = inside[: len(inside) - node.level + 1]
            base = ".".join([*inside, *([node.module] if node.module else [])])
        for alias in node.names:
            yield f"{base}.{alias.name}"


def between_files() -> Graph:
    """module -> modules of ours that it imports, at the top or inside a function.

    A package's ``__init__.py`` that loads names on first use has no arrows for them: importing it imports nothing.
    """
    known = modules()
    graph = {module: set() for module in known}
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _named_by(node, module, path.name == "__init__.py"):
                # `from x.y import z`: z is a module, or a name in the module x.y.
                for candidate in (name, name.rpartition(".")[0]):
                    if candidate in known:
                        graph[module].add(candidate)
                        break
    return {module: imported - {module} for module, imported in graph.items()}


def room_of(module: str) -> str:
    """The folder that a module lies in, below its package; a file that lies in the package itself is its own room."""
    package, *rest = module.split(".")
    is_folder = (ROOT / PACKAGES[package]).joinpath(*rest[:1]).is_dir() if rest else True
    return ".".join([package, *rest[:1]]) if rest and is_folder else module


def between_rooms(files: Graph) -> Graph:
    """room -> rooms that it imports."""
    graph = {}
    for module, imported in files.items():
        rooms = graph.setdefault(room_of(module), set())
        rooms |= {room_of(other) for other in imported} - {room_of(module)}
    return graph


def circle_in(graph: Graph) -> list[str]:
    """The nodes of one circle in order, the first one again at the end; an empty list where there is none."""
    done: set[str] = set()

    def search(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if found := search(other, [*path, node]):
                return found
        done.add(node)
        return []

    for node in sorted(graph):
        if found := search(node, []):
            return found
    return []


def drawing(graph: Graph, package: str) -> str:
    """The rooms of a package as floors: each room stands above all the rooms of its package that it imports."""
    inside = {room: {other for other in below if other.startswith(f"{package}.")} for room, below in graph.items()}
    inside = {room: below for room, below in inside.items() if room.startswith(f"{package}.")}
    floors: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(inside):
        floor = sorted(room for room, below in inside.items() if room not in placed and below <= placed)
        if not floor:
            return "\n".join(["(a circle)", *sorted(set(inside) - placed)])
        floors.append([room.removeprefix(f"{package}.") for room in floor])
        placed |= set(floor)
    return "\n".join(f"{number}  " + "  ".join(floor) for number, floor in reversed(list(enumerate(floors, 1))))
