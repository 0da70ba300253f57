"""A comparison as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite, isnan
from typing import Any

from reidbench.report.figures.paired.compare import Change, Comparison
from reidbench.report.text.markup.markdown import Markdown, markdown_table, plain_markdown

HEADINGS = {
    "regression": "regression",
    "unclear": "no regression shown, but a change past the tolerance",
    "ok": "no regression",
}
RULE = (
    "A figure regresses where it moves for the worse by more than the tolerance and the 95 % interval of the move "
    "excludes zero; *unclear*: past the tolerance, and chance may explain it."
)


def as_text(comparisons: Sequence[Comparison]) -> str:
    """A few lines per defense, at most 100 columns wide except for names and notes."""
    lines: list[str] = []
    for comparison in comparisons:
        lines += [f"{comparison.label} ({_runs(comparison)}): {HEADINGS[comparison.verdict]}"]
        for change in comparison.changes:
            moved = f"{change.base:.3f} → {change.new:.3f}"
            lines.append(f"  {change.figure:<29} {moved}  {_worse(change):<27} {_verdict(change)}")
        lines += [f"  {note}" for note in comparison.notes]
    return "\n".join(lines)


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    """A summary for a pull request: the verdict first, then one table per defense."""
    names = {verdict: [c for c in comparisons if c.verdict == verdict] for verdict in HEADINGS}
    title = next(f"{HEADINGS[verdict]}" for verdict in HEADINGS if names[verdict])
    count = f"{len(comparisons)} defense{'s' if len(comparisons) > 1 else ''} compared"
    failed = f": {len(names['regression'])} of {count}" if names["regression"] else f" in {count}"
    lines = [f"## reidbench: {title}{failed}", ""]
    for comparison in comparisons:
        head = ("figure", "BASE", "NEW", Markdown("for the worse [interval]"), "tolerance", "verdict")
        lines += [
            f"### {plain_markdown(comparison.label)}: {HEADINGS[comparison.verdict]}",
            "",
            *markdown_table(head, map(_row, comparison.changes)),
        ]
        lines += ["", f"- {_runs(comparison)}", *(f"- {plain_markdown(note)}" for note in comparison.notes), ""]
    lines += [RULE]
    return "\n".join(lines) + "\n"


def _row(change: Change) -> list[str]:
    sides = [
        f"{value:.3f}{f' ({where})' if where else ''}" for value, where in zip((change.base, change.new), change.where)
    ]
    regressed = change.verdict == "regression" and change.judged
    verdict = Markdown(f"**{change.verdict}**") if regressed else _verdict(change)
    return [change.figure, *sides, Markdown(_worse(change)), f"{change.tolerance:g}", verdict]


def as_data(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """The same as JSON-ready data; what is undefined is null."""
    return [
        {
            "defense": comparison.label,
            "verdict": comparison.verdict,
            "seeds": [[base.record.seed, new.record.seed] for base, new in comparison.match.seeds],
            "records": [[base.record.id, new.record.id] for base, new in comparison.match.seeds],
            "changes": [{**_finite(asdict(change)), "verdict": change.verdict} for change in comparison.changes],
            "notes": list(comparison.notes),
        }
        for comparison in comparisons
    ]


def _finite(data: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in data.items()}


def _runs(comparison: Comparison) -> str:
    record = comparison.match.seeds[0][0].record
    seeds = [base.record.seed for base, _ in comparison.match.seeds]
    return (
        f"{record.dataset.title} at {record.dataset.size}², preset {record.preset}, "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    )


def _worse(change: Change) -> str:
    interval = "[unknown]" if isnan(change.low) else f"[{change.low:+.3f}, {change.high:+.3f}]"
    return f"{change.worse:+.3f} {interval}{'' if change.paired else ' unpaired'}"


def _verdict(change: Change) -> str:
    return change.verdict if change.judged else f"{change.verdict}, not judged"
