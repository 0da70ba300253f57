"""The built-in cohort: a generated thorax, whose anatomy is the patient's and whose pose and findings are the visit's."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from reidbench.cohorts.base import CHESTXRAY14_LABELS, Dataset, Source
from reidbench.cohorts.phantom import anatomy as anatomies
from reidbench.cohorts.phantom import findings, foreign
from reidbench.cohorts.phantom import visit as visits
from reidbench.cohorts.phantom.body import body
from reidbench.cohorts.phantom.projection import FIELD, pose, render
from reidbench.cohorts.phantom.randomness import generator
from reidbench.cohorts.phantom.table import table
from reidbench.plugins import hookimpl


class Phantom(Dataset):
    """A generated chest X-ray cohort: nobody's data, so that every run can be repeated by anybody."""

    name: ClassVar[str] = "phantom"
    chunk: ClassVar[int] = 32

    patients: int = Field(
        600, ge=10, le=99_999, description="how many patients; adding some changes none of the others"
    )
    seed: int = Field(0, ge=0, description="another seed gives other patients")
    images_per_patient: int = Field(24, ge=2, le=200, description="most images of one patient")
    val: float = Field(0.12, ge=0, le=0.4, description="share of patients in the validation split")
    test: float = Field(0.24, ge=0, le=0.4, description="share of patients in the test split")

    def source(self) -> Source:
        """The table, made in a moment."""
        frame = table(self.seed, self.patients, self.images_per_patient, self.val, self.test)
        return Source(frame, CHESTXRAY14_LABELS, ("generated images: phantom v1",))

    def read(self, rows: pd.DataFrame, size: int) -> NDArray[np.uint8]:
        """Images of the rows, (len(rows), size, size) uint8: they depend on each row alone, not on its neighbours."""
        if not len(rows):
            return np.empty((0, size, size), np.uint8)
        draws = np.stack([anatomies.draw(self.seed, patient) for patient in rows["patient_id"]])
        a = anatomies.anatomy(draws, rows["sex"].to_numpy() == "M", rows["age"].to_numpy(float))
        normals, uniforms = (np.stack(x) for x in zip(*[visits.draw(self.seed, i) for i in rows["image_id"]]))
        v = visits.visit(normals, uniforms, rows["view"].to_numpy() == "AP")
        ids = list(zip(rows["patient_id"], rows["image_id"]))
        places = np.stack([findings.draw(self.seed, *pair) for pair in ids])
        disease = findings.Disease({label: rows[label].to_numpy() for label in CHESTXRAY14_LABELS}, places)
        scene = body(a, v, disease, FIELD / size)
        things = np.stack([foreign.draw(self.seed, *pair) for pair in ids])
        foreign.add(scene, a, self._worn(rows), things, FIELD / size)
        scene = pose(scene, v)
        foreign.letter(scene, FIELD * np.exp(v["zoom"]), v["u"])
        grain = np.stack([generator(self.seed, "grain", i).standard_normal((size, size)) for i in rows["image_id"]])
        return render(scene, a, v, size, grain)

    def _worn(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """What foreign material is seen: none where the table has none, electrodes where it has some and we drew none."""
        values = zip(rows["patient_id"], rows["image_id"], rows["view"], rows["days"])
        kinds = np.stack([foreign.worn(self.seed, p, i, view == "AP", float(days)) for p, i, view, days in values])
        wanted = rows["foreign_material"].to_numpy() == 1
        kinds[~wanted] = False
        kinds[wanted & ~kinds.any(axis=1), foreign.KINDS.index("electrodes")] = True
        return kinds


@hookimpl
def reidbench_datasets() -> list[type[Dataset]]:
    """The phantom."""
    return [Phantom]
