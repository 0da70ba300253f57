"""Digests of decoded images, by which the training images of a bundle are recognized in another collection."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidbench.errors import ReidbenchError

#: Hexadecimal digits of a digest. Of 10**5 images against 10**6, two differing ones share one with odds below 10**-8.
DIGITS = 16


def image_digests(images: NDArray[np.uint8]) -> list[str]:
    """The digest of each image (N, S, S): the first 16 hexadecimal digits of SHA-256 over its pixels, row by row."""
    return [hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()[:DIGITS] for image in images]


def write_digests(digests: list[str]) -> bytes:
    """The content of the file: one digest a line, sorted, each once."""
    return ("\n".join(sorted(set(digests))) + "\n").encode()


def read_digests(path: Path) -> frozenset[str]:
    """Reads what :func:`write_digests` gave.

    Raises:
        ReidbenchError: the file cannot be read, or a line is not a digest.
    """
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ReidbenchError(f"{path}: cannot be read: {error}") from error
    for line in lines:
        if len(line) != DIGITS or set(line) - set("0123456789abcdef"):
            raise ReidbenchError(f"{path}: {line[:40]!r} is not a digest of {DIGITS} hexadecimal digits")
    return frozenset(lines)
