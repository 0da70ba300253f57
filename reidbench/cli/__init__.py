"""The command line: arguments in, calls out, progress and errors for a person. No logic of its own."""

from __future__ import annotations

import errno
import os
import sys

DEBUG = "--debug"
#: Writing into a file that is open already fails with these, and without the file's name.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
    except BrokenPipeError:
        # The reader of a pipe has gone (| head): nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    except (ReidbenchError, OSError, UnicodeDecodeError) as error:
        line = _line(error)
        if debug or line is None:
            raise
        print(f"reidbench: error: {' '.join(line.split())}", file=sys.stderr)
        sys.exit(2)


def _line(error: Exception) -> str | None:
    """What went wrong, for people; None where a traceback is of more use to them."""
    if isinstance(error, UnicodeDecodeError):
        return f"a file is no {error.encoding} text: {error.reason} at byte {error.start} ({DEBUG} shows where)"
    if not isinstance(error, OSError):
        return str(error)
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return error.strerror if error.errno in FULL else None
