"""The conformance suite against model defenses that each break one promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reidbench import Fitted, ModelDefense, Privacy, PublishedNetwork, ReidbenchError
from reidbench.conformance import broken, check_defense
from reidbench.plugins import Registry


class Pixels(PublishedNetwork):
    """Publishes a few means of the image."""

    def __init__(self, findings: int) -> None:
        super().__init__()
        self.head = nn.Linear(16, findings)

    def embed(self, images):
        return nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)

    def classify(self, vectors):
        return self.head(vectors)


class Steady(ModelDefense):
    """Does all as it should: what the broken ones differ from."""

    name = "steady"

    def network(self, size, findings):
        return Pixels(findings)

    def fit(self, network, train, *, seed, device, work_dir, progress):
        with torch.no_grad():
            network.head.bias.copy_(torch.from_numpy(np.nanmean(train.findings, axis=0)))
        return Fitted(None, 1, len(train.pixels))

    def undefended(self):
        return self


def defense(fit=None, network=None, undefended=None) -> type[ModelDefense]:
    """The steady one with another method."""

    class Broken(Steady):
        name = "broken"

        def fit(self, network, train, **keywords):
            if fit is not None:
                fit(network, train)
            return super().fit(network, train, **keywords)

        def network(self, size, findings):
            return network(findings) if network is not None else super().network(size, findings)

        def undefended(self):
            return undefended() if undefended is not None else self

    return Broken


class OfTheBatch(Pixels):
    def embed(self, images):
        vectors = super().embed(images)
        return vectors - vectors.mean(dim=0)


class Flat(Pixels):
    def embed(self, images):
        return images.mean(dim=(1, 2, 3))


class Wrong(Pixels):
    def classify(self, vectors):
        return vectors


def draws(network, train):
    network.head.weight.data += np.random.random()  # noqa: NPY002


def changes(network, train):
    train.pixels[0] = 0


def breaks(network, train):
    raise KeyError("lost")


def diverges(network, train):
    network.head.weight.data.fill_(float("nan"))


def claims(privacy):
    def fit(self, network, train, **keywords):
        return Fitted(privacy, 1, len(train.pixels))

    return type("Claims", (Steady,), {"__module__": __name__, "name": "broken", "fit": fit})


def asked(check):
    """A defense of which a run asks before it trains."""
    return type("Asked", (Steady,), {"__module__": __name__, "name": "broken", "check": check})


def refuses(network, train):
    raise ReidbenchError("too few patients")


@pytest.mark.parametrize(
    ("broken_one", "what"),
    [
        (defense(fit=draws), "global randomness: it draws from or seeds the global generator of numpy"),
        (defense(fit=changes), "training: fit() changed what it was given in place"),
        (defense(fit=breaks), "training: fit() raised KeyError"),
        (asked(lambda self, train: {}["epsilon"]), "training: check() raised KeyError: 'epsilon'"),
        (
            asked(lambda self, train: refuses(None, train)),
            "training: it refuses all sets, from 12 patients with images",
        ),
        (defense(fit=diverges), "training: fit() left weights that are NaN or infinite"),
        (
            defense(fit=refuses),
            "training: it refuses all sets, from 12 patients with images of 32×32 to 48 ",
        ),
        (defense(network=OfTheBatch), "batches: an image's vector depends on the other images of its batch"),
        (defense(network=Flat), "training: embed() made shape (128,) of 128 images"),
        (defense(network=Wrong), "findings: classify() made (24, 16)"),
        (claims((1.0, 0.0)), "claim: what fit() guarantees: it returned tuple, not Privacy or None"),
        (claims(Privacy(1, 1, "a patient")), "claim: what fit() guarantees: it claims delta=1"),
        (defense(undefended=lambda: None), "undefended: undefended() does not give"),
    ],
    ids=lambda value: "" if isinstance(value, type) else value.partition(":")[0],
)
def test_a_broken_promise_is_named(broken_one, what) -> None:
    messages = [finding.message for finding in broken(check_defense(broken_one))]
    assert any(what in message for message in messages), messages


def test_a_steady_one_conforms() -> None:
    findings = check_defense(Steady)
    assert not broken(findings)
    assert findings[-1].property == "speed"


def test_the_built_in_one_conforms() -> None:
    cls = Registry().get("defense", "dp_training")
    for options in ({"noise_multiplier": 1.0, "steps": 2}, {"epsilon": "inf", "steps": 2}):
        findings = check_defense(cls, options)
        assert not broken(findings), broken(findings)
