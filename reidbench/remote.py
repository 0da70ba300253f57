"""A cache in an object store: ``REIDBENCH_CACHE`` as an address (``s3://…``, any that fsspec knows).

Each machine works on a copy of its own in a folder, which is filled as things are needed and checked by their digests.
What is made is sent once it is whole. Credentials come from where the store's client looks for them, such as the
environment variables of AWS; they are part of no address, no message and no record.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from reidbench.errors import ReidbenchError
from reidbench.files import cache_folder, is_address

#: Written when a cache is first used: it tells at once that the store can be reached and written to.
MARK = "reidbench-cache.json"
_MARK_CONTENT = b'{"format": 1}\n'
# What a client may repeat in a message.
_SECRET = re.compile(r"SECRET|PASSW|TOKEN|ACCESS_KEY|ACCOUNT_KEY|CREDENTIAL|CONNECTION_STRING", re.IGNORECASE)


@dataclass(frozen=True)
class Remote:
    """What an object store has behind an address.

    Attributes:
        address: without a slash at the end; no part of it is secret.
    """

    address: str

    def has(self, name: str) -> bool:
        """Whether there is an object of this name.

        Raises:
            ReidbenchError: the store cannot be asked.
        """
        with self._told("be read"):
            store, place = self._store(name)
            return bool(store.exists(place))

    def read(self, name: str) -> bytes | None:
        """An object's content; None where there is none of this name.

        Raises:
            ReidbenchError: it cannot be read.
        """
        with self._told("be read"):
            store, place = self._store(name)
            try:
                content: bytes = store.cat_file(place)
            except FileNotFoundError:
                return None
            return content

    def fetch(self, name: str, path: Path) -> bool:
        """Writes an object's content to a file; gives whether there is such an object.

        Raises:
            ReidbenchError: it cannot be read, or the file cannot be written.
        """
        with self._told("be read"):
            store, place = self._store(name)
            try:
                store.get_file(place, str(path))
            except FileNotFoundError:
                return False
            return True

    def send(self, name: str, path: Path) -> None:
        """Makes a file's content an object, whole or not at all.

        Raises:
            ReidbenchError: it cannot be written.
        """
        with self._told("be written to"):
            store, place = self._store(name)
            store.put_file(str(path), place)

    def write(self, name: str, content: bytes) -> None:
        """Makes an object, whole or not at all; one of this name is replaced.

        Raises:
            ReidbenchError: it cannot be written.
        """
        with self._told("be written to"):
            store, place = self._store(name)
            store.pipe_file(place, content)

    def _store(self, name: str) -> tuple[Any, str]:
        store, place = _client(os.getpid(), self.address)
        return store, f"{place}/{name}"

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except ReidbenchError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ReidbenchError(
                    f"{cache_folder()}: the disk is full, which holds the copy of REIDBENCH_CACHE={self.address}; free "
                    "some of it, or set REIDBENCH_LOCAL_CACHE to another folder"
                ) from error
            # Clients have classes of their own for what went wrong; many are no OSError.
            why = _without_secrets(" ".join(str(error).split())[:300]) or type(error).__name__
            # Not "from error": its traceback would tell more than this line.
            raise ReidbenchError(f"REIDBENCH_CACHE={self.address} cannot {what}: {why}") from None


def remote_of(folder: Path) -> Remote | None:
    """What the object store has for a folder of this machine's copy; None where the cache is a folder.

    Raises:
        ReidbenchError: the store cannot be reached or written to.
    """
    given = os.environ.get("REIDBENCH_CACHE", "")
    if not is_address(given):
        return None
    whole, copy = Remote(given.rstrip("/")), cache_folder()
    if folder != copy and copy not in folder.parents:
        return None
    _require(whole)
    inside = folder.relative_to(copy).as_posix()
    return whole if inside == "." else Remote(f"{whole.address}/{inside}")


@cache
def _client(process: int, address: str) -> tuple[Any, str]:
    """What reads and writes behind an address, and the address as it takes it.

    A process that was forked has a client of its own. That of its parent is kept: closing it would wait for a thread
    that the fork does not have.
    """
    needs = f"REIDBENCH_CACHE={address} needs more than is installed: pip install 'reidbench[remote]'"
    try:
        import fsspec
    except ImportError as error:
        raise ReidbenchError(needs) from error
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if address.startswith(("file:", "local:")):
        options["auto_mkdir"] = True
    try:
        store, place = fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        raise ReidbenchError(f"{needs} ({_without_secrets(' '.join(str(error).split()))})") from error
    except ValueError as error:
        raise ReidbenchError(f"REIDBENCH_CACHE={address}: {_without_secrets(' '.join(str(error).split()))}") from error
    return store, place


@lru_cache(maxsize=8)
def _require(whole: Remote) -> None:
    # Once in a process, before any work whose results could not be kept.
    if whole.read(MARK) is None:
        whole.write(MARK, _MARK_CONTENT)


def _without_secrets(text: str) -> str:
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) > 3:
            text = text.replace(value, "…")
    return text
