"""Training until the validation curve is flat: cycles of the learning rate, one after the other, within a cap."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from reidbench.attackers.siamese_network import Siamese
from reidbench.networks.history import still_improving

Rows = list[dict[str, float]]
#: Trains a network for a cycle, in place or not: the network, the number of the cycle from 0, and how many times as
#: long it is as the first. Gives the trained network and one row per epoch, from 1.
TrainCycle = Callable[[Siamese, int, int], tuple[Siamese, Rows]]


@dataclass(frozen=True)
class Cycle:
    """A network at the end of a cycle.

    Attributes:
        network: trained.
        val_auc: its validation AUC; minus infinity where there is none.
    """

    network: Siamese
    val_auc: float


def train_until_flat(
    train_cycle: TrainCycle, network: Siamese, *, longest: int, enough: float | None
) -> tuple[Cycle, Rows]:
    """Trains for a cycle, and for more of them as long as the validation AUC rises; the best cycle, and all rows.

    A cycle is a whole schedule of the learning rate: at its end the rate is near 0, so that the ends of cycles can be
    compared. The second is as long as the first, and each other one as long as all before it, since a schedule that is
    cut into many pieces spends few of its steps at the rates that learn most.

    Args:
        train_cycle: repeats what it did when it is called again after a kill.
        longest: how many times as long as the first cycle all of them are at most.
        enough: a validation AUC from which training does not go on; None for none.

    Returns:
        The cycle with the best end, and the rows of all cycles, whose epochs are numbered through; ``cycle`` is 2 and
        more in the rows of those after the first.
    """
    best: Cycle | None = None
    rows: Rows = []
    number = done = 0
    while best is None or (done < longest and still_improving(rows) and not _reached(rows, enough)):
        times = max(1, min(done, longest - done))
        trained, found = train_cycle(network, number, times)
        before = rows[-1]["epoch"] if rows else 0.0
        told = {"cycle": float(number + 1)} if number else {}
        rows += [{**row, "epoch": before + row["epoch"], **told} for row in found]
        cycle = Cycle(trained, found[-1].get("val_auc", float("-inf")))
        # Of equals the later, which was trained longer.
        best = cycle if best is None or cycle.val_auc >= best.val_auc else best
        # The next cycle changes its network, and this one may turn out to be the best. A moving average of weights,
        # which the trained network may be, wants no gradients.
        network = copy.deepcopy(trained).requires_grad_(True)
        number, done = number + 1, done + times
    return best, rows


def _reached(rows: Rows, enough: float | None) -> bool:
    return enough is not None and rows[-1].get("val_auc", 0.0) >= enough
