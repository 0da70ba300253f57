"""What every attacker promises: it learns, it resumes, it says when it learned nothing, and equal images are equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reidbench.attackers import network, siamese
from reidbench.attackers.base import Scenario
from reidbench.attackers.losses import Contrast
from reidbench.errors import ReidbenchError
from reidbench.steps.releases import ArraySide
from tests.attackers.conftest import ATTACKERS, CPU, auc


@pytest.mark.slow
def test_a_short_training_beats_chance_and_an_untrained_network_by_far(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(60, 4, seed=1)
    test_images, test_patients = world.blobs(30, 3, seed=2)
    attacker = attacker_class(**tiny)
    training = attacker.fit(
        world.scenario(images, patients), world.fixed(test_images, test_patients), seed=0, device=CPU, work_dir=tmp_path
    )
    assert training.learned
    assert training.images_seen == pytest.approx(48 * 60, rel=0.1)
    assert training.history[-1]["train_loss"] < training.history[-1]["uninformed_loss"] - 0.1
    reached = auc(attacker, test_images, test_images, test_patients)
    assert reached > 0.9
    # On the way images are seen as they are alone.
    with attacker.siamese.unmoved():
        unmoved = auc(attacker, test_images, test_images, test_patients)
    assert training.history[-1]["val_auc"] == pytest.approx(unmoved, abs=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt"}


@pytest.mark.parametrize(
    "options",
    [{}, {"average": 0.9}, {"classes": "adacos"}, {"classes": "arcface", "align": True, "equalize": "local"}],
    ids=["plain", "average", "adacos", "arcface"],
)
def test_a_killed_training_resumes_to_the_same_weights(attacker_class, world, tiny, tmp_path, options):
    images, patients = world.blobs(12, 3, seed=1)
    scenario = world.scenario(images, patients)
    # A memory of an odd length is filled and overwritten in the middle of an epoch.
    short = {**tiny, "backbone": "resnet_small_4", "batch_size": 16, "min_steps": 75, "memory": 37, **options}

    class Killed(Exception):
        pass

    calls = 0

    def dying(index, *, generator, device):
        nonlocal calls
        calls += 1
        if calls == 40:
            raise Killed
        return scenario.probe(index, generator=generator, device=device)

    unbroken = attacker_class(**short)
    whole = unbroken.fit(scenario, None, seed=3, device=CPU, work_dir=tmp_path / "a")
    broken = attacker_class(**short)
    doomed = type(scenario)(patients, dying, scenario.gallery, world.size)
    with pytest.raises(Killed):
        broken.fit(doomed, None, seed=3, device=CPU, work_dir=tmp_path / "b")
    resumed = attacker_class(**short)
    rest = resumed.fit(scenario, None, seed=3, device=CPU, work_dir=tmp_path / "b")
    assert calls == 40
    assert rest.epochs == whole.epochs == 3
    assert rest.images_seen == whole.images_seen
    assert [row["train_loss"] for row in rest.history] == [row["train_loss"] for row in whole.history]
    for name in ("whole", "resumed"):
        (unbroken if name == "whole" else resumed).save(tmp_path / f"{name}.safetensors")
    one, other = load_file(tmp_path / "whole.safetensors"), load_file(tmp_path / "resumed.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_checkpoint_of_other_rounds_is_refused(attacker_class, world, tiny, tmp_path, monkeypatch):
    scenario = world.scenario(*world.blobs(12, 3, seed=1))
    short = {**tiny, "backbone": "resnet_small_4", "batch_size": 16, "min_steps": 75}
    attacker_class(**short).fit(scenario, None, seed=3, device=CPU, work_dir=tmp_path)
    monkeypatch.setattr(siamese, "MOST_ROUNDS", 2)
    with pytest.raises(ReidbenchError, match=r"another training \(batches, rounds differ\)"):
        attacker_class(**short).fit(scenario, None, seed=3, device=CPU, work_dir=tmp_path)


def test_same_seed_same_weights_and_another_seed_others(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(8, 3, seed=1)
    vectors = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        attacker = attacker_class(**{**tiny, "batch_size": 16, "min_steps": 5})
        before = torch.get_rng_state()
        attacker.fit(world.scenario(images, patients), None, seed=seed, device=CPU, work_dir=tmp_path / folder)
        assert torch.equal(before, torch.get_rng_state())
        vectors.append(attacker.embed(images, device=CPU))
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2], atol=1e-3)


def test_a_side_that_draws_nothing_trains_like_no_defense_at_all(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(8, 3, seed=1)
    vectors = []
    for folder, change in (("a", lambda x: x), ("b", lambda x: x.clone())):
        attacker = attacker_class(**{**tiny, "batch_size": 16, "min_steps": 5})
        attacker.fit(world.scenario(images, patients, change), None, seed=1, device=CPU, work_dir=tmp_path / folder)
        vectors.append(attacker.embed(images, device=CPU))
    assert np.array_equal(*vectors)


def test_the_checkpoint_of_another_training_is_refused(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(8, 3, seed=1)
    short = {**tiny, "batch_size": 16, "min_steps": 3}
    attacker_class(**short).fit(world.scenario(images, patients), None, seed=1, device=CPU, work_dir=tmp_path)
    with pytest.raises(ReidbenchError, match=r"another training \(seed differ\)"):
        attacker_class(**short).fit(world.scenario(images, patients), None, seed=2, device=CPU, work_dir=tmp_path)


def test_constant_images_teach_nothing_and_tie_exactly(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    constant = np.full_like(images, 90)
    attacker = attacker_class(**{**tiny, "batch_size": 24, "min_steps": 40})
    training = attacker.fit(world.scenario(constant, patients), None, seed=0, device=CPU, work_dir=tmp_path)
    assert not training.learned
    vectors = attacker.embed(constant, device=CPU)
    assert np.all(vectors == vectors[0])
    assert len(np.unique(attacker.score_block(vectors, vectors))) == 1


@pytest.fixture
def trained(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    attacker = attacker_class(**{**tiny, "batch_size": 24, "min_steps": 10})
    attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / "trained")
    return attacker


def test_embeddings_depend_on_the_image_alone(trained, world):
    images, _ = world.blobs(60, 5, seed=4)
    images[[7, 130, 299]] = images[0]
    vectors = trained.embed(images, device=CPU)
    assert vectors.dtype == np.float32
    assert vectors.shape == (300, 16)
    for row in (7, 130, 299):
        assert np.array_equal(vectors[row], vectors[0])
    backwards = trained.embed(images[::-1], device=CPU)[::-1]
    np.testing.assert_allclose(backwards, vectors, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(trained.embed(images[5:6], device=CPU)[0], vectors[5], rtol=1e-5, atol=1e-6)
    assert trained.embed(images[:0], device=CPU).shape == (0, 16)


@pytest.mark.parametrize("agreement", [0.02, 0.0])
def test_half_precision_is_used_only_where_scores_agree(trained, world, monkeypatch, agreement):
    images, _ = world.blobs(30, 5, seed=4)
    images[[7, 130]] = images[0]
    full = trained.embed(images, device=CPU)
    # A CPU has the instructions too; with eight bits its scores differ more than with the eleven of a GPU's type.
    monkeypatch.setattr(network, "HALF", {"cpu": torch.bfloat16})
    monkeypatch.setattr(network, "AGREEMENT", agreement)
    vectors = trained.embed(images, device=CPU)
    assert np.array_equal(vectors, full) == (agreement == 0)
    scores, wanted = trained.score_block(vectors, vectors), trained.score_block(full, full)
    assert np.abs(scores - wanted).max() <= 2 * agreement * np.ptp(wanted)
    assert np.array_equal(vectors[7], vectors[0])
    assert np.array_equal(vectors[130], vectors[0])
    assert trained.embed(images[:0], device=CPU).shape == (0, 16)


def test_vectors_that_are_not_finite_in_half_precision_are_not_used(trained, world, monkeypatch):
    images, _ = world.blobs(10, 3, seed=4)
    full = trained.embed(images, device=CPU)
    embed = trained._embed
    monkeypatch.setattr(network, "HALF", {"cpu": torch.float16})
    monkeypatch.setattr(
        network.NetworkAttacker, "_embed", lambda self, *given: embed(*given) if given[2] is None else full * np.inf
    )
    assert np.array_equal(trained.embed(images, device=CPU), full)


def test_scores_of_pairs_are_scores_of_the_block(trained, world):
    images, _ = world.blobs(10, 3, seed=5)
    vectors = trained.embed(images, device=CPU)
    block = trained.score_block(vectors[:13], vectors)
    rows, columns = np.mgrid[:13, :30].reshape(2, -1)
    pairs = trained.score(vectors[rows], vectors[columns])
    np.testing.assert_allclose(pairs.reshape(13, 30), block, rtol=1e-5, atol=1e-5)
    assert np.all(block.argmax(axis=1) == np.arange(13))
    assert len(np.unique(block[np.arange(13), np.arange(13)])) == 1


def test_a_block_cut_into_pieces_is_the_same_block(trained, world, monkeypatch):
    images, _ = world.blobs(10, 3, seed=5)
    vectors = trained.embed(images, device=CPU)
    whole = trained.score_block(vectors, vectors)
    monkeypatch.setattr("reidbench.attackers.network.BLOCK", 64)
    assert np.array_equal(trained.score_block(vectors, vectors), whole)
    np.testing.assert_allclose(trained.score(vectors, vectors), np.diag(whole), atol=1e-6)


def test_saved_and_loaded_scores_the_same(trained, attacker_class, world, tmp_path):
    images, _ = world.blobs(5, 2, seed=6)
    trained.save(tmp_path / "w.safetensors")
    other = attacker_class(**trained.model_dump())
    other.load(tmp_path / "w.safetensors", device=CPU)
    vectors = trained.embed(images, device=CPU)
    assert np.array_equal(other.embed(images, device=CPU), vectors)
    assert np.array_equal(other.score_block(vectors, vectors), trained.score_block(vectors, vectors))


def test_weights_of_another_attacker_or_shape_are_refused(trained, attacker_class, tmp_path):
    trained.save(tmp_path / "w.safetensors")
    stranger = next(cls for cls in ATTACKERS if cls is not attacker_class)
    with pytest.raises(ReidbenchError, match="weights of another attacker: attacker is"):
        stranger(**{**trained.model_dump(include={"backbone", "dimensions", "grid"})}).load(
            tmp_path / "w.safetensors", device=CPU
        )
    with pytest.raises(ReidbenchError, match="backbone is 'resnet_small_16', not 'resnet_small_4'"):
        attacker_class(**{**trained.model_dump(), "backbone": "resnet_small_4"}).load(
            tmp_path / "w.safetensors", device=CPU
        )
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(ReidbenchError, match="not a safetensors file"):
        attacker_class().load(tmp_path / "bad.safetensors", device=CPU)
    with pytest.raises(ReidbenchError, match="no weights file"):
        attacker_class().load(tmp_path / "none.safetensors", device=CPU)


def test_untrained_is_refused(attacker_class, world):
    with pytest.raises(ReidbenchError, match="neither trained nor loaded"):
        attacker_class().embed(np.zeros((1, 32, 32), dtype=np.uint8), device=CPU)


@pytest.mark.parametrize("patients", [[0, 1, 2, 3], [0, 0, 0], []], ids=["all single", "one patient", "empty"])
def test_no_pairs_to_train_on_is_a_clear_error(attacker_class, world, tiny, tmp_path, patients):
    owners = np.array(patients, dtype=np.int64)
    images = np.zeros((len(owners), 32, 32), dtype=np.uint8)
    with pytest.raises(ReidbenchError, match="cannot train a re-identification attacker"):
        attacker_class(**tiny).fit(world.scenario(images, owners), None, seed=0, device=CPU, work_dir=tmp_path)


@pytest.mark.slow
def test_a_warm_start_goes_on_from_what_was_learned(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(60, 4, seed=1)
    test_images, test_patients = world.blobs(30, 3, seed=2)
    scenario = world.scenario(images, patients)
    first = attacker_class(**tiny)
    first.fit(scenario, None, seed=0, device=CPU, work_dir=tmp_path / "first")
    first.save(tmp_path / "first.safetensors")
    brief = {**tiny, "warm_min_steps": 2, "warm_max_steps": 2, "warm_lr": 1e-5}
    warm = attacker_class(**brief)
    training = warm.fit(
        scenario, None, seed=0, device=CPU, work_dir=tmp_path / "warm", start=tmp_path / "first.safetensors"
    )
    assert training.images_seen <= 2 * 48
    before = auc(first, test_images, test_images, test_patients)
    assert auc(warm, test_images, test_images, test_patients) == pytest.approx(before, abs=0.02)
    cold = attacker_class(**{**tiny, "min_steps": 2, "max_steps": 2, "lr": 1e-5})
    cold.fit(scenario, None, seed=0, device=CPU, work_dir=tmp_path / "cold")
    assert auc(cold, test_images, test_images, test_patients) < before - 0.04


@pytest.mark.slow
def test_a_warm_start_that_makes_it_worse_is_dropped(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(40, 4, seed=1)
    val_images, val_patients = world.blobs(20, 3, seed=2)
    scenario, val = world.scenario(images, patients), world.fixed(val_images, val_patients)
    first = attacker_class(**tiny)
    assert not first.fit(scenario, val, seed=0, device=CPU, work_dir=tmp_path / "first").kept_start
    first.save(tmp_path / "first.safetensors")
    violent = attacker_class(**{**tiny, "warm_min_steps": 10, "warm_max_steps": 10, "warm_lr": 1.0})
    training = violent.fit(
        scenario, val, seed=0, device=CPU, work_dir=tmp_path / "warm", start=tmp_path / "first.safetensors"
    )
    assert training.kept_start
    np.testing.assert_array_equal(violent.embed(val_images, device=CPU), first.embed(val_images, device=CPU))


@pytest.mark.slow
def test_an_image_is_also_seen_moved_at_test_time(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(20, 4, seed=1)
    attacker = attacker_class(**{**tiny, "test_shift": 0.04})
    attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / "fit")
    attacker.save(tmp_path / "w.safetensors")
    plain = attacker_class(**{**tiny, "test_shift": 0.0})
    plain.load(tmp_path / "w.safetensors", device=CPU)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    views = [padded[:, 1 + y : 33 + y, 1 + x : 33 + x] for y, x in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]
    network = plain.siamese.network
    with torch.no_grad():
        tensors = [torch.from_numpy(view.copy()).unsqueeze(1).float() / 255 for view in views]
        mean = sum(torch.nn.functional.normalize(network(tensor)) for tensor in tensors) / 5
        expected = plain.siamese.head.vectors(mean).numpy()
    np.testing.assert_allclose(attacker.embed(images, device=CPU), expected, atol=1e-5)
    assert not np.allclose(plain.embed(images, device=CPU), expected, atol=1e-3)


@pytest.mark.slow
def test_an_informed_training_undoes_an_inversion(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(80, 4, seed=1)
    test_images, test_patients = world.blobs(30, 3, seed=2)
    inverted = 255 - test_images
    ignorant = attacker_class(**tiny)
    ignorant.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / "ignorant")
    ignorant.save(tmp_path / "ignorant.safetensors")
    informed = attacker_class(**{**tiny, "warm_min_steps": 150})
    informed.fit(
        world.scenario(images, patients, lambda x: 1 - x),
        None,
        seed=0,
        device=CPU,
        work_dir=tmp_path / "informed",
        start=tmp_path / "ignorant.safetensors",
    )
    fooled = auc(ignorant, test_images, inverted, test_patients)
    assert fooled < 0.65
    assert auc(informed, test_images, inverted, test_patients) > max(0.85, fooled + 0.2)


@pytest.mark.slow
def test_the_standard_preset_trains_averages_and_comes_back(attacker_class, world, tmp_path):
    # Its network, bfloat16 and moving average, for as long as a CPU bears.
    images, patients = world.blobs(4, 2, seed=1)
    tiny = {"batch_size": 8, "min_steps": 2, "max_steps": 2}
    attacker = attacker_class(**{**attacker_class.presets["standard"], **tiny})
    training = attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / "fit")
    assert training.images_seen == 16
    attacker.save(tmp_path / "w.safetensors")
    other = attacker_class(**attacker.model_dump())
    other.load(tmp_path / "w.safetensors", device=CPU)
    vectors = attacker.embed(images, device=CPU)
    assert np.isfinite(vectors).all()
    assert np.array_equal(other.embed(images, device=CPU), vectors)


def test_a_good_start_is_kept_only_where_it_is_said_what_is_enough(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(40, 4, seed=1)
    scenario, val = world.scenario(images, patients), world.fixed(*world.blobs(20, 3, seed=2))
    attacker = attacker_class(**tiny)
    attacker.fit(scenario, val, seed=0, device=CPU, work_dir=tmp_path / "fit")
    attacker.save(tmp_path / "w.safetensors")
    seen = {}
    for enough in (0.6, None):
        again = attacker_class(**tiny, enough=enough)
        work = tmp_path / str(enough)
        training = again.fit(scenario, val, seed=0, device=CPU, work_dir=work, start=tmp_path / "w.safetensors")
        seen[enough] = training.images_seen
    assert seen[0.6] == 0
    assert seen[None] > 1000
    assert attacker_class.presets["standard"]["enough"] is None


def test_a_mixed_precision_training_takes_its_loss_in_full_precision(
    attacker_class, world, tiny, tmp_path, monkeypatch
):
    # PyTorch Metric Learning's cosines and the head's distances would be lowered to bfloat16 by autocast.
    images, patients = world.blobs(8, 3, seed=1)
    found = []
    forward = Contrast.forward

    def watched(self, head, batch):
        found.append((batch.probe.dtype, torch.is_autocast_enabled("cpu"), (batch.probe @ batch.gallery.T).dtype))
        return forward(self, head, batch)

    monkeypatch.setattr(Contrast, "forward", watched)
    attacker = attacker_class(**{**tiny, "batch_size": 16, "min_steps": 2, "precision": "bf16-mixed"})
    lowered = []
    blurred = world.scenario(images, patients, lambda x: (lowered.append(torch.is_autocast_enabled("cpu")), x)[1])
    attacker.fit(blurred, None, seed=0, device=CPU, work_dir=tmp_path)
    assert set(found) == {(torch.float32, False, torch.float32)}
    assert any(lowered), "the training itself was in 16 bits"


@pytest.mark.slow
def test_two_processes_train_one_attacker(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(60, 4, seed=1)
    val_images, val_patients = world.blobs(30, 3, seed=2)
    # The average is sent to the new processes too.
    attacker = attacker_class(**{**tiny, "devices": 2, "average": 0.99})
    training = attacker.fit(
        Scenario(patients, ArraySide((images,)), ArraySide((images,)), images.shape[-1]),
        world.fixed(val_images, val_patients),
        seed=0,
        device=CPU,
        work_dir=tmp_path,
    )
    assert training.learned
    assert training.images_seen == pytest.approx(48 * 60, rel=0.1)
    assert training.history[-1]["val_auc"] > 0.9
    with attacker.siamese.unmoved():
        assert auc(attacker, val_images, val_images, val_patients) == pytest.approx(
            training.history[-1]["val_auc"], abs=1e-6
        )
