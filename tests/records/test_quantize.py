"""Scores in 16 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reidbench import metrics
from reidbench.records.quantize import HIGHEST, leveled, pack, unpack
from reidbench.records.scores import RunScores, read_scores

finite = st.floats(-100, 100, width=32, allow_subnormal=False)


@given(arrays.arrays(np.float32, st.integers(1, 60), elements=finite))
def test_what_is_unpacked_is_what_was_judged_and_near_what_was_said(values):
    kept = leveled(values)
    packed = pack(kept)
    if packed is None:  # levels would have merged too much of it
        np.testing.assert_array_equal(kept, values)
    else:
        np.testing.assert_array_equal(unpack(*packed), kept)
    # Half a level, and what single precision leaves of it.
    assert np.abs(kept - values).max() <= np.ptp(values.astype(np.float64)) / HIGHEST / 2 + 1e-5
    np.testing.assert_array_equal(leveled(kept), kept)


@given(arrays.arrays(np.float32, 40, elements=finite))
def test_no_two_scores_change_places_and_equal_ones_stay_equal(values):
    order = np.argsort(values, kind="stable")
    assert (np.diff(leveled(values)[order]) >= 0).all()
    assert (np.diff(leveled(values)[order])[np.diff(values[order]) == 0] == 0).all()


@pytest.mark.parametrize("values", [[0.1, np.nan, 3.0], [np.inf, 1.0], []])
def test_what_has_no_levels_stays_as_it_is(values):
    given_values = np.array(values, dtype=np.float32)
    np.testing.assert_array_equal(leveled(given_values), given_values)
    assert pack(given_values) is None


def logits(count=20_000):
    """Scores of an attack, and which of them are genuine."""
    same = np.arange(count) % 2 == 0
    return (np.random.default_rng(1).normal(size=count) + 3 * same).astype(np.float32), same


def test_scores_that_spread_are_kept_in_levels():
    for scores in (logits()[0], np.tanh(logits()[0] / 9), -np.abs(logits()[0]), logits(300)[0]):
        kept = leveled(scores)
        assert (kept != scores).any()
        assert pack(kept) is not None


def test_an_outlier_takes_nothing_from_an_attack():
    scores, same = logits()
    scores[1] = -1e6
    kept = leveled(scores)
    np.testing.assert_array_equal(kept, scores)
    assert pack(kept) is None
    assert metrics.roc_auc(kept, same) > 0.98


@pytest.mark.parametrize("steepness", [5, 8])
def test_probabilities_that_saturate_lose_nothing_at_a_low_false_positive_rate(steepness):
    scores, same = logits()
    probabilities = (1 / (1 + np.exp(-steepness * (scores.astype(np.float64) - 1.5)))).astype(np.float32)
    kept = leveled(probabilities)
    found = metrics.tpr_at_fpr(probabilities, same, 0.001)
    assert found > 0.4
    assert metrics.tpr_at_fpr(kept, same, 0.001) == found


def test_few_values_that_would_meet_at_one_level_stay_apart():
    values = np.repeat(np.array([-1e6, 0, 1, 2], dtype=np.float32), 500)
    np.testing.assert_array_equal(leveled(values), values)


def test_equal_scores_are_no_loss():
    values = np.repeat(np.array([-1, 0.1, 1], dtype=np.float32), 500)
    assert pack(leveled(values)) is not None


def test_a_file_of_levels_is_half_as_large_and_one_of_others_is_exact(tmp_path):
    scores = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    pairs = {"random": np.zeros((3, len(scores)), np.int64)}
    sizes = {}
    for name, values in (("exact", scores), ("levels", leveled(scores))):
        kept = RunScores(np.zeros(3, np.int64), pairs, {"a": values}, {}, predictions={"b": values.reshape(-1, 10)})
        path = tmp_path / f"{name}.npz"
        back = read_scores(path, kept.write(path))
        np.testing.assert_array_equal(back.verification["a"], values)
        np.testing.assert_array_equal(back.predictions["b"], values.reshape(-1, 10))
        sizes[name] = path.stat().st_size
    assert sizes["levels"] < 0.55 * sizes["exact"]
