"""The promises of a defense that publishes a model."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from reidbench.conformance.finding import Finding, each, failed, first_line, short
from reidbench.conformance.generators import scramble, states
from reidbench.conformance.privacy import wrong_claim
from reidbench.conformance.samples import SEED, sample
from reidbench.conformance.scale import Scale, smallest
from reidbench.defenses.model import (
    Fitted,
    LabelledImages,
    ModelDefense,
    PublishedNetwork,
    ask_model,
    fit_model,
    published_logits,
    published_vectors,
)
from reidbench.errors import ReidbenchError

STRUCTURE = ("training", "undefended", "global randomness", "determinism", "vectors", "batches", "findings", "claim")
FINDINGS = 3
#: Kernels that are chosen by the batch's size round differently.
TOLERANCE = 1e-4


def check_model(defense: ModelDefense, device: torch.device) -> list[Finding]:
    """All properties, of models trained on the smallest set that it takes, with two images a patient."""

    def attempt(scale: Scale) -> tuple[dict[str, str], float]:
        train = _patients(scale)
        began = time.perf_counter()
        found: dict[str, str] = {}
        for name, what in _violations(defense, train, device):
            found.setdefault(name, f"{what}; input: {len(train.pixels)} images of {scale.patients} patients")
        return found, (time.perf_counter() - began) / 2

    try:
        scale, (found, seconds) = smallest(defense, attempt)
    except ReidbenchError as error:
        return [failed(defense, "training", first_line(error).removeprefix(f"{defense.name}: "))]
    on = f"on {scale.patients} patients"
    findings = each(defense, found, dict.fromkeys(STRUCTURE, on))
    findings += [Finding("size of the training", True, f"{scale}; {scale.why}")] if scale.why else []
    return [*findings, Finding("speed", True, f"{seconds:.1f} s a training {on}", "figure")]


def _violations(defense: ModelDefense, train: LabelledImages, device: torch.device) -> Iterator[tuple[str, str]]:
    """Promises that are broken, up to the first that makes the rest meaningless."""
    plain = defense.undefended()
    if not isinstance(plain, ModelDefense) or plain.undefended() != plain:
        yield "undefended", "undefended() does not give a model defense that is its own undefended one"
    scramble(1)
    before = states()
    network, fitted = _fit(defense, train, device)
    if wrong := wrong_claim(fitted.privacy):
        yield "claim", f"what fit() guarantees: it {wrong}"
    touched = [name for name, state in states().items() if state != before[name]]
    if touched:
        yield "global randomness", f"it draws from or seeds the global generator of {' and '.join(touched)}"
    scramble(2)
    again, _ = _fit(defense, train, device)
    weights, repeated = network.state_dict(), again.state_dict()
    differing = [name for name, tensor in weights.items() if not torch.equal(tensor, repeated[name])]
    if differing and device.type == "cpu":
        yield "determinism", f"two trainings of one seed differ in {differing[0]} and {len(differing) - 1} more"
    vectors = published_vectors(defense, network, train.pixels, device=device)
    alone = published_vectors(defense, network, train.pixels[:1], device=device)
    if not np.allclose(vectors[:1], alone, rtol=TOLERANCE, atol=TOLERANCE):
        yield "batches", "an image's vector depends on the other images of its batch"
    try:
        logits = published_logits(network, vectors, device=device)
    except Exception as error:
        yield "findings", f"classify() raised {short(error)}"
        return
    if logits.shape != (len(vectors), FINDINGS) or not np.isfinite(logits).all():
        yield "findings", f"classify() made {logits.shape}, or not finite, of {vectors.shape} and {FINDINGS} findings"


def _fit(defense: ModelDefense, train: LabelledImages, device: torch.device) -> tuple[PublishedNetwork, Fitted]:
    # A run asks before it trains anything.
    ask_model(defense, train)
    with tempfile.TemporaryDirectory() as folder:
        return fit_model(defense, train, seed=SEED, device=device, work_dir=Path(folder))


def _patients(scale: Scale) -> LabelledImages:
    images = sample("noisy", 2 * scale.patients, scale.side, scale.side)
    findings = np.random.default_rng(SEED).integers(0, 2, (len(images.pixels), FINDINGS)).astype(np.float64)
    findings[0, 0] = np.nan
    return LabelledImages(images.pixels, images.patients, findings, population=scale.patients)
