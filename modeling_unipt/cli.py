"""The `unipt` command: a searchable gallery of person crops, from the shell.

Each room adds its own sub-commands, and imports torch, numpy or pyarrow only when one of them runs, so that
``unipt --help`` answers at once.
"""

import argparse
import importlib.metadata
from collections.abc import Sequence
from typing import Any

from .common.command_line import CommandParser
from .common.user_errors import UserError, run_command
from .convert import commands as convert_commands
from .crop import commands as crop_commands
from .export import commands as export_commands
from .gallery import commands as gallery_commands

EPILOG = """examples:
  unipt crop lobby.mp4 --output crops
  unipt index crops/ --model unipt/unipt-tiny --output my-gallery
  unipt search my-gallery "a woman in a red coat with a black bag" --top-k 5 --contact-sheet found.png

Scores are cosine similarities. Results are suggestions to look at, not identifications."""


class _ShowVersion(argparse.Action):
    """Prints the version of the installed package and exits. argparse's own action would look it up at every start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        try:
            version = importlib.metadata.version("unipt")
        except importlib.metadata.PackageNotFoundError:
            raise UserError(
                "the package unipt is not installed, so nothing tells its version; run `pip install .` in the clone"
            ) from None
        print(f"unipt {version}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of the `unipt` command. What it parses has ``run``, a function of the parsed arguments."""
    parser = CommandParser(
        prog="unipt",
        description="Search photographs of people by description.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version of unipt and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    crop_commands.add_commands(commands)
    gallery_commands.add_commands(commands)
    convert_commands.add_commands(commands)
    export_commands.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the `unipt` command and exit with its status.

    Args:
        argv: what follows ``unipt`` on the command line; by default that of this process.
    """

    def parse_and_run() -> int | None:
        arguments = make_parser().parse_args(argv)
        return arguments.run(arguments)

    run_command(parse_and_run)


if __name__ == "__main__":
    main()
