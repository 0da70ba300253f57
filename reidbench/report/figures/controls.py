"""Control defenses: `identity` must equal the undefended run, and `blackout` must score at chance.

Both validate a whole board. If figures change under `identity`, the pipeline itself changes them, and every drop of the
board is in doubt. If `blackout` is above chance, information other than the images re-identifies patients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from reidbench.records.ladder import level_of
from reidbench.records.schema import Attack, Record, RetrievalMetrics, VerificationMetrics
from reidbench.report.figures.paired.matching import key_of
from reidbench.report.figures.summary import CHANCE_AUC, contradiction

IDENTITY, BLACKOUT = "identity", "blackout"
CONTROLS = (IDENTITY, BLACKOUT)
# A known original against a constant image: the score depends on the probe alone. For matched and listed pairs the
# numbers of genuine and impostor pairs may differ between probes, so that the AUC may lie slightly off one half.
NEAR_CHANCE = 0.05


@dataclass(frozen=True)
class BoardControls:
    """The outcome of the controls of a board.

    Attributes:
        problems: by the id of an undefended run, why records measured against it are invalid.
        missing: by control, the seeds without a run of it.
        seeds: all seeds of the board.
        apply: whether this is a board of images; the control of a published model is its undefended run.
        exact: whether `identity` has every figure of the undefended run, or else agrees with it within its intervals.
    """

    problems: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, tuple[int, ...]]
    seeds: tuple[int, ...]
    apply: bool = True
    exact: bool = True

    def failed(self, record: Record) -> tuple[str, ...]:
        """The failed controls of a record, its own first; empty if all hold."""
        return (*record.controls.problems, *self.problems.get(_undefended(record), ()))

    def of(self, record: Record) -> tuple[str, ...]:
        """Why a record is invalid: failed controls, or a claim that its own audit contradicts; empty if it is valid."""
        contradicted = contradiction(record)
        return (*self.failed(record), *([contradicted] if contradicted else []))

    @property
    def reasons(self) -> tuple[str, ...]:
        """All failures of the board, each once."""
        return tuple(dict.fromkeys(reason for reasons in self.problems.values() for reason in reasons))

    @property
    def line(self) -> str:
        """One sentence: which controls are missing, or that all hold; empty if some failed."""
        if not self.apply:
            return ""
        if not self.missing:
            if self.reasons:
                return ""
            how = "equals the undefended run in every attack"
            if not self.exact:
                how = (
                    "agrees with the undefended run, of a GPU or another machine, within the intervals of every attack"
                )
            return f"identity {how}, blackout is at chance"
        parts = []
        for name, seeds in self.missing.items():
            of = "" if seeds == self.seeds else f" at seed {', '.join(map(str, seeds))}"
            parts.append(f"{name}{of}")
        return f"without a run of {' and of '.join(parts)} beside the undefended one, this board is not confirmed"


def board_controls(members: Iterable[Record], everything: Sequence[Record]) -> BoardControls:
    """Compares the controls with the undefended runs of a board.

    Args:
        members: the records of the board.
        everything: all records, including the undefended runs and the controls of this board and of others.
    """
    members = list(members)
    seeds: dict[str, int] = {_undefended(record): record.seed for record in members}
    if any(record.track == "model" for record in members):
        return BoardControls({}, {}, tuple(sorted(set(seeds.values()))), apply=False)
    by_id = {record.id: record for record in everything}
    found: dict[str, list[Record]] = defaultdict(list)
    for record in everything:
        if record.defense.name in CONTROLS and record.baseline_id is not None:
            found[record.baseline_id].append(record)
    problems: dict[str, tuple[str, ...]] = {}
    exact = True
    missing: dict[str, set[int]] = defaultdict(set)
    for baseline_id, seed in seeds.items():
        undefended, controls = by_id.get(baseline_id), found[baseline_id]
        judged = [control for control in controls if control.defense.name == BLACKOUT or undefended is not None]
        for name in CONTROLS:
            if not any(control.defense.name == name for control in judged):
                missing[name].add(seed)
        reasons = [reason for control in judged if (reason := _why_failed(control, undefended))]
        exact &= all(_same_figures(one, undefended) for one in judged if one.defense.name == IDENTITY)
        if reasons:
            problems[baseline_id] = tuple(reasons)
    ordered = {name: tuple(sorted(missing[name])) for name in CONTROLS if name in missing}
    return BoardControls(problems, ordered, tuple(sorted(set(seeds.values()))), exact=exact)


def _undefended(record: Record) -> str:
    """The undefended run that a record is measured against: itself, if it is one."""
    return record.id if record.defense.kind == "none" or record.baseline_id is None else record.baseline_id


def _why_failed(control: Record, undefended: Record | None) -> str:
    """What the control shows to be wrong; empty if it holds."""
    if control.defense.name == BLACKOUT:
        above = [attack for attack in control.attacks if not _at_chance(attack)]
        if not above:
            return ""
        figures = above[0].metrics
        value = figures.auc.value if isinstance(figures, VerificationMetrics) else figures.map_at_r.value
        name = "AUC" if isinstance(figures, VerificationMetrics) else "mAP@R"
        return (
            f"blackout is not at chance ({name} {value:.3f} by {key_of(above[0])}{_more(above)}, seed {control.seed})"
        )
    assert undefended is not None
    mine, theirs = _by_key(control), _by_key(undefended)
    elsewhere = not control.environment.rounds_like(undefended.environment)
    exact = undefended.environment.device == control.environment.device == "cpu"
    odd = [
        a
        for key, a in mine.items()
        if key not in theirs or not _equal(a, theirs[key], exact=exact, elsewhere=elsewhere)
    ]
    odd += [attack for key, attack in theirs.items() if key not in mine]
    if not odd:
        return ""
    return (
        f"identity, which publishes the originals, differs from the undefended run ({odd[0].task} by {key_of(odd[0])}"
        f"{_more(odd)}, seed {control.seed})"
    )


def _by_key(record: Record) -> dict[tuple[str, Any], Attack]:
    return {(attack.task, key_of(attack)): attack for attack in record.attacks}


def _same_figures(control: Record, undefended: Record | None) -> bool:
    """Whether all attacks have the same figures, to the last digit of the records."""
    assert undefended is not None
    mine, theirs = _by_key(control), _by_key(undefended)
    return mine.keys() == theirs.keys() and all(one.metrics == theirs[key].metrics for key, one in mine.items())


def _equal(one: Attack, other: Attack, *, exact: bool, elsewhere: bool) -> bool:
    """Whether two attacks have the same figures: exactly, or for trainings on a GPU within their intervals.

    The order of summation on a GPU varies, so that two runs of the same training end in slightly different weights.
    Attackers that were trained on originals alone come from the same training in both runs, so that their figures must
    be equal. On another processor, or with other packages, no training of the one run need be that of the other.
    """
    if one.metrics == other.metrics:
        return True
    if not elsewhere and (exact or not level_of(one.knowledge).trains):
        return False
    mine, theirs = (
        figures.auc if isinstance(figures := attack.metrics, VerificationMetrics) else figures.map_at_r
        for attack in (one, other)
    )
    if mine.low is None or mine.high is None or theirs.low is None or theirs.high is None:
        return mine.value == theirs.value
    return mine.low <= theirs.high and theirs.low <= mine.high


def _at_chance(attack: Attack) -> bool:
    """Whether an attack on a constant release scores at chance; true where no figure is defined."""
    figures = attack.metrics
    if isinstance(figures, RetrievalMetrics):
        value, guessed = figures.map_at_r.value, figures.chance.get("map_at_r")
        return value is None or guessed is None or isclose(value, guessed, rel_tol=1e-6, abs_tol=1e-9)
    area = figures.auc
    if area.value is None or isclose(area.value, CHANCE_AUC, abs_tol=1e-9):
        return True
    # Two constants tie exactly; with an original as the probe the AUC may deviate, but only within chance.
    within = area.low is not None and area.high is not None and area.low <= CHANCE_AUC <= area.high
    return attack.linkage == "original-released" and (within or abs(area.value - CHANCE_AUC) <= NEAR_CHANCE)


def _more(attacks: Sequence[Attack]) -> str:
    return f" and {len(attacks) - 1} more" if len(attacks) > 1 else ""
