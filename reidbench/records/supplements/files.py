"""Supplements on disk: beside their record, written whole or not at all, and read like records: within bounds."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from reidbench.errors import ReidbenchError
from reidbench.files import content_digest, write_file
from reidbench.records.form.file_form import file_text, with_trainings
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX, RunScores, read_scores
from reidbench.records.store import ENDING
from reidbench.records.supplements.content import (
    ATTACKS,
    SUPPLEMENT_VERSION,
    Source,
    Supplement,
    misfit,
    source_of,
    supplied,
)

#: The largest file that is read as a supplement.
MAX_BYTES = 2_000_000
#: The ending of the scores of a supplement.
SCORES = ENDING.removesuffix(".json") + SUFFIX
# Before the names of scores of undefended images; no attacker's name has a colon.
_UNDEFENDED = "undefended:"
# The fields of scores that are by attack.
_BY_ATTACK = ("verification", "average_precision", "ranks", "accepted", "validation", "gallery_gains")


def supplement_path(supplement: Supplement, folder: Path) -> Path:
    """Where a supplement lies."""
    return folder / f"{supplement.stem}{ENDING}"


def supplement_text(supplement: Supplement) -> str:
    """A supplement as its file has it: in the form of records."""
    return file_text(supplement.model_dump(mode="json", by_alias=True), ATTACKS)


def write_supplement(supplement: Supplement, folder: Path) -> Path:
    """Writes a supplement, whole or not at all.

    Raises:
        ReidbenchError: the file cannot be written, or something lies there already.
    """
    path = supplement_path(supplement, folder)
    if path.exists():
        raise ReidbenchError(f"{path}: it is there already")
    return write_file(path, supplement_text(supplement), what="the supplement", durable=True)


def read_supplement(path: Path) -> Supplement:
    """Reads one supplement, which must lie under the name that its contents give it.

    Raises:
        ReidbenchError: the file is missing, no JSON, of a later version, no supplement, or has another name.
    """
    found = _supplement(path)
    if path.name != f"{found.stem}{ENDING}":
        raise ReidbenchError(f"{path}: this is the supplement {found.stem}{ENDING}; give it this name")
    return found


def _supplement(path: Path) -> Supplement:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ReidbenchError(f"{path}: no supplement: larger than {MAX_BYTES:,} bytes")
    try:
        data = from_json(content)
    except ValueError as error:
        raise ReidbenchError(f"{path}: no valid JSON: {error}") from error
    version = data.get("supplement_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SUPPLEMENT_VERSION:
        raise ReidbenchError(
            f"{path}: supplement version {version} is newer than this reidbench reads ({SUPPLEMENT_VERSION})"
        )
    try:
        return Supplement.model_validate(with_trainings(data, ATTACKS))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReidbenchError(f"{path}: no supplement: {where}{': ' if where else ''}{first['msg'].lower()}") from error
    except ReidbenchError as error:
        raise ReidbenchError(f"{path}: no supplement: {error}") from error
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ReidbenchError(f"{path}: no supplement: {type(error).__name__}: {error}") from error


def both_scores(released: RunScores, undefended: RunScores | None) -> RunScores:
    """The scores of a release and of undefended images as one file has them: they are on the same pairs."""
    if undefended is None:
        return released
    named: dict[str, Any] = {}
    for part in _BY_ATTACK:
        others = {f"{_UNDEFENDED}{name}": value for name, value in getattr(undefended, part).items()}
        named[part] = getattr(released, part) | others
    return replace(released, **named)


def one_side(scores: RunScores, *, undefended: bool) -> RunScores:
    """The scores of the release, or of the undefended images, of a supplement's file."""

    def chosen(named: dict[str, Any]) -> dict[str, Any]:
        return {
            name.removeprefix(_UNDEFENDED): value
            for name, value in named.items()
            if name.startswith(_UNDEFENDED) == undefended
        }

    named: dict[str, Any] = {part: chosen(getattr(scores, part)) for part in _BY_ATTACK}
    return replace(scores, **named)


def scores_path(supplement: Path) -> Path:
    """Where the scores of a supplement lie."""
    return supplement.with_name(supplement.name.removesuffix(ENDING) + SCORES)


def scores_of(source: Source) -> RunScores | None:
    """The scores behind a supplied attack; None if none were kept or the file is missing.

    Raises:
        ReidbenchError: the file holds other scores.
    """
    path = scores_path(source.path)
    if source.scores_sha256 is None or not path.is_file():
        return None
    found = path.stat()
    read = _scores(path, source.scores_sha256, (found.st_ino, found.st_size, found.st_mtime_ns))
    return one_side(read, undefended=source.undefended)


@lru_cache(maxsize=4)
def _scores(path: Path, sha256: str, file: tuple[int, int, int]) -> RunScores:
    return read_scores(path, sha256)


@dataclass(frozen=True)
class Beside:
    """Supplements beside records.

    Attributes:
        records: the records that were asked for, in their order, with the attacks of their supplements.
        refused: one line for each supplement that is left out, with the reason.
    """

    records: list[Record]
    refused: list[str]


def read_beside(records: Sequence[tuple[Record, Path]], places: Sequence[Path] = (), *, brief: bool = False) -> Beside:
    """Adds to records the attacks of the supplements that lie beside them.

    A supplement that cannot be read, or that does not fit its record, is left out and named. So is one whose record
    does not lie beside it, if its folder is one of ``places``. Each folder is listed once.

    Args:
        records: with their paths.
        places: folders of which every supplement was meant to be read.
        brief: leave out what tables don't show.
    """
    places = [place for place in places if place.is_dir()]
    folders = dict.fromkeys([*(path.parent for _, path in records), *places])
    by_stem = {record.stem: (record, path) for record, path in records}
    found: dict[str, dict[str, tuple[Supplement, Path]]] = defaultdict(dict)
    refused: list[str] = []
    for path in (path for folder in folders for path in _supplements_in(folder)):
        # The record's name may hold dots, and so may the attacker's behind it.
        dots = [at for at, letter in enumerate(path.name) if letter == "."]
        stem = next((path.name[:at] for at in dots if path.name[:at] in by_stem), None)
        if stem is None and path.parent not in places:
            continue  # Of a record that was not asked for.
        try:
            one = read_supplement(path)
            if stem is None:
                raise ReidbenchError(f"{path}: its record {one.record_stem}.json does not lie beside it")
            record, of = by_stem[stem]
            if (reason := misfit(one, record, content_digest(of))) is not None:
                raise ReidbenchError(f"{path}: {reason}")
            other, before = found[stem].setdefault(one.id, (one, path))
            if other != one:
                raise ReidbenchError(f"{before} and {path}: two different supplements have the id {one.id}")
        except ReidbenchError as error:
            refused.append(str(error))
    made = [
        supplied(record, list(found[record.stem].values()), brief=brief) if found.get(record.stem) else record
        for record, _ in records
    ]
    return Beside(made, refused)


def again(record: Record, before: Record) -> Record:
    """A record that was read again, with the supplements that ``before`` had, whole.

    Raises:
        ReidbenchError: one of their files cannot be read any more, or is another one.
    """
    sources = [source for attack in before.supplied if (source := source_of(attack)) is not None]
    paths = dict.fromkeys((source.path, source.id) for source in sources)
    read = [(read_supplement(path), path) for path, _ in paths]
    if [one.id for one, _ in read] != [known for _, known in paths]:
        raise ReidbenchError(f"{record.stem}: a supplement was replaced while it was read")
    return supplied(record, read)


def _supplements_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(ENDING))
    return [folder / name for name in names]
