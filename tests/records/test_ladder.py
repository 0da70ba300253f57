"""The ladder and its names."""

from __future__ import annotations

import pytest

from reidbench import ReidbenchError
from reidbench.records.ladder import Rung, full_ladder, parse_ladder


def test_the_ladder_is_every_knowledge_with_every_linkage():
    assert [str(rung) for rung in full_ladder()] == [
        "ignorant/original-released",
        "ignorant/released-released",
        "inverting/original-released",
        "inverting/released-released",
        "informed/original-released",
        "informed/released-released",
    ]
    assert parse_ladder([]) == full_ladder()


def test_names_choose_rungs_in_the_ladders_order():
    assert parse_ladder(["informed"]) == full_ladder()[4:]
    assert parse_ladder(["released-released", "ignorant/original-released"]) == (
        Rung("ignorant", "original-released"),
        Rung("ignorant", "released-released"),
        Rung("inverting", "released-released"),
        Rung("informed", "released-released"),
    )


def test_an_unknown_rung_gets_a_hint():
    with pytest.raises(ReidbenchError, match="did you mean 'informed'"):
        parse_ladder(["infromed"])
