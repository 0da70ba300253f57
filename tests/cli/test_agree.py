"""`reidbench leaderboard --agree`: the rank agreement of two boards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

COMMITTED = Path(__file__).parents[2] / "leaderboards" / "records"
CORRELATION = re.compile(r"(-?\d\.\d{3}) \[(-?\d\.\d{3}), (-?\d\.\d{3})\]")


@pytest.fixture(scope="module")
def some():
    """The committed records of a few defenses, on three boards."""
    names = ("undefended", "gaussian_noise", "pixelate", "gaussian_blur", "jpeg", "k_same_pixel", "dp_pix", "dp_samp")
    return [str(path) for name in names for path in sorted(COMMITTED.glob(f"{name}-*.json"))]


def test_two_boards_are_compared_and_nothing_is_written(call, some, tmp_path):
    lines = call("leaderboard", *some, "--agree", "phantom", "chestxray14").stdout.splitlines()
    assert lines[0].startswith("phantom: quick preset at 64²")
    assert lines[1].startswith("chestxray14: quick preset at 96²")
    for line, title in zip(lines[3:6], ("mAP@R, strongest attack", "AUC, strongest attack", "utility: release")):
        assert line.strip().startswith(title)
        value, low, high = map(float, CORRELATION.search(line).groups())
        assert -1 <= low <= value <= high <= 1
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_compared_is_one_line(refused, some):
    assert "no board 'nowhere'" in refused("leaderboard", *some, "--agree", "phantom", "nowhere")
    there = "there are chestxray14, covid19, phantom"
    assert there in refused("leaderboard", *some, "--agree", "nowhere", "phantom")
    assert "has one table" in refused("leaderboard", *some, "--agree", "phantom", "phantom")
    assert "excludes --check and --site" in refused("leaderboard", *some, "--agree", "phantom", "covid19", "--check")
    # Noise on one board, blur on the other.
    boards = {path: Path(path).read_text() for path in some}
    noise = [path for path, text in boards.items() if "gaussian_noise" in path and '"covid19"' in text]
    blur = [path for path, text in boards.items() if "gaussian_blur" in path and '"covid19"' not in text]
    assert noise
    nothing = "no defense with the same options"
    assert nothing in refused("leaderboard", *noise, *blur, "--agree", "covid19", "phantom")
