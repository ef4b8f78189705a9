"""Reading this package's data files (vocabulary, templates) so that every complaint names the file and the line."""

import difflib
from pathlib import Path

from modeling_unipt.common.user_errors import UserError


def nearest(name, names):
    """ " (did you mean 'x'?)" with the valid name closest to ``name``, or "" where none is close."""
    close = difflib.get_close_matches(str(name), [str(valid) for valid in names], n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


class LinedDict(dict):
    """A YAML mapping that knows the line it begins at (1-based)."""

    line = None


class LinedStr(str):
    """A YAML text that knows its line (1-based)."""

    line = None


def read_data_file(path):
    """The content of a YAML file, its mappings as :class:`LinedDict` and its texts as :class:`LinedStr`.

    Raises:
        UserError: the file is missing, is not YAML, repeats a key, or is not a mapping.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader, node):
        # An alias (*name) yields the same node twice; each construction is complete and independent.
        content = LinedDict()
        content.line = node.start_mark.line + 1
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            if key in content:
                raise UserError(f"{path}, line {key_node.start_mark.line + 1}: the key '{key}' occurs twice")
            content[key] = loader.construct_object(value_node, deep=True)
        return content

    def text(loader, node):
        content = LinedStr(node.value)
        content.line = node.start_mark.line + 1
        return content

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:str", text)
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); give the path of a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(content, LinedDict):
        raise UserError(f"{path} must be a YAML mapping of names to values")
    return content


class Complaint:
    """Makes the :class:`UserError` of one data file: ``raise complain(node, "what is wrong")``."""

    def __init__(self, path):
        self.path = path

    def __call__(self, node, message):
        line = getattr(node, "line", None)
        return UserError(f"{self.path}, line {line}: {message}" if line else f"{self.path}: {message}")

    def check_keys(self, node, where, allowed, required=()):
        """Raise unless ``node`` is a mapping with ``required`` keys and no others than ``allowed``."""
        if not isinstance(node, dict):
            raise self(node, f"{where} must be a mapping with {', '.join(allowed)}")
        for key in node:
            if key not in allowed:
                raise self(node, f"{where} has an unknown key '{key}'{nearest(key, allowed)}")
        for key in required:
            if key not in node:
                raise self(node, f"{where} lacks '{key}'")
