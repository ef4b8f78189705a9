"""Command-line arguments whose defaults may come from a YAML file: ``--config file.yaml --learning-rate 1e-4``."""

import argparse
import dataclasses
import inspect
import os
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from modeling_unipt.common.command_line import OptionsOnce
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest

Arguments = TypeVar("Arguments")
Part = TypeVar("Part")
Value = TypeVar("Value")

RECIPES = Path(__file__).parents[1] / "configs"
# Options that name something to read. Options that name something to write are none of these: results belong into the
# folder in which the command was started.
NAMES_OF_INPUTS = frozenset(
    {"about", "attributes", "dataset", "evaluation", "held_out", "model", "renders", "text_model", "vision_model"}
)


class _UniqueKeys(yaml.SafeLoader):
    """A YAML loader that refuses a repeated key, of which YAML itself would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                line = key_node.start_mark.line + 1
                raise UserError(f"the key '{key_node.value}' stands there twice, again in line {line}; keep one")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def option(default: Value, text: str) -> Value:
    """A field of a dataclass of arguments: its default, and its line of ``--help``."""
    return dataclasses.field(default=default, metadata={"help": text})


def part_of(arguments: Any, part: type[Part]) -> Part:
    """A small dataclass, filled from the arguments of the same names.

    So a function below the command line takes what it needs, and says so in its signature.
    """
    return part(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(part)})


def require(arguments: Any, *names: str) -> None:
    """Raise a UserError naming the first of ``names`` that was given neither by YAML nor on the command line."""
    for name in names:
        if getattr(arguments, name) in (None, []):
            raise UserError(f"{_as_option(name)} is needed: give it on the command line or in the --config file")


def parse_arguments(arguments_class: type[Arguments], module_doc: str, argv: Sequence[str] | None = None) -> Arguments:
    """Parse a command line into a dataclass; a YAML file named by ``--config`` sets the defaults.

    Args:
        arguments_class: a dataclass, each field of which is an option.
        module_doc: the text above the options in ``--help``.
        argv: the command line; by default that of this process.

    Raises:
        UserError: an option is given twice; or the YAML file is missing or malformed, has a key twice or one that is no
            option, or a value that is not allowed.
    """
    # It loads torch, and with that OpenMP, which a command may want to tell something before.
    from transformers import HfArgumentParser

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    class Parser(OptionsOnce, HfArgumentParser):
        pass

    parser = Parser(arguments_class, description=inspect.cleandoc(module_doc), formatter_class=Formatter)
    parser.add_argument(
        "--config",
        help="YAML file with any of these options, or the bare name of a recipe in train/configs; the command line "
        "overrides it. A file or folder that it names may lie beside it",
    )
    known = {field.name for field in dataclasses.fields(arguments_class)}

    # Its values are defaults of the parser, so the file must be found and read before the rest is parsed.
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    config = first.parse_known_args(argv)[0].config
    if config:
        config = _find_yaml(config)
        lists = {action.dest: action for action in parser._actions if action.nargs in ("+", "*")}
        parser.set_defaults(**_defaults_of(config, known, lists))
    namespace = vars(parser.parse_args(argv))
    # argparse itself checks choices only where they stand on the command line.
    for action in parser._actions:
        if action.choices and namespace[action.dest] not in action.choices:
            value = namespace[action.dest]
            raise UserError(f"configuration {config}: {action.dest} is '{value}'{_valid(value, action.choices)}")
    return arguments_class(**{name: namespace[name] for name in known})


def beside(name: str, folder: Path) -> str:
    """What a name in a YAML file of ``folder`` means, for options that name something to read.

    A relative name of a file or folder that exists beside the YAML file means that one, whatever the current folder is.
    Every other name stays as it is: absolute paths, paths relative to the current folder, and names on the Hub.

    Returns:
        The path relative to the current folder where it lies below that, so that a run started in the clone has the
        settings which it always had; else the absolute path.
    """
    # The folder is resolved, as the current one is. The name is not: a link keeps its name, as if it had been typed.
    found = os.path.normpath(os.path.join(os.path.realpath(folder), name))
    if not os.path.exists(found):
        return name
    here = os.getcwd()
    if found == os.path.normpath(os.path.join(here, name)):
        return name
    return os.path.relpath(found, here) if found.startswith(here + os.sep) else found


def _defaults_of(config: str, known: Collection[str], lists: Mapping[str, argparse.Action]) -> dict[str, Any]:
    """The values of a YAML file, as the parser takes defaults.

    Args:
        known: names of the options.
        lists: those of them that take several values.
    """
    folder = Path(config).parent
    defaults = {}
    for key, value in _read_yaml(config, known).items():
        if isinstance(value, dict) or (isinstance(value, list) and key not in lists):
            raise UserError(f"configuration {config}: {key} takes one value, not {value!r}")
        if isinstance(value, list):
            value = [_converted(config, key, each, lists[key]) for each in value]
        elif value is not None:
            # As a string it goes through argparse's own conversion: YAML's 1e-4, a string to PyYAML, becomes a float.
            value = [_converted(config, key, value, lists[key])] if key in lists else str(value)
        if key in NAMES_OF_INPUTS and value is not None:
            value = [beside(name, folder) for name in value] if isinstance(value, list) else beside(value, folder)
        defaults[key] = value
    return defaults


def _converted(config: str, key: str, value: Any, action: argparse.Action) -> Any:
    """One of the values of a list, which argparse converts only where they stand on the command line."""
    try:
        if isinstance(value, str | int | float):
            return action.type(str(value))
    except ValueError:
        pass
    raise UserError(f"configuration {config}: {key} cannot be {value!r}")


def _find_yaml(path: str) -> str:
    """``path``; for a bare name that is not in the current folder, the shipped recipe of this name."""
    shipped = RECIPES / path
    is_bare = os.path.basename(path) == path
    return str(shipped) if is_bare and not os.path.exists(path) and shipped.is_file() else path


def _read_yaml(path: str, known: Collection[str]) -> dict[str, Any]:
    """The content of a YAML file, each key of which is one of the ``known`` ones."""
    try:
        with open(path, encoding="utf-8") as file:
            values = yaml.load(file, _UniqueKeys) or {}
    except OSError as error:
        shipped = [recipe.name for recipe in RECIPES.glob("*.yaml")]
        raise UserError(
            f"configuration {path} cannot be read: {error.strerror}; the recipes in train/configs need no folder "
            f"before their names{_valid(path, shipped)}"
        ) from None
    except UserError as error:
        raise UserError(f"configuration {path}: {error}") from None
    except UnicodeDecodeError:
        raise UserError(f"configuration {path} is not a text file in UTF-8; save it as one") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise UserError(f"configuration {path} is not valid YAML near line {line}") from None
    if not isinstance(values, dict):
        raise UserError(f"configuration {path} must hold 'key: value' lines, not a {type(values).__name__}")
    for key in values:
        if key not in known:
            raise UserError(f"configuration {path} has the unknown key '{key}'{_valid(key, known)}")
    return values


def _valid(value: Any, choices: Iterable[Any]) -> str:
    """The end of a sentence about a wrong value: the nearest valid one, or all of them."""
    names = sorted(str(choice) for choice in choices)
    return nearest(value, names) or f"; valid ones: {', '.join(names)}"


def _as_option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
