"""The scores behind a record, kept beside it: two runs compare pair by pair, and figures can be computed again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench.errors import ReidbenchError
from reidbench.files import content_digest, write_file
from reidbench.metrics import GalleryInfluence, QueryRanks
from reidbench.records.quantize import pack, unpack
from reidbench.records.scores_archive import UNREADABLE, read_arrays, require_consistent

SUFFIX = ".scores.npz"
# Before the name of what is kept as levels: both ends of its range.
ENDS = "ends"
# The rows of an attack's ranks, as QueryRanks names them; AP@R lies apart, where older files have it too.
RANKS = ("r_precision", "precision_at_1", "best_rank", "mean_rank")


@dataclass(frozen=True, eq=False)
class RunScores:
    """What the attackers and the diagnostic classifiers said in one run.

    Attributes:
        patients: (N,) int64, the patient of each test image.
        pairs: by kind of negatives, (3, P) int64: both rows of each pair, and 1 where they are of one patient.
        verification: by attack (:func:`attack_key`), (P,) float32, higher = more alike.
        average_precision: by attack, (N,) float32, AP@R of each probe; NaN where it asks nothing.
        ranks: by attack, (4, N) float32, what else each probe found, a row each of :data:`RANKS`.
        accepted: by attack, (P,) bool, whether the attacker's own probability is at least one half; only of attackers
            that give one.
        validation: by attack, (V,) scores of the validation pairs that the threshold was calibrated on.
        validation_same: (V,) bool, whether they are of one patient; empty without validation pairs.
        findings: (N, L) int8, what each test image truly shows: 1, 0, and -1 where unknown; (0, 0) if withheld.
        labels: the names of the L findings.
        predictions: by classifier (:func:`classifier_key`), (N, L) float32 logits of the test images; empty if
            withheld.
        undefended: by classifier, the logits on original test images that falls of the macro AUC are counted from;
            empty if withheld.
        gallery_gains: by attack, (4, K) float32, what leaving each of the K patients out of the gallery does to the
            others, in the order of their numbers; empty in files that older versions wrote.
        pictures: (N,) equal where two test images of a patient are the same picture, whose pair is left out; None where
            none is.

    Files that older versions wrote lack what stands below AP@R here, which is then empty.
    """

    patients: NDArray[np.int64]
    pairs: dict[str, NDArray[np.int64]]
    verification: dict[str, NDArray[np.float32]]
    average_precision: dict[str, NDArray[np.float32]]
    ranks: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    accepted: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    validation: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    validation_same: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    findings: NDArray[np.int8] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int8))
    labels: tuple[str, ...] = ()
    predictions: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    undefended: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    pictures: NDArray[np.int64] | None = None
    gallery_gains: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def withheld(self) -> bool:
        """Whether findings and predictions were left out, so that the utility cannot be computed again."""
        return not len(self.findings) and not self.labels and not self.predictions and len(self.patients) > 0

    def without_findings(self) -> RunScores:
        """The same without findings and predictions: together with ``patients`` they are diagnoses of each patient."""
        nothing = np.empty((0, 0), dtype=np.int8)
        return replace(self, findings=nothing, labels=(), predictions={}, undefended={})

    @property
    def truth(self) -> NDArray[np.float64]:
        """What each test image truly shows, (N, L): 1, 0, and NaN where unknown."""
        return np.where(self.findings < 0, np.nan, self.findings.astype(np.float64))

    def keep_ranks(self, attack: str, ranks: QueryRanks) -> None:
        """Takes over what the probes of an attack found."""
        self.average_precision[attack] = ranks.average_precision.astype(np.float32)
        self.ranks[attack] = np.stack([getattr(ranks, name) for name in RANKS]).astype(np.float32)
        if ranks.influence is not None:
            order = np.argsort(ranks.influence.patients)
            self.gallery_gains[attack] = ranks.influence.gains[:, order].astype(np.float32)

    def influence(self, attack: str) -> GalleryInfluence | None:
        """What each patient did to the others as part of the gallery of an attack; None if it was not kept."""
        gains = self.gallery_gains.get(attack)
        return None if gains is None else GalleryInfluence(np.unique(self.patients), gains.astype(np.float64))

    def query_ranks(self, attack: str) -> QueryRanks | None:
        """What the probes of an attack found, in single precision; None if it was not kept."""
        if attack not in self.ranks:
            return None
        # An image is compared with neither itself nor its copies.
        left_out = 1 if self.pictures is None else np.bincount(self.pictures)[self.pictures]
        images = np.bincount(self.patients)
        rows = dict(zip(RANKS, self.ranks[attack].astype(np.float64)))
        return QueryRanks(
            patients=self.patients,
            relevant=(images[self.patients] - left_out).astype(np.intp),
            candidates=np.zeros(len(self.patients), dtype=np.intp) + len(self.patients) - left_out,
            average_precision=self.average_precision[attack].astype(np.float64),
            influence=self.influence(attack),
            **rows,
        )

    def write(self, path: Path) -> str:
        """Writes them, whole or not at all; returns the file's SHA-256."""
        arrays: dict[str, NDArray[Any]] = {"patients": self.patients.astype(np.int32)}
        arrays |= {f"pairs {name}": value.astype(np.int32) for name, value in self.pairs.items()}
        arrays |= {f"verification {name}": value for name, value in self.verification.items()}
        arrays |= {f"average_precision {name}": value for name, value in self.average_precision.items()}
        arrays |= {f"ranks {name}": value for name, value in self.ranks.items()}
        arrays |= {f"gallery_gains {name}": value for name, value in self.gallery_gains.items()}
        # A decision is a bit; the length is that of the attack's pairs.
        arrays |= {f"accepted {name}": np.packbits(value) for name, value in self.accepted.items()}
        arrays |= {f"validation {name}": value for name, value in self.validation.items()}
        arrays["validation_same"] = self.validation_same
        if not self.withheld:
            arrays |= {"findings": self.findings, "labels": np.array(self.labels, dtype=np.str_)}
        arrays |= {f"predictions {name}": value for name, value in self.predictions.items()}
        arrays |= {f"undefended {name}": value for name, value in self.undefended.items()}
        if self.pictures is not None:
            arrays["pictures"] = self.pictures.astype(np.int32)
        for name, value in list(arrays.items()):
            if value.dtype == np.float32 and (packed := pack(value)) is not None:
                arrays[name], arrays[f"{ENDS} {name}"] = packed
        write_file(path, lambda stream: np.savez_compressed(stream, allow_pickle=False, **arrays), durable=True)
        return content_digest(path)


def attack_key(attacker: str, knowledge: str, linkage: str, negatives: str | None = None) -> str:
    """The name of one attack's scores."""
    return "/".join(part for part in (attacker, knowledge, linkage, negatives) if part)


#: The classifier that falls of the macro AUC are counted from.
UNDEFENDED = "originals/originals"


def classifier_key(trained_on: str, tested_on: str) -> str:
    """The name of one diagnostic classifier's predictions."""
    return f"{trained_on}/{tested_on}"


def read_scores(path: Path, sha256: str) -> RunScores:
    """Reads the scores of a record.

    Args:
        path: the file beside the record.
        sha256: what the record says of it.

    Raises:
        ReidbenchError: the file is missing, is not the one that the record was made with, declares too much, or holds
            arrays that do not fit together.
    """
    if not path.is_file():
        raise ReidbenchError(f"{path}: the record's scores are missing; keep them beside the record")
    if content_digest(path) != sha256:
        raise ReidbenchError(f"{path}: these are not the scores that the record was made with")
    try:
        scores = _of_arrays(read_arrays(path))
        require_consistent(path, scores)
    except (*UNREADABLE, NotImplementedError, IndexError, TypeError, AttributeError) as error:
        raise ReidbenchError(f"{path}: cannot be read: {error}") from error
    return scores


def read_retrieval(path: Path, attack: str) -> RunScores | None:
    """What the probes of one attack found and what the gallery did to it, without the rest of a file; None without it.

    Args:
        path: a file of which the digest is known to be right.
        attack: its :func:`attack_key`.

    Raises:
        ReidbenchError: the file declares too much, or holds arrays that do not fit together.
        UNREADABLE: it is damaged.
    """
    wanted = [f"{kind} {attack}" for kind in ("average_precision", "gallery_gains")]
    stored = read_arrays(path, {"patients", *wanted, *(f"{ENDS} {name}" for name in wanted)})
    if not {"patients", *wanted} <= stored.keys():
        return None
    scores = _of_arrays(stored)
    require_consistent(path, scores)
    return scores


def _of_arrays(stored: Mapping[str, NDArray[Any]]) -> RunScores:
    grouped: dict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
    for name in stored:
        kind, _, rest = name.partition(" ")
        if kind == ENDS or not rest:
            continue
        ends = f"{ENDS} {name}"
        grouped[kind][rest] = unpack(stored[name], stored[ends]) if ends in stored else stored[name]
    bits = {name: np.unpackbits(value).astype(np.bool_) for name, value in grouped["accepted"].items()}
    return RunScores(
        patients=stored["patients"].astype(np.int64),
        pairs={name: value.astype(np.int64) for name, value in grouped["pairs"].items()},
        verification=grouped["verification"],
        average_precision=grouped["average_precision"],
        ranks=grouped["ranks"],
        gallery_gains=grouped["gallery_gains"],
        accepted={name: value[: len(grouped["verification"].get(name, ()))] for name, value in bits.items()},
        validation=grouped["validation"],
        validation_same=stored["validation_same"] if "validation_same" in stored else np.empty(0, np.bool_),
        predictions=grouped["predictions"],
        undefended=grouped["undefended"],
        pictures=stored["pictures"].astype(np.int64) if "pictures" in stored else None,
        findings=stored["findings"] if "findings" in stored else np.empty((0, 0), dtype=np.int8),
        labels=tuple(stored["labels"].tolist()) if "findings" in stored else (),
    )
