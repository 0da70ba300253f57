"""The private key of a release: which file is which original, of which patient, and the seed of the noise."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reidbench.errors import ReidbenchError
from reidbench.files import content_digest, sync

Form = Literal["png", "dicom"]
KEY_FORMAT = "reidbench release key, version 1"
IMAGES = "images"
_ENDINGS = {"png": ".png", "dicom": ".dcm"}


@dataclass(frozen=True)
class Key:
    """What links a release back to its originals. To be kept as secret as the originals are.

    Attributes:
        seed: of the noise; who has it can take the noise away.
        defense, options: what was applied.
        source: digest of the defense's code; another version may make other pixels of the same seed.
        dataset, revision, size: of which cohort, and the width of the images in pixels.
        dataset_options: without folders.
        split: which part was released; None for all.
        form: png or dicom.
        patients: whether patients have pseudonyms; without, no two images are said to be of one patient.
        keep: which columns the manifest keeps.
        images: by pseudonym, the original's identifier, its patient's, and the patient's pseudonym (None without).
    """

    seed: int
    defense: str
    options: Mapping[str, Any]
    source: str
    dataset: str
    revision: str
    size: int
    dataset_options: Mapping[str, Any]
    split: str | None
    form: Form
    patients: bool
    keep: tuple[str, ...]
    images: Mapping[str, tuple[str, str, str | None]]

    def write(self, path: Path) -> None:
        """Writes the key, readable by its owner alone, whole or not at all.

        Raises:
            ReidbenchError: it cannot be written.
        """
        data = {**vars(self), "format": KEY_FORMAT, "seed": f"{self.seed:032x}"}
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # 0600 from the first byte on: a later chmod would leave it open for a moment.
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as stream:
                json.dump(data, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            sync(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise ReidbenchError(f"{path}: cannot write the key: {error.strerror}") from error


def read_key(path: Path) -> Key:
    """Reads a private key.

    Raises:
        ReidbenchError: the file is missing or not a key.
    """
    try:
        data = json.loads(path.read_text())
        if data.pop("format") != KEY_FORMAT:
            raise ValueError
        images = {name: (image, patient, alias) for name, (image, patient, alias) in data.pop("images").items()}
        return Key(seed=int(data.pop("seed"), 16), keep=tuple(data.pop("keep")), images=images, **data)
    except FileNotFoundError as error:
        raise ReidbenchError(f"{path}: no such key") from error
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReidbenchError(f"{path}: not the private key of a release") from error


def file_name(key: Key, pseudonym: str) -> str:
    """An image's path below the released folder."""
    return f"{IMAGES}/{pseudonym}{_ENDINGS[key.form]}"


def files_digest(key: Key, folder: Path) -> str:
    """SHA-256 over names and bytes of all released images, by name.

    Raises:
        ReidbenchError: a file is missing.
    """
    digest = hashlib.sha256()
    for pseudonym in sorted(key.images):
        name = file_name(key, pseudonym)
        try:
            digest.update(f"{name} {content_digest(folder / name)}\n".encode())
        except FileNotFoundError as error:
            raise ReidbenchError(f"{folder / name}: a released image is missing") from error
    return digest.hexdigest()
