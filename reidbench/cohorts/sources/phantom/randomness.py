"""Random numbers that belong to a name, never to a position in a batch."""

from __future__ import annotations

import hashlib

import numpy as np

#: Part of every key: raise it when the same options must give other patients or other pixels.
VERSION = 1


def generator(seed: int, *names: object) -> np.random.Generator:
    """A generator that depends on the seed and the names alone (SHA-256 of them keys a Philox stream)."""
    text = "\x1f".join([f"phantom-v{VERSION}", str(seed), *map(str, names)])
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))
