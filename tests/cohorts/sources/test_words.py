"""Fields of tables: words for nothing, identifiers in one form, numbers, dates, findings."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from reidbench.cohorts.sources.tables import columns, days
from reidbench.cohorts.sources.tables.missing import identifiers, missing, studies
from reidbench.errors import ReidbenchError

_NOTHING = (
    "|nan|NaN|-nan|NA|N/A|#N/A|#NA|<NA>|n.a.|NULL|null|(null)|[null]|<null>|none|None|nil|NaT|\\N|"
    "unknown|Unknown.|UNK|(unknown)|*unknown*|undefined|missing|MISSING|not available|Not_Available|"
    "not-available|not recorded|N/D|n.d.|nd|s/d|sin dato|Sin Datos|desconocido|DESCONOCIDA|não informado|"
    "nao informado|não disponível|unbekannt|keine Angabe|k.A.|inconnue|non renseigné|sconosciuto|"
    "onbekend|okänd|неизвестно|нет данных|未知|不明|anonymous|Anonymous|ANONYMIZED|anonymized|anon|?|??|-|--|"
    '—|.|…|*|/|xxx|XXXX|1.#QNAN|#VALUE!|#REF!|TBD|blank|(blank)|empty|\u200b|\ufeff|\xa0|\'|=""|＃Ｎ／Ａ|'
    "unspecified|not applicable|no data"
)
_SOMETHING = (
    "0|-1|00|p1|Ann|Nana|Null-Meier|Nobody|NA12|N1|x|xx|Unknowns|k1|none1|A|-1.5|Missing Link|nan0|no|yes|1.0|é|王|007"
)


@pytest.mark.parametrize("text", _NOTHING.split("|"))
def test_words_for_nothing(text: str) -> None:
    assert missing(pd.Series([text, None])).all()
    assert identifiers(pd.Series([text])).isna().all()


@pytest.mark.parametrize("text", _SOMETHING.split("|"))
def test_words_for_something(text: str) -> None:
    assert not missing(pd.Series([text])).any()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('="0012"', "0012"),
        ("'0012", "0012"),
        ('"0012"', "0012"),
        ("００１２", "0012"),
        ("A\u20111", "A-1"),
        ("A\u20131", "A-1"),
        ("A\u22121", "A-1"),
        ("A\xa01", "A 1"),
        ("A  1", "A 1"),
        ("\ufeffA1", "A1"),
        ("A\u200b1", "A1"),
        ("A1\u200e", "A1"),
        ("A\xad1", "A1"),
        ("Mu\u0308ller", "Müller"),
        ("ﬁ-1", "fi-1"),
        ("Q'1", "Q'1"),
        ("x=1", "x=1"),
    ],
)
def test_identifiers_that_look_alike_are_one(text: str, meant: str) -> None:
    assert identifiers(pd.Series([text, meant])).tolist() == [meant, meant]


def test_studies_are_numbers() -> None:
    np.testing.assert_array_equal(studies(pd.Series(["1.2.3", "?", "1.2.4", "1.2.3"])), [0, np.nan, 1, 0])


@pytest.mark.parametrize("text", ["inf", "-inf", "Infinity", "1e999", "1_000", "0x10", "1,5", "1.2.3", "--1", "one"])
def test_what_is_no_number(text: str) -> None:
    assert columns.numbers(pd.Series([text])).isna().all()


def test_numbers() -> None:
    text = pd.Series(["1", "-2.5", "+3", ".5", "1e3", "\u22127", "４", '="5"', None, "?"])
    np.testing.assert_array_equal(columns.numbers(text), [1, -2.5, 3, 0.5, 1000, -7, 4, 5, np.nan, np.nan])


def day(*text: str | None) -> np.ndarray:
    column = pd.Series(text, name="days", dtype=object)
    return days.day_numbers(column, list(range(2, 2 + len(text))), "here").to_numpy()


@pytest.mark.parametrize(
    "text",
    [
        *("2020-03-01", "2020/03/01", "2020.03.01", "20200301", "2020-3-1", "20200301.0", "2020-03-01T23:59:59Z"),
        *(
            "2020-03-01 7:05",
            "2020-03-01 12:00:00.125+01:00",
            "20200301123059",
            "20200301123059.25+0100",
            "２０２００３０１",
        ),
        *("2020\u201103\u201101", '="20200301"', " 2020-03-01 ", "2020-03-01 11:00 PM", "20200301 120000"),
    ],
)
def test_dates_of_any_form(text: str) -> None:
    np.testing.assert_array_equal(np.diff(day("2020-02-28", text)), [2])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2020-02-30",
            "2020-13-01",
            "20201301",
            "2020-03-01 banana",
            "2020-03-01T25:00",
            "2020-03-01 12:61",
            "20200301240000",
        ),
        *(
            "2020-03-01-05",
            "01.03.2020",
            "03/01/2020",
            "2020-03",
            "1.3.20",
            "inf",
            "-inf",
            "1e9",
            "1_000",
            "0001-01-01",
            "1900-01-01",
        ),
        *("9999-12-31", "18500101", "00000000", "2020-03.01", "monday", "1583020800"),
    ],
)
def test_what_is_neither_days_nor_a_date_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ReidbenchError, match=rf"here, line 3: days {re.escape(repr(text))} is not a number of days"):
        day("", text)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (("2014", "2015"), "years"),
        (("2014.5", "2016"), "years"),
        (("200131", "200215"), "dates with years of two digits"),
        (("310120", "150220"), "dates with years of two digits"),
        (("013120", "021520"), "dates with years of two digits"),
        (("990101", "200215", "209999"), "dates with years of two digits"),
        (("202001", "202112"), "months"),
    ],
)
def test_numbers_that_are_no_days_are_refused(values: tuple[str, ...], what: str) -> None:
    with pytest.raises(ReidbenchError, match=f"look like {what}"):
        day(*values)


@pytest.mark.parametrize(
    "values",
    [
        ("0", "2014"),
        ("0", "32"),
        ("1", "200131", "5"),
        ("737425", "738001"),
        ("43861", "43999"),
        ("-3", "0.5"),
        ("100", "900"),
    ],
)
def test_numbers_that_may_be_days_are_days(values: tuple[str, ...]) -> None:
    np.testing.assert_array_equal(day(*values), [float(value) for value in values])


def test_published_dates_are_counted() -> None:
    found, read = days.dates(pd.Series(["20200301", "2020.03.02", "1.3.20", "", None, "20201301", "1.3.20"]))
    np.testing.assert_array_equal(found - found[0], [0, 1, np.nan, np.nan, np.nan, np.nan, np.nan])
    assert (read.column, read.known, read.unknown, read.strange) == ("days", 2, 2, {"1.3.20": 2, "20201301": 1})
    found, read = days.offsets(pd.Series(["3", "inf", "-2", None]))
    np.testing.assert_array_equal(found, [3, np.nan, -2, np.nan])
    assert read.strange == {"inf": 1}


def test_findings_in_words() -> None:
    text = pd.Series(["1", "0.0", "-1", "uncertain", "Yes", "absent", "TRUE", "?", None, "Uncertain ", "unknown"])
    expected = np.array([1, 0, -1, -1, 1, 0, 1, np.nan, np.nan, -1, np.nan])
    for option, meant in (("zeros", 0), ("ones", 1), ("unknown", np.nan)):
        np.testing.assert_array_equal(columns.findings(text, option), np.where(expected == -1, meant, expected))
    assert columns.findings_not_understood(pd.Series(["1", "perhaps", "", "inf"])).tolist() == [
        False,
        True,
        False,
        True,
    ]


def test_words_are_read_however_they_are_written() -> None:
    assert columns.sexes(pd.Series(["Ｍ", "f\u200b", '="F"', " male"])).tolist() == ["M", "F", "F", "M"]
    assert columns.views(pd.Series(["ＰＡ", "A\u200bP", "AP\xa0supine"])).tolist() == ["PA", "AP", "AP"]
    np.testing.assert_array_equal(columns.years(pd.Series(["４６", "46\xa0years", '="46"'])), [46, 46, 46])


def test_an_m_that_may_be_a_woman_is_not_understood() -> None:
    assert columns.sexes(pd.Series(["H", "M", "H"])).isna().all()
    assert columns.understood("sex", pd.Series(["V", "M"]), columns.sexes(pd.Series(["V", "M"]))).strange == {
        "V": 1,
        "M": 1,
    }
    assert columns.sexes(pd.Series(["H", "F", "M"])).tolist()[1:] == ["F", "M"]
