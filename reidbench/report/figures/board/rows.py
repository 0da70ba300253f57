"""A row of a table: one defense with its options, over all its seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from reidbench import metrics
from reidbench.records.figures import interval
from reidbench.records.ladder import full_ladder
from reidbench.records.paired.rises import LEVEL
from reidbench.records.paired.strongest import ENOUGH_PAIRS
from reidbench.records.parts.common import Interval
from reidbench.records.schema import Record, VerificationMetrics
from reidbench.records.supplements.content import beside
from reidbench.report.figures.board.pareto import pareto_front
from reidbench.report.figures.controls import BoardControls
from reidbench.report.figures.credit import MARK, uncredited
from reidbench.report.figures.machines import Apart, apart
from reidbench.report.figures.paired.change import as_metric, over_seeds
from reidbench.report.figures.paired.drops import RETRAINED, Drops, Find
from reidbench.report.figures.summary import (
    Worst,
    contradiction,
    defense_label,
    drop,
    several_known,
    utility,
    utility_fall,
    worst_all_pairs,
    worst_retrieval,
)

#: A defense with at most this many options keeps them in its label even where all rows of the table share them.
FEW = 3


@dataclass(frozen=True)
class Row:
    """One defense with its options, over all its seeds.

    Attributes:
        records: one record per seed, all of one group.
        baselines: the undefended record of each, None where it is not among the records.
        problems: why the row is invalid, each reason once; empty for a valid row.
        drops: the drops with a paired interval; others are shown without an interval.
        shared: options with the same value in all of the defense's rows of the table; its label omits them.
    """

    records: tuple[Record, ...]
    baselines: tuple[Record | None, ...]
    problems: tuple[str, ...]
    drops: Drops = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    _worst: dict[tuple[int, Find], Worst | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def label(self) -> str:
        """Name and options, without the shared ones."""
        return defense_label(self.records[0], without=self.shared)

    @property
    def seeds(self) -> int:
        """The number of different seeds; records of another version may repeat a seed."""
        return len({record.seed for record in self.records})

    @property
    def status(self) -> str:
        """``complete``, or what is missing or wrong."""
        marks = []
        if not all(record.complete for record in self.records):
            marks.append("incomplete ladder")
        contradicted = {contradiction(record) for record in self.records} - {None}
        if not contradicted.issuperset(self.problems):
            marks.append("invalid controls")
        if contradicted:
            marks.append("claim contradicted by its audit")
        if any(b is None and r.defense.kind != "none" for r, b in zip(self.records, self.baselines)):
            marks.append("no undefended run")
        if any(record.defense.published for record in self.records):
            marks.append("a stand-in")
        if self.unmatched_break:
            marks.append("a published break is missing")
        if any(self.apart):
            marks.append("of another machine")
        if self.badly_trained:
            marks.append("badly trained")
        if uncredited(*self.records):
            marks.append(MARK)
        if len({_source(record) for record in self.records}) > 1:
            marks.append("of several versions")
        if self.seeds < len(self.records):
            marks.append("a seed repeated")
        return ", ".join(marks) or "complete"

    @property
    def apart(self) -> tuple[Apart | None, ...]:
        """Of each run, in what its machine differs from its undefended run's; None where nothing shows that it does."""
        return tuple(apart(record, baseline) for record, baseline in zip(self.records, self.baselines, strict=True))

    @property
    def unmatched_break(self) -> bool:
        """Whether a published break of the defense is not among the attacks, so that figures are too low."""
        return any(record.defense.unmatched_break for record in self.records)

    @property
    def badly_trained(self) -> bool:
        """Whether an attacker found no more than no network at all: its figures are no evidence of privacy."""
        return any(one.check is not None and one.check.failed for record in self.records for one in record.attacks)

    @property
    def sound(self) -> bool:
        """Whether all ladders are complete and controls and claim hold; if not, the true worst case may be higher."""
        return not self.problems and all(record.complete for record in self.records)

    def worst(self, find: Find) -> Worst | None:
        """The highest worst case over the seeds."""
        found = [worst for record in self.records if (worst := self._find(find, record)) is not None]
        return max(found, key=lambda worst: worst.value, default=None)

    def mean(self, find: Find) -> float | None:
        """The mean worst case over the seeds."""
        return _mean(self._values(find))

    def spread(self, find: Find) -> float | None:
        """The standard deviation of the worst case over the seeds; None for a single seed."""
        known = [value for value in self._values(find) if value is not None]
        return stdev(known) if len(known) == len(self.records) > 1 else None

    def drop(self, find: Find) -> Interval | None:
        """The mean drop against the undefended runs of the same seeds; None for an undefended run.

        Its interval is paired, over patients, and includes the spread over seeds where there are several. There is no
        interval unless the drops of all seeds are paired.
        """
        mean = _mean(
            drop(self._find(find, record), self._find(find, baseline)) if baseline else None
            for record, baseline in zip(self.records, self.baselines)
        )
        if mean is None:
            return None
        paired = [self.drops[record.id, find] for record in self.records if (record.id, find) in self.drops]
        if len(paired) < len(self.records):
            return Interval(value=mean, low=None, high=None)
        return interval(over_seeds(paired, LEVEL))

    def _find(self, find: Find, record: Record) -> Worst | None:
        # Asked a dozen times for each row, of every attack. The row and its records live as long as the numbers.
        key = (id(record), find)
        if key not in self._worst:
            self._worst[key] = find(record)
        return self._worst[key]

    def _values(self, find: Find) -> list[float | None]:
        return [worst.value if (worst := self._find(find, record)) else None for record in self.records]

    def several_known(self) -> float | None:
        """The mean over the seeds of the Precision@1 with four known images a patient."""
        return _mean(several_known(record) for record in self.records)

    def all_pairs(self) -> float | None:
        """The mean over the seeds of the highest AUC over all pairs of test images."""
        return _mean(worst_all_pairs(record) for record in self.records)

    def utility(self, trained_on: str, tested_on: str) -> float | None:
        """The mean macro AUC over the seeds."""
        found = [utility(record, trained_on, tested_on) for record in self.records]
        return _mean(interval.value if interval else None for interval in found)

    def utility_interval(self, trained_on: str, tested_on: str) -> Interval | None:
        """The same, with its 95 % interval over patients if there is a single seed."""
        if len(self.records) == 1:
            return utility(self.records[0], trained_on, tested_on)
        mean = self.utility(trained_on, tested_on)
        return None if mean is None else Interval(value=mean, low=None, high=None)

    def fall(self, trained_on: str, tested_on: str) -> Interval | None:
        """The mean fall of the macro AUC against the classifier of originals on originals; None where it has none.

        Its interval is paired, over patients, and includes the spread over seeds where there are several. Records from
        before falls were recorded have the difference to the undefended run, with an interval where scores of both
        runs lie beside them.
        """
        falls = [self._fall(record, trained_on, tested_on) for record in self.records]
        known = [one for one in falls if one is not None]
        if len(known) == len(falls):
            return interval(over_seeds(known, LEVEL))
        before = [utility(baseline, "originals") if baseline else None for baseline in self.baselines]
        left = [utility(record, trained_on, tested_on) for record in self.records]
        mean = _mean(
            old.value - new.value if old and new and old.value is not None and new.value is not None else None
            for old, new in zip(before, left)
        )
        return None if mean is None else Interval(value=mean, low=None, high=None)

    def counted_from(self, trained_on: str, tested_on: str) -> float | None:
        """The mean macro AUC of the classifiers of originals on originals that :meth:`fall` is counted from.

        Each run has its own, which on another machine than the undefended run's ends elsewhere: only the two of one run
        are comparable. For records without a recorded fall it is the undefended run's.
        """
        left, fallen = self.utility(trained_on, tested_on), self.fall(trained_on, tested_on)
        return None if left is None or fallen is None or fallen.value is None else left + fallen.value

    def _fall(self, record: Record, trained_on: str, tested_on: str) -> metrics.Interval | None:
        recorded = utility_fall(record, trained_on, tested_on)
        if recorded is not None:
            return as_metric(recorded) if recorded.value is not None else None
        return self.drops.get((record.id, RETRAINED)) if (trained_on, tested_on) == ("release", "release") else None

    @property
    def climbed(self) -> tuple[int, int]:
        """The number of rungs that were run at every seed, and the number of rungs of the full ladder."""
        found = min(len({(a.knowledge, a.linkage) for a in record.attacks}) for record in self.records)
        return found, len(full_ladder(self.records[0].track))

    def ssim(self) -> float | None:
        """The mean structural similarity over the seeds."""
        return _mean(record.utility.fidelity.ssim if record.utility else None for record in self.records)


def rows(
    members: Sequence[Record], everything: Sequence[Record], controls: BoardControls, drops: Drops | None = None
) -> list[Row]:
    """A table's rows, the highest mAP@R over patients of a strongest attack, and so the highest risk, first.

    Not by AUC: near 1 it tells hardly anything apart, and where one image stands for a cluster of patients, as in
    k-Same, whether two published images are equal decides it.
    """
    by_defense: dict[str, list[Record]] = defaultdict(list)
    for record in members:
        by_defense[defense_label(record)].append(record)
    by_id = {record.id: record for record in reversed(everything)}
    by_name: dict[str, list[Record]] = defaultdict(list)
    for record in members:
        by_name[record.defense.name].append(record)
    shared = {name: _shared(records) for name, records in by_name.items()}
    made = []
    for seeds in by_defense.values():
        ordered = sorted(seeds, key=lambda record: (record.seed, record.created))
        problems = dict.fromkeys(reason for record in ordered for reason in controls.of(record))
        undefended = [by_id.get(record.baseline_id or "") for record in ordered]
        baselines = tuple(beside(one, record) if one else None for one, record in zip(undefended, ordered))
        name = ordered[0].defense.name
        made.append(Row(tuple(ordered), baselines, tuple(problems), drops or {}, shared[name]))
    return sorted(made, key=_by_risk)


def _source(record: Record) -> tuple[str, ...]:
    """Whose defense it is, of which version, and which reidbench attacked it."""
    return record.defense.distribution, record.defense.version, record.reidbench_version


def _by_risk(row: Row) -> tuple[float, str]:
    risk = row.mean(worst_retrieval)
    return (1.0 if risk is None else -risk), row.label


def _shared(records: Sequence[Record]) -> frozenset[str]:
    """Options with the same value in all records of a defense; none if all are equal and there are at most FEW."""
    options = [record.defense.options for record in records]
    if len(options[0]) <= FEW and all(one == options[0] for one in options):
        return frozenset()
    missing = object()
    return frozenset(
        name for name, value in options[0].items() if all(one.get(name, missing) == value for one in options)
    )


def shared_options(table: Sequence[Row]) -> list[str]:
    """The options that the labels of a table omit: one text per defense that has such options."""
    found: dict[str, str] = {}
    for row in table:
        record = row.records[0]
        varied = frozenset(record.defense.options) - row.shared
        if (text := defense_label(record, without=varied)) != record.defense.name:
            found[record.defense.name] = text
    return [found[name] for name in sorted(found)]


def highest_tpr(row: Row) -> float | None:
    """The highest true positive rate at 1 % false positives over the ladder, averaged over the seeds.

    Fewer than a hundred impostor pairs cannot resolve a rate of 1 %: attacks on so few pairs are left out.
    """
    return _mean(max(_rates(record), default=None) for record in row.records)


def _rates(record: Record) -> list[float]:
    return [
        rate
        for attack in record.every_attack
        if isinstance(figures := attack.metrics, VerificationMetrics)
        and figures.impostor >= ENOUGH_PAIRS
        and (rate := figures.tpr_at_fpr_1.value) is not None
    ]


def front(table: Sequence[Row]) -> list[int]:
    """Positions of the rows on the Pareto front of strongest mAP@R and utility (retrained), the lowest risk first.

    Rows with an incomplete ladder, failed controls or a contradicted claim are left out.
    """
    points = [(row.mean(worst_retrieval) if row.sound else None, row.utility("release", "release")) for row in table]
    return pareto_front(points)


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    # A seed without the figure makes the mean unknown: an average must not skip what is missing.
    return fmean(value for value in known if value is not None) if known and None not in known else None
