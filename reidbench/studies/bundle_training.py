"""`reidbench attacker train`: attackers trained on the train part of a dataset, as a bundle for use elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from reidbench import __version__
from reidbench.attackers.base import Attacker
from reidbench.bundles.bundle import Bundle
from reidbench.bundles.card import BundledAttacker, Card, Content, Figures, KnownImages, Scale, TrainedOn
from reidbench.bundles.training_images import image_digests
from reidbench.bundles.write import Packed, judge, require_new, write_bundle
from reidbench.choosing import dataset_options
from reidbench.cohorts.base import SPLITS, Cohort, Dataset, remap
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import say_notes
from reidbench.cohorts.pairing.pairs import build_pairs
from reidbench.errors import ReidbenchError
from reidbench.harness.environment import git_state
from reidbench.harness.pairs import MAX_PAIRS, PAIR_SEED
from reidbench.harness.plan import Costs, Plan
from reidbench.progress import Progress
from reidbench.settings import Settings
from reidbench.steps.attackers import AttackerTraining, Trained, attacker_training
from reidbench.steps.cache import StepCache
from reidbench.steps.releases import Originals

INTENDED_USE = (
    "Measuring how well anonymized images of a collection can be linked, by those who are responsible for it or study "
    "defenses. Not for identifying people: whoever holds an attacker must not run it on images of persons who have not "
    "agreed, or for whom the law does not allow it."
)


@dataclass(frozen=True)
class Labels:
    """What a card says that no computation can tell.

    Attributes:
        name: of the bundle.
        licence, attribution: of the images.
    """

    name: str
    summary: str
    licence: str
    attribution: str


def train_bundle(
    dataset: Dataset,
    settings: Settings,
    out: Path,
    labels: Labels,
    *,
    elsewhere: Mapping[str, Dataset] | None = None,
    half: bool = False,
    strict: bool = False,
    progress: Progress,
) -> Bundle:
    """Trains the settings' attackers on the originals of the train part, and writes them as a bundle.

    The training is a cached step: interrupted, it goes on where it was.

    Args:
        out: a new folder.
        elsewhere: other collections to judge the attackers on, all of their images, by name.
        half: store the weights in half precision.
        strict: refuse a dataset with unreadable images in place of leaving them out.

    Raises:
        ReidbenchError: the folder exists, the dataset cannot be loaded, or its train part holds no genuine pair.
    """
    require_new(out)
    cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=strict, progress=progress)
    say_notes(cohort.name, cohort.notes, progress)
    parts = {split: cohort.part(split) for split in SPLITS}
    if not len(parts["train"]):
        raise ReidbenchError(f"dataset {cohort.name}: the train split has no image; attackers need one")
    judged = {split: parts[split] for split in ("val", "test") if len(parts[split])}
    for name, other in (elsewhere or {}).items():
        judged[name] = load_cohort(other, size=settings.size, cache=settings.cache, progress=progress)
    trainings = _train(parts, settings, progress)
    commit = git_state()

    def card(told: dict[str, BundledAttacker], known: KnownImages | None) -> Card:
        return Card(
            name=labels.name,
            summary=labels.summary,
            intended_use=INTENDED_USE,
            created=datetime.now(UTC).replace(microsecond=0),
            reidbench_version=__version__,
            commit=commit.commit if commit else None,
            command=settings.command,
            size=settings.size,
            dataset=TrainedOn(
                name=cohort.name,
                revision=cohort.revision,
                options=dataset_options(dataset),
                generated=cohort.generated,
                images=len(parts["train"]),
                patients=int(parts["train"].frame["patient"].nunique()),
                licence=labels.licence,
                attribution=labels.attribution,
            ),
            training_images=known,
            attackers=told,
        )

    packed = {
        name: _packed(trained, judged, settings) for name, trained in ((t.template.name, t.read()) for t in trainings)
    }
    made = write_bundle(out, packed, image_digests(parts["train"].pixels), card, half=half)
    return Bundle(out, made)


def _train(parts: dict[str, Cohort], settings: Settings, progress: Progress) -> list[AttackerTraining]:
    cache, originals = StepCache(settings.cache / "steps", progress.say), Originals(parts)
    patients = {split: part.frame["patient"].to_numpy() for split, part in parts.items()}
    plan = Plan()
    trainings = []
    for template in settings.attackers:
        training = attacker_training(template, originals, originals, patients, settings=settings, cache=cache)
        here = getattr(template, "devices", 1) != 1
        plan.want(plan.add_cached([training.step], f"train {template.name}", here=here))
        trainings.append(training)
    plan.execute(progress, costs=Costs(cache.root))
    return trainings


def _packed(trained: Trained, judged: Mapping[str, Cohort], settings: Settings) -> Packed:
    def about(content: Content, stored: Attacker) -> BundledAttacker:
        figures: dict[str, Figures] = {}
        for name, part in judged.items():
            patients = remap(part.frame["patient_id"])
            figures[name] = judge(stored, np.asarray(part.pixels), patients, settings.device)
        return BundledAttacker(
            weights=content,
            preset=settings.preset,
            hyperparameters=stored.model_dump(mode="json"),
            seed=settings.seed,
            epochs=trained.training.epochs,
            images_seen=trained.training.images_seen,
            seconds=round(trained.training.seconds, 1),
            scale=_scale(stored, judged.get("val"), settings),
            figures=figures,
        )

    return Packed(trained.attacker, about)


def _scale(attacker: Attacker, part: Cohort | None, settings: Settings) -> Scale | None:
    """Mean and deviation of the scores of the validation pairs, chosen as a run chooses them."""
    if part is None:
        return None
    cap = settings.pairs_per_patient
    try:
        pairs = build_pairs(part.frame, negatives="random", seed=PAIR_SEED, max_pairs=MAX_PAIRS, max_per_patient=cap)
    except ReidbenchError:
        return None
    vectors = attacker.embed(part.pixels, device=settings.device)
    scores = np.asarray(attacker.score(vectors[pairs.a], vectors[pairs.b]), dtype=np.float64)
    return Scale(mean=float(scores.mean()), deviation=float(scores.std()))
