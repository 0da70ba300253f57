"""Files: written whole or not at all, safe names, and digests of content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from reidbench.errors import ReidbenchError

#: What a name may hold, in words.
RULE = "letters, digits, _, . and - only, no . or - first"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
#: A file that is being written; no pattern for results matches it.
_BEING_WRITTEN = ".reidbench-{}.tmp"
# Two letters at the least: C:// is a drive.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@|[?&;](?:[^=&]*(?:secret|password|token|key)[^=&]*)=", re.IGNORECASE)


def names_files(text: str) -> bool:
    """Whether a text can be part of a file's name anywhere: it leads to no other folder, and matches no other file."""
    return _FILE_NAME.fullmatch(text) is not None


def being_written(name: str) -> bool:
    """Whether a file's name is that of a temporary file of :func:`replacing`, which a killed process leaves behind."""
    return name.startswith(_BEING_WRITTEN.partition("{")[0]) and name.endswith(_BEING_WRITTEN.partition("}")[2])


def content_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path, *, durable: bool = False, make_folder: bool = True) -> Iterator[BinaryIO]:
    """Opens a stream whose content becomes the file ``path`` when the block ends, in place of one that is there.

    It is written to a temporary file in the same folder. When the block raises, the temporary file is removed and
    ``path`` stays as it was. The file's mode is that of any new file: 0644 under the usual umask.

    Args:
        make_folder: makes the folder where it is missing.
        durable: returns only once the content has reached the disk, so that a power cut leaves no empty file.

    Raises:
        OSError: the file cannot be written.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Not the final name with an ending: that might become too long, or match a pattern for finished files.
    temporary = path.parent / _BEING_WRITTEN.format(secrets.token_hex(8))
    # Not tempfile's 0600, which would keep colleagues from reading the file.
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "w+b") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        # The new name is an entry of the folder.
        sync(path.parent)


def write_file(
    path: Path,
    content: bytes | str | Callable[[BinaryIO], object],
    *,
    what: str = "",
    durable: bool = False,
    make_folder: bool = True,
) -> Path:
    """Writes a file whole or not at all, as :func:`replacing` does.

    Args:
        content: bytes; a text, which is written as UTF-8; or a function that writes to a binary stream.
        what: named in the error message, such as ``the picture``.
        durable: as for :func:`replacing`.
        make_folder: as for :func:`replacing`.

    Returns:
        ``path``.

    Raises:
        ReidbenchError: the file cannot be written, or the text has no UTF-8 form.
    """
    try:
        if "\0" in str(path):
            raise OSError(errno.EINVAL, "a name holds no null character")
        raw = content.encode() if isinstance(content, str) else content
        with replacing(path, durable=durable, make_folder=make_folder) as stream:
            if isinstance(raw, bytes):
                stream.write(raw)
            else:
                raw(stream)
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReidbenchError(f"{path}: {f'cannot write {what}' if what else 'cannot be written'}: {reason}") from error
    return path


def write_json(path: Path, value: Any, *, indent: int | None = 1, durable: bool = False) -> Path:
    """Writes a value as JSON, whole or not at all.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    return write_file(path, json.dumps(value, indent=indent) + "\n", durable=durable)


def sync(path: Path) -> None:
    """Has the system write a file's content, or the names in a folder, to the disk now.

    Not every file system takes this call; then nothing is done.
    """
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_address(text: str) -> bool:
    """Whether a text is the address of an object store, such as ``s3://bucket/cache``, in place of a folder's name."""
    return _ADDRESS.match(text) is not None


def cache_folder() -> Path:
    """The folder of the caches: ``REIDBENCH_CACHE``, or ``reidbench`` in the user's cache folder.

    Where ``REIDBENCH_CACHE`` is the address of an object store, this machine's copy of it: a folder in
    ``REIDBENCH_LOCAL_CACHE``, or in the user's cache folder.

    Raises:
        ReidbenchError: ``REIDBENCH_CACHE`` names the home of a user who does not exist, or an address that contains a
            password.
    """
    import platformdirs

    given = os.environ.get("REIDBENCH_CACHE")
    name, text = "REIDBENCH_CACHE", given
    copy = ""
    if given and is_address(given):
        if _PASSWORD.search(given):
            raise ReidbenchError(
                "REIDBENCH_CACHE: the address contains credentials; leave them to the environment or the client's files"
            )
        name, text = "REIDBENCH_LOCAL_CACHE", os.environ.get("REIDBENCH_LOCAL_CACHE")
        # Copies of several addresses lie apart.
        copy = f"copy-{hashlib.sha256(given.rstrip('/').encode()).hexdigest()[:16]}"
    try:
        return (Path(text).expanduser() if text else Path(platformdirs.user_cache_dir("reidbench"))) / copy
    except RuntimeError as error:
        raise ReidbenchError(f"{name}={text}: {error}") from error


def private_folder(path: Path) -> Path:
    """Makes a folder and its missing parents, which no other user of the machine can read; a folder that exists stays.

    The caches hold images of patients.

    Raises:
        OSError: it cannot be made.
    """
    if not path.is_dir():
        for missing in reversed([folder for folder in (path, *path.parents) if not folder.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)  # Raises where a file has the name.
    return path


def write_pages(pages: Mapping[str, str], folder: Path) -> list[Path]:
    """Writes texts by name into a folder, each whole or not at all, and gives their paths.

    Raises:
        ReidbenchError: one cannot be written.
    """
    return [write_file(folder / name, text) for name, text in pages.items()]
