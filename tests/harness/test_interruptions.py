"""Records after kills, power cuts and a full disk are those of an undisturbed run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "interruptions.py"


def mountable(folder: Path) -> bool:
    """Whether a file system can be mounted here."""
    if not sys.platform.startswith("linux") or os.geteuid():
        return False
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    return not mounted.returncode and not subprocess.run(["umount", str(folder)]).returncode


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="interrupted runs are forked")
def test_kills_power_cuts_and_a_full_disk_change_no_record(tmp_path):
    disks = int(mountable(tmp_path))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills=3", "--cuts=2", f"--disks={disks}"], capture_output=True, text=True
    )
    assert not done.returncode, done.stdout + done.stderr[-3000:]
    counts = json.loads(done.stdout)
    assert (counts["kills"], counts["cuts"], counts["disks_full"]) == (3, 2, disks)
    assert counts["records_compared"] >= 2 * (1 + 2 + disks)
    assert counts["wrong"] == []
