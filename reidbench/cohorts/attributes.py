"""Attributes of a patient that an image may tell: sex, and the age band."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Upper ends of the age bands in years, each up to the next one's; the last band has no end.
BANDS = (18, 40, 60)


@dataclass(frozen=True, eq=False)
class Attribute:
    """One attribute of N images.

    Attributes:
        name: ``sex`` or ``age band``.
        values: the values that are told apart, one at a time against all others.
        truth: (N, V) 1 for the image's value, 0 for others, NaN throughout where it is unknown.
    """

    name: str
    values: tuple[str, ...]
    truth: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) the images of which it is known."""
        return np.asarray(~np.isnan(self.truth).any(axis=1))

    def only(self, values: tuple[str, ...]) -> Attribute:
        """The same with some of its values."""
        return Attribute(self.name, values, self.truth[:, [self.values.index(value) for value in values]])


def attributes_of(frame: pd.DataFrame) -> tuple[Attribute, ...]:
    """The attributes of a table's rows; those of which the table has no column are left out."""
    found = []
    if "sex" in frame:
        sex = frame["sex"]
        female = np.where(sex.isna(), np.nan, (sex == "F").astype(np.float64))
        found.append(Attribute("sex", ("F",), female[:, None]))
    if "age" in frame:
        age = frame["age"].to_numpy(dtype=np.float64)
        bands = [-np.inf, *BANDS, np.inf]
        within = np.stack([(age >= low) & (age < high) for low, high in pairwise(bands)], axis=1)
        truth = np.where(np.isnan(age)[:, None], np.nan, within)
        names = [f"under {BANDS[0]}", *(f"{low} to {high - 1}" for low, high in pairwise(BANDS))]
        found.append(Attribute("age band", (*names, f"{BANDS[-1]} and over"), truth))
    return tuple(found)
