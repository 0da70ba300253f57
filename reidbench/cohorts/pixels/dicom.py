"""One DICOM file to grey values as a viewer shows them (DICOM PS3.3 C.7.6.3, C.11.1 and C.11.2). Needs pydicom."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.pixels.intensity import stretch
from reidbench.errors import ReidbenchError

if TYPE_CHECKING:
    from pydicom import Dataset as Header

# The largest detectors have 20 million.
_LARGEST = 100_000_000
_LUMA = (0.299, 0.587, 0.114)


def read_header(path: Path) -> Header:
    """All of a DICOM file before its pixels.

    Raises:
        ReidbenchError: pydicom is not installed.
    """
    # force: some archives leave the preamble away; whether it is DICOM was looked at before.
    header: Header = _pydicom().dcmread(path, stop_before_pixels=True, force=True)
    return header


def read_dicom(path: Path) -> NDArray[np.float32]:
    """The grey values of a file with one frame, (H, W) float32 in [0, 255], black is air.

    In the order of the standard: modality LUT or rescaling; VOI LUT or window, the first if several; MONOCHROME1
    inverted. Where the file says nothing of its window, its lowest and highest values become black and white, as with
    other deep files. Padding is black.

    Raises:
        ReidbenchError: pydicom, or the decoder for the file's compression, is not installed.
        ValueError, AttributeError: the file is not one grey or colour image.
    """
    pydicom = _pydicom()
    header = pydicom.dcmread(path, force=True)
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ValueError(f"it holds {frames} frames, not one image")
    pixels = int(header.get("Rows") or 0) * int(header.get("Columns") or 0)
    if pixels > _LARGEST:
        raise ValueError(f"it has {pixels / 1e6:,.0f} million pixels; at most {_LARGEST / 1e6:,.0f} million are read")
    _require_syntax(header)
    _require_decoder(header, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pixels beyond the first frame, which are looked for here
        stored = header.pixel_array
    channels = int(header.get("SamplesPerPixel") or 1)
    if stored.ndim > 2 + (channels > 1):
        raise ValueError(f"it holds {len(stored)} frames, not one image")
    palette = header.PhotometricInterpretation == "PALETTE COLOR"
    if palette:
        stored = pydicom.pixels.apply_color_lut(stored, header)
    if stored.ndim == 3:
        # Colour is a screen capture or a scan: what is stored is what is shown.
        white = np.iinfo(stored.dtype).max if palette else 2 ** int(header.BitsStored) - 1
        return _grey(stored[..., :3] @ np.array(_LUMA) / white)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of header values that it then handles
        grey = _window(_modality(stored, header), header, _padding(stored, header))
    if header.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    grey[_padding(stored, header)] = 0
    return grey


def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise ReidbenchError("DICOM files need pydicom: pip install 'reidbench[dicom]'") from error
    return pydicom


def _require_decoder(header: Header, path: Path) -> None:
    """Names the missing decoder: not the image's fault, and pydicom's own message lists every one there is."""
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return
    try:
        decoder = _pydicom().pixels.get_decoder(syntax)
    except NotImplementedError as error:
        raise ValueError(f"its compression, {syntax.name}, is not one for images") from error
    if not decoder.is_available:
        raise ReidbenchError(
            f"{path} is compressed as {syntax.name}, and no decoder for it is installed: "
            "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        )


def _require_syntax(header: Header) -> None:
    """A file without preamble says nowhere how its values are stored: as it was parsed, they are."""
    meta = header.file_meta
    if "TransferSyntaxUID" in meta:
        return
    uid = _pydicom().uid
    implicit, little = header.original_encoding
    plain = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
    meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else plain


def _padding(stored: NDArray[Any], header: Header) -> NDArray[np.bool_]:
    """Where the detector saw nothing: PixelPaddingValue, or from it to PixelPaddingRangeLimit."""
    bits = int(header.get("BitsStored") or 8 * stored.dtype.itemsize)
    first = _signed(header.get("PixelPaddingValue"), stored, bits)
    if first is None:
        return np.zeros(stored.shape, dtype=bool)
    last = _signed(header.get("PixelPaddingRangeLimit"), stored, bits)
    last = first if last is None else last
    inside: NDArray[np.bool_] = (stored >= min(first, last)) & (stored <= max(first, last))
    return inside


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


def _modality(stored: NDArray[Any], header: Header) -> NDArray[np.float64]:
    """Stored values after the modality LUT, or rescaled; an empty slope is 1, an empty intercept 0."""
    table = _table(header.get("ModalityLUTSequence"), header)
    if table is not None:
        return table.look_up(stored).astype(np.float64)
    slope, intercept = _first(header.get("RescaleSlope")), _first(header.get("RescaleIntercept"))
    return stored.astype(np.float64) * (1.0 if slope is None else slope) + (intercept or 0.0)


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


def _window(values: NDArray[np.float64], header: Header, padding: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values after the modality LUT, as shown: [0, 255], before any inversion."""
    table = _table(header.get("VOILUTSequence"), header)
    if table is not None:
        return _grey(table.look_up(values) / table.white)
    window = _first_window(header)
    if window is None:
        return stretch(np.where(padding, np.nan, values))
    centre, width = window
    kind = header.get("VOILUTFunction") or "LINEAR"
    if kind == "LINEAR" and width < 1 and np.array_equal(values, np.rint(values)):
        # The standard allows no such width (C.11.2.1.2): of whole numbers it would leave black and white.
        return stretch(np.where(padding, np.nan, values))
    if kind == "SIGMOID":
        share = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    elif kind == "LINEAR_EXACT" or width < 1:
        # The standard's formula is for whole numbers: a width below 1 is one of rescaled values.
        share = (values - centre) / width + 0.5
    else:
        # A width of 1 is a threshold; the standard's formula would divide by zero.
        share = (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5
    return _grey(share)


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
