"""CSV tables: every line is counted, and nothing is swallowed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from reidbench.cohorts.notes import with_names
from reidbench.cohorts.sources.tables.csv_table import read_table
from reidbench.errors import ReidbenchError


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, *columns: str) -> list[list[str]]:
    return read_table(path, columns, where="x").frame.fillna("?").to_numpy().tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,2,3\n1,two, three,3\n", "line 3 has 4 fields where the header has 3"),
        ("a,b,c\n1,2\n", "line 2 has 2 fields where the header has 3"),
        ("a;b;c\n1;2;3;4\n", "line 2 has 4 fields where the header has 3"),
        ('a,b,c\n1,2,"3\n4,5,6\n7,8,9\n', "row that begins in line 2: a quote is opened and not closed"),
        ('a,b,c\r1,"x,3\r4,y",6\r', "is a quote in it not closed"),
        ('a,b,c\n1,"x,3\n4,y",6\n', "line 2: the field 'b' spans lines 2 to 3: is a quote in it not closed"),
        ('a,b,c\n1,"x,3\n7,8,9\n4,y",6\n', "line 2: the field 'b' spans lines 2 to 4"),
        ('a,b,c\n"1\n2",2,3\n', "line 2: the field 'a' spans lines 2 to 3"),
        ('a,b,c\n1,"2"x,3\n', "row that begins in line 2"),
        ("a,b\n1,2\n", "has no column 'c'"),
        ("a,a,c\n1,2,3\n", "has the column 'a' 2 times"),
        ("", "no header"),
        ("\n\n", "no header"),
        (b"a,b,c\n1,2,3\n1,M\xfcller,3\n", "line 3 is not in UTF-8"),
        (b"a,b,c\n1,2\x00,3\n", "null characters"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ReidbenchError, match=message):
        read(write(tmp_path / "t.csv", text), "a", "c")


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c\n 1 ,x,3\n4,,\n",
        "a,b,c,\n1,x,3,\n4,,\n",  # A separator too many, in the header and in some lines.
        "a,b,c\n\n1,x,3\n,,\n4,,\n",  # Lines without anything.
        "a;b;c\n1;x;3\n4;;\n",
        "a\tb\tc\n1\tx\t3\n4\t\t\n",
        "a,b,c\r\n1,x,3\r\n4,,\r\n",
        b"\xef\xbb\xbfa,b,c\n1,x,3\n4,,\n",
        "a,b,c\n1,x,3\n4,,\n".encode("utf-16"),
        gzip.compress(b"a,b,c\n1,x,3\n4,,\n", mtime=0),
        'a,"b",c\n"1",x,"3"\n4,"",\n',
    ],
)
def test_forms_of_one_table(tmp_path: Path, text: str | bytes) -> None:
    assert read(write(tmp_path / "t.csv", text), "c", "a", "b") == [["3", "1", "x"], ["?", "4", "?"]]


def test_a_text_of_several_lines_is_named_and_rows_keep_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'a,note,c\n1,"Fever, cough.\nBetter, soon, we hope.",3\n4,ok,6\n')
    table = read_table(path, ["a", "c"], where="x")
    assert table.lines == [2, 4]
    assert table.notes == ("1 fields of the table span several lines",)
    assert with_names(table.notes[0]).endswith(": 'note', lines 2 to 3")
    assert table.frame["c"].tolist() == ["3", "6"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("sep=;\npath;who\na;1\nb;2\n", id="told"),
        pytest.param("\ufeffSEP=;\r\npath;who\r\na;1\r\nb;2\r\n", id="with a mark"),
        pytest.param('"sep=;"\npath;who\na;1\nb;2\n', id="in quotes"),
        pytest.param("sep=,\npath,who\na,1\nb,2\n", id="comma"),
        pytest.param("sep=\t\npath\twho\na\t1\nb\t2\n", id="tab"),
        pytest.param("path|who\na|1\nb|2\n", id="bars"),
        pytest.param("path;who;size, in cm\na;1;\nb;2;\n", id="a comma in the header"),
        pytest.param('path;"who";"a,b,c,d"\na;1;\nb;2;\n', id="commas in a quoted header"),
    ],
)
def test_separators_are_told_or_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    table = read_table(tmp_path / "a.csv", ("path", "who"), where="x")
    assert table.frame.to_numpy().tolist() == [["a", "1"], ["b", "2"]]
    first = 3 if "sep" in text.lower() else 2
    assert table.lines == [first, first + 1]


def test_a_line_behind_the_told_separator_keeps_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\npath;who\na;1\nb;2;3\n")
    with pytest.raises(ReidbenchError, match="line 4 has 3 fields where the header has 2"):
        read_table(tmp_path / "a.csv", ("path", "who"), where="x")
