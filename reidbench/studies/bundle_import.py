"""`reidbench attacker import`: the networks that the authors of the 2022 paper published, as a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from reidbench import __version__
from reidbench.attackers.base import Attacker
from reidbench.bundles.authors import read_authors
from reidbench.bundles.bundle import Bundle
from reidbench.bundles.card import BundledAttacker, Card, Content, KnownImages, TrainedOn
from reidbench.bundles.write import Packed, require_new, write_bundle
from reidbench.errors import ReidbenchError
from reidbench.files import content_digest
from reidbench.harness.environment import git_state
from reidbench.studies.bundle_training import INTENDED_USE

#: At these sizes the authors' networks see images: verification at 256², retrieval at up to 1024².
SIZES = {"verification": 256, "retrieval": 1024}


def import_authors(files: Sequence[Path], out: Path, *, name: str, size: int | None, command: str) -> Bundle:
    """Turns one or both of the published state dicts into a bundle of the preset ``paper``.

    Args:
        out: a new folder.
        size: of the images in pixels; if left out, that of the largest of :data:`SIZES`.

    Raises:
        ReidbenchError: a file is not one of the two, both are of one kind, or the folder exists.
    """
    require_new(out)
    attackers: dict[str, tuple[Attacker, Path]] = {}
    for path in files:
        attacker = read_authors(path)
        if attacker.name in attackers:
            raise ReidbenchError(f"{path}: a second {attacker.name} network; a bundle has one of each kind")
        attackers[attacker.name] = attacker, path
    commit = git_state()

    def about(path: Path) -> Packed:
        def entry(content: Content, stored: Attacker) -> BundledAttacker:
            return BundledAttacker(
                weights=content,
                preset="paper",
                hyperparameters=stored.model_dump(mode="json"),
                seed=0,
                epochs=0,
                images_seen=0,
                seconds=0,
                scale=None,
                figures={},
            )

        return Packed(next(attacker for attacker, file in attackers.values() if file == path), entry)

    def card(told: dict[str, BundledAttacker], known: KnownImages | None) -> Card:
        sources = ", ".join(f"{path.name} (SHA-256 {content_digest(path)})" for _, path in attackers.values())
        return Card(
            name=name,
            summary=f"Published networks of Packhäuser et al. (2022), from {sources}.",
            intended_use=INTENDED_USE,
            created=datetime.now(UTC).replace(microsecond=0),
            reidbench_version=__version__,
            commit=commit.commit if commit else None,
            command=command,
            size=size or max(SIZES[attacker] for attacker in attackers),
            dataset=TrainedOn(
                name="chestxray14",
                revision="not known: trained by the authors on their train part",
                options={},
                generated=False,
                images=0,
                patients=0,
                licence="see the authors' repository and the terms of NIH ChestX-ray14",
                attribution="NIH Clinical Center; Packhäuser et al., Scientific Reports 12, 14851 (2022)",
            ),
            training_images=known,
            attackers=told,
        )

    made = write_bundle(out, {key: about(path) for key, (_, path) in attackers.items()}, None, card)
    return Bundle(out, made)
