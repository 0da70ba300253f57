"""The built-in cohort: a generated thorax. Its anatomy is the patient's, its pose and its findings are the visit's."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from reidbench.cohorts.base import CHESTXRAY14_LABELS, Dataset, Source
from reidbench.cohorts.sources.phantom import findings, foreign
from reidbench.cohorts.sources.phantom import visit as visits
from reidbench.cohorts.sources.phantom.anatomy import anatomy, draw
from reidbench.cohorts.sources.phantom.body import body
from reidbench.cohorts.sources.phantom.pose import FIELD, pose
from reidbench.cohorts.sources.phantom.randomness import generator
from reidbench.cohorts.sources.phantom.scene import Scene
from reidbench.cohorts.sources.phantom.table import as_drawn, table
from reidbench.source_version import code_version


class Phantom(Dataset):
    """A generated chest X-ray cohort: it contains no real patient, and every run on it can be repeated anywhere."""

    name: ClassVar[str] = "phantom"
    chunk: ClassVar[int] = 32
    generated: ClassVar[bool] = True

    version: int = Field(
        2,
        ge=1,
        le=2,
        description="of the recipe: 2 has patients more alike, visits more different, and images nearer to real ones",
    )
    patients: int = Field(
        600, ge=10, le=99_999, description="how many patients; adding some changes none of the others"
    )
    seed: int = Field(0, ge=0, description="another seed gives other patients")
    images_per_patient: int = Field(24, ge=2, le=200, description="most images of one patient")
    val: float = Field(0.12, ge=0, le=0.4, description="share of patients in the validation split")
    test: float = Field(0.24, ge=0, le=0.4, description="share of patients in the test split")
    first_patient: int = Field(
        0, ge=0, le=99_999, description="number of the first patient: two cohorts of one seed share those in both"
    )
    prefix: str = Field(
        "p",
        pattern=r"^[A-Za-z][A-Za-z-]{0,15}$",
        description="begins the patients' identifiers; no pixel depends on it",
    )
    visits: Literal["all", "even", "odd"] = Field(
        "all", description="which visits: even and odd ones of the same patients share no image"
    )

    def source(self) -> Source:
        """The table, made in a moment."""
        numbers = range(self.first_patient, self.first_patient + self.patients)
        frame = table(self.seed, numbers, self.images_per_patient, self.val, self.test, self.prefix, self.visits)
        return Source(frame, CHESTXRAY14_LABELS, (f"generated images: phantom v{self.version}, seed {self.seed}",))

    def most_images(self) -> int:
        """As many as there are if each patient has the most."""
        return self.patients * self.images_per_patient

    def read(self, rows: pd.DataFrame, size: int) -> NDArray[np.uint8]:
        """Images of the rows, (len(rows), size, size) uint8: each depends on its row alone, not on its neighbours."""
        if not len(rows):
            return np.empty((0, size, size), np.uint8)
        rows = as_drawn(rows, self.prefix)
        # What follows imports torch, which the table does without.
        if self.version == 2:
            from reidbench.cohorts.sources.phantom.second import recipe

            return recipe.read(rows, self.seed, self.worn(rows), size)
        from reidbench.cohorts.sources.phantom.exposure import render

        scene, v = self.scene(rows, size)
        grain = np.stack([generator(self.seed, "grain", i).standard_normal((size, size)) for i in rows["image_id"]])
        return render(scene, v, size, grain)

    def scene(self, rows: pd.DataFrame, size: int) -> tuple[Scene, dict[str, NDArray[np.float64]]]:
        """Posed bodies of rows of version 1, as fine as images of ``size`` pixels need, and what their visits do."""
        rows = as_drawn(rows, self.prefix)
        ids = list(zip(rows["patient_id"], rows["image_id"]))
        normals, uniforms = (np.stack(draws) for draws in zip(*[visits.draw(self.seed, image) for _, image in ids]))
        v = visits.visit(normals, uniforms, rows["view"].to_numpy() == "AP")
        places = np.stack([findings.draw(self.seed, *pair) for pair in ids])
        disease = findings.Disease({label: rows[label].to_numpy() for label in CHESTXRAY14_LABELS}, places)
        a = disease.change(anatomy(self.draws(rows), rows["sex"].to_numpy() == "M", rows["age"].to_numpy(float)))
        detail = FIELD / size
        scene = body(a, v, disease, detail)
        things = np.stack([foreign.draw(self.seed, *pair) for pair in ids])
        foreign.add(scene, a, self.worn(rows), things, detail)
        scene = pose(scene, v)
        foreign.letter(scene, FIELD * np.exp(v["zoom"]), v["u"])
        return scene, v

    def draws(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """What makes each row's patient in version 1: (len(rows), DRAWS) standard normal numbers, its own."""
        return np.stack([draw(self.seed, patient) for patient in as_drawn(rows, self.prefix)["patient_id"]])

    def fingerprint(self, frame: pd.DataFrame) -> str:
        """The phantom's version and that of its code: pixels that other statements made are not taken for these."""
        return f"phantom v{self.version} {code_version(__name__)}"

    def worn(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """What is seen: nothing where the table has no foreign material, electrodes where it has some not drawn."""
        values = zip(rows["patient_id"], rows["image_id"], rows["view"], rows["days"])
        kinds = np.stack([foreign.worn(self.seed, p, i, view == "AP", float(days)) for p, i, view, days in values])
        wanted = rows["foreign_material"].to_numpy() == 1
        kinds[~wanted] = False
        kinds[wanted & ~kinds.any(axis=1), foreign.KINDS.index("electrodes")] = True
        return kinds
