"""The phantom's table: patients, their visits over the years, and what is found in them."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pandas as pd

from reidbench.cohorts.base import CHESTXRAY14_LABELS
from reidbench.cohorts.sources.phantom.foreign import worn
from reidbench.cohorts.sources.phantom.randomness import generator
from reidbench.cohorts.splits import by_patient

#: Share of images with each finding at 50 years, the part of it that is the patient's own rather than the visit's
#: (0 to 1), and its change with ten years of age (in standard deviations).
FINDINGS: dict[str, tuple[float, float, float]] = {
    "Atelectasis": (0.13, 0.40, 0.08),
    "Cardiomegaly": (0.11, 0.85, 0.20),
    "Effusion": (0.14, 0.45, 0.10),
    "Infiltration": (0.15, 0.30, 0.0),
    "Mass": (0.08, 0.75, 0.08),
    "Nodule": (0.10, 0.75, 0.08),
    "Pneumonia": (0.06, 0.20, 0.0),
    "Pneumothorax": (0.08, 0.45, -0.05),
    "Consolidation": (0.08, 0.35, 0.03),
    "Edema": (0.06, 0.40, 0.10),
    "Emphysema": (0.07, 0.85, 0.15),
    "Fibrosis": (0.06, 0.90, 0.15),
    "Pleural_Thickening": (0.07, 0.85, 0.10),
    "Hernia": (0.05, 0.90, 0.15),
}
assert tuple(FINDINGS) == CHESTXRAY14_LABELS
#: Begins the identifiers that random numbers are drawn by; a cohort may call its patients otherwise.
DRAWN = "p"
#: The longest follow-up in days: twelve years.
LONGEST = 4383


def patient_rows(seed: int, patient_id: str, most: int) -> list[dict[str, object]]:
    """The table's rows of one patient; depends on the seed, the identifier and the cap on images alone."""
    rng = generator(seed, "table", patient_id)
    male = bool(rng.random() < 0.56)
    age = float(np.clip(rng.normal(48, 16), 18, 85))
    # Most patients come once or twice, a few come for years: skewed as in ChestX-ray14.
    visits = int(min(most, 1 + math.floor(math.exp(rng.normal(0.75, 1.15)))))
    sick = rng.normal(0, 0.35)
    gaps = np.exp(rng.normal(4.3, 1.7, size=visits - 1)).clip(1)
    days = np.concatenate([[0], np.minimum(np.cumsum(gaps), LONGEST)]).astype(int)
    days = np.minimum(np.maximum.accumulate(days + np.arange(visits)), LONGEST)
    own = rng.normal(size=len(FINDINGS))
    rows: list[dict[str, object]] = []
    for visit in range(visits):
        years = age + days[visit] / 365.25
        mood = rng.normal(size=len(FINDINGS))
        row: dict[str, object] = {
            "image_id": f"{patient_id}_{visit:03d}",
            "patient_id": patient_id,
            "sex": "M" if male else "F",
            "age": int(years),
            "view": "AP" if rng.normal() + 1.5 * sick > 0.45 else "PA",
            "follow_up": visit,
            "days": int(days[visit]),
        }
        for index, (name, (share, kept, slope)) in enumerate(FINDINGS.items()):
            latent = math.sqrt(kept) * own[index] + math.sqrt(1 - kept) * mood[index]
            latent = (latent + sick) / math.sqrt(1 + 0.35**2) + slope * (years - 50) / 10
            row[name] = int(latent > NormalDist().inv_cdf(1 - share))
        row["foreign_material"] = int(
            worn(seed, patient_id, row["image_id"], row["view"] == "AP", float(days[visit])).any()
        )
        rows.append(row)
    return rows


def table(
    seed: int, numbers: range, most: int, val: float, test: float, prefix: str = DRAWN, visits: str = "all"
) -> pd.DataFrame:
    """All rows, in the order of patients and visits; splits by hash of the patient, so that a larger cohort moves none.

    Args:
        seed: of everything drawn.
        numbers: the patients.
        most: images of a patient at most, before some visits are left out.
        val, test: shares of patients.
        prefix: begins the identifiers.
        visits: ``all``, ``even`` or ``odd``; a patient without such a visit is left out.
    """
    rows = [row for number in numbers for row in patient_rows(seed, f"{DRAWN}{number:05d}", most)]
    frame = pd.DataFrame(rows)
    if visits != "all":
        # Their numbers and days stay as they are: an image has one row, and one picture, in whatever cohort it is.
        frame = frame[frame["follow_up"] % 2 == (visits == "odd")].reset_index(drop=True)
    if prefix != DRAWN:
        for column in ("patient_id", "image_id"):
            frame[column] = prefix + frame[column].str.removeprefix(DRAWN)
    shares = {"test": test, "val": val, "train": 1.0 - val - test}
    frame["split"] = by_patient(frame["patient_id"], shares, salt="phantom")
    return frame


def as_drawn(rows: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """The rows under the identifiers that random numbers are drawn by, whatever the cohort calls its patients."""
    if prefix == DRAWN:
        return rows
    # A prefix has no digit, so that what is as drawn already stays so.
    names = {name: rows[name].str.replace(r"^[^0-9]+", DRAWN, regex=True) for name in ("patient_id", "image_id")}
    return rows.assign(**names)
