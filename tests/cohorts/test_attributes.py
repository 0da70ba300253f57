"""Attributes of a table's rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reidbench.cohorts.attributes import attributes_of


def test_sex_and_age_bands_with_what_is_unknown():
    frame = pd.DataFrame({"sex": ["F", "M", None], "age": [17.9, np.nan, 60]})
    sex, age = attributes_of(frame)
    assert (sex.name, sex.values, age.values) == ("sex", ("F",), ("under 18", "18 to 39", "40 to 59", "60 and over"))
    np.testing.assert_array_equal(sex.truth, [[1], [0], [np.nan]])
    np.testing.assert_array_equal(age.truth, [[1, 0, 0, 0], [np.nan] * 4, [0, 0, 0, 1]])
    assert age.known.tolist() == [True, False, True]
    np.testing.assert_array_equal(age.only(("60 and over",)).truth, [[0], [np.nan], [1]])


def test_a_table_without_columns_has_no_attribute():
    assert attributes_of(pd.DataFrame({"patient": [0, 1]})) == ()
