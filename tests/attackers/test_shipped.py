"""Weights that ship with the package: of generated patients, good at once on others, and of one shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.retrieval import Retrieval
from reidbench.attackers.siamese import SHIPPED
from reidbench.attackers.verification import Verification
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.metrics import roc_auc
from reidbench.progress import Silent

CPU = torch.device("cpu")
BOTH = pytest.mark.parametrize("attacker_class", [Verification, Retrieval])


@pytest.fixture(scope="module", params=[1, 2])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def weights(version):
    """Those that were trained on this version."""
    return {1: "phantom", 2: "phantom-2"}[version]


@pytest.fixture(scope="module")
def others(version, tmp_path_factory):
    """Generated patients of another seed than the weights'."""
    dataset = Phantom(version=version, patients=40, images_per_patient=4)
    return load_cohort(dataset, size=64, cache=tmp_path_factory.mktemp("cache"), strict=True, progress=Silent())


def fitted(attacker_class, others, folder, **options):
    pixels, patients = np.asarray(others.pixels), others.frame["patient"].to_numpy()

    def side(index, *, generator, device):
        return torch.from_numpy(pixels[index]).to(device).unsqueeze(1).float() / 255

    attacker = attacker_class(**{**attacker_class.presets["quick"], "max_steps": 2, "min_steps": 2, **options})
    val = Fixed(patients, pixels, pixels)
    training = attacker.fit(Scenario(patients, side, side, 64), val, seed=0, device=CPU, work_dir=folder)
    return attacker, training


@BOTH
def test_they_know_generated_patients_they_never_saw_and_are_left_alone(attacker_class, weights, others, tmp_path):
    attacker, training = fitted(attacker_class, others, tmp_path, weights=weights, enough=0.93)
    assert (training.epochs, training.images_seen, training.kept_start) == (0, 0, True)
    with attacker.siamese.unmoved():
        vectors = attacker.embed(others.pixels, device=CPU)
    patients = others.frame["patient"].to_numpy()
    upper = np.triu_indices(len(patients), 1)
    same = (patients[:, None] == patients[None])[upper]
    assert roc_auc(attacker.score_block(vectors, vectors)[upper], same) == pytest.approx(
        training.history[0]["val_auc"], abs=1e-6
    )


@BOTH
def test_below_what_is_enough_they_are_trained_on(attacker_class, weights, others, tmp_path):
    _, training = fitted(attacker_class, others, tmp_path, weights=weights, enough=1.1)
    assert training.epochs == 1
    assert training.images_seen > 0


@BOTH
@pytest.mark.parametrize("other", [{"grid": 4}, {"dimensions": 64}, {"backbone": "resnet18"}])
def test_another_network_is_refused(attacker_class, other):
    for weights in SHIPPED:
        with pytest.raises(ValidationError, match=f"weights={weights} are .*another network needs weights=random"):
            attacker_class(weights=weights, **other)


@pytest.mark.parametrize("folder", SHIPPED.values(), ids=SHIPPED)
def test_they_are_small(folder):
    files = list(folder.glob("*.safetensors"))
    assert {file.stem for file in files} == {"verification", "retrieval"}
    assert sum(file.stat().st_size for file in files) < 5e6
