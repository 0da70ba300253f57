"""The two sentences of a board follow from its figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_records import valid_run

from reidbench.records.parts.common import Interval
from reidbench.records.parts.training import TrainingCheck
from reidbench.records.store import read_record
from reidbench.report.figures.board.rows import rows
from reidbench.report.figures.controls import board_controls
from reidbench.report.text.board.sentences import board_sentences

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def template():
    return read_record(SAMPLES / "v2-gaussian_noise.json")


def around(value, width=0.02):
    return Interval(value=value, low=value - width, high=value + width)


def made(template, name, auc, ranking, left, fall=0.0, *, kind="image", **changes):
    """A valid run with one attack of either task, and classifiers of this macro AUC."""
    attacks = []
    for task, headline, value in (("verification", "auc", auc), ("retrieval", "map_at_r_patients", ranking)):
        attack = next(one for one in template.attacks if one.task == task)
        more = {"impostor": 500} if task == "verification" else {}
        metrics = attack.metrics.model_copy(update={headline: around(value), **more})
        attacks.append(attack.model_copy(update={"metrics": metrics, "attacker": task, "knowledge": "ignorant"}))
    classifiers = [
        one.model_copy(update={"macro_auc": around(left), "fall": around(fall)}) for one in template.utility.classifiers
    ]
    return valid_run(template, name, classifiers, kind=kind, **{"attacks": attacks} | changes)


def said(records, **more):
    table = rows(records, records, board_controls(records, records), {})
    return board_sentences(table, **({"generated": True} | more))


def test_the_first_names_data_and_the_strongest_attacks_on_undefended_images(template):
    plain = made(template, "undefended", 0.97, 0.6, 0.8, kind="none")
    counts = f"{template.dataset.images['test']} test images of {template.dataset.patients['test']}"
    first, _ = said([plain])
    assert first == (
        f"{counts} generated patients: without a defense, the strongest tested attack reaches a mAP@R over patients "
        "of 0.600 [0.580, 0.620] (ignorant, retrieval) and an AUC of 0.970 [0.950, 0.990] (ignorant, verification)."
    )
    assert said([plain], generated=False)[0].startswith(f"{counts} real patients: ")
    assert said([plain], generated=None)[0].startswith(f"{counts} patients: ")
    # An attack that is the strongest by both is named once.
    same = [one.model_copy(update={"attacker": "fusion"}) for one in plain.attacks]
    assert said([plain.model_copy(update={"attacks": same})])[0].count("(ignorant, fusion)") == 1
    seeds = [plain, made(template, "undefended", 0.97, 0.7, 0.8, kind="none", seed=1).model_copy(update={"id": "two"})]
    assert "of 0.650 on average over 2 seeds (ignorant, retrieval)" in said(seeds)[0]
    defended = made(template, "noise", 0.9, 0.5, 0.8)
    assert said([defended])[0] == f"{counts} generated patients, without an undefended run to compare with."


def test_the_second_counts_defenses_that_hide_identity_and_keep_diagnosis(template):
    plain = made(template, "undefended", 0.97, 0.6, 0.8, kind="none")
    nothing = made(template, "nothing", 0.95, 0.6, 0.8)
    hides = made(template, "hides", 0.6, 0.1, 0.6, 0.2)
    assert said([plain])[1] == "No defense has been judged on it."
    assert said([plain, nothing])[1] == (
        "Of 1 defenses with their options, none is shown to hide identity (an AUC below 0.9 with its interval)."
    )
    assert said([plain, nothing, hides])[1] == (
        "Of 2 defenses with their options, 1 is shown to hide identity (an AUC below 0.9 with its interval), "
        "and none of these to keep diagnosis (more than half of the utility above chance)."
    )
    # Its interval of 0.02 on either side includes chance.
    doubtful = made(template, "undefended", 0.97, 0.6, 0.51, kind="none")
    assert said([doubtful, nothing, hides])[1] == (
        "Of 2 defenses with their options, 1 is shown to hide identity (an AUC below 0.9 with its interval); "
        "the undefended utility is not shown to be above chance, so that nothing is said of diagnosis."
    )
    failed = TrainingCheck(auc=0.6, raw_auc=0.65, gain=around(-0.05))
    untrained = [one.model_copy(update={"check": failed}) for one in hides.attacks]
    assert said([plain, nothing, hides.model_copy(update={"attacks": untrained})])[1] == (
        "Of 2 defenses with their options, none is shown to hide identity (an AUC below 0.9 with its interval, and no "
        "attacker badly trained)."
    )
    both = [made(template, f"both{n}", 0.6, 0.1, 0.8) for n in range(5)]
    assert said([plain, hides, *both])[1] == (
        "Of 6 defenses with their options, 6 are shown to hide identity (an AUC below 0.9 with its interval), and 5 of "
        "these to keep diagnosis (more than half of the utility above chance): both0, both1, both2 and 2 more."
    )


def test_weak_attackers_failed_controls_and_missing_runs_are_said(template):
    weak = made(template, "undefended", 0.85, 0.3, 0.8, kind="none")
    hides = made(template, "hides", 0.6, 0.1, 0.8)
    assert "AUC is not shown to be 0.9 or more" in said([weak, hides])[1]
    assert said([hides])[1] == "Without an undefended run and its utility nothing is concluded."
    assert said([weak, hides], reasons=["a", "b"])[1] == "The board is invalid: a; b."


def test_models_have_sentences_of_their_own(template):
    def model(*figures, **more):
        one = made(template, *figures, track="model", **more)
        # A published model is judged on originals.
        own = {"trained_on": "originals", "tested_on": "originals"}
        classifiers = [one.utility.classifiers[0].model_copy(update=own)]
        return one.model_copy(update={"utility": one.utility.model_copy(update={"classifiers": classifiers})})

    plain = model("plain", 0.9, 0.2, 0.7, kind="none", baseline_id=None)
    strong = model("strong", 0.8, 0.05, 0.6, baseline_id="plain")
    weak = model("weak", 0.85, 0.15, 0.68, baseline_id="plain")
    incomplete = model("incomplete", 0.5, 0.01, 0.68, baseline_id="plain", complete=False)
    first, second = said([plain, strong, weak, incomplete])
    assert first.startswith("A published model's vectors of ")
    assert second == (
        "Of 2 models trained with a defense, strong has the lowest mAP@R of a strongest attack, 0.050 [0.030, 0.070], "
        "with a utility of 0.600 (0.700 without the defense)."
    )
    assert said([plain])[1] == "No model trained with a defense has been judged on it."
