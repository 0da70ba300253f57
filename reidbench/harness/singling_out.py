"""Singling out on a rung: patients who come first in a search, with a lead that strangers seldom have."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.harness.linkability import DIGITS, first_pictures, short_interval
from reidbench.harness.reranking import Held, Pictures
from reidbench.harness.score_sources import Links
from reidbench.metrics.linkability.leads import Leads, lead_limit, leads
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.ladder import Rung
from reidbench.records.questions_parts import SinglingOut

#: Of patients of whom nothing is published, those who may pass for singled out at the most.
FALSE_SHARE = 0.01


def judge_singling_out(
    links: Links,
    rung: Rung,
    patients: NDArray[np.int64],
    validation: NDArray[np.int64],
    pictures: Pictures = (None, None),
    *,
    runs: int,
) -> SinglingOut | None:
    """Who is singled out; None where no patient has two images, or there is no other patient.

    Args:
        links: the rung's scores.
        patients: (N,) of the test images.
        validation: (V,) of the validation images, which set the limit where there are any.
        pictures: of the test and the validation images; of copies of one picture the first alone is used.
        runs: bootstrap resamplings.
    """
    rows = first_pictures(pictures[0], len(patients))
    found = _leads(Held(links, len(patients)), rows, patients[rows])
    if not len(found.patients):
        return None
    calibration = found
    if links.galleries is not None and len(validation):
        gallery = links.galleries[1]
        kept = first_pictures(pictures[1], gallery.images)
        held_out = _leads(Held(gallery, gallery.images), kept, validation[kept])
        if len(held_out.patients):
            calibration = held_out
    limit = lead_limit(calibration, FALSE_SHARE)

    def share(leading: NDArray[np.float64]) -> metrics.Interval:
        return metrics.bootstrap_mean_patients(
            (leading > limit).astype(np.float64),
            found.patients,
            each="patient",
            share=True,
            runs=runs,
            seed=BOOTSTRAP_SEED,
        )

    return SinglingOut(
        attacker=links.name,
        knowledge=rung.knowledge,
        linkage=rung.linkage,
        patients=len(np.unique(found.patients)),
        calibrated_on="test" if calibration is found else "validation",
        calibration_patients=len(np.unique(calibration.patients)),
        false_share=FALSE_SHARE,
        limit=round(limit, DIGITS + 2) if math.isfinite(limit) else None,
        correct=short_interval(share(found.own)),
        wrong=short_interval(share(found.wrong)),
        unpublished=short_interval(share(found.unpublished)),
    )


def _leads(held: Held, rows: NDArray[np.intp], patients: NDArray[np.int64]) -> Leads:
    return leads(lambda block: held.rows(rows[block])[:, rows], patients)
