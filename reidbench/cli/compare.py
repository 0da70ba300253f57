"""`reidbench compare`: the regression gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.plugins import AsJson


def compare(
    base: Annotated[Path, typer.Argument(help="The record, or the folder of records, to compare with.")],
    new: Annotated[Path, typer.Argument(help="The record or folder to judge.")],
    max_auc_rise: Annotated[float, typer.Option(min=0, max=1, help="How far a worst-case AUC may rise.")] = 0.02,
    max_map_rise: Annotated[float, typer.Option(min=0, max=1, help="How far the worst-case mAP@R may rise.")] = 0.02,
    max_utility_drop: Annotated[
        float, typer.Option(min=0, max=1, help="How far diagnostic macro AUC may fall.")
    ] = 0.02,
    every_rung: Annotated[
        bool, typer.Option("--every-rung", help="Judge the largest rise of one rung too, not the worst cases alone.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail also where a change past the tolerance may be chance.")
    ] = False,
    markdown: Annotated[
        str | None, typer.Option(help="Write a summary for a pull request to this file; - for standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Exit 1 where a defense got weaker by more than the tolerance and more than chance, 2 where none can tell."""
    from reidbench.errors import ReidbenchError
    from reidbench.report.figures.compare import Tolerances
    from reidbench.report.figures.compare import compare as compare_places
    from reidbench.report.text.compare_page import as_data, as_markdown, as_text
    from reidbench.report.text.leaderboard import write

    if markdown is not None and not Path(markdown).name:
        raise ReidbenchError(f"--markdown {markdown!r}: the name of a file is needed, or - for standard output")
    limits = Tolerances(max_auc_rise, max_map_rise, max_utility_drop)
    comparisons = compare_places(base, new, limits, every_rung=every_rung)
    if markdown not in (None, "-"):
        path = Path(str(markdown))
        write({path.name: as_markdown(comparisons)}, path.parent)
    if as_json:
        typer.echo(json.dumps(as_data(comparisons), indent=1))
    else:
        typer.echo(as_markdown(comparisons).rstrip() if markdown == "-" else as_text(comparisons))
    failing = {"regression", "unclear"} if strict else {"regression"}
    raise typer.Exit(1 if failing & {comparison.verdict for comparison in comparisons} else 0)
