"""check_attacker: an attacker that keeps the contract passes, and each broken promise is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from reidbench import Attacker, Field, PairAttacker, ReidbenchError, Training, write_file
from reidbench.conformance import broken, check_attacker
from reidbench.testing import ConformanceWarning, assert_attacker_conforms


class Plain(Attacker):
    """Does all as it should: compares pixels after subtracting the mean image of the training patients."""

    name = "plain"
    presets = {"quick": {}, "standard": {"step": 1}}
    step: int = Field(2, ge=1, description="every so many pixels")
    _mean: np.ndarray | None = None

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        images = train.probe(np.arange(len(train.patients)), generator=torch.Generator(), device=device)
        self._mean = images.mean(dim=(0, 1)).cpu().numpy()
        return Training(epochs=1, images_seen=len(images), seconds=0.0, learned=True, history=[{"epoch": 0}])

    def embed(self, images, *, device):
        differences = images.astype(np.float32) / 255 - self._mean
        vectors = differences[:, :: self.step, :: self.step].reshape(len(images), -1)
        return vectors - vectors.mean(axis=1, keepdims=True)

    def score(self, a, b):
        return -np.square(a - b).mean(axis=1)

    def score_block(self, probes, gallery):
        return -np.square(probes[:, None] - gallery[None]).mean(axis=2)

    def probability(self, scores):
        return np.exp(scores)

    def save(self, path):
        write_file(path, save({"mean": self._mean}))

    def load(self, path, *, device):
        if not path.is_file():
            raise ReidbenchError(f"no weights file {path}")
        self._mean = load(path.read_bytes())["mean"]


class Jointly(PairAttacker):
    """Does all as it should, pair by pair."""

    name = "jointly"
    presets = {"quick": {}, "standard": {}}
    pairs_at_once = 50

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        return Training(epochs=0, images_seen=0, seconds=0.0, learned=True, history=[])

    def score_pairs(self, probe, gallery):
        return -np.abs(probe.astype(np.float32) - gallery).mean(axis=(1, 2))

    def save(self, path):
        write_file(path, "nothing is learned")

    def load(self, path, *, device):
        if not path.is_file():
            raise ReidbenchError(f"no weights file {path}")


class Unstable(Plain):
    def fit(self, *args, **where):
        training = super().fit(*args, **where)
        self._mean = self._mean + np.random.default_rng().normal(size=self._mean.shape).astype(np.float32)
        return training

    def embed(self, images, *, device):
        return super().embed(images, device=device) * self._mean[0, 0]


class GlobalNoise(Unstable):
    """Its noise is from the global generator, where a seed elsewhere would decide."""

    def fit(self, *args, **where):
        training = Plain.fit(self, *args, **where)
        self._mean = self._mean + np.random.standard_normal(self._mean.shape).astype(np.float32)  # noqa: NPY002
        return training


class Resumes(Plain):
    """Trains further from its checkpoint than a training without an interruption would."""

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        training = super().fit(train, val, seed=seed, device=device, work_dir=work_dir)
        work_dir.mkdir(parents=True, exist_ok=True)
        times = len(list(work_dir.iterdir()))
        (work_dir / str(times)).write_text("")
        self._mean = self._mean * (1 + times)
        return training

    def embed(self, images, *, device):
        return super().embed(images, device=device) + self._mean.sum() * images[:, :1, :1].reshape(-1, 1)


class NeedsValidation(Plain):
    def fit(self, train, val, **where):
        len(val.patients)
        return super().fit(train, val, **where)


class NeedsPairsOfValidation(Plain):
    def fit(self, train, val, **where):
        if val is not None and np.bincount(val.patients).max() < 2:
            raise ReidbenchError("there is no genuine pair to validate on")
        return super().fit(train, val, **where)


class NoStart(Plain):
    def fit(self, train, val, *, start=None, **where):
        if start is not None:
            raise NotImplementedError("warm start")
        return super().fit(train, val, **where)


class ReturnsNothing(Plain):
    def fit(self, *args, **where):
        super().fit(*args, **where)


class ChangesImages(Plain):
    def embed(self, images, *, device):
        vectors = super().embed(images, device=device)
        images[:, 0, 0] = 0
        return vectors


class ChangesValidation(Plain):
    def fit(self, train, val, **where):
        if val is not None:
            val.probe[0] = 0
        return super().fit(train, val, **where)


class ChangesVectors(Plain):
    def score_block(self, probes, gallery):
        scores = super().score_block(probes, gallery)
        probes[:, 0] += 1e-5
        return scores


class Infinite(Plain):
    def score(self, a, b):
        scores = super().score(a, b)
        scores[:1] = np.inf
        return scores


class Disagrees(Plain):
    def score_block(self, probes, gallery):
        return 2 * super().score_block(probes, gallery)


class Batched(Plain):
    def embed(self, images, *, device):
        vectors = super().embed(images, device=device)
        return vectors - vectors.mean(axis=0)


class ByPlace(Plain):
    def embed(self, images, *, device):
        vectors = super().embed(images, device=device)
        return vectors + np.arange(len(vectors), dtype=np.float32)[:, None] / 100 * vectors


class Doubles(Plain):
    def score(self, a, b):
        return super().score(a, b).astype(np.float64)


class FailsOnNone(Plain):
    def score_block(self, probes, gallery):
        if not len(probes):
            raise ValueError("need at least one array")
        return super().score_block(probes, gallery)


class Improbable(Plain):
    def probability(self, scores):
        return 1 - scores


class Falling(Plain):
    def probability(self, scores):
        return 1 - np.exp(scores)


class Forgets(Plain):
    def load(self, path, *, device):
        super().load(path, device=device)
        self._mean = self._mean[::-1] * 3

    def embed(self, images, *, device):
        return super().embed(images, device=device) * self._mean.mean()


class Unsaved(Plain):
    def save(self, path):
        pass


class NoPresets(Plain):
    presets = {"quick": {}}


class WrongPreset(Plain):
    presets = {"quick": {}, "standard": {"stride": 1}}


class TooShort(Plain):
    def embed(self, images, *, device):
        return super().embed(images, device=device)[:-1]


class JointByPlace(Jointly):
    def score_pairs(self, probe, gallery):
        return super().score_pairs(probe, gallery) + np.arange(len(probe), dtype=np.float32)


class JointColumns(Jointly):
    def score_pairs(self, probe, gallery):
        return super().score_pairs(probe, gallery)[:, None]


BROKEN = [
    (Unstable, "fit determinism", "scores differ by up to .* in two trainings of one seed"),
    (GlobalNoise, "fit global randomness", "the global generator of "),
    (Resumes, "fit resumption", "scores differ by up to .* when it is called again in the folder where it ended"),
    (NeedsValidation, "warm start", "with start=, and no validation patients"),
    (NeedsPairsOfValidation, "fit", "no genuine pair to validate on, where each validation patient has one image"),
    (NoStart, "warm start", "NotImplementedError"),
    (ReturnsNothing, "fit", "returned NoneType, not a reidbench.Training"),
    (ChangesImages, "inputs", "the test images were changed"),
    (ChangesValidation, "inputs", "the validation images were changed"),
    (ChangesVectors, "inputs", "the vectors that were scored were changed"),
    (Infinite, "scores", "score gave values that are not finite"),
    (Disagrees, "blocks", "scores differ by up to .* between score and score_block"),
    (Batched, "order", "where images are embedded one by one"),
    (ByPlace, "embed", "an image that stands three times among the images has different rows"),
    (Doubles, "scores", r"score gave \(24,\) float64, not \(24,\) float32"),
    (FailsOnNone, "scores", "need at least one array"),
    (Improbable, "probability", r"outside \[0, 1\]"),
    (Falling, "probability", "a higher score has a lower probability"),
    (Forgets, "save and load", "scores differ by up to"),
    (Unsaved, "save and load", "no weights file"),
    (NoPresets, "presets", "there is no standard: a run under it refuses this attacker"),
    (WrongPreset, "presets", "'standard' cannot be made: .*stride"),
    (TooShort, "embed", r"\(23, 256\) float32 of 24 images"),
    (JointByPlace, "blocks", "between score and score_block"),
    (JointColumns, "scores", r"score_pairs gave scores of shape \(50, 1\) for 50 pairs"),
]


@pytest.mark.parametrize("cls", [Plain, Jointly])
def test_what_keeps_the_contract_passes_with_every_property_named(cls):
    findings = check_attacker(cls)
    assert [finding.message for finding in findings if not finding.passed] == []
    named = {finding.property for finding in findings}
    assert {
        "presets", "options round trip", "fit", "fit determinism", "fit resumption", "fit global randomness",
        "warm start", "embed", "order", "scores", "blocks", "probability", "inputs", "save and load", "learning",
        "missing weights", "time of an image", "time of the training",
    } <= named  # fmt: skip
    assert ("time of a pair" in named) == (cls is Jointly)


@pytest.mark.parametrize(("cls", "named", "what"), BROKEN, ids=[cls.__name__ for cls, _, _ in BROKEN])
def test_a_broken_promise_is_named_with_what_was_seen(cls, named, what):
    failures = {finding.property: finding.message for finding in broken(check_attacker(cls))}
    assert named in failures, failures
    assert failures[named].startswith(f"{cls.name}: {named}: ")
    with pytest.raises(AssertionError, match=what):
        raise AssertionError(failures[named])


def test_each_broken_attacker_breaks_little_else():
    # What is no consequence of the broken promise passes: the check does not fail as a whole.
    for cls, others in ((Disagrees, 1), (Infinite, 1), (Falling, 1), (NoPresets, 1), (NeedsPairsOfValidation, 1)):
        assert len(broken(check_attacker(cls))) <= others, cls


def test_a_good_attacker_that_ranks_no_better_than_chance_is_warned_of():
    class Constant(Plain):
        def embed(self, images, *, device):
            return np.zeros((len(images), 2), np.float32)

    (finding,) = [finding for finding in check_attacker(Constant) if not finding.passed]
    assert (finding.property, finding.level) == ("learning", "warning")
    assert "AUC 0.500" in finding.message
    with pytest.warns(ConformanceWarning, match="plain: learning: AUC 0.500"):
        assert_attacker_conforms(Constant)


def test_a_missing_weights_file_that_is_a_traceback_is_warned_of():
    class Bare(Plain):
        def load(self, path, *, device):
            self._mean = load(path.read_bytes())["mean"]

    (finding,) = [finding for finding in check_attacker(Bare) if not finding.passed]
    assert finding.level == "warning"
    assert "raised FileNotFoundError" in finding.message


def test_options_that_cannot_be_are_named_and_the_pytest_form_fails_with_them():
    findings = check_attacker(Plain, {"step": 0})
    assert [finding.property for finding in broken(findings)] == ["options"]
    with pytest.raises(AssertionError, match=r"plain: options: .*step"):
        assert_attacker_conforms(Plain, {"step": 0})


def test_what_is_no_attacker_is_refused():
    with pytest.raises(ReidbenchError, match=r"not a subclass of reidbench\.Attacker"):
        check_attacker(dict)
