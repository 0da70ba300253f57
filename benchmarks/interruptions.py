"""Does anything that stops a run change its records? Kills, power cuts and full disks, on a small run.

python benchmarks/interruptions.py --kills 50 --cuts 20 --disks 10

Each interrupted run is repeated until it ends; its records must then be those of an undisturbed run in every field but
times. Kills come at random times. A power cut is simulated after a run, by zeros in place of the last part of random
files of its cache, with their times as they were: what a file system may leave of a file whose name reached the disk
before its content did. Disks are small file systems in memory (Linux, as root) that hold part of what the run needs;
once the run has failed they get the space that it lacked. The counts are printed as JSON; exit 1 if a record differs or
an error is more than one line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: Fields that say when something happened, or how long it took.
TIMES = {"created", "timings", "seconds"}
TRAINING = {f"verification.{name}": 3 for name in ("min_steps", "max_steps", "warm_min_steps", "warm_max_steps")}
LITTLE = {
    "bootstrap_runs": 40,
    "finding_patients": 2,
    **TRAINING,
    **{f"{owner}.{name}": 4 for owner in ("classifier", "restorer") for name in ("min_steps", "max_steps")},
    "restorer.width": 8,
    "verification.batch_size": 16,
}
ARGUMENTS = [
    "run", "--defense=gaussian_noise:sigma=0.1", "--dataset=phantom:patients=40", "--attacker=verification",
    "--attackers=none", "--size=32", "--quiet", "--json", *(f"--set={name}={value}" for name, value in LITTLE.items()),
]  # fmt: skip
#: Lines that may stand on standard error beside an error: a step that was found damaged is said to be made again.
NOTICES = ("is damaged", "recorded in")


@dataclass
class Counts:
    """What was done, and what went wrong."""

    kills: int = 0
    cuts: int = 0
    files_cut: int = 0
    disks_full: int = 0
    disks_large_enough: int = 0
    runs_finished: int = 0
    records_compared: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    """Interrupts runs and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--disks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    _preload()
    rng, counts = random.Random(arguments.seed), Counts()
    with tempfile.TemporaryDirectory(prefix="interruptions-") as name:
        folder = Path(name)
        began = time.perf_counter()
        whole = Run(folder / "whole")
        whole.finish()
        seconds, wanted = time.perf_counter() - began, whole.records()
        assert len(wanted) == 2, "the undefended run and the defended one"
        _say(f"undisturbed: {seconds:.1f} s, {_size(whole.cache):,} bytes")
        kill(folder, arguments.kills, seconds, wanted, rng, counts)
        cut_power(whole, arguments.cuts, wanted, rng, counts)
        fill_disks(folder, arguments.disks, _size(whole.cache), wanted, counts)
    print(json.dumps(asdict(counts), indent=1))
    sys.exit(1 if counts.wrong else 0)


class Run:
    """A run whose cache and records lie in one folder.

    Args:
        folder: it is made where it is missing.
        cache: where the cache lies instead.
    """

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.cache, self.out, self._errors = cache or folder / "cache", folder / "runs", folder / "errors"

    def start(self) -> int:
        """Starts it in a copy of this process, which has imported everything already; gives its process id."""
        sys.stdout.flush()
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            os.setsid()
            null, errors = os.open(os.devnull, os.O_RDWR), os.open(self._errors, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os.dup2(errors, 2)
            os.environ["REIDBENCH_CACHE"] = str(self.cache)
            sys.argv = ["reidbench", *ARGUMENTS, f"--out={self.out}"]
            from reidbench.cli import main as reidbench

            reidbench()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def wait(self, child: int) -> tuple[int, list[str]]:
        """The exit status of a started run (negative for a signal), and what it wrote on standard error."""
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), self._errors.read_text().splitlines()

    def finish(self) -> list[str]:
        """Runs to the end; gives what was written on standard error."""
        code, lines = self.wait(self.start())
        if code:
            raise RuntimeError(f"a run ended with {code}: {lines[-3:]}")
        return lines

    def records(self) -> list[Any]:
        """The records without times, by name."""
        from reidbench.records.form.attack_rows import in_full

        found = [json.loads(path.read_text()) for path in sorted(self.out.glob("*.json"))]
        return [without_times(in_full(one, ["attacks"])) for one in found]


def without_times(part: Any) -> Any:
    """A part of a record without fields that say when something happened; trainings in place of their keys.

    A training's key is the digest of the training with its times.
    """
    if isinstance(part, dict):
        if "trainings" in part and "attacks" in part:
            trainings = part["trainings"]
            owners = [*part["attacks"], *(part["utility"] or {}).get("classifiers", [])]
            for owner in owners:
                owner |= {name: trainings[owner[name]] for name in ("training", "restoration") if owner.get(name)}
            part = {name: value for name, value in part.items() if name != "trainings"}
        return {name: without_times(value) for name, value in part.items() if name not in TIMES}
    return [without_times(one) for one in part] if isinstance(part, list) else part


def kill(folder: Path, kills: int, seconds: float, wanted: list[Any], rng: random.Random, counts: Counts) -> None:
    """Kills runs at random times, each as often as it takes until it ends first."""
    while counts.kills < kills:
        run = Run(folder / f"killed{counts.runs_finished}")
        killed = 0
        while True:
            child = run.start()
            # Short waits kill often before a step is done, long ones seldom; the last run may end.
            if counts.kills < kills and killed < 25 and not _ends_within(child, rng.uniform(0.02, 0.6) * seconds):
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                counts.kills, killed = counts.kills + 1, killed + 1
                continue
            break
        # The last one may end; another must find everything in order.
        os.waitpid(child, 0)
        _compare(run, run.finish(), wanted, f"after {killed} kills", counts)
        _say(f"{counts.kills} kills")


def cut_power(run: Run, cuts: int, wanted: list[Any], rng: random.Random, counts: Counts) -> None:
    """Zeroes the last part of random files of the cache, and runs again."""
    for _ in range(cuts):
        files = sorted(p for p in run.cache.rglob("*") if p.is_file() and p.suffix != ".lock" and p.stat().st_size)
        chosen = rng.sample(files, rng.randint(1, min(3, len(files))))
        for path in chosen:
            zero_tail(path, rng.random())
            counts.files_cut += 1
        counts.cuts += 1
        shutil.rmtree(run.out)
        names = ", ".join(path.relative_to(run.cache).as_posix() for path in chosen)
        _compare(run, run.finish(), wanted, f"after zeros in {names}", counts)
        _say(f"{counts.cuts} power cuts: {names}")


def zero_tail(path: Path, share: float) -> None:
    """Zeroes a file from a share of its length on, at least its last byte; its times stay."""
    status = path.stat()
    start = min(int(share * status.st_size), status.st_size - 1)
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(status.st_size - start))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def fill_disks(folder: Path, disks: int, needed: int, wanted: list[Any], counts: Counts) -> None:
    """Runs on disks that are too small, then gives them space and runs again."""
    for number in range(disks):
        mounted = folder / f"disk{number}"
        mounted.mkdir()
        size = max(64 * 1024, int(needed * (number + 0.5) / disks))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(mounted)], check=True)
        try:
            run = Run(folder / f"full{number}", cache=mounted / "cache")
            code, lines = run.wait(run.start())
            if code == 0:
                counts.disks_large_enough += 1
            else:
                counts.disks_full += 1
                errors = [line for line in lines if not any(notice in line for notice in NOTICES)]
                if code != 2 or len(errors) != 1 or str(mounted) not in errors[0]:
                    counts.wrong.append(f"a disk of {size:,} bytes: exit {code}, {errors[-3:]}")
            subprocess.run(["mount", "-o", f"remount,size={4 * needed}", str(mounted)], check=True)
            _compare(run, run.finish(), wanted, f"on a disk of {size:,} bytes", counts)
            _say(f"disk of {size:,} bytes: exit {code}, {lines[-1] if lines else ''}")
        finally:
            subprocess.run(["umount", "-l", str(mounted)], check=True)


def _compare(run: Run, lines: Sequence[str], wanted: list[Any], when: str, counts: Counts) -> None:
    counts.runs_finished += 1
    counts.records_compared += len(wanted)
    if run.records() != wanted:
        counts.wrong.append(f"{when}: {', '.join(_differing(run.records(), wanted)) or 'records are missing'}")
    odd = [line for line in lines if not any(notice in line for notice in NOTICES)]
    if odd:
        counts.wrong.append(f"{when}: {odd[-3:]}")


def _differing(found: list[Any], wanted: list[Any]) -> list[str]:
    return [
        f"{one['defense']['name']} {name}"
        for one, other in zip(found, wanted)
        for name in one
        if one[name] != other.get(name)
    ]


def _ends_within(child: int, seconds: float) -> bool:
    """Whether a child ends before so many seconds have passed; it is left to be waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.005)
    return False


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _preload() -> None:
    """Imports what a run needs, so that each of its copies starts at once; makes nothing and starts no thread."""
    import reidbench.cli.app
    import reidbench.harness.run
    from reidbench.plugins import Registry

    assert reidbench.cli.app
    assert reidbench.harness.run
    registry = Registry()
    for kind, name in (("defense", "gaussian_noise"), ("dataset", "phantom"), ("attacker", "verification")):
        registry.get(kind, name)


if __name__ == "__main__":
    main()
