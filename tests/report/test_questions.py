"""The three questions of an assessment: figures come from the record, and say no more than it does."""

from __future__ import annotations

import pytest

from reidbench.records.parts.common import Interval
from reidbench.records.parts.questions import Copies, Inference, Inferred, SinglingOut
from reidbench.records.schema import Record
from reidbench.report.figures.questions import ASKED, HEAD, answers
from reidbench.report.figures.summary import worst_retrieval

pytestmark = pytest.mark.slow


def of(value):
    return Interval(value=value, low=value / 2, high=min(1.0, value * 1.5))


def singled(linkage, correct, *, where="validation", share=0.01):
    return SinglingOut(
        attacker="fusion", knowledge="informed", linkage=linkage, patients=40, calibrated_on=where,
        calibration_patients=30, false_share=share, limit=0.2, correct=of(correct), wrong=of(0.02),
        unpublished=of(0.015),
    )  # fmt: skip


def inferred(vectors, network):
    made = Inferred(values=["F"], patients=40, vectors=of(vectors), network=network, table=of(0.6))
    return Inference(
        knowledge="informed", linkage="released-released", attacker="retrieval", learned_on="train",
        attributes={"sex": made},
    )  # fmt: skip


@pytest.fixture(scope="module")
def record(small_run):
    return Record.model_validate(small_run["records"][0])


def test_a_run_answers_all_three_questions_in_order(record):
    told = answers([record])
    assert list(dict.fromkeys(one.question for one in told)) == list(ASKED)
    assert all(len(one.cells) == len(HEAD) for one in told)
    best = worst_retrieval(record).attack.metrics.precision_at_1.value
    assert told[0].value.startswith(f"{best:.3f} [")
    assert f"{best:.1%}".replace(".0%", "%").replace("%", " %") in told[0].words


def test_the_linkage_that_isolates_more_and_the_stronger_classifier_are_told(record):
    singling = [singled("original-released", 0.3), singled("released-released", 0.4)]
    changed = record.model_copy(update={"singling_out": singling, "inference": inferred(0.7, of(0.8))})
    told = {one.question: one for one in answers([changed])}
    assert told["singling out"].value == "0.400 [0.200, 0.600]"
    assert "40 % of the people" in told["singling out"].words
    assert "1.5 % would be" in told["singling out"].words
    assert "themselves" not in told["singling out"].words
    both = [singled("original-released", 0.1), singled("original-released", 0.3, share=0.05)]
    rows = [
        one for one in answers([changed.model_copy(update={"singling_out": both})]) if one.question == "singling out"
    ]
    assert [one.name for one in rows] == ["people isolated, limit of 1 %", "people isolated, limit of 5 %"]
    assert told["inference"].value == "0.800 [0.400, 1.000]"
    changed = changed.model_copy(
        update={"inference": inferred(0.7, None), "singling_out": [singled("original-released", 0.3, where="test")]}
    )
    told = {one.question: one for one in answers([changed])}
    assert told["inference"].value.startswith("0.700")
    assert "set by these people themselves" in told["singling out"].words


def test_folds_are_told_by_mean_lowest_and_highest(record):
    folds = [
        record.model_copy(update={"singling_out": [singled("original-released", share)], "inference": None})
        for share in (0.2, 0.4)
    ]
    told = answers(folds, [record.attacks[-1].metrics])
    assert [one.question for one in told] == ["linkability", "singling out"]
    assert told[1].value == "0.300 (0.200–0.400)"


def test_an_earlier_record_answers_what_it_has(record):
    earlier = record.model_copy(update={"singling_out": None, "inference": None})
    assert [one.question for one in answers([earlier])] == ["linkability"]


def test_copies_of_training_patients_are_told_beside_those_among_originals(record):
    copies = Copies(patients=50, images=90, limit=0.7, copies=of(0.6), originals=0.04, copied=20, most=0.07)
    changed = record.model_copy(update={"copies": copies})
    (told,) = (one for one in answers([changed]) if one.name == "copies of training patients")
    assert (told.question, told.value) == ("linkability", "0.600 [0.300, 0.900]")
    assert told.beside == "originals 0.040"
    assert told.words.startswith("60 % of the published images")
    assert "as 4 % of the originals are by chance; at most 7 % copy one person." in told.words
    assert not [one for one in answers([record]) if "training" in one.name]
