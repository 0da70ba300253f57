"""A cohort under attack: the steps that a record takes, and the record that is made of their results."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench import __version__, metrics
from reidbench.attackers.base import Attacker
from reidbench.attackers.pairs import PairAttacker
from reidbench.cohorts.base import SPLITS, Cohort
from reidbench.cohorts.pairing.pairs import pictures_of
from reidbench.errors import ReidbenchError
from reidbench.harness.attacks import PlannedAttack, add_steps
from reidbench.harness.bundled import bundle_info, bundled_hyperparameters
from reidbench.harness.controls import judge_controls
from reidbench.harness.environment import environment, git_state
from reidbench.harness.known_images import clear
from reidbench.harness.memo import Memo
from reidbench.harness.pairs import calibrating_pairs, judged_pairs
from reidbench.harness.plan import Costs, Plan
from reidbench.harness.questions.copies import judge_copies
from reidbench.harness.questions.inference import PlannedInference, inference_rung
from reidbench.harness.questions.linkability import judge_linkability, strongest_links
from reidbench.harness.questions.singling_out import judge_singling_out
from reidbench.harness.scores.reranking import Pictures, together
from reidbench.harness.scores.sources import Linked, Links
from reidbench.harness.training_check import add_check, check_training, pixel_scores
from reidbench.images import pixels_digest
from reidbench.progress import Progress
from reidbench.records import figures
from reidbench.records.ladder import RERANKING, Negatives, Rung, full_ladder
from reidbench.records.parts.linkability import Linkability
from reidbench.records.parts.provenance import DatasetInfo
from reidbench.records.parts.questions import SinglingOut
from reidbench.records.quantize import leveled
from reidbench.records.schema import DEFINITIONS, Attack, Record, Utility
from reidbench.records.scores import RANKS, RunScores, attack_key
from reidbench.records.strata import GenuineStrata, keep_headline_strata
from reidbench.settings import Settings
from reidbench.source_version import code_version
from reidbench.steps.attackers import AttackerTraining, Trained
from reidbench.steps.cache import StepCache, hyperparameters
from reidbench.steps.classifiers import classifier_training, diagnose
from reidbench.steps.releases import ATTACKERS_VALIDATION, Originals, Published
from reidbench.steps.restoration import Restored

# Where the code lies that turns what steps made into figures.
ROOMS = ("images", "cohorts", "metrics", "utility", "records", "settings", "steps", "harness")


class Experiment:
    """One cohort under attack; what defenses can share is made once and cached.

    Args:
        cohort: with all three splits; a patient lies in one of them. Without a train split only attackers of a bundle
            can judge it, on the rungs that take no training.
        options: the dataset's options, for the record.
        settings: preset, rungs, seed, device and so on.

    Raises:
        ReidbenchError: a split that is needed has no image, or the test split no pair of one patient.
    """

    def __init__(self, cohort: Cohort, options: dict[str, Any], settings: Settings, progress: Progress) -> None:
        cleared = clear(cohort, settings.bundle, leave_out=settings.leave_out)
        self.cohort = cohort = cleared.cohort
        self.settings = settings
        self.left_out, self.known_cohort = cleared.left_out, cleared.known_cohort
        self.progress = progress
        self.cache = StepCache(settings.cache / "steps", progress.say)
        self.options = options
        self.parts = {split: cohort.part(split) for split in SPLITS}
        for split in ("train", "test") if self._trains() else ("test",):
            if not len(self.parts[split]):
                raise ReidbenchError(f"dataset {cohort.name}: the {split} split has no image; attackers need one")
        self.patients = {split: part.frame["patient"].to_numpy() for split, part in self.parts.items()}
        self.pairs, notes = judged_pairs(self.parts["test"].frame, settings)
        self.notes = [*cohort.notes, *notes]
        self.validation_pairs = calibrating_pairs(self.parts["val"].frame, settings)
        # Matched negatives leave out genuine pairs, and add none.
        kinds: list[Negatives] = [negatives for negatives in self.pairs if negatives != "matched"]
        self.strata = {negatives: GenuineStrata(self.parts["test"], self.pairs[negatives]) for negatives in kinds}
        self.originals = Originals(self.parts)
        self._memo = Memo()

    @property
    def keeps_findings(self) -> bool:
        """Whether the scores beside a record contain the findings of each image: of real patients only on request."""
        return self.settings.keep_findings or self.cohort.generated

    def facts(self) -> dict[str, Any]:
        """What every record of this experiment says of dataset and settings."""
        return {
            "dataset": self.cohort.name,
            "revision": self.cohort.revision,
            "size": self.cohort.size,
            "preset": self.settings.preset,
            "seed": self.settings.seed,
            "bootstrap_runs": self.settings.bootstrap_runs,
        }

    def reseeded(self, seed: int) -> Experiment:
        """The same experiment with another seed; the cohort and the test pairs are shared."""
        other = copy.copy(self)
        other.settings = replace(self.settings, seed=seed)
        other._memo = Memo()
        return other

    def plan(self, published: Published, plan: Plan) -> list[str]:
        """Adds all that :meth:`judge` reads; gives the ids of these steps. Makes nothing."""
        read = [add_steps(plan, published.steps("test"), published)]
        add_steps(plan, published.steps("train"), published)
        add_steps(plan, published.steps("val", ATTACKERS_VALIDATION), published)
        if any("restored" in rung.level.views for rung in self.settings.ladder) and published is not self.originals:
            # What most others wait for goes first.
            restored = self.restored(published)
            add_steps(plan, restored.training_steps(), restored)
        # What takes longest goes first, so that no process waits for a last long one: trainings before what is only
        # embedded, and of these the ones with a defense on both sides.
        for rung in sorted(self.settings.ladder, key=lambda rung: (rung.level.trains, rung.linkage), reverse=True):
            for template in self.settings.attackers:
                read += self.attack(template, rung, published).add_to(plan)
        read += self.plan_ignorant(plan)
        train = self.parts["train"]
        for images in (self.originals, published) if train.labels else ():
            training = classifier_training(train, images, settings=self.settings, cache=self.cache)
            needs = add_steps(plan, images.steps("train"), images)
            what = f"train the classifier on {images.name if images is published else 'originals'}"
            read.append(plan.add_cached([training], what, needs=[needs] if needs else []))
        read += self.inference(published).add_to(plan)
        return list(dict.fromkeys(filter(None, read)))

    def plan_ignorant(self, plan: Plan) -> list[str]:
        """Adds the attackers' training on originals; gives the ids of these steps."""
        rung = full_ladder()[0]
        return [self.attack(template, rung, self.originals).add_start(plan) for template in self.settings.attackers]

    def judge(
        self, published: Published, *, baseline: Record | None, spent: Mapping[str, float] | None = None
    ) -> tuple[Record, RunScores]:
        """Attacks what is published on every rung, measures what is left for diagnosis, and makes the record.

        Args:
            published: what is judged; the originals for the undefended run, which drops are counted from.
            baseline: the undefended run, None for itself.
            spent: seconds that were spent on what is read here, by name, for the record. If left out, all of it is
                made first, unless it is in the cache.

        Raises:
            ReidbenchError: ``spent`` is given, and a step of :meth:`plan` is not in the cache.
        """
        timings = dict(self.make(partial(self.plan, published)) if spent is None else spent)

        def timed(name: str, work: Callable[[], Any]) -> Any:
            began = time.perf_counter()
            result = work()
            timings[name] = timings.get(name, 0.0) + time.perf_counter() - began
            return result

        attacks: list[Attack] = []
        scores = self.no_scores()
        linked: dict[Rung, list[Linked]] = {rung: [] for rung in self.settings.ladder}
        for template in self.settings.attackers:
            for rung in self.settings.ladder:
                step = f"attack {template.name} {rung}"
                attack = self.attack(template, rung, published)
                linked[rung].append(timed(step, attack.read))
                judged = timed(step, partial(self.judge_links, rung, linked[rung][-1], scores))
                attacks += timed(step, partial(self.checked, judged, attack, linked[rung][-1]))
        every: dict[Rung, list[Links]] = {}
        for rung, members in linked.items():
            made = timed(f"attack {RERANKING} {rung}", partial(self.together, members))
            for links in made:
                attacks += timed(f"attack {links.name} {rung}", partial(self.judge_links, rung, links, scores))
            every[rung] = [*members, *made]
        strongest = strongest_links(every, attacks)
        linkability = [timed("linkability", partial(self._linkability, rung, links)) for rung, links in strongest]
        singled: list[SinglingOut] = []
        for rung, links in strongest:
            singled += timed("singling out", partial(self.singling_out, rung, links))
        inferred = timed("inference", self.inference(published).judge)
        copies = timed("copies", partial(judge_copies, self.parts, published, runs=self.settings.bootstrap_runs))
        utility = timed("utility", partial(self._diagnose, published, scores))
        ignorant = [self._ignorant(template).read() for template in self.settings.attackers]
        controls = timed("controls", lambda: judge_controls(self.parts, self.pairs, self.patients["test"], ignorant))
        attackers = self.settings.attackers
        record = self.record(
            id=self.identity(published),
            hyperparameters={
                **{attacker.name: bundled_hyperparameters(self.settings, attacker) for attacker in attackers},
                "classifier": hyperparameters(self.settings.classifier),
                "restorer": hyperparameters(self.settings.restorer),
            },
            defense=published.info(),
            release_sha256=pixels_digest(published.images("test").pixels),
            attacks=keep_headline_strata(attacks),
            complete=self.settings.ladder == full_ladder(),
            utility=utility,
            linkability=linkability,
            singling_out=singled,
            inference=inferred,
            copies=copies,
            bundle=bundle_info(self.settings, ignorant, left_out=self.left_out),
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
            pictures=pictures_of(self.parts["test"].frame),
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
            definitions=DEFINITIONS,
            pairs_per_patient=self.settings.pairs_per_patient,
            dataset=self._dataset_info(),
            **found,
        )

    def attack(self, template: Attacker, rung: Rung, published: Published) -> PlannedAttack:
        """One attacker on one rung; makes nothing."""
        return PlannedAttack(
            template=template,
            rung=rung,
            originals=self.originals,
            released=published,
            restored=self.restored(published),
            patients=self.patients,
            validation_pairs=self.validation_pairs,
            settings=self.settings,
            cache=self.cache,
            known_cohort=self.known_cohort,
        )

    def inference(self, published: Published) -> PlannedInference:
        """What is inferred from a release; makes nothing."""
        template = next((one for one in self.settings.attackers if not isinstance(one, PairAttacker)), None)
        attack = self.attack(template or self.settings.attackers[0], inference_rung(self.settings.ladder), published)
        return PlannedInference(self.parts, published, attack, self.settings, self.cache)

    def restored(self, published: Published) -> Restored:
        """What is published with the defense undone; makes nothing."""
        return Restored(self.originals, published, self.patients["train"], settings=self.settings, cache=self.cache)

    def make_ignorant(self, template: Attacker) -> Trained:
        """The attacker trained on originals, now unless it is in the cache: every run of this cohort, preset and seed
        shares it."""
        self.make(self.plan_ignorant)
        return self._ignorant(template).read()

    def make_links(self, template: Attacker, rung: Rung, published: Published) -> Linked:
        """One attacker on one rung, made now unless it is in the cache."""
        attack = self.attack(template, rung, published)
        self.make(attack.add_to)
        return attack.read()

    def make(self, add: Callable[[Plan], list[str]]) -> dict[str, float]:
        """Makes what a function adds to a plan, unless it is in the cache; gives the seconds that went by, by name."""
        plan = Plan()
        for step in add(plan):
            plan.want(step)
        plan.execute(self.progress, costs=Costs(self.cache.root))
        return plan.take_timings()

    def _trains(self) -> bool:
        """Whether anything is trained on the train split."""
        settings = self.settings
        climbs = any(rung.level.trains or "restored" in rung.level.views for rung in settings.ladder)
        return climbs or any(attacker.name not in settings.pretrained for attacker in settings.attackers)

    def _ignorant(self, template: Attacker) -> AttackerTraining:
        return self.attack(template, full_ladder()[0], self.originals).ignorant

    def _diagnose(self, published: Published, kept: RunScores) -> Utility | None:
        return diagnose(self.parts, self.originals, published, kept, settings=self.settings, cache=self.cache)

    def checked(self, judged: list[Attack], attack: PlannedAttack, linked: Linked) -> list[Attack]:
        """The attacks, with a check of the attacker's training where it was trained on what it attacks."""
        pairs, chosen = self.validation_pairs, attack.chosen()
        # An attacker that was trained on originals is not badly trained where a release defeats it.
        own = attack.rung.level.trains or chosen.gallery is self.originals
        if pairs is None or linked.validation is None or not own:
            return judged
        held, published = (side.images("val", ATTACKERS_VALIDATION).pixels for side in (chosen.probe, chosen.gallery))
        raw = pixel_scores(held, published, pairs)
        return add_check(
            judged,
            check_training(linked.validation[0], raw, pairs, self.patients["val"], runs=self.settings.bootstrap_runs),
        )

    def together(self, members: Sequence[Links]) -> list[Links]:
        """What is made of attackers on one rung without training."""
        return together(members, self.patients["val"], self.validation_pairs, self._pictures())

    def _pictures(self) -> Pictures:
        test, validation = (pictures_of(self.parts[split].frame) for split in ("test", "val"))
        return test, validation

    def _linkability(self, rung: Rung, links: Links) -> Linkability:
        test, validation = self.patients["test"], self.patients["val"]
        return judge_linkability(links, rung, test, validation, self._pictures(), runs=self.settings.bootstrap_runs)

    def singling_out(self, rung: Rung, links: Links) -> list[SinglingOut]:
        """Whom an attacker singles out on a rung."""
        test, validation = self.patients["test"], self.patients["val"]
        return judge_singling_out(links, rung, test, validation, self._pictures(), runs=self.settings.bootstrap_runs)

    def judge_links(self, rung: Rung, links: Links, kept: RunScores) -> list[Attack]:
        """An attacker on one rung, judged for both tasks; its scores go into ``kept``."""
        where = (links.name, rung.knowledge, rung.linkage)
        shared: dict[str, Any] = dict(zip(("attacker", "knowledge", "linkage"), where))
        shared |= {"training": links.training, "restoration": links.restoration}
        validation = None
        if links.validation is not None:
            validation = leveled(links.validation[0]), links.validation[1]
            kept.validation[attack_key(*where)] = validation[0]
        ranks, area = self._rank(links)
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
            if negatives != "matched" and not np.isnan(area):
                judged = judged.model_copy(update={"auc_all_pairs": area})
            attacks.append(Attack(task="verification", negatives=negatives, metrics=judged, **shared))
        kept.keep_ranks(attack_key(*where), ranks)
        found = [getattr(ranks, name) for name in ("average_precision", *RANKS)]
        found += [ranks.influence.gains] if ranks.influence is not None else []
        ranked = self._memo(partial(figures.retrieval, ranks, runs=self.settings.bootstrap_runs), "ranks", *found)
        attacks.append(
            Attack(task="retrieval", negatives=None, metrics=ranked, post_processing=links.post_processing, **shared)
        )
        return attacks

    def _rank(self, links: Links) -> tuple[metrics.QueryRanks, float]:
        """What every test image finds among the others, and the AUC over all pairs, in one pass over the scores."""
        patients, pictures = self.patients["test"], pictures_of(self.parts["test"].frame)
        counted = figures.all_pairs(patients, pictures)

        def block(rows: slice) -> NDArray[np.floating[Any]]:
            scores = links.block(rows)
            counted.add(rows, scores)
            return scores

        return figures.rank_images(block, patients, pictures, influence=True), counted.auc()

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
        """The record's id, known before anything is made: the same run has the same one."""
        settings = self.settings
        what = {
            "published": published.key,
            "attackers": [(a.name, hyperparameters(a)) for a in settings.attackers],
            "steps": sorted(self._ignorant(template).step.digest for template in settings.attackers),
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
