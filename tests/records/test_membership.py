"""Shadows, coins and what their right guesses prove: arithmetic, without a run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reidbench import metrics
from reidbench.cohorts.base import Cohort
from reidbench.records.membership import Confidence, audit, coins, confidence, judge_membership


def _told(tossed, chance, seed):
    """Confidence in whom the coins chose, on the right side with this chance."""
    right = np.random.default_rng(seed).random(tossed.shape) < chance
    found = np.where(right, 1.0, -1.0) * np.where(tossed, 1, -1)
    return [Confidence(row, row + 0.01 * np.arange(len(row)) / len(row)) for row in found]


def test_a_true_claim_is_seldom_contradicted_and_a_false_one_is():
    # Randomized response is epsilon-private, and the mechanism of which the most can be proved.
    epsilon, refused = 1.0, 0
    for seed in range(40):
        tossed = np.stack([coins(400, number, seed) for number in range(3)])
        found = audit(_told(tossed, 1 / (1 + np.exp(-epsilon)), seed), tossed, delta=0.0)
        assert found.epsilon_most > epsilon, "it could have been contradicted"
        refused += found.epsilon_lower > epsilon
        # Whoever claims a quarter of it claims too little.
        assert found.epsilon_lower > epsilon / 4
    assert refused <= 5


def test_the_most_that_could_be_proved_is_what_all_guesses_right_prove():
    # Half heads: of other numbers not all of the guesses can be right, half of which are of members.
    tossed = np.stack([np.random.default_rng(number).permutation(np.arange(600) < 300) for number in range(3)])
    found = audit(_told(tossed, 1.0, 0), tossed, delta=2.5e-4)
    assert found.epsilon_lower == found.epsilon_most
    blind = audit(_told(tossed, 0.5, 0), tossed, delta=2.5e-4)
    assert blind.epsilon_lower == 0
    assert blind.epsilon_most == found.epsilon_most
    # Few patients prove little, however much they are told apart.
    few = np.stack([coins(40, number, 0) for number in range(3)])
    assert audit(_told(few, 1.0, 0), few, delta=0.0).epsilon_most < 2.5


def _partly_known(unknown):
    """Forty patients of two images, of whom these have no known finding; and a model that is not sure of anything."""
    rng = np.random.default_rng(8)
    patients = np.repeat(np.arange(40), 2)
    truth = (rng.random((80, 2)) < 0.5).astype(float)
    truth[::6, 0] = np.nan
    truth[np.isin(patients, unknown)] = np.nan
    splits = np.repeat(["train", "val", "test"], [40, 20, 20])
    findings = {"a": truth[:, 0], "b": truth[:, 1]}
    frame = pd.DataFrame({"patient": patients, "patient_id": patients, "split": splits, **findings})
    cohort = Cohort("some", frame, np.zeros((80, 4, 4), np.uint8), ("a", "b"), "0")
    return cohort, [rng.normal(size=(80, 2)).astype(np.float32) for _ in range(4)]


def test_a_patient_without_a_known_finding_is_no_evidence():
    unknown = [0, 1, 2, 3, 25, 37]
    cohort, logits = _partly_known(unknown)
    published, *shadows = (confidence(one, cohort) for one in logits)
    # No loss would have been the least there is.
    for figure in (published.loss, published.logit):
        assert np.isnan(figure[unknown]).all()
        assert not np.isnan(np.delete(figure, unknown)).any()
    tossed = np.stack([coins(40, number, 0) for number in range(3)])
    found = judge_membership(cohort, published, shadows, tossed, delta=0.0, runs=20)
    assert (found.members, found.others, found.unknown) == (16, 18, 6)
    assert found.audit.candidates == 34
    # As if they had never been in the table.
    kept = np.delete(np.arange(40), unknown)
    scores = np.delete(published.loss, unknown)
    assert found.attacks[0].auc.value == pytest.approx(metrics.roc_auc(scores, kept < 20), rel=1e-7)
    everybody, _ = _partly_known([])
    assert judge_membership(
        everybody, *_of(everybody, logits), tossed, delta=0.0, runs=20
    ).unknown is None  # fmt: skip
    nobody, _ = _partly_known(np.arange(40))
    none = judge_membership(nobody, *_of(nobody, logits), tossed, delta=0.0, runs=20)
    assert (none.members, none.others, none.unknown, none.audit.epsilon_lower) == (0, 0, 40, 0)
    assert none.attacks[0].auc.value is None


def _of(cohort, logits):
    published, *shadows = (confidence(one, cohort) for one in logits)
    return published, shadows


def test_an_image_without_a_known_finding_leaves_its_patient_as_sure_as_before():
    cohort, logits = _partly_known([])
    before = confidence(logits[0], cohort)
    cohort.frame.loc[1, ["a", "b"]] = np.nan
    after = confidence(logits[0], cohort)
    # Of the other image only the second finding is known.
    alone = np.logaddexp(0, -(2 * cohort.frame.loc[0, "b"] - 1) * logits[0][0, 1])
    assert after.loss[0] == pytest.approx(-alone)
    assert (after.loss[1:] == before.loss[1:]).all()
    assert (after.logit[1:] == before.logit[1:]).all()


def test_a_model_that_remembers_everybody_is_proved_to():
    # Confidence 10 apart for whom each shadow was trained on: every guess is right.
    tossed = np.stack([coins(200, number, 0) for number in range(3)])
    shadows = [Confidence(10.0 * t + np.linspace(0, 1, 200), 10.0 * t + np.linspace(0, 1, 200)) for t in tossed]
    found = audit(shadows, tossed, delta=0.0)
    assert found.correct >= 0.95 * found.guesses
    assert found.epsilon_lower > 2.5
    # And coins that have nothing to do with the model prove nothing.
    other = np.stack([coins(200, number, 1) for number in range(3)])
    assert audit(shadows, other, delta=0.0).epsilon_lower < 1


def _unlike_splits(patients=600):
    """Patients of one image; those of the test split have three findings in five, all others one in ten."""
    rng = np.random.default_rng(3)
    test = np.arange(patients) >= patients * 2 // 3
    truth = (rng.random((patients, 4)) < np.where(test, 0.6, 0.1)[:, None]).astype(float)
    names = list("abcd")
    frame = pd.DataFrame(truth, columns=names).assign(
        patient=np.arange(patients), patient_id=np.arange(patients), split=np.where(test, "test", "train")
    )
    return Cohort("unlike", frame, np.zeros((patients, 4, 4), np.uint8), tuple(names), "0")


def test_what_a_constant_predictor_finds_is_a_difference_between_the_splits_and_no_membership():
    cohort = _unlike_splits()
    # A model that knows the train split's frequencies and looks at nothing.
    constant = confidence(np.full((600, 4), np.log(0.1 / 0.9), dtype=np.float32), cohort)
    tossed = np.stack([coins(600, number, 0) for number in range(4)])
    found = judge_membership(cohort, constant, [constant] * 4, tossed, delta=0.0, runs=200)
    published = {one.attack: one.auc for one in found.attacks}
    assert published["loss"].value > 0.9
    assert published["blind"].value > 0.9
    drawn = {one.attack: one.auc for one in found.drawn.attacks}
    assert set(drawn) == {"loss", "lira", "blind"}
    for auc in drawn.values():
        assert auc.low <= 0.5 <= auc.high
        assert auc.high - auc.low < 0.1
    assert (found.drawn.targets, found.drawn.patients) == (4, 600)


def test_lira_sees_through_differences_of_difficulty_that_hide_membership_from_the_loss():
    rng = np.random.default_rng(4)
    tossed = np.stack([coins(600, number, 0) for number in range(8)])
    # A patient's own difficulty varies ten times as much as what training moves, and a model's noise half as much.
    difficulty = rng.normal(0, 10, 600)
    models = [difficulty + row + rng.normal(0, 0.5, 600) for row in tossed]
    cohort = _unlike_splits()
    found = judge_membership(
        cohort, Confidence(models[0], models[0]), [Confidence(one, one) for one in models], tossed, delta=0.0, runs=200
    )
    drawn = {one.attack: one.auc for one in found.drawn.attacks}
    assert drawn["loss"].value < 0.56
    # One apart at a deviation of one half: Phi(1 / (0.5 sqrt 2)) = 0.921, less what seven shadows' means leave open.
    assert 0.8 < drawn["lira"].low < drawn["lira"].value < 0.921
    assert drawn["blind"].low <= 0.5 <= drawn["blind"].high


def test_coins_are_fair_and_their_own():
    tossed = np.stack([coins(4000, number, 0) for number in range(4)])
    assert np.abs(tossed.mean(axis=1) - 0.5).max() < 0.05
    assert np.abs(np.corrcoef(tossed)[np.triu_indices(4, 1)]).max() < 0.06
