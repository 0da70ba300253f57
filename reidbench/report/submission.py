"""Whether a record may be submitted: sound, with its scores, and saying what they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reidbench.errors import ReidbenchError
from reidbench.harness.recompute import Mismatch, recompute
from reidbench.harness.scores import SUFFIX, read_scores
from reidbench.harness.steps import content_digest
from reidbench.progress import Progress
from reidbench.report.matching import Kept


@dataclass(frozen=True)
class Checked:
    """What came of a check.

    Attributes:
        mismatches: fields that disagree with the scores.
        checked: how many figures were computed again.
        on_trust: what could not be.
    """

    mismatches: tuple[Mismatch, ...]
    checked: int
    on_trust: tuple[str, ...]

    def to_text(self, path: Path) -> str:
        """For a person."""
        if self.mismatches:
            lines = [f"{path}: REFUSED, {len(self.mismatches)} of {self.checked} figures are not what the scores say"]
            return "\n".join([*lines, *(f"  {mismatch}" for mismatch in self.mismatches)])
        return f"{path}: {self.checked} figures agree with the scores; on trust: {', '.join(self.on_trust)}"

    def to_json(self, path: Path) -> dict[str, Any]:
        """For a machine."""
        return {
            "record": str(path),
            "accepted": not self.mismatches,
            "checked": self.checked,
            "mismatches": [asdict(mismatch) for mismatch in self.mismatches],
            "on_trust": list(self.on_trust),
        }


def check_submission(kept: Kept, progress: Progress) -> Checked:
    """Computes the figures of a record again; it was held against the schema when it was read.

    Raises:
        ReidbenchError: it has no scores, or they are not beside it, or cannot be read.
    """
    record = kept.record
    path = kept.path.with_name(f"{record.stem}{SUFFIX}")
    if record.scores_sha256 is None:
        raise ReidbenchError(f"{kept.path}: made without scores; run it again with this reidbench")
    if not path.is_file():
        raise ReidbenchError(f"{path}: the record's scores are missing; keep them beside the record")
    digest = content_digest(path)
    if digest != record.scores_sha256:
        return Checked((Mismatch("scores_sha256", record.scores_sha256, digest),), 1, ())
    try:
        scores = read_scores(path, record.scores_sha256)
    except (ValueError, KeyError, OSError) as error:
        raise ReidbenchError(f"{path}: cannot be read: {error}") from error
    try:
        found = recompute(record, scores, progress)
    except (ValueError, IndexError) as error:
        raise ReidbenchError(f"{path}: these scores do not fit together: {error}") from error
    return Checked(found.mismatches, found.checked, found.on_trust)
