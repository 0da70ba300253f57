"""One more attacker against a release that has a record: the release is made again, and a supplement is written.

Everything of the record that the figures depend on is checked before anything is trained: the dataset, the versions of
the code, and the published images themselves.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from pydantic_core import from_json

from reidbench import __version__
from reidbench.attackers.base import Attacker
from reidbench.bundles.bundle import Bundle, find_bundle, read_bundle, shipped_bundles
from reidbench.choosing import Chosen, dataset_options
from reidbench.cohorts.base import Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import say_notes
from reidbench.defenses.base import BaseDefense
from reidbench.errors import ReidbenchError
from reidbench.files import content_digest, names_files
from reidbench.harness.attacks import add_steps
from reidbench.harness.bundled import bundle_info, bundled_hyperparameters
from reidbench.harness.environment import environment, git_state
from reidbench.harness.experiment import ROOMS, Experiment
from reidbench.harness.plan import Plan
from reidbench.harness.run import release_of
from reidbench.images import pixels_digest
from reidbench.plugins import Registry
from reidbench.plugins.options import build
from reidbench.progress import Progress
from reidbench.records.ladder import parse_ladder
from reidbench.records.schema import DEFINITIONS, SCHEMA_VERSION, Attack, Record
from reidbench.records.scores import RunScores
from reidbench.records.scores_archive import UNREADABLE, read_arrays
from reidbench.records.store import read_named
from reidbench.records.supplements.content import MOST_NAME, AttackerInfo, Supplement
from reidbench.records.supplements.files import (
    both_scores,
    read_supplement,
    scores_path,
    supplement_path,
    write_supplement,
)
from reidbench.settings import Settings, make_settings
from reidbench.source_version import code_version
from reidbench.steps.cache import hyperparameters
from reidbench.steps.releases import Published
from reidbench.utility.fidelity import fidelity

# SSIM and PSNR are means over all images; sums in another order end in other digits.
SAME_FIDELITY = 1e-5


@dataclass(frozen=True, eq=False)
class Target:
    """A recorded release.

    Attributes:
        record: as it was read.
        path: its file.
        sha256: of the file.
    """

    record: Record
    path: Path
    sha256: str


def read_target(path: Path) -> Target:
    """The record of a release that an attacker can be added to.

    Raises:
        ReidbenchError: it is not such a record, or of an older form or another version of reidbench.
    """
    record = read_named(path)
    if record.track != "images":
        raise ReidbenchError(f"{path}: it is of a published model; attackers are added to releases of images")
    if from_json(path.read_bytes())["schema_version"] != SCHEMA_VERSION:
        raise ReidbenchError(f"{path}: of an older form; rewrite it with `reidbench submit upgrade` first")
    if record.reidbench_version != __version__:
        raise ReidbenchError(
            f"{path}: made by reidbench {record.reidbench_version}, and this is {__version__}: figures of two versions "
            "do not stand side by side"
        )
    return Target(record, path, content_digest(path))


def recorded_dataset(target: Target, registry: Registry, root: Path | None) -> Dataset:
    """The dataset that a record names, with its options.

    Args:
        root: its folder, where it takes one.

    Raises:
        ReidbenchError: there is no such dataset, or its folder is missing.
    """
    told = target.record.dataset
    cls = registry.get("dataset", told.name, Dataset)
    options = dict(told.options)
    if root is not None:
        if "root" not in cls.model_fields:
            raise ReidbenchError(f"--root {root}: dataset {told.name!r} takes no folder")
        options["root"] = root
    elif "root" in cls.model_fields and cls.model_fields["root"].is_required():
        raise ReidbenchError(f"dataset {told.name!r} needs its folder: add --root FOLDER")
    return build("dataset", cls, options)


def settings_for(
    target: Target,
    registry: Registry,
    *,
    attacker: str,
    overrides: dict[str, str],
    rungs: Sequence[str],
    bundle: str | None,
    pairs: Path | None,
    device: torch.device,
    cache: Path,
    command: str,
) -> Settings:
    """The settings of a record, with another attacker.

    Args:
        overrides: of the attacker (``NAME.option``) and of ``restorer``.
        rungs: as ``--rung`` has them; none for those of the record.
        bundle: as ``--attackers`` has it; None for the bundle of the record, where there is one.
        pairs: the list of test pairs, for a record that has one.

    Raises:
        ReidbenchError: an option is not known, or one that the record decides.
    """
    record = target.record
    for name in overrides:
        if name.partition(".")[0] not in (attacker, "restorer"):
            raise ReidbenchError(f"--set {name}: only {attacker}.<option> and restorer.<option> can be set here")
    if not names_files(attacker) or len(attacker) > MOST_NAME:
        raise ReidbenchError(f"attacker {attacker!r}: a supplement is named by it, with at most {MOST_NAME} characters")
    listed = record.overrides.get("pairs")
    found = None if pairs is None or not pairs.is_file() else content_digest(pairs)
    if listed != found:
        told = "has no list of pairs" if listed is None else "was made with a list of pairs: give the same with --pairs"
        raise ReidbenchError(f"{target.path}: the record {told}")
    kept = {name: str(value) for name, value in record.overrides.items() if name.startswith("restorer.")}
    chosen = _bundle(record, bundle)
    if chosen is not None and chosen.card.size != record.dataset.size:
        raise ReidbenchError(
            f"the bundle {chosen.card.name} is for images of {chosen.card.size} pixels, and the record's have "
            f"{record.dataset.size}"
        )
    climbed = {(attack.knowledge, attack.linkage) for attack in record.attacks}
    own = tuple(rung for rung in parse_ladder([]) if (rung.knowledge, rung.linkage) in climbed)
    made = make_settings(
        registry,
        preset=record.preset,
        device=device,
        cache=cache,
        attackers=(attacker,),
        overrides={**kept, **overrides},
        size=record.dataset.size if chosen is None else None,
        ladder=parse_ladder(list(rungs)) if rungs else own,
        pair_list=pairs,
        seed=record.seed,
        bundle=chosen,
        leave_out=record.bundle is not None and record.bundle.left_out > 0,
        command=command,
    )
    return replace(made, bootstrap_runs=record.bootstrap_runs, pairs_per_patient=record.pairs_per_patient)


def _bundle(record: Record, text: str | None) -> Bundle | None:
    if text == "none":
        return None
    if text is not None:
        return read_bundle(find_bundle(text))
    if record.bundle is None:
        return None
    if record.bundle.name in shipped_bundles():
        bundle = read_bundle(find_bundle(record.bundle.name))
        if bundle.digest == record.bundle.sha256:
            return bundle
    raise ReidbenchError(
        f"the record starts from the bundle {record.bundle.name} ({record.bundle.sha256[:12]}): give its folder with "
        "--attackers, or --attackers none"
    )


def attack_record(
    target: Target, dataset: Dataset, registry: Registry, settings: Settings, *, strict: bool, progress: Progress
) -> Path:
    """Attacks the release of a record, and the undefended images; writes the supplement with its scores beside it.

    What is there already is left as it is.

    Args:
        settings: of :func:`settings_for`.
        strict: refuse a dataset with unreadable images in place of leaving them out.

    Returns:
        The supplement's file.

    Raises:
        ReidbenchError: the dataset, the defense or the release are not those of the record.
    """
    cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=strict, progress=progress)
    say_notes(cohort.name, cohort.notes, progress)
    experiment = Experiment(cohort, dataset_options(dataset), settings, progress)
    # Only a record's own strata are shown.
    experiment.strata = {}
    _require_dataset(target, experiment)
    release = _release(target, registry, experiment)
    _require_release(target, experiment, release)
    (template,) = settings.attackers
    sides = [release] if release is experiment.originals else [release, experiment.originals]
    path = supplement_path(_frame(target, registry, experiment, template), target.path.parent)
    if path.exists():
        found = read_supplement(path)
        if found.record_sha256 != target.sha256:
            raise ReidbenchError(f"{path}: not a supplement of this record, although it has its name; remove it")
        return path
    _require_own(scores_path(path))
    timings = experiment.make(lambda plan: _plan(plan, experiment, template, sides))
    began = time.perf_counter()
    judged = [_judge(experiment, template, published) for published in sides]
    timings["attack"] = time.perf_counter() - began
    kept = both_scores(judged[0][1], judged[1][1] if len(judged) > 1 else None)
    digest = kept.write(scores_path(path))
    frame = _frame(target, registry, experiment, template)
    told = {
        "attacks": judged[0][0],
        "undefended": judged[1][0] if len(judged) > 1 else [],
        "timings": {name: round(seconds, 2) for name, seconds in timings.items()},
        "bundle": bundle_info(experiment.settings, [experiment.make_ignorant(template)], left_out=experiment.left_out),
        "scores_sha256": digest,
    }
    # Validated as it will be when it is read: what cannot be read again is not written.
    made = Supplement.model_validate({**frame.__dict__, **told})
    return write_supplement(made, target.path.parent)


def _frame(target: Target, registry: Registry, experiment: Experiment, template: Attacker) -> Supplement:
    """A supplement without its figures."""
    settings, record = experiment.settings, target.record
    found = registry.describe("attacker", template.name)
    told = {
        template.name: bundled_hyperparameters(experiment.settings, template),
        "restorer": hyperparameters(settings.restorer),
    }
    what = {
        "record": target.sha256,
        "attacker": [template.name, found.distribution, found.version],
        "hyperparameters": told,
        "training": experiment.attack(template, settings.ladder[0], experiment.originals).ignorant.step.digest,
        "ladder": [str(rung) for rung in settings.ladder],
        "code": [code_version(f"reidbench.{room}") for room in ROOMS],
        "version": __version__,
    }
    return Supplement.model_construct(
        supplement_version=1,
        id=hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16],
        defense=record.defense.name,
        record_id=record.id,
        record_sha256=target.sha256,
        created=datetime.now(UTC).replace(microsecond=0),
        definitions=DEFINITIONS,
        reidbench_version=__version__,
        git=git_state(),
        environment=environment(settings.device),
        command=settings.command,
        attacker=AttackerInfo(
            name=template.name,
            distribution=found.distribution,
            version=found.version,
            summary=(type(template).__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").strip(),
        ),
        hyperparameters=told,
        overrides=dict(settings.overrides),
        attacks=[],
        undefended=[],
        timings={},
    )


def _plan(plan: Plan, experiment: Experiment, template: Attacker, sides: Sequence[Published]) -> list[str]:
    read: list[str | None] = []
    for published in sides:
        read.append(add_steps(plan, published.steps("test"), published))
        for rung in experiment.settings.ladder:
            attack = experiment.attack(template, rung, published)
            if "restored" in rung.level.views and published is not experiment.originals:
                read.append(add_steps(plan, attack.restored.training_steps(), attack.restored))
            read += attack.add_to(plan)
    return list(dict.fromkeys(filter(None, read)))


def _judge(experiment: Experiment, template: Attacker, published: Published) -> tuple[list[Attack], RunScores]:
    scores, attacks = experiment.no_scores().without_findings(), []
    for rung in experiment.settings.ladder:
        attack = experiment.attack(template, rung, published)
        links = attack.read()
        attacks += experiment.checked(experiment.judge_links(rung, links, scores), attack, links)
        for one in experiment.together([links]):
            attacks += experiment.judge_links(rung, one, scores)
    return attacks, scores


def _require_dataset(target: Target, experiment: Experiment) -> None:
    wanted, found = target.record.dataset, experiment.cohort
    if wanted.name != found.name:
        raise ReidbenchError(f"{target.path}: the record is of the dataset {wanted.name}, not {found.name}")
    if wanted.revision != found.revision:
        raise ReidbenchError(
            f"{target.path}: the record is of revision {wanted.revision[:12]} of {wanted.name}, and here is "
            f"{found.revision[:12]}: other images, another table, or images left out for another bundle"
        )


def _release(target: Target, registry: Registry, experiment: Experiment) -> Published:
    told = target.record.defense
    if told.kind == "none":
        return experiment.originals
    found = registry.describe("defense", told.name)
    if (found.distribution, found.version) != (told.distribution, told.version):
        raise ReidbenchError(
            f"{target.path}: its defense {told.name} is of {told.distribution} {told.version}, and here is "
            f"{found.distribution} {found.version}"
        )
    defense: BaseDefense = build("defense", registry.get("defense", told.name, BaseDefense), told.options)
    return release_of(experiment, Chosen(defense, found))


def _require_release(target: Target, experiment: Experiment, release: Published) -> None:
    record, pixels = target.record, release.images("test").pixels
    if record.release_sha256 is not None:
        same = pixels_digest(pixels) == record.release_sha256
    elif release is experiment.originals:
        same = True
    elif record.utility is not None and record.utility.fidelity.ssim is not None:
        # Earlier records have no digest of their release, but how alike its images and the originals are.
        ssim, psnr = fidelity(experiment.parts["test"].pixels, pixels, device=experiment.settings.device)
        told = record.utility.fidelity
        psnr_told = math.inf if told.psnr is None else told.psnr
        same = math.isclose(ssim, told.ssim or 0.0, abs_tol=SAME_FIDELITY) and (
            psnr == psnr_told or math.isclose(psnr, psnr_told, rel_tol=SAME_FIDELITY)
        )
    else:
        raise ReidbenchError(f"{target.path}: the record has no digest of its release; make it again")
    if not same:
        raise ReidbenchError(
            f"{target.path}: the release made here is not the record's: the defense's code has changed, or its "
            "training ends elsewhere on this machine"
        )


def _require_own(path: Path) -> None:
    """Refuses to replace scores that are none: those of a supplement that was never finished may be replaced."""
    if not path.exists():
        return
    try:
        own = "patients" in read_arrays(path)
    except (ReidbenchError, *UNREADABLE):
        own = False
    if not own:
        raise ReidbenchError(f"{path}: it is there already, and holds no scores; remove it")
