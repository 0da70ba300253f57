"""The conformance suite against defenses that refuse some images or sets, or all small ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reidbench import Fitted, FittedDefense, ModelDefense, PublishedNetwork, ReidbenchError
from reidbench.conformance import broken, check_defense
from reidbench.conformance.samples import shapes, uneven


def test_refusing_large_images_is_no_failure(image_defense) -> None:
    def body(images, rng):
        if images.shape[-1] > 60:
            raise ReidbenchError("at most 60 pixels")
        return images * 0.5

    findings = check_defense(image_defense(body))
    assert not broken(findings)
    assert [finding.property for finding in findings if not finding.passed] == ["not an identity", "speed"]


def test_refusals_with_a_reason_are_no_failures(of, image_defense) -> None:
    def body(images, rng):
        if images.shape[-1] % 2:
            raise ReidbenchError("odd widths are refused")
        return images * 0.5

    findings = check_defense(image_defense(body))
    assert not broken(findings)
    assert "13 were refused: odd widths are refused" in of(findings, "shape").message


def test_refusing_everything_is_a_failure(image_defense) -> None:
    def body(images, rng):
        raise ReidbenchError("no")

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.message == "broken: exception: it refuses all images, of 32 to 256 pixels a side: no"


def needs(side, then):
    """Refuses images that are smaller."""

    def body(images, rng):
        if min(images.shape[-2:]) < side:
            raise ReidbenchError(f"at least {side} pixels")
        return then(images, rng)

    return body


def halves(images, rng):
    return images * 0.5


def draws_globally(images, rng):
    return (images + 0.1 * torch.randn_like(images)).clamp(0, 1)


@pytest.mark.parametrize(("side", "at"), [(49, 64), (96, 96)])
def test_a_defense_that_needs_larger_images_is_checked_on_them(of, image_defense, side: int, at: int) -> None:
    findings = check_defense(image_defense(needs(side, halves)))
    assert all(finding.passed for finding in findings), findings
    assert of(findings, "size").message == (
        f"checked on images of {at}×{at} and more; less is refused: at least {side} pixels"
    )
    assert of(findings, "shape").message == "on 51 inputs"


def test_nothing_is_said_of_the_size_where_the_smallest_does(noise) -> None:
    assert "size" not in {finding.property for finding in check_defense(noise)}


def test_what_larger_images_show_is_named(of, image_defense) -> None:
    findings = check_defense(image_defense(needs(100, draws_globally)))
    assert of(findings, "global randomness") in broken(findings)
    assert of(findings, "global randomness").message.endswith("smallest input: 1 noisy image of 128×192")


def takes_tall(images, rng):
    if images.shape[-2] < 40:
        raise ReidbenchError("at least 40 rows")
    return draws_globally(images, rng)


def takes_square(images, rng):
    if images.shape[-2] != images.shape[-1]:
        raise ReidbenchError("images must be square")
    return draws_globally(images, rng)


@pytest.mark.parametrize("body", [takes_tall, takes_square])
def test_one_that_takes_few_shapes_is_checked_on_those(image_defense, body) -> None:
    named = {finding.property for finding in broken(check_defense(image_defense(body)))}
    assert {"global randomness", "determinism"} <= named


def test_refusing_batches_that_it_took_before_is_a_finding(image_defense) -> None:
    together: set[bytes] = set()

    def body(images, rng):
        rows = {image.detach().numpy().tobytes() for image in images}
        if len(rows) == 1 and rows <= together:
            raise ReidbenchError("it was in a batch before")
        if len(rows) > 1:
            together.update(rows)
        return images * 0.5

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.property == "exception"
    assert finding.message.endswith("it was in a batch before, on images that it took before")


@pytest.mark.parametrize(("people", "side", "at"), [(20, 0, (24, 32)), (40, 0, (48, 32)), (0, 90, (12, 96))])
def test_a_cohort_defense_that_needs_more_is_given_more(
    of, cohort_defense, people: int, side: int, at: tuple[int, int]
) -> None:
    def body(pixels, patients, rng):
        if patients.max() + 1 < people or min(pixels.shape[1:]) < side:
            raise ReidbenchError("not enough")
        return pixels // 2

    findings = check_defense(cohort_defense(body))
    assert all(finding.passed for finding in findings), findings
    assert of(findings, "size").message == (
        f"checked on {at[0]} patients with images of {at[1]}×{at[1]}; less is refused: not enough"
    )


def test_what_only_many_patients_show_is_named(of, cohort_defense) -> None:
    def body(pixels, patients, rng):
        if patients.max() < 19:
            raise ReidbenchError("at least 20 patients")
        return np.broadcast_to(pixels[0], pixels.shape)

    assert "of 24 patients" in of(broken(check_defense(cohort_defense(body))), "order").message


class Learns(FittedDefense):
    """Learns the mean, of 20 patients with images of 90 pixels or more."""

    name = "learns"

    def build(self):
        network = nn.Conv2d(1, 1, 1)
        network.register_buffer("mean", torch.zeros(()))
        return network

    def fit(self, network, data, *, seed, device, work_dir, progress=None):
        if data.patients.max() < 19 or data.pixels.shape[1] < 90:
            raise ReidbenchError("at least 20 patients and 90 pixels")
        network.mean.fill_(float(data.pixels.mean() / 255))
        return [{}]

    def transform(self, images, *, rng):
        return needs(60, lambda images, rng: images / 2 + self.network.mean / 2)(images, rng)


def test_a_fitted_defense_that_needs_more_is_trained_on_more(of) -> None:
    findings = check_defense(Learns)
    assert all(finding.passed for finding in findings), findings
    assert of(findings, "size of the training").message == (
        "96 smooth images of 96×96, 48 patients; less is refused: at least 20 patients and 90 pixels"
    )
    assert of(findings, "size").message.startswith("checked on images of 64×64 and more")


def test_what_is_learned_outside_shows_at_the_size_that_it_takes() -> None:
    class Outside(Learns):
        """Keeps what it learned where no file holds it."""

        name = "outside"

        def fit(self, network, data, **where):
            history = super().fit(network, data, **where)
            network.shade = 0.5
            return history

        def transform(self, images, *, rng):
            return super().transform(images, rng=rng) * getattr(self.network, "shade", 1)

    (finding,) = broken(check_defense(Outside))
    assert finding.property == "save and load"


class Corner(PublishedNetwork):
    """Publishes a few pixels."""

    def __init__(self, findings: int) -> None:
        super().__init__()
        self.head = nn.Linear(16, findings)

    def embed(self, images):
        return images[:, 0, :4, :4].flatten(1)

    def classify(self, vectors):
        return self.head(vectors)


def test_a_model_defense_that_needs_more_is_trained_on_more(of) -> None:
    class Many(ModelDefense):
        """Trains on 20 patients or more."""

        name = "many"

        def network(self, size, findings):
            return Corner(findings)

        def fit(self, network, train, **where):
            if train.population < 20:
                raise ReidbenchError("at least 20 patients")
            return Fitted(None, 1, len(train.pixels))

        def undefended(self):
            return self

    findings = check_defense(Many)
    assert not broken(findings)
    assert of(findings, "size of the training").message == (
        "24 patients with images of 32×32; less is refused: at least 20 patients"
    )


def test_uneven_sets_hold_one_to_four_images_of_each_patient_and_no_pairs() -> None:
    for patients in (12, 24, 48):
        images = uneven("noisy", patients, *shapes()[0])
        counts = np.bincount(images.patients)
        assert len(counts) == patients
        assert set(counts) == {1, 2, 3, 4}
        assert (np.diff(images.patients) < 0).any(), "not in the order of patients"
    assert len(uneven("noisy", 12, 32, 32).pixels) % 2
