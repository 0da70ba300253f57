"""Where a run took place: versions, device, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from reidbench.errors import ReidbenchError
from reidbench.records.parts.provenance import Environment, Git
from reidbench.threads import cpu_capability

# What a figure may depend on.
PACKAGES = ("torch", "torchvision", "kornia", "lightning", "pytorch-metric-learning", "numpy", "pandas", "opacus")


def choose_device(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps`` … as a device that is there.

    Raises:
        ReidbenchError: it isn't.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).splitlines()[0]
        raise ReidbenchError(f"--device {name}: this device is not to be had here ({first})") from error
    return device


def environment(device: torch.device) -> Environment:
    """Versions and device, as a record keeps them."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device.type,
        device_name=name,
        cpus=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        cpu_capability=cpu_capability(),
        packages=packages,
    )


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model: another one rounds in another way, even with the same instruction set.

    Linux tells it in ``cpuinfo``, with the numbers of its generation beside names that many share, such as ``AMD EPYC
    (family 25, model 17)``, or on ARM in their place, and macOS by ``sysctl``. Elsewhere it is what Python knows.
    """
    if platform.system() == "Darwin":
        return _told_by(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.machine()
    try:
        first = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        first = ""
    fields = dict(re.findall(r"^([^:\n]*?)[ \t]*:[ \t]*(.*?)[ \t]*$", first, flags=re.MULTILINE))
    name = " ".join(fields.get("model name", "").split())
    keys = ("cpu family", "model") if name else ("CPU implementer", "CPU part")
    numbers = [f"{key.split()[-1]} {fields[key]}" for key in keys if fields.get(key)]
    name = name or platform.processor() or platform.machine()
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _told_by(command: list[str]) -> str:
    """The first line that a command of the system prints; empty if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError):
        return ""
    return done.stdout.partition("\n")[0].strip()


def git_state() -> Git | None:
    """Commit and dirty flag of the checkout that this code lies in; None without one, or if git gives no answer."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        # Only tracked files count: a run's own output beside the code makes no difference to the figures.
        dirty = bool(_git(here, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError):
        return None
    return Git(commit=commit, dirty=dirty)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
