"""Writing a bundle: weights files, digests of the training images, and the card, as one folder or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save

from reidbench import metrics
from reidbench.attackers.base import Attacker
from reidbench.bundles.card import CARD, IMAGES, BundledAttacker, Card, Content, Figures, KnownImages
from reidbench.bundles.training_images import write_digests
from reidbench.errors import ReidbenchError
from reidbench.files import content_digest, write_file

#: Probes whose scores against all images are computed at a time.
BLOCK = 512


@dataclass(frozen=True)
class Packed:
    """An attacker on its way into a bundle.

    Attributes:
        attacker: with its weights.
        about: the entry of the card, given its weights file.
    """

    attacker: Attacker
    about: Callable[[Content, Attacker], BundledAttacker]


def require_new(out: Path) -> None:
    """Refuses a folder that is there and holds something.

    Raises:
        ReidbenchError: it does, or it is a file.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReidbenchError(f"--out {out}: exists already; name a new folder")


def write_bundle(
    out: Path,
    attackers: Mapping[str, Packed],
    digests: list[str] | None,
    card: Callable[[dict[str, BundledAttacker], KnownImages | None], Card],
    *,
    half: bool = False,
) -> Card:
    """Writes a bundle into a new folder.

    Args:
        digests: of the training images; None where they are not known.
        card: makes the card from its parts.
        half: store matrices and filters in half precision; what the card says of an attacker is measured on the file.

    Raises:
        ReidbenchError: the folder exists already, or cannot be written.
    """
    require_new(out)
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.mkdir(parents=True)
        told: dict[str, BundledAttacker] = {}
        for name, packed in attackers.items():
            path = partial / f"{name}.safetensors"
            packed.attacker.save(path)
            if half:
                halve(path)
            stored = packed.attacker.model_copy()
            stored.load(path, device=torch.device("cpu"))
            told[name] = packed.about(_content(path), stored)
        known = None
        if digests is not None:
            path = write_file(partial / IMAGES, write_digests(digests))
            known = KnownImages(**_content(path).model_dump(), count=len(set(digests)))
        made = card(told, known)
        write_file(partial / CARD, made.model_dump_json(indent=1) + "\n")
        if out.is_dir():
            out.rmdir()
        partial.replace(out)
    except OSError as error:
        raise ReidbenchError(f"--out {out}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def halve(path: Path) -> None:
    """Rewrites a safetensors file with its matrices and filters in half precision.

    Vectors (biases, statistics of batch norms) stay as they are: they are few, and their small values would be lost.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        state: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    halved = {
        name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        for name, tensor in state.items()
    }
    write_file(path, save(halved, metadata=metadata))


def judge(attacker: Attacker, images: NDArray[np.uint8], patients: NDArray[np.int64], device: torch.device) -> Figures:
    """AUC over all pairs of these undefended images (N, S, S), and the ranking of the others for each of them."""
    vectors = attacker.embed(images, device=device)
    rows = np.arange(len(patients))

    def block(asked: slice) -> NDArray[Any]:
        return attacker.score_block(vectors[asked], vectors)

    ranks = metrics.rank_queries(
        block, query_patients=patients, gallery_patients=patients, query_ids=rows, gallery_ids=rows, whole=False
    )
    scores, same = [], []
    for begin in range(0, len(rows), BLOCK):
        part = block(slice(begin, begin + BLOCK))
        probe, gallery = np.nonzero(rows[None] > rows[begin : begin + BLOCK, None])
        scores.append(part[probe, gallery])
        same.append(patients[begin + probe] == patients[gallery])
    auc = metrics.roc_auc(np.concatenate(scores), np.concatenate(same)) if len(rows) else float("nan")
    return Figures(
        images=len(rows),
        patients=len(np.unique(patients)),
        auc=_known(auc),
        map_at_r=_mean(ranks.average_precision),
        precision_at_1=_mean(ranks.precision_at_1),
    )


def _mean(values: NDArray[np.floating[Any]]) -> float | None:
    found = values[~np.isnan(values)]
    return float(found.mean()) if len(found) else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _content(path: Path) -> Content:
    return Content(file=path.name, bytes=path.stat().st_size, sha256=content_digest(path))
