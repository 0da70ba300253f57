"""Bundles as folders: what is written is read back, and what was changed is refused in one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from reidbench import metrics
from reidbench.bundles.bundle import Bundle, find_bundle, read_bundle, read_card, shipped_bundles
from reidbench.bundles.card import CARD, IMAGES
from reidbench.bundles.training_images import image_digests
from reidbench.bundles.write import halve, judge
from reidbench.choosing import choose_dataset
from reidbench.cohorts.load import load_cohort
from reidbench.errors import ReidbenchError
from reidbench.files import content_digest
from reidbench.plugins import Registry
from tests.bundles.conftest import TRAINED_ON

CPU = torch.device("cpu")


@pytest.fixture
def copied(bundle_folder, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(bundle_folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory):
    dataset = choose_dataset(Registry(), TRAINED_ON, None)
    return load_cohort(dataset, size=32, cache=tmp_path_factory.mktemp("cache"))


def loaded(bundle, name):
    attacker = bundle.attacker(Registry(), name)
    attacker.load(bundle.weights(name), device=CPU)
    return attacker


@pytest.mark.parametrize("name", ["retrieval", "verification"])
def test_the_card_tells_the_figures_of_the_weights_beside_it(bundle_folder, trained_on, name):
    bundle = read_bundle(bundle_folder)
    attacker, test = loaded(bundle, name), trained_on.part("test")
    vectors = attacker.embed(test.pixels, device=CPU)
    patients = test.frame["patient"].to_numpy()
    first, second = np.triu_indices(len(test), 1)
    scores = attacker.score(vectors[first], vectors[second])
    told = bundle.card.attackers[name].figures["test"]
    assert told.auc == pytest.approx(metrics.roc_auc(scores, patients[first] == patients[second]), abs=1e-5)
    assert (told.images, told.patients) == (len(test), len(set(patients)))
    matrix = attacker.score_block(vectors, vectors)
    np.fill_diagonal(matrix, -np.inf)
    some = [row for row in range(len(test)) if (patients == patients[row]).sum() > 1]
    hits = [patients[matrix[row].argmax()] == patients[row] for row in some]
    assert told.precision_at_1 == pytest.approx(np.mean(hits), abs=1e-6)


def test_the_training_images_are_recognized_and_no_others(bundle_folder, trained_on):
    bundle = read_bundle(bundle_folder)
    train, test = trained_on.part("train"), trained_on.part("test")
    assert bundle.seen(train.pixels).all()
    assert not bundle.seen(test.pixels).any()
    assert bundle.card.training_images.count == len(set(image_digests(train.pixels)))
    assert (bundle.card.dataset.patients, bundle.card.dataset.generated) == (train.frame["patient"].nunique(), True)


def test_a_scale_of_the_validation_pairs_is_kept(bundle_folder):
    for told in read_bundle(bundle_folder).card.attackers.values():
        assert told.scale is not None
        assert told.scale.deviation > 0


def test_half_precision_halves_the_file_and_moves_no_figure(copied, trained_on):
    bundle, test = read_bundle(copied), trained_on.part("test")
    path, patients = bundle.weights("retrieval"), test.frame["patient"].to_numpy()
    before, bytes_before = judge(loaded(bundle, "retrieval"), test.pixels, patients, CPU), path.stat().st_size
    halve(path)
    after = judge(loaded(bundle, "retrieval"), test.pixels, patients, CPU)
    assert path.stat().st_size < 0.6 * bytes_before
    assert after.auc == pytest.approx(before.auc, abs=0.003)
    assert after.map_at_r == pytest.approx(before.map_at_r, abs=0.02)


def rewritten(folder, change):
    """The card after a change of its JSON."""
    data = json.loads((folder / CARD).read_text())
    change(data)
    (folder / CARD).write_text(json.dumps(data))
    return folder


def resealed(folder, name="retrieval"):
    """The card after a change of a weights file, as an author of a bundle could write it."""
    path = folder / f"{name}.safetensors"
    content = {"file": path.name, "bytes": path.stat().st_size, "sha256": content_digest(path)}
    return rewritten(folder, lambda data: data["attackers"][name].update(weights=content))


def test_changed_files_are_refused(copied):
    weights = copied / "retrieval.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(ReidbenchError, match="bytes, but the bundle's card says"):
        read_bundle(copied)
    weights.write_bytes(whole[:-10] + bytes(10))
    with pytest.raises(ReidbenchError, match="SHA-256 differs"):
        read_bundle(copied)
    weights.unlink()
    with pytest.raises(ReidbenchError, match="cannot be read"):
        read_bundle(copied)
    weights.write_bytes(whole)
    images = copied / IMAGES
    images.write_text(images.read_text()[:-5])
    with pytest.raises(ReidbenchError, match=IMAGES):
        read_bundle(copied)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data.pop("size"), "size: Field required"),
        (lambda data: data.update(schema_version=9), "schema_version"),
        (lambda data: data.update(name="../up"), "name"),
        (lambda data: data["attackers"]["retrieval"]["weights"].update(file="../../x"), "file"),
        (lambda data: data.update(more=1), "more: Extra inputs are not permitted"),
        (lambda data: data.update(attackers={}), "attackers"),
    ],
)
def test_a_card_that_is_none_is_refused(copied, change, told):
    with pytest.raises(ReidbenchError, match=told) as refused:
        read_bundle(rewritten(copied, change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "nonsense", '{"a": NaN}', " " * (1 << 21)])
def test_a_card_that_is_no_json_or_too_long_is_refused(tmp_path, text):
    (tmp_path / CARD).write_text(text)
    with pytest.raises(ReidbenchError):
        read_card(tmp_path / CARD)


def test_weights_of_another_network_are_refused_before_it_is_built(copied):
    options = {"backbone": "resnet_small_4096", "dimensions": 100_000}
    with pytest.raises(ReidbenchError, match="weights of another network than the card describes"):
        read_bundle(
            rewritten(copied, lambda data: data["attackers"]["retrieval"]["hyperparameters"].update(options))
        ).attacker(Registry(), "retrieval")


def test_hyperparameters_that_the_attacker_does_not_have_are_refused(copied):
    bundle = read_bundle(
        rewritten(copied, lambda data: data["attackers"]["retrieval"]["hyperparameters"].update(colour="red"))
    )
    with pytest.raises(ReidbenchError, match="bundle small: attacker 'retrieval' has no option 'colour'"):
        bundle.attacker(Registry(), "retrieval")


def test_an_attacker_that_is_not_installed_is_refused(copied):
    bundle = read_bundle(rewritten(copied, lambda data: data["attackers"].update(other=data["attackers"]["retrieval"])))
    with pytest.raises(ReidbenchError, match="other"):
        bundle.attacker(Registry(), "other")


class Malicious:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_pickle_in_place_of_weights_is_refused_and_runs_nothing(copied, tmp_path):
    (copied / "retrieval.safetensors").write_bytes(pickle.dumps(Malicious(tmp_path / "made")))
    with pytest.raises(ReidbenchError, match="not a safetensors file"):
        read_bundle(resealed(copied)).attacker(Registry(), "retrieval")
    assert not (tmp_path / "made").exists()


def test_missing_weights_in_the_file_are_refused(copied):
    path = copied / "retrieval.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    state.pop(sorted(state)[0])
    save_file(state, path, metadata=metadata)
    with pytest.raises(ReidbenchError, match="weights of another network"):
        read_bundle(resealed(copied)).attacker(Registry(), "retrieval")


def test_names_of_no_bundle_are_refused(tmp_path):
    with pytest.raises(ReidbenchError, match=r"no such folder and no bundle of this name.*phantom"):
        find_bundle("phantm")
    with pytest.raises(ReidbenchError, match=r"holds no bundle\.json"):
        find_bundle(str(tmp_path))


@pytest.mark.parametrize("name", shipped_bundles())
def test_shipped_bundles_are_whole_small_and_can_be_built(name):
    bundle: Bundle = read_bundle(find_bundle(name))
    assert bundle.card.name == name
    for attacker in bundle.card.attackers:
        loaded(bundle, attacker)
    assert all(path.stat().st_size <= 5_000_000 for path in bundle.path.iterdir())
