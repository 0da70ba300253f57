"""The attack ladder: what the attacker knows, and what is linked with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from reidbench.errors import ReidbenchError, did_you_mean

Knowledge = Literal["ignorant", "inverting", "informed"]
Linkage = Literal["original-released", "released-released"]
# ``listed``: the pairs come from a file, and how their impostors were chosen is not known.
Built = Literal["random", "matched"]
Negatives = Literal["random", "matched", "listed"]

KNOWLEDGE: tuple[Knowledge, ...] = get_args(Knowledge)
LINKAGE: tuple[Linkage, ...] = get_args(Linkage)
NEGATIVES: tuple[Built, ...] = ("random", "matched")

#: The name under which the attackers' mean score is recorded.
FUSION = "fusion"
#: The attackers of a run that names none.
DEFAULT_ATTACKERS = ("verification", "retrieval")
#: What else has hyperparameters in a record, and in ``--set``.
OTHER_TRAININGS = ("classifier", "restorer", "vector_head", "membership")


@dataclass(frozen=True, order=True)
class Rung:
    """One rung of the ladder.

    Attributes:
        knowledge: ``ignorant``, trained on originals; ``inverting``, the same behind a restoration network that was
            trained to undo the defense; ``informed``, trained in the very scenario that is tested.
        linkage: ``original-released``, a known original against the published set; ``released-released``, two
            published images.
    """

    knowledge: Knowledge
    linkage: Linkage

    def __str__(self) -> str:
        return f"{self.knowledge}/{self.linkage}"


def full_ladder(track: str = "images") -> tuple[Rung, ...]:
    """Every rung of a track, weakest knowledge first. A published model hides no image that one could restore."""
    climbed = (knowledge for knowledge in KNOWLEDGE if track == "images" or knowledge != "inverting")
    return tuple(Rung(knowledge, linkage) for knowledge in climbed for linkage in LINKAGE)


def parse_ladder(names: list[str]) -> tuple[Rung, ...]:
    """Rungs from ``ignorant``, ``original-released`` or ``ignorant/original-released``; all of them for no name.

    Raises:
        ReidbenchError: a name is none of these.
    """
    if not names:
        return full_ladder()
    chosen = []
    for name in names:
        fits = [r for r in full_ladder() if name in (str(r), r.knowledge, r.linkage)]
        if not fits:
            known = [*KNOWLEDGE, *LINKAGE, *map(str, full_ladder())]
            raise ReidbenchError(f"--rung {name!r}: no such rung; {did_you_mean(name, known)}")
        chosen += fits
    return tuple(r for r in full_ladder() if r in chosen)
