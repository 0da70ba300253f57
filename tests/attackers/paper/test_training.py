"""Both trainings at toy size: they learn, stop, freeze, resume, and take another training's weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from reidbench.attackers.paper import networks, rangetest
from reidbench.attackers.paper.contrast_learner import ContrastLearner
from reidbench.attackers.paper.pair_learner import Validation
from reidbench.attackers.paper.retrieval import PaperRetrieval
from reidbench.attackers.paper.verification import PaperVerification
from reidbench.errors import ReidbenchError
from reidbench.networks.architectures.siamese import resize
from reidbench.networks.training import seed_of

CPU = torch.device("cpu")
TOY = {"backbone": "resnet_small_16", "weights": "random", "dimensions": 16}
VERIFICATION = {**TOY, "size": 32, "pairs": 480, "validation_pairs": 100, "lr": 3e-3, "epochs": 10, "patience": 3}
RETRIEVAL = {**TOY, "frozen_epochs": 1, "epochs": 7, "lr": 0.1}
BOTH = pytest.mark.parametrize(
    ("cls", "options"),
    [(PaperVerification, VERIFICATION), (PaperRetrieval, RETRIEVAL)],
    ids=["verification", "retrieval"],
)
BRIEF = {PaperVerification: {"epochs": 2, "pairs": 96}, PaperRetrieval: {"frozen_epochs": 1, "epochs": 2}}


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    # Ten million weights between two layers are most of the work; test_facts has the head as it is.
    monkeypatch.setattr(networks, "HIDDEN", 64)


def auc(attacker, images, patients):
    vectors = attacker.embed(images, device=CPU)
    off = ~np.eye(len(patients), dtype=bool)
    return roc_auc_score((patients[:, None] == patients[None])[off], attacker.score_block(vectors, vectors)[off])


@pytest.mark.slow
@BOTH
def test_a_toy_training_learns_to_tell_patients_apart(cls, options, world, tmp_path):
    images, patients = world.blobs(40, 4, seed=1)
    test_images, test_patients = world.blobs(25, 3, seed=2)
    attacker = cls(**options)
    training = attacker.fit(
        world.scenario(images, patients), world.fixed(test_images, test_patients), seed=0, device=CPU, work_dir=tmp_path
    )
    assert training.learned
    assert [row["epoch"] for row in training.history] == list(range(1, training.epochs + 1))
    assert auc(attacker, test_images, test_patients) > 0.88
    probabilities = attacker.probability(np.array([-1.0, 0.0], dtype=np.float32))
    assert (cls is PaperVerification) == bool(probabilities[1] == 0.5)
    attacker.save(tmp_path / "w.safetensors")
    again = cls(**options)
    again.load(tmp_path / "w.safetensors", device=CPU)
    assert np.array_equal(again.embed(test_images, device=CPU), attacker.embed(test_images, device=CPU))
    vectors = attacker.embed(test_images[:6], device=CPU)
    np.testing.assert_allclose(
        attacker.score(vectors, vectors[::-1]), np.diag(attacker.score_block(vectors, vectors[::-1])), atol=1e-5
    )


@BOTH
def test_a_killed_training_resumes_to_the_same_weights(cls, options, world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    scenario = world.scenario(images, patients)
    short = {**options, **BRIEF[cls]}

    class Killed(Exception):
        pass

    calls = 0

    def dying(index, *, generator, device):
        nonlocal calls
        calls += 1
        # In the second epoch of verification; in the second epoch of retrieval's second phase.
        if calls == (5 if cls is PaperVerification else 6):
            raise Killed
        return scenario.probe(index, generator=generator, device=device)

    val = world.fixed(images, patients) if cls is PaperVerification else None
    whole = cls(**short)
    rows = whole.fit(scenario, val, seed=3, device=CPU, work_dir=tmp_path / "a").history
    doomed = dataclasses.replace(scenario, probe=dying)
    with pytest.raises(Killed):
        cls(**short).fit(doomed, val, seed=3, device=CPU, work_dir=tmp_path / "b")
    resumed = cls(**short)
    rest = resumed.fit(scenario, val, seed=3, device=CPU, work_dir=tmp_path / "b").history
    assert [row["train_loss"] for row in rest] == [row["train_loss"] for row in rows]
    for name, attacker in (("whole", whole), ("resumed", resumed)):
        attacker.save(tmp_path / f"{name}.safetensors")
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "resumed"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    with pytest.raises(ReidbenchError, match="another training"):
        cls(**short).fit(scenario, val, seed=4, device=CPU, work_dir=tmp_path / "b")


def test_verification_stops_after_epochs_without_a_lower_loss_and_takes_the_best_weights(world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    # Validation patients who share nothing but their number: what is learned on the others makes their loss no lower.
    nobody = np.random.default_rng(0).permutation(patients)
    val = world.fixed(images, nobody)
    attacker = PaperVerification(**{**VERIFICATION, "epochs": 40, "patience": 2, "lr": 1e-2})
    training = attacker.fit(world.scenario(images, patients), val, seed=0, device=CPU, work_dir=tmp_path)
    losses = [row["val_loss"] for row in training.history]
    best = int(np.argmin(losses))
    assert training.epochs == best + 1 + 2 < 40
    # The same fixed pairs once more: the weights that were kept are those of the best epoch.
    validation = Validation.of(val, 100, seed_of(0, "validation pairs"))
    assert validation is not None
    kept = validation.loss(attacker.siamese, size=32, device=CPU, batch_size=32)
    assert kept == pytest.approx(min(losses), abs=1e-6)
    assert kept < losses[-1]


def test_validation_is_a_fixed_balanced_set_and_none_without_a_pair(world):
    images, patients = world.blobs(10, 3, seed=1)
    validation = Validation.of(world.fixed(images, patients), 20, seed=5)
    assert (len(validation.pairs), validation.pairs.same.sum()) == (20, 10)
    assert Validation.of(world.fixed(images, np.arange(len(images))), 20, seed=5) is None
    assert Validation.of(None, 20, seed=5) is None


def test_the_frozen_phase_moves_the_head_and_the_statistics_of_the_backbone_but_not_its_weights(world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    attacker = PaperRetrieval(**{**RETRIEVAL, "epochs": 1, "lr": 0.05})
    before = {name: value.clone() for name, value in attacker.first(0, None).state_dict().items()}
    attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path)
    frozen = torch.load(tmp_path / "frozen" / "last.ckpt", weights_only=True)["state_dict"]
    after = torch.load(tmp_path / "full" / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in before.items():
        same = torch.equal(frozen[f"model.{name}"], value)
        if "backbone" in name:
            assert same != ("running" in name or "num_batches" in name), name
        elif "running" not in name:
            assert not same, name
    moved = [n for n in before if "backbone" in n and not torch.equal(after[f"model.{n}"], frozen[f"model.{n}"])]
    assert any("conv" in name or "first.weight" in name or "layers.0.weight" in name for name in moved)


def test_each_image_is_seen_in_one_view_and_each_patient_of_a_batch_on_both_sides(world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    # Whoever has one image takes no part.
    patients = np.append(patients, [50, 51])
    images = np.concatenate([images, images[:2]])
    scenario, seen = world.scenario(images, patients), {"probe": [], "gallery": []}

    def watched(name):
        def give(index, *, generator, device):
            seen[name].append(index)
            return getattr(scenario, name)(index, generator=generator, device=device)

        return give

    attacker = PaperRetrieval(**{**RETRIEVAL, "frozen_epochs": 0, "epochs": 1})
    both = dataclasses.replace(scenario, probe=watched("probe"), gallery=watched("gallery"))
    attacker.fit(both, None, seed=0, device=CPU, work_dir=tmp_path)
    for probe, gallery in zip(seen["probe"], seen["gallery"], strict=True):
        assert not set(probe) & set(gallery)
        assert set(patients[probe]) == set(patients[gallery])
    assert sorted(np.concatenate(seen["probe"] + seen["gallery"])) == list(range(36))


def test_another_trainings_weights_make_the_frozen_phase_superfluous(world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    scenario = world.scenario(images, patients)
    first = PaperRetrieval(**{**RETRIEVAL, **BRIEF[PaperRetrieval]})
    first.fit(scenario, None, seed=0, device=CPU, work_dir=tmp_path / "a")
    first.save(tmp_path / "w.safetensors")
    warm = PaperRetrieval(**{**RETRIEVAL, **BRIEF[PaperRetrieval], "lr": 1e-8})
    training = warm.fit(scenario, None, seed=0, device=CPU, work_dir=tmp_path / "b", start=tmp_path / "w.safetensors")
    assert training.epochs == 2
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"full"}
    for (name, one), other in zip(first.siamese.named_parameters(), warm.siamese.parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=name, atol=1e-5, rtol=0)
    with pytest.raises(ReidbenchError, match="weights of another attacker"):
        PaperVerification(**VERIFICATION).load(tmp_path / "w.safetensors", device=CPU)


def test_images_are_embedded_at_any_size(world, tmp_path):
    images, patients = world.blobs(8, 3, seed=1)
    options = {**RETRIEVAL, "frozen_epochs": 0, "epochs": 1}
    attacker = PaperRetrieval(**options, size=48)
    attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path)
    attacker.save(tmp_path / "w.safetensors")
    small = PaperRetrieval(**options, test_size=16)
    small.load(tmp_path / "w.safetensors", device=CPU)
    one, other = attacker.embed(images, device=CPU), small.embed(images, device=CPU)
    assert one.shape == other.shape == (24, 16)
    assert not np.allclose(one, other, atol=1e-3)
    large = attacker.embed(np.repeat(np.repeat(images, 2, axis=1), 2, axis=2), device=CPU)
    assert large.shape == (24, 16)


def test_a_range_test_finds_a_rate_keeps_it_and_leaves_the_weights_alone(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rangetest, "RATES", 30)
    images, patients = world.blobs(12, 3, seed=1)
    attacker = PaperRetrieval(**RETRIEVAL)
    scenario = world.scenario(images, patients)
    model = attacker.first(0, None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learner = attacker._learner(model, scenario, "full", 2, 0.1, 0)
    state = torch.get_rng_state()
    tried = {}
    monkeypatch.setattr(rangetest, "steepest", lambda rates, losses: tried.update(zip(rates, losses)) or 0.01)
    rate = rangetest.find_rate(learner, seed=0, device=CPU, work_dir=tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert rate == 0.01
    assert len(tried) == 30
    assert list(tried) == sorted(tried)
    assert np.isfinite(list(tried.values())).all()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert learner.objective.held == 0
    assert [path.name for path in tmp_path.iterdir()] == [rangetest.KEPT]
    assert rangetest.find_rate(None, seed=0, device=CPU, work_dir=tmp_path) == rate, "read, not found again"
    assert capsys.readouterr() == ("", "")


def test_the_rate_that_was_found_is_the_cycles_peak(world, tmp_path, monkeypatch):
    images, patients = world.blobs(8, 3, seed=1)
    attacker = PaperRetrieval(**{**RETRIEVAL, "frozen_epochs": 1, "epochs": 1}, find_lr=True)
    (tmp_path / rangetest.KEPT).write_text('{"lr": 0.02}')
    optimizers = []
    configured = ContrastLearner.configure_optimizers

    def watched(self):
        optimizers.append(configured(self))
        return optimizers[-1]

    monkeypatch.setattr(ContrastLearner, "configure_optimizers", watched)
    training = attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path)
    assert [row["peak_lr"] for row in training.history] == [pytest.approx(0.02)] * 2
    assert len(optimizers) == 2
    for made in optimizers:
        assert [group["max_lr"] for group in made["optimizer"].param_groups] == [pytest.approx(0.02)] * 2


def test_the_steepest_fall_is_over_the_logarithm_of_the_rate():
    rates = np.logspace(-8, 0, 100)
    # A loss that falls as a logistic about 0.1 in the rate's logarithm, and leaps at the end; with some noise.
    falling = 1 - 1 / (1 + np.exp(-4 * (np.log10(rates) + 1)))
    for seed in range(20):
        losses = falling + np.random.default_rng(seed).normal(0, 0.002, 100)
        losses[-1] = 50
        assert 0.05 < rangetest.steepest(rates, losses) < 0.2
    losses[[20, 85]] = [np.nan, np.inf]
    assert 0.03 < rangetest.steepest(rates, losses) < 0.3
    assert rangetest.steepest(rates, np.linspace(1, 2, 100)) is None
    assert rangetest.steepest(rates[:11], losses[:11]) is None


def test_verification_makes_two_passes_a_batch_of_images_of_one_size_that_nothing_augments(
    world, tmp_path, monkeypatch
):
    images, patients = world.blobs(10, 3, seed=1)
    seen, forward = [], networks.VerificationNet.forward

    def watched(self, batch):
        if self.training:
            seen.append(batch.detach().clone())
        return forward(self, batch)

    monkeypatch.setattr(networks.VerificationNet, "forward", watched)
    attacker = PaperVerification(**{**VERIFICATION, "pairs": 60, "epochs": 1, "size": 48})
    attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path)
    # 60 pairs in batches of 32: each side of each batch by itself.
    assert [batch.shape for batch in seen] == [(count, 1, 48, 48) for count in (32, 32, 28, 28)]
    originals = resize(torch.from_numpy(images).unsqueeze(1).float() / 255, 48)
    for image in torch.cat(seen):
        assert (originals - image).abs().amax(dim=(1, 2, 3)).min() < 1e-6


def test_retrieval_sees_jittered_images_of_its_training_size(world, tmp_path, monkeypatch):
    images, patients = world.blobs(8, 3, seed=1)
    seen, forward = [], networks.RetrievalNet.forward

    def watched(self, batch):
        if self.training:
            seen.append(batch.detach().clone())
        return forward(self, batch)

    monkeypatch.setattr(networks.RetrievalNet, "forward", watched)
    for strength in (0.4, 0.0):
        options = {**RETRIEVAL, "frozen_epochs": 0, "epochs": 1, "size": 48, "color_jitter": strength}
        PaperRetrieval(**options).fit(
            world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / str(strength)
        )
    originals = resize(torch.from_numpy(images).unsqueeze(1).float() / 255, 48)
    changed = [
        [float((originals - image).abs().amax(dim=(1, 2, 3)).min()) for image in batches]
        for batches in (torch.cat(seen[: len(seen) // 2]), torch.cat(seen[len(seen) // 2 :]))
    ]
    assert all(batch.shape[1:] == (1, 48, 48) for batch in seen)
    assert np.mean([difference > 0.02 for difference in changed[0]]) > 0.9
    assert max(changed[1]) < 1e-6
