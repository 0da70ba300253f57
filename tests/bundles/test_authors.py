"""The published networks of the 2022 paper's authors, compared with a forward pass written apart."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet50

from reidbench.bundles.authors import read_authors
from reidbench.bundles.bundle import read_bundle
from reidbench.errors import ReidbenchError
from reidbench.plugins import Registry
from reidbench.studies.bundle_import import import_authors

CPU = torch.device("cpu")
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def unlike_fresh(module):
    """Statistics of batch norms that a training would leave: fresh ones would hide a mix-up."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return module.eval()


def normalized(images):
    grey = torch.from_numpy(images).float()[:, None].repeat(1, 3, 1, 1) / 255
    return (grey - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def verification(tmp_path_factory):
    torch.manual_seed(1)
    network = resnet50()
    network.fc = nn.Linear(2048, 128)
    unlike_fresh(network)
    last = nn.Linear(128, 1)
    state = OrderedDict((f"model.{name}", value) for name, value in network.state_dict().items())
    state.update((f"fc_end.{name}", value) for name, value in last.state_dict().items())
    path = tmp_path_factory.mktemp("authors") / "verification.pth"
    torch.save(state, path)
    return path, network, last


@pytest.fixture(scope="module")
def retrieval(tmp_path_factory):
    torch.manual_seed(2)
    extractor = unlike_fresh(nn.Sequential(*list(resnet50().children())[:-2]))
    narrow = nn.Conv2d(2048, 100, 1, bias=False)
    first = unlike_fresh(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(5000), nn.Dropout(0.5), nn.Linear(5000, 2048)))
    second = unlike_fresh(nn.Sequential(nn.BatchNorm1d(2048), nn.Dropout(0.25), nn.Linear(2048, 128)))
    state = OrderedDict((f"0.extractor_net.{name}", value) for name, value in extractor.state_dict().items())
    for name, part in (("bottle_neck_conv", narrow), ("first_fc", first), ("second_fc", second)):
        state.update((f"1.{name}.{key}", value) for key, value in part.state_dict().items())
    path = tmp_path_factory.mktemp("authors") / "retrieval.pth"
    torch.save(state, path)
    return path, (extractor, narrow, first, second)


@pytest.fixture(scope="module")
def read(verification, retrieval):
    """The attackers of both files."""
    return {"verification": read_authors(verification[0]), "retrieval": read_authors(retrieval[0])}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).integers(0, 256, (2, 256, 256), dtype=np.uint8)


def test_verification_scores_as_its_own_forward_pass(verification, read, images):
    _, network, last = verification
    attacker = read["verification"]
    vectors = attacker.embed(images, device=CPU)
    with torch.no_grad():
        features = torch.sigmoid(network(normalized(images)))
        expected = last((features[:1] - features[1:]).abs())[:, 0].numpy()
    assert np.ptp(features.numpy()) > 0.05
    scores = attacker.score(vectors[:1], vectors[1:])
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_allclose(attacker.probability(scores), 1 / (1 + np.exp(-expected)), atol=1e-4)


def test_retrieval_embeds_as_its_own_forward_pass(retrieval, read, images):
    _, (extractor, narrow, first, second) = retrieval
    attacker = read["retrieval"]
    vectors = attacker.embed(images, device=CPU)
    with torch.no_grad():
        features = extractor(normalized(images))
        pooled = torch.cat(
            [functional.adaptive_avg_pool2d(features, 5), functional.adaptive_max_pool2d(features, 5)], 1
        )
        hidden = functional.relu(first(narrow(pooled.view(len(images), 2048, 10, 5))))
        expected = functional.normalize(second(hidden)).numpy()
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    distance = np.linalg.norm(expected[0] - expected[1])
    assert attacker.score_block(vectors[:1], vectors[1:2])[0, 0] == pytest.approx(-distance, abs=1e-3)


def test_both_make_one_bundle_that_is_read_back(verification, retrieval, read, images, tmp_path):
    out = tmp_path / "authors"
    import_authors([verification[0], retrieval[0]], out, name="authors", size=None, command="reidbench attacker import")
    bundle = read_bundle(out)
    # What is compared is weights: small images do.
    image = np.ascontiguousarray(images[:1, :96, :96])
    assert (bundle.card.size, set(bundle.card.attackers)) == (1024, {"verification", "retrieval"})
    for name in ("verification", "retrieval"):
        stored = bundle.attacker(Registry(), name)
        stored.load(bundle.weights(name), device=CPU)
        np.testing.assert_array_equal(stored.embed(image, device=CPU), read[name].embed(image, device=CPU))


def changed(path, out, change):
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, out)
    return out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("fc_end.weight"), "of 1 parts that differ the first is head.linear.weight"),
        (lambda state: state.update({"fc_end.weight": torch.zeros(1, 64)}), "the first is head.linear.weight"),
        (lambda state: state.update({"model.layer5.weight": torch.zeros(1)}), "no part of such a network is called"),
        (lambda state: state.update({"other": torch.zeros(1)}), "no part of such a network is called 'other'"),
    ],
)
def test_another_layout_is_refused(verification, tmp_path, change, told):
    with pytest.raises(ReidbenchError, match=told):
        read_authors(changed(verification[0], tmp_path / "changed.pth", change))


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_what_is_no_file_of_tensors_is_refused_and_runs_nothing(verification, tmp_path):
    evil = tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps({"model.conv1.weight": Malicious(tmp_path / "made")}))
    cut = tmp_path / "cut.pth"
    cut.write_bytes(verification[0].read_bytes()[:5000])
    strange = tmp_path / "strange.pth"
    torch.save({"resnet.conv1.weight": torch.zeros(1)}, strange)
    listed = tmp_path / "list.pth"
    torch.save([torch.zeros(1)], listed)
    for path, told in (
        (evil, "no file of tensors alone"),
        (cut, "no file of tensors alone"),
        (strange, "its first entry is 'resnet.conv1.weight'"),
        (listed, "not a dictionary of tensors"),
        (tmp_path / "missing.pth", "cannot be read"),
    ):
        with pytest.raises(ReidbenchError, match=told) as refused:
            read_authors(path)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "made").exists()


def test_two_of_a_kind_make_no_bundle(verification, tmp_path):
    with pytest.raises(ReidbenchError, match="a second verification network"):
        import_authors([verification[0]] * 2, tmp_path / "two", name="two", size=None, command="")
    assert not (tmp_path / "two").exists()
