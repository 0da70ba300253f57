"""What a defense or an attacker promises, checked property by property, with the smallest input that breaks one.

:func:`check_defense` runs a defense on small images of all kinds: one and several, square and not, black, white,
smooth and noisy. It prints nothing and knows no command line. A defense that needs larger images, or more patients, and
says so, is checked on the smallest that it takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from reidbench.conformance.attackers import check_attacker
from reidbench.conformance.cohorts import check_cohort
from reidbench.conformance.effect import check_effect, measure_cost
from reidbench.conformance.finding import Finding, broken, failed, short
from reidbench.conformance.fitting import check_fit
from reidbench.conformance.generators import restored
from reidbench.conformance.images import check_images
from reidbench.conformance.models import check_model
from reidbench.conformance.privacy import check_privacy
from reidbench.conformance.scale import choose_scale
from reidbench.conformance.state import maker
from reidbench.defenses.base import BaseDefense, CohortDefense, Defense
from reidbench.defenses.fitted import BaseFittedDefense
from reidbench.defenses.model import ModelDefense
from reidbench.errors import ReidbenchError

__all__ = ["Finding", "broken", "check_attacker", "check_defense"]


def check_defense(
    cls: type[BaseDefense], options: Mapping[str, Any] | None = None, *, device: torch.device | None = None
) -> list[Finding]:
    """Checks a defense against all that the contract asks of it.

    Args:
        cls: a subclass of ``Defense``, ``CohortDefense`` or ``ModelDefense``. A ``FittedDefense`` is first fitted on a
            small set.
        options: its options; all else at its defaults. Its guarantee is asked of every operating point too.
        device: where images lie; the CPU unless given. A cohort defense works on arrays and has none.

    Returns:
        One finding per property. What depends on an earlier property that is broken is left out: nothing can be
        said of the values of an image of the wrong shape.

    Raises:
        ReidbenchError: the class is of another kind.
    """
    if not issubclass(cls, Defense | CohortDefense | ModelDefense):
        raise ReidbenchError(f"{cls.name}: defenses of the kind {cls.kind!r} cannot be checked")
    try:
        defense = cls(**(options or {}))
    except Exception as error:
        return [failed(cls, "options", f"{dict(options or {})} raised {short(error)}")]
    device = device or torch.device("cpu")
    findings = [_check_json(defense), _check_points(cls)]
    if isinstance(defense, ModelDefense):
        with restored():
            return [*findings, check_privacy(defense), *check_model(defense, device)]
    with restored():
        if isinstance(defense, BaseFittedDefense):
            fitted, found = check_fit(defense, device)
            findings += found
            if fitted is None:
                return findings
            assert isinstance(fitted, Defense | CohortDefense)
            published: Defense | CohortDefense = fitted
        else:
            published = defense
        fresh = maker(published, options or {}, device)
        try:
            scale = choose_scale(published, device)
        except ReidbenchError as error:
            return [*findings, failed(defense, "exception", str(error))]
        if scale.why:
            least = f"images of {scale.side}×{scale.side} and more" if isinstance(published, Defense) else str(scale)
            findings.append(Finding("size", True, f"checked on {least}; {scale.why}"))
        if isinstance(published, Defense):
            findings += check_images(published, fresh, device, scale)
        else:
            findings += check_cohort(published, fresh, device, scale)
        findings.append(check_privacy(defense, scale.side))
        if not broken(findings):
            findings += [*check_effect(published, device, scale), *measure_cost(published, device, scale)]
    return findings


def _check_json(defense: BaseDefense) -> Finding:
    name = "options round trip"
    try:
        again = type(defense).model_validate(json.loads(json.dumps(defense.model_dump(mode="json"))))
    except Exception as error:
        return failed(defense, name, f"options do not pass through JSON: {short(error)}")
    lost = [option for option in type(defense).model_fields if getattr(again, option) != getattr(defense, option)]
    if lost:
        return failed(defense, name, f"{', '.join(lost)} came back from JSON with another value")
    return Finding(name, True, "options pass through JSON unchanged")


def _check_points(cls: type[BaseDefense]) -> Finding:
    for point, options in cls.operating_points.items():
        try:
            cls(**options)
        except Exception as error:
            return failed(cls, "operating points", f"{point!r} cannot be made: {short(error)}")
    return Finding("operating points", True, f"{', '.join(cls.operating_points) or 'none'}: all can be made")
