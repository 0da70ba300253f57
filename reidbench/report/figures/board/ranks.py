"""How certain the order of a board is: ranks by the strongest mAP@R over patients, and which rows can be told apart.

Where scores of version-2 definitions lie beside the records, patients are resampled for all rows at once, so that what
rows share cancels: each patient moves every figure by a known amount, to first order, and a resample is a sum of them.
The other rows vary as their intervals say, as if independent of the rest, which makes ranks less certain than they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot, inf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from reidbench.errors import ReidbenchError
from reidbench.files import content_digest
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.paired.rises import LEVEL, patients_left_out
from reidbench.records.schema import Record
from reidbench.records.scores import read_retrieval
from reidbench.records.scores_archive import UNREADABLE
from reidbench.records.supplements.content import source_of
from reidbench.records.supplements.files import scores_path
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.paired.matching import Kept, scores_key
from reidbench.report.figures.summary import worst_retrieval

RUNS = 1_000
# By so much a row varies of which nothing is known: figures lie in [0, 1], and it may be before or after all others.
ANYWHERE = 1e3
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True, eq=False)
class PatientInfluence:
    """How far each patient moves a record's strongest mAP@R.

    Attributes:
        patients: equal where the test patients are the same.
        values: (K,), centred; their squares add up to the variance.
    """

    patients: str
    values: NDArray[np.float64]


#: By a record's id.
Influences = Mapping[str, PatientInfluence]


@dataclass(frozen=True)
class Rank:
    """A row's place, 1 for the highest risk.

    Attributes:
        shared: the place of the first of the rows that share it: those after it that cannot be told apart from it.
        low, high: the place in 95 % of resamples; of rows with equal figures, the first and the last of theirs.
        alone: whether no other row shares it.
        paired: whether patients were resampled with those of the other rows.
    """

    shared: int
    low: int
    high: int
    alone: bool
    paired: bool

    @property
    def text(self) -> str:
        """``3``, or ``3=`` where several rows share it."""
        return f"{self.shared}" if self.alone else f"{self.shared}="

    @property
    def range(self) -> str:
        """``2–5``."""
        return f"{self.low}" if self.low == self.high else f"{self.low}–{self.high}"


def read_influences(kept: Iterable[Kept]) -> dict[str, PatientInfluence]:
    """How far patients move the figures of records whose scores lie beside them, of this kind and readable.

    What is wrong with other files is said where drops are made, which read all of them.
    """
    found = {}
    for one in kept:
        made = _read(one.record, one)
        if made is not None:
            found[one.record.id] = made
    return found


def _read(record: Record, kept: Kept) -> PatientInfluence | None:
    worst = worst_retrieval(record)
    if worst is None:
        return None
    source, key = source_of(worst.attack), scores_key(worst.attack)
    if source is None:
        path, sha256, definitions = kept.scores_path, record.scores_sha256, record.definitions
    else:
        path, sha256, definitions = scores_path(source.path), source.scores_sha256, source.definitions
    if definitions < 2 or sha256 is None or not path.is_file():
        return None
    try:
        if content_digest(path) != sha256:
            return None
        scores = read_retrieval(path, key)
        left_out = patients_left_out(scores, key) if scores is not None else None
    except (ReidbenchError, *UNREADABLE, IndexError, TypeError):
        return None
    if scores is None or left_out is None or not np.isfinite(left_out.influence).all():
        return None
    return PatientInfluence(hashlib.sha256(scores.patients.tobytes()).hexdigest(), left_out.influence)


def ranks(table: Sequence[Row], influences: Influences | None = None, *, runs: int = RUNS) -> list[Rank | None]:
    """One rank for each row of a table; None where it has no mAP@R.

    Args:
        table: its rows, in any order.
        influences: what :func:`read_influences` found.
        runs: resamples.
    """
    values = [row.mean(worst_retrieval) for row in table]
    known = [place for place, value in enumerate(values) if value is not None]
    # By falling figure; labels decide equal ones, so that resamples don't depend on the order of the records.
    known.sort(key=lambda place: (-(values[place] or 0.0), table[place].label))
    spreads = _spreads([table[place] for place in known], influences or {})
    figures = np.array([values[place] for place in known], dtype=np.float64)
    low, high = _bootstrap(figures, spreads, runs)
    shared = _shared(figures, spreads)
    found: list[Rank | None] = [None] * len(table)
    for position, place in enumerate(known):
        alone = shared.count(shared[position]) == 1
        paired = bool(spreads.paired[position])
        found[place] = Rank(shared[position], int(low[position]), int(high[position]), alone, paired)
    return found


@dataclass(frozen=True, eq=False)
class _Spreads:
    """How rows vary.

    Attributes:
        together: (N, K) by how much each patient moves each row; 0 for rows that are not paired.
        apart: (N,) standard deviation of what each row has for itself; infinite where nothing is known of it.
        seeds: (N,) standard error of the mean over seeds, estimated from them; 0 for a single one.
        degrees: (N,) of freedom of that estimate; 1 for a single seed.
        paired: (N,) whether the row is paired.
    """

    together: NDArray[np.float64]
    apart: NDArray[np.float64]
    seeds: NDArray[np.float64]
    degrees: NDArray[np.int64]
    paired: NDArray[np.bool_]


def _spreads(table: Sequence[Row], influences: Influences) -> _Spreads:
    given = [[influences.get(record.id) for record in row.records] for row in table]
    whole = [[one for one in each if one is not None] for each in given]
    sets = [one.patients for each, known in zip(given, whole) if len(known) == len(each) for one in known]
    # Most rows' patients: an odd record varies by itself.
    patients = max(sorted(set(sets)), key=sets.count, default="")
    paired = [
        len(known) == len(each) and all(one.patients == patients for one in known) for each, known in zip(given, whole)
    ]
    count = next((len(one.values) for known in whole for one in known if one.patients == patients), 0)
    together = np.zeros((len(table), count))
    apart = np.zeros(len(table))
    for position, (row, known) in enumerate(zip(table, whole)):
        if paired[position]:
            together[position] = np.mean([one.values for one in known], axis=0)
        else:
            apart[position] = _from_interval(row)
    # What a repetition with other seeds would move.
    seeds = np.array([(row.spread(worst_retrieval) or 0.0) / sqrt(len(row.records)) for row in table])
    degrees = np.array([max(1, len(row.records) - 1) for row in table], dtype=np.int64)
    return _Spreads(together, apart, seeds, degrees, np.array(paired, dtype=np.bool_))


def _from_interval(row: Row) -> float:
    worst = row.worst(worst_retrieval)
    if worst is None or worst.figure.low is None or worst.figure.high is None:
        return inf
    return (worst.figure.high - worst.figure.low) / (2 * _Z)


def _bootstrap(figures: NDArray[np.float64], spreads: _Spreads, runs: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places that rows, the highest figure first, have in the middle 95 % of resamples."""
    rng = np.random.Generator(np.random.SFC64(BOOTSTRAP_SEED))
    count = spreads.together.shape[1]
    draws = np.tile(figures, (runs, 1))
    if count:
        drawn = rng.multinomial(count, np.full(count, 1 / count), runs) - 1.0
        draws += drawn @ spreads.together.T
    draws += rng.normal(size=draws.shape) * np.where(np.isinf(spreads.apart), ANYWHERE, spreads.apart)
    # A spread that comes from three seeds is itself uncertain, as Student's t has it.
    draws += rng.standard_t(spreads.degrees, size=draws.shape) * spreads.seeds
    # Rows that move alike are equal but for the order in which their terms were added.
    draws = draws.round(12)
    best, worst = (np.empty(draws.shape, dtype=np.intp) for _ in range(2))
    for run, each in enumerate(draws):
        rising = np.sort(each)
        best[run] = len(each) - np.searchsorted(rising, each, side="right") + 1
        worst[run] = len(each) - np.searchsorted(rising, each, side="left")
    tail = int(runs * (1 - LEVEL) / 2)
    return np.sort(best, axis=0)[tail], np.sort(worst, axis=0)[runs - 1 - tail]


def _shared(figures: NDArray[np.float64], spreads: _Spreads) -> list[int]:
    """The shared place of each row, the highest figure first."""
    apart, seeds = _Z * spreads.apart, spreads.seeds
    if seeds.any():
        from scipy.special import stdtrit  # One seed needs no quantile.

        seeds = stdtrit(spreads.degrees, (1 + LEVEL) / 2) * seeds
    found: list[int] = []
    first = 0
    for position in range(len(figures)):
        together = _Z * (spreads.together[first] - spreads.together[position])
        own = (each[place] for each in (apart, seeds) for place in (first, position))
        if position and figures[first] - figures[position] > hypot(*together, *own):
            first = position
        found.append(first + 1)
    return found


def explained(found: Sequence[Rank | None]) -> str:
    """What the ranks of a table were made from, in a sentence; empty without any."""
    known = [one for one in found if one is not None]
    paired = sum(one.paired for one in known)
    if not known:
        return ""
    if paired == len(known):
        return "Ranks: patients resampled for all rows at once."
    if not paired:
        return (
            "Ranks: from the intervals of the rows as if they were independent, which overstates how unsure they are."
        )
    return (
        f"Ranks: patients resampled for {paired} rows at once; the other {len(known) - paired} vary as their intervals "
        "say, as if independent."
    )
