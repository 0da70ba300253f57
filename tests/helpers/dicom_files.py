"""DICOM files that tests write, and what is shown of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidbench.cohorts.pixels.decode import decode

pydicom = pytest.importorskip("pydicom", reason="needs the extra `dicom`")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: E402

RAMP = np.tile(np.arange(64, dtype=np.uint16) * 64, (64, 1))  # 0 to 4032: twelve bits


def header(**fields: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"  # digital X-ray, for presentation
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = "DX"
    dataset.PatientID = "p1"
    for name, value in fields.items():
        setattr(dataset, name, value)
    return dataset


def write(
    path: Path, pixels: np.ndarray, *, bits: int = 12, syntax: str = ExplicitVRLittleEndian, **fields: Any
) -> Path:
    dataset = header(**{"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1, **fields})
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    content = pixels.tobytes()
    dataset.PixelData = content if syntax == ExplicitVRLittleEndian else encapsulate([content])
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return save(path, dataset, syntax)


def save(path: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def shown(path: Path) -> np.ndarray:
    return decode(path, "x", 64).astype(float)


def check(path: Path, expected: np.ndarray) -> None:
    np.testing.assert_allclose(shown(path), np.clip(expected, 0, 255), atol=0.51)
