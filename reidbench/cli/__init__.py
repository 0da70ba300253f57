"""The command line: arguments in, calls out, progress and errors for a person. No logic of its own."""

from __future__ import annotations

import os
import sys

DEBUG = "--debug"


def main() -> None:
    """Runs the command line; exits with 2 and one line where the user's input is wrong."""
    # Threads that wait for each other on a core which another process has taken spin until it is given back: a training
    # on two busy cores took eight times as long. Asleep they cost nothing. To be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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
