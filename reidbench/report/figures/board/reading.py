"""Reads thousands of records for leaderboards."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from reidbench.records.schema import Record
from reidbench.records.store import read_brief, read_distinct, record_paths
from reidbench.report.figures.controls import CONTROLS
from reidbench.report.figures.paired.matching import Kept


def read_for_boards(places: Iterable[Path]) -> list[Kept]:
    """As :func:`read_kept`, without what only the page of a record shows; :meth:`Kept.whole` reads that.

    Runs without a defense and controls are whole: they are compared figure by figure. The records are taken out of the
    garbage collection: looking through their objects again and again would take longer than making the boards.

    Args:
        places: files and folders (``*.json`` directly in them).

    Raises:
        ReidbenchError: a file is not a record, has a name that is not the record's, or two different records have one
            id.
    """
    read = partial(read_brief, whole=_compared_whole)
    collects = gc.isenabled()
    gc.disable()
    try:
        kept = [Kept(record, path) for record, path in read_distinct(record_paths(list(places)), read)]
        gc.freeze()
    finally:
        if collects:
            gc.enable()
    return kept


def _compared_whole(record: Record) -> bool:
    return record.defense.kind == "none" or record.defense.name in CONTROLS
