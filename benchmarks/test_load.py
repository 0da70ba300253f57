"""Boards, sites and checks of many records: cloned ones, as ratios to references in the same run.

Run with ``pytest benchmarks --benchmark-enable``; the ratios stand in the report's extra information. Time is CPU time,
so that other programs count little.
"""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic_core import from_json

from reidbench.progress import Silent
from reidbench.records.native_reading import read_natively, read_natively_brief
from reidbench.records.store import judge_content
from reidbench.report.figures.submission import check_submissions

RECORDS = Path(__file__).parents[1] / "leaderboards" / "records"
#: What lies beside a record.
BESIDE = (".scores.npz", ".examples.webp")
ROUNDS = 5


def clones(count: int, folder: Path, *, beside: bool) -> Path:
    """So many records: the committed ones, and copies of them with other seeds and ids."""
    folder.mkdir()
    paths = sorted(RECORDS.glob("*.json"))
    for number in range(count):
        path, turn = paths[number % len(paths)], number // len(paths)
        text, record = path.read_text(), from_json(path.read_bytes())

        def renamed(name: str, turn: int = turn) -> str:
            return hashlib.sha256(f"{turn} {name}".encode()).hexdigest()[:16] if turn else name

        for name in filter(None, (record["id"], record["baseline_id"])):
            text = text.replace(f'"{name}"', f'"{renamed(name)}"')
        text = text.replace(f'"seed": {record["seed"]},', f'"seed": {record["seed"] + turn},')
        stem = f"{record['defense']['name']}-{renamed(record['id'])}"
        (folder / f"{stem}.json").write_text(text)
        for ending in BESIDE if beside else ():
            if path.with_suffix(ending).is_file():
                (folder / f"{stem}{ending}").hardlink_to(path.with_suffix(ending))
    return folder


def cpu(function: Callable[[], object]) -> float:
    """CPU seconds of this process that a call takes."""
    start = time.process_time()
    function()
    return time.process_time() - start


def command(*arguments: str) -> tuple[float, float]:
    """CPU seconds of a command in a process of its own, and peak memory in bytes of the largest of its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = (
        "import re, resource, sys; from pathlib import Path; from reidbench.cli import main\n"
        "try: main()\n"
        # Not its own ru_maxrss, which begins with the memory of the process that started it.
        "finally:\n"
        "    own = int(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "    print(1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, float(done.stdout.split()[-1])


def test_reading_a_record(benchmark):
    """The short way of reading for tables, and in whole, against the usual one and against the JSON alone."""
    contents = [path.read_bytes() for path in sorted(RECORDS.glob("*.json"))[::4]]
    times: dict[str, list[float]] = {"brief": [], "whole": [], "usual": [], "json": []}

    def once() -> None:
        times["brief"].append(cpu(lambda: [read_natively_brief(one) for one in contents]))
        times["whole"].append(cpu(lambda: [read_natively(one) for one in contents]))
        times["usual"].append(cpu(lambda: [judge_content(Path("record.json"), one) for one in contents]))
        times["json"].append(cpu(lambda: [from_json(one) for one in contents]))

    benchmark.pedantic(once, rounds=ROUNDS, warmup_rounds=1)
    best = {name: min(found) for name, found in times.items()}
    benchmark.extra_info |= {
        "cpu_ms_of_a_record": 1e3 * best["brief"] / len(contents),
        "times_the_json": best["brief"] / best["json"],
        "usual_way_by_short_way": best["usual"] / best["brief"],
        "usual_way_by_short_way_in_whole": best["usual"] / best["whole"],
    }
    assert best["brief"] < 0.8 * best["usual"]
    assert best["whole"] < best["usual"]


def test_boards_of_two_thousand_records(benchmark, tmp_path):
    """`reidbench leaderboard` against reading the same files as JSON."""
    folder = clones(2_000, tmp_path / "records", beside=False)
    contents = [path.read_bytes() for path in folder.glob("*.json")]
    seconds, peak = benchmark.pedantic(
        lambda: command("leaderboard", str(folder), "--quiet", f"--out={tmp_path / 'boards'}"), rounds=1
    )
    json = cpu(lambda: [from_json(one) and None for one in contents])
    benchmark.extra_info |= {"cpu_seconds": seconds, "times_the_json": seconds / json, "peak_megabytes": peak / 1e6}
    # A reference in bytes: the records themselves, which have become a sixth smaller since eight digits of a figure are
    # written; what they are read into has not.
    assert peak < 7 * sum(map(len, contents))


def test_checking_a_record_with_its_scores(benchmark):
    """`reidbench submit check`, without the start of Python, against one resampling of one attack in plain NumPy."""
    paths = [path.with_suffix("").with_suffix(".json") for path in sorted(RECORDS.glob("gaussian_noise-*.scores.npz"))]
    rng = np.random.default_rng(0)
    scores = rng.normal(size=2_184)

    def reference() -> None:
        for _ in range(200):
            drawn = rng.integers(0, len(scores), len(scores))
            np.sort(scores[drawn])

    found = benchmark.pedantic(
        lambda: [
            (cpu(lambda path=path: list(check_submissions([path], Silent()))), cpu(reference)) for path in paths[:3]
        ],
        rounds=1,
    )
    seconds, plain = (min(times) for times in zip(*found, strict=True))
    benchmark.extra_info |= {"cpu_seconds_of_a_record": seconds, "times_200_sorts": seconds / plain}


def test_a_site_of_many_records(benchmark, tmp_path):
    """`reidbench leaderboard --site`: what a page adds to the start, in time and in memory."""
    few, many = (clones(count, tmp_path / str(count), beside=True) for count in (20, 200))
    (first, small), (second, large) = benchmark.pedantic(
        lambda: [
            command("leaderboard", str(folder), "--quiet", f"--site={tmp_path / 'site'}{folder.name}")
            for folder in (few, many)
        ],
        rounds=1,
    )
    benchmark.extra_info |= {
        "cpu_ms_of_a_page": 1e3 * (second - first) / 180,
        "cpu_seconds_at_the_start": first,
        "peak_megabytes": large / 1e6,
        "megabytes_of_a_page": (large - small) / 180e6,
    }
    # A reference in bytes: the records that the pages are of. Tables need all of them at once, pages wait in files.
    more = sum(path.stat().st_size for path in many.glob("*.json")) - sum(p.stat().st_size for p in few.glob("*.json"))
    assert large - small < 8 * more
