"""Records for tables of thousands: without the figures and histories that only a record's own page shows.

A record takes about 400 kB of memory as Python objects, and a table needs a fifth of that. Records are read and
validated whole before anything is left out.
"""

from __future__ import annotations

from typing import Any

from reidbench.records.parts.common import Interval, Model
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.schema import Attack, Classifier, PatientRisk, Record, RetrievalMetrics, VerificationMetrics

_NOTHING = Interval(value=None, low=None, high=None)
_NO_RISK = PatientRisk(patients=0, found_by_every_image=_NOTHING, best_rank={}, mean_rank={}, map_at_r={})
#: What is left out, by part: fields, with the values that stand in their place.
LEFT_OUT: dict[type[Model], dict[str, Any]] = {
    VerificationMetrics: {
        "auc_pairs": _NOTHING,
        "eer": _NOTHING,
        "tpr_at_fpr_01": _NOTHING,
        "at_half": None,
        "strata": None,
    },
    RetrievalMetrics: {
        "map_at_r": _NOTHING,
        "r_precision": _NOTHING,
        "precision_at_1": _NOTHING,
        "chance": {},
        "risk": _NO_RISK,
    },
    TrainingInfo: {"history": []},
    Classifier: {"per_label": {}},
}
# A set for each of a hundred parts of a record takes more memory than their figures.
_FIELDS = {part: set(part.model_fields) for part in (Attack, VerificationMetrics, RetrievalMetrics)}


def brief_metrics(figures: VerificationMetrics | RetrievalMetrics) -> VerificationMetrics | RetrievalMetrics:
    """A copy of an attack's figures without what tables don't show."""
    return figures.model_copy(update=LEFT_OUT[type(figures)])


def make_brief(record: Record) -> Record:
    """Leaves out of ``record`` what tables don't show, and returns it.

    The record is changed in place, although records are otherwise immutable: a copy of each part would take longer than
    reading it. Only records that nothing else refers to may be passed.
    """
    classifiers = record.utility.classifiers if record.utility else []
    for attack in record.attacks:
        for part in (attack.metrics, attack):
            object.__setattr__(part, "__pydantic_fields_set__", _FIELDS[type(part)])
        attack.metrics.__dict__.update(LEFT_OUT[type(attack.metrics)])
    for classifier in classifiers:
        classifier.__dict__.update(LEFT_OUT[Classifier])
    trainings = [attack.training for attack in record.attacks]
    trainings += [attack.restoration for attack in record.attacks]
    trainings += [classifier.training for classifier in classifiers]
    for training in {id(training): training for training in trainings if training is not None}.values():
        training.__dict__.update(LEFT_OUT[TrainingInfo])
    return record
