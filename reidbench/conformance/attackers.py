"""What an attacker promises, checked property by property on a small set of generated patients."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.attackers.base import Attacker, Fixed, Scenario, Training
from reidbench.attackers.pairs import PairAttacker
from reidbench.conformance.finding import Finding, each, failed, first_line, short
from reidbench.conformance.generators import restored, scramble, states
from reidbench.errors import ReidbenchError
from reidbench.images import to_unit
from reidbench.plugins.options import build

SEED = 7
#: Sides in pixels that are tried until the attacker takes one.
SIZES = (32, 64, 128, 224)
#: An attacker that reaches no higher AUC on the easy set is warned of.
EASY = 0.7
#: Scores that differ by more than this share of their largest magnitude differ by more than rounding.
ROUNDING = 1e-4

GOOD = {
    "fit": "trains, with validation patients, without any, and with one image of each",
    "fit determinism": "fixed by the seed",
    "fit resumption": "called again in the same folder, it ends with the same scores",
    "fit global randomness": "global generators are left alone",
    "warm start": "goes on from saved weights",
    "embed": "one row per image; equal images give equal rows",
    "order": "of images and pairs does not matter, nor how many there are",
    "scores": "float32 and finite, of one pair and of none too",
    "blocks": "score_block gives what score gives",
    "probability": "in [0, 1] and rising with the score, or NaN throughout",
    "inputs": "are left as they are",
    "save and load": "a copy that reads the weights gives the same scores",
}


@dataclass(frozen=True)
class _Set:
    """Generated patients.

    Attributes:
        pixels: (N, size, size) uint8.
        patients: (N,) int64.
    """

    pixels: NDArray[np.uint8]
    patients: NDArray[np.int64]

    @classmethod
    def of(cls, patients: int, visits: int, size: int, seed: int) -> _Set:
        """Each patient is a coarse pattern of their own; a visit changes exposure and adds noise."""
        rng = np.random.default_rng([SEED, seed])
        coarse = torch.from_numpy(rng.random((patients, 1, 6, 6)))
        smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").numpy()[:, 0]
        owners = np.repeat(np.arange(patients), visits)
        exposure = rng.uniform(0.8, 1.2, (len(owners), 1, 1))
        images = exposure * smooth[owners] + rng.normal(0, 0.05, (len(owners), size, size))
        pixels = np.round(255 * images.clip(0, 1)).astype(np.uint8)
        return cls(pixels, owners)

    def equals(self, other: _Set) -> bool:
        return np.array_equal(self.pixels, other.pixels) and np.array_equal(self.patients, other.patients)

    def scenario(self) -> Scenario:
        return Scenario(self.patients, self._side, self._side, self.pixels.shape[1])

    def fixed(self) -> Fixed:
        return Fixed(self.patients, self.pixels, self.pixels)

    def _side(self, index: NDArray[np.int64], *, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        return to_unit(self.pixels[index], device)


@dataclass(frozen=True)
class _Fitter:
    """Fits fresh instances of an attacker, each in a folder of its own."""

    attacker: Attacker
    train: _Set
    folder: Path
    device: torch.device

    def __call__(
        self, where: str, val: Fixed | None, *, start: Path | None = None, attacker: Attacker | None = None
    ) -> tuple[Attacker, Training]:
        made = attacker or self.attacker.model_copy()
        training = made.fit(
            self.train.scenario(), val, seed=SEED, device=self.device, work_dir=self.folder / where, start=start
        )
        if not isinstance(training, Training):
            raise TypeError(f"fit() returned {type(training).__name__}, not a reidbench.Training")
        json.dumps(training.history)
        return made, training


def check_attacker(
    cls: type[Attacker],
    options: Mapping[str, Any] | None = None,
    *,
    preset: str = "quick",
    device: torch.device | None = None,
) -> list[Finding]:
    """Checks an attacker against all that the contract asks of it. It is trained four times on 64 small images.

    Args:
        cls: a subclass of :class:`reidbench.Attacker`.
        options: its hyperparameters; all else as the preset has it. A few steps of training are enough for all
            properties but the warning that it learns little.
        preset: one of the attacker's.
        device: where networks run; the CPU unless given.

    Returns:
        One finding per property, with its measured time. Where training fails, nothing more can be said.

    Raises:
        ReidbenchError: the class is not an attacker.
    """
    if not (isinstance(cls, type) and issubclass(cls, Attacker)):
        raise ReidbenchError(f"{cls!r} is not a subclass of reidbench.Attacker")
    findings = [_check_presets(cls)]
    recipe = cls.under(preset)
    try:
        attacker = recipe(**{**recipe.presets.get(preset, {}), **(options or {})})
    except Exception as error:
        return [*findings, failed(cls, "options", f"{dict(options or {})} raised {short(error)}")]
    findings.append(_check_json(attacker))
    device = device or torch.device("cpu")
    with restored(), tempfile.TemporaryDirectory() as temporary:
        return findings + _check_all(attacker, Path(temporary), device)


def _check_presets(cls: type[Attacker]) -> Finding:
    name = "presets"
    found = dict.fromkeys(cls.presets, cls) | dict(cls.recipes)
    for preset, recipe in found.items():
        try:
            build("attacker", recipe, recipe.presets[preset])
        except ReidbenchError as error:
            return failed(cls, name, f"{preset!r} cannot be made: {first_line(error)}")
        except Exception as error:
            return failed(cls, name, f"{preset!r} cannot be made: {short(error)}")
    if missing := [preset for preset in ("quick", "standard") if preset not in found]:
        return failed(cls, name, f"there is no {' and no '.join(missing)}: a run under it refuses this attacker")
    return Finding(name, True, f"{', '.join(found)}: all can be made")


def _check_json(attacker: Attacker) -> Finding:
    name = "options round trip"
    try:
        again = type(attacker).model_validate(json.loads(json.dumps(attacker.model_dump(mode="json"))))
    except Exception as error:
        return failed(attacker, name, f"options do not pass through JSON: {short(error)}")
    lost = [option for option in type(attacker).model_fields if getattr(again, option) != getattr(attacker, option)]
    if lost:
        return failed(attacker, name, f"{', '.join(lost)} came back from JSON with another value")
    return Finding(name, True, "options pass through JSON unchanged")


def _check_all(attacker: Attacker, folder: Path, device: torch.device) -> list[Finding]:
    scramble(1)
    before = states()
    try:
        fit, val, (fitted, training), seconds = _fit_smallest(attacker, folder, device)
    except Exception as error:
        return [failed(attacker, "fit", f"{_said(attacker, error)}; input: 64 images of 16 patients")]
    touched = [name for name, state in states().items() if state != before[name]]
    size = fit.train.pixels.shape[1]
    test = _Set.of(8, 3, size, seed=2)
    found: dict[str, str] = {}
    if touched:
        found["fit global randomness"] = f"it draws from or seeds the global generator of {' and '.join(touched)}"
    try:
        figures = _check_scores(fitted, test, device, found)
        scores = _block(fitted, test, device)
    except Exception as error:
        found.setdefault("scores", f"{_said(attacker, error)}, of {len(test.pixels)} images")
        return [failed(attacker, name, what) for name, what in found.items()]
    exact = device.type == "cpu"
    weights = folder / "weights"

    def saved() -> str:
        fitted.save(weights)
        loaded = attacker.model_copy()
        loaded.load(weights, device=device)
        return _apart(_block(loaded, test, device), scores, exact=exact)

    def again() -> str:
        scramble(2)
        return _apart(_block(fit("again", val.fixed())[0], test, device), scores, exact=exact)

    def resumed() -> str:
        return _apart(_block(fit("first", val.fixed())[0], test, device), scores, exact=exact)

    def warm() -> str:
        warmed, _ = fit("warm", None, start=weights)
        return "" if np.isfinite(_block(warmed, test, device)).all() else "its scores are not finite"

    def single() -> str:
        alone = _Set.of(6, 1, size, seed=1)
        fit("single", alone.fixed())
        return ""

    # GPU kernels may sum in a different order each time, so equal weights are required on the CPU only.
    checks: list[tuple[str, str, Callable[[], str]]] = [
        ("save and load", "", saved),
        ("fit resumption", " when it is called again in the folder where it ended", resumed),
        ("warm start", ", with start=, and no validation patients", warm),
        ("fit", ", where each validation patient has one image", single),
    ]
    if exact:
        checks.insert(1, ("fit determinism", " in two trainings of one seed", again))
    for name, where, check in checks:
        try:
            if seen := check():
                found[name] = seen + where
        except Exception as error:
            found[name] = _said(attacker, error) + where
    whole = {
        "training": (fit.train, _Set.of(16, 4, size, seed=0)),
        "validation": (val, _Set.of(6, 3, size, seed=1)),
        "test": (test, _Set.of(8, 3, size, seed=2)),
    }
    changed = [name for name, (one, made_again) in whole.items() if not one.equals(made_again)]
    if changed:
        found["inputs"] = f"the {' and '.join(changed)} images were changed"
    findings = each(attacker, found, GOOD)
    return [
        *findings,
        *_warnings(attacker, training, scores, test, weights, folder, device),
        *figures,
        _fit_time(fit, seconds),
    ]


def _fit_smallest(
    attacker: Attacker, folder: Path, device: torch.device
) -> tuple[_Fitter, _Set, tuple[Attacker, Training], float]:
    refusal: ReidbenchError | None = None
    for size in SIZES:
        train, val = _Set.of(16, 4, size, seed=0), _Set.of(6, 3, size, seed=1)
        fit = _Fitter(attacker, train, folder / str(size), device)
        began = time.perf_counter()
        try:
            return fit, val, fit("first", val.fixed()), time.perf_counter() - began
        except ReidbenchError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _check_scores(attacker: Attacker, test: _Set, device: torch.device, found: dict[str, str]) -> list[Finding]:
    """Vectors and scores of a trained attacker; what is wrong goes into ``found``. Returns figures of the time."""
    images, count = test.pixels, len(test.pixels)
    began = time.perf_counter()
    vectors = attacker.embed(images, device=device)
    embedding = (time.perf_counter() - began) / count
    joint = isinstance(attacker, PairAttacker)
    if len(vectors) != count or not (joint or (vectors.ndim == 2 and vectors.dtype == np.float32)):
        wanted = f"{count} rows" if joint else f"({count}, D) float32"
        found["embed"] = f"{vectors.shape} {vectors.dtype} of {count} images, not {wanted}"
        raise ReidbenchError(f"no scores without vectors: {found['embed']}")
    if vectors.dtype.kind == "f" and not np.isfinite(vectors).all():
        found["embed"] = "some values are not finite"
    twice = attacker.embed(images[[0, 1, 0, 2, 0]], device=device)
    if not (np.array_equal(twice[0], twice[2]) and np.array_equal(twice[0], twice[4])):
        found["embed"] = "an image that stands three times among the images has different rows"
    backwards = attacker.embed(images[::-1], device=device)[::-1]
    alone = np.concatenate([attacker.embed(images[row : row + 1], device=device) for row in range(4)])
    rows = np.random.default_rng(SEED).permutation(count)
    # Pairs of different images, in an order of chance.
    a, b = rows, np.roll(rows, 1)
    before = np.array(vectors)
    scores = attacker.score(vectors[a], vectors[b])
    began = time.perf_counter()
    block = attacker.score_block(vectors, vectors)
    scoring = (time.perf_counter() - began) / block.size
    for what, one, shape in (("score", scores, (count,)), ("score_block", block, (count, count))):
        if one.shape != shape or one.dtype != np.float32:
            found["scores"] = f"{what} gave {one.shape} {one.dtype}, not {shape} float32"
            raise ReidbenchError(found["scores"])
        if not np.isfinite(one).all():
            found["scores"] = f"{what} gave values that are not finite"
            raise ReidbenchError(found["scores"])
    wide, none = attacker.score_block(vectors[:3], vectors), attacker.score_block(vectors[:0], vectors)
    empty = attacker.score(vectors[:0], vectors[:0])
    if (wide.shape, none.shape, empty.shape) != ((3, count), (0, count), (0,)):
        found["scores"] = f"of no pair they have shapes {empty.shape} and {none.shape}, of 3 probes {wide.shape}"
    if seen := _apart(block[a, b], scores):
        found["blocks"] = f"{seen} between score and score_block"
    orders = {
        "where images are embedded in reverse": attacker.score_block(backwards[:4], vectors),
        "where images are embedded one by one": attacker.score_block(alone, vectors),
        "where 3 probes are scored": np.concatenate([wide, block[3:4]]),
    }
    for where, other in orders.items():
        if seen := _apart(other, block[:4]):
            found["order"] = f"{seen} {where}"
    if not np.array_equal(vectors, before):
        found["inputs"] = "the vectors that were scored were changed"
    few = attacker.score(vectors[a[:3]], vectors[b[:3]])
    if seen := _apart(few, scores[:3]) or _apart(attacker.score(vectors[a[::-1]], vectors[b[::-1]])[::-1], scores):
        found["order"] = f"{seen} where pairs are scored in another order or number"
    if seen := _improbable(attacker, np.sort(scores)):
        found["probability"] = seen
    what = "a pair" if joint else "a pair of vectors"
    return [
        Finding("time of an image", True, f"{1000 * embedding:.2f} ms to embed", "figure"),
        Finding(
            f"time of {what}",
            True,
            f"{1e6 * scoring:.1f} µs to score; all pairs of 1,000 images {1e6 * scoring:.2g} s, on each rung",
            "figure",
        ),
    ]


def _improbable(attacker: Attacker, scores: NDArray[np.float32]) -> str:
    probability = np.asarray(attacker.probability(scores))
    if probability.shape != scores.shape:
        return f"of {scores.shape} scores it has shape {probability.shape}"
    if np.isnan(probability).all():
        return ""
    if not ((probability >= 0) & (probability <= 1)).all():
        return f"values from {np.nanmin(probability):g} to {np.nanmax(probability):g}, NaN among them or outside [0, 1]"
    return "a higher score has a lower probability" if (np.diff(probability) < 0).any() else ""


def _warnings(
    attacker: Attacker,
    training: Training,
    scores: NDArray[np.float32],
    test: _Set,
    weights: Path,
    folder: Path,
    device: torch.device,
) -> list[Finding]:
    same = test.patients[:, None] == test.patients
    genuine, impostor = scores[same & ~np.eye(len(same), dtype=bool)], scores[~same]
    auc = float(((genuine[:, None] > impostor) + 0.5 * (genuine[:, None] == impostor)).mean())
    reached = f"AUC {auc:.3f} on 8 other patients of an easy set"
    learned = Finding("learning", True, reached)
    if auc < EASY:
        learned = failed(
            attacker, "learning", f"{reached}; with the preset's own budget it should be near 1", "warning"
        )
    elif not training.learned:
        said = "its Training says that it learned nothing"
        learned = failed(attacker, "learning", f"{said}, and it reaches an {reached}", "warning")
    try:
        attacker.model_copy().load(folder / "missing", device=device)
        refused = "load() of a file that is not there raised nothing"
    except ReidbenchError:
        refused = ""
    except Exception as error:
        refused = f"load() of a file that is not there raised {short(error)}, not a ReidbenchError"
    missing = Finding("missing weights", True, "are refused in a line")
    return [learned, failed(attacker, "missing weights", refused, "warning") if refused else missing]


def _fit_time(fit: _Fitter, seconds: float) -> Finding:
    shape = f"{len(fit.train.pixels)} images of {fit.train.pixels.shape[1]}×{fit.train.pixels.shape[1]}"
    return Finding("time of the training", True, f"{seconds:.1f} s on {shape}", "figure")


def _block(attacker: Attacker, test: _Set, device: torch.device) -> NDArray[np.float32]:
    vectors = attacker.embed(test.pixels, device=device)
    return attacker.score_block(vectors, vectors)


def _apart(one: NDArray[np.float32], other: NDArray[np.float32], *, exact: bool = False) -> str:
    """In words, how far apart scores are that should be equal; empty if they are not."""
    if exact and np.array_equal(one, other):
        return ""
    largest = float(np.abs(one.astype(np.float64) - other).max(initial=0))
    if not exact and largest <= ROUNDING * max(float(np.abs(other).max(initial=0)), 1e-30):
        return ""
    return f"scores differ by up to {largest:.2g}"


def _said(attacker: Attacker, error: Exception) -> str:
    said = first_line(error).removeprefix(f"{attacker.name}: ")
    return said if isinstance(error, ReidbenchError) and said else short(error)
