"""Where a record's attackers come from, in words."""

from __future__ import annotations

from reidbench.records.schema import Record

#: What became of a bundle's attacker, by :data:`reidbench.records.parts.training.Origin`.
KEPT = {
    "bundle": "as it is",
    "fine-tuned": "trained further on this cohort",
    "cohort": "replaced by one trained on this cohort alone",
}


def origins(record: Record) -> str | None:
    """Which bundle the attackers start from, and what was kept of it; None where no bundle was at hand."""
    if record.bundle is None:
        return None
    kept: dict[str, str] = {}
    for attack in record.attacks:
        if attack.training is not None and attack.training.origin is not None:
            kept.setdefault(attack.attacker, KEPT[attack.training.origin])
    told = "; ".join(f"{name} {what}" for name, what in kept.items())
    left_out = (
        f"; {record.bundle.left_out:,} images that it was trained on are left out" if record.bundle.left_out else ""
    )
    return f"{bundle_text(record)}: {told or 'none of its attackers was used'}{left_out}"


def bundle_text(record: Record) -> str | None:
    """Which bundle the attackers start from; None where no bundle was at hand."""
    if record.bundle is None:
        return None
    where = f"{record.bundle.name} ({record.bundle.sha256[:12]})"
    return f"attackers start from the bundle {where}, trained on {record.bundle.trained_on}"
