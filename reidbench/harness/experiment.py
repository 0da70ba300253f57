"""The plan of a run: which steps, in which order, from cohort to record."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench import __version__
from reidbench.cohorts.base import SPLITS, Cohort
from reidbench.cohorts.pairlist import read_pair_list
from reidbench.cohorts.pairs import Pairs, build_pairs
from reidbench.errors import ReidbenchError
from reidbench.harness import evaluate
from reidbench.harness.attack import Trained, embed, train_attacker
from reidbench.harness.controls import judge_controls
from reidbench.harness.diagnosis import diagnose
from reidbench.harness.environment import environment, git_state
from reidbench.harness.published import ATTACKERS_VALIDATION, Originals, Published
from reidbench.harness.record import Attack, DatasetInfo, Record
from reidbench.harness.scores import RunScores, attack_key
from reidbench.harness.settings import Settings
from reidbench.harness.steps import StepCache, code_version
from reidbench.harness.threats import Negatives, Rung, full_ladder
from reidbench.progress import Progress

# Pairs are the same for every defense, seed and preset on a cohort: only so can runs be compared pair by pair.
PAIR_SEED = 14
MAX_PAIRS = 100_000  # The seed's number of test pairs.


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
        self.cache = StepCache(settings.cache / "steps")
        self.options = options
        self.parts = {split: cohort.part(split) for split in SPLITS}
        for split in ("train", "test"):
            if not len(self.parts[split]):
                raise ReidbenchError(f"dataset {cohort.name}: the {split} split has no image; attackers need one")
        self.patients = {split: part.frame["patient"].to_numpy() for split, part in self.parts.items()}
        self.notes = list(cohort.notes)
        self.pairs = self._test_pairs()
        self.validation_pairs = self._validation_pairs()
        self.originals = Originals(self.parts)
        self._ignorant: dict[str, Trained] = {}

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
        attacks: list[Attack] = []
        scores = RunScores(
            self.patients["test"],
            {negatives: np.stack([p.a, p.b, p.same.astype(np.int64)]) for negatives, p in self.pairs.items()},
            {},
            {},
            findings=_findings(self.parts["test"]),
            labels=tuple(self.parts["test"].labels),
        )
        for template in self.settings.attackers:
            for rung in self.settings.ladder:
                climb = partial(self._climb, template, rung, published, scores)
                attacks += timed(f"attack {template.name} {rung}", climb)
        utility = timed(
            "utility",
            lambda: diagnose(
                self.parts,
                self.originals,
                published,
                scores,
                settings=self.settings,
                cache=self.cache,
                progress=self.progress,
            ),
        )
        controls = timed(
            "controls", lambda: judge_controls(self.parts, self.pairs, self.patients["test"], self.ignorant_trainings())
        )
        attackers = self.settings.attackers
        information = published.info()
        device = environment(self.settings.device)
        dataset = self._dataset_info()
        record = Record(
            id=self.identity(published),
            created=datetime.now(UTC).replace(microsecond=0),
            reidbench_version=__version__,
            git=git_state(),
            environment=device,
            command=self.settings.command,
            seed=self.settings.seed,
            preset=self.settings.preset,
            overrides=dict(self.settings.overrides),
            hyperparameters={
                **{attacker.name: attacker.model_dump(mode="json") for attacker in attackers},
                "classifier": self.settings.classifier.model_dump(mode="json"),
            },
            bootstrap_runs=self.settings.bootstrap_runs,
            dataset=dataset,
            defense=information,
            attacks=attacks,
            complete=self.settings.ladder == full_ladder(),
            utility=utility,
            controls=controls,
            timings={name: round(seconds, 2) for name, seconds in timings.items()},
            baseline_id=baseline.id if baseline else None,
        )
        return record, scores

    def ignorant(self, template: Any) -> Trained:
        """The attacker trained on originals: every run of this cohort, preset and seed shares it."""
        if template.name not in self._ignorant:
            self._ignorant[template.name] = self._train(template, self.originals, self.originals, None)
        return self._ignorant[template.name]

    def ignorant_trainings(self) -> list[Trained]:
        """The attackers trained on originals."""
        return [self.ignorant(template) for template in self.settings.attackers]

    def _train(self, template: Any, probe: Published, gallery: Published, start: Trained | None) -> Trained:
        return train_attacker(
            template,
            probe,
            gallery,
            self.patients,
            settings=self.settings,
            cache=self.cache,
            start=start,
            progress=self.progress,
        )

    def _climb(self, template: Any, rung: Rung, published: Published, kept: RunScores) -> list[Attack]:
        """One attacker on one rung, judged for both tasks; its scores go into ``kept``."""
        probe = self.originals if rung.linkage == "original-released" else published
        trained = self.ignorant(template)
        if rung.knowledge == "informed":
            trained = self._train(template, probe, published, trained)
        attacker = trained.attacker
        held, gallery = (self._embed(trained, side, "test") for side in (probe, published))
        validation = self._validation_scores(trained, probe, published)
        shared = {"attacker": template.name, "knowledge": rung.knowledge, "linkage": rung.linkage}
        where = (template.name, rung.knowledge, rung.linkage)
        attacks = []
        for negatives, pairs in self.pairs.items():
            scores = attacker.score(held[pairs.a], gallery[pairs.b])
            kept.verification[attack_key(*where, negatives)] = scores
            judged = evaluate.verification(
                scores,
                pairs,
                self.patients["test"],
                probabilities=attacker.probability(scores),
                validation=validation,
                runs=self.settings.bootstrap_runs,
            )
            attacks.append(
                Attack(task="verification", negatives=negatives, metrics=judged, training=trained.training, **shared)
            )
        ranked, kept.average_precision[attack_key(*where)] = evaluate.retrieval(
            lambda rows: attacker.score_block(held[rows], gallery),
            self.patients["test"],
            runs=self.settings.bootstrap_runs,
        )
        attacks.append(Attack(task="retrieval", negatives=None, metrics=ranked, training=trained.training, **shared))
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
                pairs = build_pairs(frame, negatives=negatives, seed=PAIR_SEED, max_pairs=MAX_PAIRS)
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
            return build_pairs(self.parts["val"].frame, negatives="random", seed=PAIR_SEED, max_pairs=MAX_PAIRS)
        except ReidbenchError:
            # A validation part without a pair of one patient: thresholds stay uncalibrated, and the record says null.
            return None

    def _validation_scores(
        self, trained: Trained, probe: Published, gallery: Published
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]] | None:
        pairs = self.validation_pairs
        if pairs is None:
            return None
        held, published = (self._embed(trained, side, "val", ATTACKERS_VALIDATION) for side in (probe, gallery))
        return trained.attacker.score(held[pairs.a], published[pairs.b]), pairs.same

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
            "attackers": [(a.name, a.model_dump(mode="json")) for a in settings.attackers],
            "steps": sorted(trained.step.digest for trained in self.ignorant_trainings()),
            "classifier": settings.classifier.model_dump(mode="json"),
            "ladder": [str(rung) for rung in settings.ladder],
            "negatives": list(settings.negatives),
            "overrides": dict(settings.overrides),
            "code": [code_version(f"reidbench.{room}") for room in ("cohorts", "metrics", "utility", "harness")],
            "runs": settings.bootstrap_runs,
            "preset": settings.preset,
            "seed": settings.seed,
            "version": __version__,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _findings(test: Cohort) -> NDArray[np.int8]:
    truth: NDArray[np.float64] = test.frame[list(test.labels)].to_numpy(dtype=np.float64)
    return np.nan_to_num(truth, nan=-1).astype(np.int8)
