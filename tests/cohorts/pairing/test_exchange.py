"""Impostor pairs by exchange, against what must hold for any pairs and cells."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidbench.cohorts.pairing.exchange import exchange, without_partner


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=60),
    st.integers(0, 5),
)
def test_nobody_left_out_has_a_partner(pairs: list[tuple[int, int]], seed: int) -> None:
    patients, cells = (np.array(column, dtype=np.int64) for column in (zip(*pairs) if pairs else ([], [])))
    alone = without_partner(patients, cells, np.random.default_rng(seed))
    assert len(set(alone.tolist())) == len(alone)
    for cell in set(cells.tolist()):
        whole = Counter(patients[cells == cell].tolist())
        left = Counter(np.delete(patients, alone)[np.delete(cells, alone) == cell].tolist())
        others = {patient: whole.total() - count for patient, count in whole.items()}
        assert left == Counter({p: min(count, others[p]) for p, count in whole.items() if min(count, others[p])})


@settings(deadline=None)  # Where a cell has no other way, the search for one goes on for a while.
@given(st.lists(st.integers(2, 5), min_size=2, max_size=9), st.integers(1, 3), st.integers(0, 5))
def test_second_images_change_places_within_their_cell(sizes: list[int], cells: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    a, b = (np.array(rows) for rows in zip(*((i, j) for i, j in combinations(range(len(patients)), 2))))
    genuine = patients[a] == patients[b]
    a, b = a[genuine], b[genuine]
    cell = rng.integers(0, cells, len(patients))
    found = exchange(a, b, patients, cell[b], rng)
    assert sorted(set(found.kept.tolist())) == sorted(found.kept.tolist())
    np.testing.assert_array_equal(found.a, a[found.kept])
    # In every cell the same second images as before, the impostor of each pair in the pair's own cell.
    np.testing.assert_array_equal(cell[found.b], cell[b[found.kept]])
    np.testing.assert_array_equal(np.sort(found.b), np.sort(b[found.kept]))
    assert (patients[found.a] != patients[found.b]).all()
    unordered = np.sort(np.stack([found.a, found.b]), axis=0)
    assert np.unique(unordered, axis=1).shape == unordered.shape


def test_all_ways_to_exchange_are_as_likely() -> None:
    # Five patients with a pair each: the 44 permutations of five that leave none in its place.
    a, b = np.arange(0, 10, 2), np.arange(1, 10, 2)
    patients = np.repeat(np.arange(5), 2)
    drawn: Counter[tuple[int, ...]] = Counter()
    for seed in range(4400):
        found = exchange(a, b, patients, np.zeros(5, dtype=np.int64), np.random.default_rng(seed))
        drawn[tuple(found.b[np.argsort(found.kept)].tolist())] += 1
    assert len(drawn) == 44
    assert sum((count - 100) ** 2 / 100 for count in drawn.values()) < 43 + 4 * np.sqrt(2 * 43)


def test_a_patient_with_half_of_the_pairs_meets_everybody() -> None:
    # The hardest case that loses nothing: each pair of one patient must exchange with one of another's.
    patients = np.r_[np.zeros(80, dtype=np.int64), np.repeat(np.arange(1, 41), 2)]
    a, b = np.r_[np.arange(0, 80, 2), np.arange(80, 160, 2)], np.r_[np.arange(1, 80, 2), np.arange(81, 160, 2)]
    seen: Counter[int] = Counter()
    for seed in range(300):
        found = exchange(a, b, patients, np.zeros(80, dtype=np.int64), np.random.default_rng(seed))
        assert len(found.kept) == 80
        partner = patients[found.b[(patients[found.a] == 0) & (found.a == 0)]]
        seen[int(partner[0])] += 1
    assert set(seen) == set(range(1, 41))
    assert sum((count - 7.5) ** 2 / 7.5 for count in seen.values()) < 39 + 4 * np.sqrt(2 * 39)


@pytest.mark.parametrize("patients", [[], [3], [3, 3]])
def test_nobody_to_exchange_with(patients: list[int]) -> None:
    rows = np.arange(len(patients))
    table = np.array([3, 3, 3, 3])
    found = exchange(rows, rows + 2, table, np.zeros(len(rows), dtype=np.int64), np.random.default_rng(0))
    assert len(found.kept) == len(found.a) == len(found.b) == 0
