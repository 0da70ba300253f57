"""Strata of genuine pairs from a cohort's table: what the columns say, what they don't, and what isn't there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reidbench.cohorts.base import Cohort
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.cohorts.pairing.pairs import build_pairs
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.records import figures
from reidbench.records.schema import Decision, VerificationMetrics
from reidbench.records.strata import DIVISIONS, GenuineStrata, age_gap

NAN = float("nan")


def part(labels=(), **columns) -> Cohort:
    frame = pd.DataFrame(columns)
    frame["patient"] = pd.factorize(frame["patient"])[0]
    return Cohort("made", frame, np.zeros((len(frame), 16, 16), np.uint8), tuple(labels), "revision")


def named(by) -> list[str | None]:
    return [None if np.isnan(place) else by.names[int(place)] for place in by.places]


A, B = np.array([0, 0, 0]), np.array([1, 2, 3])


def test_the_gap_is_in_whole_years_and_the_last_stratum_is_open():
    dated = part(patient=[1] * 4, days=[0, 365, 366, 12 * 365.25], age=[50, 50, 50, 50])
    assert named(age_gap(dated, A, B)) == ["0", "1", "12+"]
    assert named(age_gap(dated, B, A)) == ["0", "1", "12+"]
    assert age_gap(dated, A, B).source == "days"
    years = part(patient=[1] * 4, years=[3, 3, 8, 33], age=[1, 2, 3, 4])
    assert named(age_gap(years, A, B)) == ["0", "5", "12+"]
    ages = part(patient=[1] * 4, days=[NAN] * 4, age=[50, 51, NAN, 49])
    assert named(age_gap(ages, A, B)) == ["1", None, "1"]
    assert age_gap(ages, A, B).source == "age"


def test_a_finding_is_new_where_one_image_alone_has_it_and_unknown_where_it_could_be():
    found = part(["x", "y"], patient=[1] * 4, x=[1, 1, 0, 1], y=[0, 0, 0, NAN])
    assert named(DIVISIONS["new_finding"](found, A, B)) == ["same findings", "new finding", None]
    half_known = part(["x", "y"], patient=[1] * 2, x=[1, 0], y=[0, NAN])
    assert named(DIVISIONS["new_finding"](half_known, A[:1], B[:1])) == ["new finding"]


def test_views_sex_and_foreign_material_of_both_images_count():
    both = part(
        patient=[1] * 4, view=["AP", "PA", "AP", None], sex=["F", "F", "M", "F"], foreign_material=[1.0, 0.0, 1.0, NAN]
    )
    assert named(DIVISIONS["view"](both, A, B)) == ["PA-AP", "AP-AP", None]
    assert named(DIVISIONS["sex"](both, A, B)) == ["F", None, "F"]
    assert named(DIVISIONS["foreign_material"](both, A, B)) == ["one", "both", None]
    assert named(DIVISIONS["view"](both, np.array([1]), np.array([1]))) == ["PA-PA"]


def test_columns_that_are_missing_or_empty_are_said():
    bare = part(patient=[1, 1, 2, 2], view=[None] * 4)
    pairs = Pairs(np.array([0, 2, 0]), np.array([1, 3, 2]), np.array([True, True, False]))
    judged = GenuineStrata(bare, pairs).judge({"calibrated": (np.ones(3), 0.5)}, runs=20, seed=0)
    assert list(judged) == list(DIVISIONS)
    for name, source in (
        ("age_gap", "days, years or age"),
        ("new_finding", "findings"),
        ("view", "view"),
        ("sex", "sex"),
        ("foreign_material", "foreign_material"),
    ):
        assert judged[name].missing == f"the table has no {source}"
        assert (judged[name].strata, judged[name].unknown) == ([], 2)


@pytest.fixture(scope="module")
def phantom():
    """A phantom's test table, its pairs, and scores of them; without pixels, which no stratum needs."""
    frame = Phantom(patients=200).source().frame.query("split == 'test'").reset_index(drop=True)
    frame["patient"] = pd.factorize(frame["patient_id"])[0]
    cohort = Cohort("phantom", frame, np.zeros((len(frame), 16, 16), np.uint8), ("Mass", "Nodule"), "revision")
    pairs = build_pairs(frame, negatives="random", seed=1)
    scores = np.random.default_rng(0).normal(size=len(pairs)) + 2.0 * pairs.same
    return cohort, pairs, scores.astype(np.float32)


def judge(phantom, validation=True, probabilities=True) -> VerificationMetrics:
    cohort, pairs, scores = phantom
    return figures.verification(
        scores,
        pairs,
        cohort.frame["patient"].to_numpy(),
        probabilities=1 / (1 + np.exp(-scores)) if probabilities else np.full_like(scores, np.nan),
        validation=(scores, pairs.same) if validation else None,
        runs=60,
        strata=GenuineStrata(cohort, pairs),
    )


def test_the_strata_of_a_property_make_up_the_whole(phantom):
    found = judge(phantom)
    assert list(found.strata) == list(DIVISIONS)
    for by in found.strata.values():
        assert by.missing is None
        assert by.unknown + sum(stratum.pairs for stratum in by.strata) == found.genuine
        # The average over strata, weighted by their pairs, is the recall at the same threshold.
        for threshold in ("calibrated", "at_half"):
            accepted = sum(s.pairs * (getattr(s, threshold).value or 0) for s in by.strata)
            assert accepted / found.genuine == pytest.approx(getattr(found, threshold).recall)
    counted = phantom[0].frame.iloc[phantom[1].a[phantom[1].same]]
    sexes = {stratum.name: stratum for stratum in found.strata["sex"].strata}
    assert sexes["M"].pairs == int((counted["sex"] == "M").sum())
    assert sexes["M"].patients == counted.loc[counted["sex"] == "M", "patient"].nunique()


def test_confusion_counts_are_those_behind_the_rates(phantom):
    found = judge(phantom).at_half
    assert isinstance(found, Decision)
    assert found.recall == found.true_positives / (found.true_positives + found.false_negatives)
    assert found.specificity == found.true_negatives / (found.true_negatives + found.false_positives)
    total = found.true_positives + found.false_positives + found.true_negatives + found.false_negatives
    assert total == len(phantom[1])


def test_without_a_threshold_a_stratum_has_counts_and_no_rate(phantom):
    found = judge(phantom, validation=False, probabilities=False)
    assert (found.calibrated, found.at_half) == (None, None)
    for by in found.strata.values():
        assert {(s.calibrated, s.at_half) for s in by.strata} == {(None, None)}
        assert sum(s.pairs for s in by.strata) > 0


def test_what_came_later_is_not_written_where_there_is_nothing(phantom):
    found = judge(phantom)
    assert VerificationMetrics.model_validate_json(found.model_dump_json(by_alias=True)) == found
    bare = found.model_copy(update={"strata": None})
    assert "strata" not in bare.model_dump(by_alias=True)
