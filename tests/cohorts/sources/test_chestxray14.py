"""ChestX-ray14 as published: the official counts, both forms of the table, any part of the download."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reidbench.cohorts.base import CHESTXRAY14_LABELS
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources import chestxray14
from reidbench.cohorts.sources.chestxray14 import ChestXray14
from reidbench.cohorts.table import counts
from reidbench.errors import ReidbenchError

HEADER_2020 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
# As first published: another set of names for what is not needed, a comma too many, and ages as DICOM writes them.
HEADER_2017 = HEADER_2020 + ","
ROWS = (
    ("00000001_000.png", "Cardiomegaly", "0", "1", "57", "M", "PA"),
    ("00000001_001.png", "Cardiomegaly|Pleural_Thickening", "1", "1", "58", "M", "AP"),
    ("00000002_000.png", "No Finding", "0", "2", "80", "F", "PA"),
    ("00000003_000.png", "Hernia", "0", "3", "0", "F", "PA"),
)


def write(root: Path, form: str = "2020", rows: tuple[tuple[str, ...], ...] = ROWS) -> ChestXray14:
    root.mkdir(exist_ok=True)
    if form == "2020":
        lines = [HEADER_2020, *(",".join((*row, "2682", "2749", "0.143", "0.143")) for row in rows)]
    else:
        rows = tuple((*row[:4], f"{int(row[4]):03d}Y", *row[5:]) for row in rows)
        lines = [HEADER_2017, *(",".join((*row, "2682", "2749", "0.143", "0.143", "")) for row in rows)]
    names = {"2020": "Data_Entry_2017_v2020.csv", "2017": "Data_Entry_2017.csv"}
    (root / names[form]).write_text("\n".join(lines) + "\n")
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n00000002_000.png")
    (root / "test_list.txt").write_text("00000003_000.png")
    return ChestXray14(root=root)


@pytest.fixture
def dataset(tmp_path: Path, write_png: Callable[..., Path]) -> ChestXray14:
    for number, row in enumerate(ROWS):
        write_png(tmp_path / "images" / row[0], seed=number)
    return write(tmp_path)


def test_both_published_forms_and_gzip_give_one_table(tmp_path: Path, dataset: ChestXray14) -> None:
    new = dataset.source().frame
    path = tmp_path / "Data_Entry_2017_v2020.csv"
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    zipped = dataset.source().frame
    (tmp_path / "Data_Entry_2017_v2020.csv.gz").unlink()
    old = write(tmp_path, "2017").source().frame
    assert new.equals(zipped)
    assert new.equals(old)
    assert list(new["age"]) == [57, 58, 80, 0]
    assert list(new["years"]) == [0, 1, 0, 0]
    assert list(new["sex"]) == ["M", "M", "F", "F"]
    assert list(new["view"]) == ["PA", "AP", "PA", "PA"]
    assert list(new["follow_up"]) == [0, 1, 0, 0]


def test_findings_become_columns(dataset: ChestXray14) -> None:
    source = dataset.source()
    assert source.labels == CHESTXRAY14_LABELS
    findings = source.frame.set_index("image_id")[list(source.labels)]
    assert findings.loc["00000001_001.png"].sum() == 2
    assert findings.loc["00000001_001.png", ["Cardiomegaly", "Pleural_Thickening"]].tolist() == [1, 1]
    assert findings.loc["00000002_000.png"].sum() == 0


def test_the_list_is_cut_where_the_paper_cuts_it(dataset: ChestXray14, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chestxray14._TRAIN_LINES == 75_708
    monkeypatch.setattr(chestxray14, "_TRAIN_LINES", 2)
    assert list(dataset.source().frame["split"]) == ["train", "train", "val", "test"]
    monkeypatch.setattr(chestxray14, "_TRAIN_LINES", 1)
    with pytest.raises(ReidbenchError, match="patient 1 is in train and val"):
        dataset.source()


@pytest.mark.parametrize("folders", [["images"], ["images_001/images", "images_012/images"], ["."]])
def test_images_may_lie_where_the_archives_put_them(
    tmp_path: Path, write_png: Callable[..., Path], folders: list[str]
) -> None:
    for number, row in enumerate(ROWS):
        write_png(tmp_path / folders[number % len(folders)] / row[0], seed=number)
    source = write(tmp_path).source()
    assert len(source.frame) == 4
    assert source.notes == ()
    assert all(Path(path).is_file() and Path(path).is_absolute() for path in source.frame["path"])


def test_a_partial_download_is_said_in_one_line(tmp_path: Path, dataset: ChestXray14) -> None:
    (tmp_path / "images" / "00000001_000.png").unlink()
    (tmp_path / "images" / "00000002_000.png").unlink()
    source = dataset.source()
    assert source.notes == ("a part of ChestX-ray14: 2 of 4 images are there, of 2 of 3 patients",)
    assert list(source.frame["image_id"]) == ["00000001_001.png", "00000003_000.png"]
    assert source.frame["years"].iloc[0] == 1, "since the first image, be it there or not"


def test_ages_of_nobody_are_unknown(tmp_path: Path, dataset: ChestXray14) -> None:
    rows = (ROWS[0], (*ROWS[1][:4], "414", *ROWS[1][5:]), *ROWS[2:])
    assert np.isnan(write(tmp_path, rows=rows).source().frame["age"].iloc[1])


def test_images_in_no_list_are_counted(tmp_path: Path, dataset: ChestXray14) -> None:
    (tmp_path / "test_list.txt").write_text("")
    source = dataset.source()
    assert len(source.frame) == 3
    assert source.notes[0] == "1 images are in neither official list and are left out"


@pytest.mark.parametrize("missing", ["Data_Entry_2017_v2020.csv", "train_val_list.txt", "test_list.txt"])
def test_missing_files_are_named(tmp_path: Path, dataset: ChestXray14, missing: str) -> None:
    (tmp_path / missing).unlink()
    with pytest.raises(ReidbenchError, match=f"chestxray14: .* lacks the official .*{missing}"):
        dataset.source()


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Patient ID", "Patient", "has no column 'Patient ID'"),
        ("Hernia", "Hernai", "the unknown finding 'Hernai'"),
        (",2,80", ",two,80", "Patient ID 'two' is not a number"),
        ("00000002_000.png", "00000001_000.png", "'00000001_000.png' comes more than once"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, dataset: ChestXray14, old: str, new: str, message: str) -> None:
    replace(tmp_path / "Data_Entry_2017_v2020.csv", old, new)
    with pytest.raises(ReidbenchError, match=message):
        load_cohort(dataset, size=16, cache=tmp_path / "cache")


def test_an_image_in_both_lists_is_refused(tmp_path: Path, dataset: ChestXray14) -> None:
    (tmp_path / "test_list.txt").write_text("00000003_000.png\n00000002_000.png\n")
    with pytest.raises(ReidbenchError, match=r"image '00000002_000.png' is in test and in train_val_list.txt"):
        dataset.source()


def test_no_image_and_no_root(tmp_path: Path) -> None:
    with pytest.raises(ReidbenchError, match="holds no image that its table names"):
        write(tmp_path).source()
    with pytest.raises(ReidbenchError, match=r"--root .*nowhere: no such folder"):
        ChestXray14(root=tmp_path / "nowhere").source()


@pytest.mark.data
def test_official_counts_are_the_paper_s(real_data: Path) -> None:
    source = ChestXray14(root=real_data / "chestxray14-sample").source()
    assert counts(source.whole) == {
        "train": {"images": 75_708, "patients": 24_154, "multi_images": 61_755, "positive_pairs": 396_147},
        "val": {"images": 10_816, "patients": 3_854, "multi_images": 8_639, "positive_pairs": 44_833},
        "test": {"images": 25_596, "patients": 2_797, "multi_images": 24_223, "positive_pairs": 520_309},
    }
    assert counts(source.frame) == {
        "train": {"images": 8_508, "patients": 2_497, "multi_images": 7_316, "positive_pairs": 38_101},
        "val": {"images": 0, "patients": 0, "multi_images": 0, "positive_pairs": 0},
        "test": {"images": 1_492, "patients": 91, "multi_images": 1_481, "positive_pairs": 31_935},
    }
    assert source.notes == ("a part of ChestX-ray14: 10,000 of 112,120 images are there, of 2,588 of 30,805 patients",)


@pytest.mark.data
def test_real_images_are_decoded(real_data: Path, tmp_path: Path) -> None:
    # A part of the part, so that it takes no minute on a busy machine.
    sample = real_data / "chestxray14-sample"
    (tmp_path / "images").mkdir()
    for path in [*sample.glob("*.gz"), *sample.glob("*.txt"), *sorted(sample.glob("images/*"))[::25]]:
        (tmp_path / path.relative_to(sample)).symlink_to(path)
    cohort = load_cohort(ChestXray14(root=tmp_path), size=64, cache=tmp_path / "cache")
    assert cohort.pixels.shape == (400, 64, 64)
    # A chest X-ray has air and bone: none of the images is flat.
    assert cohort.pixels.reshape(400, -1).std(axis=1).min() > 5
    assert any("were taken from train" in note for note in cohort.notes)
    test = cohort.part("test").frame["image_id"]
    assert set(test) <= set((sample / "test_list.txt").read_text().split())


@pytest.mark.parametrize("name", ["train_val_list.txt", "test_list.txt"])
def test_a_list_that_is_no_text_is_one_line(tmp_path: Path, dataset: ChestXray14, name: str) -> None:
    (tmp_path / name).write_bytes(b"00000003_000.png\n\xff\xfe\x00")
    with pytest.raises(ReidbenchError, match=rf"chestxray14: .*{name} is not a readable list: .*utf-8") as caught:
        dataset.source()
    assert "\n" not in str(caught.value)
