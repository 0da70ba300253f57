"""The promises of a training that comes before the release."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from reidbench.defenses.conformance.finding import Finding, each, failed, short
from reidbench.defenses.conformance.generators import scramble, states
from reidbench.defenses.conformance.samples import SEED, difference, publish, sample
from reidbench.defenses.fitted import FitData, FittedDefense
from reidbench.defenses.fitting import fit_defense
from reidbench.errors import PluginError, ReidbenchError

# Two images a patient, and two findings of which some are unknown. Few and small: an author's budget is in passes.
PATIENTS, SIDE = 12, 32
GOOD = {
    "fit": "trains on a small set",
    "fit global randomness": "global generators are left alone",
    "fit determinism": "fixed by the seed",
    "fit resumption": "called again in the same folder, it ends with the same weights",
    "save and load": "a copy that reads the weights publishes the same",
}


def small_set() -> FitData:
    """What a defense is fitted on here, always the same."""
    rng = np.random.default_rng(SEED)
    labels = rng.integers(0, 2, (2 * PATIENTS, 2)).astype(np.float32)
    labels[:4, 1] = np.nan
    pixels = sample("smooth", 2 * PATIENTS, SIDE, SIDE).pixels
    return FitData(pixels, np.repeat(np.arange(PATIENTS), 2), labels)


def check_fit(defense: FittedDefense, device: torch.device) -> tuple[FittedDefense | None, list[Finding]]:
    """Fits a defense on a small set, and checks what was promised of it.

    Returns:
        The fitted defense, None where a promise is broken; and the findings.
    """
    data = small_set()
    given = f"{len(data)} smooth images of {SIDE}×{SIDE}, {PATIENTS} patients"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scramble(1)
        before = states()
        try:
            fitted, _ = fit_defense(defense, data, seed=SEED, work_dir=folder / "one", device=device)
        except ReidbenchError as error:
            what = str(error).removeprefix(f"{defense.name}: ")
            why = what if isinstance(error, PluginError) else f"it refuses a plain set of images: {what}"
            return None, [failed(defense, "fit", f"{why}; input: {given}")]
        found: dict[str, str] = {}
        touched = [name for name, state in states().items() if state != before[name]]
        if touched:
            found["fit global randomness"] = f"it draws from or seeds the global generator of {' and '.join(touched)}"
        try:
            # Kernels of a GPU may add up in another order each time; that is no promise of the defense's.
            if device.type == "cpu":
                scramble(2)
                again, _ = fit_defense(defense, data, seed=SEED, work_dir=folder / "two", device=device)
                if seen := _apart(fitted, again):
                    found["fit determinism"] = f"{seen} in two trainings of one seed; input: {given}"
            resumed, _ = fit_defense(defense, data, seed=SEED, work_dir=folder / "one", device=device)
            if device.type == "cpu" and (seen := _apart(fitted, resumed)):
                found["fit resumption"] = f"{seen} when it is called again in the folder where it ended; input: {given}"
            fitted.save(folder / "weights")
            loaded = defense.load(folder / "weights", device=device)
            if seen := _published_apart(fitted, loaded, device):
                found["save and load"] = f"{seen}: what transform() uses is not all in the network"
        except Exception as error:
            return None, [failed(defense, "fit", f"{short(error)}, after it was fitted once; input: {given}")]
    findings = each(defense, found, GOOD)
    return (None if found else fitted), findings


def _published_apart(one: FittedDefense, other: FittedDefense, device: torch.device) -> str:
    images = sample("noisy", 3, SIDE, SIDE)
    try:
        expected = publish(one, images, device)
    except ReidbenchError:
        return ""  # What it publishes is looked at later, on more images.
    return difference(publish(other, images, device), expected)


def _apart(one: FittedDefense, other: FittedDefense) -> str:
    """In words, where two trainings ended apart; empty if they didn't."""
    first, second = one.network.state_dict(), other.network.state_dict()
    if first.keys() != second.keys():
        return "the networks have other parts"
    moved = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    return f"{moved[0]} differs" if moved else ""
