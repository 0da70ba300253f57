"""DICOM files that the tests write: grey values as a viewer shows them, and patients from headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import with_names
from reidbench.cohorts.pixels.decode import decode
from reidbench.cohorts.sources.folder import Folder
from reidbench.errors import ReidbenchError, UnreadableImage

pydicom = pytest.importorskip("pydicom", reason="needs the extra `dicom`")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid  # noqa: E402

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


def test_twelve_bits_without_a_window_span_the_range(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP + 20), RAMP / 4032 * 255)


def test_sixteen_bits(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP * 16, bits=16), RAMP / 4032 * 255)


def test_eight_bits_with_a_full_window_are_kept(tmp_path: Path) -> None:
    pixels = (RAMP // 64 + 90).astype(np.uint8)
    check(write(tmp_path / "x", pixels, bits=8, WindowCenter=128, WindowWidth=256), pixels)


def test_signed_values(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP.astype(np.int16) - 2000), RAMP / 4032 * 255)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP, PhotometricInterpretation="MONOCHROME1"), 255 - RAMP / 4032 * 255)


def test_monochrome1_is_inverted_after_its_window(tmp_path: Path) -> None:
    path = write(tmp_path / "x", RAMP, PhotometricInterpretation="MONOCHROME1", WindowCenter=1000.5, WindowWidth=1001)
    check(path, 255 - np.clip((RAMP - 500.0) / 1000 * 255, 0, 255))


def test_linear_window_by_the_standard_s_formula(tmp_path: Path) -> None:
    # PS3.3 C.11.2.1.2.1: black at c - 0.5 - (w - 1) / 2, white at c - 0.5 + (w - 1) / 2.
    check(write(tmp_path / "x", RAMP, WindowCenter=2048, WindowWidth=1025), (RAMP - 1535.5) / 1024 * 255)


def test_exact_and_sigmoid_windows(tmp_path: Path) -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    check(write(tmp_path / "e", RAMP, VOILUTFunction="LINEAR_EXACT", **window), (RAMP - 1500.0) / 1000 * 255)
    sigmoid = 255 / (1 + np.exp(-4 * (RAMP - 2000.0) / 1000))
    check(write(tmp_path / "s", RAMP, VOILUTFunction="SIGMOID", **window), sigmoid)


def test_the_first_of_several_windows_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "x", RAMP, WindowCenter=[2048, 9], WindowWidth=[1025, 9])
    check(path, (RAMP - 1535.5) / 1024 * 255)


def test_a_window_of_width_one_is_a_threshold(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP, WindowCenter=2000.5, WindowWidth=1), np.where(RAMP > 2000, 255, 0))


def test_the_window_counts_rescaled_values(tmp_path: Path) -> None:
    rescaled = RAMP * 2.0 - 1000
    path = write(tmp_path / "x", RAMP, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000.5, WindowWidth=2001)
    check(path, (rescaled - 2000) / 2000 * 255)


def test_voi_lut_comes_before_a_window(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 12]
    table.LUTData = (4095 - np.arange(4096)).astype(np.uint16).tolist()
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    path = write(tmp_path / "x", RAMP, VOILUTSequence=Sequence([table]), WindowCenter=5, WindowWidth=5)
    check(path, (4095 - RAMP.astype(float)) / 4095 * 255)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_widens_no_range(tmp_path: Path, kind: str) -> None:
    pixels = RAMP.copy()
    pixels[:8] = 4095
    path = write(tmp_path / "x", pixels, PhotometricInterpretation=kind, PixelPaddingValue=4095)
    assert (shown(path)[:8] == 0).all()
    expected = RAMP[8:] / 4032 * 255
    np.testing.assert_allclose(shown(path)[8:], 255 - expected if kind == "MONOCHROME1" else expected, atol=0.51)


def test_colour_becomes_luma(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[..., 1] = 200
    path = write(
        tmp_path / "x", pixels, bits=8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0
    )
    check(path, np.full((64, 64), 0.587 * 200))


def test_rle_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "plain", RAMP)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "rle")
    np.testing.assert_array_equal(shown(tmp_path / "rle"), shown(path))


def test_a_missing_decoder_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x", RAMP, syntax=JPEG2000Lossless)
    decoder = pydicom.pixels.get_decoder(JPEG2000Lossless)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(ReidbenchError, match=r"is compressed as JPEG 2000 .* pip install pylibjpeg") as caught:
        decode(path, "x", 64)
    # Left out it would be silently missing, and stay so after the decoder is installed.
    assert not isinstance(caught.value, UnreadableImage)


def test_broken_files(tmp_path: Path) -> None:
    whole = write(tmp_path / "x", RAMP).read_bytes()
    (tmp_path / "x").write_bytes(whole[:-5000])
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "x", "x", 64)
    (tmp_path / "x").write_bytes(whole[:140])
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "x", "x", 64)
    film = np.stack([RAMP, RAMP])
    path = write(tmp_path / "film", film, NumberOfFrames=2)
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.Columns = 64, 64
    dataset.save_as(path)
    with pytest.raises(UnreadableImage, match="it holds 2 frames"):
        decode(path, "x", 64)


def test_a_folder_of_dicom_files_is_a_cohort(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fields = {"PatientSex": "F", "PatientAge": "061Y", "ViewPosition": "PA"}
    write(root / "a/1.dcm", RAMP, StudyDate="20200110", **fields)
    write(root / "a/2", RAMP, StudyDate="20200101", **fields)
    write(root / "b/1.dcm", RAMP, PatientID=" p2 ", PatientSex="O", PatientAge="006M", ViewPosition="LL")
    write(root / "c/1.dcm", RAMP, PatientID="")
    save(root / "report.dcm", header(Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"))
    (root / "README.txt").write_text("hello")
    source = Folder(root=root, views="all").source()
    frame = source.frame
    assert list(frame["image_id"]) == ["a/1.dcm", "a/2", "b/1.dcm"]
    assert list(frame["patient_id"]) == ["p1", "p1", "p2"]
    assert frame["sex"].fillna("?").tolist() == ["F", "F", "?"]
    assert list(frame["age"]) == [61, 61, 0]
    assert frame["view"].fillna("?").tolist() == ["PA", "PA", "?"]
    np.testing.assert_array_equal(frame["days"], [9, 0, np.nan])
    assert source.notes == (
        "1 DICOM images have no PatientID and are left out",
        "2 files are not DICOM images and are left out",
    )
    cohort = load_cohort(Folder(root=root), size=64, cache=tmp_path / "cache")
    np.testing.assert_array_equal(cohort.pixels[0], decode(root / "a/1.dcm", "x", 64))


def lut(entries: np.ndarray, bits: int, first: int = 0) -> Dataset:
    table = Dataset()
    table.LUTDescriptor = [len(entries) % 2**16, first, bits]
    table.LUTData = entries.astype(np.uint16).tolist()
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    return table


@pytest.mark.parametrize("bits", [12, 14, 16])
def test_a_lut_that_declares_too_many_bits_reaches_white(tmp_path: Path, bits: int) -> None:
    table = lut(np.arange(4096), bits)
    check(write(tmp_path / "x", RAMP, VOILUTSequence=Sequence([table])), RAMP / 4095 * 255)


def test_a_lut_whose_data_are_bytes(tmp_path: Path) -> None:
    table = lut(np.arange(4096) // 16, 8)
    del table.LUTData
    table.add_new("LUTData", "OW", (np.arange(4096) // 16).astype(np.uint8).tobytes())
    check(write(tmp_path / "x", RAMP, VOILUTSequence=Sequence([table])), RAMP // 16)


def test_a_voi_item_without_data_leaves_the_window(tmp_path: Path) -> None:
    empty = Dataset()
    empty.LUTDescriptor = [4096, 0, 12]
    empty["LUTDescriptor"].VR = "US"
    fields = {"VOILUTSequence": Sequence([empty]), "WindowCenter": 2048, "WindowWidth": 1025}
    check(write(tmp_path / "x", RAMP, **fields), (RAMP - 1535.5) / 1024 * 255)
    check(write(tmp_path / "y", RAMP, VOILUTSequence=Sequence([empty])), RAMP / 4032 * 255)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_modality_luts_of_any_depth(tmp_path: Path, bits: int) -> None:
    table = lut((4095 - np.arange(4096)) >> max(12 - bits, 0), bits)
    table.ModalityLUTType = "US"
    check(write(tmp_path / "x", RAMP, ModalityLUTSequence=Sequence([table])), (4032 - RAMP.astype(float)) / 4032 * 255)


@pytest.mark.parametrize("width", [0, -400, ""])
def test_a_window_without_width_is_none(tmp_path: Path, width: object) -> None:
    check(write(tmp_path / "x", RAMP, WindowCenter=2000, WindowWidth=width), RAMP / 4032 * 255)
    path = write(tmp_path / "y", RAMP, WindowCenter=[2000, 2048], WindowWidth=[0, 1025])
    check(path, (RAMP - 1535.5) / 1024 * 255)


def test_a_width_below_one_is_that_of_rescaled_values(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x", RAMP, RescaleSlope="0.0001", RescaleIntercept="0", WindowCenter="0.2", WindowWidth="0.2"
    )
    check(path, (RAMP * 0.0001 - 0.1) / 0.2 * 255)


def test_a_width_below_one_of_whole_numbers_is_no_window(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP, WindowCenter=2000, WindowWidth="0.5"), RAMP / 4032 * 255)


@pytest.mark.parametrize("empty", ["RescaleSlope", "RescaleIntercept"])
def test_an_empty_slope_is_one_and_an_empty_intercept_zero(tmp_path: Path, empty: str) -> None:
    fields = {"RescaleSlope": "1", "RescaleIntercept": "0", empty: ""}
    check(write(tmp_path / "x", RAMP, WindowCenter=2048, WindowWidth=1025, **fields), (RAMP - 1535.5) / 1024 * 255)


@pytest.mark.parametrize(("kind", "padding"), [(np.int16, 2**16 - 2000), (np.uint16, -536)])
def test_padding_with_the_other_sign(tmp_path: Path, kind: type, padding: int) -> None:
    pixels = RAMP.astype(kind)
    pixels[:8] = -2000 if kind is np.int16 else 65000
    path = write(tmp_path / "x", pixels, bits=16)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", "US" if padding > 0 else "SS", padding)
    dataset.save_as(path)
    assert (shown(path)[:8] == 0).all()
    np.testing.assert_allclose(shown(path)[8:], RAMP[8:] / 4032 * 255, atol=0.51)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, "1.2.840.10008.1.2"])
def test_files_without_preamble_are_found_and_read(tmp_path: Path, syntax: str) -> None:
    root = tmp_path / "root"
    whole = write(root / "whole.dcm", RAMP, PatientID="p1")
    dataset = pydicom.dcmread(whole)
    bare = Dataset({element.tag: element for element in dataset})
    bare.save_as(root / "bare", implicit_vr=syntax != ExplicitVRLittleEndian, little_endian=True)
    assert (root / "bare").read_bytes()[128:132] != b"DICM"
    (root / "notes.txt").write_text("no DICOM at all, but long enough to be looked at" * 9)
    cohort = load_cohort(Folder(root=root, copies="keep"), size=64, cache=tmp_path / "cache")
    assert sorted(cohort.frame["image_id"]) == ["bare", "whole.dcm"]
    np.testing.assert_array_equal(cohort.pixels[0], cohort.pixels[1])


def test_linked_folders_are_read_or_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "a" / "1.dcm", RAMP)
    write(tmp_path / "disk" / "2.dcm", RAMP)
    (root / "b").symlink_to(root / "a")
    (root / "loop").symlink_to(root)
    (root / "c").symlink_to(tmp_path / "disk")
    source = Folder(root=root).source()
    assert list(source.frame["image_id"]) == ["a/1.dcm"]
    assert source.notes == ("1 links lead out of the folder and are left out; links=follow follows them",)
    assert list(Folder(root=root, links="follow").source().frame["image_id"]) == ["a/1.dcm", "c/2.dcm"]


@pytest.mark.parametrize("length", [132, 140, 150, 170, 240, 360, 480])
def test_a_file_cut_short_in_its_header_is_named_and_refused_by_strict(tmp_path: Path, length: int) -> None:
    root = tmp_path / "root"
    for number in range(8):
        write(root / f"{number}.dcm", RAMP, PatientID=f"p{number}")
    whole = (root / "7.dcm").read_bytes()
    assert whole.index(b"\x28\x00\x10\x00US") > length, "before Rows"
    (root / "7.dcm").write_bytes(whole[:length])
    dataset = Folder(root=root, val_share=0)
    assert dataset.source().notes == ()
    cohort = load_cohort(dataset, size=16, cache=tmp_path / "cache")
    assert len(cohort) == 7
    told = "1 of 8 images cannot be read and are left out: 7.dcm ("
    assert any(with_names(note).startswith(told) for note in cohort.notes)
    with pytest.raises(ReidbenchError, match=r"1 of 8 images cannot be read: 7\.dcm \("):
        load_cohort(dataset, size=16, cache=tmp_path / "cache", strict=True)


def test_an_image_without_rows_is_damaged_and_a_report_is_no_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in range(8):
        write(root / f"{number}.dcm", RAMP, PatientID=f"p{number}")
    save(root / "rowless.dcm", header())
    save(root / "report.dcm", header(Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"))
    save(root / "private.dcm", header(SOPClassUID="1.2.3.4"))
    notes = load_cohort(Folder(root=root), size=16, cache=tmp_path / "cache").notes
    assert "2 files are not DICOM images and are left out" in notes
    told = "1 of 9 images cannot be read and are left out: rowless.dcm ("
    assert any(with_names(note).startswith(told) for note in notes)


def test_a_manifest_may_name_dicom_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "x.dcm", RAMP, PatientID="hidden")
    (root / "manifest.csv").write_text("path,patient_id\nx.dcm,p7\n")
    cohort = load_cohort(Folder(root=root), size=64, cache=tmp_path / "cache")
    assert list(cohort.frame["patient_id"]) == ["p7"]
    np.testing.assert_array_equal(cohort.pixels[0], decode(root / "x.dcm", "x", 64))


def test_without_any_patient(tmp_path: Path) -> None:
    write(tmp_path / "x.dcm", RAMP, PatientID="")
    with pytest.raises(ReidbenchError, match="1 DICOM images have no PatientID"):
        Folder(root=tmp_path).source()


def test_without_pydicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.dcm", RAMP)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ReidbenchError, match=r"pip install 'reidbench\[dicom\]'"):
        decode(path, "x", 64)
    with pytest.raises(ReidbenchError, match=r"pip install 'reidbench\[dicom\]'"):
        Folder(root=tmp_path).source()


def test_frames_that_the_header_does_not_count_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x", np.concatenate([RAMP, RAMP]))
    dataset = pydicom.dcmread(path)
    dataset.Rows = 64
    with pytest.raises(UnreadableImage, match="2 frames"):
        decode(save(path, dataset), "x", 64)


def test_colour_of_twelve_bits_spans_the_range(tmp_path: Path) -> None:
    colour = np.repeat(RAMP[..., None], 3, axis=2)
    fields = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    check(write(tmp_path / "x", colour, **fields), RAMP / 4095 * 255)


def test_padding_of_twelve_bits_with_the_other_sign_is_black(tmp_path: Path) -> None:
    pixels = RAMP // 2
    pixels[:8] = 4095
    path = write(tmp_path / "x", pixels)
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x00280120, "SS", -1)
    expected = RAMP / 4032 * 255
    expected[:8] = 0
    check(save(path, dataset), expected)


@pytest.mark.parametrize("declared", [12, 16])
def test_a_table_that_does_not_reach_white_is_shown_as_it_is(tmp_path: Path, declared: int) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [4096, 0, declared])
    item.add_new(0x00283006, "US", np.linspace(0, 1365, 4096).astype(int).tolist())
    # Sixteen bits declared over pixels of twelve, with entries that fit into twelve: twelve are meant.
    check(write(tmp_path / "x", RAMP, VOILUTSequence=Sequence([item])), np.floor(RAMP / 4095 * 1365) / 4095 * 255)


def test_a_table_that_begins_below_zero_serves_pixels_that_are_not(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [5120, 2**16 - 1024, 12])
    item.add_new(0x00283006, "US", np.linspace(0, 4095, 5120).astype(int).tolist())
    pixels = (RAMP // 2).astype(np.int16)
    path = write(tmp_path / "x", pixels, VOILUTSequence=Sequence([item]))
    check(path, np.floor((pixels + 1024.0) / 5119 * 4095) / 4095 * 255)


def with_high_bit(path: Path, pixels: np.ndarray, high: int, **fields: Any) -> Path:
    write(path, pixels, **fields)
    file = pydicom.dcmread(path)
    file.HighBit = high
    file.save_as(path)
    return path


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}])
@pytest.mark.parametrize("signed", [False, True])
def test_values_in_the_upper_bits(tmp_path: Path, window: dict[str, int], signed: bool) -> None:
    values = ((RAMP.astype(np.int32) - 2048) << 4).astype(np.int16) if signed else RAMP << 4
    fields = {**window, "RescaleIntercept": 2048} if signed else window
    expected = RAMP / (4032 if not window else 4095) * 255
    check(with_high_bit(tmp_path / "a.dcm", values, 15, **fields), expected)


def test_a_high_bit_that_the_values_do_not_reach_is_not_believed(tmp_path: Path) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    check(with_high_bit(tmp_path / "a.dcm", RAMP, 15, **window), RAMP / 4095 * 255)
    signed = ((RAMP.astype(np.int32) - 2048) & 0xFFF).astype(np.int16)  # twelve bits, the sign not repeated
    check(with_high_bit(tmp_path / "b.dcm", signed, 15, RescaleIntercept=2048, **window), RAMP / 4095 * 255)


def test_bits_of_an_overlay_above_the_stored_ones_do_not_count(tmp_path: Path) -> None:
    check(write(tmp_path / "a.dcm", RAMP | 0xF000, WindowCenter=2048, WindowWidth=4096), RAMP / 4095 * 255)


def test_floating_point_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP)
    file = pydicom.dcmread(path)
    del file.PixelData, file.BitsStored, file.HighBit, file.PixelRepresentation
    file.BitsAllocated = 32
    file.FloatPixelData = (RAMP / 4032 - 0.5).astype("<f4").tobytes()
    file.save_as(path)
    check(path, RAMP / 4032 * 255)


def test_rows_are_rendered_in_strips_as_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reidbench.cohorts.pixels import decode as module
    from reidbench.cohorts.pixels import intensity

    rng = np.random.default_rng(0)
    values = rng.integers(100, 4000, (64, 64)).astype(np.uint16)
    kinds: list[dict[str, Any]] = [
        {},
        {"WindowCenter": 2000, "WindowWidth": 3000, "PhotometricInterpretation": "MONOCHROME1"},
        {"WindowCenter": 0.5, "WindowWidth": 0.9, "PixelPaddingValue": 100},
    ]
    paths = [write(tmp_path / f"{number}.dcm", values, **kind) for number, kind in enumerate(kinds)]
    colour = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    paths.append(
        write(
            tmp_path / "c.dcm",
            colour,
            bits=8,
            SamplesPerPixel=3,
            PhotometricInterpretation="RGB",
            PlanarConfiguration=0,
        )
    )
    whole, small = [shown(path) for path in paths], [decode(path, "x", 16).astype(float) for path in paths]
    monkeypatch.setattr(intensity, "_AT_ONCE", 500)
    for path, expected in zip(paths, whole):
        np.testing.assert_array_equal(shown(path), expected)
    # A larger one is averaged over squares first, here of two by two pixels.
    monkeypatch.setattr(module, "_STRIP", 1024)
    for path, expected in zip(paths, small):
        assert np.abs(decode(path, "x", 16) - expected).mean() < 12


def test_memory_of_a_large_dicom_is_bounded(tmp_path: Path) -> None:
    import tracemalloc

    pixels = np.tile(np.arange(4000, dtype=np.uint16), (4000, 1))
    path = write(tmp_path / "a.dcm", pixels)
    decode(path, "a", 64)
    tracemalloc.start()
    decode(path, "a", 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The file, its values twice, and the grey levels: ten bytes a pixel, where 32 would be taken at once.
    assert peak < 14 * pixels.size
