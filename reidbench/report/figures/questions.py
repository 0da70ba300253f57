"""The three questions of an anonymity assessment, with what a run found for each: linkability, singling out, inference.

The terms are those of the Article 29 Working Party's Opinion 05/2014 on anonymisation techniques. The figures are those
of the strongest tested attacks: a release may be worse than they show, not better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from reidbench.records.parts.common import Interval
from reidbench.records.parts.questions import Inferred, SinglingOut
from reidbench.records.schema import Attack, Record, RetrievalMetrics
from reidbench.report.figures.formats import figure, number
from reidbench.report.figures.summary import short_rung, worst_retrieval

#: How the three questions are put, and in which order.
ASKED = {
    "linkability": "Can two images of one person be linked?",
    "singling out": "Can a person's records be isolated?",
    "inference": "Does an image tell something else of the person?",
}
#: The head of the table.
HEAD = ("question", "figure", "value", "to compare with", "in words")
NOTE = (
    "Linkability, singling out and inference are the three criteria of Opinion 05/2014 (WP216) on anonymisation "
    "techniques. Figures are of the strongest tested attacks: they show that a risk exists, and cannot show that there "
    "is none. Brackets: 95 %, bootstrap over patients."
)


@dataclass(frozen=True)
class Answer:
    """One row of the table.

    Attributes:
        question: linkability, singling out or inference.
        name: of the figure.
        value: the figure with its interval, as text.
        beside: what it is compared with, as text.
        words: the figure in a sentence that stands alone.
    """

    question: str
    name: str
    value: str
    beside: str
    words: str

    @property
    def cells(self) -> list[str]:
        """The row, below :data:`HEAD`."""
        return [f"{self.question}: {ASKED[self.question]}", self.name, self.value, self.beside, self.words]


def answers(records: Sequence[Record], found: Sequence[RetrievalMetrics] = ()) -> list[Answer]:
    """What is found for the three questions; what the records do not have is left out.

    Args:
        records: one, or one for each fold of an audit, of which the means are told with the lowest and the highest.
        found: the attacks' rankings over all folds; by default those of the records.
    """
    return [*_linkability(records, found), *_copies(records), *_singling_out(records), *_inference(records)]


def _linkability(records: Sequence[Record], found: Sequence[RetrievalMetrics]) -> list[Answer]:
    best: RetrievalMetrics | None = max(found, key=lambda one: one.map_at_r_patients.value or 0.0, default=None)
    by = ""
    if best is None and len(records) == 1 and (worst := worst_retrieval(records[0])) is not None:
        best, by = _ranked(worst.attack), f" ({short_rung(worst.attack)})"
    if best is None or best.precision_at_1.value is None:
        return []
    chance = best.chance.get("precision_at_1")
    words = (
        f"With one image of a person who has others here, the first match is another image of the same person in "
        f"{_percent(best.precision_at_1)} of the searches{by}; guessing finds {_share(chance)}."
    )
    return [Answer("linkability", "Precision@1", figure(best.precision_at_1), f"guessing {number(chance)}", words)]


def _copies(records: Sequence[Record]) -> list[Answer]:
    known = [record.copies for record in records if record.copies is not None]
    if not known or len(known) < len(records):
        return []
    copies, most = _over([one.copies for one in known]), max(one.most for one in known)
    usual = fmean(one.originals for one in known)
    words = (
        f"{_percent(copies)} of the published images are nearer to a person whom the defense learned from than to "
        f"anybody else, as {_share(usual)} of the originals are by chance; at most {_share(most)} copy one person."
    )
    return [
        Answer(
            "linkability", "copies of training patients", _text(copies, len(known)), f"originals {number(usual)}", words
        )
    ]


def _ranked(attack: Attack) -> RetrievalMetrics | None:
    return attack.metrics if isinstance(attack.metrics, RetrievalMetrics) else None


def _singling_out(records: Sequence[Record]) -> list[Answer]:
    made = []
    shares = dict.fromkeys(one.false_share for record in records for one in record.singling_out or ())
    for share in shares:
        # The linkage in which more patients are isolated; of several folds each its own.
        each = [[one for one in record.singling_out or () if one.false_share == share] for record in records]
        if not all(each):
            continue
        worst = [max(found, key=_isolated) for found in each]
        told, strangers = _over([one.correct for one in worst]), _over([one.unpublished for one in worst])
        words = (
            f"{_percent(told)} of the people come first in a search, so far ahead of all others that at most "
            f"{_share(share)} of people without a published image should be taken for somebody. Here "
            f"{_percent(strangers)} would be, and {_percent(_over([one.wrong for one in worst]))} are taken for "
            "somebody else."
        )
        if any(one.calibrated_on == "test" for one in worst):
            words += " How far is set by these people themselves, since there are no others."
        beside = f"strangers {_text(strangers, len(worst))}"
        name = f"people isolated, limit of {_share(share)}"
        made.append(Answer("singling out", name, _text(told, len(worst)), beside, words))
    return made


def _isolated(one: SinglingOut) -> float:
    return one.correct.value or 0.0


def _inference(records: Sequence[Record]) -> list[Answer]:
    known = [record.inference for record in records if record.inference is not None]
    if not known or len(known) < len(records):
        return []
    thing = "a published vector" if records[0].track == "model" else "an image"
    made = []
    for name in known[0].attributes:
        each = [one.attributes[name] for one in known if name in one.attributes]
        if len(each) < len(known):
            continue
        strongest = _over([_strongest(one) for one in each])
        table = _over([one.table for one in each])
        words = (
            f"{name.capitalize()} can be told from {thing} with an AUC of {number(strongest.value)} (0.5 is guessing, "
            f"1 is certain); the other columns of the table alone reach {number(table.value)}."
        )
        made.append(
            Answer(
                "inference",
                f"{name}, AUC",
                _text(strongest, len(each)),
                f"table alone {_text(table, len(each))}",
                words,
            )
        )
    return made


def _strongest(one: Inferred) -> Interval:
    tried = [one.vectors, *([one.network] if one.network is not None else [])]
    return max(tried, key=lambda each: each.value if each.value is not None else -1.0)


def _over(figures: Sequence[Interval]) -> Interval:
    """A single figure as it is; of several the mean, with the lowest and the highest in place of an interval."""
    if len(figures) == 1:
        return figures[0]
    values = [one.value for one in figures if one.value is not None]
    if not values:
        return Interval(value=None, low=None, high=None)
    return Interval(value=fmean(values), low=min(values), high=max(values))


def _text(found: Interval, folds: int) -> str:
    if folds == 1 or found.value is None:
        return figure(found)
    return f"{number(found.value)} ({number(found.low)}–{number(found.high)})"


def _percent(found: Interval) -> str:
    return _share(found.value)


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.1%}".replace(".0%", "%").replace("%", " %")
