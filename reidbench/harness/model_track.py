"""The track of defenses that publish a model and its vectors in place of images.

Its undefended run is the same model trained without the defense. The attacker holds the vectors of the published images
and the model, so that it makes of an original that it knows the very vector that was published of it: both linkages are
one attack. It ranks by distance, which takes no training, or trains a siamese head on vectors of its own patients.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench import __version__
from reidbench.cohorts.base import SPLITS
from reidbench.cohorts.canaries import canary_cohort
from reidbench.cohorts.pairing.pairs import pictures_of
from reidbench.defenses.model import ModelDefense
from reidbench.errors import ReidbenchError
from reidbench.harness.controls import judge_controls
from reidbench.harness.experiment import ROOMS, Experiment
from reidbench.harness.plan import Plan
from reidbench.harness.questions.inference import inference_rung
from reidbench.harness.questions.inferring import Inferring
from reidbench.harness.questions.linkability import strongest_links
from reidbench.harness.scores.sources import Links
from reidbench.harness.scores.vectors import DISTANCE, VectorDistance, VectorHead, link_vectors
from reidbench.harness.training_check import add_check, check_training
from reidbench.harness.untrained import NETWORKS, judge_untrained
from reidbench.plugins import Found
from reidbench.records.diagnosis import few_patients, judge_predictions, truth_of
from reidbench.records.ladder import Rung, full_ladder
from reidbench.records.membership import (
    CANARIES,
    audit_by_canaries,
    coins,
    confidence,
    judge_membership,
    unclaimed_delta,
)
from reidbench.records.parts.membership import EpsilonAudit, Membership, Untrained
from reidbench.records.parts.questions import Inference, SinglingOut
from reidbench.records.quantize import leveled
from reidbench.records.schema import Attack, Controls, Fidelity, Record, Utility
from reidbench.records.scores import RunScores, classifier_key
from reidbench.records.strata import keep_headline_strata
from reidbench.source_version import code_version
from reidbench.steps.cache import CachedStep, hyperparameters
from reidbench.steps.published_model import TrainedModel
from reidbench.steps.vector_heads import head_training, read_head


class ModelTrack:
    """Published models under attack, on the cohort and the test pairs of an experiment.

    Raises:
        ReidbenchError: none of the rungs that were asked for is one of this track.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.settings = experiment.settings
        self.cache = experiment.cache
        self.ladder = tuple(rung for rung in self.settings.ladder if rung in full_ladder("model"))
        if not self.ladder:
            asked = ", ".join(map(str, self.settings.ladder))
            raise ReidbenchError(
                f"--rung {asked}: a published model is attacked on {', '.join(map(str, full_ladder('model')))}"
            )

    @property
    def keeps_findings(self) -> bool:
        """As :attr:`Experiment.keeps_findings` says."""
        return self.experiment.keeps_findings

    def facts(self) -> dict[str, Any]:
        """As :meth:`Experiment.facts` says."""
        return self.experiment.facts()

    def publish(self, defense: ModelDefense, found: Found) -> TrainedModel:
        """What a defense publishes; nothing is trained before it is asked for.

        Raises:
            ReidbenchError: the defense would not train on this cohort.
        """
        model = TrainedModel(defense, found, self.experiment.cohort, settings=self.settings, cache=self.cache)
        model.check()
        return model

    def plan(self, published: TrainedModel, plan: Plan) -> list[str]:
        """Adds all that :meth:`judge` reads; gives the ids of these steps. Makes nothing."""
        models = [(published, f"train {self._text(published)}")]
        shadows = enumerate(self._shadows(published, self._coins()))
        models += [(shadow, f"train shadow {number + 1} of {self._text(published)}") for number, shadow in shadows]
        audited = self._audited(published)
        for one in audited.models:
            models.append((one, f"train on canaries the model of {one.defense.name}"))
        for one in audited.plain:
            models.append((one, f"train on canaries {self._text(one)}"))
        bare = self._bare(published)
        models += [(one, f"initialize network {number + 1} without training") for number, one in enumerate(bare)]
        # The controls ask whether the model and the attacker learned without the defense.
        heads = any(rung.level.trains for rung in self.ladder)
        plain = published.without_defense()
        models.append((plain, f"train {self._text(plain)}"))
        trained = {model: plan.add_cached([model.training], what) for model, what in models}
        made: dict[TrainedModel, str] = {}
        for model, what in dict(models).items():
            splits = ["train", "val", "test"]
            if model is plain and model is not published:
                splits = ["train"] if heads else []
            if model in bare and not heads:
                splits = ["val", "test"]
            if there := [split for split in splits if len(model.cohort.rows(split))]:
                vectors = [model.vectors_step(split) for split in there]
                what = f"{what.replace('train', 'ask', 1)} for its vectors"
                # After all trainings: what is made in the process of the run lets no other process begin.
                made[model] = plan.add_cached(vectors, what, needs=trained.values(), here=True)
        read = [*trained.values(), *made.values()]
        for model in dict.fromkeys((published, plain, *bare)) if heads else ():
            of = "an untrained network" if model in bare else self._text(model)
            what = f"train {self.settings.vector_head.name} on the vectors of {of}"
            read.append(plan.add_cached([self._head_training(model)], what, needs=[made[model]], here=True))
        return list(dict.fromkeys(read))

    def judge(
        self, published: TrainedModel, *, baseline: Record | None, spent: Mapping[str, float] | None = None
    ) -> tuple[Record, RunScores]:
        """Attacks a published model's vectors and its training patients, measures its utility, and makes the record.

        Args:
            published: what is judged.
            baseline: the undefended run of this track, None for itself.
            spent: as :meth:`Experiment.judge` has it.
        """
        experiment = self.experiment
        timings = dict(experiment.make(partial(self.plan, published)) if spent is None else spent)

        def timed(name: str, work: Callable[[], Any]) -> Any:
            began = time.perf_counter()
            result = work()
            timings[name] = timings.get(name, 0.0) + time.perf_counter() - began
            return result

        tossed = self._coins()
        shadows = self._shadows(published, tossed)
        audited = self._audited(published)
        scores = experiment.no_scores()
        attacks: list[Attack] = []
        every: dict[Rung, list[Links]] = {}
        for rung in self.ladder:
            links = timed(f"attack {rung}", partial(self._link, published, rung))
            every[rung] = [links, *timed(f"attack {rung}", partial(experiment.together, [links]))]
            for one in every[rung]:
                judged = timed(f"attack {rung}", partial(experiment.judge_links, rung, one, scores))
                attacks += timed(f"attack {rung}", partial(self._checked, judged, published, one))
        singled: list[SinglingOut] = []
        for rung, one in strongest_links(every, attacks):
            singled += timed("singling out", partial(experiment.singling_out, rung, one))
        inferred = timed("inference", partial(self._inference, published))
        utility = timed("utility", partial(self._utility, published, scores))
        membership = timed("membership", partial(self._membership, published, shadows, tossed, audited))
        controls = timed("controls", partial(self._controls, published.without_defense()))
        untrained = timed("controls", partial(self._untrained, published))
        made = experiment.record(
            id=self.identity(published),
            track="model",
            hyperparameters={model.name: hyperparameters(model) for model in self._models()},
            defense=published.info(),
            attacks=keep_headline_strata(attacks),
            complete=self.ladder == full_ladder("model"),
            utility=utility,
            membership=membership,
            untrained=untrained,
            singling_out=singled,
            inference=inferred,
            controls=controls,
            timings={name: round(seconds, 2) for name, seconds in timings.items()},
            baseline_id=baseline.id if baseline else None,
        )
        return made, scores

    def identity(self, published: TrainedModel) -> str:
        """The record's id, known before anything is trained: the same run has the same one."""
        settings = self.settings
        what = {
            "track": "model",
            "published": published.key,
            "undefended": published.without_defense().key,
            "models": [(model.name, hyperparameters(model)) for model in self._models()],
            "ladder": [str(rung) for rung in self.ladder],
            "negatives": list(self.experiment.pairs),
            "overrides": dict(settings.overrides),
            "code": [code_version(f"reidbench.{room}") for room in ("attackers", "networks", *ROOMS)],
            "runs": settings.bootstrap_runs,
            "preset": settings.preset,
            "seed": settings.seed,
            "version": __version__,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    def _models(self) -> tuple[Any, ...]:
        return self.settings.vector_head, self.settings.membership

    def _text(self, model: TrainedModel) -> str:
        name = model.defense.name
        return f"the model of {name} without its defense" if model.undefended else f"the model of {name}"

    def _shadows(self, published: TrainedModel, tossed: NDArray[np.bool_]) -> list[TrainedModel]:
        return [published.shadow(number, chosen) for number, chosen in enumerate(tossed)]

    def _bare(self, published: TrainedModel) -> list[TrainedModel]:
        # Of the undefended model: all defenses of it share the control.
        plain = published.without_defense()
        return [plain.before_training(number) for number in range(NETWORKS)]

    def _untrained(self, published: TrainedModel) -> Untrained:
        experiment = self.experiment
        # Both linkages are one attack.
        rungs = {rung.knowledge: rung for rung in self.ladder}.values()
        networks = []
        for model in self._bare(published):
            attackers: list[Links] = []
            for rung in rungs:
                links = self._link(model, rung)
                attackers += [links, *experiment.together([links])]
            networks.append(attackers)
        pictures = pictures_of(experiment.parts["test"].frame)
        return judge_untrained(networks, experiment.pairs, experiment.patients["test"], pictures)

    def _audited(self, published: TrainedModel) -> _Canaries:
        options = self.settings.membership
        if not (options.shadows and options.canaries):
            return _Canaries()
        cohort, seed = self.experiment.cohort, self.settings.seed
        canaries = canary_cohort(cohort.size, cohort.labels, options.canaries, seed)
        tossed = [coins(len(canaries), number, seed, of=CANARIES) for number in range(options.canary_models)]
        models = [published.with_canaries(number, canaries, chosen) for number, chosen in enumerate(tossed)]
        plain = published.without_defense()
        if plain is published:
            return _Canaries(models, models, np.stack(tossed))
        without = [plain.with_canaries(number, canaries, chosen) for number, chosen in enumerate(tossed)]
        return _Canaries(models, without, np.stack(tossed))

    def _coins(self) -> NDArray[np.bool_]:
        patients = int(self.experiment.cohort.frame["patient"].nunique())
        shadows = range(self.settings.membership.shadows)
        chosen = [coins(patients, shadow, self.settings.seed) for shadow in shadows]
        return np.stack(chosen) if chosen else np.empty((0, patients), dtype=np.bool_)

    def _link(self, published: TrainedModel, rung: Rung) -> Links:
        if not rung.level.trains:
            return link_vectors(VectorDistance(), published, self.experiment.validation_pairs)
        return link_vectors(self._head(published), published, self.experiment.validation_pairs)

    def _checked(self, judged: list[Attack], published: TrainedModel, links: Links) -> list[Attack]:
        """The attacks, with a check of the head's training against the vectors as they are."""
        pairs = self.experiment.validation_pairs
        if links.training is None or links.validation is None or pairs is None:
            return judged
        plain = link_vectors(VectorDistance(), published, pairs).validation
        assert plain is not None
        patients, runs = self.experiment.patients["val"], self.settings.bootstrap_runs
        return add_check(judged, check_training(links.validation[0], plain[0], pairs, patients, runs=runs))

    def _head(self, published: TrainedModel) -> VectorHead:
        trained = read_head(self._head_training(published).read(), published, self.settings)
        return VectorHead(trained.model, trained.training, self.settings.device)

    def _head_training(self, published: TrainedModel) -> CachedStep:
        patients = self.experiment.patients["train"]
        return head_training(published, patients, settings=self.settings, cache=self.cache)

    def _inference(self, published: TrainedModel) -> Inference | None:
        """What published vectors tell of sex and age; None where too little is known of the patients."""
        experiment = self.experiment
        inferring = Inferring(experiment.parts, self.settings, validated=experiment.validation_pairs is not None)
        if not inferring.attributes[0]:
            return None
        rung = inference_rung(self.ladder)
        vectors = {split: published.vectors(split) for split in inferring.splits}
        return Inference(
            knowledge=rung.knowledge,
            linkage=rung.linkage,
            # The published vectors do not depend on the attacker.
            attacker=DISTANCE,
            learned_on="train" if inferring.learns else "test",
            attributes=inferring.infer(vectors, {}),
        )

    def _utility(self, published: TrainedModel, scores: RunScores) -> Utility:
        training = published.train(progress=self.experiment.progress)
        logits = leveled(published.logits("test"))
        scores.predictions[classifier_key("originals", "originals")] = logits
        test, least = self.experiment.parts["test"], self.settings.finding_patients
        left_out = few_patients(self.experiment.parts["train"], test, least)
        judged = judge_predictions(
            logits,
            truth_of(test),
            test.frame["patient"].to_numpy(),
            tuple(test.labels),
            "originals",
            "originals",
            training,
            left_out=left_out,
            undefended=None,
            bootstrap_runs=self.settings.bootstrap_runs,
        )
        fidelity = Fidelity(ssim=None, psnr=None)
        return Utility(classifiers=[judged], finding_patients=least, left_out=left_out, fidelity=fidelity)

    def _membership(
        self, published: TrainedModel, shadows: list[TrainedModel], tossed: NDArray[np.bool_], audited: _Canaries
    ) -> Membership | None:
        if not shadows:
            return None
        cohort = self.experiment.cohort
        attacked, *learnt = (
            confidence(np.concatenate([model.logits(split) for split in SPLITS if len(cohort.rows(split))]), cohort)
            for model in (published, *shadows)
        )
        claimed = published.privacy()
        delta = claimed.delta if claimed else unclaimed_delta(len(np.unique(self.experiment.patients["train"])))
        return judge_membership(
            cohort,
            attacked,
            learnt,
            tossed,
            delta=delta,
            runs=self.settings.bootstrap_runs,
            audited=audited.judge(delta),
        )

    def _controls(self, undefended: TrainedModel) -> Controls:
        experiment = self.experiment
        found = judge_controls(experiment.parts, experiment.pairs, experiment.patients["test"], [])
        problems = []
        if not undefended.train(progress=experiment.progress).learned:
            problems.append("the undefended model never learned: it knows no more than the findings' frequencies")
        if any(rung.level.trains for rung in self.ladder) and not self._head(undefended).training.learned:
            problems.append(
                "the vector_head attacker never learned on the undefended model: its loss stayed where it began"
            )
        return found.model_copy(update={"problems": problems})


@dataclass(frozen=True, eq=False)
class _Canaries:
    """The models of an audit by canaries, with the defense and without it; none where no such audit is asked for.

    Attributes:
        tossed: (T, C) booleans, which canaries each was trained on.
    """

    models: Sequence[TrainedModel] = ()
    plain: Sequence[TrainedModel] = ()
    tossed: NDArray[np.bool_] | None = None

    def judge(self, delta: float) -> EpsilonAudit | None:
        if self.tossed is None:
            return None
        found = [confidence(model.logits("train"), model.cohort) for model in self.models]
        plain = found
        if self.plain is not self.models:
            plain = [confidence(model.logits("train"), model.cohort) for model in self.plain]
        return audit_by_canaries(found, plain, self.tossed, delta=delta)
