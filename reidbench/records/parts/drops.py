"""What a defense takes from the strongest attack of each task."""

from __future__ import annotations

from pydantic import Field

from reidbench.records.parts.common import DifferenceInterval, Model, Text, unsaid


class Drop(Model):
    """The fall of a strongest attack's figure."""

    before: Text = Field(description="the strongest attack of the undefended run, by its key in the scores")
    after: Text = Field(description="the strongest attack of this run, by its key in the scores")
    fall: DifferenceInterval = Field(
        description="the figure without the defense minus the figure with it. 95 % interval over patients; the same "
        "patients are drawn, or left out, in both runs"
    )


class Drops(Model):
    """The falls; null where a strongest attack is not defined."""

    auc: Drop | None = Field(None, exclude_if=unsaid, description="of the highest AUC over all attacks")
    map_at_r: Drop | None = Field(
        None, exclude_if=unsaid, description="of the highest mAP@R over all attacks, averaged over patients"
    )
