"""Pairs against what a plain loop gives, and what must hold for any table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from reidbench.cohorts.base import remap
from reidbench.cohorts.chestxray14 import ChestXray14
from reidbench.cohorts.metadata import metadata_score
from reidbench.cohorts.pairs import Pairs, build_pairs
from reidbench.errors import ReidbenchError

Frame = Callable[[list[int]], pd.DataFrame]
patients_of_images = st.lists(st.integers(0, 8), min_size=2, max_size=40)


def unordered(pairs: Pairs, same: bool) -> list[tuple[int, int]]:
    chosen = pairs.same == same
    return [tuple(sorted(pair)) for pair in zip(pairs.a[chosen].tolist(), pairs.b[chosen].tolist())]


def table(patients: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"patient": patients})


def linkable(patients: list[int]) -> bool:
    return len(set(patients)) > 1 and max(Counter(patients).values()) > 1


@given(patients_of_images, st.integers(0, 5))
def test_all_genuine_pairs_and_true_impostors_without_duplicates(patients: list[int], seed: int) -> None:
    assume(linkable(patients))
    pairs = build_pairs(table(patients), negatives="random", seed=seed)
    everything = list(combinations(range(len(patients)), 2))
    genuine = [(i, j) for i, j in everything if patients[i] == patients[j]]
    assert sorted(unordered(pairs, True)) == genuine
    impostors = unordered(pairs, False)
    assert len(set(impostors)) == len(impostors)
    assert all(patients[i] != patients[j] for i, j in impostors)
    # A probe is in as many impostor pairs as in genuine ones, unless it has met every image of the others.
    probes = {same: Counter(pairs.a[pairs.same == same].tolist()) for same in (True, False)}
    assert not probes[False] - probes[True]
    for probe, missing in (probes[True] - probes[False]).items():
        met = {other for pair in impostors if probe in pair for other in pair} - {probe}
        assert missing > 0
        assert met == {i for i, patient in enumerate(patients) if patient != patients[probe]}
    assert bool(pairs.notes) == (len(impostors) < len(genuine))
    assert pairs.matched is None


def test_a_score_of_the_probe_alone_is_chance_exactly(cohort_frame: Frame) -> None:
    sizes = [20, 9, 4, 3, 2, 2, *[1] * 30] * 3
    frame = cohort_frame([patient for patient, size in enumerate(sizes) for _ in range(size)])
    pairs = build_pairs(frame, negatives="random", seed=3)
    assert not pairs.notes
    popular = frame["patient"].map(frame["patient"].value_counts()).to_numpy(dtype=float)
    assert roc_auc_score(pairs.same, popular[pairs.a]) == 0.5


@given(patients_of_images, st.integers(2, 30), st.integers(1, 4))
def test_caps(patients: list[int], max_pairs: int, per_patient: int) -> None:
    assume(linkable(patients))
    pairs = build_pairs(table(patients), negatives="random", seed=0, max_pairs=max_pairs, max_per_patient=per_patient)
    genuine = unordered(pairs, True)
    assert len(set(genuine)) == len(genuine)
    assert all(patients[i] == patients[j] for i, j in genuine)
    assert max(Counter(patients[i] for i, _ in genuine).values()) <= per_patient
    allowed = sum(min(n * (n - 1) // 2, per_patient) for n in Counter(patients).values())
    assert len(genuine) == min(allowed, max_pairs // 2)
    assert len(pairs) <= max_pairs


def test_a_seed_decides_all_and_another_gives_others(cohort_frame: Frame) -> None:
    frame = cohort_frame([row // 3 for row in range(90)])
    first, again, other = (build_pairs(frame, negatives="random", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.a, again.a)
    np.testing.assert_array_equal(first.b, again.b)
    np.testing.assert_array_equal(first.same, again.same)
    assert set(unordered(first, False)) != set(unordered(other, False))


def test_random_impostors_are_uniform(cohort_frame: Frame) -> None:
    # 24 images, 12 patients: 264 impostor pairs, of which each seed draws 12.
    frame = cohort_frame([row // 2 for row in range(24)])
    drawn = Counter(
        pair for seed in range(2200) for pair in unordered(build_pairs(frame, negatives="random", seed=seed), False)
    )
    counts = np.array([drawn[pair] for pair in combinations(range(24), 2) if pair[0] // 2 != pair[1] // 2])
    assert counts.sum() == 2200 * 12
    assert ((counts - 100) ** 2 / 100).sum() < 264 + 5 * np.sqrt(2 * 264)


def test_capped_genuine_pairs_are_uniform(cohort_frame: Frame) -> None:
    frame = cohort_frame([0, 0, 0, 0, 1])
    drawn = Counter(
        pair
        for seed in range(600)
        for pair in unordered(build_pairs(frame, negatives="random", seed=seed, max_pairs=2), True)
    )
    assert set(drawn) == set(combinations(range(4), 2))
    assert min(drawn.values()) > 60  # 100 expected, of a standard deviation of 9


def test_neither_order_nor_side_tells_what_a_pair_is(cohort_frame: Frame) -> None:
    pairs = build_pairs(cohort_frame([row // 4 for row in range(2000)]), negatives="random", seed=3)
    assert roc_auc_score(pairs.same, np.arange(len(pairs))) == pytest.approx(0.5, abs=0.03)
    for same in (True, False):
        assert (pairs.a < pairs.b)[pairs.same == same].mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(
    ("patients", "message"),
    [
        ([0, 1, 2], "no genuine pair: none of the 3 patients"),
        ([], "no genuine pair"),
        ([4, 4, 4], "all images are of one"),
    ],
)
def test_nothing_to_verify(cohort_frame: Frame, patients: list[int], message: str) -> None:
    with pytest.raises(ReidbenchError, match=message):
        build_pairs(cohort_frame(patients), negatives="random", seed=0)


@pytest.mark.parametrize("cap", [{"max_pairs": 1}, {"max_per_patient": 0}])
def test_caps_that_leave_nothing(cohort_frame: Frame, cap: dict[str, int]) -> None:
    with pytest.raises(ReidbenchError, match="leaves no genuine"):
        build_pairs(cohort_frame([0, 0, 1]), negatives="random", seed=0, **cap)


def clinic(patients: int, seed: int, fractions: bool = False) -> pd.DataFrame:
    """Patients with a sex, an age that grows over visits, and a view that mostly stays; some of it unknown."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        sex = rng.choice(["M", "F"])
        age = rng.uniform(20, 90)
        view = rng.choice(["PA", "AP"])
        for _ in range(rng.integers(1, 8)):
            age += rng.exponential(0.7)
            seen = view if rng.random() < 0.8 else rng.choice(["PA", "AP"])
            known = age if fractions else float(int(age))
            rows.append((patient, sex, known if rng.random() < 0.95 else np.nan, seen))
    return pd.DataFrame(rows, columns=["patient", "sex", "age", "view"])


@pytest.mark.parametrize("fractions", [False, True])
def test_matched_impostors_mimic_genuine_pairs(fractions: bool) -> None:
    frame = clinic(400, 0, fractions)
    random = build_pairs(frame, negatives="random", seed=0)
    pairs = build_pairs(frame, negatives="matched", seed=0)
    genuine, impostors = unordered(pairs, True), unordered(pairs, False)
    assert len(genuine) == len(impostors) == pairs.matched
    assert set(genuine) < set(unordered(random, True))
    assert len(set(impostors)) == len(impostors)
    patient, sex = frame["patient"].to_numpy(), frame["sex"].to_numpy()
    a, b = pairs.a[~pairs.same], pairs.b[~pairs.same]
    assert (patient[a] != patient[b]).all()
    assert (sex[a] == sex[b]).all()
    # Metadata tell random pairs apart and matched ones not.
    assert roc_auc_score(random.same, metadata_score(frame, random.a, random.b)) > 0.95
    assert roc_auc_score(pairs.same, metadata_score(frame, pairs.a, pairs.b)) == pytest.approx(0.5, abs=0.015)
    # And it is not bought with the loss of most pairs.
    assert pairs.matched > 0.7 * random.same.sum()
    assert f"{pairs.matched:,} are kept" in pairs.notes[0]


def test_an_impostor_may_be_a_year_apart_and_no_more() -> None:
    people = [("M", 50), ("M", 50), ("M", 51), ("M", 53), ("F", 50), ("F", 51)]
    frame = pd.DataFrame(people, columns=["sex", "age"]).assign(view="PA", patient=[0, 0, 1, 2, 3, 3])
    # Image 2 is the only man near enough to stand in for an image of patient 0, and nobody can for patient 3's.
    with pytest.raises(ReidbenchError, match="no genuine pair has an impostor"):
        # A year apart where the genuine pair is none apart: metadata would tell, and evening out leaves nothing.
        build_pairs(frame, negatives="matched", seed=0)
    frame.loc[2, "age"] = 50
    pairs = build_pairs(frame, negatives="matched", seed=0)
    assert unordered(pairs, True) == [(0, 1)]
    assert unordered(pairs, False) in ([(0, 2)], [(1, 2)])
    assert pairs.matched == 1


def test_unknown_is_matched_with_unknown() -> None:
    frame = pd.DataFrame({"patient": [0, 0, 1, 2], "age": [np.nan, np.nan, np.nan, 0.0], "sex": "M", "view": np.nan})
    pairs = build_pairs(frame, negatives="matched", seed=0)
    assert unordered(pairs, False) in ([(0, 2)], [(1, 2)])
    assert "sex, age" in pairs.notes[0]
    assert "view" not in pairs.notes[0], "a column without a value is not matched on"


def test_nothing_to_match_on(cohort_frame: Frame) -> None:
    with pytest.raises(ReidbenchError, match="need a column sex, age or view"):
        build_pairs(cohort_frame([0, 0, 1]), negatives="matched", seed=0)


def test_metadata_score_by_hand() -> None:
    frame = pd.DataFrame(
        {
            "sex": ["M", "M", "F", np.nan, np.nan],
            "age": [50.0, 53.0, 50.0, np.nan, np.nan],
            "view": ["PA", "AP", "PA", "PA", np.nan],
        }
    )
    score = metadata_score(frame, np.array([0, 0, 0, 0, 3]), np.array([0, 1, 2, 3, 4]))
    np.testing.assert_allclose(score, [0, -3.75, -16, -26, -0.75])


def test_metadata_score_without_metadata(cohort_frame: Frame) -> None:
    np.testing.assert_array_equal(metadata_score(cohort_frame([0, 1]), np.array([0]), np.array([1])), [0])


@pytest.mark.data
def test_metadata_alone_tell_random_pairs_of_chestxray14_apart_and_matched_ones_not(real_data: Path) -> None:
    whole = ChestXray14(root=real_data / "chestxray14-sample").source().whole
    frame = whole[whole["split"] == "test"].reset_index(drop=True)
    frame["patient"] = remap(frame["patient_id"])
    auc = {}
    for negatives in ("random", "matched"):
        pairs = build_pairs(frame, negatives=negatives, seed=0, max_pairs=100_000)
        auc[negatives] = roc_auc_score(pairs.same, metadata_score(frame, pairs.a, pairs.b))
        assert len(pairs) > 96_000
    assert auc["random"] > 0.975
    assert auc["matched"] == pytest.approx(0.5, abs=0.005)
