"""The record of a run: one immutable JSON, numbers as numbers, written whole or not at all.

Ranks and the headline are never stored: they are computed when a report is made. So are drops, but for their intervals,
which need the scores of two runs. What is undefined (one class only, no query) is null, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PrivateAttr, Tag, model_validator

from reidbench.records.ladder import Knowledge, Linkage, Negatives
from reidbench.records.parts.common import (
    Count,
    DifferenceInterval,
    FileName,
    LongText,
    Model,
    Number,
    Numbers,
    Options,
    Rate,
    RateInterval,
    Rates,
    Seconds,
    Text,
    undefined_is_null,
    unsaid,
)
from reidbench.records.parts.drops import Drops
from reidbench.records.parts.linkability import Linkability
from reidbench.records.parts.membership import Membership, Untrained
from reidbench.records.parts.provenance import BundleInfo, DatasetInfo, DefenseInfo, Environment, Git
from reidbench.records.parts.questions import Copies, Inference, SinglingOut
from reidbench.records.parts.training import TrainingCheck, TrainingInfo

SCHEMA_VERSION = 2
#: The newest definitions of figures and intervals. Records keep those that they were made with, and are computed again
#: by them.
DEFINITIONS = 3
FIRST_DEFINITIONS = 1
#: The most resamplings that a record may state.
MOST_RUNS = 100_000


def _usual(value: Any) -> bool:
    """The track of every record before there was another."""
    return value == "images"


def _first(value: Any) -> bool:
    """The definitions of every record before there were others."""
    return value == FIRST_DEFINITIONS


class Decision(Model):
    """The decisions of one threshold on the test pairs; the rates of the 2022 paper follow from the counts."""

    threshold: Number | None = Field(description="a pair is accepted if its score is at least this; null is infinity")
    true_positives: Count = Field(description="genuine pairs accepted")
    false_positives: Count = Field(description="impostor pairs accepted")
    true_negatives: Count = Field(description="impostor pairs refused")
    false_negatives: Count = Field(description="genuine pairs refused")

    @model_validator(mode="before")
    @classmethod
    def _prepared(cls, data: Any) -> Any:
        """From the list that files have: the fields in their order."""
        if isinstance(data, list) and len(data) == 5:
            data = dict(zip(cls.model_fields, data))
        return undefined_is_null(data)

    @property
    def accuracy(self) -> float | None:
        """Share of all pairs that are decided rightly, in [0, 1]; None without a pair."""
        right = self.true_positives + self.true_negatives
        return _ratio(right, right + self.false_positives + self.false_negatives)

    @property
    def specificity(self) -> float | None:
        """Share of impostor pairs that are refused, in [0, 1]; None without one."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of genuine pairs that are accepted, in [0, 1]; None without one."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def precision(self) -> float | None:
        """Share of accepted pairs that are genuine, in [0, 1]; None where none is accepted."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, in [0, 1]; None without a genuine pair."""
        if self.recall is None:
            return None
        twice = 2 * self.true_positives
        return _ratio(twice, twice + self.false_positives + self.false_negatives)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


class StratumRates(Model):
    """What the thresholds find of the genuine pairs of one stratum.

    Intervals: 95 %, bootstrap over patients, guarded as those of the record. They take the threshold as fixed: that the
    calibrated one would be another with other validation patients is not in them.
    """

    name: Text
    pairs: Count = Field(description="genuine pairs")
    patients: Count = Field(description="whom they are of; with less than two the interval is null")
    calibrated: RateInterval | None = Field(
        None, description="share accepted at the calibrated threshold, which is taken as fixed"
    )
    at_half: RateInterval | None = Field(None, description="share accepted at probability 0.5")


class Stratification(Model):
    """The genuine pairs divided by one property of the two images."""

    source: Text = Field(description="the columns that tell")
    missing: Text | None = Field(description="why there are no strata; null where there are")
    unknown: Count = Field(description="genuine pairs of which the columns don't tell")
    strata: list[StratumRates] = Field(max_length=10_000)


class VerificationMetrics(Model):
    """Are these two images of one patient?"""

    auc: RateInterval = Field(
        description="area under the ROC curve; 95 % percentile bootstrap over patients, at 0 and 1 no narrower than "
        "their effective number allows"
    )
    auc_all_pairs: Rate | None = Field(
        None,
        exclude_if=unsaid,
        description="over all pairs of test images, probe by gallery, without exchange or cap, as the literature "
        "counts them: another estimand; beside random and listed negatives, null in earlier records",
    )
    auc_pairs: RateInterval = Field(
        description="the same with the bootstrap over pairs, as in the literature; too narrow"
    )
    eer: RateInterval = Field(description="equal error rate; interval as that of the area")
    tpr_at_fpr_1: RateInterval = Field(alias="tpr_at_fpr_0.01", description="true positive rate at 1 % false positives")
    tpr_at_fpr_01: RateInterval = Field(
        alias="tpr_at_fpr_0.001",
        description="true positive rate at 0.1 %; at either rate no interval with fewer than ten impostor pairs in it",
    )
    at_half: Decision | None = Field(
        description="at the 2022 paper's threshold, probability 0.5; null without probabilities"
    )
    calibrated: Decision | None = Field(description="at 1 % false positives on validation pairs; never set on test")
    genuine: Count = Field(description="pairs of one patient")
    impostor: Count = Field(description="pairs of two patients")
    strata: dict[Text, Stratification] | None = Field(
        None,
        exclude_if=unsaid,
        description="true positive rates by age_gap, new_finding, view, sex and foreign_material; only of the "
        "strongest attack on random or listed negatives",
    )


class PatientRisk(Model):
    """Distribution of risk over patients: averages hide single patients that are always found. Quantiles by level."""

    patients: Count = Field(description="patients with something to find")
    found_by_every_image: RateInterval = Field(description="share of patients whose every image finds them at rank 1")
    best_rank: Numbers = Field(description="low quantiles are the patients most at risk")
    mean_rank: Numbers = Field(description="low quantiles are the patients most at risk")
    map_at_r: Rates = Field(description="high quantiles are the patients most at risk")


class RetrievalMetrics(Model):
    """Which images of the gallery show the patient of this probe?"""

    map_at_r: RateInterval = Field(
        description="averaged over probes; 95 %, leaving each patient out as probes and in the gallery from "
        "definitions 2 on; before, percentile bootstrap of the probes' patients"
    )
    map_at_r_patients: RateInterval = Field(
        description="the headline: averaged over patients, so that many images buy no more say; likewise"
    )
    r_precision: RateInterval
    precision_at_1: RateInterval
    chance: Rates = Field(description="what a constant score gives")
    risk: PatientRisk
    probes: Count
    gallery: Count


class PostProcessing(Model):
    """How an attacker's scores were revised by the neighbourhoods of the gallery, as validation patients chose."""

    base: Text = Field(description="the attacker whose scores they are")
    method: Literal["off", "reciprocal", "expansion"] = Field(
        description="nothing, k-reciprocal re-ranking, or database augmentation with query expansion"
    )
    options: Numbers = Field(description="of the method; empty for off")
    map_at_r: Rate | None = Field(description="mAP@R on validation images with it")
    map_at_r_off: Rate | None = Field(description="and without")


def _task_of(metrics: Any) -> str:
    """The task of these figures, so that they are validated as one kind alone."""
    ranking = "map_at_r" in metrics if isinstance(metrics, dict) else isinstance(metrics, RetrievalMetrics)
    return "retrieval" if ranking else "verification"


class Attack(Model):
    """One attacker on one rung, for one task."""

    task: Literal["verification", "retrieval"]
    attacker: Text
    knowledge: Knowledge
    linkage: Linkage
    negatives: Negatives | None = Field(description="how impostor pairs were chosen; null for retrieval")
    metrics: Annotated[
        Annotated[VerificationMetrics, Tag("verification")] | Annotated[RetrievalMetrics, Tag("retrieval")],
        Discriminator(_task_of),
    ]
    training: TrainingInfo | None = Field(description="null where nothing is trained: fusion, reranking, …")
    restoration: TrainingInfo | None = Field(
        None, exclude_if=unsaid, description="of the network in front that undoes the defense, where one stands there"
    )
    post_processing: PostProcessing | None = Field(
        None, exclude_if=unsaid, description="of reranking; stated with its retrieval"
    )
    check: TrainingCheck | None = Field(
        None,
        exclude_if=unsaid,
        description="of an attacker that was trained on the images of this rung; stated with its retrieval; null in "
        "earlier records: not measured",
    )

    @property
    def learned(self) -> bool:
        """Whether its training, and that of a network in front, got anywhere; a fusion's members speak for it."""
        return all(one is None or one.learned for one in (self.training, self.restoration))


class Classifier(Model):
    """Diagnostic utility: a classifier of the findings."""

    trained_on: Literal["originals", "release"]
    tested_on: Literal["originals", "release"] = Field(
        description="a published model is trained and tested on originals"
    )
    macro_auc: RateInterval = Field(
        description="mean over the findings that count, where they have both classes; 95 % bootstrap over patients"
    )
    fall: DifferenceInterval | None = Field(
        None,
        exclude_if=unsaid,
        description="fall of the macro AUC against the classifier of originals on originals, paired over patients; "
        "null for a published model and in earlier records",
    )
    per_label: dict[Text, RateInterval] = Field(description="AUC on the test images where the finding is known")
    training: TrainingInfo


class Fidelity(Model):
    """How alike released and original test images are. Likeness is not utility."""

    ssim: Number | None
    psnr: Number | None = Field(description="in dB; null where the images are identical")


class FewPatients(Model):
    """Patients who decide a finding in a part: the fewer of those with it and of those without."""

    train: Count
    test: Count


class Utility(Model):
    """What is left for diagnosis."""

    classifiers: list[Classifier] = Field(max_length=100)
    finding_patients: Count | None = Field(
        None,
        exclude_if=unsaid,
        description="patients who must decide a finding in both parts for it to count in macro AUCs; null in earlier "
        "records, where all count",
    )
    left_out: dict[Text, FewPatients] | None = Field(
        None, exclude_if=unsaid, description="findings that do not count in macro AUCs, and who decides them"
    )
    fidelity: Fidelity


class Controls(Model):
    """What tells whether the figures mean anything."""

    metadata_only_auc: dict[Text, Rate | None] = Field(description="sex, age, view alone, by negatives; no pixel")
    pixels_auc: dict[Text, Rate | None] = Field(description="Euclidean distance of originals' pixels, by negatives")
    pixels_map_at_r: Rate | None = Field(description="ranking by the same distance")
    matched_negatives: Count | None = Field(description="impostor pairs that could be matched")
    problems: list[Text] = Field(max_length=1_000, description="why the run is invalid; empty for a valid one")


class Record(Model):
    """One run: a defense with its options, on one dataset revision, with one preset and seed."""

    schema_version: Literal[2] = 2
    id: FileName
    track: Literal["images", "model"] = Field(
        "images", exclude_if=_usual, description="what is published: images, or a model and its vectors of them"
    )
    created: datetime
    reidbench_version: Text
    git: Git | None
    environment: Environment
    command: LongText
    seed: Annotated[int, Field(ge=0, lt=10**60)]
    preset: Text
    overrides: Options = Field(description="what was set apart from the preset")
    hyperparameters: dict[Text, Options] = Field(description="of each attacker and of the classifier, by name")
    bootstrap_runs: Annotated[int, Field(ge=1, le=MOST_RUNS)] = Field(
        description="resamplings behind every interval over pairs and probes. A true positive rate has no interval "
        "where fewer than ten impostor pairs (or non-members) decide it, and the interval of a share, of strata and "
        "members too, is no narrower at 0 or 1 than the effective number of patients allows"
    )
    definitions: Annotated[int, Field(ge=FIRST_DEFINITIONS, le=DEFINITIONS)] = Field(
        FIRST_DEFINITIONS,
        exclude_if=_first,
        description="which definitions the intervals follow: 1, percentiles also at perfect separation; 2, those of "
        "AUC and EER are expanded for few patients and bounded there by their effective number, and those of retrieval "
        "are of patients as probes and in the gallery; 3, so are those of drops, and of the utility and its falls",
    )
    pairs_per_patient: Count | None = Field(
        None,
        exclude_if=unsaid,
        description="the most genuine pairs of a patient that are judged; absent where there is no cap. Random and "
        "matched impostors are genuine pairs that exchanged second images, so that one image alone tells nothing",
    )
    dataset: DatasetInfo
    defense: DefenseInfo
    release_sha256: Text | None = Field(
        None,
        exclude_if=unsaid,
        description="of the pixels of the published test images; null for a published model and in earlier records",
    )
    attacks: list[Attack] = Field(max_length=1_000)
    complete: bool = Field(description="whether every rung of the ladder was climbed")
    drops: Drops | None = Field(
        None, exclude_if=unsaid, description="against the undefended run; null for that run and in earlier records"
    )
    utility: Utility | None = Field(description="null where the dataset has no findings")
    membership: Membership | None = Field(None, exclude_if=unsaid, description="of a published model")
    untrained: Untrained | None = Field(
        None, exclude_if=unsaid, description="control of a published model; null in earlier records: not measured"
    )
    linkability: list[Linkability] | None = Field(
        None,
        max_length=100,
        exclude_if=unsaid,
        description="of each linkage: several known images, a closed world, galleries of other sizes",
    )
    singling_out: list[SinglingOut] | None = Field(
        None, max_length=100, exclude_if=unsaid, description="of each linkage and false share; null in earlier records"
    )
    inference: Inference | None = Field(
        None, exclude_if=unsaid, description="of sex and age; null where neither is known, and in earlier records"
    )
    copies: Copies | None = Field(
        None, exclude_if=unsaid, description="of training patients, by a defense that learned; null in earlier records"
    )
    bundle: BundleInfo | None = Field(
        None, exclude_if=unsaid, description="the attackers trained before that this run's could start from"
    )
    controls: Controls
    timings: dict[Text, Seconds] = Field(description="seconds a step took when it was done, cached steps included")
    baseline_id: FileName | None = Field(description="the undefended run with the same dataset, preset and seed")
    scores_sha256: Text | None = Field(None, description="of the scores beside the record; null where none were kept")
    # In no file: attacks of supplements, which reading for tables and pages finds beside the record.
    _supplied: tuple[Attack, ...] = PrivateAttr(())

    @property
    def supplied(self) -> tuple[Attack, ...]:
        """The attacks of supplements, where they were read too."""
        return self._supplied

    @property
    def every_attack(self) -> list[Attack]:
        """The record's own attacks, and those of supplements."""
        return [*self.attacks, *self._supplied] if self._supplied else self.attacks

    def with_supplied(self, attacks: Iterable[Attack]) -> Record:
        """The same record with these attacks of supplements in place of those that it has."""
        made = self.model_copy()
        made._supplied = tuple(attacks)
        return made

    @property
    def valid(self) -> bool:
        """Whether the controls held."""
        return not self.controls.problems

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return f"{self.defense.name}-{self.id}"
