"""Attacks on exactly the files of a release, by who has its originals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reidbench.choosing import Chosen, dataset_options
from reidbench.cohorts.base import Cohort, Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.pixels.decode import decode
from reidbench.errors import ReidbenchError, UnreadableImage
from reidbench.files import content_digest
from reidbench.harness.experiment import Experiment
from reidbench.progress import Progress
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX
from reidbench.records.store import write_record
from reidbench.settings import Settings
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.releases import PUBLISHED, Release
from reidbench.studies.release import FIT_SEED
from reidbench.studies.release_certificate import CERTIFICATE, MANIFEST
from reidbench.studies.release_files import certified, require_nothing_else
from reidbench.studies.release_key import IMAGES, Key, file_name, files_digest, read_key


class ReleasedFiles(Release):
    """A release whose published images are read from its files.

    The attacker's own runs of the mechanism, for training, are made with another seed: the release's is secret. A part
    of the originals that was not released is as the mechanism would publish it.

    Args:
        folder: of the release.
        key: which file is which image.
        digest: of the files' names and bytes.
    """

    def __init__(
        self, folder: Path, key: Key, digest: str, chosen: Chosen, parts: dict[str, Cohort], **how: Any
    ) -> None:
        super().__init__(chosen.defense, chosen.found, parts, **how)
        self._folder = folder
        self._files = {image: file_name(key, pseudonym) for pseudonym, (image, _, _) in key.images.items()}
        self.key = {**self.key, "released_files": digest}

    def _release(self, split: str, draw: int) -> CachedStep:
        if draw != PUBLISHED or not set(self.parts[split].frame["image_id"]) <= self._files.keys():
            return super()._release(split, draw)
        frame, size = self.parts[split].frame, self.parts[split].size

        def write(folder: Path, progress: Progress) -> None:
            pixels = np.lib.format.open_memmap(
                folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(len(frame), size, size)
            )
            for row, image in enumerate(frame["image_id"]):
                name = self._files[image]
                try:
                    pixels[row] = decode(self._folder / name, name, size)
                except UnreadableImage as error:
                    raise ReidbenchError(f"{self._folder / name}: {error.reason}") from error
            pixels.flush()

        return CachedStep(self._cache, "release", {**self.key, "split": split, "draw": draw}, write)


def audit_released(
    dataset: Dataset,
    folder: Path,
    key_path: Path,
    chosen: Chosen,
    settings: Settings,
    *,
    strict: bool,
    progress: Progress,
    out: Path,
) -> tuple[Record, Path]:
    """Judges the files of a release on every rung, and writes the record with its scores.

    Args:
        dataset: the originals.
        folder: of the release.
        key_path: its private key.
        chosen: the key's defense.
        out: the folder of the record.

    Raises:
        ReidbenchError: folder, key and originals don't belong together, or a file is missing or changed.
    """
    key = read_key(key_path)
    settings = replace(settings, size=key.size)
    cohort = load_cohort(dataset, size=key.size, cache=settings.cache, strict=strict, progress=progress)
    for note in cohort.notes:
        progress.say(f"{cohort.name}: {note}")
    if cohort.revision != key.revision:
        raise ReidbenchError(
            f"{key_path}: it is of other originals ({key.dataset}, revision {key.revision[:12]}) than {cohort.name}, "
            f"revision {cohort.revision[:12]}"
        )
    digest = require_certified(key, folder)
    cohort = _released_part(cohort, key)
    experiment = Experiment(cohort, dataset_options(dataset), settings, progress)
    published = ReleasedFiles(
        folder,
        key,
        digest,
        chosen,
        experiment.parts,
        seed=FIT_SEED,
        cache=StepCache(settings.cache / "steps", progress.say),
        device=settings.device,
        progress=progress,
    )
    record, scores = experiment.judge(published, baseline=None)
    written = scores.write(out / f"{record.stem}{SUFFIX}")
    record = record.model_copy(update={"scores_sha256": written})
    return record, write_record(record, out)


def _released_part(cohort: Cohort, key: Key) -> Cohort:
    """The originals whose split was released; attackers train on the others as ever."""
    if key.split is None:
        return cohort
    released = {image for image, _, _ in key.images.values()}
    missing = set(cohort.frame["image_id"][cohort.frame["split"] == "test"]) - released
    if missing:
        raise ReidbenchError(
            f"the release holds the {key.split} split alone, and an audit attacks the test split: release it too"
        )
    return cohort


def require_certified(key: Key, folder: Path) -> str:
    """The digest of the images of a folder that holds what its certificate says, and nothing else.

    Raises:
        ReidbenchError: the release is not finished, a file is missing or changed, or one is there that is not of it.
    """
    if not (folder / CERTIFICATE).is_file():
        raise ReidbenchError(f"{folder}: it has no {CERTIFICATE}: is the release finished?")
    told = certified(folder)
    if told is None:
        raise ReidbenchError(f"{folder / CERTIFICATE}: not the certificate of a release")
    if not (folder / IMAGES).is_dir():
        raise ReidbenchError(f"{folder}: it has no folder {IMAGES}")
    require_nothing_else(key, folder)
    digest = files_digest(key, folder)
    if told["images_sha256"] != digest:
        raise ReidbenchError(f"{folder}: its images are not those of its certificate")
    if not (folder / MANIFEST).is_file():
        raise ReidbenchError(f"{folder / MANIFEST}: the manifest is missing")
    if told["manifest_sha256"] != content_digest(folder / MANIFEST):
        raise ReidbenchError(f"{folder / MANIFEST}: it is not the manifest of the certificate")
    return digest
