"""Attackers trained on one dataset and tested on it, on some of its images, or on datasets that they never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.base import Cohort, remap
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.cohorts.pairing.pairs import build_pairs, check_linkable, pictures_of
from reidbench.errors import ReidbenchError
from reidbench.harness.experiment import Experiment
from reidbench.harness.known_images import require_unseen
from reidbench.harness.pairs import MAX_PAIRS, PAIR_SEED
from reidbench.progress import Progress
from reidbench.records import figures
from reidbench.records.ladder import Rung
from reidbench.records.parts.common import Interval
from reidbench.records.schema import Attack, RetrievalMetrics, VerificationMetrics
from reidbench.records.scores import RunScores, attack_key
from reidbench.settings import Settings
from reidbench.steps.attackers import Trained, embed
from reidbench.steps.releases import Images
from reidbench.studies.explain import Explained, explain_pairs
from reidbench.studies.paper import facts
from reidbench.studies.paper.data import FOREIGN, Copies, load_copy, split_shares

Task = Literal["verification", "retrieval"]
Cell = Interval | float | int | None

# The threat of the 2022 paper: attackers trained on originals, undefended images on both sides.
RUNG = Rung("ignorant", "original-released")


class Study:
    """What the 2022 paper's tables and figures need, from the steps of any run, whose trainings and vectors it shares.

    Args:
        copies: the data.
        settings: preset, seed, size and so on. Its attackers are named as their tasks are; its ladder is cut to the
            2022 paper's rung, its impostors are random, or come from its list of pairs.
        progress: shows bars and notices.

    Attributes:
        seen: what share of the data was seen so far, a line each.
        notes: what else is to be known of the data, a line each.
    """

    def __init__(self, copies: Copies, settings: Settings, progress: Progress) -> None:
        self.copies = copies
        self.settings = replace(settings, ladder=(RUNG,), negatives=("random",))
        self.progress = progress
        cohort, share = load_copy(
            copies.train,
            self.settings,
            progress,
            limit=copies.limit,
            foreign_material=copies.foreign_material,
        )
        self.experiment = Experiment(cohort, {}, self.settings, progress)
        self.seen = [share, *split_shares(cohort)]
        self.notes = list(self.experiment.notes)

    def here(self, task: Task, foreign: bool | None = None) -> Mapping[str, Cell] | str:
        """Figures on the test part, or on its images with or without foreign material; or why there are none."""
        part = self.experiment.parts["test"]
        if foreign is None:
            return self._figures(task, part, "test", np.arange(len(part)))
        if FOREIGN not in part.frame or part.frame[FOREIGN].isna().all():
            return (
                f"the table of {facts.title(part.name)} does not say which images show foreign material "
                "(--foreign-material tells it)"
            )
        return self._figures(task, part, "test", np.flatnonzero(part.frame[FOREIGN].to_numpy() == foreign))

    def elsewhere(self, task: Task, name: str) -> Mapping[str, Cell] | str:
        """Figures on all images of a dataset that the attacker never saw; or why there are none."""
        dataset = self.copies.elsewhere.get(name)
        if dataset is None:
            return f"no copy of {facts.title(name)} was given"
        cohort, share = load_copy(dataset, self.settings, self.progress, limit=self.copies.limit)
        self.seen.append(share)
        self.notes += [f"{facts.title(name)}: {note}" for note in cohort.notes]
        require_unseen(cohort, self.settings.bundle)
        return self._figures(task, cohort, "all", np.arange(len(cohort)))

    @cached_property
    def verified(self) -> tuple[Attack, RunScores]:
        """The verification attacker on the test part, with its scores."""
        part = self.experiment.parts["test"]
        trained = self._trained("verification")
        (negatives,) = self.experiment.pairs
        found, pairs, scores = self._verify(trained, part, self._vectors(trained, part, "test"), whole=True)
        attack = Attack(
            task="verification",
            attacker="verification",
            knowledge=RUNG.knowledge,
            linkage=RUNG.linkage,
            negatives=negatives,
            metrics=found,
            training=trained.training,
        )
        kept = RunScores(
            self.experiment.patients["test"],
            {negatives: np.stack([pairs.a, pairs.b, pairs.same.astype(np.int64)])},
            {attack_key("verification", RUNG.knowledge, RUNG.linkage, negatives): scores},
            {},
        )
        return attack, kept

    @cached_property
    def explained(self) -> list[Explained]:
        """What the attacker looks at in three pairs of the test part: recognized, missed and mistaken."""
        return explain_pairs(self.experiment)

    def _figures(self, task: Task, part: Cohort, split: str, rows: NDArray[np.int64]) -> Mapping[str, Cell] | str:
        trained = self._trained(task)
        frame = part.frame.iloc[rows].reset_index(drop=True)
        frame["patient"] = remap(frame["patient_id"])
        vectors = self._vectors(trained, part, split)[rows]
        whole = split == "test" and len(rows) == len(part)
        try:
            if task == "verification":
                chosen = replace(part, frame=frame)
                found, _, _ = self._verify(trained, chosen, vectors, whole=whole)
                return verification_cells(found)
            # Without a genuine pair there is nothing to find.
            check_linkable(frame["patient"].to_numpy())
        except ReidbenchError as error:
            return str(error)
        ranks = figures.rank_images(
            lambda block: trained.attacker.score_block(vectors[block], vectors),
            frame["patient"].to_numpy(),
            influence=True,
        )
        return retrieval_cells(figures.retrieval(ranks, runs=self.settings.bootstrap_runs))

    def _verify(
        self, trained: Trained, part: Cohort, vectors: NDArray[np.float32], *, whole: bool
    ) -> tuple[VerificationMetrics, Pairs, NDArray[np.float32]]:
        """Judges pairs of a part; those of the run where the part is the ``whole`` test part."""
        strata = None
        if whole:
            (negatives,) = self.experiment.pairs
            pairs, strata = self.experiment.pairs[negatives], self.experiment.strata[negatives]
        else:
            pairs = build_pairs(part.frame, negatives="random", seed=PAIR_SEED, max_pairs=MAX_PAIRS)
        scores = trained.attacker.score(vectors[pairs.a], vectors[pairs.b])
        patients = part.frame["patient"].to_numpy()
        area = figures.area_of_all_pairs(
            lambda rows: trained.attacker.score_block(vectors[rows], vectors), patients, pictures_of(part.frame)
        )
        found = figures.verification(
            scores,
            pairs,
            patients,
            probabilities=trained.attacker.probability(scores),
            validation=self._validation(trained),
            runs=self.settings.bootstrap_runs,
            strata=strata,
        )
        return found.model_copy(update={"auc_all_pairs": area}), pairs, scores

    def _validation(self, trained: Trained) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        pairs = self.experiment.validation_pairs
        if pairs is None:
            return None
        vectors = self._vectors(trained, self.experiment.parts["val"], "val")
        return trained.attacker.score(vectors[pairs.a], vectors[pairs.b]), pairs.same

    def _trained(self, task: Task) -> Trained:
        template = next(attacker for attacker in self.settings.attackers if attacker.name == task)
        return self.experiment.make_ignorant(template)

    def _vectors(self, trained: Trained, part: Cohort, split: str) -> NDArray[np.float32]:
        # Named as a run names them, so that a run's vectors are found again.
        images = Images(part.pixels, f"originals:{part.revision}:{part.size}:{split}")
        return embed(trained, images, settings=self.settings, cache=self.experiment.cache)


def verification_cells(found: VerificationMetrics) -> dict[str, Cell]:
    """The columns of the paper's Table 1, with the interval over patients beside the one over pairs, and counts."""
    half = found.at_half
    rates = {name: getattr(half, name) if half else None for name in facts.VERIFICATION[1:]}
    areas: dict[str, Cell] = {"auc_all_pairs": found.auc_all_pairs, "auc": found.auc, "auc_pairs": found.auc_pairs}
    return {**areas, **rates, "pairs": found.genuine + found.impostor}


def retrieval_cells(found: RetrievalMetrics) -> dict[str, Cell]:
    """The columns of the paper's Table 3, with what guessing gives, and counts."""
    return {
        **{name: getattr(found, name) for name in facts.RETRIEVAL},
        "chance": found.chance["map_at_r"],
        "queries": found.probes,
        "gallery": found.gallery,
    }
