"""What an attacker looks at: siamese Grad-CAM of pairs, before and after a defense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.attackers.network import NetworkAttacker
from reidbench.choosing import Chosen, dataset_options, defense_text
from reidbench.cohorts.base import Cohort, Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import say_notes
from reidbench.errors import ReidbenchError, did_you_mean
from reidbench.harness.experiment import Experiment
from reidbench.harness.run import release_of
from reidbench.harness.scores.sources import Linked
from reidbench.images import to_unit
from reidbench.networks.architectures.siamese import Resized
from reidbench.networks.gradcam import convolutions, first_and_middle, siamese_cam
from reidbench.progress import Progress
from reidbench.records.figures import LOW_FPR
from reidbench.records.ladder import Rung
from reidbench.settings import Settings
from reidbench.steps.releases import Published

IGNORANT, INFORMED = Rung("ignorant", "original-released"), Rung("informed", "original-released")


@dataclass(frozen=True, eq=False)
class Attention:
    """What an attacker sees in both images of a pair.

    Attributes:
        images: (2, H, W) uint8, the known image and the published one.
        maps: by layer, the first convolution and one half-way: (2, H, W) float32 of at least 0, in units of score. Of
            the images as they are, without the moved copies that the attacker averages over.
        score: of the pair, higher = more alike.
    """

    images: NDArray[np.uint8]
    maps: dict[str, NDArray[np.float32]]
    score: float


@dataclass(frozen=True, eq=False)
class View:
    """A pair as one attacker sees it.

    Attributes:
        published: what is published: the originals, or a defense with its options.
        attacker: the attacker, and whether it looks at the restored release.
        attention: the maps.
        threshold: score from which on the attacker says "one patient": 1 % false positives on validation pairs; None
            where there are no such pairs.
    """

    published: str
    attacker: str
    attention: Attention
    threshold: float | None

    @property
    def title(self) -> str:
        """What is published, and the attacker."""
        return f"{self.published}, {self.attacker}"

    @property
    def accepted(self) -> bool | None:
        """Whether the attacker says that both are of one patient; None without a threshold."""
        return None if self.threshold is None else self.attention.score >= self.threshold


@dataclass(frozen=True, eq=False)
class Explained:
    """A pair before and after a defense.

    Attributes:
        why: what it is an example of.
        image_a, image_b: the known image, and the one that is published.
        same: whether they are of one patient.
        views: originals first.
    """

    why: str
    image_a: str
    image_b: str
    same: bool
    views: tuple[View, ...]


def attention(attacker: NetworkAttacker, images: NDArray[np.uint8], *, device: torch.device) -> Attention:
    """Grad-CAM of one pair.

    Args:
        attacker: trained.
        images: (2, H, W), the known image and the published one.
    """
    model = attacker.siamese.to(device).eval()
    network = Resized(model.network, attacker.seen_at())
    pair = to_unit(images, device)

    def compared(vectors: torch.Tensor) -> torch.Tensor:
        return model.head.pairs(vectors[:1], vectors[1:])

    def score(batch: torch.Tensor) -> torch.Tensor:
        # One pass: the moved copies that the attacker averages over would each have a map of their own.
        return compared(model.head.vectors(network(batch)))

    maps = {
        name: siamese_cam(score, layer, pair).cpu().numpy()
        for name, layer in first_and_middle(convolutions(network, pair)).items()
    }
    with torch.no_grad():
        value = float(compared(Resized(model, attacker.seen_at())(pair)))
    return Attention(images, maps, value)


def explain(
    dataset: Dataset,
    defense: Chosen | None,
    settings: Settings,
    *,
    pair: tuple[str, str] | None = None,
    informed: bool = True,
    strict: bool = False,
    progress: Progress,
) -> list[Explained]:
    """Maps of pairs of the test split: both originals, and a known original against what a defense publishes.

    Args:
        defense: None for originals alone.
        settings: with one siamese attacker.
        pair: image names. Without it, by the scores of originals: the best recognized genuine pair, the genuine pair
            that is missed by most, and the impostor pair that is most mistaken for one patient.
        informed: explain the attacker trained against the defense too, beside the one trained without it.
        strict: refuse a dataset with unreadable images in place of leaving them out.

    Raises:
        ReidbenchError: an image is not in the test split, or the attacker is none that can be looked into.
    """
    _require_siamese(settings)
    cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=strict, progress=progress)
    say_notes(cohort.name, cohort.notes, progress)
    rows = None if pair is None else _rows(cohort, pair)
    experiment = Experiment(cohort, dataset_options(dataset), settings, progress)
    return explain_pairs(experiment, defense, rows, informed=informed)


def explain_pairs(
    experiment: Experiment,
    defense: Chosen | None = None,
    rows: tuple[int, int] | None = None,
    *,
    informed: bool = True,
) -> list[Explained]:
    """The same of an experiment's test part.

    Args:
        experiment: with one siamese attacker.
        defense: None for originals alone.
        rows: of both images in the test part; None for the three examples.
        informed: as `explain`.

    Raises:
        ReidbenchError: the attacker is none that can be looked into.
    """
    settings = experiment.settings
    template = _require_siamese(settings)
    originals = experiment.originals
    seen: list[tuple[str, str, Published, Linked]] = [
        ("originals", "ignorant attacker", originals, experiment.make_links(template, IGNORANT, originals))
    ]
    if defense is not None:
        published = release_of(experiment, defense)
        text = defense_text(defense.defense)
        seen.append((text, "ignorant attacker", published, experiment.make_links(template, IGNORANT, published)))
        if informed:
            linked = experiment.make_links(template, INFORMED, published)
            # What this attacker sees: the release, or the release with the defense undone.
            searched = experiment.attack(template, INFORMED, published).chosen().gallery
            restored = "" if searched is published else ", who looks at the restored release"
            seen.append((text, f"informed attacker{restored}", searched, linked))
    patients = experiment.patients["test"]
    names = experiment.parts["test"].frame["image_id"]
    examples = [("as asked", *rows)] if rows is not None else _examples(experiment, seen[0][3])
    held = originals.images("test").pixels
    return [
        Explained(
            why=why,
            image_a=str(names[a]),
            image_b=str(names[b]),
            same=bool(patients[a] == patients[b]),
            views=tuple(
                View(what, who, _look(linked, held[a], shown.images("test").pixels[b], settings), _threshold(linked))
                for what, who, shown, linked in seen
            ),
        )
        for why, a, b in examples
    ]


def _require_siamese(settings: Settings) -> NetworkAttacker:
    template = settings.attackers[0]
    if not isinstance(template, NetworkAttacker):
        raise ReidbenchError(
            f"attacker {template.name!r} is no siamese network with a head; only such ones have attention maps"
        )
    return template


def _look(linked: Linked, known: NDArray[np.uint8], published: NDArray[np.uint8], settings: Settings) -> Attention:
    attacker = linked.trained.attacker
    assert isinstance(attacker, NetworkAttacker)
    return attention(attacker, np.stack([known, published]), device=settings.device)


def _rows(cohort: Cohort, pair: tuple[str, str]) -> tuple[int, int]:
    """The rows of both images in the test split."""
    if pair[0] == pair[1]:
        raise ReidbenchError(f"--pair: {pair[0]!r} and itself are no pair")
    splits = dict(zip(cohort.frame["image_id"], cohort.frame["split"]))
    for name in pair:
        if name not in splits:
            raise ReidbenchError(f"--pair: {cohort.name} has no image {name!r}: {did_you_mean(name, splits)[:200]}")
        if splits[name] != "test":
            raise ReidbenchError(
                f"--pair: {name} is in the {splits[name]} split; an attacker may have learned it by heart, so give two "
                "images of the test split"
            )
    names = cohort.part("test").frame["image_id"].tolist()
    return names.index(pair[0]), names.index(pair[1])


def _examples(experiment: Experiment, linked: Linked) -> list[tuple[str, int, int]]:
    pairs = next(iter(experiment.pairs.values()))
    scores = linked.scores(pairs)
    genuine, impostor = np.flatnonzero(pairs.same), np.flatnonzero(~pairs.same)
    chosen = (
        ("well recognized: the genuine pair with the highest score", genuine[scores[genuine].argmax()]),
        ("missed: the genuine pair with the lowest score", genuine[scores[genuine].argmin()]),
        ("mistaken: the impostor pair with the highest score", impostor[scores[impostor].argmax()]),
    )
    return [(why, int(pairs.a[number]), int(pairs.b[number])) for why, number in chosen]


def _threshold(linked: Linked) -> float | None:
    if linked.validation is None:
        return None
    threshold = metrics.threshold_at_fpr(*linked.validation, LOW_FPR)
    return None if np.isnan(threshold) else float(threshold)
