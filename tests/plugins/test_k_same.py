"""k-Same: sizes of clusters, what is published of them, and that nothing but the images decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench import CohortDefense, ReidbenchError, metrics
from reidbench.defenses.release import release
from reidbench_plugins import k_same_eigen, k_same_pixel
from reidbench_plugins.k_same_eigen import KSameEigen
from reidbench_plugins.k_same_pixel import KSamePixel

both = pytest.mark.parametrize("cls", [KSamePixel, KSameEigen])


def run(defense: CohortDefense, pixels: np.ndarray, patients: np.ndarray, seed: int = 0) -> np.ndarray:
    return defense.transform_cohort(pixels, patients, rng=torch.Generator().manual_seed(seed))


def clusters(published: np.ndarray, patients: np.ndarray) -> list[set[int]]:
    """The patients behind each distinct published image; a patient must be behind one alone."""
    found: dict[bytes, set[int]] = {}
    for image, patient in zip(published, patients, strict=True):
        found.setdefault(image.tobytes(), set()).add(int(patient))
    assert sum(len(members) for members in found.values()) == len(set(patients.tolist()))
    return list(found.values())


@pytest.fixture
def cohort(pixels) -> tuple[np.ndarray, np.ndarray]:
    """61 patients with 1 to 4 images each, in no order: images of (24, 40)."""
    rng = np.random.default_rng(1)
    patients = rng.permutation(np.repeat(np.arange(61), rng.integers(1, 5, 61)))
    return pixels(len(patients), 24, 40), patients


@pytest.fixture
def families() -> tuple[np.ndarray, np.ndarray]:
    """12 patients of 3 families of 4 that look alike, with 1, 2, 3 … images: (24, 40)."""
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(12), np.arange(1, 13))
    looks = rng.integers(40, 216, (3, 24, 40))
    pixels = looks[patients % 3] + rng.integers(-20, 21, (len(patients), 24, 40))
    return pixels.astype(np.uint8), patients


@both
@pytest.mark.parametrize("k", [2, 3, 5, 20, 30, 31, 61])
def test_every_cluster_has_k_patients_and_fewer_than_twice(cls, k: int, cohort) -> None:
    pixels, patients = cohort
    sizes = [len(members) for members in clusters(run(cls(k=k), pixels, patients), patients)]
    assert min(sizes) >= k
    assert max(sizes) < 2 * k
    assert len(sizes) == max(1, 61 // k)


def test_pixel_publishes_the_mean_over_patients_of_their_means(cohort) -> None:
    pixels, patients = cohort
    published = run(KSamePixel(k=4), pixels, patients)
    for members in clusters(published, patients):
        means = [pixels[patients == patient].astype(np.float64).mean(0) for patient in members]
        (row, *_) = np.flatnonzero(np.isin(patients, list(members)))
        assert np.abs(published[row] - np.mean(means, axis=0)).max() <= 0.5 + 1e-9


@both
def test_patients_who_look_alike_are_put_together(cls, families) -> None:
    pixels, patients = families
    found = clusters(run(cls(k=4), pixels, patients), patients)
    assert sorted(sorted(members) for members in found) == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


def test_eigen_with_all_components_is_pixel(families) -> None:
    pixels, patients = families
    eigen = run(KSameEigen(k=4, components=1024), pixels, patients).astype(int)
    assert np.abs(eigen - run(KSamePixel(k=4), pixels, patients)).max() <= 1


def test_eigen_agrees_with_a_decomposition_by_numpy(families) -> None:
    pixels, patients = families
    published = run(KSameEigen(k=4, components=2), pixels, patients)
    means = np.stack([pixels[patients == patient].mean(0).ravel() for patient in range(12)])
    centre = means.mean(0)
    basis = np.linalg.svd(means - centre, full_matrices=False)[2][:2]
    for family in range(3):
        coefficients = ((means[family::3] - centre) @ basis.T).mean(0)
        expected = (centre + coefficients @ basis).clip(0, 255)
        (row, *_) = np.flatnonzero(patients % 3 == family)
        assert np.abs(published[row].ravel() - expected).max() <= 0.51


@both
def test_neither_rows_nor_patient_numbers_decide(cls, cohort) -> None:
    pixels, patients = cohort
    published = run(cls(k=3), pixels, patients)
    rng = np.random.default_rng(3)
    order, names = rng.permutation(len(pixels)), rng.permutation(61)
    np.testing.assert_array_equal(run(cls(k=3), pixels[order], names[patients][order]), published[order])


@both
def test_the_seed_decides_who_starts_a_cluster(cls, cohort) -> None:
    pixels, patients = cohort
    first = run(cls(k=3), pixels, patients, seed=0)
    np.testing.assert_array_equal(run(cls(k=3), pixels, patients, seed=0), first)
    assert not np.array_equal(run(cls(k=3), pixels, patients, seed=1), first)


@both
def test_reads_a_memory_map_that_is_read_only(cls, cohort, tmp_path) -> None:
    pixels, patients = cohort
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    np.testing.assert_array_equal(run(cls(k=3), mapped, patients), run(cls(k=3), pixels, patients))


@both
def test_identical_patients_are_no_trouble(cls) -> None:
    pixels = np.full((10, 24, 40), 77, dtype=np.uint8)
    np.testing.assert_array_equal(run(cls(k=3), pixels, np.arange(10)), pixels)


@both
@pytest.mark.parametrize("patients", [np.repeat(np.arange(4), 5), np.zeros(0, dtype=np.int64)])
def test_too_few_patients_are_refused(cls, patients) -> None:
    pixels = np.zeros((len(patients), 24, 40), dtype=np.uint8)
    ids = [str(number) for number in range(len(patients))]
    message = f"{cls.name}: k=5 needs at least 5 patients to hide among, not {len(set(patients.tolist()))}"
    with pytest.raises(ReidbenchError, match=message):
        release(cls(k=5), pixels, ids, patients, seed=0)


@both
def test_one_is_no_crowd(cls) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        cls(k=1)


def test_a_sampled_basis_still_gives_every_patient_its_cluster(cohort, monkeypatch) -> None:
    pixels, patients = cohort
    monkeypatch.setattr(k_same_eigen, "BASIS_PATIENTS", 8)
    monkeypatch.setattr(k_same_eigen, "CHUNK", 5)
    sizes = [len(members) for members in clusters(run(KSameEigen(k=3), pixels, patients), patients)]
    assert min(sizes) >= 3


def test_images_larger_than_a_thumbnail_are_compared_reduced(monkeypatch, families) -> None:
    pixels, patients = families
    expected = run(KSamePixel(k=4), pixels, patients)
    monkeypatch.setattr(k_same_pixel, "THUMBNAIL", 8)
    np.testing.assert_array_equal(run(KSamePixel(k=4), pixels, patients), expected)


def test_pitfall_15_one_in_k_is_found_where_patients_were_clustered_and_more_where_images_were() -> None:
    """Every patient's next image against the released set, attacked by one who knows who is in which cluster."""
    k, each = 4, 3
    patients = np.repeat(np.arange(24), each)
    pixels = np.random.default_rng(5).integers(0, 256, (len(patients), 24, 40), dtype=np.uint8)

    def found(published: np.ndarray) -> float:
        # The attacker has seen every patient's own part of the release and looks for images like it.
        own = [{image.tobytes() for image in published[patients == patient]} for patient in range(24)]
        scores = np.array([[float(image.tobytes() in mine) for image in published] for mine in own])
        names, images = np.arange(24), np.arange(len(published))
        ranks = metrics.rank_queries(lambda rows: scores[rows], names, patients, -1 - names, images)
        return float(ranks.precision_at_1.max())

    by_patient = run(KSamePixel(k=k), pixels, patients)
    assert found(by_patient) == pytest.approx(1 / k)
    # Each image among k of other patients' too, but clustered as if it were somebody of its own.
    by_image = run(KSamePixel(k=k), pixels, np.arange(len(patients)))
    assert min(map(len, clusters(by_image, np.arange(len(patients))))) >= k
    assert found(by_image) > 1 / k
