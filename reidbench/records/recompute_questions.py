"""What scores tell of linkability and singling out: which attack they are of, and how many patients decide them.

The shares themselves need scores of every image against every other, and inference needs vectors and a table of
patients: neither is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench.records.ladder import LINKAGE, RERANKING
from reidbench.records.parts.linkability import MOST_ASSIGNED, MOST_PATIENTS, SHOTS, Linkability
from reidbench.records.parts.questions import SinglingOut
from reidbench.records.schema import Record, RetrievalMetrics
from reidbench.records.scores import RunScores

#: A path, what the record says, and what follows.
Told = tuple[tuple[str | int, ...], Any, Any]
# Known images, and as many to find as a patient must have besides.
_KNOWN = max(SHOTS)
_TO_FIND = 2
_CHANCE_DIGITS = 6


def tell_questions(record: Record, scores: RunScores) -> Iterator[Told]:
    """What follows of linkability and singling out; nothing of a record that has neither.

    Args:
        record: its attacks are compared with the scores elsewhere.
        scores: their patients and pictures are read.
    """
    strongest = _strongest(record)
    images = _images(scores)
    several = int((images > 1).sum())
    answers: dict[str, Sequence[Linkability | SinglingOut]] = {
        "linkability": record.linkability or (),
        "singling_out": record.singling_out or (),
    }
    for field, given in answers.items():
        for number, one in enumerate(given):
            knowledge, attacker = strongest.get(one.linkage, ("none", "none"))
            yield (field, number, "knowledge"), one.knowledge, knowledge
            yield (field, number, "attacker"), one.attacker, attacker
    if record.linkability is not None:
        yield ("linkability (linkages)",), [one.linkage for one in record.linkability], list(strongest)
        for number, linked in enumerate(record.linkability):
            yield from _linkability(("linkability", number), linked, images)
    if record.singling_out is not None:
        wanted = list(strongest) if several and len(images) > 1 else []
        yield ("singling_out (linkages)",), list(dict.fromkeys(one.linkage for one in record.singling_out)), wanted
        for number, single in enumerate(record.singling_out):
            yield ("singling_out", number, "patients"), single.patients, several
            if single.calibrated_on == "test":
                yield ("singling_out", number, "calibration_patients"), single.calibration_patients, len(images)


def _strongest(record: Record) -> dict[str, tuple[str, str]]:
    """By linkage, knowledge and name of the attack with the highest mAP@R, of those whose scores are not revised."""
    found: dict[str, tuple[str, str]] = {}
    for linkage in LINKAGE:
        ranked = [
            (_reached(attack.metrics, record.definitions), attack)
            for attack in record.attacks
            if isinstance(attack.metrics, RetrievalMetrics)
            and attack.linkage == linkage
            and attack.attacker != RERANKING
        ]
        if ranked:
            _, best = max(ranked, key=lambda one: one[0])
            found[linkage] = (best.knowledge, best.attacker)
    return found


def _reached(figures: RetrievalMetrics, definitions: int) -> float:
    # The first definitions had another headline.
    return (figures.map_at_r_patients if definitions >= 2 else figures.map_at_r).value or 0.0


def _images(scores: RunScores) -> NDArray[np.intp]:
    """How many images each patient has, copies of a picture counted once."""
    patients = scores.patients
    if scores.pictures is not None:
        patients = patients[np.unique(scores.pictures, return_index=True)[1]]
    return np.unique(patients, return_counts=True)[1]


def _linkability(path: tuple[str | int, ...], one: Linkability, images: NDArray[np.intp]) -> Iterator[Told]:
    enough, for_sets = (int((images >= _KNOWN + more).sum()) for more in (_TO_FIND, _KNOWN))
    yield (f"{path[0]}[{path[1]}] (several known images)",), one.multi_shot is not None, enough > 0
    if one.multi_shot is not None:
        yield (*path, "multi_shot", "patients"), one.multi_shot.patients, min(enough, MOST_PATIENTS)
        yield (*path, "multi_shot", "set_patients"), one.multi_shot.set_patients, min(for_sets, MOST_PATIENTS)
    several = int((images > 1).sum())
    yield (f"{path[0]}[{path[1]}] (closed world)",), one.closed_world is not None, several > 1
    if one.closed_world is not None and several:
        yield (*path, "closed_world", "patients"), one.closed_world.patients, several
        parts = -(-several // MOST_ASSIGNED)
        yield (*path, "closed_world", "chance"), one.closed_world.chance, round(parts / several, _CHANCE_DIGITS)
    # The largest gallery in which every probe has as many images of others to stand beside the right one.
    room = int(images.sum() - images[images > 1].max(initial=0)) + 1
    for number, size in enumerate(one.gallery_sizes):
        where = (*path, "gallery_sizes", number, "extrapolated")
        yield where, size.extrapolated, size.gallery > room
