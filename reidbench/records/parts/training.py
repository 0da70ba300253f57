"""How an attacker or a classifier was trained, and whether that led anywhere."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator

from reidbench.networks.history import final_slope, still_improving
from reidbench.records.parts.common import Count, DifferenceInterval, Model, Number, Rate, Seconds, Text, unsaid

#: Where an attacker's weights come from, in a run with a bundle of attackers that were trained before.
Origin = Literal["bundle", "fine-tuned", "cohort"]
#: Raw pixels that reach no more find nothing that an attacker could be compared with.
ABOVE_CHANCE = 0.55
#: A gain in AUC that a training may have brought although its interval holds none too.
MUCH = 0.05


class TrainingInfo(Model):
    """How an attacker or a classifier was trained."""

    epochs: Count
    images_seen: Count
    seconds: Seconds
    learned: bool = Field(description="false when the training loss never left its starting value, or ended above it")
    checkpoint_sha256: Text
    warm_start: bool
    kept_start: bool | None = Field(
        None, exclude_if=unsaid, description="the start's weights did better on validation, and were kept"
    )
    put_back: bool | None = Field(
        None,
        exclude_if=unsaid,
        description="of a restoration: on validation patients the network erred more than putting pixels back by their "
        "statistics, as was then done with all released images",
    )
    origin: Origin | None = Field(
        None,
        exclude_if=unsaid,
        description="in a run with a bundle: whether the weights are, or went on from, the bundle's, the bundle's "
        "trained further on this cohort, or those of an attacker trained on this cohort alone",
    )
    history: list[dict[Text, Number | None]] = Field(
        max_length=100_000, description="one row per epoch, to six digits: they are for a plot"
    )

    @property
    def final_slope(self) -> float | None:
        """How much the validation AUC rose in an epoch at the end of the training; None where that cannot be told.

        As :func:`reidbench.networks.history.final_slope`. Learning rates fall to 0 at the end of a training, which
        flattens its curve: a training that is not said to be improving may still be too short.
        """
        return final_slope(self.history)

    @property
    def still_improving(self) -> bool:
        """Whether the validation AUC still rose when the training ended, so that a longer one would be stronger."""
        return still_improving(self.history)

    @field_validator("history", mode="before")
    @classmethod
    def _six_digits(cls, rows: Any) -> Any:
        return [_rounded(row) for row in rows] if isinstance(rows, list) else rows


def _rounded(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    # Whole numbers too: they are written as floats, and must be the same when they are read again.
    return {name: _six_digits(value) if type(value) in (int, float) else value for name, value in row.items()}


def _six_digits(value: float) -> float | None:
    if isinstance(value, int) and abs(value) > 10**40:
        return value  # Out of bounds, which validation says.
    return float(f"{value:.6g}") if math.isfinite(value) else None


class TrainingCheck(Model):
    """Whether a trained attacker finds more than no network at all, on the validation pairs of its rung.

    A training that started and led nowhere overstates privacy as one does that never started.
    """

    auc: Rate | None = Field(description="of the attacker")
    raw_auc: Rate | None = Field(
        description="without training: distance of the raw pixels, or for a published model cosine of its vectors"
    )
    gain: DifferenceInterval = Field(
        description="the first less the second; 95 % paired bootstrap over validation patients"
    )

    @property
    def verdict(
        self,
    ) -> Literal["worse than no training", "no better than no training", "undecided", "at chance"] | None:
        """What is wrong with the training; None where it gained something, or nothing can be told.

        At chance, as the raw pixels are: nothing is there to be found, or nothing was learned. Undecided: it gained,
        perhaps much, but the validation patients are too few to show it; or both put all pairs in one order, as where
        equal images decide it, or tell all of them, so that no training can gain.
        """
        if self.auc is None or self.raw_auc is None or self.gain.low is None or self.gain.high is None:
            return None
        if self.gain.low > 0:
            return None
        if self.gain.high < 0:
            return "worse than no training"
        if self.raw_auc <= ABOVE_CHANCE:
            return "at chance"
        if self.gain.value == 0 and (self.raw_auc == 1 or self.gain.low == self.gain.high == 0):
            return "undecided"
        gained = self.gain.value is not None and self.gain.value > 0 and self.gain.high > MUCH
        return "undecided" if gained else "no better than no training"

    @property
    def failed(self) -> bool:
        """Whether no training would have found as much; not so where nothing may be found, nor undecided."""
        return self.verdict in ("worse than no training", "no better than no training")
