"""A record's figures computed again from the scores beside it: an edited figure does not agree with them.

What no score tells (likeness, controls, strata, trainings, timings) is taken on trust, and named. Whoever edits figures
and scores alike is not found out by this; only a repetition of the run does that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np

from reidbench import metrics
from reidbench.cohorts.pairs import Pairs
from reidbench.harness import evaluate
from reidbench.harness.diagnosis import utility_runs
from reidbench.harness.record import Attack, Classifier, Record, VerificationMetrics
from reidbench.harness.scores import RunScores, attack_key, classifier_key
from reidbench.harness.threats import full_ladder
from reidbench.progress import Progress, Silent

# Ranks are kept in single precision; figures from them agree to about seven digits, and nobody gains from the eighth.
TOLERANCE = 1e-6
ON_TRUST = ("utility.fidelity", "controls", "attacks[].training", "timings")

Figures = Mapping[str, Any]


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
        on_trust: what could not be.
    """

    mismatches: tuple[Mismatch, ...]
    checked: int
    on_trust: tuple[str, ...]


def recompute(record: Record, scores: RunScores, progress: Progress | None = None) -> Recomputed:
    """Computes a record's figures again, with the same seed of the bootstrap, and compares.

    Args:
        record: as it was read.
        scores: the file beside it.
    """
    found: list[Mismatch] = []
    checked = 0
    on_trust = list(ON_TRUST)
    for path, recorded, expected in _outline(record, scores):
        checked += 1
        if recorded != expected:
            found.append(Mismatch(path, recorded, expected))
    with (progress or Silent()).task("figures", len(record.attacks)) as advance:
        for number, attack in enumerate(record.attacks):
            figures, unknown = _figures(attack, record, scores)
            path = f"attacks[{number}].metrics"
            on_trust += [f"attacks[].metrics.{name}" for name in unknown]
            recorded_figures = attack.metrics.model_dump(by_alias=True)
            for field, recorded, expected in _compared(recorded_figures, figures, path):
                checked += 1
                if not _agree(recorded, expected):
                    found.append(Mismatch(field, recorded, expected))
            advance(1)
    for number, classifier in enumerate(record.utility.classifiers if record.utility else ()):
        judged = _utility(classifier, record, scores)
        if not judged:
            on_trust.append("utility.classifiers[].per_label")
        for field, recorded, expected in _compared(
            classifier.model_dump(by_alias=True), judged, f"utility.classifiers[{number}]"
        ):
            checked += 1
            if not _agree(recorded, expected):
                found.append(Mismatch(field, recorded, expected))
    return Recomputed(tuple(found), checked, tuple(dict.fromkeys(on_trust)))


def _outline(record: Record, scores: RunScores) -> Iterator[tuple[str, Any, Any]]:
    """What surrounds the figures: counts, which attacks there are, and means of what the record itself states."""
    yield "dataset.images.test", record.dataset.images.get("test"), len(scores.patients)
    yield "dataset.patients.test", record.dataset.patients.get("test"), len(np.unique(scores.patients))
    # An attack that was left out would be the strongest one.
    verified = sorted(_key(attack) for attack in record.attacks if attack.task == "verification")
    yield "attacks (verification)", verified, sorted(scores.verification)
    ranked = sorted(_key(attack) for attack in record.attacks if attack.task == "retrieval")
    yield "attacks (retrieval)", ranked, sorted(scores.average_precision)
    climbed = {(attack.knowledge, attack.linkage) for attack in record.attacks}
    whole = climbed == {(rung.knowledge, rung.linkage) for rung in full_ladder(record.track)}
    if scores.ranks:
        # Older versions had fewer rungs.
        yield "complete", record.complete, whole
    for number, classifier in enumerate(record.utility.classifiers if record.utility else ()):
        if scores.predictions:
            break
        known = [figure.value for figure in classifier.per_label.values() if figure.value is not None]
        stated = classifier.macro_auc.value
        mean = fmean(known) if known else None
        if not _agree(stated, mean):
            yield f"utility.classifiers[{number}].macro_auc.value", stated, mean


def _key(attack: Attack) -> str:
    return attack_key(attack.attacker, attack.knowledge, attack.linkage, attack.negatives)


def _figures(attack: Attack, record: Record, scores: RunScores) -> tuple[Figures, list[str]]:
    """An attack's figures from its scores, and the names of those that the scores cannot give."""
    key = _key(attack)
    if attack.task == "verification" and key in scores.verification and attack.negatives in scores.pairs:
        return _verification(attack, record, scores)
    if attack.task == "retrieval" and key in scores.average_precision:
        return _retrieval(key, record, scores)
    return {}, ["*"]


def _verification(attack: Attack, record: Record, scores: RunScores) -> tuple[Figures, list[str]]:
    key, trained = _key(attack), attack_key(attack.attacker, attack.knowledge, attack.linkage)
    a, b, same = scores.pairs[str(attack.negatives)]
    pairs = Pairs(a, b, same.astype(np.bool_))
    values = scores.verification[key]
    # The decision is all that is kept of a probability: 1 and 0 stand on the same sides of one half.
    likely = scores.accepted[key].astype(np.float32) if key in scores.accepted else np.full(len(values), np.nan)
    validation = (scores.validation[trained], scores.validation_same) if trained in scores.validation else None
    judged = evaluate.verification(
        values, pairs, scores.patients, probabilities=likely, validation=validation, runs=record.bootstrap_runs
    ).model_dump(by_alias=True)
    unknown = []
    if not scores.ranks:
        # An older file: neither probabilities nor validation scores were kept with it.
        unknown = ["at_half", "calibrated"]
    if isinstance(attack.metrics, VerificationMetrics) and attack.metrics.strata:
        # They need the table of the images.
        unknown.append("strata")
    return {name: value for name, value in judged.items() if name not in {*unknown, "strata"}}, unknown


def _retrieval(key: str, record: Record, scores: RunScores) -> tuple[Figures, list[str]]:
    ranks = scores.query_ranks(key)
    if ranks is not None:
        return evaluate.retrieval(ranks, runs=record.bootstrap_runs).model_dump(by_alias=True), []
    precision = scores.average_precision[key]
    mean = partial(
        metrics.bootstrap_mean_patients,
        precision,
        scores.patients,
        runs=record.bootstrap_runs,
        seed=evaluate.BOOTSTRAP_SEED,
    )
    means = {
        "map_at_r": evaluate.interval(mean(each="image")).model_dump(),
        "map_at_r_patients": evaluate.interval(mean(each="patient")).model_dump(),
    }
    counts = {"probes": int((~np.isnan(precision)).sum()), "gallery": len(precision)}
    return {**means, **counts}, ["r_precision", "precision_at_1", "chance", "risk"]


def _utility(classifier: Classifier, record: Record, scores: RunScores) -> Figures:
    """A classifier's figures from its predictions; none where an older version did not keep them."""
    key = classifier_key(classifier.trained_on, classifier.tested_on)
    if key not in scores.predictions:
        return {}
    known = (scores.findings >= 0).all(axis=1)
    judged = metrics.bootstrap_macro_auc_patients(
        scores.predictions[key][known],
        scores.findings[known].astype(np.float64),
        scores.patients[known],
        runs=utility_runs(record.bootstrap_runs),
        seed=evaluate.BOOTSTRAP_SEED,
    )
    return {
        "macro_auc": evaluate.interval(judged.macro).model_dump(),
        "per_label": {
            name: evaluate.interval(figure).model_dump() for name, figure in zip(scores.labels, judged.labels)
        },
    }


def _compared(recorded: Any, found: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Every figure with its path; a part that only one side has is one difference."""
    if isinstance(found, Mapping) and isinstance(recorded, Mapping):
        for name, value in found.items():
            # A field that came after the record is not in it; those that must be there are the schema's business.
            if name in recorded:
                yield from _compared(recorded[name], value, f"{path}.{name}")
        # Options of a mapping that the scores do not know, such as another quantile, would go unseen otherwise.
        if path.rsplit(".", 1)[-1] in ("chance", "best_rank", "mean_rank"):
            for name in recorded.keys() - found.keys():
                yield f"{path}.{name}", recorded[name], None
    else:
        yield path, recorded, found


def _agree(recorded: Any, found: Any) -> bool:
    if isinstance(recorded, int | float) and isinstance(found, int | float):
        return abs(recorded - found) <= TOLERANCE * max(1.0, abs(recorded))
    return bool(recorded == found)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "nothing" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)
