"""Whether a run and its undefended run were computed on different machines, as far as records tell.

With equal code and seed, another processor or another version of a package rounds in another way, and trainings end in
other weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reidbench.records.schema import Record
from reidbench.report.figures.summary import utility, utility_fall

#: As far as is known of such a run.
THERE = "on another machine, or with other packages, than"
# Of a macro AUC. A difference in further digits moves nothing that is said of one.
_SAME = 1e-4


@dataclass(frozen=True)
class Apart:
    """A run that was computed elsewhere than its undefended run.

    Attributes:
        differences: in what the two machines differ; empty where the records do not say.
        own, undefended: macro AUC of the classifiers of originals of the two runs; None where they are not known.
    """

    differences: tuple[str, ...]
    own: float | None = None
    undefended: float | None = None


def apart(record: Record, baseline: Record | None) -> Apart | None:
    """What shows that the two were computed on different machines; None where nothing does.

    On CPUs an equal training ends in equal weights, so that two classifiers of originals which differ show it even
    where the records don't name their processors, and two that agree show that nothing came of a difference: they may
    come from one cache. On a GPU no two trainings are equal, and those of two commits need not be.
    """
    if baseline is None:
        return None
    here, there = record.environment, baseline.environment
    differences = tuple(here.differences(there))
    own, theirs = originals_utility(record), originals_utility(baseline)
    one_code = record.git is not None and record.git == baseline.git and not record.git.dirty
    if own is None or theirs is None or not one_code or not here.device == there.device == "cpu":
        return Apart(differences) if differences else None
    return Apart(differences, own, theirs) if abs(own - theirs) >= _SAME else None


def originals_utility(record: Record) -> float | None:
    """Macro AUC of the run's own classifier of originals on originals, from which its falls are counted."""
    left, fallen = utility(record, "release"), utility_fall(record, "release")
    if left is None or fallen is None or left.value is None or fallen.value is None:
        return None
    return left.value + fallen.value


def apart_text(ones: Sequence[Apart], other: str = "in the undefended run") -> str:
    """What is known of runs that differ in the same way.

    Args:
        other: where the other classifier of originals is.
    """
    told = list(ones[0].differences)
    own = [one.own for one in ones if one.own is not None]
    theirs = [one.undefended for one in ones if one.undefended is not None]
    if own and theirs:
        told.append(
            f"the classifier of originals, from which falls of utility are counted, has {_span(own)} there and "
            f"{_span(theirs)} {other}, and utilities of the two are comparable no closer than that"
        )
    return "; ".join(told)


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.4f}", f"{max(values):.4f}"
    return low if low == high else f"{low} to {high}"
