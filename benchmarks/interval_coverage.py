"""How often 95 % intervals over patients hold a known AUC on a cohort's own pairs, by the cap on a patient's pairs.

python benchmarks/interval_coverage.py chestxray14 --root ../shared/data/chestxray14-sample

Patients and pairs are the test part's; scores are drawn: each patient has a likeness to itself and to others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import norm

from reidbench.choosing import choose_dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.pairing.pairs import build_pairs
from reidbench.metrics import bootstrap_auc_patients, effective_number
from reidbench.plugins import Registry

# Standard deviations of a patient's likeness to itself, to others, and of each score; and what one patient adds.
OWN = OTHER = NOISE = 0.5
SHIFT = 1.5
TRUE_AUC = norm.cdf(SHIFT / np.sqrt(OWN**2 + 2 * OTHER**2 + 2 * NOISE**2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--experiments", type=int, default=120)
    parser.add_argument("--caps", type=int, nargs="*", default=[0, 100, 66, 45], help="0 for none")
    given = parser.parse_args()
    cohort = load_cohort(choose_dataset(Registry(), given.dataset, given.root), size=64, cache=Path("cache"))
    frame = cohort.part("test").frame
    patients = frame["patient"].to_numpy()
    print("cap  pairs  patients  effective  coverage  width  deviation of the AUC")
    for cap in given.caps:
        pairs = build_pairs(frame, negatives="random", seed=14, max_pairs=100_000, max_per_patient=cap or None)
        a, b = patients[pairs.a], patients[pairs.b]
        counts = np.bincount(a[pairs.same])
        rng = np.random.default_rng(0)
        found = []
        for number in range(given.experiments):
            likeness, commonness = rng.normal(0, OWN, len(counts)), rng.normal(0, OTHER, int(patients.max()) + 1)
            scores = np.where(
                pairs.same, SHIFT + likeness[np.minimum(a, len(counts) - 1)], commonness[a] + commonness[b]
            )
            scores = scores + rng.normal(0, NOISE, len(a))
            found.append(bootstrap_auc_patients(scores, pairs.same, a, b, runs=200, seed=number))
        held = np.mean([one.low <= TRUE_AUC <= one.high for one in found])
        width, spread = np.mean([one.high - one.low for one in found]), np.std([one.value for one in found])
        weights = counts[counts > 0]
        row = f"{cap or 'none':>4}  {len(pairs) // 2:,}  {len(weights)}  {effective_number(weights):.1f}"
        print(f"{row}  {held:.3f}  {width:.3f}  {spread:.3f}", flush=True)


if __name__ == "__main__":
    main()
