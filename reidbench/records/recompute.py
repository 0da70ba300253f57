"""A record's figures computed again from the scores beside it: an edited figure does not agree with them.

Whatever of a record is not computed again is taken on trust, and named. Consistent edits of figures and scores are not
detected; only a repetition of the run detects those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from reidbench import metrics
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.progress import Progress, Silent
from reidbench.records import figures
from reidbench.records.diagnosis import judge_predictions
from reidbench.records.ladder import full_ladder
from reidbench.records.paired.drops import key_of, tell_drops
from reidbench.records.parts.common import Interval
from reidbench.records.recompute_questions import tell_questions
from reidbench.records.schema import Attack, Classifier, Record, RetrievalMetrics, VerificationMetrics
from reidbench.records.scores import UNDEFENDED, RunScores, attack_key, classifier_key

# Ranks are kept in single precision; figures from them agree to about seven digits.
TOLERANCE = 1e-6
# Beside the figures of attacks and classifiers, and told by no score: strata need the table of the images, and the area
# over all pairs the whole matrix of scores.
UNTOLD = ("strata", "training", "auc_all_pairs")
# What scores are found by: an attack or classifier of another name has other scores, or none.
ATTACK_NAMES = ("task", "attacker", "knowledge", "linkage", "negatives")
CLASSIFIER_NAMES = ("trained_on", "tested_on")

#: Names and, in lists, numbers from the record down to a field; None stands for every number.
Steps = tuple[str | int | None, ...]


@dataclass(frozen=True)
class Mismatch:
    """A field that does not say what the scores say.

    Attributes:
        field: its path in the record.
        recorded: what the record says.
        found: what the scores say.
    """

    field: str
    recorded: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.field}: the record says {_text(self.recorded)}, its scores {_text(self.found)}"


@dataclass(frozen=True)
class Recomputed:
    """What came of it.

    Attributes:
        mismatches: fields that disagree; none for a sound record.
        checked: how many figures were computed again.
        told: paths of all fields of which an edit disagrees with the scores: these figures, and what scores are found
            by.
        on_trust: paths of all others, each as high as nothing below it is told; ``[]`` stands for every number.
    """

    mismatches: tuple[Mismatch, ...]
    checked: int
    told: tuple[str, ...]
    on_trust: tuple[str, ...]


# Whether they are the first follows from the scores; the third and the second differ in drops and in the utility alone.
_OF_RETRIEVAL = "definitions (of retrieval)"


class Compared(NamedTuple):
    """A field, and what the scores say of it."""

    path: Steps
    recorded: Any
    found: Any


def recompute(
    record: Record,
    scores: RunScores,
    progress: Progress | None = None,
    *,
    undefended: tuple[Record, RunScores] | None = None,
) -> Recomputed:
    """Computes a record's figures again, with the same seed and kind of the bootstrap, and compares.

    A figure that the record states and its scores cannot give disagrees with them: otherwise any figure would pass
    once its scores are removed.

    Args:
        record: as it was read.
        scores: the file beside it, which is the one that the record names.
        undefended: the run that its drops count from, with its scores; without it drops are on trust.

    Raises:
        ValueError, IndexError, KeyError, TypeError: the scores do not fit together.
    """
    compared = list(_outline(record, scores))
    compared += compare_attacks("attacks", record.attacks, record, scores, progress)
    for number, classifier in enumerate(_classifiers(record)):
        judged = _judged(classifier, record, scores)
        if judged is not None:
            compared += _compare(classifier, judged, ("utility", "classifiers", number), _silent(scores))
    compared += [Compared(*told) for told in tell_questions(record, scores)]
    # What a wrong figure makes of the drops would hide which figure it is.
    if undefended is not None and all(_agree(one.recorded, one.found) for one in compared):
        compared += [Compared(*told) for told in tell_drops(record, scores, *undefended)]
    return finish(record, compared, _found_by(record, scores))


def compare_attacks(
    field: str, attacks: Sequence[Attack], record: Record, scores: RunScores, progress: Progress | None = None
) -> Iterator[Compared]:
    """Every figure of attacks with what the scores say; nothing of an attack that has no scores.

    Args:
        field: with the attacks, for the paths.
        record: that the attacks are of.
    """
    with (progress or Silent()).task("figures", len(attacks)) as advance:
        for number, attack in enumerate(attacks):
            again = _figures(attack, record, scores)
            if again is not None:
                yield from _compare(attack.metrics, again, (field, number, "metrics"), _silent(scores))
            advance(1)


def finish(part: BaseModel, compared: Sequence[Compared], found_by: Iterable[Steps]) -> Recomputed:
    """What came of comparisons.

    Args:
        part: a record or a supplement.
        found_by: fields that are not compared, and of which an edit shows in those that are.
    """
    told = dict.fromkeys([*(one.path for one in compared), *found_by])
    return Recomputed(
        tuple(Mismatch(_field(p), _plain(r), _plain(f)) for p, r, f in compared if not _agree(r, f)),
        len(compared),
        tuple(map(_field, told)),
        _on_trust(part, told),
    )


def _silent(scores: RunScores) -> set[str]:
    """Parts of figures of which the scores hold nothing."""
    held = {"at_half": scores.accepted, "calibrated": scores.validation, "fall": scores.undefended}
    return {name for name, there in held.items() if not there}


def _outline(record: Record, scores: RunScores) -> Iterator[Compared]:
    """What surrounds the figures: counts, and which attacks and classifiers there are."""
    yield from _counts(record, scores)
    yield from outline_attacks("attacks", record.attacks, scores)
    if scores.ranks:
        # From the second definitions on the gallery's part of every attack is kept.
        whole_gallery = scores.gallery_gains.keys() >= scores.ranks.keys()
        field = _OF_RETRIEVAL if (record.definitions >= 2) == whole_gallery else "definitions"
        yield Compared((field,), record.definitions >= 2, whole_gallery)
    climbed = {(attack.knowledge, attack.linkage) for attack in record.attacks}
    whole = climbed == {(rung.knowledge, rung.linkage) for rung in full_ladder(record.track)}
    yield Compared(("complete",), record.complete, whole)
    if scores.withheld:
        return
    tested = sorted(classifier_key(one.trained_on, one.tested_on) for one in _classifiers(record))
    yield Compared(("utility (classifiers)",), tested, sorted(scores.predictions))
    if scores.labels and not tested:
        yield Compared(("utility",), None, list(scores.labels))
    yield from _findings(record, scores)
    # A published model is the only classifier there is, and never sees a release.
    model = list(scores.predictions) == [classifier_key("originals", "originals")]
    yield Compared(("track",), record.track, "model" if model else "images")


def outline_attacks(field: str, attacks: Sequence[Attack], scores: RunScores) -> Iterator[Compared]:
    """Which attacks there are: one that was left out would be the strongest one."""
    verified = sorted(key_of(attack) for attack in attacks if attack.task == "verification")
    yield Compared((f"{field} (verification)",), verified, sorted(scores.verification))
    paired = {str(attack.negatives) for attack in attacks if attack.task == "verification"}
    yield Compared((f"{field} (negatives)",), sorted(paired), sorted(scores.pairs))
    ranked = sorted(key_of(attack) for attack in attacks if attack.task == "retrieval")
    yield Compared((f"{field} (retrieval)",), ranked, sorted(scores.ranks.keys() & scores.average_precision.keys()))


def _findings(record: Record, scores: RunScores) -> Iterator[Compared]:
    """Who decides each finding in the test part; what the train part holds is in no score."""
    utility = record.utility
    if utility is None or utility.finding_patients is None or len(scores.findings) != len(scores.patients):
        return
    left_out = utility.left_out or {}
    for name, patients in zip(scores.labels, metrics.label_patients(scores.truth, scores.patients).tolist()):
        if name in left_out:
            yield Compared(("utility", "left_out", name, "test"), left_out[name].test, patients)
        else:
            yield Compared((f"utility (patients of {name})",), True, patients >= utility.finding_patients)


def _counts(record: Record, scores: RunScores) -> Iterator[Compared]:
    images, patients = len(scores.patients), len(np.unique(scores.patients))
    yield Compared(("dataset", "images", "test"), record.dataset.images.get("test"), images)
    yield Compared(("dataset", "patients", "test"), record.dataset.patients.get("test"), patients)
    if not scores.withheld:
        # Where no finding is known there is a row for each image all the same, and nothing in it.
        yield Compared(("utility (rows of findings)",), images, len(scores.findings))
    matched = int((scores.pairs["matched"][2] == 0).sum()) if "matched" in scores.pairs else None
    yield Compared(("controls", "matched_negatives"), record.controls.matched_negatives, matched)
    yield from outline_pairs(scores)


def outline_pairs(scores: RunScores) -> Iterator[Compared]:
    """Whether pairs are of this schema, and favour no patient with many images."""
    for negatives in sorted(scores.pairs.keys() & {"random", "matched"}):
        yield Compared((f"pairs ({negatives}, exchanged)",), True, _balanced(*scores.pairs[negatives]))


def _balanced(a: NDArray[np.int64], b: NDArray[np.int64], same: NDArray[np.int64]) -> bool:
    """Whether impostor pairs show the same images as genuine ones, on either side."""
    return all(np.array_equal(np.sort(side[same == 1]), np.sort(side[same == 0])) for side in (a, b))


def _found_by(record: Record, scores: RunScores) -> Iterator[Steps]:
    """Fields that are not figures, and of which an edit shows in the figures or in the outline."""
    # Versions are the schema's business; the digest chose the scores, and every interval hangs on the resamplings.
    yield from (("schema_version",), ("scores_sha256",), ("bootstrap_runs",))
    if not scores.withheld and record.utility is not None:
        yield ("definitions",)
    for number in range(len(record.attacks)):
        yield from (("attacks", number, name) for name in ATTACK_NAMES)
    if scores.withheld:
        return
    for number in range(len(_classifiers(record))):
        yield from (("utility", "classifiers", number, name) for name in CLASSIFIER_NAMES)
    if record.utility is None:
        yield ("utility",)


def _classifiers(record: Record) -> list[Classifier]:
    return record.utility.classifiers if record.utility else []


def _figures(attack: Attack, record: Record, scores: RunScores) -> VerificationMetrics | RetrievalMetrics | None:
    """An attack's figures from its scores; None where there are none, which the outline says."""
    key = key_of(attack)
    if attack.task == "verification" and key in scores.verification and attack.negatives in scores.pairs:
        return _verification(attack, record, scores)
    if attack.task == "retrieval" and key in scores.average_precision:
        ranks = scores.query_ranks(key)
        if ranks is not None and (ranks.influence is not None) == (record.definitions >= 2):
            return figures.retrieval(ranks, runs=record.bootstrap_runs)
    return None


def _verification(attack: Attack, record: Record, scores: RunScores) -> VerificationMetrics:
    key, trained = key_of(attack), attack_key(attack.attacker, attack.knowledge, attack.linkage)
    a, b, same = scores.pairs[str(attack.negatives)]
    pairs = Pairs(a, b, same.astype(np.bool_))
    values = scores.verification[key]
    # The decision is all that is kept of a probability: 1 and 0 stand on the same sides of one half.
    likely = scores.accepted[key].astype(np.float32) if key in scores.accepted else np.full(len(values), np.nan)
    validation = (scores.validation[trained], scores.validation_same) if trained in scores.validation else None
    return figures.verification(
        values,
        pairs,
        scores.patients,
        probabilities=likely,
        validation=validation,
        runs=record.bootstrap_runs,
        definitions=record.definitions,
    )


def _judged(classifier: Classifier, record: Record, scores: RunScores) -> Classifier | None:
    """A classifier with its figures from its predictions; None where there are none, which the outline says."""
    key = classifier_key(classifier.trained_on, classifier.tested_on)
    if key not in scores.predictions or len(scores.findings) != len(scores.patients):
        return None
    utility = record.utility
    return judge_predictions(
        scores.predictions[key],
        scores.truth,
        scores.patients,
        scores.labels,
        classifier.trained_on,
        classifier.tested_on,
        classifier.training,
        left_out=(utility.left_out if utility else None) or {},
        undefended=scores.undefended.get(UNDEFENDED),
        bootstrap_runs=record.bootstrap_runs,
        definitions=record.definitions,
    )


def _compare(recorded: Any, found: Any, path: Steps, silent: Iterable[str]) -> Iterator[Compared]:
    """Every figure with its path; a part that only one side has is one difference.

    Args:
        silent: names of parts of which the scores hold nothing. A null there is on trust, and a figure there is a
            difference.
    """
    if isinstance(recorded, BaseModel) and type(recorded) is type(found):
        for name, field in type(recorded).model_fields.items():
            said = getattr(recorded, name)
            # A field that came after the record is not in it; those that must be there are the schema's business.
            later = field.exclude_if is not None and not isinstance(recorded, Interval)
            if name in UNTOLD or (said is None and (name in silent or later)):
                continue
            yield from _compare(said, getattr(found, name), (*path, field.alias or name), silent)
    elif isinstance(recorded, Mapping) and isinstance(found, Mapping):
        # Quantiles and findings: one too many is as wrong as one that was left out.
        for name in dict.fromkeys([*recorded, *found]):
            yield from _compare(recorded.get(name), found.get(name), (*path, name), silent)
    else:
        yield Compared(path, recorded, found)


def _on_trust(part: BaseModel, told: Iterable[Steps]) -> tuple[str, ...]:
    """The highest paths that nothing is told of, until every field of the part is told or below one of them."""
    known = set(told)
    touched: set[Steps] = set()
    unknown: dict[Steps, None] = {}
    kinds = set(map(_kind, known))
    ways = {(), *(above for kind in kinds for above in _above(kind))}
    for leaf in _leaves(part, (), kinds, ways):
        kind = _kind(leaf)
        if known.isdisjoint(_above(leaf)):
            unknown[kind] = None
        else:
            touched.update(_above(kind))
    highest = (next((path for path in _above(kind) if path not in touched), kind) for kind in unknown)
    return tuple(dict.fromkeys(map(_field, highest)))


def _leaves(part: Any, path: Steps, kinds: Set[Steps], ways: Set[Steps]) -> Iterator[Steps]:
    """Every field that has none below it, those that a record leaves out when they are null among them.

    Of a part of which nothing is told, nor of what it belongs to, it is the part itself: histories of trainings have
    thousands of fields.

    Args:
        kinds: of the fields that are told.
        ways: the ways down to them, and themselves.
    """
    kind = _kind(path)
    below = _below(part) if kind in ways or not kinds.isdisjoint(_above(kind)) else []
    if not below:
        yield path
    for step, inner in below:
        yield from _leaves(inner, (*path, step), kinds, ways)


def _kind(path: Steps) -> Steps:
    return tuple(None if isinstance(step, int) else step for step in path)


def _below(part: Any) -> list[tuple[str | int, Any]]:
    if isinstance(part, BaseModel):
        return [(field.alias or name, getattr(part, name)) for name, field in type(part).model_fields.items()]
    if isinstance(part, Mapping):
        return list(part.items())
    return list(enumerate(part)) if isinstance(part, list) else []


def _above(path: Steps) -> Iterator[Steps]:
    """The way down to a field, and itself."""
    return (path[: length + 1] for length in range(len(path)))


def _field(path: Steps) -> str:
    """A path as people write it: ``attacks[0].training``, or ``attacks[].training`` for every attack's."""
    steps = (f".{step}" if isinstance(step, str) else "[]" if step is None else f"[{step}]" for step in path)
    return "".join(steps).removeprefix(".")


def _agree(recorded: Any, found: Any) -> bool:
    if isinstance(recorded, int | float) and isinstance(found, int | float):
        return abs(recorded - found) <= TOLERANCE * max(1.0, abs(recorded))
    return bool(recorded == found)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, Mapping):
        return "figures"
    return "nothing" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)
