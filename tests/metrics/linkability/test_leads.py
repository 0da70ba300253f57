"""Leads of searches: by hand, against a plain loop, and where nothing is told."""

from __future__ import annotations

import numpy as np
import pytest

from reidbench.metrics.linkability.leads import lead_limit, leads
from reidbench.metrics.validation import codes


def of(scores):
    matrix = np.asarray(scores, dtype=np.float64)
    return lambda rows: matrix[rows]


def by_loop(scores, patients):
    """The same figures, one search at a time."""
    found = []
    for row, mine in enumerate(patients):
        best = {}
        for column, patient in enumerate(patients):
            if column != row:
                best[patient] = max(best.get(patient, -np.inf), scores[row][column])
        others = sorted((score for patient, score in best.items() if patient != mine), reverse=True)
        second = others[1] if len(others) > 1 else -np.inf
        own = best.get(mine)
        wrong = None if own is None else max(others[0] - max(second, own), 0.0)
        found.append((mine, None if own is None else own - others[0], wrong, others[0] - second))
    return found


def test_a_search_by_hand():
    scores = [[9, 5, 3, 1], [5, 9, 6, 2], [3, 6, 9, 4], [1, 2, 4, 9]]
    found = leads(of(scores), ["a", "a", "b", "c"])
    # The first image of a finds the second with 5, b with 3 and c with 1; the second finds b with 6 before a with 5.
    assert found.own.tolist() == [2, -1]
    assert found.wrong.tolist() == [0, 1]
    # Those of one image are strangers too: b finds a with 6 and c with 4, c finds b with 4 and a with 2.
    assert found.unpublished.tolist() == [2, 4, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_leads_are_those_of_a_plain_loop(seed, monkeypatch):
    monkeypatch.setattr("reidbench.metrics.linkability.leads.BLOCK_SCORES", 100)
    rng = np.random.default_rng(seed)
    patients = np.append(rng.integers(0, 12, size=39), 12)
    scores = rng.integers(0, 6, size=(40, 40)).astype(float)
    found = leads(of(scores), patients)
    expected = by_loop(scores.tolist(), patients.tolist())
    (numbered,), _ = codes(patients)
    number = dict(zip(patients.tolist(), numbered.tolist()))
    searched = [one for one in expected if one[1] is not None]
    assert 0 < len(searched) < len(expected)
    assert found.patients.tolist() == [number[one[0]] for one in searched]
    assert found.strangers.tolist() == [number[one[0]] for one in expected]
    assert found.own.tolist() == [one[1] for one in searched]
    assert found.wrong.tolist() == [one[2] for one in searched]
    assert found.unpublished.tolist() == [one[3] for one in expected]


def test_equal_images_lead_nowhere_and_k_equal_patients_hide_each_other():
    assert not leads(of(np.zeros((6, 6))), [0, 0, 1, 1, 2, 2]).own.any()
    # Patients 0 and 1 publish the same image, patient 2 another one.
    vectors = np.array([0.0, 0.0, 0.0, 0.0, 5.0, 5.0])
    found = leads(of(-np.abs(vectors[:, None] - vectors)), [0, 0, 1, 1, 2, 2])
    limit = lead_limit(found)
    assert (found.own > limit).tolist() == [False] * 6
    assert found.own[-1] == 5


def test_the_limit_lets_so_many_strangers_pass_and_no_lower_one_does():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 3)
    found = leads(of(rng.normal(size=(450, 450))), patients)

    def passing(limit):
        return np.mean([(found.unpublished[found.strangers == one] > limit).mean() for one in range(150)])

    limit = lead_limit(found, 0.05)
    assert passing(limit) <= 0.05
    lower = np.max(found.unpublished[found.unpublished < limit])
    assert passing(lower) > 0.05
    assert lead_limit(found, 0.5) < limit


def test_noise_singles_out_no_more_than_chance_and_strangers_no_more_than_the_limit_on_others():
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(200), 2)
    test, validation = (leads(of(rng.normal(size=(400, 400))), patients) for _ in range(2))
    limit = lead_limit(validation)
    assert np.mean(test.own > limit) < 0.01
    assert np.mean(test.unpublished > limit) == pytest.approx(0.01, abs=0.015)


def test_two_patients_a_single_one_and_none():
    both = leads(of([[1, 0, 0], [0, 1, 0], [0, 0, 1]]), [0, 0, 1])
    assert np.isinf(both.unpublished).all()
    assert np.isinf(lead_limit(both))
    assert not len(leads(of(np.zeros((2, 2))), [0, 0]).strangers)
    assert not len(leads(of(np.zeros((0, 0))), []).patients)


@pytest.mark.parametrize(
    ("work", "what"),
    [
        (lambda: leads(of([[0, np.nan], [0, 0]]), [0, 1]), "finite"),
        (lambda: lead_limit(leads(of(np.zeros((0, 0))), [])), "at least one search"),
        (lambda: lead_limit(leads(of(np.zeros((3, 3))), [0, 0, 1]), 1.0), "share"),
    ],
)
def test_what_is_refused(work, what):
    with pytest.raises(ValueError, match=what):
        work()
