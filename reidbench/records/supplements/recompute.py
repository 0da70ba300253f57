"""A supplement's figures computed again from the scores beside it, as those of a record are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reidbench.progress import Progress
from reidbench.records.recompute import (
    ATTACK_NAMES,
    Compared,
    Recomputed,
    Steps,
    compare_attacks,
    finish,
    outline_attacks,
    outline_pairs,
)
from reidbench.records.schema import Record
from reidbench.records.scores import RunScores
from reidbench.records.supplements.content import ATTACKS, Supplement
from reidbench.records.supplements.files import one_side

# Names are the file's, the digests chose the record and the scores, and the version is the schema's business.
_HELD = ("supplement_version", "definitions", "record_sha256", "scores_sha256", "id", "defense", "record_id")


def recompute_supplement(
    supplement: Supplement,
    record: Record,
    scores: RunScores,
    beside: RunScores | None = None,
    progress: Progress | None = None,
) -> Recomputed:
    """Computes the figures of a supplement again, and compares.

    Args:
        supplement: of this record.
        scores: of the supplement.
        beside: of the record, whose pairs they must share; None where the record has none.

    Raises:
        ValueError, IndexError, KeyError, TypeError: the scores do not fit together.
    """
    # Its intervals may be newer than the record's.
    record = record.model_copy(update={"definitions": supplement.definitions})
    compared = [
        Compared(("scores (test images)",), record.dataset.images.get("test"), len(scores.patients)),
        Compared(("scores (test patients)",), record.dataset.patients.get("test"), len(np.unique(scores.patients))),
        *outline_pairs(scores),
    ]
    if beside is not None:
        compared.append(Compared(("scores (the record's images and pairs)",), True, _same(scores, beside)))
    for field, attacks in zip(ATTACKS, (supplement.attacks, supplement.undefended)):
        side = one_side(scores, undefended=field == "undefended")
        if attacks or side.verification or side.average_precision or side.ranks:
            compared += outline_attacks(field, attacks, side)
            compared += compare_attacks(field, attacks, record, side, progress)
    return finish(supplement, compared, _found_by(supplement))


def _same(one: RunScores, other: RunScores) -> bool:
    mine, theirs = (side.patients if side.pictures is None else side.pictures for side in (one, other))
    return (
        np.array_equal(one.patients, other.patients)
        and np.array_equal(mine, theirs)
        and one.pairs.keys() == other.pairs.keys()
        and all(np.array_equal(pairs, other.pairs[name]) for name, pairs in one.pairs.items())
    )


def _found_by(supplement: Supplement) -> Iterator[Steps]:
    yield from ((name,) for name in _HELD)
    yield ("attacker", "name")
    for field, attacks in zip(ATTACKS, (supplement.attacks, supplement.undefended)):
        if not attacks:
            yield (field,)
        for number in range(len(attacks)):
            yield from ((field, number, name) for name in ATTACK_NAMES)
