"""What one visit does to the picture: how the patient stands and breathes, and how the exposure is made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.randomness import generator

Array = NDArray[np.float64]

#: Standard deviations of what a visit varies, for PA (upright, in the department) and AP (at the bedside).
VARIES: dict[str, tuple[float, float]] = {
    "yaw": (2.8, 5.0),  # degrees about the body's long axis
    "tilt": (2.8, 5.0),  # degrees about the left-right axis
    "roll": (1.8, 3.2),  # degrees in the image plane
    "shift_x": (4.5, 8.0),  # mm at the detector
    "shift_y": (6.0, 9.5),
    "zoom": (0.026, 0.038),  # log of the field's size
    "breath": (0.8, 1.0),  # 1 lowers the diaphragm by about a rib
    "heartbeat": (0.025, 0.025),  # log of the heart's size
    "fluid": (0.5, 0.7),  # filling of the vessels
    "shrug": (8.0, 14.0),  # mm that the shoulders go up
    "arms": (6.0, 10.0),  # degrees that the arms and shoulder blades turn
    "dose": (0.25, 0.40),  # log of the quanta a square millimetre
    "kilovolt": (0.05, 0.08),  # log of all attenuations
    "center": (0.055, 0.09),  # of the display window, in units of its width
    "width": (0.06, 0.09),  # log of the display window's width
    "gamma": (0.06, 0.09),  # log
    "scatter": (0.25, 0.30),  # log of the scatter fraction
    "heel": (0.06, 0.12),  # slope of the beam's intensity over the field
}

#: Uniform numbers that a visit takes beside the normal ones: collimation, border text, stomach bubble.
UNIFORMS = 12


def draw(seed: int, image_id: object) -> tuple[Array, Array]:
    """The visit's (len(VARIES),) standard normal and (UNIFORMS,) uniform numbers."""
    rng = generator(seed, "visit", image_id)
    return rng.standard_normal(len(VARIES)), rng.random(UNIFORMS)


def visit(normals: Array, uniforms: Array, ap: NDArray[np.bool_]) -> dict[str, Array]:
    """The parameters of B visits from their draws, (B, len(VARIES)) and (B, UNIFORMS), and whether the view is AP.

    Returns:
        every name of ``VARIES`` as (B,), ``ap`` as 0 or 1, and ``u``, the (B, UNIFORMS) uniform numbers.
    """
    values: dict[str, Array] = {"ap": ap.astype(float), "u": uniforms}
    for column, (name, (pa_spread, ap_spread)) in enumerate(VARIES.items()):
        values[name] = np.where(ap, ap_spread, pa_spread) * np.clip(normals[:, column], -2.5, 2.5)
    # At the bedside patients breathe in less and the tube is tilted to the feet.
    values["breath"] = values["breath"] - 0.7 * values["ap"]
    values["tilt"] = values["tilt"] - 3.0 * values["ap"]
    return values
