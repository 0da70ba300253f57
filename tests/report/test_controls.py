"""Controls on a board: identity is the undefended run, blackout chance; one that fails spoils what lies beside it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from reidbench.records import ladder
from reidbench.records.parts.common import Interval
from reidbench.records.schema import Record
from reidbench.records.store import read_record
from reidbench.report.figures.controls import board_controls
from reidbench.report.site.board import boards
from reidbench.report.text.leaderboard import render
from reidbench.report.text.terminal import print_summary

SAMPLE = Path(__file__).parents[1] / "records" / "samples" / "v1-gaussian_noise.json"
HALF = Interval(value=0.5, low=0.45, high=0.55)


@pytest.fixture(scope="module")
def template() -> Record:
    record = read_record(SAMPLE)
    return record.model_copy(update={"controls": record.controls.model_copy(update={"problems": []})})


def run_of(template: Record, name: str, *, seed: int = 0, attacks=None, kind: str = "image") -> Record:
    """The sample as the record of another defense, beside the undefended run of its seed."""
    defense = template.defense.model_copy(update={"name": name, "options": {}, "kind": kind})
    changes = {"id": f"{name}-{seed}", "seed": seed, "defense": defense, "complete": True}
    changes["baseline_id"] = None if kind == "none" else f"undefended-{seed}"
    changes["attacks"] = template.attacks if attacks is None else attacks
    return template.model_copy(update=changes)


def edited(attacks, number: int, **figures) -> list:
    """The attacks with figures of one of them set to others."""
    attack = attacks[number]
    changed = attack.model_copy(update={"metrics": attack.metrics.model_copy(update=figures)})
    return [*attacks[:number], changed, *attacks[number + 1 :]]


def lowered(record: Record, by: float) -> Record:
    """The record with the AUC of its first verification, and its interval, lower by this much."""
    number = next(n for n, attack in enumerate(record.attacks) if attack.task == "verification")
    auc = Interval(**{end: value - by for end, value in record.attacks[number].metrics.auc.model_dump().items()})
    return record.model_copy(update={"attacks": edited(record.attacks, number, auc=auc)})


def black(template: Record, *, auc: Interval | None = HALF, linkage: str | None = None, found: float | None = None):
    """The sample's attacks as they come out against nothing; or with another AUC on a linkage, or another mAP@R."""
    attacks = []
    for attack in template.attacks:
        metrics = attack.metrics
        if attack.task == "verification":
            metrics = metrics.model_copy(update={"auc": auc if linkage in (None, attack.linkage) else HALF})
        else:
            chance = metrics.chance["map_at_r"] if found is None else found
            metrics = metrics.model_copy(update={"map_at_r": Interval(value=chance, low=chance, high=chance)})
        attacks.append(attack.model_copy(update={"metrics": metrics}))
    return attacks


@pytest.fixture
def board(template) -> dict[str, Record]:
    """A sound board: the undefended run, both controls and a defense."""
    return {
        "undefended": run_of(template, "undefended", kind="none"),
        "identity": run_of(template, "identity"),
        "blackout": run_of(template, "blackout", attacks=black(template)),
        "noise": run_of(template, "noise"),
    }


def judge(board: dict[str, Record]):
    records = list(board.values())
    return board_controls(records, records)


def printed(records: list[Record]) -> str:
    stream = io.StringIO()
    print_summary(records, Console(file=stream, width=100, highlight=False))
    return " ".join(stream.getvalue().split())


def test_controls_that_hold_are_said_to(board):
    found = judge(board)
    assert not found.reasons
    assert not found.missing
    assert all(found.of(record) == () for record in board.values())
    page = render(list(board.values()))["phantom-1.md"]
    assert "Controls: identity equals the undefended run in every attack, blackout is at chance." in page
    assert "nvalid" not in page


def test_one_changed_digit_of_identity_invalidates_all_that_is_measured_beside_it(template, board):
    number = next(n for n, attack in enumerate(template.attacks) if attack.task == "verification")
    auc = template.attacks[number].metrics.auc
    nudged = auc.model_copy(update={"value": auc.value + 1e-12})
    board["identity"] = run_of(template, "identity", attacks=edited(template.attacks, number, auc=nudged))
    # Another seed has an undefended run of its own: it is not touched.
    board["apart"] = run_of(template, "undefended", seed=1, kind="none")
    found = judge(board)
    (reason,) = found.reasons
    assert "identity, which publishes the originals, differs from the undefended run" in reason
    assert "verification by" in reason
    for name, record in board.items():
        assert found.of(record) == (() if name == "apart" else (reason,))


@pytest.mark.parametrize(
    ("device", "knowledge", "by", "holds"),
    [
        ("cuda", "informed", 0.001, True),
        # Ignorant attackers of both runs are one training, on whatever device.
        ("cuda", "ignorant", 0.001, False),
        ("cpu", "informed", 0.001, False),
        ("cuda", "informed", 0.9, False),
        # A rung that was added is judged by what it says of itself.
        ("cuda", "added and trained", 0.001, True),
        ("cuda", "added", 0.001, False),
    ],
)
def test_informed_trainings_on_a_gpu_may_end_apart_within_their_intervals(
    template, board, monkeypatch, device, knowledge, by, holds
):
    added = (
        ladder.Level(name, ("restored",), trains=trains, models=False)
        for name, trains in (("added", False), ("added and trained", True))
    )
    monkeypatch.setattr(ladder, "LEVELS", (*ladder.LEVELS, *added))
    for name in ("undefended", "identity"):
        environment = board[name].environment.model_copy(update={"device": device})
        attacks = [attack.model_copy(update={"knowledge": knowledge}) for attack in board[name].attacks]
        board[name] = board[name].model_copy(update={"environment": environment, "attacks": attacks})
    board["identity"] = lowered(board["identity"], by)
    assert (not judge(board).reasons) == holds


@pytest.mark.parametrize(("by", "holds"), [(0.001, True), (0.9, False)])
@pytest.mark.parametrize("knowledge", ["ignorant", "informed"])
@pytest.mark.parametrize("other", ["another", "x86_64"])
def test_on_another_processor_every_training_may_end_apart_within_its_interval(
    template, board, knowledge, other, by, holds
):
    # Records of before name the architecture: whether it was the same processor is not known.
    for name, processor in (("undefended", other), ("identity", "one")):
        environment = board[name].environment.model_copy(update={"device_name": processor})
        attacks = [attack.model_copy(update={"knowledge": knowledge}) for attack in board[name].attacks]
        board[name] = board[name].model_copy(update={"environment": environment, "attacks": attacks})
    board["identity"] = lowered(board["identity"], by)
    found = judge(board)
    assert (not found.reasons) == holds
    assert not found.exact
    if holds:
        how = "agrees with the undefended run, of a GPU or another machine, within the intervals of every attack"
        assert found.line == f"identity {how}, blackout is at chance"


def test_an_attack_that_identity_lacks_is_a_difference(template, board):
    board["identity"] = run_of(template, "identity", attacks=template.attacks[1:])
    assert "differs from the undefended run" in judge(board).reasons[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        # Two constants tie in every pair: nothing but one half is right, whatever the interval.
        ({"auc": Interval(value=0.501, low=0.45, high=0.55), "linkage": "released-released"}, "AUC 0.501"),
        ({"auc": Interval(value=0.4, low=0.3, high=0.45), "linkage": "original-released"}, "AUC 0.400"),
        ({"found": 0.5}, "mAP@R 0.500"),
    ],
)
def test_blackout_off_chance_is_a_failure_with_the_figure(template, board, changes, reason):
    board["blackout"] = run_of(template, "blackout", attacks=black(template, **changes))
    (found,) = judge(board).reasons
    assert found.startswith(f"blackout is not at chance ({reason} by ")


@pytest.mark.parametrize(
    ("auc", "linkage"),
    [
        # A known original has a score of its own: within its interval, or nearly, that is chance.
        (Interval(value=0.42, low=0.3, high=0.51), "original-released"),
        (Interval(value=0.47, low=0.45, high=0.49), "original-released"),
        (Interval(value=None, low=None, high=None), None),
    ],
)
def test_blackout_within_chance_holds(template, board, auc, linkage):
    board["blackout"] = run_of(template, "blackout", attacks=black(template, auc=auc, linkage=linkage))
    assert not judge(board).reasons


def test_controls_that_are_not_there_are_missed_in_one_line(template, board):
    del board["identity"]
    board |= {f"{name}1": run_of(template, name, seed=1) for name in ("identity", "noise")}
    board["undefended1"] = run_of(template, "undefended", seed=1, kind="none")
    found = judge(board)
    assert not found.reasons
    assert found.line == (
        "without a run of identity at seed 0 and of blackout at seed 1 beside the undefended one, this board is "
        "not confirmed"
    )
    del board["blackout"], board["identity1"]
    assert judge(board).line.startswith("without a run of identity and of blackout beside")
    # Nothing to hold it against is as good as no control.
    lone = run_of(template, "identity")
    assert board_controls([lone], [lone]).missing == {"identity": (0,), "blackout": (0,)}


def test_a_failed_control_is_marked_with_its_reason_everywhere(template, board):
    board["blackout"] = run_of(template, "blackout", attacks=black(template, found=0.5))
    records = list(board.values())
    (reason,) = judge(board).reasons
    pages = render(records)
    assert "**Invalid board**: blackout is not at chance" in pages["phantom-1.md"]
    assert pages["phantom-1.md"].count("| invalid controls |") == len(board)
    rows = list(csv.DictReader(io.StringIO(pages["phantom-1.csv"])))
    assert [row["problems"] for row in rows] == [reason] * len(board)
    (made,) = boards(records)
    assert made.controls.reasons == (reason,)
    assert not any(line.row.sound or line.front for line in made.lines)
    text = printed(records)
    assert text.count("INVALID") == len(board)
    assert f"noise: invalid: {reason}" in text


def test_controls_of_images_say_nothing_of_published_models(template, board):
    board["model"] = run_of(template, "model", kind="model").model_copy(update={"track": "model"})
    board["blackout"] = run_of(template, "blackout", attacks=black(template, found=0.5))
    made = {board.track: board for board in boards(list(board.values()))}
    assert made["images"].controls.reasons != ()
    assert made["model"].controls.reasons == ()
    assert made["model"].controls.line == ""
    assert made["model"].lines[0].row.status != "invalid controls"


def test_the_terminal_says_what_is_missing(board):
    records = [board["undefended"], board["noise"]]
    assert "controls: without a run of identity and of blackout beside" in printed(records)
