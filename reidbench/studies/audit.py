"""An audit: how re-identifiable the patients of a dataset are as it is, patient by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from reidbench import metrics
from reidbench.choosing import dataset_options
from reidbench.cohorts.base import Cohort, Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import say_notes
from reidbench.cohorts.pairing.pairs import pictures_of
from reidbench.cohorts.splits import VALIDATION_SHARE, by_patient
from reidbench.errors import ReidbenchError
from reidbench.harness.experiment import Experiment
from reidbench.harness.scores.sources import Links
from reidbench.progress import Progress
from reidbench.records.figures import judge_ranks, rank_images
from reidbench.records.ladder import Rung
from reidbench.records.schema import Record, RetrievalMetrics, VerificationMetrics
from reidbench.settings import Settings
from reidbench.studies.bands import Bands, plan_bands, together

# Nothing is defended, so that all rungs are equal: training on originals is training in the tested scenario.
ONLY = (Rung("ignorant", "original-released"),)
#: What the table says of a patient for each attacker, and which figure of :class:`reidbench.metrics.PatientRisk` it is.
RISK_COLUMNS = {
    "best_rank": "best_rank",
    "mean_rank": "mean_rank",
    "ap_at_r": "map_at_r",
    "found_at_rank_1": "precision_at_1",
    "found_by_every_image": "found_by_every_image",
}


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        records: the undefended run of each fold, without utility; one where the dataset's own test split is judged.
        retrieval: by attacker, over the probes of all folds.
        table: one row per judged patient, those most at risk first: ``judged_in`` (the part that held the patient),
            ``patient_id``, ``images``, ``gallery`` (other images that a probe is compared with), ``attacker`` (the
            strongest), its ``RISK_COLUMNS``, and those of each attacker as ``NAME.COLUMN``. Ranks begin at 1; figures
            of a patient with one image are NaN: there is nothing to find.
        bands: what carries identity; None where that was not asked.
    """

    records: tuple[Record, ...]
    retrieval: dict[str, RetrievalMetrics]
    table: pd.DataFrame
    bands: Bands | None = None

    @property
    def strongest(self) -> str:
        """The attacker with the highest mAP@R."""
        return max(self.retrieval, key=lambda name: self.retrieval[name].map_at_r_patients.value or 0.0)

    def verification(self, attacker: str) -> dict[str, list[VerificationMetrics]]:
        """The figures of an attacker by kind of impostor pairs, one a fold."""
        found: dict[str, list[VerificationMetrics]] = {}
        for record in self.records:
            for attack in record.attacks:
                if attack.attacker == attacker and isinstance(attack.metrics, VerificationMetrics):
                    found.setdefault(str(attack.negatives), []).append(attack.metrics)
        return found


@dataclass(frozen=True)
class _Judged:
    """One fold: its patients, and the results of each attacker's probes."""

    name: str
    frame: pd.DataFrame
    record: Record
    ranks: dict[str, metrics.QueryRanks]
    guessed: metrics.QueryRanks


def audit(
    dataset: Dataset,
    settings: Settings,
    *,
    folds: int | None = None,
    strict: bool = False,
    bands: bool = False,
    progress: Progress,
) -> Audit:
    """Attacks a dataset's originals as a run does, and tells what that means for each patient.

    Args:
        settings: as of a run; its rungs don't matter, since nothing is defended.
        folds: None to judge every patient by the attackers of the settings' bundle as they are, with nothing trained;
            without a bundle, the dataset's own test split. Otherwise the splits are set aside: patients are dealt by
            hash into so many folds, and each is judged by attackers trained on the others, so that every patient is
            judged once, among the images of their own fold.
        strict: refuse a dataset with unreadable images in place of leaving them out.
        bands: also attack parts of the images, each by an attacker trained for it: in the folds, or without any on the
            dataset's own test split.

    Raises:
        ReidbenchError: as a run's, a fold that cannot be judged, or there is nobody to train on for ``bands``.
    """
    if folds is not None and folds < 2:
        raise ReidbenchError(f"--folds {folds}: at least 2 are needed; leave it out to judge the test split")
    cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=strict, progress=progress)
    say_notes(cohort.name, cohort.notes, progress)
    # Without findings there is no diagnosis to measure, which an audit doesn't ask for.
    cohort = replace(cohort, labels=())
    settings = replace(settings, ladder=ONLY)
    if folds is not None:
        parts = _dealt(cohort, folds)
    elif all(attacker.name in settings.pretrained for attacker in settings.attackers):
        parts = [("all patients", _everyone(cohort))]
    else:
        parts = [("test split", cohort)]
    options = dataset_options(dataset)
    # A bundle's attackers judge everybody as they are; those of parts are trained, on the patients that are for that.
    trained = parts if folds is not None else [("test split", cohort)]
    planned = plan_bands(trained, options, settings, progress) if bands else None
    judged = [_judge(name, part, options, settings, progress) for name, part in parts]
    # Attackers are fused on validation pairs, which a fold of few patients may lack.
    names = [name for name in judged[0].ranks if all(name in fold.ranks for fold in judged)]
    retrieval = {
        name: judge_ranks(
            together([fold.ranks[name] for fold in judged]),
            together([fold.guessed for fold in judged]),
            runs=settings.bootstrap_runs,
        )
        for name in names
    }
    carried = planned.judge(progress) if planned is not None else None
    found = Audit(tuple(fold.record for fold in judged), retrieval, pd.DataFrame(), carried)
    return replace(found, table=_table(judged, names, found.strongest))


def _judge(name: str, cohort: Cohort, options: dict[str, Any], settings: Settings, progress: Progress) -> _Judged:
    try:
        experiment = Experiment(cohort, options, settings, progress)
    except ReidbenchError as error:
        raise error if name in ("test split", "all patients") else ReidbenchError(f"{name}: {error}") from error
    record, _ = experiment.judge(experiment.originals, baseline=None)
    patients = experiment.patients["test"]
    linked = [experiment.make_links(template, ONLY[0], experiment.originals) for template in settings.attackers]
    attackers: list[Links] = [*linked, *experiment.together(linked)]
    pictures = pictures_of(experiment.parts["test"].frame)
    ranks = {links.name: rank_images(links.block, patients, pictures, influence=True) for links in attackers}
    guessed = metrics.chance_of(next(iter(ranks.values())))
    return _Judged(name, experiment.parts["test"].frame, record, ranks, guessed)


def _everyone(cohort: Cohort) -> Cohort:
    """The cohort with every patient in the test split."""
    revision = hashlib.sha256(f"{cohort.revision} everyone".encode()).hexdigest()
    return replace(cohort, frame=cohort.frame.assign(split="test"), revision=revision)


def _dealt(cohort: Cohort, folds: int) -> list[tuple[str, Cohort]]:
    """The cohort once a fold, with that fold's patients to test on and some of the others to validate on."""
    identifiers = cohort.frame["patient_id"]
    fold = by_patient(identifiers, {str(number): 1 / folds for number in range(folds)}, salt="audit").astype(int)
    validation = by_patient(identifiers, {"val": VALIDATION_SHARE, "train": 1 - VALIDATION_SHARE}, salt="validation")
    dealt = []
    for number in range(folds):
        name = f"fold {number + 1} of {folds}"
        frame = cohort.frame.assign(split=validation.where(fold != number, "test"))
        # Other splits are another experiment: nothing cached for the dataset's own may be taken for it.
        revision = hashlib.sha256(f"{cohort.revision} {name}".encode()).hexdigest()
        dealt.append((name, replace(cohort, frame=frame, revision=revision)))
    return dealt


def _table(judged: Sequence[_Judged], names: Sequence[str], strongest: str) -> pd.DataFrame:
    parts = []
    for fold in judged:
        grouped = fold.frame.groupby("patient", sort=True)
        table = pd.DataFrame({"judged_in": fold.name, "patient_id": grouped["patient_id"].first()})
        table["images"] = grouped.size()
        table["gallery"] = pd.Series(fold.guessed.candidates).groupby(fold.guessed.patients).min()
        table["attacker"] = strongest
        for prefix, attacker in [("", strongest), *((f"{name}.", name) for name in names)]:
            risk = metrics.patient_risk(fold.ranks[attacker])
            for column, field in RISK_COLUMNS.items():
                table[prefix + column] = pd.Series(getattr(risk, field), index=risk.patients)
        parts.append(table)
    order = ["found_by_every_image", "ap_at_r", "patient_id"]
    whole = pd.concat(parts).sort_values(order, ascending=[False, False, True], na_position="last")
    return whole.reset_index(drop=True)
