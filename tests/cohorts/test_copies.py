"""One picture under two names is no genuine pair: counted, said, and left out of pairs, rankings and chance."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reidbench import metrics
from reidbench.cohorts.check import check_dataset
from reidbench.cohorts.copies import picture_numbers, same_visit_pairs
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import with_names
from reidbench.cohorts.pairing.listed import read_pair_list
from reidbench.cohorts.pairing.pairs import build_pairs
from reidbench.cohorts.sources.folder import Folder
from reidbench.errors import ReidbenchError
from reidbench.records.scores import RunScores, read_scores


@pytest.fixture
def folder(tmp_path: Path, write_png: Callable[..., Path]) -> Path:
    """Four test patients; two have three images, of which two are one picture, once as PNG and once as BMP."""
    root = tmp_path / "root"
    lines = ["path,patient_id,split,days"]
    for patient in range(4):
        for number in range(2):
            name = f"{patient}_{number}.png"
            write_png(root / name, seed=10 * patient + number)
            lines.append(f"{name},p{patient},test,{number}")
    shutil.copy(root / "0_0.png", root / "0_copy.png")
    Image.open(root / "1_1.png").save(root / "1_copy.bmp")
    lines += ["0_copy.png,p0,test,0", "1_copy.bmp,p1,test,7"]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def test_copies_are_counted_and_named_and_an_option_keeps_them(folder: Path, tmp_path: Path) -> None:
    cohort = load_cohort(Folder(root=folder), size=32, cache=tmp_path / "cache")
    [note] = [note for note in cohort.notes if "same picture" in note]
    assert note.startswith("2 genuine pairs are the same picture under two names and ")
    assert "0_0.png" not in note
    assert "0_0.png and 0_copy.png; " in with_names(note)
    assert note.endswith("are left out of pairs and rankings")
    kept = load_cohort(Folder(root=folder, copies="keep"), size=32, cache=tmp_path / "cache")
    assert "picture" not in kept.frame
    assert any(note.endswith("count as others (copies=keep)") for note in kept.notes)
    # Other pairs are judged, so that neither a record nor a comparison may take one for the other.
    assert kept.revision != cohort.revision
    exact = load_cohort(Folder(root=folder, copies="leave_out"), size=32, cache=tmp_path / "cache")
    assert exact.frame["picture"].equals(cohort.frame["picture"])
    assert exact.revision == cohort.revision
    report = check_dataset(Folder(root=folder), size=32, cache=tmp_path / "cache")
    assert (report.copied_pairs, report.same_visit_pairs) == (2, 1)
    assert "genuine pairs that are the same picture: 2 of 8" in report.to_text()
    assert "genuine pairs of one visit: 1 of 8" in report.to_text()


@pytest.mark.parametrize("negatives", ["random", "matched"])
@pytest.mark.parametrize("cap", [None, 1, 2])
def test_no_pair_is_of_two_copies(folder: Path, tmp_path: Path, negatives: str, cap: int | None) -> None:
    part = load_cohort(Folder(root=folder), size=32, cache=tmp_path / "cache").part("test")
    frame = part.frame.assign(sex="F")
    pictures = frame["picture"].to_numpy()
    for seed in range(20):
        pairs = build_pairs(frame, negatives=negatives, seed=seed, max_per_patient=cap)
        assert (pictures[pairs.a] != pictures[pairs.b]).all()
        if cap is None and negatives == "random":
            # Of p0 and p1 two combinations each, of the others one.
            assert pairs.same.sum() == 6


def test_a_dataset_of_copies_alone_has_no_genuine_pair(tmp_path: Path, write_png: Callable[..., Path]) -> None:
    lines = ["path,patient_id,split"]
    for patient in range(3):
        write_png(tmp_path / f"{patient}a.png", seed=patient)
        shutil.copy(tmp_path / f"{patient}a.png", tmp_path / f"{patient}b.png")
        lines += [f"{patient}a.png,p{patient},test", f"{patient}b.png,p{patient},test"]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    cohort = load_cohort(Folder(root=tmp_path), size=32, cache=tmp_path / "cache")
    with pytest.raises(ReidbenchError, match=r"no genuine pair: each of the 3 patients here has one picture"):
        build_pairs(cohort.part("test").frame, negatives="random", seed=0)


def test_lists_leave_copies_out_and_refuse_an_image_with_itself(folder: Path, tmp_path: Path) -> None:
    frame = load_cohort(Folder(root=folder), size=32, cache=tmp_path / "cache").part("test").frame
    listed = tmp_path / "pairs.txt"
    listed.write_text("0_0.png\t0_copy.png\t1\n0_0.png\t0_1.png\t1\n0_0.png\t1_0.png\t0\n")
    pairs = read_pair_list(listed, frame)
    assert pairs.same.tolist() == [True, False]
    assert pairs.notes == ("the list of pairs: 1 genuine pairs are the same picture under two names; left out",)
    # A line that comes again is no further evidence; the same two images the other way round are another probe.
    listed.write_text("0_0.png\t0_1.png\t1\n0_0.png\t1_0.png\t0\n" * 3 + "0_1.png\t0_0.png\t1\n")
    pairs = read_pair_list(listed, frame)
    assert pairs.same.tolist() == [True, False, True]
    assert pairs.notes == ("the list of pairs: 4 lines repeat a pair and count once",)
    listed.write_text("0_0.png\t0_1.png\t1\n0_0.png\t0_0.png\t1\n")
    with pytest.raises(ReidbenchError, match=r"line 2: '0_0\.png' is paired with itself"):
        read_pair_list(listed, frame)


def test_equal_pixels_of_two_patients_are_no_copies() -> None:
    pixels = np.zeros((5, 16, 16), dtype=np.uint8)
    pixels[2, 0, 0] = 1  # Differs outside of the middle line.
    assert picture_numbers(np.array([0, 0, 0, 1, 1]), pixels).tolist() == [0, 0, 1, 2, 2]


def test_visits_are_told_apart_by_number_else_by_day() -> None:
    frame = pd.DataFrame({"patient_id": ["a", "a", "a", "b", "b"], "days": [0.0, 0, 3, 1, np.nan]})
    assert same_visit_pairs(frame) == 1
    assert same_visit_pairs(frame.assign(follow_up=[0.0, 1, 2, 0, 0])) == 1
    assert same_visit_pairs(frame.drop(columns="days")) is None


def test_rankings_without_copies_are_those_of_a_gallery_without_them() -> None:
    # Checked against ranking every query by itself in a gallery from which its copies were taken.
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 12, 60)
    pictures = patients * 3 + rng.integers(0, 3, 60)
    scores = rng.integers(0, 9, (60, 60)).astype(np.float32)  # Many ties.
    images = np.arange(60)
    ranks = metrics.rank_queries(
        lambda rows: scores[rows], patients, patients, images, images, block=7, pictures=(pictures, pictures)
    )
    for query in range(60):
        keep = (pictures != pictures[query]) | (images == query)
        alone = metrics.rank_queries(
            lambda rows, query=query, keep=keep: scores[query : query + 1, keep],
            patients[[query]],
            patients[keep],
            images[[query]],
            images[keep],
        )
        for name in ("relevant", "candidates", "average_precision", "precision_at_1", "best_rank", "mean_rank"):
            np.testing.assert_array_equal(getattr(ranks, name)[query], getattr(alone, name)[0], err_msg=name)
    guessed = metrics.chance_of(ranks)
    flat = metrics.rank_queries(
        lambda rows: np.zeros((len(images[rows]), 60), dtype=np.float32),
        patients,
        patients,
        images,
        images,
        pictures=(pictures, pictures),
    )
    np.testing.assert_allclose(guessed.average_precision, flat.average_precision)
    np.testing.assert_allclose(guessed.best_rank, flat.best_rank)


def test_kept_scores_remember_what_was_left_out(tmp_path: Path) -> None:
    patients, pictures = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 3])
    scores = RunScores(patients, {}, {}, {}, pictures=pictures)
    images = np.arange(5)
    block = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    ranks = metrics.rank_queries(
        lambda rows: block[rows], patients, patients, images, images, pictures=(pictures, pictures)
    )
    scores.keep_ranks("x", ranks)
    digest = scores.write(tmp_path / "s.npz")
    again = read_scores(tmp_path / "s.npz", digest).query_ranks("x")
    assert again is not None
    np.testing.assert_array_equal(again.relevant, ranks.relevant)
    np.testing.assert_array_equal(again.candidates, ranks.candidates)


@pytest.mark.data
def test_copies_of_the_real_sample_lie_in_its_training_part(real_data: Path, tmp_path: Path) -> None:
    from reidbench.cohorts.sources.chestxray14 import ChestXray14

    sample = real_data / "chestxray14-sample"
    (tmp_path / "images").mkdir()
    names = ("00001989_004", "00001989_005", "00002658_001", "00002658_002")
    for path in [*sample.glob("*.gz"), *sample.glob("*.txt"), *(sample / "images" / f"{name}.png" for name in names)]:
        (tmp_path / path.relative_to(sample)).symlink_to(path)
    cohort = load_cohort(ChestXray14(root=tmp_path), size=64, cache=tmp_path / "cache")
    assert cohort.frame["picture"].nunique() == 2
    assert set(cohort.frame["split"]) == {"train"}


def saved_again(path: Path, kind: str) -> Path:
    """One more file of a picture, as people save it again."""
    image = Image.open(path)
    target = path.with_name(f"{path.stem}-{kind}.{'jpg' if 'jpeg' in kind else 'png'}")
    if kind.startswith("jpeg"):
        image.save(target, quality=int(kind.removeprefix("jpeg")))
    elif kind == "half":
        image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS).save(target)
    elif kind == "16 bits":
        Image.fromarray(np.asarray(image).astype(np.uint16) * 128 + 1000).save(target)
    elif kind == "inverted":
        Image.fromarray(255 - np.asarray(image)).save(target)
    elif kind == "brighter":
        Image.fromarray((np.asarray(image) * 0.6 + 60).astype(np.uint8)).save(target)
    elif kind == "compression":
        image.save(target, compress_level=0)
    elif kind == "colour":
        image.convert("RGBA").save(target)
    return target


EQUAL = ("compression", "colour")
NEAR = ("jpeg75", "jpeg30", "half", "16 bits", "inverted", "brighter")


@pytest.fixture(scope="module")
def thoraces() -> tuple[pd.DataFrame, np.ndarray]:
    from reidbench.cohorts.sources.phantom import Phantom

    phantom = Phantom(patients=10)
    frame = phantom.source().frame[:16]
    return frame, phantom.read(frame, 256)


@pytest.mark.parametrize("size", [16, 100])
@pytest.mark.parametrize("kind", [*EQUAL, *NEAR])
def test_a_picture_that_was_saved_again_is_a_copy(
    tmp_path: Path, thoraces: tuple[pd.DataFrame, np.ndarray], kind: str, size: int
) -> None:
    frame, pixels = thoraces
    lines = ["path,patient_id,split"]
    for row, (image, patient) in enumerate(zip(frame["image_id"], frame["patient_id"])):
        Image.fromarray(pixels[row]).save(tmp_path / f"{image}.png")
        lines.append(f"{image}.png,{patient},test")
    again = saved_again(tmp_path / f"{frame['image_id'][0]}.png", kind)
    lines.append(f"{again.name},{frame['patient_id'][0]},test")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    report = check_dataset(Folder(root=tmp_path), size=size, cache=tmp_path / "cache")
    assert (report.copied_pairs, report.similar_pairs) == ((1, 0) if kind in EQUAL else (0, 1))
    pairs = build_pairs(report.cohort.part("test").frame, negatives="random", seed=0)
    sizes = frame.groupby("patient_id").size()
    of_first = sizes[frame["patient_id"][0]]
    # Each other image of the patient makes a pair with both of them.
    assert pairs.same.sum() == (sizes * (sizes - 1) // 2).sum() + of_first - 1
    if kind in NEAR:
        [note] = [note for note in report.notes if "nearly the same picture" in note]
        assert note.endswith("(correlation at least 0.995) and are left out of pairs and rankings")
        assert with_names(note).endswith(f": {frame['image_id'][0]}.png and {again.name}")
        kept = load_cohort(Folder(root=tmp_path, copies="leave_out"), size=size, cache=tmp_path / "cache")
        assert "picture" not in kept.frame
        assert kept.revision != load_cohort(Folder(root=tmp_path), size=size, cache=tmp_path / "cache").revision
        assert any(note.endswith("count as others (copies=leave_out_similar: not)") for note in kept.notes)


def test_similar_pictures_of_two_patients_are_no_copies_and_chains_are_joined() -> None:
    from reidbench.cohorts.copies import similar_numbers

    rng = np.random.default_rng(0)
    first, last = rng.integers(0, 200, (2, 32, 32)).astype(float)
    steps = [first + share * (last - first) for share in (0, 0.07, 0.14)]
    pixels = np.stack([*steps, first, last, np.zeros((32, 32)), np.full((32, 32), 9)]).astype(np.uint8)
    patients = np.array([0, 0, 0, 1, 0, 0, 0])
    pictures = picture_numbers(patients, pixels)
    assert np.corrcoef(pixels[0].ravel(), pixels[2].ravel())[0, 1] < 0.995
    assert similar_numbers(patients, pixels, pictures).tolist() == [0, 0, 0, 3, 4, 5, 6]


def test_no_two_exposures_of_the_real_sample_are_similar(real_data: Path, tmp_path: Path) -> None:
    from reidbench.cohorts.copies import find_copies
    from reidbench.cohorts.sources.covid19 import Covid19

    cohort = load_cohort(Covid19(root=real_data / "covid19"), size=64, cache=tmp_path / "cache")
    copies = find_copies(cohort)
    # One exposure, published twice with other margins.
    names = cohort.frame["image_id"].groupby(copies.similar).agg(list)
    assert names[names.map(len) > 1].tolist() == [["AR-1.jpg", "AR-2.jpg"]]
    assert "picture" not in cohort.frame
