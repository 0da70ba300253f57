"""Guards for archives of scores, which come from others: what they declare, and whether their arrays fit together."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from reidbench.errors import ReidbenchError

#: Exceptions that reading a damaged or forged archive of scores may raise.
UNREADABLE = (ValueError, KeyError, OSError, EOFError, RuntimeError, MemoryError, BadZipFile, zlib.error)
#: The most bytes that an archive of scores may declare. A run of 100,000 pairs on all rungs has about 20 MB.
MAX_BYTES = 200_000_000
_MAX_ARRAYS = 2_000
# Numbers of patients and pictures are counted in an array as long as the largest.
_MAX_NUMBER = 10_000_000


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an archive by name; one that would not fit into memory is refused by what it declares, unread.

    Args:
        path: the archive.
        names: of the arrays to read; None for all.

    Raises:
        ReidbenchError: it declares too much, or an array is not as large as its header says.
        UNREADABLE: it is not an archive of arrays, or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        declared = sum(member.file_size for member in members)
        if len(members) > _MAX_ARRAYS or declared > MAX_BYTES:
            raise ReidbenchError(
                f"{path}: scores have at most {_MAX_ARRAYS:,} arrays of {MAX_BYTES:,} bytes together, not "
                f"{len(members):,} of {declared:,}"
            )
        # No more is unpacked of a member than it declares.
        named = {member.filename.removesuffix(".npy"): member for member in members}
        return {name: _array(path, archive, member) for name, member in named.items() if names is None or name in names}


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    content = archive.read(member)
    shape, by_columns, dtype, start = _header_of(content)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects, not numbers")
    if math.prod(shape) * dtype.itemsize + start != len(content):
        raise ReidbenchError(f"{path}: {member.filename} is not as large as its header says")
    flat = np.frombuffer(content, dtype=dtype, offset=start)
    return flat.reshape(shape, order="F" if by_columns else "C").copy()


def _header_of(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, type of numbers and place of the first of an array's file."""
    if content[6:8] != b"\x01\x00":
        return _header.__wrapped__(content)
    # Magic and version, two bytes for the length of the header, and the header.
    return _header(content[: 10 + int.from_bytes(content[8:10], "little")])


# Two hundred arrays of a file have a few shapes, and NumPy compiles the text of a header to read it.
@lru_cache(maxsize=256)
def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    stream = io.BytesIO(content)
    read = _HEADERS.get(np.lib.format.read_magic(stream), np.lib.format.read_array_header_2_0)
    return *read(stream), stream.tell()


_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0}


def require_consistent(path: Path, scores: Any) -> None:
    """Refuses arrays that do not fit together: other code indexes one with another.

    Args:
        path: for the error.
        scores: a :class:`reidbench.records.scores.RunScores`.

    Raises:
        ReidbenchError: they do not.
    """
    wrong = next(_misfits(scores), None)
    if wrong is not None:
        raise ReidbenchError(f"{path}: the scores do not fit together: {wrong}")


def _misfits(scores: Any) -> Iterator[str]:
    images = len(scores.patients)
    yield from _numbers("patients", scores.patients, (images,), _MAX_NUMBER)
    if scores.pictures is not None:
        yield from _numbers("pictures", scores.pictures, (images,), _MAX_NUMBER)
    for name, pairs in scores.pairs.items():
        yield from _numbers(f"pairs {name}", pairs, (3, pairs.shape[-1] if pairs.ndim else 0), images)
        if pairs.ndim == 2 and len(pairs) == 3 and not np.isin(pairs[2], (0, 1)).all():
            yield f"pairs {name} have another label than 0 and 1"
    by_negatives = {name: (pairs.shape[-1],) for name, pairs in scores.pairs.items() if pairs.ndim}
    for part in ("verification", "accepted"):
        for name, values in _named(scores, part):
            yield from _shaped(f"{part} {name}", values, by_negatives.get(name.rpartition("/")[2]))
    for name, values in _named(scores, "average_precision"):
        yield from _shaped(f"average_precision {name}", values, (images,))
    for name, values in _named(scores, "ranks"):
        yield from _shaped(f"ranks {name}", values, (4, images))
    for name, values in _named(scores, "gallery_gains"):
        yield from _shaped(f"gallery_gains {name}", values, (4, len(np.unique(scores.patients))))
    for name, values in _named(scores, "validation"):
        yield from _shaped(f"validation {name}", values, scores.validation_same.shape)
    if len(scores.findings):
        yield from _shaped("findings", scores.findings, (images, len(scores.labels)))
        for part in ("predictions", "undefended"):
            for name, values in _named(scores, part):
                yield from _shaped(f"{part} {name}", values, scores.findings.shape)


def _named(scores: Any, part: str) -> Iterator[tuple[str, NDArray[Any]]]:
    named: Mapping[str, NDArray[Any]] = getattr(scores, part)
    yield from named.items()


def _shaped(name: str, values: NDArray[Any], shape: tuple[int, ...] | None) -> Iterator[str]:
    if values.dtype.kind not in "biuf":
        yield f"{name} are of type {values.dtype}, not numbers"
    if shape is not None and values.shape != shape:
        yield f"{name} have the shape {values.shape}, not {shape}"


def _numbers(name: str, values: NDArray[Any], shape: tuple[int, ...], below: int) -> Iterator[str]:
    yield from _shaped(name, values, shape)
    if values.size and not 0 <= values.min() <= values.max() < below:
        yield f"{name} have a number outside 0 to {below - 1}"
