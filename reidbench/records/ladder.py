"""The attack ladder: what the attacker knows, and what is linked with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from reidbench.errors import ReidbenchError, did_you_mean

Linkage = Literal["original-released", "released-released"]
# ``listed``: the pairs come from a file, and how their impostors were chosen is not known.
Built = Literal["random", "matched"]
Negatives = Literal["random", "matched", "listed"]
#: What an attacker looks at in place of what is published: that itself, or what a restoration network makes of it.
View = Literal["released", "restored"]


@dataclass(frozen=True)
class Level:
    """What an attacker knows. To add a rung, add its level to ``LEVELS``: plans, records and tables follow.

    Attributes:
        name: of the level, as records and ``--rung`` have it.
        views: what the attacker looks at. Of several it takes the one in which the attacker that was trained on
            originals links validation patients best.
        trains: whether it goes on training in the very scenario that is tested. Otherwise it was trained on originals.
        models: whether it applies to a published model too, which hides no image that one could restore.
    """

    name: str
    views: tuple[View, ...]
    trains: bool
    models: bool


#: The levels of knowledge, the weakest first.
LEVELS = (
    Level("ignorant", ("released",), trains=False, models=True),
    Level("inverting", ("restored",), trains=False, models=False),
    # What a network cannot be trained to see through, a restoration in front may undo.
    Level("informed", ("released", "restored"), trains=True, models=True),
)


def level_of(name: str) -> Level:
    """The level of this name.

    Raises:
        ValueError: there is none.
    """
    for level in LEVELS:
        if level.name == name:
            return level
    raise ValueError(f"no such level of knowledge: {name!r}")


KNOWLEDGE: tuple[str, ...] = tuple(level.name for level in LEVELS)
#: The name of a level, in a record too.
Knowledge = Annotated[
    str, AfterValidator(lambda name: level_of(name).name), Field(json_schema_extra={"enum": list(KNOWLEDGE)})
]
LINKAGE: tuple[Linkage, ...] = get_args(Linkage)
NEGATIVES: tuple[Built, ...] = ("random", "matched")

#: The name under which the attackers' mean score is recorded.
FUSION = "fusion"
#: The name under which scores are recorded that the neighbourhoods of the gallery revise.
RERANKING = "reranking"
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

    @property
    def level(self) -> Level:
        """What the attacker knows."""
        return level_of(self.knowledge)

    def __str__(self) -> str:
        return f"{self.knowledge}/{self.linkage}"


def full_ladder(track: str = "images") -> tuple[Rung, ...]:
    """Every rung of a track, weakest knowledge first. A published model hides no image that one could restore."""
    climbed = (level for level in LEVELS if track == "images" or level.models)
    return tuple(Rung(level.name, linkage) for level in climbed for linkage in LINKAGE)


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
