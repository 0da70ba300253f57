"""Does an informed attacker that starts from the ignorant one beat one from scratch, at one budget? docs/attackers.md.

python benchmarks/warm_start.py --defense gaussian_noise:sigma=0.25 --defense pixelate:strong

Both are trained for as many batches, in the scenario original-released, seen through no restoration. The ignorant
attacker is trained from random weights too, so that neither knows more than the run's own patients.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from reidbench import metrics
from reidbench.attackers.base import Attacker
from reidbench.choosing import choose_dataset, choose_defenses, dataset_options, defense_text
from reidbench.cli.console import Terminal
from reidbench.cohorts.load import load_cohort
from reidbench.files import cache_folder
from reidbench.harness.experiment import Experiment
from reidbench.harness.run import release_of
from reidbench.plugins import Registry
from reidbench.records import figures
from reidbench.records.ladder import DEFAULT_ATTACKERS, full_ladder
from reidbench.settings import make_settings
from reidbench.steps.attackers import Trained, attacker_training
from reidbench.steps.cache import CachedStep
from reidbench.steps.releases import Release


def main() -> None:
    """Trains and prints one row per attacker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="phantom")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--defense", action="append", required=True)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    registry, progress = Registry(), Terminal()
    dataset = choose_dataset(registry, arguments.dataset, arguments.root)
    random = {f"{name}.weights": "random" for name in DEFAULT_ATTACKERS}
    long = {f"{name}.{option}": value for name in DEFAULT_ATTACKERS for option, value in LONG.items()}
    settings = make_settings(
        registry,
        preset="quick",
        device=torch.device("cpu"),
        cache=cache_folder(),
        overrides={**random, **long},
    )
    cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=False, progress=progress)
    print("| defense | seed | attacker | start | AUC | mAP@R |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    for seed in range(arguments.seeds):
        experiment = Experiment(cohort, dataset_options(dataset), replace(settings, seed=seed), progress)
        for chosen in choose_defenses(registry, arguments.defense):
            published = release_of(experiment, chosen)
            for template in settings.attackers:
                experiment.make_ignorant(template)
                for start in (None, experiment.attack(template, full_ladder()[0], published).ignorant.step):
                    trained = informed(experiment, template, published, start)
                    row = judged(experiment, trained, published)
                    kind = "the ignorant attacker" if start else "scratch"
                    name = defense_text(chosen.defense)
                    print(f"| {name} | {seed} | {template.name} | {kind} | {row} |", flush=True)


#: A training from random weights as docs/attackers.md has it.
LONG = {"epochs": "30", "min_steps": "300"}


def informed(experiment: Experiment, template: Attacker, published: Release, start: CachedStep | None) -> Trained:
    """Trains for the budget of a warm start, at the learning rate of where it begins."""
    budget = {
        "epochs": template.warm_epochs,
        "min_steps": template.warm_min_steps,
        "max_steps": template.warm_max_steps,
    }
    training = attacker_training(
        template.model_copy(update=budget) if start is None else template,
        experiment.originals,
        published,
        experiment.patients,
        settings=experiment.settings,
        cache=experiment.cache,
        start=start,
    )
    training.step.make(experiment.progress)
    return training.read()


def judged(experiment: Experiment, trained: Trained, published: Release) -> str:
    """AUC on random pairs and mAP@R."""
    attacker, device = trained.attacker, experiment.settings.device
    held, gallery = (
        attacker.embed(side.images("test").pixels, device=device) for side in (experiment.originals, published)
    )
    pairs = experiment.pairs["random"]
    auc = metrics.roc_auc(attacker.score(held[pairs.a], gallery[pairs.b]), pairs.same)
    ranks = figures.rank_images(lambda rows: attacker.score_block(held[rows], gallery), experiment.patients["test"])
    precision = ranks.average_precision[ranks.asked]
    return f"{auc:.3f} | {precision.mean():.3f}"


if __name__ == "__main__":
    main()
