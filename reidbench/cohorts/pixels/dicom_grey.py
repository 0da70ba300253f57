"""Stored values of a DICOM image as a viewer shows them (DICOM PS3.3 C.7.6.3, C.11.1, C.11.2), some rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.pixels.intensity import between, strips

if TYPE_CHECKING:
    from pydicom import Dataset as Header


class Rendering:
    """How the values of one image become grey levels: what its header says is read once, its rows when asked for.

    Args:
        stored: (H, W), of whole numbers or floating-point.
        header: of the file.

    Raises:
        ValueError: without a window, and no value is finite.
    """

    def __init__(self, stored: NDArray[Any], header: Header) -> None:
        self.stored, self.header = stored, header
        self.inverted = header.PhotometricInterpretation == "MONOCHROME1"
        self.padding = _padding_range(stored, header)
        self.modality = _table(header.get("ModalityLUTSequence"), header)
        slope, intercept = _first(header.get("RescaleSlope")), _first(header.get("RescaleIntercept"))
        self.slope, self.intercept = 1.0 if slope is None else slope, intercept or 0.0
        self.voi = _table(header.get("VOILUTSequence"), header)
        self.window = None if self.voi is not None else _first_window(header)
        self.kind = str(header.get("VOILUTFunction") or "LINEAR")
        if self.window and self.kind == "LINEAR" and self.window[1] < 1 and self._whole_numbers():
            # The standard allows no such width (C.11.2.1.2): of whole numbers it would leave black and white.
            self.window = None
        self.ends = self._ends() if self.voi is None and self.window is None else (0.0, 0.0)

    def show(self, rows: slice) -> NDArray[np.float32]:
        """Some rows, (h, W) float32 in [0, 255]."""
        values, padding = self._values(rows)
        if self.voi is not None:
            grey = _grey(self.voi.look_up(values) / self.voi.white)
        elif self.window is not None:
            grey = _grey(_share(values, *self.window, self.kind))
        else:
            grey = between(values, *self.ends)
        if self.inverted:
            grey = 255 - grey
        grey[padding] = 0
        return grey

    def _values(self, rows: slice) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Values after the modality LUT, or rescaled; and where the detector saw nothing."""
        stored = self.stored[rows]
        padding = np.zeros(stored.shape, dtype=np.bool_)
        if self.padding is not None:
            padding = (stored >= self.padding[0]) & (stored <= self.padding[1])
        if self.modality is not None:
            return self.modality.look_up(stored).astype(np.float64), padding
        return stored.astype(np.float64) * self.slope + self.intercept, padding

    def _ends(self) -> tuple[float, float]:
        """The lowest and the highest finite value beside the padding."""
        low, high = np.inf, -np.inf
        for rows in strips(self.stored.shape):
            values, padding = self._values(rows)
            seen = values[~padding & np.isfinite(values)]
            if seen.size:
                low, high = min(low, float(seen.min())), max(high, float(seen.max()))
        if low > high:
            raise ValueError("no pixel beside the padding has a finite value")
        return low, high

    def _whole_numbers(self) -> bool:
        return all(
            np.array_equal(values, np.rint(values)) for values, _ in map(self._values, strips(self.stored.shape))
        )


def _padding_range(stored: NDArray[Any], header: Header) -> tuple[int, int] | None:
    """Where the detector saw nothing: PixelPaddingValue, or from it to PixelPaddingRangeLimit."""
    bits = int(header.get("BitsStored") or 8 * stored.dtype.itemsize)
    first = _signed(header.get("PixelPaddingValue"), stored, bits)
    if first is None:
        return None
    last = _signed(header.get("PixelPaddingRangeLimit"), stored, bits)
    last = first if last is None else last
    return min(first, last), max(first, last)


def _signed(value: Any, stored: NDArray[Any], bits: int) -> int | None:
    """A value as pixels of so many bits would hold it: many a header has it with the other sign."""
    number = _first(value)
    if number is None or stored.dtype.kind not in "iu":
        return None
    lowest, highest = (0, 2**bits - 1) if stored.dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    turns = (0, 2**bits, -(2**bits), 2 ** (8 * stored.dtype.itemsize), -(2 ** (8 * stored.dtype.itemsize)))
    candidates = [int(number) + turn for turn in turns]
    # Some pixels hold more than their bits; a value that none could hold as declared is taken as it stands.
    inside = [found for found in candidates if lowest <= found <= highest]
    held = [found for found in candidates if np.iinfo(stored.dtype).min <= found <= np.iinfo(stored.dtype).max]
    return next(iter([*inside, *held]), None)


class _Table:
    """A lookup table (PS3.3 C.11.1.1): values below its first and above its last entry take those."""

    def __init__(self, entries: NDArray[np.int64], first: int, bits: int, stored: int) -> None:
        self.entries, self.first, self.bits, self.stored = entries, first, bits, stored

    def look_up(self, values: NDArray[Any]) -> NDArray[np.int64]:
        places = np.rint(values).astype(np.int64) - self.first
        return self.entries[places.clip(0, len(self.entries) - 1)]

    @property
    def white(self) -> int:
        """The value that is shown as white.

        A table that declares more bits than the pixels have, and needs no more than theirs, is of theirs.
        """
        declared = max(self.bits, 8)
        needed = max(int(self.entries.max()).bit_length(), 8)
        return 2 ** (self.stored if needed <= self.stored < declared else declared) - 1


def _table(sequence: Any, header: Header) -> _Table | None:
    """The first table of a sequence that holds data; None where there is none, which is as if it were not given."""
    for item in sequence or ():
        descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
        if not descriptor or len(descriptor) != 3 or data is None or len(data) == 0:
            continue
        count, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
        if isinstance(data, bytes):
            # Eight-bit entries stand in bytes, or each in a word of its own.
            entries = np.frombuffer(data, dtype="u1" if len(data) in (count, count + 1) else "<u2").astype(np.int64)
        else:
            entries = np.asarray([data] if np.isscalar(data) else list(data), dtype=np.int64) & 0xFFFF
        # What is looked up are the stored values, or those after rescaling, which have a sign too.
        signed = bool(header.get("PixelRepresentation")) or (_first(header.get("RescaleIntercept")) or 0) < 0
        if signed and first > 2**15 - 1:
            first -= 2**16
        return _Table(entries[:count], first, bits, int(header.get("BitsStored") or 8))
    return None


def _share(values: NDArray[np.float64], centre: float, width: float, kind: str) -> NDArray[np.float64]:
    """Values as shares of a window, 0 black and 1 white, also beyond."""
    if kind == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if kind == "LINEAR_EXACT" or width < 1:
        # The standard's formula is for whole numbers: a width below 1 is one of rescaled values.
        return (values - centre) / width + 0.5
    # A width of 1 is a threshold; the standard's formula would divide by zero.
    return (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5


def _first_window(header: Header) -> tuple[float, float] | None:
    """The first window with a positive width; None where there is none."""
    centres, widths = _numbers(header.get("WindowCenter")), _numbers(header.get("WindowWidth"))
    for centre, width in zip(centres, widths):
        if np.isfinite(centre) and np.isfinite(width) and width > 0:
            return centre, width
    return None


def _grey(share: NDArray[Any]) -> NDArray[np.float32]:
    values: NDArray[Any] = (share * 255).clip(0, 255)
    return values.astype(np.float32)


def _first(value: Any) -> float | None:
    numbers = _numbers(value)
    return numbers[0] if numbers else None


def _numbers(value: Any) -> list[float]:
    """One number, several or none, as a list."""
    several = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    return [float(number) for number in several if number not in (None, "")]
