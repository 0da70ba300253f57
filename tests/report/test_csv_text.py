"""Cells of CSV files: figures as they are meant, and texts that no spreadsheet computes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reidbench.report.text.markup.csv_text import csv_text, plain_cell


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0.7 - 0.6, 0.1),
        (-0.025843620000000067, -0.02584362),
        (0.9999999181834367, 0.99999992),
        (np.float64(1 / 3), 0.33333333),
        (1234567891.0, 1234567900.0),
        (0.0, 0.0),
        (math.inf, math.inf),
    ],
)
def test_a_float_has_the_digits_of_a_record(value, cell):
    assert plain_cell(value) == cell
    assert repr(plain_cell(value)) == repr(cell)


def test_what_is_no_float_stays_as_it_is():
    assert csv_text(["a", "=b"], [[True, None], [123456789012, "=1+1"], ["-", 5]]) == (
        "a,'=b\nTrue,\n123456789012,'=1+1\n'-,5\n"
    )
