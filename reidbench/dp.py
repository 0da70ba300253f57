"""Differential privacy of a training, for defenses that publish a trained model: noise, spent budget, guarantee.

The mechanism is DP-SGD with Poisson sampling: in each of ``steps`` steps every unit (a patient, say) is taken with
probability ``sample_rate``, its gradient is clipped to a norm, and Gaussian noise is added to the sum, with a standard
deviation of ``noise_multiplier`` clipping norms. The accountant is opacus's PRV (Gopi et al., "Numerical composition of
differential privacy", 2021). How the training itself is done is up to the defense::

    delta = dp.choose_delta(None, patients)
    noise = dp.calibrate_noise(epsilon=8.0, delta=delta, sample_rate=0.1, steps=300)
    ...  # train
    privacy = dp.guarantee(noise, 0.1, 300, delta, unit="a patient of the training set", clipping_norm=1.0)
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from opacus.accountants import RDPAccountant, create_accountant
from opacus.accountants.analysis import rdp as renyi
from opacus.accountants.analysis.prv.domain import Domain

from reidbench.defenses.base import Privacy
from reidbench.errors import ReidbenchError

#: The tightest of opacus's accountants.
ACCOUNTANT = "prv"
#: Its error in epsilon, which it adds to its result: opacus's default.
EPSILON_ERROR = 0.01
#: Numbers that the accountant may add up: some seconds and a gigabyte.
MOST_CELLS = 4_000_000
#: Range of the noise multipliers that are tried; above it nothing is left of any gradient.
LEAST_NOISE, MOST_NOISE = 0.1, 1280.0
#: The bisection of the noise multiplier ends at this relative width.
FINEST = 1e-4


@cache
def calibrate_noise(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """The smallest noise multiplier found with which a training spends at most (epsilon, delta).

    Bisection as in opacus's ``get_noise_multiplier``, which never ends where no noise comes near enough to epsilon, and
    takes hours where the accountant has billions of numbers to add up; here both end with an error.

    Args:
        epsilon: above 0.
        delta: in (0, 1).
        sample_rate: the probability that a step takes a given unit, in (0, 1].
        steps: at least 1.

    Returns:
        A multiplier of at least :data:`LEAST_NOISE` that never spends more than epsilon. It falls short of epsilon by
        at most 0.01 or 1 % of epsilon, whichever is less, with two exceptions: :data:`LEAST_NOISE` itself spends less,
        or the accountant's result jumps within a relative change of :data:`FINEST` of the noise, as it does where the
        accountant fails for less noise.

    Raises:
        ReidbenchError: no noise up to :data:`MOST_NOISE` is shown to reach epsilon.
    """
    tolerance = min(0.01, epsilon / 100)
    # Where the accountant gives up there is too little noise, or the question is beyond it at any: more noise may help.
    low, high, reached = 0.0, 10.0, math.inf
    while not reached <= epsilon:
        if high >= MOST_NOISE:
            raise _out_of_reach(epsilon, delta, sample_rate, steps)
        high *= 2
        reached = _spent_or_inf(high, sample_rate, steps, delta)
    # Where the range is that narrow and the tolerance is still missed, `high` is private enough all the same.
    while epsilon - reached > tolerance and high > LEAST_NOISE and high - low >= FINEST * high:
        middle = max((low + high) / 2, LEAST_NOISE)
        here = _spent_or_inf(middle, sample_rate, steps, delta)
        if here < epsilon:
            high, reached = middle, here
        else:
            low = middle
    return high


def _out_of_reach(epsilon: float, delta: float, sample_rate: float, steps: int) -> ReidbenchError:
    return ReidbenchError(
        f"epsilon={epsilon:g}, delta={delta:g}: no noise is found that reaches it in {steps} steps which take "
        f"{sample_rate:.2g} of the patients each; give another epsilon, a larger delta, fewer steps or rounds, or a "
        "smaller batch_size"
    )


def _spent_or_inf(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    try:
        return spent_epsilon(noise_multiplier, sample_rate, steps, delta)
    except ReidbenchError:
        return math.inf


def choose_delta(given: float | None, population: int) -> float:
    """The given delta, or 0.1 / ``population`` if None.

    Args:
        given: in (0, 1), or None.
        population: how many patients (units) the mechanism is set up for; a public number.

    Raises:
        ReidbenchError: it is not below 1 / patients.
    """
    delta = 0.1 / population if given is None else given
    if delta * population >= 1:
        raise ReidbenchError(
            f"delta={delta:g} is not below 1 / {population} patients: publishing one of them would keep to it"
        )
    return delta


def guarantee(
    noise_multiplier: float,
    sample_rate: float,
    steps: int,
    delta: float,
    *,
    unit: str,
    clipping_norm: float | None = None,
) -> Privacy:
    """What a training spends, as :class:`reidbench.Privacy` for a record.

    Args:
        noise_multiplier: as for :func:`spent_epsilon`.
        sample_rate: as for :func:`spent_epsilon`.
        steps: as for :func:`spent_epsilon`.
        delta: as for :func:`spent_epsilon`.
        unit: what is protected by the bound, such as ``a patient of the training set, added or removed``.
        clipping_norm: the norm that a unit's gradient is clipped to.

    Raises:
        ReidbenchError: the accountant cannot tell.
    """
    return Privacy(
        epsilon=spent_epsilon(noise_multiplier, sample_rate, steps, delta),
        delta=delta,
        unit=unit,
        clipping_norm=clipping_norm,
        noise_multiplier=noise_multiplier,
        sample_rate=sample_rate,
        steps=steps,
        accountant=ACCOUNTANT,
    )


@cache
def spent_epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """The epsilon that a training spends at this delta, by opacus's PRV accountant; at least 0.

    Args:
        noise_multiplier: standard deviation of the noise in units of the clipping norm, above 0.
        sample_rate: the probability that a step takes a given unit, in (0, 1].
        steps: at least 1.
        delta: in (0, 1).

    Raises:
        ReidbenchError: the accountant cannot tell, or would add up more than :data:`MOST_CELLS` numbers to.
    """
    accountant: Any = create_accountant(ACCOUNTANT)
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    try:
        with quiet_opacus():
            # What the accountant itself starts with. It says how many numbers the rest would take.
            domain = _domain(noise_multiplier, sample_rate, steps, delta / 1000)
            if domain.size > MOST_CELLS:
                raise ValueError(f"it would take {domain.size:.2g} numbers to add them up")
            # It would find the same domain again, which takes far longer than all else.
            accountant._get_domain = lambda **_: domain
            epsilon = float(accountant.get_epsilon(delta, eps_error=EPSILON_ERROR))
            if not math.isfinite(epsilon):
                raise ValueError(f"it comes to {epsilon}")
    # Rounding at a tiny delta shows in any of these.
    except (ValueError, RuntimeError, ArithmeticError, IndexError, TypeError) as error:
        raise ReidbenchError(
            f"noise_multiplier={noise_multiplier:g}, delta={delta:g}: the accountant cannot tell what {steps} steps "
            f"spend that take {sample_rate:.2g} of the patients each: {error}; give more noise, a larger delta or "
            "fewer steps"
        ) from error
    return max(0.0, epsilon)


def _domain(noise_multiplier: float, sample_rate: float, steps: int, delta_error: float) -> Domain:
    """The numbers that the accountant adds up for privacy losses, as opacus chooses them (Gopi et al., remark 5.6).

    Its range holds the Rényi bounds of all steps and of one. Divergences add up over steps, so those of one step are
    enough for both; opacus computes them for each, which is nearly all of its time.
    """
    orders = RDPAccountant.DEFAULT_ALPHAS
    of_a_step = renyi.compute_rdp(q=sample_rate, noise_multiplier=noise_multiplier, steps=1, orders=orders)
    whole, _ = renyi.get_privacy_spent(orders=orders, rdp=of_a_step * steps, delta=delta_error / 4)
    one, _ = renyi.get_privacy_spent(orders=orders, rdp=of_a_step, delta=delta_error / (8 * steps))
    most = max(float(whole), float(one), EPSILON_ERROR) + 3
    mesh = EPSILON_ERROR / math.sqrt(steps * math.log(12 / delta_error) / 2)
    return Domain.create_aligned(-most, most, mesh)


@contextmanager
def quiet_opacus() -> Iterator[None]:
    """Silences warnings of opacus and torch that address authors of a private training and not its users."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="opacus")
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        warnings.filterwarnings("ignore", message="Optimal order is the")
        # An empty batch, which Poisson sampling of few patients draws now and then, is a batch like any other here.
        logger = logging.getLogger("opacus.data_loader")
        was, logger.disabled = logger.disabled, True
        try:
            yield
        finally:
            logger.disabled = was
