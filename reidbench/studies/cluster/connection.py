"""A connection to a Ray cluster, with one clear line for each way in which there can be none."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reidbench.errors import ReidbenchError
from reidbench.processes import termination_interrupts
from reidbench.studies.cluster import node

#: What ``--executor`` takes beside ``local``.
RAY = "ray"
#: How often a connection from outside is tried where the head starts no process for it in time.
ATTEMPTS = 5
_NO_PROCESS = "Initialization failure from server"
# Seconds in which a machine of the cluster must accept a connection.
CONNECT_SECONDS = 10.0
# Seconds that a node may take to import reidbench and answer.
ANSWER_SECONDS = 180.0


def is_ray(executor: str) -> bool:
    """Whether ``--executor`` names Ray.

    Raises:
        ReidbenchError: it names nothing that is known.
    """
    if executor == "local":
        return False
    if executor == RAY or (executor.startswith("ray://") and len(executor) > len("ray://")):
        return True
    raise ReidbenchError(f"--executor {executor}: it is local, ray or ray://HOST:PORT")


@contextlib.contextmanager
def connected(executor: str) -> Iterator[Any]:
    """Connects to the cluster, whose nodes must all have this reidbench; gives the module ``ray``.

    While it is connected, SIGTERM raises :class:`~reidbench.processes.Terminated`, and what is printed goes to standard
    error.

    Args:
        executor: ``ray`` for the cluster of ``RAY_ADDRESS`` or of this machine, or else for one of this machine alone
            that ends with the command; ``ray://HOST:PORT`` for a cluster that is reached from outside.

    Raises:
        ReidbenchError: Ray is not installed, there is no cluster at the address, it has another version of Ray or
            Python, or one of its nodes has no or another reidbench.
    """
    # Once a cluster is gone, a call must fail and not start another one.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    try:
        import ray
    except ImportError as error:
        raise ReidbenchError("--executor ray needs Ray: pip install 'reidbench[ray]'") from error
    # Notices of Ray about itself; what goes wrong is raised.
    logging.getLogger("ray").setLevel(logging.ERROR)
    # What the head logs for a command outside, at a level that Ray sets again; it would come before our line.
    logging.getLogger("ray.util.client.logsclient").disabled = True
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if executor != RAY:
            _must_listen(executor, executor)
            _connect_from_outside(ray, executor, quiet)
        elif address := _address_of_ray(executor):
            ray.init(address, **quiet)
        else:
            ray.init("local", include_dashboard=False, **quiet)
    except ReidbenchError:
        raise
    except (Exception, SystemExit) as error:
        # Ray has no class for these: RuntimeError, ConnectionError, ValueError, others of gRPC, and SystemExit.
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise ReidbenchError(f"--executor {executor}: {_why_not(executor, error)}") from error
    try:
        # At SIGTERM, Ray would end the process in the middle of what it does. That a node was lost, it prints among the
        # results, at its end too.
        with termination_interrupts(), contextlib.redirect_stdout(sys.stderr):
            _look_at_nodes(ray, executor)
            yield ray
    finally:
        with contextlib.redirect_stdout(sys.stderr):
            ray.shutdown()


def _address_of_ray(executor: str) -> str:
    """The cluster of ``RAY_ADDRESS``, or ``auto`` for that of this machine; empty where there is none."""
    given = os.environ.get("RAY_ADDRESS", "")
    if given and given not in ("auto", "local"):
        _must_listen(executor, given)
        return given
    if given == "local":
        return ""
    # Where a Ray that was started on this machine notes its address, and leaves it if it is killed.
    note = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray" / "ray_current_cluster"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if _listens(note.read_text().strip()) is None:
            # Not by its address: only so does Ray show it the token of this machine, where it asks for one.
            return "auto"
    return ""


def _must_listen(executor: str, address: str) -> None:
    # Asked for a cluster that is not there, Ray tries for minutes and then ends the process.
    if (why := _listens(address)) is not None:
        raise ReidbenchError(f"--executor {executor}: no cluster answers at {address.removeprefix('ray://')}: {why}")


def _listens(address: str) -> str | None:
    """Why nothing can be reached at HOST:PORT; None where something listens."""
    host, colon, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if not colon or not port.isdecimal():
        return "an address has the form HOST:PORT"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def _connect_from_outside(ray: Any, address: str, options: dict[str, Any]) -> None:
    for left in reversed(range(ATTEMPTS)):
        try:
            ray.init(address, **options)
            return
        except ConnectionError as error:
            # The head starts a process for each client, and gives it a few seconds: not enough where it is busy.
            if not left or _NO_PROCESS not in str(error):
                raise
            with contextlib.suppress(Exception):
                ray.shutdown()


def _why_not(executor: str, error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "Ray gave up: what listens at this address may be no cluster of Ray"
    text = " ".join(str(error).split())
    if "ersion mismatch" in text or "ersions" in text:
        return f"the cluster has another version of Ray or Python: {text}"
    if _NO_PROCESS in text:
        return f"the head of the cluster did not start a process for this client: {text[-300:]}"
    if isinstance(error, ConnectionError | OSError | TimeoutError):
        where = executor.removeprefix("ray://") if executor != RAY else os.environ.get("RAY_ADDRESS", "this machine")
        # Something listens there.
        return f"no cluster answers at {where}: {text[:200]} (if it asks for a token, set RAY_AUTH_MODE=token)"
    return f"no connection to the cluster: {text[:300]}"


def _look_at_nodes(ray: Any, executor: str) -> None:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(node.look)
    alive = {found["NodeID"]: found["NodeManagerAddress"] for found in ray.nodes() if found["Alive"]}
    asked = {
        look.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(name, soft=False)
        ).remote(): address
        for name, address in alive.items()
    }
    mine = node.look()
    for answer, address in asked.items():
        where = f"--executor {executor}: node {address}"
        try:
            version, code = ray.get(answer, timeout=ANSWER_SECONDS)
        except ray.exceptions.GetTimeoutError as error:
            raise ReidbenchError(f"{where}: no answer within {ANSWER_SECONDS:g} s") from error
        except Exception as error:
            if "reidbench" in str(error) and "ModuleNotFoundError" in str(error):
                raise ReidbenchError(f"{where}: reidbench is not installed there") from error
            last = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ReidbenchError(f"{where}: {last[-1][:300] if last else type(error).__name__}") from error
        if (version, code) != mine:
            what = f"version {version}, not {mine[0]}" if version != mine[0] else "other code of the same version"
            raise ReidbenchError(f"{where}: its reidbench is {what}; records would differ between nodes")
