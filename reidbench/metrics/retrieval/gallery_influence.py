"""What each patient does to a retrieval as part of the gallery: by how much others would be found better without them.

The figures of a retrieval depend on whom the gallery holds as well as on whose probes are asked. Resampling probes
against a fixed gallery leaves out half of that, and its intervals are too narrow. To draw galleries anew would mean to
rank them anew; to leave one patient out does not: only the ranks of images below that patient's fall, by the number of
the patient's images above them. One pass over the rankings therefore gives the figures without each of K patients,
exactly, ties included.

A probe with R images to find is changed only by patients among the first R + M images, M being the most images of one
patient: no single patient can lift an image from below that into the first R. The rest of the ranking isn't looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench.metrics.validation import Floats, Indices

#: The figures that are followed, as rows of :attr:`GalleryInfluence.gains`.
MAP_AT_R_PATIENTS, MAP_AT_R, R_PRECISION, PRECISION_AT_1 = range(4)
# Gains are summed as whole numbers of this size, so that the sum is the same in whatever order threads make it.
_UNIT = 2.0**-40


@dataclass(frozen=True, eq=False)
class GalleryInfluence:
    """What leaving each of K patients out of the gallery does to the probes of all others.

    Attributes:
        patients: the gallery's patients (K,).
        gains: (4, K) by how much the sum over the other patients' probes rises, of AP@R with a probe weighing one over
            its patient's number of probes, and of AP@R, R-Precision and Precision@1 with a probe weighing 1.
    """

    patients: NDArray[Any]
    gains: Floats


class GainSums:
    """Gains as they are added up, probe by probe.

    Args:
        gallery_patient: (G,) the patients of the gallery's images, numbered 0..K-1.
        patients: K.
    """

    def __init__(self, gallery_patient: Indices, patients: int) -> None:
        self._patient = gallery_patient
        self._most = int(np.bincount(gallery_patient).max(initial=0))
        self._harmonic = np.append(0.0, np.cumsum(1.0 / np.arange(1, self._most + 1)))
        self.sums = np.zeros((4, patients), dtype=np.int64)

    def add(self, raw: NDArray[Any], ordered: NDArray[Any], mine: Indices, weight: float) -> None:
        """Adds what each patient does to one probe.

        Args:
            raw: (G,) scores, the probe itself and its copies at -inf.
            ordered: (G,) the same, rising.
            mine: gallery positions of the R relevant images.
            weight: one over the number of probes of the patient.
        """
        wanted = len(mine)
        lowest = ordered[-min(len(ordered), wanted + self._most)]
        shown = np.flatnonzero(raw >= lowest if np.isfinite(lowest) else raw > lowest)
        scores, patient = raw[shown], self._patient[shown]
        own = self._patient[mine[0]]
        other = patient != own
        # Falling scores of the groups of equal scores that hold a relevant image.
        groups, relevant = np.unique(-scores[~other], return_counts=True)
        if not len(groups):
            return
        found = np.cumsum(relevant) - relevant
        scores, patient = -scores[other], patient[other]
        who, where = np.unique(patient, return_inverse=True)
        # An image is above every group from the first one below it on, and tied at most with the one before that.
        below = np.searchsorted(groups, scores, side="right")
        tied = below > np.searchsorted(groups, scores, side="left")
        size = len(who) * (len(groups) + 1)
        flat = where * (len(groups) + 1) + below
        above = np.cumsum(np.bincount(flat, minlength=size).reshape(len(who), -1), axis=1)[:, :-1]
        equal = np.bincount(flat[tied] - 1, minlength=size).reshape(len(who), -1)[:, :-1]
        over, level = above.sum(axis=0) + found, equal.sum(axis=0) + relevant
        whole = self._figures(over, level, relevant, found, wanted)
        precision, share, first = self._figures(over - above, level - equal, relevant, found, wanted) - whole[:, None]
        for row, gain in enumerate((precision * weight, precision, share, first)):
            self.sums[row, who] += np.rint(gain / _UNIT).astype(np.int64)

    def _figures(self, above: Indices, size: Indices, relevant: Indices, found: Indices, wanted: int) -> Floats:
        """AP@R, R-Precision and Precision@1, (3, ...), of groups of equal scores along the last axis.

        As :func:`reidbench.metrics.retrieval.expected_ranks.expected` has them.
        """
        start, stop = np.minimum(above, wanted), np.minimum(above + size, wanted)
        share, rise = relevant / size, (relevant - 1) / np.maximum(size - 1, 1)
        tied = (found + 1 - (above + 1) * rise) * (self._harmonic[stop] - self._harmonic[start])
        tied += rise * (stop - start)
        single = (stop > start) * (found + 1) / (above + 1)
        precision = (share * np.where(size == 1, single, tied)).sum(axis=-1) / wanted
        within = (share * (stop - start)).sum(axis=-1) / wanted
        first = np.where(above[..., 0] == 0, share[..., 0], 0.0)
        return np.stack([precision, within, first])

    def taken(self, patients: NDArray[Any]) -> GalleryInfluence:
        """The gains so far.

        Args:
            patients: (K,) names of the patients 0..K-1.
        """
        gains: Floats = self.sums.astype(np.float64) * _UNIT
        return GalleryInfluence(patients, gains)
