"""Who a patient is: the parameters of the body, drawn once, depending on sex and slowly on age.

Lengths are in millimetres, angles in degrees, attenuations per millimetre or as ratios. The means follow the
proportions of an adult chest; the spreads are such that patients differ about as much as a visit's pose moves them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.randomness import generator

Array = NDArray[np.float64]

RIBS = 12
VERTEBRAE = 17
#: Branches of the vessel tree in one lung: five stems that divide twice.
BRANCHES = 35


@dataclass(frozen=True)
class Trait:
    """One parameter: its mean in men and women of 50, its standard deviation, its change in ten years of life."""

    male: float
    female: float
    spread: float
    decade: float = 0.0
    lowest: float = -np.inf


#: One number per patient.
TRAITS: dict[str, Trait] = {
    # Trunk and soft tissue
    "torso_width": Trait(172, 158, 7.4, 1.0, 130),
    "torso_depth": Trait(112, 104, 7.4, 1.5, 80),
    "neck_width": Trait(56, 47, 2.4, 0.5, 30),
    "neck_lean": Trait(0, 0, 2.4),
    "shoulder_height": Trait(-128, -122, 5.7, 2.0),
    "shoulder_size": Trait(58, 48, 4.1, 0, 30),
    "breast_size": Trait(60, 62, 7.4, 1.0, 30),
    "breast_x": Trait(80, 78, 3.5),
    "breast_y": Trait(70, 78, 5.3, 6.0),
    "breast_depth": Trait(4, 17, 3.3, 0.6, 1),
    # Lungs
    "lung_width_right": Trait(67, 60, 3, 0, 40),
    "lung_width_left": Trait(64, 57, 3, 0, 40),
    "lung_height": Trait(184, 168, 7.4, -1.0, 130),
    "lung_depth": Trait(86, 77, 4.9, 1.5, 55),
    "lung_top": Trait(-142, -132, 5.7, 1.0),
    "lung_gap": Trait(2, 2, 1.5, 0, -5),
    "lung_lean_right": Trait(4.0, 4.0, 0.71),
    "lung_lean_left": Trait(4.0, 4.0, 0.71),
    "lung_density": Trait(0.25, 0.27, 0.015, -0.006, 0.12),
    # Diaphragm
    "dome_right": Trait(76, 68, 7.4, 1.0),
    "dome_drop_left": Trait(10, 9, 3),
    "dome_height": Trait(88, 82, 5.9, -2.0, 50),
    "dome_width": Trait(86, 78, 3, 0, 60),
    "dome_x_right": Trait(70, 64, 3.5),
    "dome_x_left": Trait(72, 66, 3.5),
    # Heart and great vessels
    "heart_long": Trait(66, 58, 3.7, 1.4, 40),
    "heart_short": Trait(42, 38, 1.9, 0.8, 28),
    "heart_angle": Trait(38, 40, 3.3, -2.0),
    "heart_x": Trait(29, 27, 3, 0.6),
    "heart_y": Trait(50, 46, 3.3, 1.0),
    "atrium_size": Trait(33, 30, 2, 0.6, 22),
    "atrium_x": Trait(-14, -13, 2.4),
    "atrium_y": Trait(44, 40, 3.5),
    "trunk_size": Trait(17, 15, 1.3, 0.2, 9),
    "trunk_x": Trait(21, 19, 2, 0.5),
    "knob_size": Trait(16, 14, 1.3, 1.3, 8),
    "knob_x": Trait(25, 23, 2, 1.5),
    "knob_y": Trait(-62, -58, 3.3, -1.0),
    "aorta_width": Trait(13, 12, 0.98, 0.5, 8),
    "aorta_x": Trait(20, 19, 2, 1.2),
    "aorta_bow": Trait(5, 5, 2.4, 1.5),
    "mediastinum_width": Trait(22, 20, 1.6, 0.5, 15),
    "cava_width": Trait(10, 9, 1.3, 0.3, 4),
    "cava_x": Trait(-24, -22, 1.8),
    "trachea_width": Trait(8.5, 7.0, 0.53, 0, 5),
    "trachea_x": Trait(-2, -2, 1.8, -0.5),
    "carina_y": Trait(-48, -45, 2.6),
    "carina_angle": Trait(34, 35, 3),
    "hilum_y_right": Trait(-16, -15, 2.6),
    "hilum_y_left": Trait(-26, -24, 2.6),
    "hilum_x": Trait(40, 37, 2),
    "hilum_size": Trait(9.0, 8.2, 0.71, 0.3, 5),
    "vessel_calibre": Trait(1.0, 0.95, 0.082, 0.03, 0.5),
    "vessel_reach": Trait(1.0, 0.95, 0.053, 0, 0.6),
    # Skeleton
    "spine_bow": Trait(0, 0, 3, 0.4),
    "spine_bow_level": Trait(10, 10, 24),
    "spine_twist": Trait(0, 0, 1.8),
    "vertebra_width": Trait(18, 16, 0.82, 0.2, 12),
    "vertebra_density": Trait(1.0, 0.92, 0.082, -0.07, 0.4),
    "rib_spacing": Trait(23.2, 21.4, 0.53, -0.2, 17),
    "rib_first": Trait(-150, -140, 3),
    "rib_drop": Trait(66, 64, 4.1, 1.5, 30),
    "rib_arch": Trait(8, 8, 1.8),
    "rib_thickness": Trait(4.4, 3.9, 0.26, 0, 2.5),
    "rib_density": Trait(1.0, 0.9, 0.082, -0.06, 0.4),
    "rib_margin": Trait(5, 4, 0.9, 0, 1),
    "clavicle_length": Trait(138, 124, 3.5, 0, 95),
    "clavicle_rise_right": Trait(18, 15, 3.5),
    "clavicle_rise_left": Trait(18, 15, 3.5),
    "clavicle_curve": Trait(7, 7, 1.5),
    "clavicle_thickness": Trait(4.8, 4.0, 0.3, 0, 2.5),
    "clavicle_y": Trait(-104, -98, 3.3),
    "scapula_x": Trait(132, 120, 3.5),
    "scapula_y": Trait(-62, -58, 4.1),
    "scapula_angle": Trait(12, 12, 2.6),
    "scapula_size": Trait(70, 62, 3, 0, 45),
}

#: Several numbers a patient: how many, and their standard deviation around 0.
SERIES: dict[str, tuple[int, float]] = {
    "rib_shift_right": (RIBS, 1.1),
    "rib_shift_left": (RIBS, 1.1),
    "rib_tilt": (RIBS, 1.8),
    "vertebra_shift": (VERTEBRAE, 0.6),
    "branch_turn_right": (BRANCHES, 0.12),
    "branch_turn_left": (BRANCHES, 0.12),
    "branch_depth": (2 * BRANCHES, 0.18),
    "branch_calibre": (2 * BRANCHES, 0.12),
}

#: Standard normal draws that a patient's anatomy takes.
DRAWS = len(TRAITS) + sum(count for count, _ in SERIES.values())


def draw(seed: int, patient_id: object) -> Array:
    """The patient's (DRAWS,) standard normal numbers: all that tells one body from another of that sex and age."""
    return generator(seed, "anatomy", patient_id).standard_normal(DRAWS)


def anatomy(draws: Array, male: NDArray[np.bool_], age: Array) -> dict[str, Array]:
    """The parameters of B bodies.

    Args:
        draws: (B, DRAWS), a row from :func:`draw` each.
        male: (B,) whether the patient is a man.
        age: (B,) years.

    Returns:
        every trait as (B,) and every series as (B, its count), in the units of this module.
    """
    # A general size moves all lengths together, as in real people.
    decades = (age - 50.0) / 10.0
    values: dict[str, Array] = {}
    for column, (name, trait) in enumerate(TRAITS.items()):
        mean = np.where(male, trait.male, trait.female) + trait.decade * decades
        # 2.5 standard deviations are the most: a body must stay a body.
        values[name] = np.maximum(mean + trait.spread * np.clip(draws[:, column], -2.5, 2.5), trait.lowest)
    column = len(TRAITS)
    for name, (count, spread) in SERIES.items():
        values[name] = spread * np.clip(draws[:, column : column + count], -2.5, 2.5)
        column += count
    return values
