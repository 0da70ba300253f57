"""What leaderboards remark on their rows: what is missing or wrong, stand-ins, breaks, guarantees, realized rates."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_records import made, table

from reidbench.records.parts.provenance import PrivacyInfo
from reidbench.records.schema import Record
from reidbench.records.store import read_record
from reidbench.report.figures.paired.matching import Kept
from reidbench.report.figures.summary import epsilon
from reidbench.report.site.ladder import VERIFICATION_HEAD, verification_steps
from reidbench.report.site.record_page import record_context
from reidbench.report.text.leaderboard import render
from reidbench.report.text.terminal import print_summary

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def template() -> Record:
    return read_record(SAMPLES / "v1-gaussian_noise.json")


def test_what_is_missing_or_wrong_is_shown(template):
    controls = template.controls.model_copy(update={"problems": ["never learned"]})
    records = [
        made(template, "partial", 0.7, complete=False),
        made(template, "broken", 0.6, controls=controls),
        made(template, "alone", 0.5),
    ]
    status = {row[0]: row[-1] for row in table(render(records)[f"{template.dataset.title}.md"])}
    assert "incomplete ladder" in status["partial"]
    assert "invalid controls" in status["broken"]
    assert "no undefended run" in status["alone"]


def test_the_rates_that_calibrated_thresholds_have_on_test_pairs_are_told(template):
    def decided(record, wrong):
        attacks = []
        for attack in record.attacks:
            if attack.task == "verification":
                counts = {"false_positives": wrong, "true_negatives": 500 - wrong}
                threshold = attack.metrics.calibrated.model_copy(update=counts)
                figures = attack.metrics.model_copy(update={"calibrated": threshold, "impostor": 500})
                attack = attack.model_copy(update={"metrics": figures})
            attacks.append(attack)
        return record.model_copy(update={"attacks": attacks})

    rows = [decided(made(template, name, 0.7), wrong) for name, wrong in (("a", 5), ("b", 9), ("c", 40))]
    several = 3 * sum(attack.task == "verification" for attack in template.attacks)
    page = render(rows)[f"{template.dataset.title}.md"]
    assert f"had 1.8 % on test pairs (median of {several} attacks; the highest 8.0 %)." in page
    (step, *_) = verification_steps(rows[2], None)
    assert dict(zip(VERIFICATION_HEAD, step.cells))["FPR*"] == "0.080"


def test_a_stand_in_for_a_published_method_is_marked_wherever_it_appears(template):
    record = made(template, "some", 0.7, options={"epochs": 4})
    defense = record.defense.model_copy(update={"published": {"epochs": 32}})
    page = render([record.model_copy(update={"defense": defense}), made(template, "other", 0.6)])[
        f"{template.dataset.title}.md"
    ]
    told = "some: A stand-in for the published method, and no measure of it: epochs=4 (published: 32)"
    assert f"{told}; images of {template.dataset.size}²." in page
    assert {row[0]: "a stand-in" in row[-1] for row in table(page)} == {"some epochs=4": True, "other": False}


def test_a_break_that_no_attacker_carries_out_is_told_wherever_its_defense_appears(template, capsys):
    record = made(template, "some", 0.52)
    defense = record.defense.model_copy(update={"unmatched_break": "a solver, 2023"})
    page = render([record.model_copy(update={"defense": defense}), made(template, "other", 0.6)])[
        f"{template.dataset.title}.md"
    ]
    told = "some: A break is published that no attacker here carries out (a solver, 2023): the figures are too low."
    assert told in page
    missing = {row[0]: "a published break is missing" in row[-1] for row in table(page)}
    assert missing == {"some": True, "other": False}
    broken = record.model_copy(update={"defense": defense})
    print_summary([broken])
    assert "the figures are too low" in " ".join(capsys.readouterr().out.split())
    context = record_context(Kept(broken, SAMPLES / "v1-gaussian_noise.json"), None)
    assert context["limits"] == [told.removeprefix("some: ")]


def test_a_guarantee_is_told_with_its_probability_of_failure(template):
    claims = {
        "pure": PrivacyInfo(epsilon=2, delta=0, unit="a pixel"),
        "failing": PrivacyInfo(epsilon=0, delta=0.75, unit="a pixel"),
    }
    assert epsilon(template) is None
    for name, text in (("pure", "2 (a pixel)"), ("failing", "0, δ = 0.75 (a pixel)")):
        record = made(template, name, 0.7)
        record = record.model_copy(update={"defense": record.defense.model_copy(update={"privacy": claims[name]})})
        assert epsilon(record) == text
        (row,) = table(render([record])[f"{template.dataset.title}.md"])
        assert text in row


def test_how_many_devices_trained_makes_no_other_table_and_what_does_stands_in_the_title(template):
    one = made(template, "one", 0.7)
    stated = {owner: {**options, "devices": 4} for owner, options in one.hyperparameters.items()}
    several = one.model_copy(update={"id": "several", "hyperparameters": stated})
    page = render([one, several])[f"{template.dataset.title}.md"]
    assert page.count("\n## ") == 1
    longer = {**one.hyperparameters, "retrieval": {**one.hyperparameters["retrieval"], "epochs": 99}}
    pages = render([one, one.model_copy(update={"id": "longer", "hyperparameters": longer})])
    titles = [line for line in pages[f"{template.dataset.title}.md"].splitlines() if line.startswith("## ")]
    assert len(set(titles)) == 2
    assert all("fusion" in title or "retrieval" in title for title in titles)
