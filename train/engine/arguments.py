"""Command-line arguments whose defaults may come from a YAML file: ``--config file.yaml --learning_rate 1e-4``."""

import argparse
import dataclasses
import difflib
import inspect
import os
from pathlib import Path

from modeling_unipt.common.user_errors import UserError

RECIPES = Path(__file__).parents[1] / "configs"


def _nearest(name, known):
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"the nearest valid one is '{close[0]}'" if close else f"valid ones: {', '.join(sorted(known))}"


def _find_yaml(path):
    """``path``; for a bare name that is not in the current folder, that of the recipe of this name that is shipped."""
    shipped = RECIPES / path
    bare = os.path.basename(path) == path
    return str(shipped) if bare and not os.path.exists(path) and shipped.is_file() else path


def _read_yaml(path, known):
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            values = yaml.safe_load(file) or {}
    except OSError as error:
        shipped = _nearest(path, [recipe.name for recipe in RECIPES.glob("*.yaml")])
        raise UserError(
            f"configuration {path} cannot be read: {error.strerror}; of the recipes in train/configs, which need no "
            f"folder before their names, {shipped}"
        ) from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise UserError(f"configuration {path} is not valid YAML near line {line}") from None
    if not isinstance(values, dict):
        raise UserError(f"configuration {path} must hold 'key: value' lines, not a {type(values).__name__}")
    for key in values:
        if key not in known:
            raise UserError(f"configuration {path} has the unknown key '{key}'; {_nearest(str(key), known)}")
    return values


def parse_arguments(arguments_class, module_doc, argv=None):
    """Parse ``argv`` into ``arguments_class`` (a dataclass); a YAML file named by ``--config`` sets the defaults.

    Raises:
        UserError: the YAML file is missing, malformed, or has a key that is not a field (the nearest one is named).
    """
    from transformers import HfArgumentParser

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    parser = HfArgumentParser(arguments_class, description=inspect.cleandoc(module_doc), formatter_class=Formatter)
    parser.add_argument(
        "--config",
        help="YAML file with any of these options, or the bare name of one in train/configs; the command line "
        "overrides it",
    )
    known = {field.name for field in dataclasses.fields(arguments_class)}

    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    config = first.parse_known_args(argv)[0].config
    if config:
        config = _find_yaml(config)
        # Strings go through argparse's own conversion, so that YAML's 1e-4 (a string to PyYAML) becomes a float.
        values = {
            key: value if value is None or isinstance(value, list) else str(value)
            for key, value in _read_yaml(config, known).items()
        }
        parser.set_defaults(**values)
    namespace = vars(parser.parse_args(argv))
    for action in parser._actions:  # argparse itself checks only what stands on the command line
        if action.choices and namespace[action.dest] not in action.choices:
            raise UserError(
                f"configuration {config}: {action.dest} is '{namespace[action.dest]}'; "
                f"{_nearest(str(namespace[action.dest]), [str(choice) for choice in action.choices])}"
            )
    return arguments_class(**{name: namespace[name] for name in known})


def require(arguments, *names):
    """Raise a UserError naming the first of ``names`` that was given neither by YAML nor on the command line."""
    for name in names:
        if getattr(arguments, name) is None:
            raise UserError(f"--{name} is needed: give it on the command line or in the --config file")
