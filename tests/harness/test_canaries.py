"""Audits by canary patients: they find what training without privacy gives away, and no more than is claimed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.cohorts.canaries import canary_cohort
from reidbench.defenses.model import LabelledImages, fit_model, published_logits, published_vectors
from reidbench.plugins import Registry
from reidbench.records.membership import CANARIES, Confidence, audit_by_canaries, coins, confidence
from reidbench.records.parts.membership import Membership
from reidbench.report.figures.membership import membership_lines

LABELS = tuple("abcdef")
COHORT = canary_cohort(16, LABELS, 120, 0)
TOSSED = coins(120, 0, 0, of=CANARIES)[None]
DELTA = 1e-3


def trained(tmp_path, **options) -> tuple[Confidence, float | None]:
    """The confidence in all canaries of a small model that was trained on half of them, and the epsilon it claims."""
    cls = Registry().get("defense", "dp_training", object)
    defense = cls(width=8, side=16, steps=80, batch_size=32, lr=0.01, delta=DELTA, **options)
    chosen = TOSSED[0]
    train = LabelledImages(
        COHORT.pixels[chosen],
        np.flatnonzero(chosen),
        COHORT.frame.loc[chosen, list(LABELS)].to_numpy(dtype=float),
        population=60,
    )
    cpu = torch.device("cpu")
    network, fitted = fit_model(defense, train, seed=0, device=cpu, work_dir=tmp_path)
    vectors = published_vectors(defense, network, COHORT.pixels, device=cpu)
    logits = published_logits(network, vectors, device=cpu)
    return confidence(logits, COHORT), fitted.privacy and fitted.privacy.epsilon


def test_training_without_privacy_is_found_and_a_private_one_stays_below_its_claim(tmp_path):
    plain, nothing = trained(tmp_path / "plain", epsilon="inf")
    private, claimed = trained(tmp_path / "private", noise_multiplier=1.5, epsilon=None)
    assert nothing is None
    found = audit_by_canaries([private], [plain], TOSSED, delta=DELTA)
    # Of 120 coins, all guessed right, ε = 2.4 could be proved.
    assert found.without_privacy.epsilon_lower > 1.5
    assert found.epsilon_most > found.without_privacy.epsilon_lower
    assert found.epsilon_lower < claimed
    # A claim of one half for the training without privacy is contradicted.
    remembered = audit_by_canaries([plain], [plain], TOSSED, delta=DELTA)
    assert remembered.epsilon_lower == found.without_privacy.epsilon_lower > 0.5


def _randomized(epsilon, tossed, seed):
    # Randomized response is epsilon-private, and the mechanism of which the most can be proved.
    right = np.random.default_rng(seed).random(tossed.shape) < 1 / (1 + np.exp(-epsilon))
    return [Confidence(row, row) for row in np.where(right, 1.0, -1.0) * np.where(tossed, 1, -1)]


@pytest.mark.parametrize("models", [1, 4])
def test_a_true_claim_is_seldom_contradicted_however_many_models_are_trained(models):
    refused, proved = 0, []
    for seed in range(40):
        tossed = np.stack([coins(200, number, seed, of=CANARIES) for number in range(models)])
        target = _randomized(1.0, tossed, seed)
        found = audit_by_canaries(target, target, tossed, delta=0.0)
        assert found.candidates == 200 * models
        refused += found.epsilon_lower > 1.0
        proved.append(found.epsilon_lower)
    assert refused <= 5
    # More models prove more of what is true.
    assert np.mean(proved) > (0.6 if models == 4 else 0.35)


def test_a_bound_of_0_says_what_the_audit_would_have_found():
    tossed = np.stack([coins(200, number, 0, of=CANARIES) for number in range(2)])
    blind = [Confidence(*2 * [np.zeros(200)])] * 2
    remembering = [Confidence(row.astype(float), row.astype(float)) for row in tossed]

    def line(plain, record):
        audited = audit_by_canaries(blind, plain, tossed, delta=0.0)
        found = Membership(members=1, others=1, shadows=1, attacks=[], audit=audited)
        return membership_lines(record.model_copy(update={"membership": found, "track": "model"}))[-1]

    record = _any_record()
    assert "proved: ε ≥ 0 at 95%" in line(remembering, record)
    assert "of the same training without privacy it proves ε ≥ 3.88" in line(remembering, record)
    assert "no power" not in line(remembering, record)
    assert "it proves ε ≥ 0: it has no power here, and its bound says nothing" in line(blind, record)


def test_nothing_but_a_canary_tells_its_findings():
    assert (COHORT.size, len(COHORT), COHORT.labels, COHORT.generated) == (16, 120, LABELS, True)
    assert len(np.unique(COHORT.pixels.reshape(120, -1), axis=0)) == 120
    assert set(np.unique(COHORT.pixels)) == {0, 255}
    findings = COHORT.frame[list(LABELS)].to_numpy()
    assert np.abs(findings.mean(axis=0) - 0.5).max() < 0.15
    # Neither coins nor images follow from the findings.
    assert np.abs(np.corrcoef(np.c_[findings, TOSSED[0]].T)[-1, :-1]).max() < 0.3
    again, other = canary_cohort(16, LABELS, 120, 0), canary_cohort(16, LABELS, 120, 1)
    assert again.revision == COHORT.revision != other.revision
    assert (again.pixels == COHORT.pixels).all()
    assert canary_cohort(50, ("a",), 3, 0).pixels.shape == (3, 50, 50)


def _any_record():
    from pathlib import Path

    from reidbench.records.store import read_record

    folder = Path(__file__).parents[2] / "leaderboards"
    return read_record(next(iter(sorted(folder.rglob("dp_training*.json")))))
