"""Datasets and defenses from what a command names: ``name:option=value`` as a checked object.

Nothing here imports torch: a command that only reads a dataset starts in a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidbench.defenses.fingerprint import by_content
from reidbench.errors import ReidbenchError, did_you_mean
from reidbench.plugins import Found, Registry
from reidbench.plugins.options import build, parse_spec

if TYPE_CHECKING:
    from reidbench.cohorts.base import Dataset
    from reidbench.defenses.base import BaseDefense

DEFAULT_DATASET = "phantom"
ALL_POINTS = "all"
# The authors' own settings of a training, which may take a GPU and days: asked for by name only.
PUBLISHED_POINT = "published"


@dataclass(frozen=True)
class Chosen:
    """A defense with its options, and the plugin that it comes from."""

    defense: BaseDefense
    found: Found


def choose_defenses(registry: Registry, texts: Sequence[str]) -> list[Chosen]:
    """Defenses from ``name:option=value``, ``name:point`` or ``name:all`` (every operating point).

    Raises:
        ReidbenchError: a name, an option or a point is unknown, or a value is out of its bounds.
    """
    from reidbench.defenses.base import BaseDefense  # It imports torch.

    chosen = []
    for text in texts:
        spec = parse_spec(text)
        cls = registry.get("defense", spec.name, BaseDefense)
        points: dict[str, dict[str, Any]] = cls.operating_points
        found = registry.describe("defense", spec.name)
        if spec.point is None:
            below: list[dict[str, Any]] = [{}]
        elif spec.point == ALL_POINTS and points:
            below = [options for name, options in points.items() if name != PUBLISHED_POINT]
        elif spec.point in points:
            below = [points[spec.point]]
        else:
            known = [*points, ALL_POINTS] if points else []
            hint = did_you_mean(spec.point, known) if known else f"it has none; options: {', '.join(cls.model_fields)}"
            raise ReidbenchError(f"defense {spec.name!r} has no operating point {spec.point!r}: {hint}")
        chosen += [Chosen(build("defense", cls, {**point, **spec.options}), found) for point in below]
    return chosen


def choose_dataset(registry: Registry, text: str | None, root: Path | None, option: str = "--root") -> Dataset:
    """The dataset from ``name`` or ``name:option=value``; the phantom if none is named.

    ``option`` is the command-line option that gives the folder, for error messages.

    Raises:
        ReidbenchError: the name or an option is unknown, or ``root`` is needed or not taken.
    """
    from reidbench.cohorts.base import Dataset  # It imports pandas.

    spec = parse_spec(text or DEFAULT_DATASET)
    if spec.point is not None:
        raise ReidbenchError(f"dataset {text}: {spec.point!r} does not have the form option=value")
    cls = registry.get("dataset", spec.name, Dataset)
    options = dict(spec.options)
    if root is not None:
        if "root" not in cls.model_fields:
            raise ReidbenchError(f"{option} {root}: dataset {spec.name!r} takes no folder")
        options["root"] = root
    elif "root" in cls.model_fields and cls.model_fields["root"].is_required() and "root" not in options:
        raise ReidbenchError(f"dataset {spec.name!r} needs its folder: add {option} FOLDER")
    return build("dataset", cls, options)


def dataset_options(dataset: Dataset) -> dict[str, Any]:
    """A dataset's options for the record; folders are left out, since they differ between machines."""
    options = dataset.model_dump(mode="json")
    return by_content({name: value for name, value in options.items() if not isinstance(getattr(dataset, name), Path)})


def defense_text(defense: BaseDefense) -> str:
    """Name and options as text: ``gaussian_noise sigma=0.1``."""
    options = " ".join(f"{name}={value}" for name, value in defense.model_dump(mode="json").items())
    return f"{defense.name} {options}".strip()
