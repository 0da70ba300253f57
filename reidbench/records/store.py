"""Records on disk: written whole or not at all, read with every older schema upgraded."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from reidbench.errors import ReidbenchError
from reidbench.records.schema import SCHEMA_VERSION, Record


def write_record(record: Record, folder: Path) -> Path:
    """Writes the record into ``folder``, whole or not at all; one that is there already is left as it is."""
    path = folder / f"{record.stem}.json"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".record-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(record.model_dump_json(indent=1, by_alias=True))
            stream.write("\n")
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would keep colleagues from reading it.
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_record(path: Path) -> Record:
    """Reads one record.

    Raises:
        ReidbenchError: the file is missing, no JSON, of a later version, or not a record.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ReidbenchError(f"{path}: no valid JSON: {error}") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ReidbenchError(f"{path}: record version {version} is newer than this reidbench reads ({SCHEMA_VERSION})")
    try:
        return Record.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReidbenchError(f"{path}: no reidbench record: {where}: {first['msg'].lower()}") from error


def read_records(places: list[Path]) -> list[Record]:
    """Reads records from files and from folders (``*.json`` directly in them), without duplicates, by path."""
    paths: list[Path] = []
    for place in places:
        if place.is_dir():
            paths += sorted(place.glob("*.json"))
        else:
            paths.append(place)
    records = {record.id: record for record in map(read_record, dict.fromkeys(paths))}
    return list(records.values())
