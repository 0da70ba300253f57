"""Writes docs/defenses.md from the classes of the built-in defenses.

python docs/generate_defenses.py

A test fails when the page is not what this would write.
"""

from __future__ import annotations

import inspect
import json
import tomllib
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from reidbench.defenses.base import BaseDefense
from reidbench.plugins import Registry
from reidbench.report.text.describe import WORKS_ON
from reidbench.report.text.markup.markdown import Markdown, markdown_table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "defenses.md"
# The size for which guarantees are stated.
SIDE = 256

INTRODUCTION = """\
# Built-in defenses

This page is generated from the classes by `python docs/generate_defenses.py`.

Run a defense with `reidbench run --defense NAME` or `NAME:option=value,…`, at a named operating point with
`NAME:mild`, or at all of its operating points with `NAME:all`. The exception is `NAME:published`, the settings of a
training that its authors published, which needs a GPU or many hours and is not part of `all`. Intensities are in
units of the [0, 1] range, lengths in pixels of the attacked image: the same blur or cell is a stronger defense at a
lower resolution.

Every option is bounded; a value at which a defense would do nothing is refused, or documented to change nothing.
Random numbers come from a separate stream for each image, so the bytes of a release do not depend on the batches.

Guarantees hold for the mechanism in exact arithmetic; clipping to [0, 1] and rounding to eight bits are postprocessing
and do not weaken them. **An ε belongs to its unit.** Most of these mechanisms protect a pixel, or m pixels. The bound
for a whole image, which is the object of a re-identification attack, is stated too and is mostly too large to be
meaningful; the bounds of several images of a patient add up. The figures below are for the default options and an image
of {side}×{side} pixels.

**Mechanisms with a key** have the option `key`. A secret key comes from the release seed and belongs to the owner, who
can undo the release with it (`undo`). Attackers know the mechanism and run it with keys of their own, never with the
secret one; a `public` key is fixed, and they have it. With `secret`, all images of a release have one key, and an
attacker's batches have a key each; with `per_image`, every image has its own.

A guarantee holds only for a release whose seed is secret. Benchmark runs can be repeated from their seed, which is in
their record: anyone who has the record and the names of the images can compute the noise. To release real images, use
[`reidbench release`](releasing.md), which draws a secret seed of 128 bits for each release and keeps it in the private
key alone. The stream of an image is keyed by 128 bits of a hash of the seed, the defense with all its options, and the
image's name. Releases that differ in one of these share no noise; two releases of one set of images with the same seed,
defense and options are identical. The key does not include the pixels of the image, the set that it is published in, or
the images that a defense was fitted on: an image that was edited, resized, or published under the same name in another
dataset gets the same noise again, which can then be subtracted. The streams are NumPy's (Philox), which are not
cryptographic.

Some random numbers come from torch's generators, which on a CPU use only 32 bits of a seed, so that all seeds can be
tried: those of `kornia_augment`, the order of patients in `k_same_pixel`, `k_same_eigen` and `latent_k_same`, all draws
of `neural_obfuscation`, the key of `keyed_encoding`, and the trainings of the other learned defenses, none of which
claims a guarantee. The noise of `dp_training` and `federated`, which
[claim one](model-track.md#dp_training), comes from them too.

*Gradients* states whether a finite gradient passes from the release to the image for all options, as needed by an
attacker or an anonymizer that trains through the defense; `reidbench check-defense` verifies it.
"""


def page() -> str:
    """The whole page."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][
        "reidbench"
    ]
    registry = Registry()
    classes = [registry.get("defense", name) for name in listed]
    parts = [INTRODUCTION.format(side=SIDE), _overview(classes), *(_section(cls) for cls in classes)]
    return "\n".join(parts)


def _overview(classes: list[type[BaseDefense]]) -> str:
    rows = [
        [
            f"[`{cls.name}`](#{cls.name})",
            _text(cls)[0],
            _code(cls.model_fields),
            _code(cls.operating_points),
            "pass" if cls.differentiable else "none promised",
            _privacy(cls),
        ]
        for cls in classes
    ]
    return _table(["defense", "what it does", "options", "operating points", "gradients", "differential privacy"], rows)


def _section(cls: type[BaseDefense]) -> str:
    summary, rest = _text(cls)
    parts = [f"## {cls.name}\n", f"{summary} {_works(cls)}\n", f"{rest}\n"]
    if cls.model_fields:
        rows = [
            [f"`{name}`", field.description or "", _json(field.get_default(call_default_factory=True)), _bounds(field)]
            for name, field in cls.model_fields.items()
        ]
        parts.append(_table(["option", "what it is", "default", "values"], rows))
    if cls.operating_points:
        points = [[f"`{name}`", _json(options)] for name, options in cls.operating_points.items()]
        parts.append(_table(["operating point", "options"], points))
    return "\n".join(parts)


def _works(cls: type[BaseDefense]) -> str:
    if cls.kind == "model":
        return "Publishes a model, which is judged [on a track of its own](model-track.md)."
    return f"Works on {WORKS_ON.get(cls.kind, cls.kind)}."


def _text(cls: type[BaseDefense]) -> tuple[str, str]:
    summary, _, rest = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")
    return summary, rest


def _privacy(cls: type[BaseDefense]) -> str:
    if cls.kind == "model":
        return "of a training patient; its record states ε and δ" if "epsilon" in cls.model_fields else "none"
    privacy = cls().privacy(SIDE, SIDE)
    if privacy is None:
        return "none"
    return f"ε = {privacy.epsilon:g}, δ = {privacy.delta:g}, unit: {privacy.unit}"


def _bounds(field: FieldInfo) -> str:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    if choices:
        return ", ".join(_json(choice) for choice in choices)
    if isinstance(field.annotation, UnionType) or get_origin(field.annotation) is Union:
        return " or ".join(_alternative(kind) for kind in get_args(field.annotation))
    low = [f"{bound.ge:g}" for bound in field.metadata if isinstance(bound, annotated_types.Ge)]
    high = [f"{bound.le:g}" for bound in field.metadata if isinstance(bound, annotated_types.Le)]
    kind = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
    return f"{kind}, {low[0]} to {high[0]}" if low and high else kind.partition("[")[0]


def _alternative(kind: Any) -> str:
    """One of the types of an option that takes several."""
    if kind is NoneType:
        return "`null`"
    if get_origin(kind) is Literal:
        return ", ".join(_json(choice) for choice in get_args(kind))
    if get_origin(kind) is Annotated:
        bare, *about = get_args(kind)
        return _bounds(FieldInfo.from_annotation(Annotated[bare, *about]))
    return _bounds(FieldInfo.from_annotation(kind))


def _json(value: object) -> str:
    return "required" if value is PydanticUndefined else f"`{json.dumps(value)}`"


def _code(names: object) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"  # type: ignore[attr-defined]


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(markdown_table(head, ([Markdown(cell) for cell in row] for row in rows))) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
