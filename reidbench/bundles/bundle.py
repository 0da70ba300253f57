"""Reading a bundle: every file is checked against the card before anything of it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from reidbench.attackers.base import Attacker
from reidbench.bundles.card import CARD, BundledAttacker, Card, Content
from reidbench.bundles.training_images import image_digests, read_digests
from reidbench.errors import ReidbenchError, did_you_mean
from reidbench.files import content_digest
from reidbench.plugins import Registry
from reidbench.plugins.options import build

#: The bundles that come with the package, a folder each.
SHIPPED = Path(__file__).with_name("shipped")
#: What a card may be long: ours have some kilobytes.
MOST_CARD_BYTES = 1 << 20
#: What names no bundle: attackers are trained on the cohort at hand alone.
NONE = "none"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose files are what its card says.

    Attributes:
        path: its folder.
        card: what it says of itself.
    """

    path: Path
    card: Card

    @cached_property
    def digest(self) -> str:
        """What a record names it by: SHA-256 over image size, hyperparameters and weights, 32 hexadecimal digits."""
        told = {
            "size": self.card.size,
            "attackers": {
                name: [one.weights.sha256, one.preset, one.hyperparameters] for name, one in self.card.attackers.items()
            },
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]

    @cached_property
    def training_images(self) -> frozenset[str]:
        """Digests of the images that it was trained on; empty where they are not known."""
        known = self.card.training_images
        return frozenset() if known is None else read_digests(self.path / known.file)

    def seen(self, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of these images (N, S, S) it was trained on, (N,); S must be the bundle's size."""
        known = self.training_images
        return np.fromiter((digest in known for digest in image_digests(images)), dtype=np.bool_, count=len(images))

    def weights(self, name: str) -> Path:
        """The file of an attacker's weights."""
        return self.path / self.card.attackers[name].weights.file

    def attacker(self, registry: Registry, name: str, overrides: Mapping[str, Any] | None = None) -> Attacker:
        """An attacker of the bundle, untrained, with the hyperparameters that it was trained with.

        Args:
            overrides: hyperparameters that are replaced: budgets of further training, not the network.

        Raises:
            ReidbenchError: the attacker is not installed, the hyperparameters are none of it, or the weights file does
                not fit them.
        """
        told = self.card.attackers[name]
        cls: type[Attacker] = registry.get("attacker", name, Attacker).under(told.preset)
        try:
            made = build("attacker", cls, {**told.hyperparameters, **(overrides or {})})
            _require_shapes(made, self.weights(name))
        except ReidbenchError as error:
            raise ReidbenchError(f"bundle {self.card.name}: {error}") from error
        return made


def shipped_bundles() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CARD}"))


def find_bundle(text: str) -> Path:
    """The folder of a bundle, from the name of a shipped one or a path.

    Raises:
        ReidbenchError: there is none.
    """
    if text in shipped_bundles():
        return SHIPPED / text
    path = Path(text)
    if (path / CARD).is_file():
        return path
    if path.is_dir():
        raise ReidbenchError(f"--attackers {text}: the folder holds no {CARD}")
    known = [*shipped_bundles(), NONE]
    raise ReidbenchError(f"--attackers {text}: no such folder and no bundle of this name; {did_you_mean(text, known)}")


def read_bundle(path: Path) -> Bundle:
    """Reads a bundle's card, and checks its files against it by size and SHA-256.

    Raises:
        ReidbenchError: the card is missing or no card, or a file is missing, of another size or changed.
    """
    bundle = Bundle(path, read_card(path / CARD))
    files: list[Content] = [one.weights for one in bundle.card.attackers.values()]
    if bundle.card.training_images is not None:
        files.append(bundle.card.training_images)
    for content in files:
        _check(path / content.file, content)
    known = bundle.card.training_images
    if known is not None and len(bundle.training_images) != known.count:
        raise ReidbenchError(
            f"{path / known.file}: {len(bundle.training_images):,} digests, but the card says {known.count:,}"
        )
    return bundle


def read_card(path: Path) -> Card:
    """Reads a card alone.

    Raises:
        ReidbenchError: it is missing, too long, or no card of this version.
    """
    try:
        size = path.stat().st_size
        if size > MOST_CARD_BYTES:
            raise ReidbenchError(f"{path}: {size:,} bytes; a card has at most {MOST_CARD_BYTES:,}")
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ReidbenchError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except (ValueError, RecursionError) as error:
        raise ReidbenchError(f"{path}: no valid JSON: {' '.join(str(error).split())[:200]}") from error
    try:
        return Card.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "card"
        raise ReidbenchError(f"{path}: no card of a bundle: {place}: {first['msg']}") from error


def _check(path: Path, content: Content) -> None:
    try:
        size = path.stat().st_size
        if size != content.bytes:
            raise ReidbenchError(f"{path}: {size:,} bytes, but the bundle's card says {content.bytes:,}")
        found = content_digest(path)
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot be read: {error.strerror}") from error
    if found != content.sha256:
        raise ReidbenchError(f"{path}: not the file that the bundle's card describes (its SHA-256 differs)")


def _require_shapes(attacker: Attacker, path: Path) -> None:
    """Compares shapes without allocating: a card may ask for a network of any size.

    Only attackers that are one network (``model``) can be asked; others refuse what does not fit when they load it.
    """
    from safetensors import SafetensorError, safe_open

    model = getattr(attacker, "model", None)
    try:
        with safe_open(path, framework="pt") as file:
            there = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ReidbenchError(f"{path.name}: not a safetensors file ({' '.join(str(error).split())[:120]})") from error
    if not callable(model):
        return
    try:
        with torch.device("meta"):
            wanted = {name: tuple(tensor.shape) for name, tensor in model("random").state_dict().items()}
    except (RuntimeError, MemoryError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ReidbenchError(f"attacker {attacker.name!r}: the card's network cannot be built: {reason}") from error
    if there != wanted:
        odd = sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))
        raise ReidbenchError(
            f"{path.name}: weights of another network than the card describes: {odd[0]} is {there.get(odd[0])}, "
            f"not {wanted.get(odd[0])}"
        )


def scale_of(told: BundledAttacker) -> tuple[float, float] | None:
    """Mean of the attacker's validation scores and one over their deviation; None where they are not known."""
    if told.scale is None:
        return None
    return told.scale.mean, 1 / told.scale.deviation if told.scale.deviation else 0.0
