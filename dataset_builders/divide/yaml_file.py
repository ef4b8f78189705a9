"""Reading this package's data files (vocabulary, templates) so that every complaint names the file and the line."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from modeling_unipt.common.stand_ins import refuse_stand_in
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.common.words import nearest


class LinedDict(dict):
    """A YAML mapping that knows the line where it begins (counted from 1)."""

    line: int | None = None


class LinedStr(str):
    """A YAML text that knows its line (counted from 1)."""

    line: int | None = None


def _loader_with_lines(path: Path) -> type[yaml.SafeLoader]:
    """A YAML loader that keeps line numbers and refuses a repeated key, which YAML itself would accept silently."""

    class Loader(yaml.SafeLoader):
        # add_constructor changes the class, so every file gets one of its own.
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> LinedDict:
        # An alias (*name) yields the same node twice; each construction is complete and independent.
        content = LinedDict()
        content.line = node.start_mark.line + 1
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            if key in content:
                raise UserError(f"{path}, line {key_node.start_mark.line + 1}: the key '{key}' occurs twice")
            content[key] = loader.construct_object(value_node, deep=True)
        return content

    def text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> LinedStr:
        content = LinedStr(node.value)
        content.line = node.start_mark.line + 1
        return content

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:str", text)
    return Loader


def read_data_file(path: Path | str) -> LinedDict:
    """Read a YAML file. Its mappings become :class:`LinedDict` and its texts :class:`LinedStr`.

    Raises:
        UserError: the file is missing, is not YAML, repeats a key, or is not a mapping.
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _loader_with_lines(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); give the path of a YAML file") from None
    except yaml.YAMLError as error:
        refuse_stand_in(path)
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(content, LinedDict):
        # A Git LFS pointer is a text to YAML; of an empty file there is nothing else to say.
        if content is not None:
            refuse_stand_in(path)
        raise UserError(f"{path} must be a YAML mapping of names to values")
    return content


class Complaint:
    """Makes the :class:`UserError` of one data file: ``raise complain(node, "what is wrong")``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, node: Any, message: str) -> UserError:
        """The error that says ``message`` about ``node``, a value of the file; the line is named if it is known."""
        line = getattr(node, "line", None)
        return UserError(f"{self.path}, line {line}: {message}" if line else f"{self.path}: {message}")

    def check_keys(self, node: Any, where: str, allowed: Sequence[str], required: Collection[str] = ()) -> None:
        """Check that ``node`` is a mapping with all ``required`` keys and no others than ``allowed``.

        Args:
            where: what the node is, as the subject of the error's sentence.

        Raises:
            UserError: it is no such mapping.
        """
        if not isinstance(node, dict):
            raise self(node, f"{where} must be a mapping with {', '.join(allowed)}")
        for key in node:
            if key not in allowed:
                raise self(node, f"{where} has an unknown key '{key}'{nearest(key, allowed)}")
        for key in required:
            if key not in node:
                raise self(node, f"{where} lacks '{key}'")
