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

_LUMA = (0.299, 0.587, 0.114)


def read_header(path: Path) -> Header:
    """All of a DICOM file before its pixels.

    Raises:
        ReidbenchError: pydicom is not installed.
    """
    header: Header = _pydicom().dcmread(path, stop_before_pixels=True)
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
    header = pydicom.dcmread(path)
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ValueError(f"it holds {frames} frames, not one image")
    _require_decoder(header, path)
    stored = header.pixel_array
    if header.PhotometricInterpretation == "PALETTE COLOR":
        stored = pydicom.pixels.apply_color_lut(stored, header)
    if stored.ndim == 3:
        # Colour is a screen capture or a scan: what is stored is what is shown.
        return _grey(stored[..., :3] @ np.array(_LUMA) / np.iinfo(stored.dtype).max)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of header values that it then handles
        grey = _window(np.asarray(pydicom.pixels.apply_modality_lut(stored, header)), header, _padding(stored, header))
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


def _padding(stored: NDArray[Any], header: Header) -> NDArray[np.bool_]:
    """Where the detector saw nothing: PixelPaddingValue, or from it to PixelPaddingRangeLimit."""
    first = header.get("PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, dtype=bool)
    last = header.get("PixelPaddingRangeLimit", first)
    inside: NDArray[np.bool_] = (stored >= min(first, last)) & (stored <= max(first, last))
    return inside


def _window(values: NDArray[Any], header: Header, padding: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values after the modality LUT, as shown: [0, 255], before any inversion."""
    tables = header.get("VOILUTSequence")
    if tables:
        shown: NDArray[Any] = _pydicom().pixels.apply_voi(np.rint(values).astype(np.int64), header)
        return _grey(shown / (2 ** int(tables[0].LUTDescriptor[2]) - 1))
    centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if centre is None or width is None:
        return stretch(np.where(padding, np.nan, values.astype(np.float64)))
    x = values.astype(np.float64)
    kind = header.get("VOILUTFunction", "LINEAR")
    if kind == "SIGMOID":
        share = 1 / (1 + np.exp(-4 * (x - centre) / width))
    elif kind == "LINEAR_EXACT":
        share = (x - centre) / width + 0.5
    else:
        # A width of 1 is a threshold; the standard's formula would divide by zero.
        share = (x - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5
    return _grey(share)


def _grey(share: NDArray[Any]) -> NDArray[np.float32]:
    values: NDArray[Any] = (share * 255).clip(0, 255)
    return values.astype(np.float32)


def _first(value: Any) -> float | None:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    return None if value in (None, "") else float(value)
