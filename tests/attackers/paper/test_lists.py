"""What the paper trains on: lists of pairs, and batches in which nobody stands alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidbench.attackers.paper.blocks import BlockBatches
from reidbench.attackers.paper.pairlists import PairList
from reidbench.errors import ReidbenchError

PATIENTS = np.repeat(np.arange(12), [1, 1, 2, 2, 3, 4, 1, 5, 9, 2, 1, 3])


def unordered(pairs, chosen) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in zip(pairs.a[chosen].tolist(), pairs.b[chosen].tolist())}


@pytest.mark.parametrize("kind", ["fts", "rnp"])
def test_positives_are_all_combinations_and_negatives_as_many(kind):
    expected = {frozenset((i, j)) for i, j in combinations(range(len(PATIENTS)), 2) if PATIENTS[i] == PATIENTS[j]}
    listed = PairList(PATIENTS, pairs=10_000, kind=kind, seed=1)
    pairs = listed.epoch(0)
    assert unordered(pairs, pairs.same) == expected
    assert len(pairs) == len(listed) == 2 * len(expected)
    assert pairs.same.sum() == len(expected)
    np.testing.assert_array_equal(PATIENTS[pairs.a] == PATIENTS[pairs.b], pairs.same)
    assert (pairs.a != pairs.b).all()


def test_of_more_positives_than_are_wanted_a_fixed_half_of_n_s_is_drawn():
    listed = PairList(PATIENTS, pairs=20, kind="rnp", seed=1)
    first, second = listed.epoch(0), listed.epoch(1)
    assert (len(first), first.same.sum()) == (20, 10)
    assert len(unordered(first, first.same)) == 10
    assert unordered(first, first.same) == unordered(second, second.same)


def test_fts_keeps_its_negatives_and_rnp_redraws_them():
    for kind, kept in (("fts", True), ("rnp", False)):
        listed = PairList(PATIENTS, pairs=60, kind=kind, seed=3)
        one, other = listed.epoch(0), listed.epoch(1)
        assert (unordered(one, ~one.same) == unordered(other, ~other.same)) == kept
        assert not np.array_equal(one.a, other.a), "the order is new in every epoch"
        again = PairList(PATIENTS, pairs=60, kind=kind, seed=3).epoch(1)
        np.testing.assert_array_equal(again.a, other.a)
        np.testing.assert_array_equal(again.b, other.b)


def test_negatives_are_two_uniform_images_of_different_patients():
    patients = np.repeat(np.arange(3), [6, 2, 2])
    listed = PairList(patients, pairs=34, kind="rnp", seed=0)
    drawn = [pairs for number in range(600) for pairs in [listed.epoch(number)]]
    a, b = (np.concatenate([getattr(pairs, side)[~pairs.same] for pairs in drawn]) for side in "ab")
    # Of all ordered pairs of images of two patients, each is as likely.
    allowed = [(i, j) for i in range(10) for j in range(10) if patients[i] != patients[j]]
    counts = np.array([((a == i) & (b == j)).sum() for i, j in allowed])
    expected = len(a) / len(allowed)
    assert counts.sum() == len(a)
    assert ((counts - expected) ** 2 / expected).sum() < len(allowed) + 5 * np.sqrt(2 * len(allowed))


def test_batches_are_cut_in_order_and_lose_nothing():
    pairs = PairList(PATIENTS, pairs=60, kind="fts", seed=3).epoch(0)
    batches = pairs.cut(32)
    assert [len(same) for _, _, same in batches] == [32, 28]
    np.testing.assert_array_equal(np.concatenate([a for a, _, _ in batches]), pairs.a)


@pytest.mark.parametrize("patients", [[0, 1, 2], [0, 0, 0], []], ids=["all single", "one patient", "empty"])
def test_no_pairs_to_train_on_is_a_clear_error(patients):
    owners = np.array(patients, dtype=np.int64)
    with pytest.raises(ReidbenchError, match="cannot train a re-identification attacker"):
        PairList(owners, pairs=10, kind="fts", seed=0)
    with pytest.raises(ReidbenchError, match="cannot train a re-identification attacker"):
        BlockBatches(owners, batch_size=32, block=8, seed=0)


@given(
    images=st.lists(st.integers(1, 40), min_size=2, max_size=60),
    batch_size=st.integers(8, 40),
    block=st.integers(3, 10),
    seed=st.integers(0, 1000),
)
def test_no_patient_stands_alone_in_a_batch(images, batch_size, block, seed):
    patients = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(images)), images))
    if max(images) < 2:
        return
    batches = BlockBatches(patients, batch_size=batch_size, block=block, seed=seed).epoch(0)
    for batch in batches:
        _, counts = np.unique(patients[batch], return_counts=True)
        assert counts.min() >= 2
        assert len(batch) <= batch_size
    assert all(len(batch) >= batch_size - 2 for batch in batches[:-1])
    several = np.flatnonzero(np.bincount(patients)[patients] > 1)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), several)


def test_blocks_hold_up_to_eight_images_of_a_patient():
    patients = np.repeat(np.arange(30), 20)
    batches = BlockBatches(patients, batch_size=32, block=8, seed=0).epoch(0)
    runs = []
    for batch in batches:
        owners = patients[batch]
        starts = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
        runs += np.diff(np.append(starts, len(owners))).tolist()
    # 20 images are 8, 8 and 4; a block is cut where a batch ends, and two of one patient may come to lie together.
    assert np.median(runs) in (4, 8)
    assert sum(length in (4, 8) for length in runs) > 0.6 * len(runs)
    assert np.mean([len(np.unique(patients[batch])) for batch in batches]) > 4


def test_epochs_differ_and_repeat_for_the_same_seed():
    one, same, other = (BlockBatches(PATIENTS, batch_size=8, block=8, seed=s) for s in (1, 1, 2))
    for left, right in zip(one.epoch(3), same.epoch(3), strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(np.concatenate(one.epoch(3)), np.concatenate(one.epoch(4)))
    assert not np.array_equal(np.concatenate(one.epoch(3)), np.concatenate(other.epoch(3)))
