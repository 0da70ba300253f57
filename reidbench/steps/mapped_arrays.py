"""Arrays that are sent to another process: of one that is mapped from a file, the file is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ArrayReference:
    """Where an array lies.

    Attributes:
        array: itself, where it is mapped from no file, or is no even piece of one.
        file: that it is mapped from.
        offset: in bytes.
    """

    array: NDArray[Any] | None
    file: str = ""
    offset: int = 0
    shape: tuple[int, ...] = ()
    dtype: str = ""

    def open(self) -> NDArray[Any]:
        """The array; a file is mapped, for reading alone."""
        if self.array is not None:
            return self.array
        return np.memmap(self.file, dtype=self.dtype, mode="r", offset=self.offset, shape=self.shape)


def reference(array: NDArray[Any]) -> ArrayReference:
    """Where an array lies: a file's name and a place in it, if it is mapped from there, whole or as one piece."""
    whole: Any = array
    while isinstance(getattr(whole, "base", None), np.ndarray):
        whole = whole.base
    if not isinstance(whole, np.memmap) or whole.filename is None or not array.size or not array.flags.c_contiguous:
        return ArrayReference(np.asarray(array))
    offset = whole.offset + _address(array) - _address(whole)
    return ArrayReference(None, str(whole.filename), offset, array.shape, array.dtype.str)


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
