"""The promises of a training that comes before the release."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from reidbench.conformance.finding import Finding, each, failed, first_line, short
from reidbench.conformance.generators import scramble, states
from reidbench.conformance.samples import SEED, difference, publish, sample
from reidbench.conformance.scale import IMAGES, SETS, SMALLEST, Scale, smallest
from reidbench.defenses.base import CohortDefense
from reidbench.defenses.fitted import BaseFittedDefense, FitData
from reidbench.defenses.fitting import fit_defense
from reidbench.errors import PluginError, ReidbenchError

GOOD = {
    "fit": "trains on a small set",
    "fit global randomness": "global generators are left alone",
    "fit determinism": "fixed by the seed",
    "fit resumption": "called again in the same folder, it ends with the same weights",
    "save and load": "a copy that reads the weights publishes the same",
}


def small_set(scale: Scale = SMALLEST) -> FitData:
    """What a defense is fitted on here, always the same.

    Two images a patient, and two findings of which some are unknown. Few and small: an author's budget is in passes.
    """
    rng = np.random.default_rng(SEED)
    images = sample("smooth", 2 * scale.patients, scale.side, scale.side)
    labels = rng.integers(0, 2, (len(images.pixels), 2)).astype(np.float32)
    labels[:4, 1] = np.nan
    return FitData(images.pixels, images.patients, labels)


def check_fit(defense: BaseFittedDefense, device: torch.device) -> tuple[BaseFittedDefense | None, list[Finding]]:
    """Fits a defense on the smallest set that it takes, and checks what was promised of it.

    Returns:
        The fitted defense, which has published nothing yet, None where a promise is broken; and the findings.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scramble(1)
        before = states()
        try:
            scale, data, fitted, work_dir = _fit_smallest(defense, folder, device)
        except ReidbenchError as error:
            return None, [failed(defense, "fit", first_line(error).removeprefix(f"{defense.name}: "))]
        given = _given(scale)
        found: dict[str, str] = {}
        touched = [name for name, state in states().items() if state != before[name]]
        if touched:
            found["fit global randomness"] = f"it draws from or seeds the global generator of {' and '.join(touched)}"
        try:
            # Kernels of a GPU may add up in another order each time; the defense does not promise otherwise.
            if device.type == "cpu":
                scramble(2)
                again, _ = fit_defense(defense, data, seed=SEED, work_dir=folder / "two", device=device)
                if seen := _apart(fitted, again):
                    found["fit determinism"] = f"{seen} in two trainings of one seed; input: {given}"
            resumed, _ = fit_defense(defense, data, seed=SEED, work_dir=work_dir, device=device)
            if device.type == "cpu" and (seen := _apart(fitted, resumed)):
                found["fit resumption"] = f"{seen} when it is called again in the folder where it ended; input: {given}"
            fitted.save(folder / "weights")
            loaded = defense.load(folder / "weights", device=device)
            if seen := _published_apart(fitted, loaded, device):
                found["save and load"] = f"{seen}: what transform() uses is not all in the network"
            unused = defense.load(folder / "weights", device=device)
        except Exception as error:
            return None, [failed(defense, "fit", f"{short(error)}, after it was fitted once; input: {given}")]
    findings = each(defense, found, GOOD)
    findings += [Finding("size of the training", True, f"{given}; {scale.why}")] if scale.why else []
    return (None if found else unused), findings


def _fit_smallest(
    defense: BaseFittedDefense, folder: Path, device: torch.device
) -> tuple[Scale, FitData, BaseFittedDefense, Path]:
    def attempt(scale: Scale) -> tuple[FitData, BaseFittedDefense, Path]:
        # A folder for each: what a refused training left behind is not part of the next.
        data, work_dir = small_set(scale), folder / f"{scale.patients} {scale.side}"
        try:
            fitted, _ = fit_defense(defense, data, seed=SEED, work_dir=work_dir, device=device)
        except PluginError as error:
            raise PluginError(f"{error}; input: {_given(scale)}") from error
        return data, fitted, work_dir

    scale, (data, fitted, work_dir) = smallest(defense, attempt)
    return scale, data, fitted, work_dir


def _given(scale: Scale) -> str:
    return f"{2 * scale.patients} smooth images of {scale.side}×{scale.side}, {scale.patients} patients"


def _published_apart(one: BaseFittedDefense, other: BaseFittedDefense, device: torch.device) -> str:
    sets = isinstance(one, CohortDefense)
    for scale in SETS if sets else IMAGES:
        images = sample("noisy", 2 * scale.patients if sets else 3, scale.side, scale.side)
        try:
            expected = publish(one, images, device)
        except PluginError:
            break
        except ReidbenchError:
            continue
        return difference(publish(other, images, device), expected)
    return ""  # It breaks or refuses all, which is told later.


def _apart(one: BaseFittedDefense, other: BaseFittedDefense) -> str:
    """In words, where two trainings ended apart; empty if they didn't."""
    first, second = one.network.state_dict(), other.network.state_dict()
    if first.keys() != second.keys():
        return "the networks have other parts"
    moved = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    return f"{moved[0]} differs" if moved else ""
