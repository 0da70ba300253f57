"""Images of version 2: the scene of a visit, and its picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidbench.cohorts.sources.phantom import findings, foreign
from reidbench.cohorts.sources.phantom.body import body
from reidbench.cohorts.sources.phantom.pose import FIELD, pose
from reidbench.cohorts.sources.phantom.projection import project
from reidbench.cohorts.sources.phantom.randomness import generator
from reidbench.cohorts.sources.phantom.scene import Scene
from reidbench.cohorts.sources.phantom.second import anatomy, clutter, deformation, display, texture, torso
from reidbench.cohorts.sources.phantom.second import visit as visits
from reidbench.images import to_pixels
from reidbench.threads import one_thread

Array = NDArray[np.float64]

#: How strong findings are on the whole, in those of version 1: about as hard to tell as published figures of real ones.
STRENGTH = {
    "Atelectasis": 1.7,
    "Cardiomegaly": 2.1,
    "Effusion": 1.15,
    "Infiltration": 1.6,
    "Mass": 2.3,
    "Nodule": 1.6,
    "Pneumonia": 1.7,
    "Pneumothorax": 0.9,
    "Consolidation": 1.8,
    "Edema": 2.5,
    "Emphysema": 1.8,
    "Fibrosis": 2.3,
    "Pleural_Thickening": 2.0,
    "Hernia": 2.6,
}
#: The most of those of anatomy, which a body must stay a body with.
MOST = {"Cardiomegaly": 2.2, "Emphysema": 1.7}


def scene_of(
    rows: pd.DataFrame, seed: int, worn: NDArray[np.bool_], size: int
) -> tuple[Scene, dict[str, Array], Array]:
    """The posed bodies of the rows, what their visits do, and the amplitudes of their deformations.

    Args:
        rows: of the table, under the identifiers that random numbers are drawn by.
        seed: of the cohort.
        worn: (B, kinds) the foreign material of each row.
        size: width of the picture in pixels, for which the scene is drawn finely enough.
    """
    ids = list(zip(rows["patient_id"], rows["image_id"]))
    detail = FIELD / size
    patients = {patient: anatomy.draw(seed, patient) for patient in dict.fromkeys(rows["patient_id"])}
    whose = [patients[patient] for patient, _ in ids]
    drawn = [visits.draw(seed, *pair) for pair in ids]
    normals, uniforms = np.stack([one.normals for one in drawn]), np.stack([one.uniforms for one in drawn])
    v = visits.visit(normals, uniforms, rows["view"].to_numpy() == "AP")
    places = np.stack([findings.draw(seed, *pair) for pair in ids])
    # Findings are more or less far gone: some are hardly seen.
    severity = np.clip(0.65 + 0.35 * v["severity"], 0.15, 1.4)
    present = {
        name: np.minimum(severity * strength, MOST.get(name, np.inf)) * rows[name].to_numpy()
        for name, strength in STRENGTH.items()
    }
    disease = findings.Disease(present, places, leaning=True)
    a = disease.change(
        anatomy.anatomy(
            np.stack([one.builds for one in whose]) + np.outer(v["girth"], anatomy.GIRTH),
            np.stack([one.traits for one in whose]),
            rows["sex"].to_numpy() == "M",
            rows["age"].to_numpy(float),
        )
    )
    scene = body(a, v, disease, detail)
    torso.redraw(scene, a, v)
    clutter.add(scene, a, v, detail)
    texture.add(
        scene,
        np.stack([one.grains for one in whose]),
        np.stack([one.grains for one in drawn]),
        np.exp(v["texture"]),
        np.stack([one.clouds for one in drawn]),
        np.exp(v["haze"]) * (1.0 + 1.3 * v["ap"]),
    )
    foreign.add(scene, a, worn, np.stack([foreign.draw(seed, *pair) for pair in ids]), detail)
    scene = pose(scene, v)
    field = FIELD * np.exp(v["zoom"])
    foreign.letter(scene, field, v["u"])
    clutter.markers(scene, field, v["u"][:, 46:55])
    own, now = np.stack([one.shape for one in whose]), np.stack([one.shape for one in drawn])
    return scene, v, deformation.coefficients(own, now)


@dataclass(frozen=True)
class Part:
    """A few projected visits.

    Attributes:
        part: which of the scene's bodies.
        lines: (b, S, S) line integrals, deformed.
        pixel: (b,) size of a pixel in millimetres.
        visit: their parameters, (b,) each.
    """

    part: slice
    lines: Tensor
    pixel: Tensor
    visit: dict[str, Tensor]


def projected(scene: Scene, v: dict[str, Array], amplitudes: Array, size: int) -> Iterator[Part]:
    """Line integrals of what :func:`scene_of` gave, a few bodies at a time."""
    for some in project(scene, v["zoom"], size):
        visit = {name: torch.from_numpy(values[some.part]) for name, values in v.items()}
        shift = torch.stack([visit["shift_x"], visit["shift_y"]], dim=1)
        shape = torch.from_numpy(amplitudes[some.part])
        lines = deformation.deform(some.lines, shape, visit["roll"], shift, some.pixel * size, visit["aspect"])
        yield Part(some.part, lines, some.pixel, visit)


def read(rows: pd.DataFrame, seed: int, worn: NDArray[np.bool_], size: int) -> NDArray[np.uint8]:
    """(B, size, size) images of the rows; arguments as for :func:`scene_of`."""
    scene, v, amplitudes = scene_of(rows, seed, worn, size)
    grain = np.stack([generator(seed, "v2", "grain", i).standard_normal((size, size)) for i in rows["image_id"]])
    out = np.empty((scene.batch, size, size), np.uint8)
    # One thread, as for version 1: images are rendered in parallel by processes.
    with torch.inference_mode(), one_thread():
        for some in projected(scene, v, amplitudes, size):
            signal = display.expose(some.lines, some.visit, some.pixel, torch.from_numpy(grain[some.part]))
            grey = display.frame(display.display(signal, some.visit, some.pixel), some.visit)
            out[some.part] = to_pixels(grey.unsqueeze(1))
    return out
