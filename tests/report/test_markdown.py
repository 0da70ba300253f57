"""Markdown of plugins' names and of figures: what is escaped, what is kept, and tables that stay tables."""

from __future__ import annotations

import pytest

from reidbench.report.text.markup.markdown import Markdown, markdown_table, plain_markdown


def test_a_table_escapes_text_and_keeps_what_is_markdown_already():
    lines = markdown_table(
        ("name", Markdown("*seed*"), "mAP@R"), [("a|b_c", Markdown("[0](a|b.json)"), "0.912 [0.883, 0.941]")], right=1
    )
    assert lines == [
        "| name | *seed* | mAP@R |",
        "| --- | --- | ---: |",
        r"| a\|b\_c | [0](a\|b.json) | 0.912 [0.883, 0.941] |",
    ]


def test_a_bar_that_is_escaped_already_is_not_escaped_twice():
    (_, _, row) = markdown_table(("a",), [(plain_markdown("x|y"),)])
    assert row == r"| x\|y |"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[0.12, 0.91](elsewhere)", r"\[0.12, 0.91\](elsewhere)"),
        ("[0.12, 0.91][note]", r"\[0.12, 0.91\]\[note\]"),
        ("{'alpha': [2, 2]}", r"{'alpha': \[2, 2\]}"),
        ("by @somebody", "by &#64;somebody"),
        ("a@b.example", "a&#64;b.example"),
        ("two\nlines", "two lines"),
    ],
)
def test_only_an_interval_keeps_its_brackets_and_only_a_measure_its_at_sign(text, shown):
    assert plain_markdown(text) == shown
