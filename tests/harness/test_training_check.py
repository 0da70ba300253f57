"""Trained attackers against no training: badly trained ones are told from those that had nothing to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidbench import metrics
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.training_check import AT_ONCE, add_check, check_training, pixel_scores
from reidbench.records.parts.common import Interval
from reidbench.records.parts.training import TrainingCheck
from reidbench.records.schema import Attack
from reidbench.records.store import read_record
from reidbench.report.figures.paired.matching import Kept
from reidbench.report.figures.training_checks import badly_trained
from reidbench.report.site.record_page import record_context
from reidbench.report.text.leaderboard import render
from reidbench.report.text.terminal import print_summary

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"
RNG = np.random.default_rng(0)
PATIENTS = np.repeat(np.arange(60), 4)


def pairs() -> Pairs:
    first = RNG.integers(0, 240, 3000)
    genuine = np.arange(3000) < 1500
    second = np.where(genuine, first // 4 * 4 + (first + 1) % 4, (first + 4 * RNG.integers(1, 60, 3000)) % 240)
    return Pairs(first, second, genuine)


PAIRS = pairs()
NOISE, OTHER = RNG.normal(size=(2, 3000))


@pytest.mark.parametrize(
    ("trained", "raw", "verdict", "failed"),
    [
        (2 * PAIRS.same + NOISE, PAIRS.same + OTHER, None, False),
        (NOISE, PAIRS.same + OTHER, "worse than no training", True),
        (PAIRS.same + OTHER + 1e-3 * NOISE, PAIRS.same + OTHER, "no better than no training", True),
        # Both put all pairs in one order, as where k-Same publishes equal images: that tells nothing of the training.
        (3 * (PAIRS.same + OTHER), PAIRS.same + OTHER, "undecided", False),
        # Nothing above perfect separation is there to be gained.
        (PAIRS.same + 0.01 * NOISE, PAIRS.same + 0.01 * OTHER, "undecided", False),
        (NOISE, OTHER, "at chance", False),
        # All scores of a constant release are equal: nothing is there to be found.
        (np.zeros(3000), np.zeros(3000), "at chance", False),
    ],
)
def test_a_training_counts_by_what_it_gains_over_none(trained, raw, verdict, failed):
    found = check_training(trained, raw, PAIRS, PATIENTS, runs=200)
    assert (found.verdict, found.failed) == (verdict, failed)
    assert found.auc == metrics.roc_auc(trained, PAIRS.same)
    assert found.raw_auc == metrics.roc_auc(raw, PAIRS.same)
    assert found.gain.value == pytest.approx(found.auc - found.raw_auc)
    assert found.gain.low <= found.gain.value <= found.gain.high


@pytest.mark.parametrize(
    ("gain", "verdict", "failed"),
    [
        ((0.085, -0.025, 0.204), "undecided", False),
        ((0.01, -0.02, 0.04), "no better than no training", True),
        ((-0.01, -0.2, 0.2), "no better than no training", True),
    ],
)
def test_few_patients_do_not_make_a_training_bad(gain, verdict, failed):
    interval = Interval(**dict(zip(("value", "low", "high"), gain)))
    found = TrainingCheck(auc=0.8 + gain[0], raw_auc=0.8, gain=interval)
    assert (found.verdict, found.failed) == (verdict, failed)


def test_raw_pixels_are_compared_by_their_distance():
    held, published = RNG.integers(0, 256, (2, 240, 5, 5)).astype(np.uint8)
    many = Pairs(*(np.tile(side, 2) for side in (PAIRS.a, PAIRS.b, PAIRS.same)))
    assert len(many.a) > AT_ONCE
    expected = [-np.sqrt(((held[a] / 255 - published[b] / 255) ** 2).sum()) for a, b in zip(many.a, many.b)]
    np.testing.assert_allclose(pixel_scores(held, published, many), expected, rtol=1e-5)


def test_a_badly_trained_attacker_is_marked_wherever_it_is_shown(capsys):
    plain, private = (read_record(next(RECORDS.glob(f"{name}-*.json"))) for name in ("undefended", "gaussian_noise"))
    check = check_training(NOISE, PAIRS.same + OTHER, PAIRS, PATIENTS, runs=200)
    attacks = add_check(private.attacks, check)
    assert [one.check for one in attacks if one.task == "verification"] == [None] * sum(
        one.task == "verification" for one in attacks
    )
    bad = private.model_copy(update={"attacks": attacks})
    (line,) = badly_trained(bad)
    assert line.startswith("badly trained, and no evidence of privacy: ")
    assert f"worse than no training: AUC {check.auc:.3f} on validation pairs, {check.raw_auc:.3f} without" in line
    print_summary([bad])
    assert "badly trained, and no evidence" in " ".join(capsys.readouterr().out.split())
    assert record_context(Kept(bad, RECORDS / f"{bad.stem}.json"), None)["badly_trained"] == [line]
    assert "badly trained" in render([plain, bad])[f"{bad.dataset.name}.md"]
    assert badly_trained(private) == []


def test_an_undefined_check_says_nothing():
    nothing = TrainingCheck(auc=None, raw_auc=None, gain=[None, None, None])
    assert nothing.verdict is None
    assert not nothing.failed
    assert Attack.model_fields["check"].default is None
