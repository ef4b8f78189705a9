"""The `unipt` command: a searchable gallery of person crops, from the shell."""

import argparse

from .common.user_errors import run_command
from .convert.commands import add_convert_command
from .gallery.commands import add_commands

EPILOG = """examples:
  unipt index crops/ --model unipt/unipt-tiny --output my-gallery
  unipt search my-gallery "a woman in a red coat with a black bag" --top-k 5 --contact-sheet found.png

Scores are cosine similarities. Results are suggestions to look at, not identifications."""


def make_parser():
    parser = argparse.ArgumentParser(
        prog="unipt",
        description="Search photographs of people by description.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    add_commands(commands)
    add_convert_command(commands)
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)
    run_command(lambda: arguments.run(arguments))


if __name__ == "__main__":
    main()
