"""Command lines that are read whole: an option that is given twice is refused, and never half ignored."""

import argparse
from collections.abc import Sequence
from typing import Any

from .user_errors import UserError

# The names of the argparse actions that collect a value each time the option is given.
COLLECTING = (argparse._AppendAction, argparse._AppendConstAction, argparse._CountAction, argparse._ExtendAction)


class OptionsOnce:
    """A mix-in for :class:`argparse.ArgumentParser`. argparse itself takes the last of two values without a word."""

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does.

        Raises:
            UserError: an option is given twice, under one of its names or under two.
        """
        self._given: set[str] = set()
        return super().parse_known_args(args, namespace)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # argparse asks for the values of an action exactly once for each time that it is given.
        if action.option_strings and not isinstance(action, COLLECTING):
            # Options such as --flag and --no-flag set the same value, so they count as one.
            if action.dest in self._given:
                name = max(action.option_strings, key=len).replace("_", "-")
                several = f", with all of its values behind it: {name} A B" if action.nargs in ("+", "*") else ""
                raise UserError(f"{name} is given twice, and one of the two would be ignored; give it once{several}")
            self._given.add(action.dest)
        return super()._get_values(action, arg_strings)


class CommandParser(OptionsOnce, argparse.ArgumentParser):
    """The parser of a command. Parsers of its sub-commands are of this class, too."""
