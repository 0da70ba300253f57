"""How often 95 % intervals of retrieval and verification hold the truth, by how unlike patients' numbers of images are.

python benchmarks/retrieval_coverage.py

Patients are points, their images lie around them, more or less closely by patient, and a score is minus a distance.
Numbers of images are lognormal, from 1 to 120. The truth is the mean of a figure over all experiments: that of a cohort
of so many patients, drawn from the same population. Of the AUC the pairs are those of a run, at most 66 of a patient.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
import pandas as pd

from reidbench.cohorts.pairing.pairs import build_pairs
from reidbench.metrics import (
    Interval,
    bootstrap_auc_patients,
    bootstrap_mean_patients,
    euclidean_scores,
    jackknife_interval,
    leave_patients_out,
    rank_queries,
)
from reidbench.metrics.retrieval.gallery_influence import MAP_AT_R, MAP_AT_R_PATIENTS

DIMENSIONS = 8
RUNS = 400


def experiment(patients: int, skew: float, spread: float, seed: int) -> dict[str, Interval]:
    """The figures of one cohort with their intervals."""
    rng = np.random.default_rng(seed)
    images = np.clip(np.rint(np.exp(rng.normal(np.log(5), skew, patients))), 1, 120).astype(int)
    patient = np.repeat(np.arange(patients), images)
    own = np.exp(rng.normal(0, 0.4, patients)) * spread
    centre = rng.normal(size=(patients, DIMENSIONS))
    vectors = centre[patient] + own[patient, None] * rng.normal(size=(len(patient), DIMENSIONS))
    vectors, rows = vectors.astype(np.float32), np.arange(len(patient))
    ranks = rank_queries(euclidean_scores(vectors, vectors), patient, patient, rows, rows, influence=True)
    assert ranks.influence is not None
    found = {}
    for name, row, each in (("by patient", MAP_AT_R_PATIENTS, "patient"), ("by image", MAP_AT_R, "image")):
        values = ranks.average_precision
        fixed = bootstrap_mean_patients(values, patient, each=each, runs=RUNS, seed=seed)
        found[f"mAP@R {name}, probes resampled"] = fixed
        left_out = leave_patients_out(values, patient, ranks.influence, row, each=each)
        found[f"mAP@R {name}, patients left out"] = jackknife_interval(left_out)
    pairs = build_pairs(pd.DataFrame({"patient": patient}), negatives="random", seed=seed, max_per_patient=66)
    scores = -np.linalg.norm(vectors[pairs.a] - vectors[pairs.b], axis=1)
    who = patient[pairs.a], patient[pairs.b]
    found["AUC"] = bootstrap_auc_patients(scores, pairs.same, *who, runs=RUNS, seed=seed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=400)
    parser.add_argument("--patients", type=int, default=80)
    parser.add_argument("--skew", type=float, nargs="*", default=[0.5, 1.2], help="deviation of the log of the numbers")
    parser.add_argument("--spread", type=float, default=0.75, help="of a patient's images around their point")
    given = parser.parse_args()
    print("skew  figure  coverage  truth  deviation  half width / 1.96")
    for skew in given.skew:
        made: dict[str, list[Interval]] = defaultdict(list)
        for seed in range(given.experiments):
            for name, interval in experiment(given.patients, skew, given.spread, seed).items():
                made[name].append(interval)
        for name, intervals in made.items():
            values = np.array([one.value for one in intervals])
            held = np.mean([one.low <= values.mean() <= one.high for one in intervals])
            width = np.mean([one.high - one.low for one in intervals]) / 3.92
            print(f"{skew:g}  {name}  {held:.3f}  {values.mean():.3f}  {values.std():.4f}  {width:.4f}", flush=True)


if __name__ == "__main__":
    main()
