from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidbench.errors import ReidbenchError
from reidbench.networks.samplers import PatientBatches


def cohort(counts):
    return np.repeat(np.arange(len(counts)), counts).astype(np.int64)


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=30).filter(lambda c: max(c) > 1),
    batch_size=st.integers(8, 40),
    per_patient=st.integers(2, 6),
    singles=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_no_image_twice_and_every_patient_with_a_pair_on_both_sides(counts, batch_size, per_patient, singles, seed):
    patients = cohort(counts)
    batches = PatientBatches(
        patients, batch_size=batch_size, images_per_patient=per_patient, seed=seed, singles=singles
    ).epoch(0, 3)
    for probe, gallery in batches:
        rows = np.concatenate([probe, gallery])
        assert len(np.unique(rows)) == len(rows) <= batch_size
        assert abs(len(probe) - len(gallery)) <= 1 + (singles > 0)
        _, taken = np.unique(patients[rows], return_counts=True)
        assert taken.max() <= per_patient
        for patient in np.unique(patients[rows]):
            if counts[patient] > 1:
                assert patient in patients[probe]
                assert patient in patients[gallery]
        assert len(np.unique(patients[rows])) > 1 or batch_size < 2 * per_patient


def test_an_epoch_repeats_itself_and_differs_from_the_next():
    sampler = PatientBatches(cohort([4] * 20), batch_size=16, images_per_patient=4, seed=5)
    once, again, other = sampler.epoch(3, 2), sampler.epoch(3, 2), sampler.epoch(4, 2)
    assert all(np.array_equal(a, b) for one, two in zip(once, again) for a, b in zip(one, two))
    assert not np.array_equal(once[0][0], other[0][0])


def test_patients_are_drawn_by_the_root_of_their_images():
    # One of 64 images among 63 of 4: weights 8 and 2, so it stands in a batch of one draw 8 / (8 + 126) of the time.
    sampler = PatientBatches(cohort([64] + [4] * 63), batch_size=8, images_per_patient=8, seed=0)
    batches = sampler.epoch(0, 4000)
    first = np.mean([probe[0] < 64 for probe, _ in batches])
    assert first == pytest.approx(8 / 134, abs=0.015)


def test_singles_make_impostors_only():
    sampler = PatientBatches(cohort([1] * 10 + [4] * 10), batch_size=24, images_per_patient=4, seed=0, singles=6)
    for probe, gallery in sampler.epoch(0, 5):
        assert (probe < 10).sum() == (gallery < 10).sum() == 3


def test_a_lone_patient_with_a_pair_gets_impostors_from_the_singles():
    for probe, gallery in PatientBatches(cohort([3, 1, 1]), batch_size=8, images_per_patient=4, seed=0).epoch(0, 5):
        assert max(*probe, *gallery) >= 3


@pytest.mark.parametrize("counts", [[], [5], [1, 1, 1]])
def test_nothing_to_pair_is_refused(counts):
    with pytest.raises(ReidbenchError, match="cannot train a re-identification attacker"):
        PatientBatches(cohort(counts), batch_size=8, images_per_patient=4, seed=0)
