"""Settings of a run: preset, overrides, rungs, seed, folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from reidbench.attackers.base import Attacker
from reidbench.attackers.inversion import RestorerOptions
from reidbench.attackers.vectors import VectorHeadOptions
from reidbench.bundles.bundle import NONE, Bundle, find_bundle, read_bundle
from reidbench.defenses.fingerprint import by_content
from reidbench.errors import ReidbenchError, did_you_mean
from reidbench.files import content_digest
from reidbench.plugins import Registry
from reidbench.plugins.options import build
from reidbench.records.ladder import (
    DEFAULT_ATTACKERS,
    FUSION,
    NEGATIVES,
    OTHER_TRAININGS,
    RERANKING,
    Built,
    Rung,
    full_ladder,
)
from reidbench.records.membership import MembershipOptions
from reidbench.records.schema import MOST_RUNS
from reidbench.utility.classifier import ClassifierOptions

# Image sizes: the 2022 paper retrieves at up to 1024² pixels and verifies at 256², to which its recipe reduces images.
# 64² is feasible on two CPU cores; `standard` was measured at 128².
SIZES = {"quick": 64, "standard": 128, "paper": 1024}
# 10,000 as in the 2022 paper. The ends of a 95 % interval differ little from 2,000 on, and a record has 24 intervals.
BOOTSTRAP_RUNS = {"quick": 2_000, "standard": 10_000, "paper": 10_000}
# The most genuine test pairs of a patient: all that twelve images make. Without a cap they grow with the square of a
# patient's images: one patient of 80 has 29 % of those of the ChestX-ray14 sample's test part, and an AUC spreads three
# times as widely (benchmarks/interval_coverage.py). The 2022 paper sets no cap.
PAIRS_PER_PATIENT = {"quick": 66, "standard": 66, "paper": None}
#: One of fourteen findings moves the macro AUC by a fourteenth of its own spread, which is wide below this.
FINDING_PATIENTS = 10
# The shipped bundle that the attackers of a quick run on real patients start from. Those of generated patients start
# from the weights of the bundle `phantom-2`, as their preset says.
DEFAULT_BUNDLE = "chestxray14"
# A bundle brings its own networks. Who sets one of these wants another network.
OF_NETWORK = ("backbone", "weights", "dimensions", "grid", "align", "equalize")
# What else has hyperparameters, by the name of its field.
OTHERS: dict[str, Any] = dict(
    zip(OTHER_TRAININGS, (ClassifierOptions, RestorerOptions, VectorHeadOptions, MembershipOptions), strict=True)
)


@dataclass(frozen=True)
class Settings:
    """A run's settings.

    Attributes:
        preset: ``quick``, ``standard`` or ``paper``.
        overrides: values that replace those of the preset, by dotted name, for the record.
        size: width and height of the images in pixels.
        attackers: untrained attackers with their hyperparameters.
        classifier: the diagnostic classifier's hyperparameters.
        restorer: hyperparameters of the network that undoes a defense.
        vector_head: hyperparameters of the attacker on published vectors.
        membership: hyperparameters of the membership attacks on a published model.
        bootstrap_runs: resamplings behind every interval.
        pairs_per_patient: most genuine pairs that are evaluated per patient; None for all.
        finding_patients: patients with a finding, and patients without, that the train and the test part each need for
            it to count in the diagnostic utility.
        ladder: the rungs to run.
        negatives: how impostor pairs are chosen, each a track of its own.
        pair_list: a file of test pairs to use instead of generated ones.
        bundle: the attackers trained before that this run's attackers may start from; None where there are none.
        pretrained: by name, the attackers of the bundle, with their hyperparameters.
        leave_out: whether images that the bundle was trained on are left out of test and validation; otherwise a run on
            such images is refused.
        seed: of release, training and sampling. The test pairs do not depend on it, so that runs stay paired.
        device: where networks and defenses run.
        cache: folder of the step cache.
        keep_findings: whether the scores beside a record contain the findings of real patients' images and the
            classifiers' predictions; those of generated patients always do.
        command: the command line, for the record.
    """

    preset: str
    size: int
    attackers: tuple[Attacker, ...]
    classifier: ClassifierOptions
    restorer: RestorerOptions
    device: torch.device
    cache: Path
    bootstrap_runs: int
    pairs_per_patient: int | None = None
    finding_patients: int = FINDING_PATIENTS
    seed: int = 0
    vector_head: VectorHeadOptions = field(default_factory=VectorHeadOptions)
    membership: MembershipOptions = field(default_factory=MembershipOptions)
    ladder: tuple[Rung, ...] = field(default_factory=full_ladder)
    negatives: tuple[Built, ...] = NEGATIVES
    pair_list: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    bundle: Bundle | None = None
    pretrained: Mapping[str, Attacker] = field(default_factory=dict)
    leave_out: bool = False
    keep_findings: bool = False
    command: str = ""


def choose_bundle(
    text: str | None,
    *,
    generated: bool,
    preset: str,
    attackers: Sequence[str] = DEFAULT_ATTACKERS,
    overrides: Mapping[str, str] | None = None,
    size: int | None = None,
) -> Bundle | None:
    """The bundle that a run starts from.

    Args:
        text: the name of a shipped bundle, a folder, or ``none``; None for the default: the shipped bundle of real
            X-rays in a ``quick`` run on real patients, as long as neither another image size nor another network is
            asked for, and none otherwise.
        generated: whether the patients of the dataset are generated.

    Raises:
        ReidbenchError: there is no such bundle, it is damaged, or it does not suit the size or the attackers.
    """
    if text == NONE:
        return None
    if text is None and (generated or preset != "quick"):
        return None
    bundle = read_bundle(find_bundle(text if text is not None else DEFAULT_BUNDLE))
    set_options = [name.partition(".") for name in overrides or {}]
    networks = [
        f"{owner}.{option}"
        for owner, _, option in set_options
        if owner in bundle.card.attackers and option in OF_NETWORK
    ]
    if text is None:
        suits = size in (None, bundle.card.size) and any(name in bundle.card.attackers for name in attackers)
        return bundle if suits and not networks else None
    if networks:
        raise ReidbenchError(f"--set {networks[0]}: the bundle {bundle.card.name} has its own network; leave one out")
    if size not in (None, bundle.card.size):
        raise ReidbenchError(
            f"--size {size}: the bundle {bundle.card.name} is for images of {bundle.card.size} pixels; leave --size out"
        )
    if not any(name in bundle.card.attackers for name in attackers):
        raise ReidbenchError(
            f"--attackers {text}: the bundle has {', '.join(bundle.card.attackers)}, but not {', '.join(attackers)}"
        )
    return bundle


def make_settings(
    registry: Registry,
    *,
    preset: str,
    device: torch.device,
    cache: Path,
    attackers: Sequence[str] = DEFAULT_ATTACKERS,
    overrides: Mapping[str, str] | None = None,
    size: int | None = None,
    ladder: tuple[Rung, ...] | None = None,
    pair_list: Path | None = None,
    seed: int = 0,
    devices: int | None = None,
    bundle: Bundle | None = None,
    leave_out: bool = False,
    keep_findings: bool = False,
    command: str = "",
) -> Settings:
    """Settings from the name of a preset and the values that replace its own.

    Args:
        overrides: ``retrieval.epochs`` → ``5`` and so on; the first part is an attacker's name, or one of
            ``classifier``, ``restorer``, ``vector_head`` and ``membership``, or the whole is ``bootstrap_runs``,
            ``finding_patients`` or ``pairs_per_patient``, of which ``none`` sets no cap.
        devices: GPUs, or processes on a CPU, for each attacker's training; as ``<attacker>.devices`` sets it for one.
        bundle: as :func:`choose_bundle` gives it. Its image size replaces the preset's, and what ``overrides`` and
            ``devices`` say of an attacker holds for the bundle's too.

    Raises:
        ReidbenchError: an unknown preset, attacker or option, or a value out of bounds.
    """
    if preset not in SIZES:
        raise ReidbenchError(f"unknown preset {preset!r}: {did_you_mean(preset, SIZES)}")
    for name, what in ((FUSION, "the mean of the others"), (RERANKING, "revised scores of the others")):
        if name in attackers:
            raise ReidbenchError(f"attacker {name!r}: this name is reserved for {what}; choose another")
    if size is not None and not 16 <= size <= 1024:
        raise ReidbenchError(f"--size {size}: the width must be 16 to 1024 pixels")
    grouped: dict[str, dict[str, Any]] = {name: {} for name in (*attackers, *OTHERS)}
    runs, cap, least = BOOTSTRAP_RUNS[preset], PAIRS_PER_PATIENT[preset], FINDING_PATIENTS
    for name, value in (overrides or {}).items():
        owner, _, option = name.partition(".")
        if name == "bootstrap_runs":
            runs = _whole_number(name, value)
            if runs > MOST_RUNS:
                raise ReidbenchError(f"--set bootstrap_runs={runs}: a record holds at most {MOST_RUNS:,}")
        elif name == "pairs_per_patient":
            cap = None if value == "none" else _whole_number(name, value)
        elif name == "finding_patients":
            least = _whole_number(name, value)
        elif owner in grouped and option:
            grouped[owner][option] = value
        else:
            known = [*(f"{o}.<option>" for o in grouped), "bootstrap_runs", "pairs_per_patient", "finding_patients"]
            raise ReidbenchError(f"--set {name}: no such setting; {did_you_mean(name, known)}")
    made: list[Attacker] = []
    pretrained: dict[str, Attacker] = {}
    for name in attackers:
        cls = registry.get("attacker", name, Attacker).under(preset)
        if preset not in cls.presets:
            raise ReidbenchError(f"attacker {name!r} has no preset {preset!r}: {did_you_mean(preset, cls.presets)}")
        if devices is not None:
            if "devices" not in cls.model_fields:
                raise ReidbenchError(f"--devices {devices}: attacker {name!r} trains on one device under {preset!r}")
            grouped[name].setdefault("devices", str(devices))
        made.append(build("attacker", cls, {**cls.presets[preset], **grouped[name]}))
        if bundle is not None and name in bundle.card.attackers:
            pretrained[name] = bundle.attacker(registry, name, grouped[name])
    _check_devices(max((getattr(attacker, "devices", 1) for attacker in made), default=1), device)
    others: dict[str, Any] = {
        name: build(name, cls, {**cls.presets[preset], **grouped[name]}) for name, cls in OTHERS.items()
    }
    changed: dict[str, Any] = by_content(overrides or {})
    if size is not None and size != SIZES[preset] and bundle is None:
        changed["size"] = size
    if pair_list is not None:
        if not pair_list.is_file():
            raise ReidbenchError(f"--pairs {pair_list}: no such file")
        # Runs on other pairs are other runs: the list's hash keeps them out of each other's tables.
        changed["pairs"] = content_digest(pair_list)
    return Settings(
        preset=preset,
        size=bundle.card.size if bundle is not None else size or SIZES[preset],
        attackers=tuple(made),
        **others,
        device=device,
        cache=cache,
        seed=seed,
        bootstrap_runs=runs,
        pairs_per_patient=cap,
        finding_patients=least,
        ladder=ladder or full_ladder(),
        pair_list=pair_list,
        overrides=changed,
        bundle=bundle,
        pretrained=pretrained,
        leave_out=leave_out,
        keep_findings=keep_findings,
        command=command,
    )


def _check_devices(wanted: int, device: torch.device) -> None:
    if wanted > 1 and device.type not in ("cpu", "cuda"):
        raise ReidbenchError(f"--devices {wanted}: only CUDA devices and CPU processes train together, not {device}")
    if wanted > 1 and device.type == "cuda":
        if device.index is not None:
            raise ReidbenchError(f"--devices {wanted}: --device {device} names a single one; use cuda")
        if (there := torch.cuda.device_count()) < wanted:
            raise ReidbenchError(f"--devices {wanted}: this machine has {there}")


def _whole_number(name: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise ReidbenchError(f"--set {name}={value}: the value must be a whole number of at least 1")
    return number
