"""A fitted defense in a run: trained once on the train split, before anything is published, and told in the record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reidbench import FittedDefense, hookimpl
from reidbench.choosing import choose_defenses, dataset_options
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.files import content_digest
from reidbench.harness.experiment import Experiment
from reidbench.harness.run import record_run, release_of, subject_of, subject_path
from reidbench.plugins import Found, Registry
from reidbench.progress import Silent
from reidbench.records.ladder import parse_ladder
from reidbench.records.store import read_record
from reidbench.settings import make_settings
from reidbench.steps.cache import StepCache
from reidbench.steps.releases import ArraySide, MechanismSide, Release
from reidbench.studies.example_images import ExampleSource

CPU = torch.device("cpu")
FITS: list[dict] = []


class Level(FittedDefense):
    """Moves an image towards the mean level that it has learned, by a share that its seed draws."""

    name = "level"

    def build(self):
        network = nn.Linear(1, 1)
        network.register_buffer("level", torch.zeros(()))
        return network

    def fit(self, network, data, *, seed, device, work_dir, progress=None):
        FITS.append(
            {"pixels": data.pixels.copy(), "patients": data.patients, "labels": data.labels, "folder": work_dir}
        )
        network.level.fill_(float(data.pixels.mean() / 255))
        return [{"epoch": 1.0, "train_loss": 0.25}]

    def transform(self, images, *, rng):
        return images + 0.5 * torch.sigmoid(self.network.weight) * (self.network.level - images)


class Fixed(Level):
    """The same, and says that it is the same each time."""

    name = "fixed"
    deterministic = True


@hookimpl
def reidbench_defenses():
    return [Level, Fixed]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return load_cohort(Phantom(patients=40), size=32, cache=folder, strict=False, progress=Silent())


@pytest.fixture(autouse=True)
def forget():
    FITS.clear()


def made(cohort, cache: Path, cls: type[FittedDefense] = Level, seed: int = 0) -> Release:
    found = Found("defense", cls.name, __name__, "tests", "1")
    parts = {split: cohort.part(split) for split in ("train", "val", "test")}
    return Release(cls(), found, parts, seed=seed, cache=StepCache(cache), device=CPU, progress=Silent())


def test_it_sees_the_train_split_and_no_other_image(cohort, tmp_path):
    made(cohort, tmp_path).images("test")
    (fit,) = FITS
    train = cohort.part("train")
    np.testing.assert_array_equal(fit["pixels"], train.pixels)
    np.testing.assert_array_equal(fit["patients"], train.frame["patient"])
    np.testing.assert_array_equal(fit["labels"], train.frame[list(cohort.labels)])
    others = {image.tobytes() for split in ("val", "test") for image in cohort.part(split).pixels}
    assert not others & {image.tobytes() for image in fit["pixels"]}


def test_it_is_fitted_once_for_a_seed_and_never_to_be_named(cohort, tmp_path):
    release = made(cohort, tmp_path)
    assert release.name == "level"
    assert not FITS, "a sweep asks for the record's name alone"
    first = release.images("test").pixels
    for split in ("train", "val"):
        release.images(split)
    again = made(cohort, tmp_path)
    assert again.info() == release.info()
    assert len(FITS) == 1
    other = made(cohort, tmp_path, seed=1).images("test").pixels
    assert len(FITS) == 2
    assert (other != first).any()
    assert release.defense == Level(), "what was asked for is left as it was: another seed fits it anew"


def test_the_record_says_how_it_was_trained(cohort, tmp_path):
    info = made(cohort, tmp_path).info()
    train = cohort.part("train")
    assert info.kind == "fitted"
    assert (info.fitting.images, info.fitting.patients) == (len(train), train.frame["patient_id"].nunique())
    assert (info.fitting.epochs, info.fitting.history) == (1, [{"epoch": 1.0, "train_loss": 0.25}])
    (weights,) = (tmp_path / "fit").glob("*/weights.safetensors")
    assert info.fitting.checkpoint_sha256 == content_digest(weights)
    assert not FITS[0]["folder"].exists(), "checkpoints are swept away"


def test_an_attacker_runs_the_fitted_mechanism_on_its_own_patients(cohort, tmp_path):
    release = made(cohort, tmp_path)
    side = release.side()
    assert isinstance(side, MechanismSide)
    rows = np.arange(7)
    drawn = side(rows, generator=torch.Generator(), device=CPU)
    expected = torch.from_numpy(np.asarray(release.images("train").pixels[rows])).float()[:, None] / 255
    torch.testing.assert_close(drawn, expected, atol=1.01 / 255, rtol=0)
    assert len(FITS) == 1


def test_a_deterministic_mechanism_is_run_once_on_each_image(cohort, tmp_path):
    release = made(cohort, tmp_path, Fixed)
    side = release.side()
    assert isinstance(side, ArraySide)
    np.testing.assert_array_equal(side.versions[0], release.images("train").pixels)
    assert release.images("val", 1).digest == release.images("val").digest
    assert made(cohort, tmp_path).images("val", 1).digest != made(cohort, tmp_path).images("val").digest


@pytest.mark.parametrize("library", [torch, np])
def test_other_arithmetic_makes_another_release(cohort, tmp_path, monkeypatch, library):
    first = made(cohort, tmp_path).images("test").digest
    assert made(cohort, tmp_path).images("test").digest == first
    monkeypatch.setattr(library, "__version__", "9.9.9")
    assert made(cohort, tmp_path).images("test").digest != first


def test_a_killed_fit_goes_on_in_its_folder(cohort, tmp_path, monkeypatch):
    fit = Level.fit

    def dies(self, network, data, *, work_dir, **keywords):
        work_dir.mkdir(exist_ok=True)
        (work_dir / "half").write_text("way")
        raise KeyboardInterrupt

    monkeypatch.setattr(Level, "fit", dies)
    with pytest.raises(KeyboardInterrupt):
        made(cohort, tmp_path).images("test")

    def goes_on(self, network, data, *, work_dir, **keywords):
        assert (work_dir / "half").read_text() == "way"
        return fit(self, network, data, work_dir=work_dir, **keywords)

    monkeypatch.setattr(Level, "fit", goes_on)
    made(cohort, tmp_path).images("test")
    assert len(FITS) == 1


@pytest.mark.slow
def test_a_whole_run_judges_it_and_its_record_can_be_read(tmp_path):
    registry = Registry([Path(__file__).parents[1] / "third_party" / "example"])
    settings = make_settings(
        registry,
        preset="quick",
        device=CPU,
        cache=tmp_path / "cache",
        attackers=("example_pixels",),
        overrides={
            "bootstrap_runs": "20",
            **{f"{owner}.{name}": "2" for owner in ("classifier", "restorer") for name in ("min_steps", "max_steps")},
        },
        size=32,
        ladder=parse_ladder(["informed/original-released"]),
    )
    phantom = Phantom(patients=40)
    small = load_cohort(phantom, size=32, cache=tmp_path, strict=False, progress=Silent())
    options = {"epochs": 1, "warmup": 1, "features": 2, "mu": 0.05}
    options |= {"verifier": "resnet_small_4", "classifier": "resnet_small_4"}
    (chosen,) = choose_defenses(registry, [f"flow_field:{json.dumps(options)}"])
    experiment = Experiment(small, dataset_options(phantom), settings, Silent())
    subject = subject_of(experiment, chosen)
    path = subject_path(subject, tmp_path / "runs")
    assert not (settings.cache / "steps" / "fit").exists(), "a sweep asks where the record will lie, and trains nothing"
    record, written = record_run(subject, None, tmp_path / "runs")
    assert written == path
    assert read_record(path) == record
    assert record.defense.fitting.history[-1]["train_loss"] > 0
    assert [attack.knowledge for attack in record.attacks] == ["informed"] * len(record.attacks)
    # Its images for a report are made again with the weights that were kept, the very ones that were published.
    examples = ExampleSource(registry, settings.cache, Silent())
    example_images = examples.make(record)
    published = subject.published.images("test").pixels
    assert all((image == published).all(axis=(1, 2)).any() for image in example_images.after)
    assert (example_images.after != example_images.before).any()
    (weights,) = (settings.cache / "steps" / "fit").glob("*/weights.safetensors")
    weights.write_bytes(b"others")
    assert examples.make(record) == "it was trained first, and its weights are no longer in the cache"
    assert examples.may_show(record)
    # Another seed is another training.
    other = Experiment(small, dataset_options(phantom), replace(settings, seed=1), Silent())
    again = release_of(other, chosen).info()
    assert again.fitting.checkpoint_sha256 != record.defense.fitting.checkpoint_sha256
