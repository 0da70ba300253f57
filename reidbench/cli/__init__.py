"""The command line: arguments in, calls out, progress and errors for a person. No logic of its own."""

from __future__ import annotations

import sys

DEBUG = "--debug"


def main() -> None:
    """Runs the command line; exits with 2 and one line where the user's input is wrong."""
    from reidbench.cli.app import app
    from reidbench.errors import ReidbenchError

    debug = DEBUG in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    try:
        app(arguments, prog_name="reidbench")
    except ReidbenchError as error:
        if debug:
            raise
        print(f"reidbench: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of a pipe has gone (| head): nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
