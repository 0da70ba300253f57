"""Runs that tests compare: records and scores of attackers that tell pairs apart as well as they are told to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from reidbench import metrics
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.records import figures
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX, RunScores, attack_key
from reidbench.records.store import read_record, write_record

SAMPLE = Path(__file__).parents[1] / "records" / "samples" / "v1-gaussian_noise.json"
RUNS = 200
ATTACKERS = ("verification", "retrieval")
WHERE = ("ignorant", "original-released")
PATIENTS, EACH = 40, 3


def world(patients: int = PATIENTS) -> tuple[np.ndarray, Pairs]:
    """Images of some patients, all genuine pairs, and as many impostors again, three times."""
    rng = np.random.default_rng(5)
    patient = np.repeat(np.arange(patients), EACH)
    a, b = np.triu_indices(len(patient), 1)
    same = patient[a] == patient[b]
    impostors = rng.choice(np.flatnonzero(~same), 3 * int(same.sum()), replace=False)
    rows = np.concatenate([np.flatnonzero(same), impostors])
    return patient, Pairs(a[rows], b[rows], same[rows])


class Maker:
    """Writes runs whose attackers tell pairs apart as well as they are told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sample = read_record(SAMPLE)
        controls = sample.controls.model_copy(update={"problems": []})
        attacks = [
            attack.model_copy(update={"training": attack.training.model_copy(update={"learned": True})})
            for attack in sample.attacks
        ]
        self.template = sample.model_copy(update={"controls": controls, "baseline_id": None, "attacks": attacks})

    def __call__(
        self,
        place: str,
        strengths: Mapping[str, float] | float,
        *,
        sigma: float = 1.0,
        seed: int = 0,
        noise: int = 0,
        patients: int = PATIENTS,
        keep_scores: bool = True,
        utility: float | None = None,
        diagnosis: float | None = None,
        **changes,
    ) -> Path:
        patient, pairs = world(patients)
        by_attacker = dict.fromkeys(ATTACKERS, strengths) if isinstance(strengths, float) else strengths
        kept = RunScores(patient, {"random": np.stack([pairs.a, pairs.b, pairs.same.astype(np.int64)])}, {}, {})
        attacks = []
        for number, (attacker, strength) in enumerate(by_attacker.items()):
            rng = np.random.default_rng([7, number, noise])
            scores = (rng.normal(size=len(pairs.same)) + strength * pairs.same).astype(np.float32)
            precision = np.clip(0.2 + strength / 4 + 0.1 * rng.normal(size=len(patient)), 0, 1).astype(np.float32)
            kept.verification[attack_key(attacker, *WHERE, "random")] = scores
            kept.average_precision[attack_key(attacker, *WHERE)] = precision
            verification, retrieval = (
                next(
                    a for a in self.template.attacks
                    if (a.attacker, a.knowledge, a.linkage, a.task) == (attacker, *WHERE, task)
                )
                for task in ("verification", "retrieval")
            )  # fmt: skip
            judged = figures.verification(
                scores, pairs, patient, probabilities=np.full(1, np.nan), validation=None, runs=50
            )
            found = metrics.bootstrap_mean_patients(precision, patient, each="patient", runs=50)
            ranked = retrieval.metrics.model_copy(update={"map_at_r_patients": figures.interval(found)})
            attacks += [
                verification.model_copy(update={"metrics": judged}),
                retrieval.model_copy(update={"metrics": ranked}),
            ]
        defense = self.template.defense.model_copy(update={"options": {"sigma": sigma}})
        made = {"id": f"{place}{sigma}{seed}{noise}", "seed": seed, "defense": defense, "attacks": attacks}
        record = self.template.model_copy(update={**made, **changes})
        if diagnosis is not None:
            kept, utility = _diagnosed(kept, diagnosis)
        if utility is not None:
            record = _with_utility(record, utility)
        folder = self.folder / place
        digest = kept.write(folder / f"{record.stem}{SUFFIX}") if keep_scores else None
        return write_record(record.model_copy(update={"scores_sha256": digest}), folder)


def _diagnosed(kept: RunScores, strength: float) -> tuple[RunScores, float]:
    """The same with predictions of two findings, one image's unknown; and their macro AUC."""
    rng = np.random.default_rng(11)
    truth = (rng.random((len(kept.patients), 2)) < 0.4).astype(np.int8)
    logits = (rng.normal(size=truth.shape) + strength * truth).astype(np.float32)
    truth[0, 1] = -1
    predictions = {f"{on}/release": logits for on in ("originals", "release")}
    kept = replace(kept, findings=truth, labels=("nodule", "effusion"), predictions=predictions)
    return kept, metrics.label_aucs(logits, np.where(truth < 0, np.nan, truth)).macro


def _with_utility(record: Record, value: float) -> Record:
    assert record.utility
    interval = record.utility.classifiers[0].macro_auc.model_copy(
        update={"value": value, "low": value - 0.01, "high": value + 0.01}
    )
    classifiers = [c.model_copy(update={"macro_auc": interval}) for c in record.utility.classifiers]
    return record.model_copy(update={"utility": record.utility.model_copy(update={"classifiers": classifiers})})
