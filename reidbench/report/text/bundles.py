"""Bundles of attackers on the terminal: a list, and the card of one."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.text import Text

from reidbench.bundles.bundle import Bundle
from reidbench.bundles.card import BundledAttacker, Figures
from reidbench.report.text.markup.tables import plain_table, report_console

PARTS = {"val": "validation part", "test": "test part"}


def as_data(bundle: Bundle) -> dict[str, Any]:
    """The card with the bundle's digest, as JSON types."""
    found: dict[str, Any] = json.loads(bundle.card.model_dump_json())
    return {"digest": bundle.digest, **found}


def table(bundles: list[Bundle]) -> str:
    """One line for each bundle."""
    shown = plain_table()
    for head in ("bundle", "digest", "size", "attackers", "trained on"):
        shown.add_column(head)
    for bundle in bundles:
        card = bundle.card
        patients = f"{card.dataset.patients:,} {'generated ' if card.dataset.generated else ''}patients"
        where = f"{card.dataset.name}, {patients}, {card.dataset.images:,} images"
        cells = [card.name, bundle.digest[:12], f"{card.size}²", ", ".join(card.attackers), where]
        shown.add_row(*map(Text, cells))
    return _text(shown)


def describe(bundle: Bundle) -> str:
    """The card in words."""
    card, data = bundle.card, bundle.card.dataset
    known = card.training_images
    facts = {
        "bundle": f"{card.name}, digest {bundle.digest}",
        "summary": card.summary,
        "trained on": f"{data.name}, train part: {data.patients:,} {'generated ' if data.generated else ''}patients, "
        f"{data.images:,} images at {card.size}²",
        "revision": data.revision,
        "options": " ".join(f"{name}={value}" for name, value in data.options.items()) or "none",
        "licence": data.licence,
        "attribution": data.attribution,
        "intended use": card.intended_use,
        "recognizes": f"{known.count:,} training images" if known else "no training image: their digests are not known",
        "made": f"{card.created:%Y-%m-%d}, reidbench {card.reidbench_version}, commit {card.commit or 'unknown'}",
        "command": card.command,
    }
    width = max(map(len, facts))
    lines = [f"{name:<{width}}  {text}" for name, text in facts.items() if text]
    shown = plain_table()
    for head in ("attacker", "judged on", "patients", "images", "AUC", "mAP@R", "P@1"):
        shown.add_column(head, justify="left" if head in ("attacker", "judged on") else "right")
    for name, attacker in card.attackers.items():
        for part, figures in attacker.figures.items():
            shown.add_row(*map(Text, [name, PARTS.get(part, part), *_figures(figures)]))
    recipes = [_recipe(name, attacker) for name, attacker in card.attackers.items()]
    return "\n".join([*lines, "", _text(shown), "", *recipes])


def _recipe(name: str, attacker: BundledAttacker) -> str:
    spent = f"{attacker.epochs} rounds, {attacker.images_seen:,} images seen, {attacker.seconds:,.0f} s"
    head = f"{name}: preset {attacker.preset}, seed {attacker.seed}, {spent}; {attacker.weights.bytes:,} bytes"
    return f"{head}\n  " + " ".join(f"{option}={_short(value)}" for option, value in attacker.hyperparameters.items())


def _figures(figures: Figures) -> list[str]:
    shares = (figures.auc, figures.map_at_r, figures.precision_at_1)
    return [
        f"{figures.patients:,}",
        f"{figures.images:,}",
        *("–" if share is None else f"{share:.3f}" for share in shares),
    ]


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else str(value)


def _text(shown: Any) -> str:
    console = report_console(Console(highlight=False, width=100))
    with console.capture() as captured:
        console.print(shown)
    return "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())
