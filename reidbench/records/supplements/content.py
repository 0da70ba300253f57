"""A supplement: the figures of one more attacker against a release that has a record, in a file of its own.

The record stays as it is. Tables and pages take the highest figure over its own attacks and those of its supplements,
and name where it comes from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from reidbench.records.brief import brief_metrics
from reidbench.records.ladder import RERANKING
from reidbench.records.parts.common import FileName, LongText, Model, Options, Seconds, Text, unsaid
from reidbench.records.parts.provenance import BundleInfo, Environment, Git
from reidbench.records.schema import (
    DEFINITIONS,
    FIRST_DEFINITIONS,
    Attack,
    Record,
    RetrievalMetrics,
    VerificationMetrics,
)
from reidbench.records.scores import attack_key

SUPPLEMENT_VERSION = 1
#: Fields with lists of attacks.
ATTACKS = ("attacks", "undefended")
#: An attacker's name at most: with a record's name before it and an ending behind, file systems take it.
MOST_NAME = 40

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AttackerInfo(Model):
    """The attacker, and where its code comes from."""

    name: Annotated[FileName, Field(max_length=MOST_NAME)]
    distribution: Text = Field(description="the installed package, or the name of the file")
    version: Text = Field(description="of the package, or a digest of the file")
    summary: Text


class Supplement(Model):
    """One more attacker against a recorded release."""

    supplement_version: Literal[1] = 1
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    defense: FileName = Field(description="of the record; with the next field the name of its file")
    record_id: FileName
    record_sha256: Digest = Field(description="of the record's file")
    created: datetime
    definitions: Annotated[int, Field(ge=FIRST_DEFINITIONS, le=DEFINITIONS)] = Field(
        description="which definitions the intervals follow, as in records"
    )
    reidbench_version: Text
    git: Git | None
    environment: Environment
    command: LongText
    attacker: AttackerInfo
    hyperparameters: dict[Text, Options] = Field(
        description="of the attacker and of the network that undoes a defense, by name"
    )
    overrides: Options = Field(description="what was set apart from the record's settings")
    bundle: BundleInfo | None = Field(None, exclude_if=unsaid, description="of attackers trained before, if there was")
    attacks: list[Attack] = Field(min_length=1, max_length=200, description="on the release; without strata")
    undefended: list[Attack] = Field(
        max_length=200,
        description="the same attacks on the undefended images, which drops are counted from; none if these are "
        "what the record is of",
    )
    timings: dict[Text, Seconds]
    scores_sha256: Digest | None = Field(None, description="of the scores beside it; null where none were kept")

    @property
    def record_stem(self) -> str:
        """The name of the record's file without its ending."""
        return f"{self.defense}-{self.record_id}"

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return f"{self.record_stem}.{self.attacker.name}-{self.id}"

    @property
    def settings(self) -> str:
        """Equal for equal attackers with equal hyperparameters."""
        told = [self.attacker.name, self.hyperparameters]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @model_validator(mode="after")
    def _one_attacker(self) -> Supplement:
        names = {attack.attacker for attack in (*self.attacks, *self.undefended)}
        if self.attacker.name == RERANKING or not names <= {self.attacker.name, RERANKING}:
            raise PydanticCustomError("attacker", "all attacks are by the attacker, or its scores revised")
        keys = [[_key(attack) for attack in attacks] for attacks in (self.attacks, self.undefended)]
        if any(len(set(found)) < len(found) for found in keys):
            raise PydanticCustomError("twice", "an attack stands there twice")
        if self.undefended and set(keys[0]) != set(keys[1]):
            raise PydanticCustomError("undefended", "the undefended images have other attacks than the release")
        for attack in (*self.attacks, *self.undefended):
            revised, known = attack.post_processing, isinstance(attack.metrics, VerificationMetrics)
            if (attack.task == "verification") != known or (attack.negatives is None) == known:
                raise PydanticCustomError("task", "figures and impostors of an attack are those of its task")
            if revised is not None and (attack.attacker != RERANKING or revised.base != self.attacker.name):
                raise PydanticCustomError("base", "revised scores are those of the attacker")
            if isinstance(attack.metrics, VerificationMetrics) and attack.metrics.strata is not None:
                raise PydanticCustomError("strata", "a supplement has no strata")
        return self


@dataclass(frozen=True)
class Source:
    """Where an attack comes from that is not the record's own.

    Attributes:
        path: of the supplement.
        id: the supplement's.
        attacker: its attacker's name.
        settings: equal for equal attackers with equal hyperparameters.
        created: when it was made.
        key: of the attack in the supplement's scores.
        scores_sha256: of these; None where none were kept.
        undefended: whether it is on the undefended images.
        definitions: which its intervals follow.
    """

    path: Path
    id: str
    attacker: str
    settings: str
    created: datetime
    key: str
    scores_sha256: str | None
    undefended: bool = False
    definitions: int = DEFINITIONS

    @property
    def text(self) -> str:
        """A few words for tables: ``supplement of 2026-11-29``."""
        return f"supplement of {self.created:%Y-%m-%d}"


class SuppliedAttack(Attack):
    """An attack of a supplement, as tables take it: it says where it comes from. It is never written."""

    source: Any
    undefended: Any = None


def source_of(attack: Attack) -> Source | None:
    """Where an attack comes from; None for a record's own."""
    found: Source | None = getattr(attack, "source", None)
    return found


def supplied(record: Record, supplements: Sequence[tuple[Supplement, Path]], *, brief: bool = False) -> Record:
    """A record with the attacks of its supplements.

    Where one attacker with the same settings was run twice, for example on two machines, the higher figure stays.

    Args:
        record: whole or brief.
        supplements: of this record, with their paths; the earliest comes first, whatever the order here.
        brief: leave out what tables don't show.
    """
    found: dict[tuple[str, str], Attack] = {}
    for one, path in sorted(supplements, key=lambda pair: (pair[0].created, pair[0].id)):
        before = {_key(attack): _of(attack, one, path, brief=brief, undefended=True) for attack in one.undefended}
        for attack in one.attacks:
            key = (one.settings, _key(attack))
            if key not in found or _reached(attack) > _reached(found[key]):
                found[key] = _of(attack, one, path, brief=brief, twin=before.get(_key(attack)))
    return record.with_supplied(found.values())


def beside(baseline: Record, record: Record) -> Record:
    """An undefended run with what the supplements of ``record`` found on the undefended images, and nothing else.

    A drop counts from the attackers that the defended images were attacked by too.
    """
    twins = [attack.undefended for attack in record.supplied if isinstance(attack, SuppliedAttack)]
    if not twins and not baseline.supplied:
        return baseline
    return baseline.with_supplied([twin for twin in twins if twin is not None])


def misfit(supplement: Supplement, record: Record, sha256: str) -> str | None:
    """Why a supplement is none of this record, in a few words; None where it is.

    Args:
        sha256: of the record's file.
    """
    if supplement.record_id != record.id or supplement.defense != record.defense.name:
        return f"it belongs to {supplement.record_stem}.json"
    if supplement.record_sha256 != sha256:
        return f"{record.stem}.json is not the file that it was made for: its SHA-256 differs"
    if record.track != "images":
        return "its record is of a published model"
    if (record.defense.kind == "none") == bool(supplement.undefended):
        return "figures on undefended images are there for a defense, and for nothing else"
    judged = {_judged(attack) for attack in record.attacks}
    for attack in (*supplement.attacks, *supplement.undefended):
        if judged and _judged(attack) not in judged:
            return f"its pairs are not the record's ({_key(attack)})"
    return None


def _reached(attack: Attack) -> float:
    figures = attack.metrics
    value = (figures.auc if isinstance(figures, VerificationMetrics) else figures.map_at_r_patients).value
    return -1.0 if value is None else value


def _judged(attack: Attack) -> tuple[str | None, int, int]:
    """On what an attack was judged: which pairs or probes, and how many."""
    figures = attack.metrics
    if isinstance(figures, VerificationMetrics):
        return attack.negatives, figures.genuine, figures.impostor
    return None, figures.probes, figures.gallery


def _of(
    attack: Attack,
    supplement: Supplement,
    path: Path,
    *,
    brief: bool,
    undefended: bool = False,
    twin: Attack | None = None,
) -> SuppliedAttack:
    key = _key(attack)
    told = (supplement.id, supplement.attacker.name, supplement.settings, supplement.created)
    source = Source(path, *told, key, supplement.scores_sha256, undefended, supplement.definitions)
    # Beside the record's own revised scores these are others.
    name = attack.attacker if attack.attacker != RERANKING else f"{RERANKING} of {supplement.attacker.name}"
    content = {**attack.__dict__, "attacker": name, "source": source, "undefended": twin}
    if brief:
        content["metrics"] = brief_metrics(attack.metrics)
    return SuppliedAttack.model_construct(**content)


def _key(attack: Attack) -> str:
    negatives = None if isinstance(attack.metrics, RetrievalMetrics) else attack.negatives
    return attack_key(attack.attacker, attack.knowledge, attack.linkage, negatives)
