"""What an informed attacker gains by training until its validation curve is flat: docs/attackers.md.

python benchmarks/until_flat.py --dataset chestxray14 --root FOLDER --defense dp_pix:epsilon=0.1

The quick retrieval attacker, from the attacker of originals on (a bundle's where there is one), is trained against each
defense between releases, seen through no restoration, once as long as its preset says and once up to ``--longest``
times as long. Both are judged on the test patients, of whom neither training nor its end knows anything.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from reidbench import metrics
from reidbench.choosing import Chosen, choose_dataset, choose_defenses, dataset_options, defense_text
from reidbench.cli.arguments import settings_of
from reidbench.cli.console import Terminal
from reidbench.cohorts.load import load_cohort
from reidbench.harness.experiment import Experiment
from reidbench.harness.run import release_of
from reidbench.plugins import Registry
from reidbench.progress import Progress
from reidbench.records import figures
from reidbench.records.ladder import full_ladder
from reidbench.report.figures.formats import figure
from reidbench.steps.attackers import attacker_training, embedding, read_vectors

NAME = "retrieval"


def main() -> None:
    """Trains and prints one row per training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="phantom")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--defense", action="append", required=True)
    parser.add_argument("--longest", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    registry, progress = Registry(), Terminal()
    dataset = choose_dataset(registry, arguments.dataset, arguments.root)
    print(
        "| defense | longest | rounds | validation AUC | AUC | mAP@R | CPU seconds |\n" + "| --- " * 7 + "|", flush=True
    )
    for longest in (1, arguments.longest):
        settings = settings_of(
            registry,
            attackers=[NAME],
            preset="quick",
            seed=0,
            size=None,
            set_=[*arguments.set, f"{NAME}.longest={longest}"],
            device="cpu",
            generated=dataset.generated,
        )
        cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=False, progress=progress)
        experiment = Experiment(cohort, dataset_options(dataset), settings, progress)
        for chosen in choose_defenses(registry, arguments.defense):
            print(f"| {' | '.join(_cells(experiment, chosen, progress))} |", flush=True)


def _cells(experiment: Experiment, chosen: Chosen, progress: Progress) -> list[str]:
    [template] = experiment.settings.attackers
    experiment.make_ignorant(template)
    published = release_of(experiment, chosen)
    training = attacker_training(
        template,
        published,
        published,
        experiment.patients,
        settings=experiment.settings,
        cache=experiment.cache,
        start=experiment.attack(template, full_ladder()[0], experiment.originals).ignorant,
    )
    began = time.process_time()
    training.step.make(progress)
    spent = time.process_time() - began
    trained = training.read()
    vectors = read_vectors(embedding(training, published, "test", cache=experiment.cache).make(progress))
    patients, pairs, runs = experiment.patients["test"], experiment.pairs["random"], experiment.settings.bootstrap_runs
    auc = metrics.bootstrap_auc_patients(
        trained.score(vectors, vectors, pairs.a, pairs.b),
        pairs.same,
        patients[pairs.a],
        patients[pairs.b],
        runs=runs,
        seed=figures.BOOTSTRAP_SEED,
    )
    ranks = figures.rank_images(lambda rows: trained.score_block(vectors[rows], vectors), patients)
    history = trained.training.history
    ends = {row.get("cycle", 1.0): row["val_auc"] for row in history if row.get("val_auc") is not None}
    return [
        defense_text(chosen.defense),
        str(getattr(template, "longest", 1)),
        str(len(history)),
        " → ".join(f"{end:.3f}" for end in ends.values()),
        figure(figures.interval(auc)),
        figure(figures.retrieval(ranks, runs=runs).map_at_r),
        f"{spent:.0f}",
    ]


if __name__ == "__main__":
    main()
