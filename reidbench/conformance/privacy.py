"""Whether a formal guarantee is one that a record can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf, isinf, nan
from numbers import Real

from reidbench.conformance.finding import Finding, failed, short
from reidbench.conformance.samples import SIDE, shapes
from reidbench.defenses.base import BaseDefense, Privacy

NAME = "privacy"
#: Sizes of datasets as they are published, in pixels: what is counted over pixels may overflow there.
LARGE = ((256, 256), (1024, 1024), (2320, 2828))


def check_privacy(defense: BaseDefense, side: int = SIDE) -> Finding:
    """Asks for the claim of these options and of every operating point, for small images and large ones.

    Args:
        defense: not fitted yet, as a run asks it.
        side: the smallest size that it takes, in pixels.
    """
    sizes = [*shapes(side), *LARGE]
    claimed = False
    points = list(_points(defense))
    for point, one in points:
        for height, width in sizes:
            call = f"privacy({height}, {width}){point}"
            try:
                claim = one.privacy(height, width)
            except Exception as error:
                return failed(defense, NAME, f"{call} raised {short(error)}")
            if wrong := wrong_claim(claim):
                return failed(defense, NAME, f"{call} {wrong}")
            claimed = claimed or claim is not None
    what = "a bound and what it protects" if claimed else "no guarantee is claimed"
    return Finding(NAME, True, f"{what}, at {len(points) - 1} operating points and {len(sizes)} sizes")


def wrong_claim(claim: object) -> str:
    """What is wrong with a claim, in words; empty if nothing is."""
    if claim is None:
        return ""
    if not isinstance(claim, Privacy):
        return f"returned {type(claim).__name__}, not Privacy or None"
    # Again what Privacy asks of itself: a subclass may have let it through.
    for name, most in (("epsilon", inf), ("delta", 1), ("whole_image_epsilon", inf), ("whole_image_delta", 1)):
        value = getattr(claim, name)
        if value is None and name.startswith("whole_image"):
            continue
        if not 0 <= _number(value) <= most:
            return f"claims {name}={value!r:.40}, not a number of 0 {'to 1' if most == 1 else 'or more'}"
    if claim.delta == 1:
        return "claims delta=1, which guarantees nothing; claim None"
    if not isinstance(claim.unit, str) or not claim.unit.strip():
        return f"claims the unit {claim.unit!r}, which says nothing of what is protected"
    unbounded = isinf(claim.epsilon) or isinf(claim.whole_image_epsilon or 0)
    if re.search(r"\bnan\b" if unbounded else r"\b(nan|inf)\b", claim.unit):
        return f"claims the unit {claim.unit!r}, with a number in it that is not finite"
    return ""


def _number(value: object) -> float:
    """NaN, which lies in no range, for what is not a number or is more than a record's numbers can hold."""
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    except OverflowError:
        return nan


def _points(defense: BaseDefense) -> Iterator[tuple[str, BaseDefense]]:
    yield "", defense
    for point, options in type(defense).operating_points.items():
        try:
            made = type(defense)(**options)
        except Exception:
            continue  # Told among the operating points.
        yield f" at the operating point {point!r}", made
