"""Whether a published model hides more than a network that has learned nothing: what a defense may be credited with."""

from __future__ import annotations

from dataclasses import dataclass

from reidbench.records.parts.common import Interval
from reidbench.records.schema import Record
from reidbench.report.figures.summary import worst_retrieval, worst_verification

#: In the status of a row.
MARK = "no fall beyond untrained networks"


@dataclass(frozen=True)
class Comparison:
    """A figure of a published model beside those of its network before training.

    Attributes:
        name: of the figure.
        trained: of the strongest attack, with its interval over patients.
        untrained: by initialization, at least one.
    """

    name: str
    trained: Interval
    untrained: tuple[float, ...]

    @property
    def credited(self) -> bool:
        """Whether vectors link patients worse than those of every untrained network, beyond the interval."""
        return self.trained.high is not None and self.trained.high < min(self.untrained)


def comparisons(record: Record) -> list[Comparison]:
    """AUC by negatives and mAP@R of the strongest attack, where the record has them of untrained networks too."""
    control = record.untrained
    if control is None:
        return []
    named = [
        (f"AUC ({negatives})", worst_verification(record, negatives), known) for negatives, known in control.auc.items()
    ]
    named.append(("mAP@R", worst_retrieval(record), control.map_at_r_patients))
    found = []
    for name, worst, known in named:
        values = tuple(value for value in known if value is not None)
        if values and worst is not None:
            found.append(Comparison(name, worst.figure, values))
    return found


def credited(*records: Record) -> list[str]:
    """The figures that are below every untrained network, beyond the interval, in all records of one model."""
    compared = [{one.name: one.credited for one in comparisons(record)} for record in records]
    return [name for name in compared[0] if all(found.get(name, False) for found in compared)]


def uncredited(*records: Record) -> bool:
    """Whether the control was made at every seed of a defended model, and no figure is beyond it at all of them."""
    made = all(comparisons(record) for record in records)
    return records[0].defense.kind != "none" and made and not credited(*records)
