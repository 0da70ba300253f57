"""Singling out on a rung: patients who come first in a search, with a lead that strangers seldom have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.harness.questions.linkability import DIGITS, first_pictures, short_interval
from reidbench.harness.scores.reranking import Held, Pictures
from reidbench.harness.scores.sources import Links
from reidbench.metrics.linkability.leads import Leads, lead_limit, leads
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.ladder import Rung
from reidbench.records.parts.common import Interval
from reidbench.records.parts.questions import SinglingOut

#: Accepted shares of patients without a published image for whom another patient is taken. In some collections a person
#: has two identifiers; such a pair looks like a stranger with a large lead, and a few pairs decide the lower limit.
FALSE_SHARES = (0.01, 0.05)


def judge_singling_out(
    links: Links,
    rung: Rung,
    patients: NDArray[np.int64],
    validation: NDArray[np.int64],
    pictures: Pictures = (None, None),
    *,
    runs: int,
) -> list[SinglingOut]:
    """Singling out at each of :data:`FALSE_SHARES`; empty without a patient of two images, or without another patient.

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
        return []
    calibration = found
    if links.galleries is not None and len(validation):
        gallery = links.galleries[1]
        kept = first_pictures(pictures[1], gallery.images)
        held_out = _leads(Held(gallery, gallery.images), kept, validation[kept])
        if len(held_out.strangers):
            calibration = held_out
    return [_judge(links, rung, found, calibration, share, runs) for share in FALSE_SHARES]


def _judge(links: Links, rung: Rung, found: Leads, calibration: Leads, false_share: float, runs: int) -> SinglingOut:
    limit = lead_limit(calibration, false_share)

    def share(leading: NDArray[np.float64], patients: NDArray[np.intp]) -> Interval:
        shared: dict[str, Any] = {"each": "patient", "share": True, "runs": runs, "seed": BOOTSTRAP_SEED}
        return short_interval(metrics.bootstrap_mean_patients((leading > limit).astype(np.float64), patients, **shared))

    return SinglingOut(
        attacker=links.name,
        knowledge=rung.knowledge,
        linkage=rung.linkage,
        patients=len(np.unique(found.patients)),
        calibrated_on="test" if calibration is found else "validation",
        calibration_patients=len(np.unique(calibration.strangers)),
        false_share=false_share,
        limit=round(limit, DIGITS + 2) if math.isfinite(limit) else None,
        correct=share(found.own, found.patients),
        wrong=share(found.wrong, found.patients),
        unpublished=share(found.unpublished, found.strangers),
    )


def _leads(held: Held, rows: NDArray[np.intp], patients: NDArray[np.int64]) -> Leads:
    return leads(lambda block: held.rows(rows[block])[:, rows], patients)
