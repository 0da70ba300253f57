"""A release to take home: files that would be published, under pseudonyms, and a private key that links them back."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from reidbench.choosing import Chosen, dataset_options
from reidbench.cohorts.base import SPLITS, Cohort, Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import say_notes
from reidbench.cohorts.sources.file_dataset import FileDataset
from reidbench.defenses.base import Defense
from reidbench.defenses.release import release
from reidbench.errors import ReidbenchError
from reidbench.files import write_file, write_json
from reidbench.images import BATCH
from reidbench.progress import Progress
from reidbench.records.schema import Record
from reidbench.source_version import source_digest
from reidbench.steps.cache import StepCache
from reidbench.steps.releases import Release
from reidbench.studies.dicom_writing import dicom_bytes, require_dicom_writing
from reidbench.studies.release_certificate import CERTIFICATE, MANIFEST, Strongest, certificate_of
from reidbench.studies.release_files import Journal, whole_images
from reidbench.studies.release_key import IMAGES, Form, Key, file_name, read_key

#: Of the training of a defense that trains, which is not secret.
FIT_SEED = 0
#: What the manifest may keep of the table; ``labels`` are the findings.
KEEPABLE = ("split", "sex", "age", "view", "labels")
# Files that were written one after the other would tell the order of the table by their times.
_TIME = 315_532_800  # 1980-01-01


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
    strongest: Strongest,
    strict: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Writes what would be published into a folder, and the key beside it. Goes on where a killed release was.

    Images go through the defense in batches and are written one by one: memory grows with the table, not with the
    pixels, except for a defense that needs the whole set. The key is written before the first image. Images that are
    there and are not what was written are made again.

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
        strongest: AUC and mAP@R of its strongest attacks, for the certificate.
        strict: refuse a dataset with unreadable images in place of leaving them out.

    Returns:
        The certificate, as JSON types; also written.

    Raises:
        ReidbenchError: the defense publishes no images, the record is of another defense, the folder lies in the
            dataset's, it or the key holds another release, or something cannot be written.
    """
    library = require_dicom_writing() if form == "dicom" else None
    for name in keep:
        if name not in KEEPABLE:
            raise ReidbenchError(f"--keep {name}: known are {', '.join(KEEPABLE)}")
    if key_path.resolve().is_relative_to(out.resolve()):
        raise ReidbenchError(f"--key {key_path}: the key must not lie in the folder that is given away")
    if isinstance(dataset, FileDataset) and dataset.every_file and out.resolve().is_relative_to(dataset.require_root()):
        raise ReidbenchError(f"--out {out}: in the folder of {dataset.name} released images would count as originals")
    cohort = load_cohort(dataset, size=size, cache=cache, strict=strict, progress=progress)
    say_notes(cohort.name, cohort.notes, progress)
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
        "source": source_digest(type(chosen.defense)),
        "dataset": cohort.name,
        "revision": cohort.revision,
        "size": size,
        "dataset_options": dataset_options(dataset),
        "split": split,
        "form": form,
        "patients": patients,
        "keep": tuple(keep),
    }
    begun = key_path.exists()
    key = _open_key(key_path, out, wanted, cohort, chosen_rows)
    if begun:
        _close_to_others(key_path, progress)
    journal = Journal(key_path)
    try:
        _write_images(release_of, key, cohort, chosen_rows, out, journal, device, progress)
    except ReidbenchError:
        if not begun:
            _withdraw(key_path, out)
        raise
    frame = _manifest(key, cohort)
    write_file(out / MANIFEST, frame.to_csv(index=False, lineterminator="\n"), what="the manifest")
    os.utime(out / MANIFEST, (_TIME, _TIME))
    certificate = certificate_of(release_of, key, frame, out, record, strongest, library)
    write_json(out / CERTIFICATE, certificate)
    journal.remove()
    return certificate


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
        raise ReidbenchError(f"--out {out}: it exists, and {path} is not a key to continue with; name another folder")
    key = Key(seed=secrets.randbits(128), images=_pseudonyms(cohort, rows, patients=wanted["patients"]), **wanted)
    key.write(path)
    return key


def _close_to_others(key_path: Path, progress: Progress) -> None:
    """A key that was copied or unpacked may be readable by others."""
    mode = key_path.stat().st_mode & 0o777
    if mode & 0o077:
        try:
            key_path.chmod(0o600)
        except OSError as error:
            raise ReidbenchError(
                f"{key_path}: others may read it (mode {mode:04o}), and its mode cannot be changed: {error.strerror}"
            ) from error
        progress.say(f"{key_path}: others could read the key (mode {mode:04o}); it is 0600 again")


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
    journal: Journal,
    device: torch.device,
    progress: Progress,
) -> None:
    """Writes the images that are not there yet, or not as they were written."""
    names = {image: pseudonym for pseudonym, (image, _, _) in key.images.items()}
    aliases = {pseudonym: alias for pseudonym, (_, _, alias) in key.images.items()}
    folder = out / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    there = whole_images(key, out, journal)
    images, patients = cohort.frame["image_id"], cohort.frame["patient"].to_numpy()
    originals = cohort.frame.get("path")
    mechanism = release_of.mechanism()
    with progress.task(f"release {mechanism.name}", len(rows)) as advance, journal.appending() as written:
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
                    written(path.name, content)
            advance(len(batch))


def _withdraw(key_path: Path, out: Path) -> None:
    """Removes the key and the folders of a release that was refused before its first image."""
    with contextlib.suppress(OSError):
        # Fails where an image is there: then the key is needed.
        (out / IMAGES).rmdir()
        Journal(key_path).remove()
        key_path.unlink()
        out.rmdir()


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
