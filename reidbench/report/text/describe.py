"""A plugin described from its class: summary, source, options."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from reidbench.plugins import Found

if TYPE_CHECKING:
    from reidbench.defenses.base import BaseDefense

#: What each kind of defense works on, by kind.
WORKS_ON = {
    "image": "an image at a time",
    "cohort": "the whole set to be published",
    "fitted": "an image at a time, after a training on the train split",
    "fitted cohort": "the whole set to be published, after a training on the train split",
    "model": "the train split, on which it trains the model that is published in place of images",
}

#: The size in pixels for which `describe` states a guarantee; it may depend on it.
SIDE = 256
SECRET_SEED = (
    "It holds for a release whose seed is secret. The seed of a benchmark run is in its record, so that the run can be "
    "repeated; `reidbench release` draws a secret one and never publishes it."
)


def as_data(found: Found, cls: type[BaseModel]) -> dict[str, Any]:
    """The description of a plugin as JSON types."""
    return {
        **vars(found),
        "doc": inspect.cleandoc(cls.__doc__ or ""),
        "options": _options(cls),
        "operating_points": getattr(cls, "operating_points", {}),
        "presets": getattr(cls, "presets", {}),
        "recipes": {
            preset: {"doc": inspect.cleandoc(recipe.__doc__ or ""), "options": _options(recipe)}
            for preset, recipe in getattr(cls, "recipes", {}).items()
        },
        # What only defenses have: what they work on, whether gradients pass, and what they guarantee.
        **_defense(cls),
    }


def as_text(found: Found, cls: type[BaseModel]) -> str:
    """The same as text."""
    data = as_data(found, cls)
    lines = [f"{found.name}  ({found.kind}, from {found.distribution} {found.version})", "", data["doc"], ""]
    if "works_on" in data:
        lines.append(f"works on: {data['works_on']}")
    if "differentiable" in data:
        lines.append(f"gradients: {'pass to the image' if data['differentiable'] else 'none promised'}")
    if data.get("guarantee"):
        lines.append(f"guarantee: {data['guarantee']}")
    lines.append("options:" if data["options"] else "options: none")
    lines += map(_line, data["options"])
    for title, sets in (("operating points", data["operating_points"]), ("presets", data["presets"])):
        if sets:
            lines.append(f"{title}:")
            for name, values in sets.items():
                lines.append(f"  {name}: {', '.join(f'{k}={v}' for k, v in values.items()) or 'all defaults'}")
    for preset, recipe in data["recipes"].items():
        lines += [f"preset {preset} has options of its own:", *map(_line, recipe["options"])]
    return "\n".join(lines)


def _defense(cls: type[BaseModel]) -> dict[str, Any]:
    if not hasattr(cls, "differentiable"):
        return {}
    # Not above: it imports torch, which a dataset is described without.
    from reidbench.defenses.base import BaseDefense

    kind = str(getattr(cls, "kind", ""))
    found = {"works_on": WORKS_ON.get(kind, kind), "differentiable": cls.differentiable}
    guarantee = _guarantee(cls) if issubclass(cls, BaseDefense) else None
    return {**found, "guarantee": guarantee}


def _guarantee(cls: type[BaseDefense]) -> str | None:
    """The formal guarantee of the default options as a text; None where there is none."""
    from reidbench.defenses.base import Privacy

    if cls.kind == "model":
        # What a training spends follows from its data; the record states it.
        return None
    try:
        privacy = cls().privacy(SIDE, SIDE)
    except Exception:
        # A description is for reading; a run says what is wrong with a plugin, and options may be required.
        return None
    if not isinstance(privacy, Privacy):
        return None
    return (
        f"ε = {privacy.epsilon:g}, δ = {privacy.delta:g}, unit: {privacy.unit} (default options, {SIDE}×{SIDE} pixels)"
        f". {SECRET_SEED}"
    )


def _options(cls: type[BaseModel]) -> list[dict[str, Any]]:
    schema = cls.model_json_schema()
    return [
        {
            "name": name,
            "type": _type(option),
            "default": option.get("default"),
            "required": name in schema.get("required", ()),
            "bounds": _bounds(option),
            "description": option.get("description", ""),
        }
        for name, option in schema.get("properties", {}).items()
    ]


def _line(option: dict[str, Any]) -> str:
    default = "required" if option["required"] else f"default {option['default']}"
    facts = ", ".join(fact for fact in (option["type"], default, option["bounds"]) if fact)
    return f"  {option['name']}: {option['description']} ({facts})"


def _type(option: dict[str, Any]) -> str:
    if "enum" in option:
        return "one of " + ", ".join(map(str, option["enum"]))
    if "anyOf" in option:
        return " or ".join(_type(kind) for kind in option["anyOf"])
    return str(option.get("format") or option.get("type") or "value")


def _bounds(option: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    parts = [option, *option.get("anyOf", ())]
    return " and ".join(f"{signs[key]} {part[key]}" for part in parts for key in signs if key in part)
