"""A folder with a manifest: columns by option, paths that stay inside, and lines that are named where wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reidbench.cohorts.load import load_cohort
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
    source = Folder(root=root).source()
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


def test_the_manifest_itself_lies_inside(root: Path) -> None:
    manifest(root.parent, "path,patient_id", "a/1.png,p1")
    with pytest.raises(ReidbenchError, match="leaves the dataset's folder"):
        Folder(root=root, manifest="../manifest.csv").source()


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
    assert source.notes == ("2 of 3 images that manifest.csv names are not there and are left out",)
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
        (("path,patient_id,Mass", "a/1.png,p1,yes"), {}, "line 2: Mass 'yes' is not a number"),
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
    manifest(root, "path,patient_id", "a/1.png,001", "a/2.png,1", "b/1.png,NA")
    assert list(Folder(root=root).source().frame["patient_id"]) == ["001", "1", "NA"]


def test_a_manifest_from_a_spreadsheet(root: Path) -> None:
    (root / "manifest.csv").write_bytes(b"\xef\xbb\xbfpath,patient_id\r\na/1.png,p1\r\n")
    assert list(Folder(root=root).source().frame["image_id"]) == ["a/1.png"]
