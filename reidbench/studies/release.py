"""A release to take home: files that would be published, under pseudonyms, and a private key that links them back."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from reidbench import __version__
from reidbench.choosing import Chosen, dataset_options
from reidbench.cohorts.base import SPLITS, Cohort, Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.base import Defense
from reidbench.defenses.release import release
from reidbench.errors import ReidbenchError
from reidbench.files import content_digest, sync, write_file, write_json
from reidbench.images import BATCH
from reidbench.progress import Progress
from reidbench.records.schema import Record
from reidbench.steps.cache import StepCache
from reidbench.steps.releases import Release
from reidbench.studies.dicom_writing import PROFILE, dicom_bytes, require_dicom_writing

Form = Literal["png", "dicom"]
KEY_FORMAT = "reidbench release key, version 1"
CERTIFICATE_FORMAT = "reidbench release certificate, version 1"
IMAGES, MANIFEST, CERTIFICATE, PAGE = "images", "manifest.csv", "certificate.json", "certificate.html"
#: Of the training of a defense that trains, which is no secret.
FIT_SEED = 0
#: What the manifest may keep of the table; ``labels`` are the findings.
KEEPABLE = ("split", "sex", "age", "view", "labels")
_ENDINGS = {"png": ".png", "dicom": ".dcm"}
# Files that were written one after the other would tell the order of the table by their times.
_TIME = 315_532_800  # 1980-01-01


@dataclass(frozen=True)
class Key:
    """What links a release back to its originals. To be kept as secret as the originals are.

    Attributes:
        seed: of the noise; who has it can take the noise away.
        defense, options: what was applied.
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
            temporary.unlink(missing_ok=True)
            raise ReidbenchError(f"{path}: cannot write the key: {error.strerror}") from error


def read_key(path: Path) -> Key:
    """Reads a private key.

    Raises:
        ReidbenchError: the file is missing or is no key.
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
        raise ReidbenchError(f"{path}: is no private key of a release") from error


def publish(
    dataset: Dataset,
    chosen: Chosen,
    *,
    out: Path,
    key_path: Path,
    size: int,
    cache: Path,
    device: torch.device,
    form: Form,
    patients: bool,
    split: str | None,
    keep: Sequence[str],
    record: Record | None,
    strict: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Writes what would be published into a folder, and the key beside it. Goes on where a killed release was.

    Images go through the defense in batches and are written one by one: memory grows with the table, not with the
    pixels, except for a defense that needs the whole set. The key is written before the first image.

    Args:
        out: gets ``images/``, ``manifest.csv``, ``certificate.json`` and, by the caller, its page.
        key_path: the private key; not inside ``out``.
        size: width and height in pixels.
        cache: of pixel stores and of the training of a defense that trains.
        form: PNG of eight bits, or DICOM with a header after the standard's basic profile.
        patients: whether patients get pseudonyms.
        split: releases only this part; None for all images.
        keep: some of :data:`KEEPABLE`.
        record: the benchmark record that the defense was judged by.
        strict: refuse a dataset with unreadable images in place of leaving them out.

    Returns:
        The certificate, as JSON types; also written.

    Raises:
        ReidbenchError: the defense publishes no images, the record is of another defense, the folder or the key holds
            another release, or something cannot be written.
    """
    library = require_dicom_writing() if form == "dicom" else None
    for name in keep:
        if name not in KEEPABLE:
            raise ReidbenchError(f"--keep {name}: known are {', '.join(KEEPABLE)}")
    if key_path.resolve().is_relative_to(out.resolve()):
        raise ReidbenchError(f"--key {key_path}: the key must not lie in the folder that is given away")
    cohort = load_cohort(dataset, size=size, cache=cache, strict=strict, progress=progress)
    for note in cohort.notes:
        progress.say(f"{cohort.name}: {note}")
    # Fitted with a seed of its own: the secret one must not get into a cache.
    release_of = Release(
        chosen.defense,
        chosen.found,
        {name: cohort.part(name) for name in SPLITS},
        seed=FIT_SEED,
        cache=StepCache(cache / "steps", progress.say),
        device=device,
        progress=progress,
    )
    _require_record(record, chosen)
    chosen_rows = np.arange(len(cohort)) if split is None else cohort.rows(split)
    if not len(chosen_rows):
        raise ReidbenchError(f"dataset {cohort.name}: the {split} split has no image")
    wanted = {
        "defense": chosen.defense.name,
        "options": chosen.defense.model_dump(mode="json"),
        "dataset": cohort.name,
        "revision": cohort.revision,
        "size": size,
        "dataset_options": dataset_options(dataset),
        "split": split,
        "form": form,
        "patients": patients,
        "keep": tuple(keep),
    }
    key = _open_key(key_path, out, wanted, cohort, chosen_rows)
    _write_images(release_of, key, cohort, chosen_rows, out, device, progress)
    frame = _manifest(key, cohort)
    write_file(out / MANIFEST, frame.to_csv(index=False, lineterminator="\n"), what="the manifest")
    os.utime(out / MANIFEST, (_TIME, _TIME))
    certificate = _certificate(release_of, key, frame, out, record, library)
    write_json(out / CERTIFICATE, certificate)
    return certificate


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


def _require_record(record: Record | None, chosen: Chosen) -> None:
    if record is None:
        return
    of, options = record.defense.name, chosen.defense.model_dump(mode="json")
    if of != chosen.defense.name or dict(record.defense.options) != options:
        raise ReidbenchError(
            f"--record: it judges {of} with {json.dumps(dict(record.defense.options), sort_keys=True)}, and this is "
            f"{chosen.defense.name} with {json.dumps(options, sort_keys=True)}"
        )


def _open_key(path: Path, out: Path, wanted: dict[str, Any], cohort: Cohort, rows: NDArray[np.int64]) -> Key:
    """The key of an earlier, unfinished release of the same kind, or a new one."""
    if path.exists():
        key = read_key(path)
        for name, value in wanted.items():
            if getattr(key, name) != value:
                raise ReidbenchError(
                    f"{path}: this key is of another release ({name} is {getattr(key, name)!r}, not {value!r}); name "
                    "another --key and --out"
                )
        return key
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReidbenchError(f"--out {out}: it exists, and {path} is no key to go on with; name another folder")
    key = Key(seed=secrets.randbits(128), images=_pseudonyms(cohort, rows, patients=wanted["patients"]), **wanted)
    key.write(path)
    return key


def _pseudonyms(cohort: Cohort, rows: NDArray[np.int64], *, patients: bool) -> dict[str, tuple[str, str, str | None]]:
    """Random names, drawn by the system, that follow from nothing; in an order that follows from nothing either."""
    frame = cohort.frame.iloc[rows]
    people = frame["patient_id"].astype(str)
    aliases = dict(zip(people.unique(), _random_names(people.nunique()))) if patients else {}
    rows_of = zip(_random_names(len(frame)), frame["image_id"], people)
    return dict(sorted((name, (image, patient, aliases.get(patient))) for name, image, patient in rows_of))


def _random_names(count: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names[secrets.token_hex(8)] = None
    return list(names)


def _write_images(
    release_of: Release,
    key: Key,
    cohort: Cohort,
    rows: NDArray[np.int64],
    out: Path,
    device: torch.device,
    progress: Progress,
) -> None:
    """Writes the images that are not there yet."""
    names = {image: pseudonym for pseudonym, (image, _, _) in key.images.items()}
    aliases = {pseudonym: alias for pseudonym, (_, _, alias) in key.images.items()}
    folder = out / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    there = {entry.name for entry in os.scandir(folder)}
    images, patients = cohort.frame["image_id"], cohort.frame["patient"].to_numpy()
    originals = cohort.frame.get("path")
    mechanism = release_of.mechanism()
    with progress.task(f"release {mechanism.name}", len(rows)) as advance:
        for batch in _batches(rows, whole=not isinstance(mechanism, Defense)):
            pseudonyms = [names[images.iloc[row]] for row in batch]
            missing = [number for number, name in enumerate(pseudonyms) if Path(file_name(key, name)).name not in there]
            if missing:
                identifiers = [images.iloc[row] for row in batch]
                pixels = release(
                    mechanism, cohort.pixels[batch], identifiers, patients[batch], seed=key.seed, device=device
                )
                for number in missing:
                    name = pseudonyms[number]
                    if key.form == "png":
                        content = png_bytes(pixels[number])
                    else:
                        original = None if originals is None else Path(originals.iloc[batch[number]])
                        content = dicom_bytes(pixels[number], original, image=name, patient=aliases[name] or name)
                    path = write_file(out / file_name(key, name), content, what="the image")
                    os.utime(path, (_TIME, _TIME))
            advance(len(batch))


def _batches(rows: NDArray[np.int64], *, whole: bool) -> Iterator[NDArray[np.int64]]:
    step = len(rows) if whole else BATCH
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """A grey picture as a PNG of eight bits, without any text or time in it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def _manifest(key: Key, cohort: Cohort) -> pd.DataFrame:
    """Paths, patients' pseudonyms if there are any, and what is to be kept; in the order of the random names."""
    frame = cohort.frame.set_index("image_id")
    columns = [name for name in key.keep if name != "labels"]
    columns += list(cohort.labels) if "labels" in key.keep else []
    rows = frame.reindex([image for image, _, _ in key.images.values()])
    made = pd.DataFrame({"path": [file_name(key, pseudonym) for pseudonym in key.images]})
    if key.patients:
        made["patient_id"] = [alias for _, _, alias in key.images.values()]
    for name in columns:
        if name in rows:
            made[name] = rows[name].to_numpy()
    return made


def _certificate(
    release_of: Release, key: Key, frame: pd.DataFrame, out: Path, record: Record | None, library: str | None
) -> dict[str, Any]:
    info = release_of.info()
    aliases = {alias for _, _, alias in key.images.values()}
    return {
        "format": CERTIFICATE_FORMAT,
        "created": datetime.now(UTC).date().isoformat(),
        "reidbench_version": __version__,
        "defense": info.model_dump(
            mode="json", include={"name", "distribution", "version", "kind", "summary", "options"}
        ),
        "guarantee": info.privacy.model_dump(mode="json") if info.privacy else None,
        "images": len(key.images),
        "patients": len(aliases) if key.patients else None,
        "pseudonyms": "random, of images and patients" if key.patients else "random, of images; patients are not told",
        "form": key.form,
        "size": key.size,
        "manifest_columns": list(frame.columns),
        "manifest_sha256": content_digest(out / MANIFEST),
        "images_sha256": files_digest(key, out),
        "seed": "random, 128 bits, secret: it stands in the private key alone",
        "header": f"{PROFILE}, applied by {library}; sequences and private elements removed" if library else None,
        "not_checked": [
            "text burnt into the pixels",
            "what the columns that the manifest keeps tell of a person",
        ],
        "record": None if record is None else _judged(record),
    }


def _judged(record: Record) -> dict[str, Any]:
    """What the record says, in so many figures as a certificate needs."""
    found: dict[str, float] = {}
    for attack in record.attacks:
        figure = getattr(attack.metrics, "auc", None) or getattr(attack.metrics, "map_at_r", None)
        if figure is not None and figure.value is not None:
            found[attack.task] = max(found.get(attack.task, 0.0), figure.value)
    return {
        "id": record.id,
        "dataset": record.dataset.name,
        "dataset_revision": record.dataset.revision,
        "preset": record.preset,
        "worst_verification_auc": found.get("verification"),
        "worst_retrieval_map_at_r": found.get("retrieval"),
    }
