"""Pairs the records of two sets, and checks whether the records of a pair may be compared."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reidbench.errors import ReidbenchError
from reidbench.records.paired.drops import key_of as own_key
from reidbench.records.schema import Attack, Record
from reidbench.records.scores import SUFFIX, RunScores, read_scores
from reidbench.records.store import is_supplement, read_distinct, read_named, record_paths
from reidbench.records.supplements.content import beside, source_of
from reidbench.records.supplements.files import again, read_beside, scores_of
from reidbench.report.figures.summary import defense_label

# Settings that change intervals only, and no figure.
HARMLESS = {"bootstrap_runs"}
#: The number of training devices does not prevent a comparison; records of older versions do not contain it.
HARMLESS_OPTIONS = {"devices"}


@dataclass(frozen=True)
class Kept:
    """A record with the path it was read from; its scores lie beside it."""

    record: Record
    path: Path

    @property
    def scores_path(self) -> Path:
        """Where the scores lie, if they are there."""
        return self.path.with_name(f"{self.record.stem}{SUFFIX}")

    def scores(self) -> RunScores | None:
        """The scores of the record; None if none were kept or the file is missing.

        Raises:
            ReidbenchError: the file beside the record holds other scores.
        """
        path = self.scores_path
        if self.record.scores_sha256 is None or not path.is_file():
            return None
        found = path.stat()
        return _scores(path, self.record.scores_sha256, (found.st_ino, found.st_size, found.st_mtime_ns))

    def whole(self) -> Kept:
        """The same, read again with all that reading for boards leaves out.

        Raises:
            ReidbenchError: the file is not that record any more.
        """
        record = read_named(self.path)
        if record.id != self.record.id:
            raise ReidbenchError(f"{self.path}: it was replaced by the record {record.id}")
        return Kept(again(record, self.record) if self.record.supplied else record, self.path)

    def scores_of(self, attack: Attack) -> RunScores | None:
        """The scores in which :func:`scores_key` finds an attack: the record's, or a supplement's; None without any.

        Raises:
            ReidbenchError: as of :meth:`scores`.
        """
        source = source_of(attack)
        return self.scores() if source is None else scores_of(source)

    def counted_from(self, baseline: Kept) -> Kept:
        """An undefended run as drops of this record count from it; see :func:`reidbench.records.supplement.beside`."""
        return Kept(beside(baseline.record, self.record), baseline.path)

    def baseline(self) -> Record | None:
        """The undefended run that the record names, if it lies beside it."""
        found = self.baseline_kept()
        return found.record if found else None

    def baseline_kept(self) -> Kept | None:
        """The same with its path."""
        found = sorted(self.path.parent.glob(f"*-{self.record.baseline_id}.json"))
        found = [path for path in found if not is_supplement(path)]
        return Kept(read_named(found[0]), found[0]) if found else None


@lru_cache(maxsize=4)
def _scores(path: Path, sha256: str, file: tuple[int, int, int]) -> RunScores:
    """The scores of a file, which several figures of a page ask for, and the undefended run's for every page.

    Args:
        path: of the file.
        sha256: what its record says of it.
        file: changes where the file does.
    """
    return read_scores(path, sha256)


def read_kept(places: Iterable[Path]) -> list[Kept]:
    """Records from files and from folders (``*.json`` directly in them) with their paths, each once, by path.

    Raises:
        ReidbenchError: a file is not a record, has a name that is not the record's, or two different records have one
            id.
    """
    return [Kept(record, path) for record, path in read_distinct(record_paths(list(places)))]


@dataclass(frozen=True)
class Match:
    """One defense before and after: one pair of runs per seed.

    Attributes:
        seeds: the pairs.
        left_out: seeds that one side alone has, of BASE and of NEW.
    """

    seeds: tuple[tuple[Kept, Kept], ...]
    left_out: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    @property
    def label(self) -> str:
        """Name and options, the old ones first where they changed."""
        base, new = self.seeds[0]
        labels = dict.fromkeys((defense_label(base.record), defense_label(new.record)))
        return " → ".join(labels)


def match(base: Path, new: Path) -> list[Match]:
    """Pairs the records of two places: files, or folders with records in them.

    Two files are compared whatever their defenses. Otherwise records are paired by dataset, size, preset, overrides,
    defense, options and seed. If a defense has exactly one unpaired set of options on each side, these are paired too,
    as the same defense with changed options. A file is compared with its counterpart in a folder.

    Raises:
        ReidbenchError: nothing to compare; NEW lacks what BASE has; or two runs are not comparable.
    """
    before, after = _read(base), _read(new)
    if base.is_file() and new.is_file():
        matches = [Match(((before[0], after[0]),))]
    else:
        matches = _by_options(_grouped(before), _grouped(after), base, new)
    for found in matches:
        for one, other in found.seeds:
            check_comparable(one, other)
    return matches


def check_comparable(base: Kept, new: Kept) -> None:
    """Refuses two runs whose figures are not comparable.

    Raises:
        ReidbenchError: another dataset, revision, size, preset or setting; other attacks; or a run whose attackers
            failed on originals.
    """
    one, other = base.record, new.record
    facts = {
        "dataset differs": (one.dataset.title, other.dataset.title),
        "size differs": (one.dataset.size, other.dataset.size),
        "dataset revision differs": (one.dataset.revision[:12], other.dataset.revision[:12]),
        "preset differs": (one.preset, other.preset),
        "impostor pairs differ": (impostors(one), impostors(other)),
        "settings over the preset differ": (_overrides(one) or "none", _overrides(other) or "none"),
    }
    lists = {
        "hyperparameters differ": (hyperparameters(one), hyperparameters(other)),
        "attacks differ": (sorted(map(key_of, one.attacks)), sorted(map(key_of, other.attacks))),
    }
    reasons = [f"{what} ({left} and {right})" for what, (left, right) in facts.items() if left != right]
    reasons += [f"{what} ({_odd(left, right)})" for what, (left, right) in lists.items() if left != right]
    if reasons:
        raise ReidbenchError(
            f"{base.path} and {new.path} cannot be compared: {reasons[0]}; make both with the same reidbench, data and "
            "settings"
        )
    for kept in (base, new):
        if not kept.record.valid:
            raise ReidbenchError(f"{kept.path} is not a valid run: {kept.record.controls.problems[0]}")


def hyperparameters(record: Record) -> list[str]:
    """A record's hyperparameters as texts, ``retrieval.epochs=15``, without those that change no figure."""
    stated = [(owner, *option) for owner, options in record.hyperparameters.items() for option in options.items()]
    return sorted(f"{owner}.{name}={value}" for owner, name, value in stated if name not in HARMLESS_OPTIONS)


def impostors(record: Record) -> str:
    """How a record's impostor pairs were made: ``exchanged``, or ``listed`` in a file."""
    built = any(attack.negatives in ("random", "matched") for attack in record.attacks)
    return "exchanged" if built else "listed"


def key_of(attack: Attack) -> str:
    """What tells an attack from all others of a record: its key in the record's scores, or one for a supplement's."""
    key, source = scores_key(attack), source_of(attack)
    return key if source is None else f"{source.settings}:{key}"


def scores_key(attack: Attack) -> str:
    """The key of an attack in the scores that have it."""
    source = source_of(attack)
    if source is not None:
        return source.key
    return own_key(attack)


def _read(place: Path) -> list[Kept]:
    """The records of a place, with their supplements.

    Raises:
        ReidbenchError: as of :func:`match`, or a supplement beside them is none of theirs: a gate that left it out
            might let a regression pass.
    """
    named = [(read_named(path), path) for path in record_paths([place])]
    found = read_beside(named, [place])
    if found.refused:
        raise ReidbenchError(found.refused[0])
    kept = [Kept(record, path) for record, (_, path) in zip(found.records, named)]
    if not place.is_dir():
        return kept
    defended = [one for one in kept if one.record.defense.kind != "none"]
    if not defended:
        raise ReidbenchError(f"{place}: no record of a defense in this folder")
    return defended


Key = tuple[str, str, str]


def _grouped(kept: Sequence[Kept]) -> dict[Key, list[Kept]]:
    groups: dict[Key, list[Kept]] = defaultdict(list)
    for one in kept:
        record = one.record
        setting = [record.dataset.title, record.dataset.size, record.preset, _overrides(record)]
        options = json.dumps(record.defense.options, sort_keys=True)
        groups[record.defense.name, json.dumps(setting), options].append(one)
    return groups


def _by_options(before: dict[Key, list[Kept]], after: dict[Key, list[Kept]], base: Path, new: Path) -> list[Match]:
    pairs = {key: key for key in before if key in after}
    left = [key for key in before if key not in pairs]
    right = [key for key in after if key not in pairs]
    for key in left:
        same_left, same_right = ([k for k in keys if k[:2] == key[:2]] for keys in (left, right))
        if len(same_left) == len(same_right) == 1:
            pairs[key] = same_right[0]
    missing = [key for key in left if key not in pairs]
    if missing and new.is_dir():
        raise ReidbenchError(f"{new}: no record of {defense_label(before[missing[0]][0].record)}, which {base} has")
    if not pairs:
        raise ReidbenchError(f"{base} and {new} have no defense in common")
    return [_by_seed(before[one], after[other]) for one, other in sorted(pairs.items())]


def _by_seed(before: Sequence[Kept], after: Sequence[Kept]) -> Match:
    # Of several records of one seed (of another version or date) the newest is taken.
    one, other = (
        {kept.record.seed: kept for kept in sorted(side, key=lambda kept: kept.record.created)}
        for side in (before, after)
    )
    common = sorted(one.keys() & other.keys())
    if common:
        only = tuple(sorted(one.keys() - other.keys())), tuple(sorted(other.keys() - one.keys()))
        return Match(tuple((one[seed], other[seed]) for seed in common), only)
    if len(one) == len(other) == 1:
        return Match(((next(iter(one.values())), next(iter(other.values()))),))
    raise ReidbenchError(
        f"{defense_label(before[0].record)}: no seed in common (BASE has {_numbers(one)}, NEW has {_numbers(other)})"
    )


def _numbers(values: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(values)))


def _overrides(record: Record) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(record.overrides.items()) if name not in HARMLESS)


def _odd(left: list[str], right: list[str]) -> str:
    odd = sorted(set(left) ^ set(right))
    return ", ".join(odd[:4]) + (f" and {len(odd) - 4} more" if len(odd) > 4 else "")
