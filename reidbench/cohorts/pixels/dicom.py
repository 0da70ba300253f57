"""One DICOM file to grey values: what it holds, in which form, and its stored values. Needs pydicom."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.pixels.dicom_grey import Rendering
from reidbench.cohorts.pixels.intensity import in_strips
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


def read_dicom(path: Path, *, most: int) -> NDArray[np.float32]:
    """The grey values of a file with one frame, (H, W) float32 in [0, 255], black is air.

    In the order of the standard: modality LUT or rescaling; VOI LUT or window, the first if several; MONOCHROME1
    inverted. Where the file says nothing of its window, its lowest and highest values become black and white, as with
    other deep files. Padding is black.

    Args:
        most: pixels of the result; a larger image is averaged over squares of pixels until it has no more.

    Raises:
        ReidbenchError: pydicom, or the decoder for the file's compression, is not installed.
        ValueError, AttributeError: the file is not one grey or colour image.
    """
    header = _pydicom().dcmread(path, force=True)
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ValueError(f"it holds {frames} frames, not one image")
    pixels = int(header.get("Rows") or 0) * int(header.get("Columns") or 0)
    if pixels > _LARGEST:
        raise ValueError(f"it has {pixels / 1e6:,.0f} million pixels; at most {_LARGEST / 1e6:,.0f} million are read")
    _require_syntax(header)
    _require_decoder(header, path)
    stored = _stored(header)
    channels = int(header.get("SamplesPerPixel") or 1)
    if stored.ndim > 2 + (channels > 1):
        raise ValueError(f"it holds {len(stored)} frames, not one image")
    if header.PhotometricInterpretation == "PALETTE COLOR" or stored.ndim == 3:
        return in_strips(stored.shape, _luma(stored, header), most=most)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of header values that it then handles
        return in_strips(stored.shape, Rendering(stored, header).show, most=most)


def _stored(header: Header) -> NDArray[Any]:
    """The values of the pixels as the file holds them, with the encoded bytes let go.

    Where the highest bit lies above the stored ones (HighBit 15 of BitsStored 12), the values stand in the upper bits;
    a header that claims so of values that do not is not believed.
    """
    declared, high = int(header.get("BitsStored") or 0), int(header.get("HighBit") or 0)
    shift = high + 1 - declared
    shifted = declared > 0 and shift > 0 and high < int(header.BitsAllocated) and not _is_compressed(header)
    if shifted:
        header.BitsStored = high + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pixels beyond the first frame, which the caller looks for
        stored: NDArray[Any] = header.pixel_array
    # What is kept beside the values are the file's bytes, and the values once more.
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        header.pop(keyword, None)
    header._pixel_array = None
    if shifted:
        header.BitsStored = declared
        if int(stored.max()) >> declared or int(stored.min()) < -(1 << (declared - 1)):
            return stored >> shift
        if stored.dtype.kind == "i" and int(stored.max()) >= 1 << (declared - 1):
            return np.where(stored >= 1 << (declared - 1), stored - (1 << declared), stored)
    return stored


def _is_compressed(header: Header) -> bool:
    return bool(header.file_meta.TransferSyntaxUID.is_compressed)


def _luma(stored: NDArray[Any], header: Header) -> Any:
    """Shows rows of a colour image. It is a screen capture or a scan: what is stored is what is shown."""
    palette = header.PhotometricInterpretation == "PALETTE COLOR"

    def show(rows: slice) -> NDArray[np.float32]:
        some = stored[rows]
        if palette:
            some = _pydicom().pixels.apply_color_lut(some, header)
        white = np.iinfo(some.dtype).max if palette else 2 ** int(header.BitsStored) - 1
        return (some[..., :3] @ np.array(_LUMA) / white * 255).clip(0, 255).astype(np.float32)

    return show


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
