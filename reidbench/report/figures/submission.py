"""Checks records and their supplements for submission: valid, with their scores, and in agreement with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from reidbench.errors import ReidbenchError
from reidbench.files import content_digest
from reidbench.progress import Progress
from reidbench.records.recompute import Mismatch, recompute
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX, RunScores, read_scores
from reidbench.records.store import is_supplement, read_named, read_record
from reidbench.records.supplements.content import misfit
from reidbench.records.supplements.files import read_supplement, scores_path
from reidbench.records.supplements.recompute import recompute_supplement
from reidbench.report.figures.paired.matching import Kept


@dataclass(frozen=True)
class Checked:
    """The result of checking one record.

    Attributes:
        path: the record.
        mismatches: fields that disagree with the scores.
        checked: number of figures that were computed again.
        on_trust: fields that cannot be computed from the scores.
        figures_on_trust: the figures among them, in words.
        not_checked: why nothing was computed; empty if the record was checked.
    """

    path: Path
    mismatches: tuple[Mismatch, ...] = ()
    checked: int = 0
    on_trust: tuple[str, ...] = ()
    figures_on_trust: tuple[str, ...] = ()
    not_checked: str = ""

    @property
    def status(self) -> Literal["agrees", "refused", "not checked"]:
        """The outcome in a word or two."""
        return "not checked" if self.not_checked else "refused" if self.mismatches else "agrees"

    def to_text(self) -> str:
        """One line, and one for each field that disagrees."""
        if self.not_checked:
            return f"{self.path}: not checked: {self.not_checked}"
        if self.mismatches:
            found = f"{len(self.mismatches)} of {self.checked} figures are not what the scores say"
            return "\n".join([f"{self.path}: REFUSED, {found}", *(f"  {mismatch}" for mismatch in self.mismatches)])
        return f"{self.path}: {self.checked} figures agree with the scores"

    def to_json(self) -> dict[str, Any]:
        """The result as JSON types."""
        return {
            "record": str(self.path),
            "status": self.status,
            "accepted": self.status == "agrees",
            "checked": self.checked,
            "mismatches": [asdict(mismatch) for mismatch in self.mismatches],
            "on_trust": list(self.on_trust),
            "figures_on_trust": list(self.figures_on_trust),
            "not_checked": self.not_checked or None,
        }


def find_records(places: Sequence[Path]) -> list[Path]:
    """The files themselves, and those of folders (``*.json`` directly in them), each once.

    Two files of one id are two records here: one of them may have been edited.

    Raises:
        ReidbenchError: a path does not exist, or none contains a record.
    """
    for place in places:
        if not place.exists():
            raise ReidbenchError(f"{place}: no such file or folder")
    paths = [path for place in places for path in (sorted(place.glob("*.json")) if place.is_dir() else [place])]
    if not paths:
        raise ReidbenchError(f"no record in {', '.join(map(str, places))}")
    return list(dict.fromkeys(paths))


def check_submissions(paths: Sequence[Path], progress: Progress) -> Iterator[Checked]:
    """Checks one record after the other; a record that cannot be checked does not stop the others."""
    for path in paths:
        try:
            if is_supplement(path):
                yield check_supplement(path, progress)
            else:
                yield check_submission(Kept(read_record(path), path), progress)
        except ReidbenchError as error:
            yield Checked(path, not_checked=str(error).removeprefix(f"{path}: "))


def check_submission(kept: Kept, progress: Progress) -> Checked:
    """Computes the figures of a record again; the schema was checked when the record was read.

    Raises:
        ReidbenchError: it has no scores, or they do not lie beside it or cannot be read.
    """
    record = kept.record
    path = kept.path.with_name(f"{record.stem}{SUFFIX}")
    if record.scores_sha256 is None:
        raise ReidbenchError(f"{kept.path}: it was made without scores; repeat the run with this version of reidbench")
    if not path.is_file():
        raise ReidbenchError(f"{kept.path}: its scores are not beside it ({path.name})")
    digest = content_digest(path)
    if digest != record.scores_sha256:
        return Checked(kept.path, (Mismatch("scores_sha256", record.scores_sha256, digest),), 1)
    scores = read_scores(path, record.scores_sha256)
    try:
        found = recompute(record, scores, progress, undefended=_undefended(kept))
    except (ValueError, IndexError, KeyError, TypeError, MemoryError, AttributeError) as error:
        raise ReidbenchError(f"{kept.path}: the scores in {path.name} do not fit together: {error}") from error
    # Under another name a record would stand for another one on a leaderboard.
    name = f"{record.stem}.json"
    named = () if kept.path.name == name else (Mismatch("(file name)", kept.path.name, name),)
    told = trusted(record, found.on_trust)
    return Checked(kept.path, (*named, *found.mismatches), found.checked + len(named), found.on_trust, told)


def _undefended(kept: Kept) -> tuple[Record, RunScores] | None:
    """The run that drops count from, if it lies beside the record with its own scores."""
    baseline = kept.baseline_kept() if kept.record.drops is not None else None
    scores = baseline.scores() if baseline is not None else None
    return None if baseline is None or scores is None else (baseline.record, scores)


def check_supplement(path: Path, progress: Progress) -> Checked:
    """Holds a supplement against its record, and computes its figures again.

    Raises:
        ReidbenchError: it is no supplement, its record does not lie beside it, it has no scores, or they do not lie
            beside it or cannot be read.
    """
    made = read_supplement(path)
    of = path.with_name(f"{made.record_stem}.json")
    if not of.is_file():
        raise ReidbenchError(f"{path}: its record is not beside it ({of.name})")
    kept = Kept(read_named(of), of)
    digest = content_digest(of)
    if digest != made.record_sha256:
        return Checked(path, (Mismatch("record_sha256", made.record_sha256, digest),), 1)
    if (reason := misfit(made, kept.record, digest)) is not None:
        raise ReidbenchError(f"{path}: {reason}")
    scores = scores_path(path)
    if made.scores_sha256 is None:
        raise ReidbenchError(f"{path}: it has no scores: its figures can only be taken on trust")
    if not scores.is_file():
        raise ReidbenchError(f"{path}: its scores are not beside it ({scores.name})")
    digest = content_digest(scores)
    if digest != made.scores_sha256:
        return Checked(path, (Mismatch("scores_sha256", made.scores_sha256, digest),), 1)
    try:
        read = read_scores(scores, digest)
        found = recompute_supplement(made, kept.record, read, kept.scores(), progress)
    except (ValueError, IndexError, KeyError, TypeError, MemoryError, AttributeError) as error:
        raise ReidbenchError(f"{path}: the scores in {scores.name} do not fit together: {error}") from error
    return Checked(path, found.mismatches, found.checked, found.on_trust)


def summary(results: Sequence[Checked]) -> str:
    """The fields that were not checked, and the numbers of records by status."""
    on_trust = dict.fromkeys(name for result in results if result.status == "agrees" for name in result.on_trust)
    lines = [f"not checked, since it does not follow from the scores: {', '.join(on_trust)}"] if on_trust else []
    if figures := list(dict.fromkeys(one for result in results for one in result.figures_on_trust)):
        lines.append(f"figures on trust, which only a repetition of the run checks: {'; '.join(figures)}")
    states = [result.status for result in results]
    agree, refused, unchecked = (states.count(status) for status in ("agrees", "refused", "not checked"))
    return "\n".join([*lines, f"records: {agree} agree, {refused} refused, {unchecked} not checked"])


#: Figures that scores may not tell, in words; by the beginning of their paths, or by a part of them.
ON_TRUST = {
    "linkability": "linkability with several known images, in a closed world and by the size of the gallery",
    "singling_out": "shares of patients that are singled out",
    "inference": "what is inferred of sex and age",
    "membership": "membership and the audited ε",
    "drops": "drops against the undefended run",
    ".strata": "true positive rates by stratum",
    "controls.": "metadata and pixels alone",
    "utility.classifiers[].macro_auc": "utility",
    "utility.fidelity": "SSIM and PSNR",
}


def trusted(record: Record, on_trust: Iterable[str]) -> tuple[str, ...]:
    """The figures among a record's fields on trust, in words; those that it does not have are left out."""
    fields = [name for name in on_trust if getattr(record, name.partition("[")[0].partition(".")[0]) is not None]
    found = []
    for part, words in ON_TRUST.items():
        # A field may stand for all below it: for the whole utility where the scores have no findings.
        if any(
            part in field if part[0] == "." else field.startswith(part) or part.startswith(field) for field in fields
        ):
            found.append(words)
    return tuple(found)


def exit_code(results: Sequence[Checked]) -> int:
    """1 where a figure disagrees; else 2 where a record could not be checked; else 0."""
    found = {result.status for result in results}
    return 1 if "refused" in found else 2 if "not checked" in found else 0
