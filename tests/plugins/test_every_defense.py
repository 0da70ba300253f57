"""What each built-in defense must hold, whoever wrote it: parametrized over all that pyproject.toml lists."""

from __future__ import annotations

import importlib
import inspect
import json
import tempfile
import tomllib
from functools import cache
from pathlib import Path

import annotated_types
import numpy as np
import pytest
import torch

from reidbench import CohortDefense, Defense, ReidbenchError
from reidbench.conformance.fitting import small_set
from reidbench.conformance.gradient import check_gradient
from reidbench.defenses.base import BaseDefense
from reidbench.defenses.fitted import BaseFittedDefense
from reidbench.defenses.fitting import fit_defense
from reidbench.defenses.release import draw_batch, release
from reidbench.errors import PluginError
from reidbench.images import to_unit
from reidbench.plugins import FAMILIES
from reidbench.plugins.source import declared_text

ROOT = Path(__file__).parents[2]
LISTED: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["reidbench"]
SEVERITIES = ("mild", "moderate", "strong", "severe")
CONTROLS = {"identity", "blackout"}
# Gradients pass with some of their options and not with others, which is no promise.
SOME_OPTIONS_DIFFERENTIABLE = {"intensity_normalize", "kornia_augment"}
# Bounds that a small cohort of small images cannot reach: to be refused with a reason, not published.
# What is fitted is fitted as little as shows: its budget decides how good it is, and nothing that must hold here.
LITTLE = {
    "epochs": 1,
    "warmup": 1,
    "features": 2,
    "verifier": "resnet_small_4",
    "classifier": "resnet_small_4",
    "backbone": "resnet_small_4",
    "steps": 2,
    "targets": 4,
    "side": 16,
    "width": 4,
}
BUDGET = {*LITTLE, "batch_size", "lr", "grid", "verifier_weight", "classifier_weight", "keep", "side"}
# Its points differ in what it is trained for, which shows after a whole training.
SEVERITY_IN_TRAINING = {"privacy_net", "neural_obfuscation", "latent_synthesis", "latent_k_same"}
# Trains on what it publishes, as little as shows here.
TRAINED_COHORT = {"neural_obfuscation"}
REFUSED = {
    ("downsample", "size", 4096),
    ("k_same_pixel", "k", 10_000),
    ("k_same_eigen", "k", 10_000),
    ("latent_k_same", "k", 10_000),
}


def load(name: str) -> type[BaseDefense]:
    module, _, cls = LISTED[name].partition(":")
    return getattr(importlib.import_module(module), cls)


CLASSES = {name: load(name) for name in LISTED}
PUBLISH_IMAGES = {name: cls for name, cls in CLASSES.items() if issubclass(cls, Defense | CohortDefense)}
every = pytest.mark.parametrize("name", LISTED)
every_image = pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if issubclass(cls, Defense)])
every_release = pytest.mark.parametrize("name", PUBLISH_IMAGES)


def values(name: str) -> list[tuple[str, object]]:
    """Both bounds of every bounded option, and every choice of the others."""
    found: list[tuple[str, object]] = []
    for option, field in CLASSES[name].model_fields.items():
        for bound in field.metadata:
            if isinstance(bound, annotated_types.Ge):
                found.append((option, bound.ge))
            if isinstance(bound, annotated_types.Le):
                found.append((option, bound.le))
        if getattr(field.annotation, "__name__", "") == "Literal":
            found += [(option, choice) for choice in field.annotation.__args__]
    return found


@cache
def _fit(name: str, options: str) -> BaseFittedDefense:
    with tempfile.TemporaryDirectory() as folder:
        fitted, _ = fit_defense(CLASSES[name](**json.loads(options)), small_set(), seed=0, work_dir=Path(folder))
    return fitted


def ready(name: str, options: dict[str, object] | None = None) -> BaseDefense:
    """The defense with these options, fitted if it must be."""
    cls = CLASSES[name]
    little = {option: value for option, value in LITTLE.items() if option in cls.model_fields}
    if not issubclass(cls, BaseFittedDefense):
        return cls(**(little if name in TRAINED_COHORT else {}) | (options or {}))
    return _fit(name, json.dumps(little | (options or {})))


def fitted_alike(name: str, option: str) -> bool:
    return (issubclass(CLASSES[name], BaseFittedDefense) or name in TRAINED_COHORT) and option in BUDGET


WALK = [
    (name, option, value) for name in PUBLISH_IMAGES for option, value in values(name) if not fitted_alike(name, option)
]
POINTS = [(name, point) for name in CLASSES for point in CLASSES[name].operating_points]
QUICK_POINTS = [(name, point) for name, point in POINTS if point != "published"]


def publish(defense: BaseDefense, images: np.ndarray, **keywords: int) -> np.ndarray:
    ids = [f"image {number}" for number in range(len(images))]
    return release(defense, images, ids, np.arange(len(images)) // 2, **{"seed": 1} | keywords)


def complete(name: str, options: dict[str, object]) -> dict[str, object]:
    # The one choice of an option that needs another.
    return options | {"regions": [[0, 0, 0.1, 0.1]]} if options.get("where") == "regions" else options


def test_every_file_is_listed_under_its_name() -> None:
    files = {path.stem for path in (ROOT / "plugins" / "reidbench_plugins").glob("*.py") if path.stem[0] != "_"}
    assert set(LISTED) == files
    assert all(place.partition(":")[0] == f"reidbench_plugins.{name}" for name, place in LISTED.items())


@every
def test_name_docstring_and_options_say_what_they_are(name: str) -> None:
    cls = CLASSES[name]
    assert cls.name == name
    assert f"{cls.__module__}:{cls.__name__}" == LISTED[name]
    summary, _, rest = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")
    assert summary.endswith(".")
    assert "\n" not in summary
    assert len(rest) > 40, "after the summary: source and algorithm"
    for option, field in cls.model_fields.items():
        assert field.description, f"{option} has no description"
        assert not field.is_required(), f"{option} has no default"


@every
def test_it_declares_a_family_of_the_list(name: str) -> None:
    assert CLASSES[name].family in FAMILIES
    assert declared_text(LISTED[name], "family") == CLASSES[name].family, "as lists read it, without an import"


@every
def test_numbers_are_bounded_on_both_sides(name: str) -> None:
    for option, field in CLASSES[name].model_fields.items():
        if field.annotation in (int, float):
            kinds = {type(bound) for bound in field.metadata}
            assert {annotated_types.Ge, annotated_types.Le} <= kinds, option


@every
def test_operating_points_are_named_by_severity(name: str) -> None:
    points = CLASSES[name].operating_points
    if name in CONTROLS:
        assert not points
        return
    named = [point for point in points if point != "published"]
    trains = issubclass(CLASSES[name], BaseFittedDefense) or name in TRAINED_COHORT
    assert len(named) == len(points) or trains, "the authors' own training"
    assert 3 <= len(named) <= 5
    assert named == [severity for severity in SEVERITIES if severity in points]
    assert named[0] == "mild"
    assert named[-1] == "severe"
    built = [CLASSES[name].model_validate(options) for options in points.values()]
    assert all(one != other for number, one in enumerate(built) for other in built[:number])


@pytest.mark.parametrize(("name", "point"), [*POINTS, *((name, None) for name in LISTED)])
def test_options_round_trip_through_json(name: str, point: str | None) -> None:
    defense = CLASSES[name](**(CLASSES[name].operating_points[point] if point else {}))
    written = json.dumps(defense.model_dump(mode="json"))
    again = CLASSES[name].model_validate(json.loads(written))
    assert again == defense
    assert json.dumps(again.model_dump(mode="json")) == written


@every
def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        CLASSES[name].model_validate({"no_such_option": 1})


@pytest.mark.parametrize(("name", "option", "value"), WALK)
def test_bounds_and_choices_publish_images(name: str, option: str, value: object, pixels) -> None:
    defense = ready(name, complete(name, {option: value}))
    images = pixels(12)
    if (name, option, value) in REFUSED:
        with pytest.raises(ReidbenchError, match=name) as raised:
            publish(defense, images)
        assert not isinstance(raised.value, PluginError)
        return
    after = publish(defense, images)
    assert after.shape == images.shape
    assert after.dtype == np.uint8


@pytest.mark.parametrize(("name", "option", "value"), [row for row in WALK if not isinstance(row[2], str)])
def test_values_past_the_bounds_are_refused(name: str, option: str, value: float) -> None:
    field = CLASSES[name].model_fields[option]
    low = next(bound.ge for bound in field.metadata if isinstance(bound, annotated_types.Ge))
    past = value - 1 if value == low else value + 1
    with pytest.raises(ValueError, match=r"(greater|less) than or equal"):
        CLASSES[name].model_validate({option: past})


@pytest.mark.parametrize(("name", "point"), [(n, point) for n, point in QUICK_POINTS if n in PUBLISH_IMAGES])
def test_operating_points_change_the_images(name: str, point: str, pixels) -> None:
    images = pixels(24)
    after = publish(ready(name, CLASSES[name].operating_points[point]), images)
    assert after.shape == images.shape
    changed = np.any(after != images, axis=(1, 2))
    assert changed.all(), "an image was published as it is"


@pytest.mark.parametrize("name", sorted(set(PUBLISH_IMAGES) - CONTROLS - SEVERITY_IN_TRAINING))
def test_severe_distorts_more_than_mild(name: str, pixels) -> None:
    images = pixels(24)
    errors = [
        float(np.mean((publish(ready(name, options), images).astype(float) - images) ** 2))
        for point, options in CLASSES[name].operating_points.items()
        if point != "published"
    ]
    assert errors[0] == min(errors)
    assert errors[-1] > errors[0]


@every_release
def test_release_does_not_depend_on_batches_or_order(name: str, pixels) -> None:
    # More than a batch holds, and no multiple of any.
    images = np.concatenate([pixels(45), pixels(30, seed=1)])
    if issubclass(CLASSES[name], BaseFittedDefense):
        images = images[:9]  # A network sees them one by one, which takes its time.
    ids = np.array([f"image {number}" for number in range(len(images))])
    patients = np.arange(len(images)) // 2
    defense = ready(name)
    whole = release(defense, images, ids, patients, seed=3, batch_size=64)
    for batch_size in (1, 7):
        np.testing.assert_array_equal(release(defense, images, ids, patients, seed=3, batch_size=batch_size), whole)
    order = np.random.default_rng(0).permutation(len(images))
    shuffled = release(defense, images[order], ids[order], (len(images) - patients)[order], seed=3)
    np.testing.assert_array_equal(shuffled, whole[order])


@every_release
@pytest.mark.parametrize("shape", [(48, 80), (80, 48), (43, 61)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_images_of_any_shape(name: str, shape: tuple[int, int], level: int) -> None:
    images = np.full((10, *shape), level, dtype=np.uint8)
    assert publish(ready(name), images).shape == images.shape


@every_image
def test_an_attacker_can_draw_training_batches(name: str, pixels) -> None:
    images = to_unit(pixels(9), torch.device("cpu"))
    defense = ready(name)
    first = draw_batch(defense, images, torch.Generator().manual_seed(1))
    assert torch.equal(first, draw_batch(defense, images, torch.Generator().manual_seed(1)))
    # Same images in one batch get draws of their own, exactly where two releases differ: but for a key of all images.
    twice = draw_batch(defense, images[:1].repeat(8, 1, 1, 1), torch.Generator().manual_seed(1))
    random = not np.array_equal(publish(defense, pixels(9)), publish(defense, pixels(9), seed=2))
    if getattr(defense, "key", None) == "secret":
        other = draw_batch(defense, images[:1].repeat(8, 1, 1, 1), torch.Generator().manual_seed(2))
        assert torch.equal(twice[0], twice[1])
        twice[1] = other[1]
    assert random == (not torch.equal(twice[0], twice[1]))


@pytest.mark.parametrize(("name", "point"), [*QUICK_POINTS, *((name, None) for name in LISTED)])
def test_gradients_pass_exactly_where_they_are_declared(name: str, point: str | None) -> None:
    cls = CLASSES[name]
    if not issubclass(cls, Defense):
        assert not cls.differentiable
        return
    finding = check_gradient(ready(name, cls.operating_points[point] if point else {}), torch.device("cpu"))
    assert finding.passed, finding.message
    if (name, point) == ("downsample", "mild"):
        assert "was refused" in finding.message, "the samples are smaller than its size"
    elif cls.differentiable:
        assert "finite gradients pass" in finding.message
    elif name not in SOME_OPTIONS_DIFFERENTIABLE:
        assert "gradients pass with" not in finding.message


@every_image
def test_an_empty_batch_stays_empty(name: str) -> None:
    assert draw_batch(ready(name), torch.empty(0, 1, 48, 80), torch.Generator()).shape == (0, 1, 48, 80)


@every
def test_privacy_states_its_unit_and_the_whole_image(name: str) -> None:
    privacy = CLASSES[name]().privacy(64, 96)
    if privacy is not None:
        assert privacy.epsilon >= 0
        assert 0 <= privacy.delta <= 1
        assert "pixel" in privacy.unit
        assert "64×96 image" in privacy.unit
        # The figure that an attack on images is to be held against, as a number too.
        whole = privacy.whole_image_delta if privacy.epsilon == 0 else privacy.whole_image_epsilon
        assert f"is {whole:,.6g} for a whole" in privacy.unit
        assert (privacy.whole_image_epsilon, privacy.whole_image_delta) >= (privacy.epsilon, privacy.delta)
