"""What a table says of hiding identity and keeping diagnosis follows from its figures, and the docs say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidbench.records.parts.common import Interval
from reidbench.records.parts.training import TrainingCheck
from reidbench.records.store import read_record
from reidbench.report.figures.board.rows import rows
from reidbench.report.figures.board.tiers import keeps
from reidbench.report.figures.conclusions import conclusion, hides
from reidbench.report.figures.controls import board_controls
from reidbench.report.site.board import boards

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "records" / "samples"


def interval(value, low, high):
    return Interval(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("figure", "hidden"),
    [
        ((0.85, 0.80, 0.899), True),
        ((0.85, 0.80, 0.90), None),
        ((0.92, 0.89, 0.95), None),
        ((0.95, 0.90, 0.97), False),
        ((0.85, None, None), None),
    ],
)
def test_identity_counts_as_hidden_with_the_whole_interval(figure, hidden):
    assert hides(interval(*figure)) is hidden


@pytest.mark.parametrize(
    ("fall", "kept"),
    # Half of what 0.7 has above chance is 0.1.
    [
        ((0.05, 0.00, 0.099), True),
        ((0.05, 0.00, 0.11), None),
        ((0.15, 0.09, 0.20), None),
        ((0.15, 0.11, 0.20), False),
        ((-0.02, -0.05, 0.01), True),
        ((0.05, None, None), None),
    ],
)
def test_diagnosis_counts_as_kept_by_half_of_what_is_above_chance(fall, kept):
    assert keeps(0.7, interval(*fall)) is kept
    assert keeps(0.7, None) is None


@pytest.fixture(scope="module")
def template():
    return read_record(SAMPLES / "v2-gaussian_noise.json")


def made(template, name, auc, left, fall=None, *, kind="image"):
    """A valid run with one attack of this AUC, and classifiers of this macro AUC."""
    attack = next(one for one in template.attacks if one.task == "verification")
    figures = attack.metrics.model_copy(update={"auc": interval(*auc), "impostor": 500})
    utility = interval(left, left - 0.05, left + 0.05)
    found = fall and interval(*fall)
    classifiers = [one.model_copy(update={"macro_auc": utility, "fall": found}) for one in template.utility.classifiers]
    defense = template.defense.model_copy(update={"name": name, "kind": kind, "options": {}})
    return template.model_copy(
        update={
            "id": name,
            "attacks": [attack.model_copy(update={"metrics": figures})],
            "complete": True,
            "utility": template.utility.model_copy(update={"classifiers": classifiers}),
            "defense": defense,
            "controls": template.controls.model_copy(update={"problems": []}),
            "baseline_id": None if kind == "none" else "undefended",
        }
    )


def said(records):
    return conclusion(rows(records, records, board_controls(records, records), {}))


def test_a_table_says_which_of_its_defenses_do_both(template):
    plain = made(template, "undefended", (0.97, 0.95, 0.99), 0.7, (0, 0, 0), kind="none")
    hides_all = made(template, "hides", (0.6, 0.55, 0.65), 0.52, (0.18, 0.15, 0.21))
    open_ = made(template, "open", (0.8, 0.75, 0.85), 0.61, (0.09, 0.05, 0.13))
    nothing = made(template, "nothing", (0.95, 0.93, 0.97), 0.7, (0.0, -0.01, 0.01))
    almost = made(template, "almost", (0.89, 0.87, 0.91), 0.69, (0.01, -0.01, 0.03))
    # A control hides identity by design, and is no defense.
    control = made(template, "blackout", (0.5, 0.5, 0.5), 0.5, (0.2, 0.18, 0.22))
    text = said([plain, hides_all, open_, nothing, almost, control])
    assert "of 4 defenses with their options, 3 lower the strongest attack's AUC below 0.9, 2 of them with" in text
    assert "Of these 2, 1 loses half or more of the utility above chance, for 1 the interval" in text
    assert text.endswith("none is shown to keep more: here nothing is shown to hide identity and keep diagnosis.")
    (board,) = boards([plain, hides_all, open_, nothing, almost, control])
    assert board.said == (text,)
    both = made(template, "both", (0.8, 0.75, 0.85), 0.68, (0.02, 0.0, 0.05))
    assert said([plain, hides_all, open_, both]).endswith("and 1 keeps more: both.")
    # Its figures are known to be too low.
    solved = both.defense.model_copy(update={"name": "solved", "unmatched_break": "a solver, 2023"})
    solved = both.model_copy(update={"id": "solved", "defense": solved})
    text = said([plain, hides_all, open_, both, solved])
    assert "of 3 defenses" in text
    assert text.endswith("keeps more: both. Not counted, as a published break is not among the attacks: solved.")


def test_a_table_whose_classifier_is_not_shown_to_be_above_chance_says_so(template):
    plain = made(template, "undefended", (0.97, 0.95, 0.99), 0.54, (0, 0, 0), kind="none")
    # Falls that would keep, and lose, half of what 0.54 has above chance.
    kept = made(template, "kept", (0.6, 0.55, 0.65), 0.54, (0.0, -0.01, 0.01))
    lost = made(template, "lost", (0.6, 0.55, 0.65), 0.48, (0.06, 0.03, 0.09))
    text = said([plain, kept, lost])
    assert "2 lower the strongest attack's AUC below 0.9, 2 of them with its interval. Without" in text
    assert "Without a defense the utility is 0.540, which is not shown to be above chance" in text
    assert "half" not in text
    seen = made(template, "seen", (0.95, 0.93, 0.97), 0.54, (0.0, -0.01, 0.01))
    assert said([plain, seen]).endswith("0 of them with its interval.")


def test_a_row_with_a_badly_trained_attacker_is_not_shown_to_hide_identity(template):
    plain = made(template, "undefended", (0.97, 0.95, 0.99), 0.7, (0, 0, 0), kind="none")
    both = made(template, "both", (0.8, 0.75, 0.85), 0.68, (0.02, 0.0, 0.05))
    failed = TrainingCheck(auc=0.6, raw_auc=0.65, gain=interval(-0.05, -0.1, -0.01))
    untrained = [one.model_copy(update={"check": failed}) for one in both.attacks]
    untrained = both.model_copy(
        update={
            "id": "untrained",
            "attacks": untrained,
            "defense": both.defense.model_copy(update={"name": "untrained"}),
        }
    )
    text = said([plain, both, untrained])
    assert "of 2 defenses with their options, 2 lower the strongest attack's AUC below 0.9, 2 of them with" in text
    assert "Of these 2, 1 is not counted further, as an attacker of theirs is badly trained: untrained. Of the" in text
    assert text.endswith(
        "Of the other 1, 0 lose half or more of the utility above chance, for 0 the interval of the loss "
        "leaves it open, and 1 keeps more: both."
    )
    assert said([plain, untrained]).endswith("badly trained: untrained.")


def test_a_table_whose_attackers_are_weak_says_so(template):
    plain = made(template, "undefended", (0.8, 0.75, 0.87), 0.7, (0, 0, 0), kind="none")
    hidden = made(template, "hides", (0.6, 0.55, 0.65), 0.69, (0.01, 0.0, 0.02))
    assert "an AUC of 0.800, which is not shown to be 0.9 or more" in said([plain, hidden])
    assert said([hidden]) is None


@pytest.mark.parametrize("dataset", ["phantom", "chestxray14", "covid19"])
def test_the_docs_conclude_as_the_tables_do(dataset):
    board = (ROOT / "leaderboards" / f"{dataset}.md").read_text("utf-8")
    (sentence,) = (line for line in board.splitlines() if line.startswith("Conclusion: "))
    page = (ROOT / "docs" / "results.md").read_text("utf-8").split("## Conclusions by dataset")[1]
    told = " ".join(page.split(f"- `{dataset}`: ")[1].split("\n- ")[0].split("\n\n")[0].split())
    assert told == sentence.removeprefix("Conclusion: ")
