"""Where a record comes from: commit and machine, the dataset, the defense, and attackers that were trained before."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from reidbench.records.parts.common import (
    Count,
    FileName,
    Model,
    Number,
    Numbers,
    Options,
    Rate,
    Seconds,
    Text,
    unsaid,
)


class Git(Model):
    """The commit that made the record."""

    commit: Text
    dirty: bool = Field(description="whether tracked files differed from the commit")


#: The packages that compute what networks and attacks learn; another version may add in another order.
_COMPUTING = ("torch", "torchvision", "kornia", "numpy", "lightning", "pytorch-metric-learning")


class Environment(Model):
    """Where it was made."""

    python: Text
    platform: Text
    device: Text
    device_name: Text = Field(description="of the GPU or the processor; in earlier records of a CPU its architecture")
    cpus: Count
    threads: Count | None = Field(None, exclude_if=unsaid, description="of trainings of defenses; all others have one")
    cpu_capability: Text | None = Field(
        None, exclude_if=unsaid, description="torch's instruction set: another one adds in another order"
    )
    packages: dict[Text, Text]

    def differences(self, other: Environment) -> list[str]:
        """What lets an equal training round in another way here than there, such as ``torch 2.15.0, not torch 2.14.0``.

        What either doesn't say counts as equal: earlier records have no processor.
        """
        if self.device != other.device:
            return [f"{self.device}, not {other.device}"]
        mine, theirs = self._rounding(), other._rounding()
        return [f"{mine[key]}, not {theirs[key]}" for key in mine if key in theirs and mine[key] != theirs[key]]

    def rounds_like(self, other: Environment) -> bool:
        """Whether nothing differs that lets an equal training round in another way, and both say the same of it."""
        return not self.differences(other) and self._rounding().keys() == other._rounding().keys()

    def _rounding(self) -> dict[str, str]:
        architecture = self.platform.rpartition(" ")[2]
        found = {} if self.device_name in (architecture, "arm", "") else {"device": self.device_name}
        if self.device == "cpu":
            found["architecture"] = architecture
            if self.cpu_capability is not None:
                found["instructions"] = self.cpu_capability
        return found | {name: f"{name} {version}" for name, version in self.packages.items() if name in _COMPUTING}


class DatasetInfo(Model):
    """What was attacked."""

    name: FileName
    revision: Text = Field(description="SHA-256 over table and pixels; only records with an equal one compare")
    options: Options
    size: Annotated[int, Field(ge=1, le=4096)] = Field(description="width and height of the images in pixels")
    images: dict[Text, Count] = Field(description="images by split")
    patients: dict[Text, Count] = Field(description="patients by split")
    notes: list[Text] = Field(max_length=1_000)

    @property
    def title(self) -> str:
        """The name of its boards: an earlier recipe of generated patients, ``phantom-1``, has boards of its own."""
        earlier = self.name == "phantom" and self.options.get("version") == 1
        return f"{self.name}-1" if earlier else self.name

    @model_validator(mode="after")
    def _both_parts(self) -> DatasetInfo:
        if not all({"train", "test"} <= counts.keys() for counts in (self.images, self.patients)):
            raise PydanticCustomError("parts", "images and patients have a number for train and one for test")
        return self


class PrivacyInfo(Model):
    """A formal guarantee, as the defense claims it."""

    epsilon: Annotated[float, Field(ge=0, le=1e40)]
    delta: Rate
    unit: Text
    whole_image_epsilon: Number | None = Field(
        None, exclude_if=unsaid, description="the bound for a whole image, where the unit is a part of one"
    )
    whole_image_delta: Number | None = Field(None, exclude_if=unsaid, description="and its probability of failure")
    clipping_norm: Number | None = Field(
        None, exclude_if=unsaid, description="norm that a unit's gradient is clipped to"
    )
    noise_multiplier: Number | None = Field(None, exclude_if=unsaid, description="the noise's deviation, in that norm")
    sample_rate: Rate | None = Field(None, exclude_if=unsaid, description="probability that a step takes a unit")
    steps: Count | None = Field(None, exclude_if=unsaid, description="steps of the training")
    accountant: Text | None = Field(None, exclude_if=unsaid, description="what added the steps up")


class FittingInfo(Model):
    """How a defense was trained before it published anything. Its own figures do not measure privacy."""

    images: Count = Field(description="of the train split, all that it saw")
    patients: Count = Field(description="whom they are of")
    epochs: Count
    seconds: Seconds
    checkpoint_sha256: Text
    history: Annotated[list[Numbers], Field(max_length=100_000)]


class DefenseInfo(Model):
    """What was judged. ``kind`` is ``none`` for the undefended run."""

    name: FileName
    distribution: Text
    version: Text
    kind: Text
    summary: Text
    options: Options
    privacy: PrivacyInfo | None = None
    fitting: FittingInfo | None = Field(
        None, exclude_if=unsaid, description="of a defense that trains on the train split first"
    )
    published: Options | None = Field(
        None,
        exclude_if=unsaid,
        description="options of the operating point ``published`` that this run has otherwise: it is a stand-in for "
        "the published method. Null where there is no such point, or nothing differs",
    )
    unmatched_break: Text | None = Field(
        None,
        exclude_if=unsaid,
        description="a published break that no attacker of the run carries out, with its source: figures are too low",
    )


class BundleInfo(Model):
    """Attackers trained before, which this run's attackers could start from."""

    name: Text
    sha256: Text = Field(description="of image size, hyperparameters and weights, 32 hexadecimal digits")
    trained_on: Text = Field(description="the dataset whose train part they were trained on")
    left_out: Count = Field(description="images left out of test and validation because the bundle was trained on them")
    validation_auc: dict[Text, Numbers] = Field(
        description="by attacker and candidate (bundle, fine-tuned, cohort), over the validation pairs of the "
        "originals; null where only the bundle's attacker came into question"
    )
