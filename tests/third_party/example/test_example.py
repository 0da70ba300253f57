"""The package's own tests, run in the environment that it is installed into."""

import pytest
from reidbench_example import Fade


def test_keeps_what_a_defense_promises(reidbench):
    reidbench.check_defense("example_fade")
    reidbench.check_defense(Fade, {"strength": 1.0})


def test_is_no_weaker_than_it_was(reidbench):
    (found,) = reidbench.assert_no_regression("strong", "strong")
    assert found.verdict == "ok"


def test_a_weaker_one_is_caught(reidbench):
    with pytest.raises(AssertionError, match="regression"):
        reidbench.assert_no_regression("strong", "weak", max_auc_rise=0.02)
