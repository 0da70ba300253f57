"""Weights files: safetensors with the name and shape of what they belong to, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from reidbench.errors import ReidbenchError
from reidbench.files import write_file

ABOUT = "reidbench"


def write_weights(module: nn.Module, path: Path, about: dict[str, str]) -> None:
    """Writes the state of ``module``, with ``about`` as the file's metadata."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    # One entry: safetensors writes several in an order that changes, and equal weights must give equal files.
    write_file(path, save(state, metadata={ABOUT: json.dumps(about, sort_keys=True)}))


def read_weights(module: nn.Module, path: Path, about: dict[str, str]) -> None:
    """Reads a file of :func:`write_weights` into ``module``, strictly.

    Raises:
        ReidbenchError: no such file, not a weights file, or its metadata is not ``about``.
    """
    if not path.is_file():
        raise ReidbenchError(f"no weights file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError) as error:
        raise ReidbenchError(f"{path}: not a safetensors file ({error})") from error
    for key, value in about.items():
        if found.get(key) != value:
            raise ReidbenchError(f"{path}: weights of another attacker: {key} is {found.get(key)!r}, not {value!r}")
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ReidbenchError(f"{path}: does not fit this attacker: {' '.join(str(error).split())[:200]}") from error
