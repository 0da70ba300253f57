"""What a visit of version 2 varies: pose, breath, framing, exposure, processing, and what lies on the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom import visit as first
from reidbench.cohorts.sources.phantom.randomness import generator
from reidbench.cohorts.sources.phantom.second.deformation import MODES
from reidbench.cohorts.sources.phantom.second.texture import CLOUDS, GRAINS

Array = NDArray[np.float64]

#: Standard deviations, for PA (upright, in the department) and AP (at the bedside). Names of version 1 mean the same.
VARIES: dict[str, tuple[float, float]] = {
    "yaw": (4.5, 8.0),  # degrees about the body's long axis
    "tilt": (4.5, 8.0),  # degrees about the left-right axis
    "roll": (1.8, 4.5),  # degrees in the image plane
    "shift_x": (6.5, 13.0),  # mm at the detector
    "shift_y": (10.0, 16.0),
    "zoom": (0.065, 0.1),  # log of the field's size
    "breath": (1.0, 1.4),  # 1 lowers the diaphragm by about a rib
    "girth": (0.35, 0.35),  # weight that comes and goes, in deviations of that build
    "heartbeat": (0.055, 0.055),  # log of the heart's size
    "fluid": (0.7, 0.9),  # filling of the vessels
    "shrug": (10.0, 16.0),  # mm that the shoulders go up
    "arms": (8.0, 12.0),  # degrees that the arms and shoulder blades turn
    "dose": (0.4, 0.5),  # log of the quanta a square millimetre
    "kilovolt": (0.12, 0.14),  # log of all attenuations
    "scatter": (0.3, 0.35),  # log of the scatter fraction
    "heel": (0.06, 0.12),  # slope of the beam's intensity over the field
    "side_heel": (0.03, 0.08),  # and across it
    "gamma": (0.34, 0.36),  # log of the grey curve's exponent
    "aspect": (0.035, 0.045),  # log of the picture's squeeze into a square
    "clip_low": (1.0, 1.0),  # where the display's window begins and ends, and other numbers of the processing
    "clip_high": (1.0, 1.0),
    "flat": (1.4, 1.4),
    "floor": (1.5, 1.5),
    "severity": (1.0, 1.0),
    "haze": (0.5, 0.6),  # log
    "texture": (0.15, 0.2),
}
#: Share of what a visit varies that is the same in all visits of a patient (1: all; not listed: none): equipment,
#: habits and the patient's build change little.
STAYS: dict[str, float] = {
    "tilt": 0.5,
    "yaw": 0.4,
    "roll": 0.15,
    "shift_x": 0.35,
    "shift_y": 0.5,
    "zoom": 0.6,
    "breath": 0.55,
    "shrug": 0.5,
    "arms": 0.5,
    "kilovolt": 0.55,
    "scatter": 0.5,
    "gamma": 0.6,
    "aspect": 0.3,
    "clip_low": 0.55,
    "clip_high": 0.55,
    "flat": 0.6,
    "floor": 0.6,
}
#: Some visits are more unlike the others: deviation of the logarithm of a factor on what a visit varies, and the
#: factor's bounds. As with real patients, most images of one are much alike, and a few are hard to recognize.
UNLIKE, LEAST_UNLIKE, MOST_UNLIKE = 0.65, 0.3, 3.2
#: A usual visit has this share of the deviations in ``VARIES``; unlike ones have more.
POSED = 0.85
#: Uniform numbers beside those of version 1, which are the first: processing, collimation, gas, folds, markers.
UNIFORMS = first.UNIFORMS + 64


@dataclass(frozen=True)
class Draws:
    """What is drawn of a visit.

    Attributes:
        normals: (len(VARIES),) normal numbers, of a deviation of 1 in a usual visit and of more in an unlike one.
        uniforms: (UNIFORMS,) in (0, 1).
        shape: (2, MODES, MODES) such numbers of the visit's deformation.
        grains: (GRAINS,) such numbers of what the visit adds to the texture.
        clouds: (2 * CLOUDS, 4) of haze in the lungs.
    """

    normals: Array
    uniforms: Array
    shape: Array
    grains: Array
    clouds: Array


def draw(seed: int, patient_id: object, image_id: object) -> Draws:
    """The visit's numbers, in part the patient's as :data:`STAYS` says."""
    own = generator(seed, "v2", "habits", patient_id).standard_normal(len(VARIES))
    rng = generator(seed, "v2", "visit", image_id)
    now = rng.standard_normal(len(VARIES))
    unlike = float(np.clip(np.exp(UNLIKE * rng.standard_normal()), LEAST_UNLIKE, MOST_UNLIKE))
    stays = np.array([STAYS.get(name, 0.0) for name in VARIES])
    # How far gone a finding is has nothing to do with how a film was taken.
    factors = np.array([1.0 if name == "severity" else POSED * unlike for name in VARIES])
    normals = np.sqrt(stays) * own + np.sqrt(1.0 - stays) * now * factors
    shape = rng.standard_normal((2, MODES, MODES)) * unlike
    uniforms, grains = rng.random(UNIFORMS), rng.standard_normal(GRAINS) * unlike
    return Draws(normals, uniforms, shape, grains, rng.standard_normal((2 * CLOUDS, 4)))


def visit(normals: Array, uniforms: Array, ap: NDArray[np.bool_]) -> dict[str, Array]:
    """The parameters of B visits: every name of ``VARIES`` as (B,), ``ap``, and ``u``, the (B, UNIFORMS) numbers."""
    values: dict[str, Array] = {"ap": ap.astype(float), "u": uniforms}
    for column, (name, (pa_spread, ap_spread)) in enumerate(VARIES.items()):
        values[name] = np.where(ap, ap_spread, pa_spread) * np.clip(normals[:, column], -3.5, 3.5)
    # At the bedside patients lie or sit, breathe in much less, and the tube is tilted to the feet.
    values["breath"] = values["breath"] - 2.0 * values["ap"]
    values["tilt"] = values["tilt"] - 4.0 * values["ap"]
    # Some films show the whole trunk with black around it, as digitized ones do; most are filled by the chest.
    values["zoom"] = values["zoom"] - 0.03 + 0.12 * values["ap"] + 0.30 * np.clip((uniforms[:, 12] - 0.94) / 0.06, 0, 1)
    return values
