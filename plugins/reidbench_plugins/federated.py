"""Federated averaging of the diagnostic network over sites, with or without differential privacy at each."""

from __future__ import annotations

import copy
import hashlib
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench import Field, Fitted, LabelledImages, ModelDefense, Progress, ReidbenchError, dp, write_file
from reidbench_plugins._diagnosis import DiagnosticNetwork
from reidbench_plugins._private import PrivatePlan, PrivateTraining, learned, seed_of

CHECKPOINT = "rounds.ckpt"


class Federated(ModelDefense):
    """Trains the diagnostic network by federated averaging over sites, and publishes it with its vectors of the images.

    FedAvg of McMahan et al., "Communication-efficient learning of deep networks from decentralized data" (2017): in
    each round every site goes on from the common weights for some steps on its own patients, and the mean of the sites'
    weights is the next common network. No image leaves its site; what is published in the end is a network like any
    other, which is why it is attacked like any other. A patient is at one site, by a hash of seed and identifier. All
    sites have an equal say in the mean, whatever the number of their patients, with privacy or without.

    With epsilon, each site trains as dp_training does, on its own patients and its own account: since a patient is at
    one site only, the sites' guarantees don't add up. A patient is added to a site or removed from it, and all others
    stay where they are. There is no trusted aggregator, so each site adds the noise that its own guarantee needs: the
    result is a worse network than one central training with the same epsilon gives.
    """

    # A loop of our own: Flower's simulation needs Ray, and Flower itself an older typer than the command line's. What
    # is left of it without both would be the mean of the weights, which is a line.
    name = "federated"
    family = "model"
    operating_points = {
        "mild": {"sites": 2},
        "moderate": {"sites": 4},
        "strong": {"sites": 4, "epsilon": 8.0},
        "severe": {"sites": 4, "epsilon": 2.0},
    }
    sites: int = Field(4, ge=1, le=1000, description="sites among which the patients are divided")
    rounds: int = Field(10, ge=1, le=100_000, description="how often the sites' weights are averaged")
    steps: int = Field(30, ge=1, le=1_000_000, description="steps of each site in a round")
    epsilon: Annotated[float, Field(ge=0.05, le=500)] | Literal["inf"] = Field(
        "inf", description="the bound for a training patient over all rounds; inf trains without privacy"
    )
    delta: Annotated[float, Field(ge=1e-12, le=0.1)] | None = Field(
        None, description="probability that the bound doesn't hold; a tenth of 1 / patients unless given"
    )
    max_grad_norm: float = Field(1.0, ge=1e-3, le=1000, description="norm that a patient's gradient is clipped to")
    batch_size: int = Field(32, ge=1, le=65_536, description="patients that a site's step takes on average")
    lr: float = Field(5e-3, ge=1e-6, le=10, description="Adam's learning rate in the first round; it falls to 0")
    width: int = Field(
        8,
        ge=4,
        le=512,
        multiple_of=4,
        description="channels of the network's first layer; its vectors have 32 times as many numbers",
    )
    side: int = Field(32, ge=16, le=1024, description="pixels a side that images are averaged down to")

    def undefended(self) -> ModelDefense:
        """The same network in as many steps at a single site, which has all patients, without privacy."""
        defaults = {name: type(self).model_fields[name].default for name in ("delta", "max_grad_norm")}
        alone = {"sites": 1, "rounds": 1, "steps": self.rounds * self.steps, "epsilon": "inf"}
        return self.model_copy(update={**alone, **defaults})

    def network(self, size: int, findings: int) -> DiagnosticNetwork:
        """An untrained diagnostic network."""
        return DiagnosticNetwork(findings, width=self.width, side=min(self.side, size))

    def check(self, train: LabelledImages) -> None:
        """Refuses an epsilon that no noise reaches, as :meth:`fit` does."""
        self._noise(train.population)

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
            ReidbenchError: delta is not below 1 / patients, no noise reaches epsilon, or a site has no patient.
        """
        delta, share, rate, noise = self._noise(train.population)
        where = sites_of(train, self.sites, seed)
        parts = [at_site(train, where == site, share) for site in range(self.sites)]
        if not all(len(part.pixels) for part in parts):
            count = len(np.unique(train.patients))
            raise ReidbenchError(f"sites={self.sites}: a site has none of the {count} patients; give fewer sites")
        history = self._resume(network, work_dir, device)
        with progress.task(f"federated training over {len(parts)} sites", self.rounds) as advance:
            advance(len(history))
            for number in range(len(history), self.rounds):
                plan = self._plan(rate, noise, self.lr * (1 - number / self.rounds))
                losses, states = [], []
                for site, part in enumerate(parts):
                    local = copy.deepcopy(network)
                    training = PrivateTraining(
                        local, part, plan, seed=seed_of("site", seed, site, number), device=device
                    )
                    made = training.run(work_dir / f"round {number} site {site}", _Quiet())
                    losses.append(made[-1]["train_loss"])
                    states.append(local.state_dict())
                network.load_state_dict(mean_of(states))
                history.append({"epoch": float(number + 1), "train_loss": float(np.mean(losses))})
                self._save(network, history, work_dir)
                advance(1)
        unit = "a patient of the training set, added or removed, at one of the sites"
        privacy = self._plan(rate, noise, self.lr).guarantee(self.rounds * self.steps, delta, unit)
        seen = round(self.rounds * self.steps * rate * len(np.unique(train.patients)))
        findings = torch.from_numpy(train.findings.astype(np.float32))
        return Fitted(privacy, self.rounds, seen, history, learned(history, findings))

    def _noise(self, population: int) -> tuple[float, int, float, float | None]:
        """δ, a site's patients, the rate at which a step takes one, and the noise for epsilon."""
        delta = dp.choose_delta(self.delta, population)
        # As many as each site has on average: a public number, unlike how many it really has.
        share = max(1, round(population / self.sites))
        rate = min(1.0, self.batch_size / share)
        noise = (
            dp.calibrate_noise(self.epsilon, delta, rate, self.rounds * self.steps) if self.epsilon != "inf" else None
        )
        return delta, share, rate, noise

    def _plan(self, rate: float, noise: float | None, lr: float) -> PrivatePlan:
        return PrivatePlan(
            sample_rate=rate,
            batch_size=self.batch_size,
            steps=self.steps,
            lr=lr,
            noise_multiplier=noise,
            max_grad_norm=self.max_grad_norm,
        )

    def _resume(self, network: Any, work_dir: Path, device: torch.device) -> list[dict[str, float]]:
        path = work_dir / CHECKPOINT
        if not path.is_file():
            return []
        state = torch.load(path, map_location=device, weights_only=True)
        if state["options"] != self.model_dump_json():
            raise ReidbenchError(f"{path}: the checkpoint of another training; use another folder")
        network.load_state_dict(state["network"])
        history: list[dict[str, float]] = state["history"]
        return history

    def _save(self, network: Any, history: list[dict[str, float]], work_dir: Path) -> None:
        state = {"options": self.model_dump_json(), "network": network.state_dict(), "history": history}
        write_file(work_dir / CHECKPOINT, partial(torch.save, state))


class _Quiet:
    """No bar for a site's steps: the rounds have one."""

    def task(self, description: str, total: int) -> Any:
        return nullcontext(lambda count: None)

    def say(self, line: str) -> None:
        pass


def sites_of(train: LabelledImages, sites: int, seed: int) -> NDArray[np.int64]:
    """Each image's site, (N,) from 0 to ``sites`` - 1; a patient's site does not depend on the other patients.

    It is a hash of seed and identifier, which deals patients out evenly on average only, and a site may get none
    where they are few.
    """
    names = train.patients if train.identifiers is None else train.identifiers
    # Each patient is hashed once, however many images are theirs.
    known, image = np.unique(names, return_inverse=True)
    digests = (hashlib.blake2b(f"site {seed} {name}".encode(), digest_size=8).digest() for name in known)
    site = np.array([int.from_bytes(digest, "little") % sites for digest in digests], dtype=np.int64)
    where: NDArray[np.int64] = site[image]
    return where


def at_site(train: LabelledImages, rows: NDArray[np.bool_], population: int) -> LabelledImages:
    """The images of a site's patients.

    Args:
        rows: (N,) whether an image is at the site.
        population: the public number of patients at a site.
    """
    return LabelledImages(train.pixels[rows], train.patients[rows], train.findings[rows], population)


def mean_of(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of the sites' weights, each with an equal say: how many patients a site has is not public."""
    return {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}
