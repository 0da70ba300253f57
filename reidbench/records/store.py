"""Records on disk: written whole or not at all, and read whatever their version."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from reidbench.errors import ReidbenchError
from reidbench.files import write_file
from reidbench.records.brief import make_brief
from reidbench.records.form.file_form import file_text, with_trainings
from reidbench.records.native_reading import read_natively, read_natively_brief
from reidbench.records.schema import SCHEMA_VERSION, Record
from reidbench.records.upgrade import upgrade

#: The ending of a supplement of a record, which lies beside it.
ENDING = ".attack.json"
#: The largest file that is read as a record. Those of this repository have up to 66 kB, and pages grow with them.
MAX_BYTES = 2_000_000


def write_record(record: Record, folder: Path) -> Path:
    """Writes the record into ``folder``, whole or not at all; one that is there already is left as it is.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    path = folder / f"{record.stem}.json"
    if not path.exists():
        _write(path, record)
    return path


def record_text(record: Record) -> str:
    """A record as its file has it: JSON, one line for each field and each attack."""
    return file_text(record.model_dump(mode="json", by_alias=True))


def read_record(path: Path) -> Record:
    """Reads one record, of this schema or an older one.

    Raises:
        ReidbenchError: the file is missing, no JSON, of a later version, not a record, or to be made again.
    """
    return _read(path, _content(path))


def judge_content(path: Path, content: bytes) -> Record:
    """The record in a file's content, of whatever version, with a reason where there is none.

    Raises:
        ReidbenchError: as of :func:`read_record`.
    """
    return _record(path, _json_of(path, content))


def read_named(path: Path) -> Record:
    """Reads one record, which must lie under the name that its contents give it: ``NAME-ID.json``.

    Scores are found and pages are written under that name: under another one a record could stand for another.

    Raises:
        ReidbenchError: as of :func:`read_record`, or the file has another name.
    """
    return _named(path, read_record(path))


def _named(path: Path, record: Record) -> Record:
    if path.name != f"{record.stem}.json":
        raise ReidbenchError(f"{path}: this is the record {record.stem}.json; give it this name")
    return record


def read_brief(path: Path, whole: Callable[[Record], bool]) -> Record:
    """As :func:`read_named`, without what tables don't show; see :func:`reidbench.records.brief.make_brief`.

    Args:
        path: of the record.
        whole: says of which records nothing may be left out.

    Raises:
        ReidbenchError: as of :func:`read_named`.
    """
    content = _content(path)
    record = read_natively_brief(content)
    if record is None or whole(record):
        record = _read(path, content)
        record = record if whole(record) else make_brief(record)
    return _named(path, record)


def read_records(places: list[Path]) -> list[Record]:
    """Reads records from files and from folders (``*.json`` directly in them), without duplicates, by path.

    Raises:
        ReidbenchError: as of :func:`read_named`, or two different records have one id.
    """
    return [record for record, _ in read_distinct(record_paths(places))]


def read_distinct(paths: Iterable[Path], read: Callable[[Path], Record] = read_named) -> list[tuple[Record, Path]]:
    """The records in these files with their paths, each record once.

    Args:
        paths: of the files.
        read: reads one of them.

    Raises:
        ReidbenchError: as of :func:`read_named`, or two different records have one id.
    """
    found: dict[str, tuple[Record, Path]] = {}
    for record, path in _without_collection(dict.fromkeys(paths), read):
        other, before = found.setdefault(record.id, (record, path))
        # Compared as they are in the files: parts may have been left out of what was read.
        if other is not record and read_named(before) != read_named(path):
            raise ReidbenchError(f"{before} and {path}: two different records have the id {record.id}")
    return list(found.values())


def _without_collection(paths: Iterable[Path], read: Callable[[Path], Record]) -> Iterator[tuple[Record, Path]]:
    """Reads records without garbage collection between them.

    Thousands of records are millions of objects of which none is garbage; looking through them again and again would
    take longer than reading.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield from ((read(path), path) for path in paths)
    finally:
        if collects:
            gc.enable()


def is_supplement(path: Path) -> bool:
    """Whether a file of a folder of records is a supplement of one, by its name."""
    return path.name.endswith(ENDING)


def record_paths(places: list[Path]) -> list[Path]:
    """The files of records that these files and folders are, each once; supplements of records are left out."""
    paths: list[Path] = []
    for place in places:
        paths += _records_in(place) if place.is_dir() else [place]
    return list(dict.fromkeys(paths))


def _records_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.json")) if not is_supplement(path)]


def upgrade_record(path: Path) -> bool:
    """Rewrites a record's file with the newest schema, whole or not at all; its id and scores stay the same.

    Returns:
        Whether it was rewritten; a record of the newest schema is left as it is.

    Raises:
        ReidbenchError: as of :func:`read_record`, or the file cannot be written.
    """
    data = _json_of(path, _content(path))
    record = _record(path, data)
    if data["schema_version"] == SCHEMA_VERSION:
        return False
    _write(path, record)
    return True


def _write(path: Path, record: Record) -> None:
    write_file(path, record_text(record), what="the record", durable=True)


def _read(path: Path, content: bytes) -> Record:
    # The newest form takes the short way; whatever that refuses is judged by the other.
    return read_natively(content) or judge_content(path, content)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ReidbenchError(f"{path}: no reidbench record: larger than {MAX_BYTES:,} bytes")
    return content


def _json_of(path: Path, content: bytes) -> Any:
    try:
        # Refuses what is nested too deeply, and texts that have no UTF-8 form.
        return from_json(content)
    except ValueError as error:
        raise ReidbenchError(f"{path}: no valid JSON: {error}") from error


def _record(path: Path, data: Any) -> Record:
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ReidbenchError(f"{path}: record version {version} is newer than this reidbench reads ({SCHEMA_VERSION})")
    try:
        if isinstance(data, dict):
            data = with_trainings(upgrade(data))
        return Record.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReidbenchError(f"{path}: no reidbench record: {where}: {first['msg'].lower()}") from error
    except ReidbenchError as error:
        raise ReidbenchError(f"{path}: {error}") from error
    except KeyError as error:
        raise ReidbenchError(f"{path}: no reidbench record: {error.args[0]}: field required") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ReidbenchError(f"{path}: no reidbench record: {type(error).__name__}: {error}") from error
