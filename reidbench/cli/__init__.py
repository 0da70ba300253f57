"""The command line: reads arguments, calls the package, prints results, progress and errors. No logic of its own."""

from __future__ import annotations

import errno
import os
import sys

DEBUG = "--debug"
#: Writing into a file that is open already fails with these, and without the file's name.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main() -> None:
    """Runs the command line; wrong input ends with one line on standard error and exit code 2."""
    # OpenMP threads that wait for each other spin by default. Where another process had taken their core, a training
    # on two cores took eight times as long; sleeping threads cost nothing. Must be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from reidbench.cli.app import app
    from reidbench.errors import ReidbenchError

    debug = DEBUG in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    try:
        _refuse_empty(arguments)
        app(arguments, prog_name="reidbench")
    except BrokenPipeError:
        # The reader closed the pipe (| head), which is not an error.
        sys.stderr.close()
        sys.exit(0)
    except (ReidbenchError, OSError, UnicodeDecodeError) as error:
        line = _line(error)
        if debug or line is None:
            raise
        print(f"reidbench: error: {' '.join(line.split())}", file=sys.stderr)
        sys.exit(2)


def _refuse_empty(arguments: list[str]) -> None:
    """Refuses an empty argument: as a path it would be the folder one is in, and as a dataset the default.

    Raises:
        ReidbenchError: naming the option.
    """
    from reidbench.errors import ReidbenchError

    for before, argument in zip(["", *arguments], arguments):
        name, _, value = argument.partition("=")
        option = before if not argument else name
        if not argument or (name.startswith("--") and argument != name and not value):
            where = f"{option} is empty" if option.startswith("-") else "an argument is empty"
            raise ReidbenchError(f"{where}; is a variable of the shell unset?")


def _line(error: Exception) -> str | None:
    """The error message in one line; None if a traceback is more useful."""
    if isinstance(error, UnicodeDecodeError):
        return f"a file is not valid {error.encoding} text: {error.reason} at byte {error.start} ({DEBUG} shows where)"
    if not isinstance(error, OSError):
        return str(error)
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return error.strerror if error.errno in FULL else None
