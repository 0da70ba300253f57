"""DP training: what one patient can change, what is spent, and what is not in it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from opacus.accountants import PRVAccountant, create_accountant
from opacus.accountants.analysis.prv.prvs import PoissonSubsampledGaussianPRV
from opacus.accountants.utils import get_noise_multiplier
from torch import nn

from reidbench import LabelledImages, ReidbenchError, dp
from reidbench.defenses.model import fit_model
from reidbench.dp import EPSILON_ERROR, FINEST, LEAST_NOISE, _domain, calibrate_noise, quiet_opacus, spent_epsilon
from reidbench.errors import PluginError
from reidbench.progress import Silent
from reidbench_plugins import _private
from reidbench_plugins._diagnosis import PatientImages, patient_losses
from reidbench_plugins._private import PrivatePlan, PrivateTraining
from reidbench_plugins.dp_training import DpTraining

CPU = torch.device("cpu")
SMALL = {"steps": 4, "batch_size": 6, "width": 4, "side": 16}


def patients(count: int = 12, each: int = 2, population: int | None = None) -> LabelledImages:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (count * each, 24, 24), dtype=np.uint8)
    findings = rng.integers(0, 2, (count * each, 3)).astype(np.float64)
    findings[::7, 1] = np.nan
    return LabelledImages(pixels, np.repeat(np.arange(count), each), findings, population or count)


def fit(defense: DpTraining, folder, train: LabelledImages | None = None, seed: int = 0):
    return fit_model(defense, train or patients(), seed=seed, device=CPU, work_dir=folder)


def gradient_sum(kept: np.ndarray, clip: float, mode: str = "hooks") -> torch.Tensor:
    """What a step adds its noise to, with these patients taken: the sum of their clipped gradients."""
    whole = patients(8)
    rows = np.isin(whole.patients, kept)
    train = LabelledImages(whole.pixels[rows], whole.patients[rows], whole.findings[rows], population=8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DpTraining(**SMALL).network(24, 3)
        # The head starts at zero, where nothing behind it has a gradient.
        nn.init.normal_(network.head.weight)
    plan = PrivatePlan(1.0, 8, 1, 0.0, 1e-9, clip, physical_batch_size=3, grad_sample_mode=mode)
    training = PrivateTraining(network, train, plan, seed=0, device=CPU)
    sums = []
    training.optimizer.attach_step_hook(lambda made: sums.append([weights.summed_grad for weights in made.params]))
    training._data._rows = [rows[:1] for rows in training._data._rows]  # The same image whoever else is there.
    unmoved = pytest.MonkeyPatch()
    unmoved.setattr(_private, "moved", lambda images, generator: images)
    try:
        with quiet_opacus():
            training._epoch(0, 0, 1)
    finally:
        unmoved.undo()
    (found,) = sums
    return torch.cat([part.flatten() for part in found])


@pytest.mark.parametrize("clip", [0.01, 1.0, 1e4])
def test_one_patient_moves_the_clipped_sum_by_at_most_the_clipping_norm(clip):
    whole = gradient_sum(np.arange(8), clip)
    moves = [float((whole - gradient_sum(np.delete(np.arange(8), left), clip)).norm()) for left in range(8)]
    assert max(moves) <= clip * (1 + 1e-4)
    # And a small norm is reached, so that it is the clipping that bounds it.
    assert (max(moves) > 0.99 * clip) == (clip <= 1)


def test_a_patient_with_more_images_moves_no_more():
    train = patients(6, each=5)
    seen = PatientImages(train, torch.Generator().manual_seed(0))
    assert len(seen) == 6
    drawn = {seen[2][0].numpy().tobytes() for _ in range(60)}
    own = {(image[None].astype(np.float32) / 255).tobytes() for image in train.pixels[train.patients == 2]}
    assert drawn == own


def test_what_is_claimed_is_what_the_accountant_says_of_the_steps_that_were_made(tmp_path):
    _, fitted = fit(DpTraining(noise_multiplier=1.3, delta=0.01, **SMALL), tmp_path)
    by_hand = PRVAccountant()
    for _ in range(4):
        by_hand.step(noise_multiplier=1.3, sample_rate=0.5)
    privacy = fitted.privacy
    assert privacy.epsilon == pytest.approx(by_hand.get_epsilon(delta=0.01))
    assert (privacy.delta, privacy.noise_multiplier, privacy.sample_rate, privacy.steps) == (0.01, 1.3, 0.5, 4)
    assert (privacy.clipping_norm, privacy.accountant) == (1.0, "prv")
    assert "patient" in privacy.unit


def test_a_given_epsilon_is_kept_to_and_nearly_spent(tmp_path):
    _, fitted = fit(DpTraining(epsilon=1, **SMALL), tmp_path)
    assert 0.98 < fitted.privacy.epsilon <= 1
    assert fitted.privacy.delta == pytest.approx(0.1 / 12)
    assert fitted.privacy.noise_multiplier == calibrate_noise(1.0, 0.1 / 12, 0.5, 4)


def test_the_rate_follows_from_the_public_population_and_not_from_who_is_there(tmp_path):
    few = patients(5, population=12)
    _, fitted = fit(DpTraining(noise_multiplier=1.0, **SMALL), tmp_path, few)
    assert fitted.privacy.sample_rate == 0.5
    assert fitted.privacy.delta == pytest.approx(0.1 / 12)


def test_a_step_that_takes_nobody_is_a_step(tmp_path):
    # 1 of 1000 on average, of 5: nearly every step is empty, is counted, and adds its noise.
    train = patients(5, population=1000)
    defense = DpTraining(noise_multiplier=1.0, **{**SMALL, "batch_size": 1})
    network, fitted = fit(defense, tmp_path, train)
    assert fitted.privacy.steps == 4
    assert float(network.head.weight.detach().abs().min()) > 0


def test_there_is_no_batch_norm_and_nothing_in_place():
    network = DpTraining().network(64, 14)
    assert not [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert not [m for m in network.modules() if getattr(m, "inplace", False)]
    assert sum(weights.numel() for weights in network.parameters()) < 10_000


def test_no_patient_is_in_anothers_loss():
    logits, findings = torch.randn(4, 3), torch.tensor([[1.0, 0, float("nan")]] * 4)
    losses = patient_losses(logits, findings)
    changed = logits.clone()
    changed[0] += 5
    assert torch.equal(patient_losses(changed, findings)[1:], losses[1:])
    assert patient_losses(logits, torch.full((4, 3), float("nan"))).tolist() == [0.0] * 4
    by_hand = (nn.functional.softplus(-logits[0, 0]) + nn.functional.softplus(logits[0, 1])) / 2
    assert float(losses[0]) == pytest.approx(float(by_hand))


@pytest.mark.parametrize("options", [{"epsilon": "inf"}, {"noise_multiplier": 1.0}])
def test_the_same_seed_gives_the_same_weights_and_another_does_not(options, tmp_path):
    one, two, other = (
        fit(DpTraining(**options, **SMALL), tmp_path / str(number), seed=seed)[0].state_dict()
        for number, seed in enumerate((0, 0, 1))
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_virtual_batches_change_no_figure_but_the_rounding(tmp_path):
    def trained(physical):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = DpTraining(**SMALL).network(24, 3)
        plan = PrivatePlan(0.5, 6, 4, 1e-3, 1.0, 1.0, physical_batch_size=physical)
        training = PrivateTraining(network, patients(), plan, seed=0, device=CPU)
        training.run(tmp_path / str(physical), Silent())
        assert training.accountant.history == [(1.0, 0.5, 4)]
        return network.head.weight.detach()

    torch.testing.assert_close(trained(2), trained(64), rtol=1e-3, atol=1e-5)


def test_a_killed_training_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    defense = DpTraining(noise_multiplier=1.0, **SMALL)
    unbroken, fitted = fit(defense, tmp_path / "whole")
    epochs = PrivateTraining._epoch

    def killed(self, number, done, steps):
        if number == 1:
            raise KeyboardInterrupt
        return epochs(self, number, done, steps)

    monkeypatch.setattr(PrivateTraining, "_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(defense, tmp_path / "broken")
    monkeypatch.undo()
    resumed, again = fit(defense, tmp_path / "broken")
    assert all(torch.equal(one, resumed.state_dict()[name]) for name, one in unbroken.state_dict().items())
    assert again.privacy == fitted.privacy
    with pytest.raises(ReidbenchError, match="another training"):
        fit(DpTraining(noise_multiplier=2.0, **SMALL), tmp_path / "broken")


def test_the_private_gradient_is_the_plain_one_without_noise_and_clipping(tmp_path):
    plain, _ = fit(DpTraining(epsilon="inf", **{**SMALL, "steps": 1}), tmp_path / "plain")
    clipped = DpTraining(noise_multiplier=0.1, max_grad_norm=1000, **{**SMALL, "steps": 1})
    plan = clipped._plan(0.5, 0.01)
    assert plan.noise_multiplier == 0.1
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(
        _private.DPOptimizer,
        "add_noise",
        lambda self: [setattr(weights, "grad", weights.summed_grad.clone()) for weights in self.params],
    )
    try:
        private, _ = fit(clipped, tmp_path / "private")
    finally:
        monkeypatch.undo()
    for name, weights in plain.state_dict().items():
        torch.testing.assert_close(private.state_dict()[name], weights, rtol=1e-3, atol=1e-4, msg=name)


def test_options_name_the_noise_once():
    assert DpTraining(noise_multiplier=1).epsilon is None
    with pytest.raises(ValueError, match="name one of them"):
        DpTraining(epsilon=1, noise_multiplier=1)
    with pytest.raises(ValueError, match="is needed"):
        DpTraining(epsilon=None)
    assert DpTraining(epsilon="inf").undefended() == DpTraining(epsilon="inf")
    assert DpTraining(noise_multiplier=2, max_grad_norm=0.5, steps=9).undefended() == DpTraining(epsilon="inf", steps=9)
    again = DpTraining.model_validate(json.loads(json.dumps(DpTraining(epsilon="inf").model_dump(mode="json"))))
    assert again == DpTraining(epsilon="inf")


@pytest.mark.parametrize(
    ("epsilon", "delta", "rate", "steps"),
    [
        (0.05, 1e-12, 1.0, 1_000_000),  # No noise that is tried is enough.
        (500.0, 1e-12, 0.5, 1_000_000),  # 10^9 numbers to add up.
        (0.05, 1e-3, 1.0, 100_000_000_000),  # More steps than any accountant adds up.
    ],
)
def test_an_epsilon_that_no_noise_reaches_is_one_line(epsilon, delta, rate, steps):
    said = f"epsilon={epsilon:g}, delta={delta:g}: no noise .* in {steps} steps"
    with pytest.raises(ReidbenchError, match=said) as no:
        calibrate_noise(epsilon, delta, rate, steps)
    assert "\n" not in str(no.value)
    assert "batch_size" in str(no.value)


@pytest.mark.parametrize(
    ("noise", "rate", "steps", "delta"),
    [
        (1.0, 0.5, 4, 0.1 / 12),
        (0.7, 0.01, 300, 1e-5),
        (4.0, 1.0, 7, 1e-6),
        (0.1, 0.5, 1, 1e-3),
        (20.0, 0.2, 9_999, 1e-8),
    ],
)
def test_what_is_spent_is_what_opacus_says_alone_to_the_last_bit(noise, rate, steps, delta):
    accountant = create_accountant("prv")
    accountant.history = [(noise, rate, steps)]
    alone = accountant._get_domain(
        prvs=[PoissonSubsampledGaussianPRV(rate, noise)],
        num_self_compositions=[steps],
        eps_error=EPSILON_ERROR,
        delta_error=delta / 1000,
    )
    assert _domain(noise, rate, steps, delta / 1000) == alone
    assert spent_epsilon(noise, rate, steps, delta) == max(0.0, accountant.get_epsilon(delta, eps_error=EPSILON_ERROR))


def test_where_any_noise_is_enough_it_is_the_least():
    # One step that takes a patient in a thousand, at a delta far above that: halving would go on for ever.
    assert calibrate_noise(8.0, 0.09, 1e-3, 1) == LEAST_NOISE
    assert spent_epsilon(LEAST_NOISE, 1e-3, 1, 0.09) == 0


def test_where_the_account_leaps_over_the_tolerance_the_private_side_of_it_is_taken(monkeypatch):
    # Below a noise of 3 the accountant cannot tell, as where there are too many numbers; above it half is spent.
    def account(noise, rate, steps, delta):
        if noise < 3:
            raise ReidbenchError("the accountant cannot tell")
        return 0.5

    monkeypatch.setattr(dp, "spent_epsilon", account)
    noise = calibrate_noise.__wrapped__(1.0, 1e-5, 0.1, 10)
    assert 3 <= noise <= 3 * (1 + 2 * FINEST)
    # And where it can tell, and more than epsilon is spent there.
    monkeypatch.setattr(dp, "spent_epsilon", lambda noise, *_: 7.0 if noise < 3 else 0.5)
    assert calibrate_noise.__wrapped__(1.0, 1e-5, 0.1, 10) == noise
    # Nothing that is tried comes down to epsilon: that is still an error.
    monkeypatch.setattr(dp, "spent_epsilon", lambda *_: 1.1)
    with pytest.raises(ReidbenchError, match="no noise is found"):
        calibrate_noise.__wrapped__(1.0, 1e-5, 0.1, 10)


def test_the_search_for_the_noise_is_opacus_s_where_that_ends():
    wanted = {"target_epsilon": 1.0, "target_delta": 0.01, "sample_rate": 1.0, "steps": 4}
    assert calibrate_noise(1.0, 0.01, 1.0, 4) == get_noise_multiplier(
        **wanted, accountant="prv", epsilon_tolerance=0.01
    )


def test_noise_that_cannot_be_accounted_for_is_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(PrivateTraining, "run", lambda *_: pytest.fail("it trained"))
    defense = DpTraining(noise_multiplier=0.1, **{**SMALL, "steps": 1_000_000})
    with pytest.raises(ReidbenchError, match=r"dp_training: noise_multiplier=0.1, .* the accountant cannot tell") as no:
        fit(defense, tmp_path)
    assert not isinstance(no.value, PluginError)


def test_a_delta_that_protects_nobody_is_refused_in_one_line(tmp_path):
    with pytest.raises(ReidbenchError, match=r"dp_training: delta=0.1 is not below 1 / 12 patients") as caught:
        fit(DpTraining(delta=0.1, **SMALL), tmp_path)
    assert not isinstance(caught.value, PluginError)
