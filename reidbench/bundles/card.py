"""The card of a bundle: what its attackers were trained on, how well they link patients, and what its files are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reidbench.cohorts.unsaid import with_unsaid

CARD = "bundle.json"
#: Digests of the decoded training images, one a line.
IMAGES = "training-images.txt"
SCHEMA_VERSION = 1
_DIGEST = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
#: A bundle's own name, an attacker's name, and the names of its files: they lead to no other folder.
_NAME = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class Part(BaseModel):
    """Base of the parts of a card: immutable, no unknown fields, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Content(Part):
    """A file of the bundle."""

    file: _NAME
    bytes: int = Field(ge=1)
    sha256: _DIGEST


class Figures(Part):
    """How well an attacker links the undefended images of one part: all pairs of images, every image a probe."""

    images: int = Field(ge=0)
    patients: int = Field(ge=0)
    auc: float | None = Field(ge=0, le=1, description="over all pairs of images")
    map_at_r: float | None = Field(ge=0, le=1, description="over probes with another image of their patient")
    precision_at_1: float | None = Field(ge=0, le=1, description="over the same probes")


class Scale(Part):
    """Scores of the validation pairs, which bring several attackers' scores to one scale."""

    mean: float
    deviation: float = Field(ge=0)


class BundledAttacker(Part):
    """One attacker of a bundle."""

    weights: Content
    preset: _NAME = Field(description="whose class carries the recipe out")
    hyperparameters: dict[str, Any]
    seed: int = Field(ge=0)
    epochs: int = Field(ge=0)
    images_seen: int = Field(ge=0, description="images that went through the network in training")
    seconds: float = Field(ge=0)
    scale: Scale | None = Field(description="null where there was no validation pair")
    figures: dict[str, Figures] = Field(description="by part: val, test, or another collection")


class TrainedOn(Part):
    """The images that the attackers learned from: the train part of a dataset."""

    name: str = Field(max_length=200)
    revision: str = Field(max_length=200, description="SHA-256 over table and pixels")
    options: dict[str, Any]
    generated: bool = Field(description="whether no real patient is among them")
    images: int = Field(ge=0)
    patients: int = Field(ge=0)
    licence: str = Field(max_length=2000)
    attribution: str = Field(max_length=2000)

    @model_validator(mode="after")
    def _with_unsaid(self) -> TrainedOn:
        # Cards from before a dataset had an option.
        self.options.update(with_unsaid(self.name, self.options))
        return self


class KnownImages(Content):
    """The file of digests of the training images.

    A digest is made of the first 16 hexadecimal digits of SHA-256 over the decoded image: its 8-bit pixels at the
    bundle's size, row by row.
    """

    count: int = Field(ge=0)


class Card(Part):
    """What a bundle says of itself, in the file ``bundle.json``."""

    schema_version: Literal[1] = 1
    name: _NAME
    summary: str = Field(max_length=500)
    intended_use: str = Field(max_length=2000)
    created: datetime
    reidbench_version: str = Field(max_length=50)
    commit: str | None = Field(max_length=64)
    command: str = Field(max_length=4000)
    size: int = Field(ge=16, le=1024, description="width and height of the images in pixels")
    dataset: TrainedOn
    training_images: KnownImages | None = Field(description="null where they are not known")
    attackers: dict[_NAME, BundledAttacker] = Field(min_length=1)
