"""`reidbench compare`: the regression gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.plugins import AsJson


def compare(
    base: Annotated[Path, typer.Argument(help="The record, or the folder of records, to compare with.")],
    new: Annotated[Path, typer.Argument(help="The record, or the folder of records, to check for a regression.")],
    max_auc_rise: Annotated[
        float, typer.Option(min=0, max=1, help="Largest accepted rise of the AUC of a strongest attack.")
    ] = 0.02,
    max_map_rise: Annotated[
        float, typer.Option(min=0, max=1, help="Largest accepted rise of the mAP@R of the strongest attack.")
    ] = 0.02,
    max_utility_drop: Annotated[
        float, typer.Option(min=0, max=1, help="Largest accepted fall of the diagnostic macro AUC.")
    ] = 0.02,
    every_rung: Annotated[
        bool,
        typer.Option(
            "--every-rung", help="Also check the largest rise within one rung, besides those of the strongest attacks."
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail also if a change beyond the tolerance may be due to chance.")
    ] = False,
    markdown: Annotated[
        str | None, typer.Option(help="Write a summary for a pull request to this file (- for standard output).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Exit 1 if a defense got weaker beyond the tolerance and beyond chance, 2 if nothing can be compared."""
    from reidbench.errors import ReidbenchError
    from reidbench.files import write_file
    from reidbench.report.figures.paired.compare import Tolerances
    from reidbench.report.figures.paired.compare import compare as compare_places
    from reidbench.report.text.compare_page import as_data, as_markdown, as_text

    if markdown is not None and not Path(markdown).name:
        raise ReidbenchError(f"--markdown {markdown!r}: give the name of a file, or - for standard output")
    limits = Tolerances(max_auc_rise, max_map_rise, max_utility_drop)
    comparisons = compare_places(base, new, limits, every_rung=every_rung)
    if markdown not in (None, "-"):
        write_file(Path(str(markdown)), as_markdown(comparisons))
    if as_json:
        typer.echo(json.dumps(as_data(comparisons), indent=1))
    else:
        typer.echo(as_markdown(comparisons).rstrip() if markdown == "-" else as_text(comparisons))
    failing = {"regression", "unclear"} if strict else {"regression"}
    raise typer.Exit(1 if failing & {comparison.verdict for comparison in comparisons} else 0)
