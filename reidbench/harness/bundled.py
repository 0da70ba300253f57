"""What a record says of the bundle that a run's attackers could start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reidbench.attackers.base import Attacker
from reidbench.records.parts.provenance import BundleInfo
from reidbench.settings import Settings
from reidbench.steps.attackers import Trained
from reidbench.steps.cache import hyperparameters
from reidbench.steps.pretrained import read_start


def bundled_hyperparameters(settings: Settings, attacker: Attacker) -> dict[str, Any]:
    """An attacker's, with those of the bundle's where it has one: runs from other bundles don't compare."""
    found = hyperparameters(attacker)
    bundle, pretrained = settings.bundle, settings.pretrained.get(attacker.name)
    if bundle is None or pretrained is None:
        return found
    return {**found, "bundle": f"{bundle.card.name} {bundle.digest}", "bundled": hyperparameters(pretrained)}


def bundle_info(settings: Settings, ignorant: Sequence[Trained], *, left_out: int) -> BundleInfo | None:
    """The bundle that attackers could start from, and how its candidates did; None where there is none.

    Args:
        ignorant: the attackers trained on originals.
        left_out: images of the cohort left out because the bundle was trained on them.
    """
    bundle = settings.bundle
    if bundle is None:
        return None
    return BundleInfo(
        name=bundle.card.name,
        sha256=bundle.digest,
        trained_on=bundle.card.dataset.name,
        left_out=left_out,
        validation_auc={
            trained.attacker.name: found for trained in ignorant if (found := read_start(trained.step)) is not None
        },
    )
