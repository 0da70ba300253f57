"""Who a patient of version 2 is: version 1's traits with other means and spreads, a shape and a texture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.anatomy import SERIES, TRAITS, Trait
from reidbench.cohorts.sources.phantom.randomness import generator
from reidbench.cohorts.sources.phantom.second.deformation import MODES
from reidbench.cohorts.sources.phantom.second.texture import GRAINS

Array = NDArray[np.float64]

#: Builds move many traits at once, as in real people: what a standard deviation of each adds to a trait, in the trait's
#: own standard deviations. Stature, girth, and how deep the chest is for its width.
BUILDS: dict[str, dict[str, float]] = {
    "stature": {
        "lung_height": 0.7,
        "lung_top": -0.5,
        "dome_right": 0.5,
        "rib_spacing": 0.6,
        "clavicle_length": 0.5,
        "torso_width": 0.4,
        "lung_width_right": 0.5,
        "lung_width_left": 0.5,
        "scapula_size": 0.5,
        "trachea_width": 0.3,
        "vertebra_width": 0.4,
    },
    "girth": {
        "torso_width": 0.8,
        "torso_depth": 0.8,
        "breast_depth": 0.6,
        "breast_size": 0.5,
        "neck_width": 0.6,
        "shoulder_size": 0.5,
        "dome_right": -0.5,
        "heart_x": 0.3,
        "heart_angle": -0.4,
        "mediastinum_width": 0.4,
        "heart_long": 0.4,
    },
    "chest": {
        "lung_depth": 0.6,
        "lung_width_right": -0.5,
        "lung_width_left": -0.5,
        "heart_angle": 0.5,
        "heart_short": -0.3,
        "rib_drop": 0.5,
        "lung_lean_right": 0.4,
        "lung_lean_left": 0.4,
    },
}
#: 1 for the build that changes from visit to visit.
GIRTH = np.array([float(name == "girth") for name in BUILDS])
#: Means that lie elsewhere than in version 1, as mean images of real train patients show them.
_MOVED: dict[str, float] = {
    "torso_width": 32.0,
    "shoulder_size": -2.0,
    "shoulder_height": -4.0,
    "lung_width_right": 4.0,
    "lung_width_left": 4.0,
    "lung_lean_right": 5.5,
    "lung_lean_left": 5.5,
    "lung_gap": -3.0,
    "dome_right": -6.0,
    "lung_top": 5.0,
    "heart_x": 7.0,
    "heart_long": 2.0,
    "heart_short": 2.0,
    "atrium_x": -3.0,
    "rib_density": 0.55,
    "vertebra_density": -0.2,
    "vessel_calibre": -0.12,
    "mediastinum_width": 5.0,
    "scapula_x": 6.0,
    "scapula_y": -14.0,
}
#: Spreads in those of version 1, by the beginning of a trait's name: the first that fits. Others keep theirs.
_WIDER: dict[str, float] = {
    "heart_": 1.5,
    "atrium_": 1.3,
    "knob_": 1.7,
    "aorta_": 1.7,
    "trunk_": 1.5,
    "mediastinum_": 1.5,
    "cava_": 1.4,
    "dome_right": 2.2,
    "dome_": 1.2,
    "hilum_": 1.5,
    "spine_": 1.6,
    "clavicle_": 1.3,
    "rib_density": 2.5,
    "rib_": 1.2,
    "lung_top": 1.7,
    "lung_lean_": 2.5,
    "lung_": 1.25,
    "breast_depth": 1.6,
    "torso_width": 2.2,
    "torso_": 1.2,
}


@dataclass(frozen=True)
class Patient:
    """What is drawn of a patient once.

    Attributes:
        builds: (len(BUILDS),) standard normal numbers.
        traits: one for each of version 1's traits and series.
        shape: (2, MODES, MODES) of the smooth deformation of the body.
        grains: (GRAINS, 5) of the texture: three of the place, one of the size, one of the density.
    """

    builds: Array
    traits: Array
    shape: Array
    grains: Array


def draw(seed: int, patient_id: object) -> Patient:
    """The patient's standard normal numbers; of the grains' places uniform ones in (-1, 1)."""
    rng = generator(seed, "v2", "patient", patient_id)
    count = len(TRAITS) + sum(number for number, _ in SERIES.values())
    builds, traits = rng.standard_normal(len(BUILDS)), rng.standard_normal(count)
    shape = rng.standard_normal((2, MODES, MODES))
    grains = np.concatenate([rng.uniform(-1, 1, (GRAINS, 3)), rng.standard_normal((GRAINS, 2))], axis=1)
    return Patient(builds, traits, shape, grains)


def traits() -> dict[str, Trait]:
    """The traits of version 2, in the order of version 1's."""
    found = {}
    for name, trait in TRAITS.items():
        wider = next((factor for start, factor in _WIDER.items() if name.startswith(start)), 1.0)
        moved = _MOVED.get(name, 0.0)
        found[name] = replace(trait, male=trait.male + moved, female=trait.female + moved, spread=trait.spread * wider)
    return found


_TRAITS = traits()


def anatomy(builds: Array, draws: Array, male: NDArray[np.bool_], age: Array) -> dict[str, Array]:
    """The parameters of B bodies, as those of version 1.

    Args:
        builds: (B, len(BUILDS)).
        draws: (B, traits and series).
        male: (B,) whether the patient is a man.
        age: (B,) years.
    """
    decades = (age - 50.0) / 10.0
    values: dict[str, Array] = {}
    for column, (name, trait) in enumerate(_TRAITS.items()):
        shares = np.array([build.get(name, 0.0) for build in BUILDS.values()])
        # What builds explain of a trait is not drawn again: its variance stays its own.
        own = np.sqrt(max(0.0, 1.0 - float(shares @ shares)))
        deviation = np.clip(builds @ shares + own * draws[:, column], -2.5, 2.5)
        mean = np.where(male, trait.male, trait.female) + trait.decade * decades
        values[name] = np.maximum(mean + trait.spread * deviation, trait.lowest)
    column = len(_TRAITS)
    for name, (count, spread) in SERIES.items():
        values[name] = spread * np.clip(draws[:, column : column + count], -2.5, 2.5)
        column += count
    return values
