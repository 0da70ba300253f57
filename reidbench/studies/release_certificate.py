"""What a release says of itself: defense, options, guarantee, and the benchmark record that it was judged by."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from reidbench import __version__
from reidbench.files import content_digest
from reidbench.records.schema import Record
from reidbench.steps.releases import Release
from reidbench.studies.dicom_writing import PROFILE
from reidbench.studies.release_key import Key, files_digest

CERTIFICATE_FORMAT = "reidbench release certificate, version 1"
MANIFEST, CERTIFICATE, PAGE = "manifest.csv", "certificate.json", "certificate.html"
#: AUC and mAP@R; None where they are undefined.
Strongest = tuple[float | None, float | None]
_SEED = "random, 128 bits, secret: it is in the private key alone"
_SEED_UNCLAIMED = f"{_SEED}; a defense without a guarantee may use generators that take 32 bits of it"


def certificate_of(
    release_of: Release,
    key: Key,
    frame: pd.DataFrame,
    out: Path,
    record: Record | None,
    strongest: Strongest,
    library: str | None,
) -> dict[str, Any]:
    """The certificate of a finished release, as JSON types. It names neither a patient nor an original.

    Args:
        release_of: the defense, as it was run.
        key: of the release.
        frame: its manifest.
        out: the folder that holds manifest and images.
        record: the benchmark record that the defense was judged by.
        strongest: AUC and mAP@R of the record's strongest attacks.
        library: what de-identified the headers; None for files without one.
    """
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
        "seed": _SEED if info.privacy else _SEED_UNCLAIMED,
        "header": f"{PROFILE}, applied by {library}; sequences and private elements removed" if library else None,
        "not_checked": [
            "text burnt into the pixels",
            "what the columns that the manifest keeps tell of a person",
            "earlier releases of the same images: the bounds of several releases add up",
            "arithmetic: a formal guarantee is that of the mechanism in exact arithmetic",
        ],
        "record": None if record is None else _judged(record, key, strongest),
    }


def _judged(record: Record, key: Key, strongest: Strongest) -> dict[str, Any]:
    """What the record says, in so many figures as a certificate needs."""
    return {
        "id": record.id,
        "dataset": record.dataset.name,
        "dataset_revision": record.dataset.revision,
        "same_images": record.dataset.revision == key.revision,
        "preset": record.preset,
        "worst_verification_auc": strongest[0],
        "worst_retrieval_map_at_r": strongest[1],
    }
