"""A folder with a manifest: columns by option, paths that stay inside, and lines that are named where wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reidbench.cohorts.check import check_dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import with_names
from reidbench.cohorts.sources.folder import Folder
from reidbench.errors import ReidbenchError

IMAGES = ("a/1.png", "a/2.png", "b/1.png", "b/2.png")


@pytest.fixture
def root(tmp_path: Path, write_png: Callable[..., Path]) -> Path:
    root = tmp_path / "root"
    for number, image in enumerate(IMAGES):
        write_png(root / image, seed=number)
    return root


def manifest(root: Path, *lines: str, name: str = "manifest.csv") -> Path:
    path = root / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_everything_a_manifest_may_say(root: Path) -> None:
    manifest(
        root,
        "path,patient_id,split,sex,age,view,follow_up,days,foreign_material,Mass,extra",
        "a/1.png,p1,train,male,058Y,PA,0,100,0,1,x",
        "a/2.png,p1,train,M,59.5,AP Supine,1,130,1,0,x",
        "b/1.png,p2,validation,F,,LL,0,,,,x",
        "b/2.png,p3,test,?,31,pa,0,5,0,0,x",
    )
    source = Folder(root=root, views="all").source()
    frame = source.frame
    assert source.labels == ("Mass",)
    assert source.notes == ()
    assert list(frame["image_id"]) == list(IMAGES)
    assert list(frame["split"]) == ["train", "train", "val", "test"]
    assert frame["sex"].fillna("?").tolist() == ["M", "M", "F", "?"]
    assert frame["view"].fillna("?").tolist() == ["PA", "AP", "?", "PA"]
    np.testing.assert_array_equal(frame["age"], [58, 59.5, np.nan, 31])
    np.testing.assert_array_equal(frame["days"], [0, 30, np.nan, 0])
    np.testing.assert_array_equal(frame["foreign_material"], [0, 1, np.nan, 0])
    np.testing.assert_array_equal(frame["Mass"], [1, 0, np.nan, 0])


def test_columns_by_option_and_splits_by_hash(root: Path) -> None:
    manifest(root, "file;x", name="other.csv")
    manifest(root, "file,who,opacity", "a/1.png,p1,1", "a/2.png,p1,0", "./b/1.png,p2,0", name="mine.csv")
    dataset = Folder(root=root, manifest="mine.csv", image="file", patient="who", labels="opacity", test_share=0.5)
    source = dataset.source()
    assert list(source.frame["image_id"]) == ["a/1.png", "a/2.png", "b/1.png"]
    assert source.labels == ("opacity",)
    assert source.frame["split"].iloc[0] == source.frame["split"].iloc[1]


@pytest.mark.parametrize(
    "path", ["../secret.png", "a/../../secret.png", "/etc/secret.png", "C:\\secret.png", "..", "\\\\host\\share\\x.png"]
)
def test_paths_may_not_leave_the_root(root: Path, path: str, write_png: Callable[..., Path]) -> None:
    write_png(root.parent / "secret.png")
    manifest(root, "path,patient_id", "a/1.png,p1", f"{path},p2")
    with pytest.raises(ReidbenchError, match=r"manifest\.csv, line 3: the path .* leaves the dataset's folder"):
        Folder(root=root).source()


def test_the_manifest_lies_anywhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = manifest(root.parent, "path,patient_id", "a/1.png,p1", name="elsewhere.csv")
    monkeypatch.chdir(root.parent)
    for given in (path, "elsewhere.csv", "../elsewhere.csv"):
        assert list(Folder(root=root, manifest=given).source().frame["image_id"]) == ["a/1.png"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_may_not_lead_out(root: Path, kind: str, write_png: Callable[..., Path]) -> None:
    write_png(root.parent / "out" / "secret.png")
    if kind == "file":
        (root / "a" / "link.png").symlink_to(root.parent / "out" / "secret.png")
        manifest(root, "path,patient_id", "a/link.png,p1")
    else:
        (root / "c").symlink_to(root.parent / "out")
        manifest(root, "path,patient_id", "c/secret.png,p1")
    with pytest.raises(ReidbenchError, match=r"leads out of .* by a link"):
        Folder(root=root).source()


def test_a_root_reached_by_a_link_and_links_inside_are_fine(root: Path) -> None:
    (root / "a" / "link.png").symlink_to(root / "b" / "1.png")
    manifest(root, "path,patient_id", "a/link.png,p1")
    (root.parent / "alias").symlink_to(root)
    assert len(Folder(root=root.parent / "alias").source().frame) == 1


def test_files_that_are_not_there_are_counted(root: Path) -> None:
    manifest(root, "path,patient_id", "a/1.png,p1", "a/9.png,p1", "a,p2")
    source = Folder(root=root).source()
    assert source.notes == ("2 of 3 images that the manifest names are not there and are left out",)
    assert len(source.whole) == 3
    manifest(root, "path,patient_id", "a/9.png,p1")
    with pytest.raises(ReidbenchError, match="holds none of the 1 images"):
        Folder(root=root).source()


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (("path,who", "a/1.png,p1"), {}, r"manifest\.csv has no column 'patient_id'"),
        (("path,patient_id", "a/1.png,p1"), {"sex": "gender"}, "no column 'gender', named by the option sex"),
        (("path,patient_id", "a/1.png,p1"), {"labels": "Mass|Node"}, "no column 'Mass', named by the option labels"),
        (("path,patient_id", "a/1.png,p1", "a/2.png,"), {}, "line 3: patient_id is empty"),
        (("path,patient_id", ",p1"), {}, "line 2: path is empty"),
        (("path,patient_id,split", "a/1.png,p1,train", "a/2.png,p2,exam"), {}, "line 3: split 'exam' is none of"),
        (("path,patient_id,days", "a/1.png,p1,monday"), {}, "line 2: days 'monday' is not a number"),
        (("path,patient_id,Mass", "a/1.png,p1,perhaps"), {}, "line 2: Mass 'perhaps' is not a number"),
        (("path,patient_id,Mass", "a/1.png,p1,3"), {}, "has Mass '3.0', which is none of"),
        (("path,patient_id", "a/1.png,p1", "./a/1.png,p2"), {}, "'a/1.png' comes more than once"),
        (("path,patient_id,split", "a/1.png,p1,train", "a/2.png,p1,test"), {}, "patient p1 is in train and test"),
        ((), {}, "not a readable CSV"),
    ],
)
def test_manifests_that_are_refused(
    root: Path, tmp_path: Path, lines: tuple[str, ...], options: dict[str, str], message: str
) -> None:
    manifest(root, *lines)
    with pytest.raises(ReidbenchError, match=message):
        load_cohort(Folder(root=root, **options), size=16, cache=tmp_path / "cache")


def test_a_named_manifest_must_be_there(root: Path) -> None:
    with pytest.raises(ReidbenchError, match=r"there is no manifest .*none\.csv"):
        Folder(root=root, manifest="none.csv").source()
    with pytest.raises(ReidbenchError, match=r"holds neither a manifest\.csv nor a DICOM image"):
        Folder(root=root).source()


def test_patients_named_by_numbers_with_zeros_stay_apart(root: Path) -> None:
    manifest(root, "path,patient_id", "a/1.png,001", "a/2.png,1", "b/1.png,N1")
    assert list(Folder(root=root).source().frame["patient_id"]) == ["001", "1", "N1"]


def test_a_manifest_from_a_spreadsheet(root: Path) -> None:
    (root / "manifest.csv").write_bytes(b"\xef\xbb\xbfpath,patient_id\r\na/1.png,p1\r\n")
    assert list(Folder(root=root).source().frame["image_id"]) == ["a/1.png"]


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "n/a", "?", "unknown", "None", "-", " null ", "Unbekannt"])
def test_words_for_nobody_are_no_patient(root: Path, word: str) -> None:
    manifest(root, "path,patient_id", "a/1.png,p1", f"a/2.png,{word}", f"b/1.png,{word}", "b/2.png,")
    with pytest.raises(ReidbenchError, match=r"line 3: patient_id is .*, which names nobody; 3 images have no patient"):
        Folder(root=root).source()
    source = Folder(root=root, no_patient="leave_out").source()
    assert list(source.frame["image_id"]) == ["a/1.png"]
    assert source.notes == ("3 images have no patient and are left out",)


def test_blanks_around_identifiers_make_no_second_patient(root: Path) -> None:
    lines = ["a/1.png,p1", "a/2.png, p1 ", "b/1.png,\u200bp1\u00a0", "b/2.png,p2"]
    manifest(root, "path,patient_id", *lines)
    assert list(Folder(root=root).source().frame["patient_id"]) == ["p1", "p1", "p1", "p2"]


def test_identifiers_that_may_be_one_patient_are_named(root: Path, tmp_path: Path) -> None:
    manifest(root, "path,patient_id,sex", "a/1.png,12,F", "a/2.png,12.0,F", "b/1.png,abc7,M", "b/2.png,ABC07,F")
    notes = load_cohort(Folder(root=root), size=16, cache=tmp_path / "cache").notes
    [note] = [note for note in notes if "several identifiers" in note]
    assert note == "2 patients may have several identifiers, which differ only in case, zeros or .0"
    assert "'12' and '12.0'" in with_names(note)
    assert "'ABC07' and 'abc7'" in with_names(note)


def test_a_patient_of_both_sexes_or_of_most_images_is_named(
    root: Path, tmp_path: Path, write_png: Callable[..., Path]
) -> None:
    names = [write_png(root / f"c/{number}.png", seed=40 + number).name for number in range(5)]
    lines = [f"c/{name},guest,{'MF'[number % 2]}" for number, name in enumerate(names)]
    manifest(root, "path,patient_id,sex", *lines, "a/1.png,p1,M", "a/2.png,p2,F")
    notes = [with_names(note) for note in load_cohort(Folder(root=root), size=16, cache=tmp_path / "cache").notes]
    assert "1 patients have images of both sexes: 'guest'" in notes
    assert "one patient has 5 of 7 images, and may be a word for nobody: 'guest'" in notes
    manifest(root, "path,patient_id,sex", "a/1.png,p10,M", "a/2.png,p100,F", "b/1.png,p1,F")
    assert not any("several" in note for note in load_cohort(Folder(root=root), size=16, cache=tmp_path / "c").notes)


@pytest.mark.parametrize(
    ("dates", "spans"),
    [
        (("21801130", "21810101", "21800228", "21800301"), [0, 32, 0, 2]),
        (("2180-11-30", "2181-01-01 10:30:00", "2180-2-28", "2180-03-01T00:00"), [0, 32, 0, 2]),
        (("100.5", "132.5", "-3", "nan"), [0, 32, 0, np.nan]),
        (("20180105.0", "20180106.0", "", "20180101"), [0, 1, np.nan, 0]),
    ],
)
def test_days_are_numbers_or_dates(root: Path, dates: tuple[str, ...], spans: list[float]) -> None:
    patients = ("p1", "p1", "p2", "p2")
    rows = [f"{image},{patient},{day}" for image, patient, day in zip(IMAGES, patients, dates)]
    manifest(root, "path,patient_id,days", *rows)
    np.testing.assert_array_equal(Folder(root=root).source().frame["days"], spans)


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (("20180105", "17"), "line 3: days '17' is a number of days where line 2 has a date: '20180105'"),
        (("05.01.2018", "1"), r"line 2: days '05\.01\.2018' is not a number of days and no date"),
        (("20180230", "20180101"), "line 2: days '20180230' is not"),
        (("1515110400", "1515110401"), "line 2: days '1515110400' is not"),
        (("01/05/18", ""), "line 2: days '01/05/18' is not"),
        (("1", "900000"), "images of patient 'p1' are 899,999 days apart, which no life is"),
    ],
)
def test_days_that_are_neither(root: Path, dates: tuple[str, str], message: str) -> None:
    manifest(root, "path,patient_id,days", f"a/1.png,p1,{dates[0]}", f"a/2.png,p1,{dates[1]}")
    with pytest.raises(ReidbenchError, match=message):
        Folder(root=root).source()


def test_values_that_are_not_understood_are_counted_and_can_be_mapped(root: Path, tmp_path: Path) -> None:
    manifest(
        root,
        "path,patient_id,sex,age,view",
        'a/1.png,p1,female,"45,5",AP_horizontal',
        "a/2.png,p1,FEMENINO,>89,COSTAL",
        "b/1.png,p2,0,46 years,",
        "b/2.png,p2,W,18m,lat",
    )
    report = check_dataset(Folder(root=root, views="all"), size=32, cache=tmp_path / "cache")
    assert report.to_json()["columns"] == {
        "sex": {"known": 1, "unknown": 0, "not_understood": {"FEMENINO": 1, "0": 1, "W": 1}},
        "age": {"known": 3, "unknown": 0, "not_understood": {">89": 1}},
        "view": {"known": 1, "lateral": 1, "unknown": 1, "not_understood": {"COSTAL": 1}},
    }
    assert "sex: 1 known, 0 unknown, 'FEMENINO' not understood: 1" in report.to_text()
    assert any(note.startswith("sex: 3 values are not understood and count as unknown") for note in report.notes)
    whole = Folder(
        root=root, views="all", sex_values="femenino=F|0=M|W=F", age_values=">89=90", view_values="costal=AP"
    ).source()
    assert list(whole.frame["sex"]) == ["F", "F", "M", "F"]
    assert list(whole.frame["age"]) == [45.5, 90, 46, 1]
    assert whole.frame["view"].fillna("?").tolist() == ["AP", "AP", "?", "?"]
    assert whole.notes == ()
    with pytest.raises(ReidbenchError, match="sex_values: '0' cannot mean 'man'; known: M, F, unknown"):
        Folder(root=root, sex_values="0=man").source()


def test_lateral_views_are_left_out_unless_wanted(root: Path) -> None:
    manifest(root, "path,patient_id,view", "a/1.png,p1,PA", "a/2.png,p1,XTABLE LATERAL", "b/1.png,p2,", "b/2.png,p2,LL")
    source = Folder(root=root).source()
    assert list(source.frame["image_id"]) == ["a/1.png", "b/1.png"]
    assert source.notes == ("2 lateral images are left out", "1 images of unknown view are kept")
    assert len(Folder(root=root, views="all").source().frame) == 4
    assert list(Folder(root=root, views="lateral|pa").source().frame["image_id"]) == ["a/1.png", "a/2.png", "b/2.png"]
    with pytest.raises(ReidbenchError, match="views=side: 'side' is none of frontal, all, PA"):
        Folder(root=root, views="side").source()


@pytest.mark.parametrize(("uncertain", "second"), [("unknown", np.nan), ("zeros", 0.0), ("ones", 1.0)])
def test_uncertain_labels_count_as_the_option_says(root: Path, uncertain: str, second: float) -> None:
    rows = [f"{image},p{number},{value}" for number, (image, value) in enumerate(zip(IMAGES, ("1.0", "-1.0", "", "0")))]
    manifest(root, "path,patient_id,Atelectasis", *rows)
    frame = Folder(root=root, uncertain=uncertain).source().frame
    np.testing.assert_array_equal(frame["Atelectasis"], [1, second, np.nan, 0])
    assert Folder(root=root, labels=None).source().labels == ()


def test_a_path_is_made_of_columns(root: Path) -> None:
    manifest(root, "folder,number,patient_id", "a,1,p1", "b,2,p2", name="data.csv")
    source = Folder(root=root, manifest="data.csv", image="{folder}/{number}.png").source()
    assert list(source.frame["image_id"]) == ["a/1.png", "b/2.png"]
    for template, message in (
        ("{folder}/{name}.png", "no column 'name', named by the option image"),
        ("{}/x.png", "the braces must name a column"),
        ("../{folder}.png", "leaves the dataset's folder"),
        ("{folder.__class__}/x", "no column 'folder.__class__'"),
        ("{folder", "image={folder"),
    ):
        with pytest.raises(ReidbenchError, match=message):
            Folder(root=root, manifest="data.csv", image=template).source()


def test_links_out_of_the_folder_are_followed_if_told(root: Path, write_png: Callable[..., Path]) -> None:
    write_png(root.parent / "disk" / "1.png", seed=70)
    (root / "linked").symlink_to(root.parent / "disk")
    manifest(root, "path,patient_id", "linked/1.png,p1", "a/1.png,p1")
    assert len(Folder(root=root, links="follow").source().frame) == 2
    with pytest.raises(ReidbenchError, match="or links=follow"):
        Folder(root=root).source()


def test_a_table_without_rows(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,patient_id\n")
    with pytest.raises(ReidbenchError, match="the table has no rows"):
        Folder(root=tmp_path).source()


def test_another_order_of_findings_is_another_cohort(root: Path, tmp_path: Path) -> None:
    # A classifier has an output for each finding: one that was trained for A|B must not be read for B|A.
    manifest(root, "path,patient_id,A,B", *(f"{image},{image[0]},{row % 2},1" for row, image in enumerate(IMAGES)))

    def revision(labels: str) -> str:
        cohort = load_cohort(Folder(root=root, labels=labels), size=16, cache=tmp_path / "cache", strict=False)
        assert cohort.labels == tuple(labels.split("|"))
        return cohort.revision

    assert revision("A|B") != revision("B|A")
    assert revision("A|B") == revision("A|B")


@pytest.mark.parametrize(
    ("labels", "refused"),
    [
        ("A|A", "the finding 'A' is named twice"),
        ("A|patient_id", "a finding cannot be called 'patient_id'"),
        ("age", "a finding cannot be called 'age'"),
        ("split", "a finding cannot be called 'split'"),
    ],
)
def test_findings_cannot_take_the_place_of_other_columns(tmp_path: Path, labels: str, refused: str) -> None:
    (tmp_path / "manifest.csv").write_text("path,patient_id,A,age,split\na.png,p1,1,1,train\n")
    with pytest.raises(ReidbenchError, match=refused):
        Folder(root=tmp_path, labels=labels).source()
