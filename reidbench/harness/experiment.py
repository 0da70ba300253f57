"""The plan of a run: which steps, in which order, from cohort to record."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench import __version__, metrics
from reidbench.cohorts.base import SPLITS, Cohort
from reidbench.cohorts.pairing.listed import read_pair_list
from reidbench.cohorts.pairing.pairs import Pairs, build_pairs
from reidbench.errors import ReidbenchError
from reidbench.harness.controls import judge_controls
from reidbench.harness.environment import environment, git_state
from reidbench.harness.memo import Memo
from reidbench.harness.score_sources import Fused, Linked, Links
from reidbench.progress import Progress
from reidbench.records import figures
from reidbench.records.ladder import Built, Negatives, Rung, full_ladder
from reidbench.records.quantize import leveled
from reidbench.records.schema import Attack, DatasetInfo, Record, Utility
from reidbench.records.scores import RANKS, RunScores, attack_key
from reidbench.records.strata import GenuineStrata, keep_headline_strata
from reidbench.settings import Settings
from reidbench.source_version import code_version
from reidbench.steps.attackers import Trained, embed, train_attacker
from reidbench.steps.cache import StepCache, hyperparameters
from reidbench.steps.classifiers import diagnose
from reidbench.steps.prefetch import Job, run_ahead
from reidbench.steps.releases import ATTACKERS_VALIDATION, PUBLISHED, Originals, Published
from reidbench.steps.restoration import Restored

# Pairs are the same for every defense, seed and preset on a cohort: only so can runs be compared pair by pair.
PAIR_SEED = 14
# Where the code lies that turns what steps made into figures.
ROOMS = ("images", "cohorts", "metrics", "utility", "records", "settings", "steps", "harness")
MAX_PAIRS = 100_000  # As in the 2022 paper.


class Experiment:
    """One cohort under attack; what defenses can share is made once and cached.

    Args:
        cohort: with all three splits; a patient lies in one of them.
        options: the dataset's options, for the record.
        settings: preset, rungs, seed, device and so on.

    Raises:
        ReidbenchError: a split that is needed has no image, or the test split no pair of one patient.
    """

    def __init__(self, cohort: Cohort, options: dict[str, Any], settings: Settings, progress: Progress) -> None:
        self.cohort = cohort
        self.settings = settings
        self.progress = progress
        self.cache = StepCache(settings.cache / "steps", progress.say)
        self.options = options
        self.parts = {split: cohort.part(split) for split in SPLITS}
        for split in ("train", "test"):
            if not len(self.parts[split]):
                raise ReidbenchError(f"dataset {cohort.name}: the {split} split has no image; attackers need one")
        self.patients = {split: part.frame["patient"].to_numpy() for split, part in self.parts.items()}
        self.notes = list(cohort.notes)
        self.pairs = self._test_pairs()
        self.validation_pairs = self._validation_pairs()
        # Matched negatives leave out genuine pairs, and add none.
        kinds: list[Negatives] = [negatives for negatives in self.pairs if negatives != "matched"]
        self.strata = {negatives: GenuineStrata(self.parts["test"], self.pairs[negatives]) for negatives in kinds}
        self.originals = Originals(self.parts)
        self._ignorant: list[Trained] = []
        self._memo = Memo()

    def judge(self, published: Published, *, baseline: Record | None) -> tuple[Record, RunScores]:
        """Attacks what is published on every rung, measures what is left for diagnosis, and makes the record.

        Args:
            published: what is judged; the originals for the undefended run, which drops are counted from.
            baseline: the undefended run, None for itself.
        """
        timings: dict[str, float] = {}

        def timed(name: str, work: Callable[[], Any]) -> Any:
            began = time.perf_counter()
            result = work()
            timings[name] = timings.get(name, 0.0) + time.perf_counter() - began
            return result

        timed("release", lambda: published.images("test"))
        timed("trainings", lambda: self._train_ahead(published))
        attacks: list[Attack] = []
        scores = self.no_scores()
        linked: dict[Rung, list[Linked]] = {rung: [] for rung in self.settings.ladder}
        for template in self.settings.attackers:
            for rung in self.settings.ladder:
                step = f"attack {template.name} {rung}"
                linked[rung].append(timed(step, partial(self.link, template, rung, published)))
                attacks += timed(step, partial(self.judge_links, rung, linked[rung][-1], scores))
        for rung, members in linked.items():
            if fused := Fused.of(members):
                attacks += timed(f"attack {fused.name} {rung}", partial(self.judge_links, rung, fused, scores))
        utility = timed("utility", lambda: self._diagnose(published, scores, progress=self.progress))
        controls = timed(
            "controls", lambda: judge_controls(self.parts, self.pairs, self.patients["test"], self.ignorant_trainings())
        )
        attackers = self.settings.attackers
        record = self.record(
            id=self.identity(published),
            hyperparameters={
                **{attacker.name: hyperparameters(attacker) for attacker in attackers},
                "classifier": hyperparameters(self.settings.classifier),
                "restorer": hyperparameters(self.settings.restorer),
            },
            defense=published.info(),
            attacks=keep_headline_strata(attacks),
            complete=self.settings.ladder == full_ladder(),
            utility=utility,
            controls=controls,
            timings={name: round(seconds, 2) for name, seconds in timings.items()},
            baseline_id=baseline.id if baseline else None,
        )
        return record, scores

    def no_scores(self) -> RunScores:
        """Where the scores of a run on the test pairs go."""
        return RunScores(
            self.patients["test"],
            {negatives: np.stack([p.a, p.b, p.same.astype(np.int64)]) for negatives, p in self.pairs.items()},
            {},
            {},
            validation_same=np.empty(0, np.bool_) if self.validation_pairs is None else self.validation_pairs.same,
            findings=_findings(self.parts["test"]),
            labels=tuple(self.parts["test"].labels),
        )

    def record(self, **found: Any) -> Record:
        """A record of what was found, with what all records of this experiment say."""
        return Record(
            created=datetime.now(UTC).replace(microsecond=0),
            reidbench_version=__version__,
            git=git_state(),
            environment=environment(self.settings.device),
            command=self.settings.command,
            seed=self.settings.seed,
            preset=self.settings.preset,
            overrides=dict(self.settings.overrides),
            bootstrap_runs=self.settings.bootstrap_runs,
            pairs_per_patient=self.settings.pairs_per_patient,
            dataset=self._dataset_info(),
            **found,
        )

    def ignorant(self, template: Any) -> Trained:
        """The attacker trained on originals: every run of this cohort, preset and seed shares it."""
        return next(t for t in self.ignorant_trainings() if t.attacker.name == template.name)

    def ignorant_trainings(self) -> list[Trained]:
        """The attackers trained on originals."""
        if not self._ignorant:
            jobs = [
                partial(self._train, template, self.originals, self.originals, None)
                for template in self.settings.attackers
            ]
            self._train_attackers_ahead(jobs, "training on originals")
            self._ignorant = [job(progress=self.progress) for job in jobs]
        return self._ignorant

    def link(self, template: Any, rung: Rung, published: Published, *, progress: Progress | None = None) -> Linked:
        """One attacker on one rung: trained for it, every test image embedded."""
        progress = progress or self.progress
        trained, restoration = self.ignorant(template), None
        probe, gallery = self.sides(template, rung, published)
        if isinstance(gallery, Restored):
            restoration = gallery.train(progress=progress)
        if rung.knowledge == "informed":
            trained = self._train(template, probe, gallery, trained, progress=progress)
        held, released = (self._embed(trained, side, "test") for side in (probe, gallery))
        return Linked(trained, held, released, self._validation_scores(trained, probe, gallery), restoration)

    def sides(self, template: Any, rung: Rung, published: Published) -> tuple[Published, Published]:
        """What an attacker on a rung holds, and what it searches.

        An informed attacker goes on from the ignorant one, or from the inverting one where that does better on the
        validation patients: what a network cannot be trained to see through, a restoration in front may undo.
        """

        def of(gallery: Published) -> tuple[Published, Published]:
            return (self.originals if rung.linkage == "original-released" else gallery), gallery

        restored = of(self._restored(published))
        if rung.knowledge == "inverting":
            return restored
        if rung.knowledge == "informed" and published is not self.originals:
            ignorant = self.ignorant(template)
            plain, undone = (self._validation_auc(ignorant, *pair) for pair in (of(published), restored))
            if undone > plain:
                return restored
        return of(published)

    def _validation_auc(self, trained: Trained, probe: Published, gallery: Published) -> float:
        judged = self._validation_scores(trained, probe, gallery)
        return metrics.roc_auc(*judged) if judged is not None else float("nan")

    def _train(
        self, template: Any, probe: Published, gallery: Published, start: Trained | None, *, progress: Progress
    ) -> Trained:
        return train_attacker(
            template,
            probe,
            gallery,
            self.patients,
            settings=self.settings,
            cache=self.cache,
            start=start,
            progress=progress,
        )

    def _train_ahead(self, published: Published) -> None:
        """Everything that the run will train and embed, side by side where that is faster."""
        for split, draw in (("train", PUBLISHED), ("val", ATTACKERS_VALIDATION)):
            published.images(split, draw)
        published.side()
        jobs: list[Job] = [partial(self._diagnose, published, RunScores(self.patients["test"], {}, {}, {}))]
        knowledge = {rung.knowledge for rung in self.settings.ladder}
        if "inverting" in knowledge or ("informed" in knowledge and published is not self.originals):
            jobs.append(self._restored(published).train)
        run_ahead(jobs, progress=self.progress, description="restoring and diagnosing")
        # By what they see: without a defense, both linkages are one.
        links: dict[str, tuple[int, Job]] = {}
        for template in self.settings.attackers:
            for rung in self.settings.ladder:
                probe, gallery = self.sides(template, rung, published)
                informed = rung.knowledge == "informed"
                # What takes longest goes first, so that no worker waits for a last long one: trainings before what is
                # only embedded, and of these the ones with a defense on both sides.
                cost = informed + (informed and probe is not self.originals)
                key = json.dumps([template.name, informed, probe.key, gallery.key], sort_keys=True)
                links[key] = cost, partial(self.link, template, rung, published)
        longest_first = sorted(links.values(), key=lambda link: -link[0])
        self._train_attackers_ahead([job for _, job in longest_first], "training")

    def _train_attackers_ahead(self, jobs: Sequence[Job], description: str) -> None:
        # A training that takes several processes has the machine to itself.
        if all(getattr(attacker, "devices", 1) == 1 for attacker in self.settings.attackers):
            run_ahead(jobs, progress=self.progress, description=description)

    def _diagnose(self, published: Published, kept: RunScores, *, progress: Progress) -> Utility | None:
        return diagnose(
            self.parts, self.originals, published, kept, settings=self.settings, cache=self.cache, progress=progress
        )

    def _restored(self, published: Published) -> Restored:
        return Restored(self.originals, published, self.patients["train"], settings=self.settings, cache=self.cache)

    def judge_links(self, rung: Rung, links: Links, kept: RunScores) -> list[Attack]:
        """An attacker on one rung, judged for both tasks; its scores go into ``kept``."""
        where = (links.name, rung.knowledge, rung.linkage)
        shared: dict[str, Any] = dict(zip(("attacker", "knowledge", "linkage"), where))
        shared |= {"training": links.training, "restoration": links.restoration}
        validation = None
        if links.validation is not None:
            validation = leveled(links.validation[0]), links.validation[1]
            kept.validation[attack_key(*where)] = validation[0]
        attacks = []
        for negatives, pairs in self.pairs.items():
            # Judged in the precision that is kept: so figures can be computed again from the file.
            scores = leveled(links.scores(pairs))
            probabilities = links.probability(scores)
            kept.verification[attack_key(*where, negatives)] = scores
            if not np.isnan(probabilities).any():
                kept.accepted[attack_key(*where, negatives)] = probabilities >= figures.HALF
            judge = partial(
                figures.verification,
                scores,
                pairs,
                self.patients["test"],
                probabilities=probabilities,
                validation=validation,
                runs=self.settings.bootstrap_runs,
                strata=self.strata.get(negatives),
            )
            judged = self._memo(judge, f"pairs, {negatives}", scores, probabilities, *(validation or ()))
            attacks.append(Attack(task="verification", negatives=negatives, metrics=judged, **shared))
        ranks = figures.rank_images(links.block, self.patients["test"])
        kept.keep_ranks(attack_key(*where), ranks)
        found = [getattr(ranks, name) for name in ("average_precision", *RANKS)]
        ranked = self._memo(partial(figures.retrieval, ranks, runs=self.settings.bootstrap_runs), "ranks", *found)
        attacks.append(Attack(task="retrieval", negatives=None, metrics=ranked, **shared))
        return attacks

    def _embed(self, trained: Trained, side: Published, split: str, draw: int = 0) -> NDArray[np.float32]:
        return embed(trained, side.images(split, draw), settings=self.settings, cache=self.cache)

    def _test_pairs(self) -> dict[Negatives, Pairs]:
        frame = self.parts["test"].frame
        found: dict[Negatives, Pairs] = {}
        if self.settings.pair_list is not None:
            listed = read_pair_list(self.settings.pair_list, frame)
            self.notes += listed.notes
            return {"listed": listed}
        for negatives in self.settings.negatives:
            try:
                pairs = self._build(frame, negatives)
            except ReidbenchError as error:
                # Without random negatives there is nothing to judge. Where sex, age and view are unknown none match,
                # and the run says so and goes on.
                if negatives == "random":
                    raise
                self.notes.append(f"no {negatives} negatives: {error}")
                continue
            found[negatives] = pairs
            self.notes += [f"{negatives} negatives: {note}" for note in pairs.notes]
        return found

    def _validation_pairs(self) -> Pairs | None:
        try:
            return self._build(self.parts["val"].frame, "random")
        except ReidbenchError:
            # A validation part without a pair of one patient: thresholds stay uncalibrated, and the record says null.
            return None

    def _build(self, frame: pd.DataFrame, negatives: Built) -> Pairs:
        cap = self.settings.pairs_per_patient
        return build_pairs(frame, negatives=negatives, seed=PAIR_SEED, max_pairs=MAX_PAIRS, max_per_patient=cap)

    def _validation_scores(
        self, trained: Trained, probe: Published, gallery: Published
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]] | None:
        pairs = self.validation_pairs
        if pairs is None:
            return None
        held, published = (self._embed(trained, side, "val", ATTACKERS_VALIDATION) for side in (probe, gallery))
        return trained.score(held, published, pairs.a, pairs.b), pairs.same

    def _dataset_info(self) -> DatasetInfo:
        return DatasetInfo(
            name=self.cohort.name,
            revision=self.cohort.revision,
            options=self.options,
            size=self.cohort.size,
            images={split: len(part) for split, part in self.parts.items()},
            patients={split: len(set(patients.tolist())) for split, patients in self.patients.items()},
            notes=self.notes,
        )

    def identity(self, published: Published) -> str:
        """The record's id, known before anything is judged: the same run has the same one.

        It takes the attackers trained on originals, which every run of this cohort, preset and seed shares.
        """
        settings = self.settings
        what = {
            "published": published.key,
            "attackers": [(a.name, hyperparameters(a)) for a in settings.attackers],
            "steps": sorted(trained.step.digest for trained in self.ignorant_trainings()),
            "classifier": hyperparameters(settings.classifier),
            "restorer": hyperparameters(settings.restorer),
            "ladder": [str(rung) for rung in settings.ladder],
            "negatives": list(settings.negatives),
            "overrides": dict(settings.overrides),
            "code": [code_version(f"reidbench.{room}") for room in ROOMS],
            "runs": settings.bootstrap_runs,
            "pairs per patient": settings.pairs_per_patient,
            "preset": settings.preset,
            "seed": settings.seed,
            "version": __version__,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _findings(test: Cohort) -> NDArray[np.int8]:
    truth: NDArray[np.float64] = test.frame[list(test.labels)].to_numpy(dtype=np.float64)
    return np.nan_to_num(truth, nan=-1).astype(np.int8)
