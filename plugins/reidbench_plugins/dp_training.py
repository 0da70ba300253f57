"""Differential privacy of the training patients: DP-SGD on the diagnostic network, which is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import model_validator

from reidbench import (
    Field,
    Fitted,
    LabelledImages,
    ModelDefense,
    Privacy,
    Progress,
    dp,
)
from reidbench_plugins._diagnosis import DiagnosticNetwork
from reidbench_plugins._private import PrivatePlan, PrivateTraining, learned

UNIT = "a patient of the training set, added or removed"


class DpTraining(ModelDefense):
    """Trains the diagnostic network with DP-SGD, and publishes it with its vectors of the images.

    DP-SGD of Abadi et al., "Deep learning with differential privacy" (2016), by opacus, with the patient as its unit:
    a step takes each patient with the same probability (Poisson sampling), draws one random image of each whom it took,
    clips the gradient of each patient's own loss to one norm, and adds Gaussian noise to their sum. Group norm stands
    in for batch norm, and the loss has no pair, no contrast and no memory, so that no patient is in another's gradient.
    The noise follows from epsilon, or is given; what is spent is what opacus's accountant (PRV) says of the steps made.

    The guarantee is for patients of the training set, added or removed: hardly more can be told of them from the model
    than if they had never been in it. It says nothing of other patients whose images go through the model: how well
    their vectors are linked is what the attack measures. Nor does it cover a training patient's own vectors, should
    they be published, or the losses in a record. The number of training patients counts as public, and a seed that is
    known takes the noise away.
    """

    name = "dp_training"
    family = "model"
    operating_points = {
        "mild": {"epsilon": 8.0},
        "moderate": {"epsilon": 4.0},
        "strong": {"epsilon": 2.0},
        "severe": {"epsilon": 1.0},
    }
    epsilon: Annotated[float, Field(ge=0.05, le=500)] | Literal["inf"] | None = Field(
        8.0, description="the bound for a training patient; inf trains without privacy; null where the noise is given"
    )
    noise_multiplier: Annotated[float, Field(ge=0.1, le=1000)] | None = Field(
        None, description="deviation of the noise in units of max_grad_norm, in place of epsilon"
    )
    delta: Annotated[float, Field(ge=1e-12, le=0.1)] | None = Field(
        None, description="probability that the bound doesn't hold; a tenth of 1 / patients unless given"
    )
    max_grad_norm: float = Field(1.0, ge=1e-3, le=1000, description="norm that a patient's gradient is clipped to")
    batch_size: int = Field(64, ge=1, le=65_536, description="patients that a step takes on average")
    steps: int = Field(300, ge=1, le=1_000_000, description="steps in all")
    lr: float = Field(5e-3, ge=1e-6, le=10, description="Adam's learning rate at the first step; it falls to 0")
    width: int = Field(
        8,
        ge=4,
        le=512,
        multiple_of=4,
        description="channels of the network's first layer; its vectors have 32 times as many numbers",
    )
    side: int = Field(32, ge=16, le=1024, description="pixels a side that images are averaged down to")

    @model_validator(mode="before")
    @classmethod
    def _one_of_both(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("noise_multiplier") is None:
            if isinstance(data, dict) and data.get("epsilon", 8.0) is None:
                raise ValueError("epsilon or noise_multiplier is needed")
            return data
        if data.get("epsilon") is not None:
            raise ValueError("epsilon and noise_multiplier each give the noise; name one of them")
        return {**data, "epsilon": None}

    def undefended(self) -> ModelDefense:
        """The same network and steps without clipping and noise."""
        # What only the private training looks at goes back to its default, so that all strengths share one baseline.
        plain = {"epsilon": "inf", "noise_multiplier": None}
        private = ("delta", "max_grad_norm")
        defaults = {name: type(self).model_fields[name].default for name in private}
        return self.model_copy(update={**plain, **defaults})

    def network(self, size: int, findings: int) -> DiagnosticNetwork:
        """An untrained diagnostic network."""
        return DiagnosticNetwork(findings, width=self.width, side=min(self.side, size))

    def check(self, train: LabelledImages) -> None:
        """Refuses what cannot be accounted for, as :meth:`fit` does."""
        self._accountable(train.population)

    def fit(
        self,
        network: Any,
        train: LabelledImages,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        progress: Progress,
    ) -> Fitted:
        """Trains a network.

        Raises:
            ReidbenchError: delta is not below 1 / patients, no noise reaches epsilon, or the accountant cannot tell
                what the given noise spends.
        """
        delta, plan = self._accountable(train.population)
        training = PrivateTraining(network, train, plan, seed=seed, device=device)
        history = training.run(work_dir, progress)
        findings = torch.from_numpy(train.findings.astype(np.float32))
        return Fitted(
            privacy=self._privacy(training, delta),
            epochs=len(history),
            images_seen=round(self.steps * plan.sample_rate * len(training)),
            history=history,
            learned=learned(history, findings),
        )

    def _accountable(self, population: int) -> tuple[float, PrivatePlan]:
        """δ and the plan, of which an account can be given: refused before the training, not after it."""
        delta = dp.choose_delta(self.delta, population)
        plan = self._plan(min(1.0, self.batch_size / population), delta)
        plan.guarantee(self.steps, delta, UNIT)
        return delta, plan

    def _plan(self, rate: float, delta: float) -> PrivatePlan:
        noise = self.noise_multiplier
        if noise is None and isinstance(self.epsilon, float):
            noise = dp.calibrate_noise(self.epsilon, delta, rate, self.steps)
        return PrivatePlan(
            sample_rate=rate,
            batch_size=self.batch_size,
            steps=self.steps,
            lr=self.lr,
            noise_multiplier=noise,
            max_grad_norm=self.max_grad_norm,
        )

    def _privacy(self, training: PrivateTraining, delta: float) -> Privacy | None:
        if training.accountant is None:
            return None
        # From the account of the steps that were made, not from those that were meant.
        ((noise, rate, steps),) = training.accountant.history
        made = replace(training.plan, noise_multiplier=noise, sample_rate=rate)
        return made.guarantee(steps, delta, UNIT)
