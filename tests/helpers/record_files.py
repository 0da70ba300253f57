"""Files of records and supplements as tests change them: with each attack as an object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reidbench.records.form.attack_rows import in_full
from reidbench.records.supplements.content import ATTACKS


def full_json(path: Path) -> dict[str, Any]:
    """The JSON of a record's or a supplement's file, with attacks in full; written as it is, it is the same record."""
    # Attacks share no part, as they would in what is read: one can be changed alone.
    return json.loads(json.dumps(in_full(json.loads(path.read_text()), ATTACKS)))
