"""New processes without the seconds that importing torch and Lightning takes: a server imports them once, and forks.

    python forking.py serve SOCKET                     until its standard input ends
    python forking.py call SOCKET -m MODULE ARGUMENT…  as `python -m MODULE ARGUMENT…`; or a file's path for -m MODULE

What is called has its own process, with the caller's folder, environment, standard streams and exit status. Only what
others wrote is imported before: reidbench, its plugins and what is installed later are found and imported anew.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import site
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

#: What a run imports that takes long.
SLOW = (
    "torch", "torch._dynamo", "torchvision.models", "lightning", "lightning.pytorch.callbacks", "kornia.metrics",
    "pandas", "sklearn.metrics", "sklearn.covariance", "scipy.optimize", "scipy.stats", "pydantic", "typer",
    "rich.table", "jinja2",
)  # fmt: skip
_SIZE = struct.Struct("!Q")
_STREAMS = (0, 1, 2)


def serve(path: str) -> list[str]:
    """Answers calls until standard input ends; returns in a new process only, with what that is to run."""
    for name in SLOW:
        # The modules of a package that is not there are missed by what needs them, not here.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # A collection would visit, and so copy, all that was imported.
    gc.collect()
    gc.freeze()
    # No one waits for the processes that wait for a call's end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
                os._exit(0)
            connection, _ = listener.accept()
            if not os.fork():
                listener.close()
                return _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> list[str]:
    """Forks once more, for the call, and sends its exit status; returns in the call's own process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(connection, _SIZE.size, len(_STREAMS))
    with connection.makefile("rb") as stream:
        call = json.loads(stream.read(*_SIZE.unpack(head)))
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    connection.close()
    for given, number in zip(streams, _STREAMS):
        os.dup2(given, number)
        os.close(given)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    return call["arguments"]


def run(arguments: Sequence[str]) -> None:
    """What Python does with these arguments, in a process that has just been forked; ends it."""
    try:
        _execute(arguments)
        code: object = 0
    except SystemExit as stop:
        code = stop.code
    # As Python ends, but for its taking apart of all modules: that copies some 400 MB, a second or more of work.
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


def _execute(arguments: Sequence[str]) -> None:
    importlib.invalidate_caches()
    # What was installed since the server began.
    for folder in site.getsitepackages():
        site.addsitedir(folder)
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        sys.path[0] = str(Path.cwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        sys.path[0] = str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


def call(path: str, arguments: Sequence[str]) -> int:
    """Has the server run this with the streams, folder and environment of this process; its exit status."""
    told = {"folder": str(Path.cwd()), "environment": dict(os.environ), "arguments": arguments}
    message = json.dumps(told).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [_SIZE.pack(len(message))], _STREAMS)
        connection.sendall(message)
        code = int(b"".join(_received(connection)) or b"1")
    if code < 0:
        # Ended by a signal: so does this one.
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _received(connection: socket.socket) -> Iterator[bytes]:
    while part := connection.recv(64):
        yield part


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        run(serve(sys.argv[2]))
    else:
        sys.exit(call(sys.argv[2], sys.argv[3:]))
