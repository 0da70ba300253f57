"""Attackers as cached steps: trained in a scenario once, every image embedded once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.attackers.base import Attacker, Fixed, Scenario, Training
from reidbench.attackers.pairs import PairAttacker
from reidbench.errors import not_finite
from reidbench.progress import Progress
from reidbench.records.parts.training import Origin, TrainingInfo
from reidbench.settings import Settings
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.finished import Step
from reidbench.steps.releases import ATTACKERS_VALIDATION, PUBLISHED, Images, Published
from reidbench.steps.training import WEIGHTS, cached_training, training_info, training_key
from reidbench.threads import one_thread

#: Pairs that an attacker which scores them jointly gets at a time.
PAIRS = 4096
VECTORS = "vectors.npy"
#: Where a bundle is at hand: which of the candidates a training's weights are of, or went on from.
START = "start.json"


@dataclass(frozen=True)
class Trained:
    """An attacker with its weights.

    Attributes:
        attacker: ready to embed.
        step: where it came from.
        training: for the record.
        cache: where the scores of an attacker are kept that scores pairs jointly.
    """

    attacker: Attacker
    step: Step
    training: TrainingInfo
    cache: StepCache | None = None

    def score(
        self, held: NDArray[Any], gallery: NDArray[Any], a: NDArray[np.int64], b: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Scores of pairs, (P,): row ``a`` of ``held`` with row ``b`` of ``gallery``, both from :func:`embed`."""

        def scored() -> NDArray[np.float32]:
            if not isinstance(self.attacker, PairAttacker):
                return self.attacker.score(held[a], gallery[b])
            # The images of all pairs at once would be gigabytes.
            blocks = [slice(begin, begin + PAIRS) for begin in range(0, len(a), PAIRS)]
            parts = [self.attacker.score(held[a[block]], gallery[b[block]]) for block in blocks]
            return np.concatenate([np.empty(0, np.float32), *parts])

        return self._kept("pair_scores", (held, gallery, a, b), scored)

    def score_block(self, probes: NDArray[Any], gallery: NDArray[Any]) -> NDArray[np.float32]:
        """Scores of every probe against every gallery image, (Q, G), both from :func:`embed`."""
        return self._kept("block_scores", (probes, gallery), lambda: self.attacker.score_block(probes, gallery))

    def _kept(
        self, kind: str, given: Sequence[NDArray[Any]], scored: Callable[[], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        # From vectors scores are computed again sooner than they are read.
        if self.cache is None or not isinstance(self.attacker, PairAttacker):
            return scored()
        key = {"attacker": self.step.digest, "given": [_digest(array) for array in given]}
        step = self.cache.run(kind, key, lambda folder: np.save(folder / "scores.npy", scored()))
        return np.asarray(np.load(step.path / "scores.npy"))


@dataclass(frozen=True, eq=False)
class AttackerTraining:
    """An attacker's training in one scenario; nothing is trained until its step is made.

    Attributes:
        template: untrained, with its hyperparameters.
        step: the training.
        warm: whether it goes on from another training's weights.
        pretrained: the bundle's attacker, untrained, where the weights may be of it: the step says of which.
    """

    template: Attacker
    step: CachedStep
    warm: bool
    device: torch.device
    pretrained: Attacker | None = None

    def read(self) -> Trained:
        """The trained attacker.

        Raises:
            ReidbenchError: its step is not in the cache.
        """
        step = self.step.read()
        # Weights are always read back from the file, so that a cached run and a fresh one go the same way.
        attacker = self.recipe(step).model_copy()
        attacker.load(step.path / WEIGHTS, device=self.device)
        origin = self.origin(step)
        info = training_info(step, warm=self.warm or origin == "fine-tuned").model_copy(update={"origin": origin})
        return Trained(attacker, step, info, self.step.cache)

    def recipe(self, step: Step) -> Attacker:
        """The attacker, untrained, that the weights of the finished step are of."""
        return self.template if self.pretrained is None or self.origin(step) == "cohort" else self.pretrained

    def origin(self, step: Step) -> Origin | None:
        """Which candidate the weights of the finished step are of, or went on from; None where there is no bundle."""
        if self.pretrained is None:
            return None
        found: Origin = json.loads((step.path / START).read_text())["origin"]
        return found


def attacker_training(
    template: Attacker,
    probe: Published,
    gallery: Published,
    patients: dict[str, NDArray[np.int64]],
    *,
    settings: Settings,
    cache: StepCache,
    start: AttackerTraining | None = None,
    bundled: BundledWeights | None = None,
) -> AttackerTraining:
    """The training of an attacker in the scenario of these two kinds of images.

    Args:
        template: untrained, with its hyperparameters.
        patients: (N,) by split, for ``train`` and ``val``.
        start: the training to go on from, with the attacker that it chose; the warm-started budget holds.
        bundled: weights of a bundle to go on from, in place of ``start``.
    """
    key = {
        **training_key(template, settings, "reidbench.attackers", "reidbench.networks"),
        "probe": probe.key,
        "gallery": gallery.key,
        "start": start.step.digest if start else bundled.sha256 if bundled else None,
    }
    began: list[str] = []

    def fit(checkpoints: Path, progress: Progress) -> tuple[Attacker, Training]:
        weights, attacker = bundled.path if bundled else None, template.model_copy()
        if start is not None:
            step = start.step.read()
            weights, attacker = step.path / WEIGHTS, start.recipe(step).model_copy()
            if start.pretrained is not None:
                began.append((step.path / START).read_text())
        fixed = None
        if len(patients["val"]):
            held, published = (side.images("val", ATTACKERS_VALIDATION).pixels for side in (probe, gallery))
            fixed = Fixed(patients["val"], held, published)
        training = attacker.fit(
            Scenario(patients["train"], probe.side(), gallery.side(), settings.size),
            fixed,
            seed=settings.seed,
            device=settings.device,
            work_dir=checkpoints,
            start=weights,
            progress=progress,
        )
        return attacker, training

    def save(attacker: Attacker, path: Path) -> None:
        attacker.save(path)
        if began:
            path.with_name(START).write_text(began[-1])

    step = cached_training(cache, "attacker", key, fit, save)
    warm = start is not None or bundled is not None
    return AttackerTraining(template, step, warm, settings.device, start.pretrained if start else None)


@dataclass(frozen=True)
class BundledWeights:
    """A weights file of a bundle, and its SHA-256."""

    path: Path
    sha256: str


def embedding(
    training: AttackerTraining,
    images: Published,
    split: str,
    draw: int = PUBLISHED,
    *,
    rows: NDArray[np.int64] | None = None,
    cache: StepCache,
) -> CachedStep:
    """The vectors of a split's images by an attacker, or of some rows of them; read with :func:`read_vectors`."""

    def write(folder: Path, progress: Progress) -> None:
        trained, pixels = training.read(), images.images(split, draw).pixels
        pixels = pixels if rows is None else pixels[rows]
        with one_thread():
            found = trained.attacker.embed(pixels, device=training.device)
        np.save(folder / VECTORS, finite_vectors(found, trained.attacker))

    key = {"attacker": training.step.digest, "images": images.digest(split, draw)}
    if rows is not None:
        key["rows"] = _digest(rows)
    return CachedStep(cache, "vectors", key, write)


def read_vectors(step: Step) -> NDArray[np.float32]:
    """(N, D), as a finished :func:`embedding` left them."""
    return np.asarray(np.load(step.path / VECTORS))


def embed(trained: Trained, images: Images, *, settings: Settings, cache: StepCache) -> NDArray[np.float32]:
    """Vectors of any images, (N, D), from the cache where they are known."""

    def write(folder: Path) -> None:
        with one_thread():
            found = trained.attacker.embed(images.pixels, device=settings.device)
        np.save(folder / VECTORS, finite_vectors(found, trained.attacker))

    return read_vectors(cache.run("vectors", {"attacker": trained.step.digest, "images": images.digest}, write))


def finite_vectors(vectors: NDArray[np.float32], attacker: Attacker) -> NDArray[np.float32]:
    """The vectors (N, D), as an attacker gave them.

    Raises:
        ReidbenchError: some are not finite: nothing can be ranked by them.
    """
    if not np.isfinite(vectors).all():
        raise not_finite(attacker.name, "vectors")
    return vectors


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
