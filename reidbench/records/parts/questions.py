"""Singling out, inference and copies: what a record says of them beside linkability."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidbench.records.ladder import Knowledge, Linkage
from reidbench.records.parts.common import Count, Model, Number, Rate, RateInterval, Text


class SinglingOut(Model):
    """Patients whose own release comes first by a lead that a patient of whom nothing is published seldom has.

    Of the rung and the attacker, or the fusion, with the highest mAP@R of a linkage; figures to four digits.
    """

    attacker: Text
    knowledge: Knowledge
    linkage: Linkage
    patients: Count = Field(description="with at least two images; figures are means over them of their images' shares")
    calibrated_on: Literal["validation", "test"] = Field(
        description="whose unpublished patients set the limit: the test patients' where there are no others"
    )
    calibration_patients: Count = Field(description="with any number of images")
    false_share: Rate = Field(description="of those unpublished patients, whom the limit lets pass at the most")
    limit: Number | None = Field(description="of the lead, in units of the attacker's score; null if it is infinite")
    correct: RateInterval = Field(description="singled out, and rightly")
    wrong: RateInterval = Field(description="another patient leads by more than the limit")
    unpublished: RateInterval = Field(
        description="the realized share of test patients, with any number of images, for whom somebody else would be "
        "taken if nothing of them were published"
    )


class Inferred(Model):
    """One attribute inferred from released images; AUCs over test images of which it is known."""

    values: list[Text] = Field(max_length=100, description="that are told apart; with two, the AUC of the first")
    patients: Count = Field(description="test patients of whom the attribute is known")
    vectors: RateInterval = Field(description="AUC by a linear classifier of the attacker's vectors of the release")
    network: RateInterval | None = Field(
        description="AUC by a network trained for it on the release; null where none was trained"
    )
    table: RateInterval = Field(description="AUC by the other columns of the table alone, without an image")


class Inference(Model):
    """What released images tell of a patient's sex and age; means over the values, 95 % bootstrap over patients."""

    knowledge: Knowledge
    linkage: Linkage
    attacker: Text = Field(description="whose vectors of the release are used")
    learned_on: Literal["train", "test"] = Field(
        description="the train part's release, or other patients of the test part where there is none"
    )
    attributes: dict[Text, Inferred]


class Copies(Model):
    """Training patients whom a defense that learned from them publishes again, in the place of others.

    A published test image is a copy if its distance to the nearest training image, divided by that to the nearest
    validation image, is below the limit that 5 % of the test originals are below. Distances are Euclidean, of images
    reduced to 32 × 32 pixels at most.
    """

    patients: Count = Field(description="of the train split, from whom the defense learned")
    images: Count = Field(description="published test images")
    limit: Number = Field(description="of the ratio of distances")
    copies: RateInterval = Field(description="share of the published images that are copies; 0.05 is chance")
    originals: Rate = Field(description="the realized share of the test originals below the limit")
    copied: Count = Field(description="training patients who are copied")
    most: Rate = Field(description="the largest share of the published images that copy one patient")
