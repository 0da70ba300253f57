"""CPU time and memory of re-ranking by the number of images, on random vectors: docs/performance.md.

python benchmarks/reranking.py                         # the official test part of ChestX-ray14
python benchmarks/reranking.py --share 0.05            # a twentieth of the probes, time for all by proportion

The method is chosen on validation images as in a run, and then the scores of all probes are revised block by block.
Vectors lie around a centre of their patient; one patient has as many images as the official test part's largest.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.scores.neighbours import Expansion, Limits, Method, Reciprocal, Revised
from reidbench.harness.scores.reranking import Reranked
from reidbench.harness.scores.sources import Gallery

MOST = 184
DIMENSIONS = 64
#: Probes at a time, as in the ranking of as many images.
STEP = 163
METHODS: dict[str, Method] = {"reciprocal": Reciprocal(20, 6, 0.1, 0.003), "expansion": Expansion(8, 8, 0.003)}


def main() -> None:
    """Prints a row per stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=25_596)
    parser.add_argument("--patients", type=int, default=2_797)
    parser.add_argument("--validation", type=int, default=10_712)
    parser.add_argument("--share", type=float, default=1.0, help="of the probes whose scores are revised")
    parser.add_argument("--only", choices=("choosing", "reciprocal", "expansion"), help="one stage")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    _, test = drawn(arguments.images, arguments.patients, rng)
    patients, validation = drawn(arguments.validation, max(2, arguments.validation * 2 // 7), rng)
    tell("imports and vectors")
    if arguments.only in (None, "choosing"):
        began = time.process_time()
        few = Gallery(test.held[:100], test.published[:100], cosines)
        revised = Reranked(Base((few, validation), patients), patients, pairs_of(patients))
        tell(f"choosing: {revised.post_processing.method} {revised.post_processing.options}", began)
    some = rng.integers(0, arguments.images, 4096).reshape(2, -1)
    # Nearly all random pairs are impostors.
    limit = float(np.quantile((test.held[some[0]] * test.published[some[1]]).sum(axis=1), 0.997))
    for name, method in METHODS.items():
        if arguments.only in (None, name):
            began, done = time.process_time(), 0
            revise = Revised(test, method, Limits(limit, limit), (0.0, 1 / 0.125))
            tell(f"{name}: lists of all images", began)
            began = time.process_time()
            for begin in range(0, round(arguments.share * arguments.images), STEP):
                done += len(revise.block(slice(begin, min(begin + STEP, arguments.images))))
            tell(f"{name}: {done:,} of {arguments.images:,} probes", began)


@dataclass(frozen=True)
class Base:
    """An attacker's scores: cosines."""

    galleries: tuple[Gallery, Gallery]
    patients: NDArray[np.int64]
    name = "cosines"
    training = restoration = scale = post_processing = None

    @property
    def validation(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Scores and truth of the validation pairs."""
        pairs = pairs_of(self.patients)
        vectors = self.galleries[1].held
        return (vectors[pairs.a] * vectors[pairs.b]).sum(axis=1), pairs.same

    def scores(self, pairs: Pairs) -> NDArray[np.float32]:
        """Of pairs of test images."""
        vectors = self.galleries[0].held
        return np.asarray((vectors[pairs.a] * vectors[pairs.b]).sum(axis=1))

    def block(self, rows: slice) -> NDArray[np.float32]:
        """Of test images against all."""
        return cosines(self.galleries[0].held[rows], self.galleries[0].published)

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """None."""
        return np.full_like(scores, np.nan)


def drawn(images: int, patients: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Gallery]:
    """Patients of images (N,), and their vectors as they are held and published."""
    weights = rng.pareto(1.5, patients) + 0.2
    counts = np.minimum(1 + rng.multinomial(images, weights / weights.sum()), MOST)
    whose = np.repeat(np.arange(patients), counts)
    whose = np.concatenate([whose, rng.integers(0, patients, max(0, images - len(whose)))])[:images]
    centres = rng.normal(size=(patients, DIMENSIONS))
    held, published = (centres[whose] + rng.normal(size=(images, DIMENSIONS)) for _ in range(2))
    return whose, Gallery(_unit(held), _unit(published), cosines)


def pairs_of(patients: NDArray[np.int64]) -> Pairs:
    """Neighbours in the list, and as many strangers."""
    a = np.arange(len(patients) - 1)
    b = np.concatenate([a + 1, (a + len(patients) // 2) % len(patients)])
    return Pairs(np.concatenate([a, a]), b, patients[np.concatenate([a, a])] == patients[b])


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Q, G)."""
    return np.asarray(a @ b.T)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def tell(what: str, began: float | None = None) -> None:
    """A line with the CPU time since then and the most memory so far."""
    seconds = "" if began is None else f"{time.process_time() - began:.1f} s of CPU time, "
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {seconds}{most:,.0f} MB at most", flush=True)


if __name__ == "__main__":
    main()
