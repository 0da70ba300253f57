"""A released picture as a DICOM file: the original's header after the standard's basic profile, and the new pixels.

The profile (DICOM PS3.15 Annex E, Table E.1-1) is that of the library `dicom-anonymizer`. It looks at the top level of
a header: what lies in sequences is removed here, and so is all that describes the original's pixels.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench.errors import ReidbenchError

#: The edition of the standard's table that is applied.
PROFILE = "DICOM PS3.15 2024b, Table E.1-1, Basic Application Level Confidentiality Profile"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# What describes the original's pixels, or the film and the detector they came from: the new ones are another picture.
_OF_THE_ORIGINAL = (
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio", "NumberOfFrames"),
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "RescaleIntercept"),
    *("RescaleSlope", "RescaleType", "PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "PixelIntensityRelationship", "LossyImageCompression"),
    *(
        "PixelIntensityRelationshipSign",
        "LossyImageCompressionRatio",
        "LossyImageCompressionMethod",
        "FrameIncrementPointer",
    ),
    *("PlanarConfiguration", "BurnedInAnnotation", "PixelData", "FloatPixelData", "DoubleFloatPixelData"),
)


def require_dicom_writing() -> str:
    """The library that applies the profile, with its version.

    Raises:
        ReidbenchError: pydicom or dicom-anonymizer is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        import dicomanonymizer  # noqa: F401 - only whether it is there
        import pydicom  # noqa: F401

        return f"dicom-anonymizer {version('dicom-anonymizer')}"
    except (ImportError, PackageNotFoundError) as error:
        raise ReidbenchError(
            "a release as DICOM needs pydicom and dicom-anonymizer: pip install 'reidbench[dicom]'"
        ) from error


def dicom_bytes(pixels: NDArray[np.uint8], original: Path | None, *, image: str, patient: str) -> bytes:
    """One picture as the bytes of a DICOM file that shows exactly these grey levels.

    Args:
        pixels: (H, W) uint8.
        original: the file it was made of; its header is used where it is DICOM.
        image: pseudonym of the image.
        patient: pseudonym of the patient, which becomes name and id.
    """
    import pydicom
    from dicomanonymizer import simpledicomanonymizer
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    header = _header(original)
    simpledicomanonymizer.anonymize_dataset(header, base_rules_gen=simpledicomanonymizer.initialize_actions_2024b)
    # It remembers every identifier it replaced; nothing here refers to another file, and memory must not grow.
    simpledicomanonymizer.dictionary.clear()
    for element in list(header):
        # Overlays and curves lie in repeating groups. The profile speaks of no element that the standard does not know.
        unknown = element.tag.is_private or not pydicom.datadict.dictionary_has_tag(element.tag)
        if element.VR == "SQ" or unknown or element.tag.group & 0xFF00 in (0x5000, 0x6000):
            del header[element.tag]
    for keyword in _OF_THE_ORIGINAL:
        header.pop(pydicom.datadict.tag_for_keyword(keyword), None)

    header.SOPClassUID, header.SOPInstanceUID = _SECONDARY_CAPTURE, generate_uid(None)
    header.StudyInstanceUID, header.SeriesInstanceUID = generate_uid(None), generate_uid(None)
    header.PatientName = header.PatientID = patient
    header.AccessionNumber = header.StudyID = ""
    header.StudyDate = header.StudyTime = ""
    header.SeriesNumber, header.InstanceNumber = "1", "1"
    header.ConversionType = "WSD"
    header.ImageType = ["DERIVED", "SECONDARY"]
    header.ImageComments = image
    header.PatientIdentityRemoved = "YES"
    header.DeidentificationMethod = ["DICOM PS3.15 basic profile", "reidbench release"]
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    header.DeidentificationMethodCodeSequence = [code]
    header.LongitudinalTemporalInformationModified = "REMOVED"

    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = pixels.shape
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    # Without a window a viewer would stretch each picture by itself.
    header.WindowCenter, header.WindowWidth = "128", "256"
    content = np.ascontiguousarray(pixels).tobytes()
    header.PixelData = content + b"\0" * (len(content) % 2)
    header["PixelData"].VR = "OB"

    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, header, enforce_file_format=True)
    return stream.getvalue()


def _header(original: Path | None) -> Any:
    """The header of a DICOM file without its pixels; an empty one for other files, and for a damaged header."""
    from pydicom.dataset import Dataset

    from reidbench.cohorts.pixels.decode import is_dicom
    from reidbench.cohorts.pixels.dicom import read_header

    fresh = Dataset()
    if original is None or not original.is_file() or not is_dicom(original):
        fresh.Modality = "OT"
        return fresh
    read = read_header(original)
    for element in read:
        fresh.add(element)
    fresh.setdefault("Modality", "OT")
    return fresh
