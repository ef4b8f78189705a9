"""How every command of this project fails: one sentence on stderr and exit status 2, never a bare traceback."""

import sys


class UserError(Exception):
    """What is wrong, where, and how to mend it, in one sentence."""


def first_line(error):
    """What a library's exception says in its first line, without the full stop; its class where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def run_command(main):
    """Run ``main()`` as a console command and exit with its status.

    A :class:`UserError` becomes ``error: <sentence>`` on stderr and exit status 2; Ctrl-C becomes exit status 130.
    """
    try:
        status = main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        status = 130
    sys.exit(status)
