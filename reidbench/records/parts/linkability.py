"""A rung's linkability: several known images, a closed world, and galleries of other sizes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidbench.records.ladder import Knowledge, Linkage
from reidbench.records.parts.common import Count, Model, Rate, RateInterval, Text

#: How scores of several known images become one.
Pooling = Literal["mean score", "maximum", "mean vector"]


#: Known images of a patient.
SHOTS = (1, 2, 4)
#: Patients whose images are drawn; more would only narrow the interval.
MOST_PATIENTS = 500
#: Patients that are assigned one to one at once: the time grows with their cube.
MOST_ASSIGNED = 2000


class MultiShot(Model):
    """Several known images of a patient; figures by their number m, averaged over the same patients for every m."""

    pooling: Pooling = Field(description="how the scores of known images become one, as validation patients chose")
    patients: Count = Field(description="of at least six images each: four are known, two to find; 500 at most")
    map_at_r: dict[Text, RateInterval] = Field(description="against single published images")
    precision_at_1: dict[Text, RateInterval] = Field(description="against single published images")
    set_patients: Count = Field(
        description="of at least eight images each: four are known, four published; 500 at most"
    )
    set_precision_at_1: dict[Text, RateInterval] = Field(description="against m published images of each of them")


class ClosedWorld(Model):
    """One-to-one assignment where both sides are known to hold the same patients, one image of each."""

    patients: Count
    correct: RateInterval = Field(description="share of right links")
    chance: Rate = Field(description="of a random assignment")


class GallerySize(Model):
    """Success of a probe with one right image among images of other patients."""

    gallery: Count = Field(description="images that are searched, the right one among them")
    precision_at_1: RateInterval = Field(description="averaged over patients")
    patients_found: RateInterval | None = Field(description="by at least one of their images; null where extrapolated")
    extrapolated: bool = Field(
        description="beyond the cohort, under a beta distribution of the share of images before the right one; the "
        "interval is over patients, and takes the model for true"
    )


class Linkability(Model):
    """Of the rung and the attacker, or the fusion, with the highest mAP@R of a linkage; figures to four digits."""

    attacker: Text
    knowledge: Knowledge
    linkage: Linkage
    multi_shot: MultiShot | None = Field(description="null without a patient that has enough images")
    closed_world: ClosedWorld | None = Field(description="null with fewer than two patients of several images")
    gallery_sizes: list[GallerySize] = Field(max_length=100)
