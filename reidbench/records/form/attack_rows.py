"""Attacks as rows of a table: what a record's seventy attacks have in common stands once, not in each of them.

Attacks with the same fields and the same choice of impostor pairs are of one kind. A kind holds the names of the
fields, nested as they are in an attack, and behind each name null, or in a list of one the value that all of its
attacks share; a longer list is that of a figure that says why it has no ends, with null or a shared value in each
place. An attack is a list: the number of its kind, and behind it the values that the kind leaves open, in the kind's
order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reidbench.errors import ReidbenchError

#: The field of a file with the kinds.
KINDS = "kinds"
#: The most characters that the attacks of a file may have in full: a small file could else stand for one that fills the
#: memory. A run has a fortieth of it.
MOST_IN_FULL = 4_000_000
# Of one attack; a run has seven levels.
_MOST_LEVELS = 20


def as_rows(lists: Sequence[Sequence[dict[str, Any]]]) -> tuple[list[dict[str, Any]], list[list[list[Any]]]]:
    """Attacks in short.

    Args:
        lists: of attacks as JSON objects.

    Returns:
        Their kinds, and for each list its rows.
    """
    alike: dict[str, list[dict[str, Any]]] = {}
    keys = [[_likeness(attack) for attack in attacks] for attacks in lists]
    for attacks, own in zip(lists, keys):
        for attack, key in zip(attacks, own):
            alike.setdefault(key, []).append(attack)
    kinds = {key: _kind(attacks) for key, attacks in alike.items()}
    numbers = {key: number for number, key in enumerate(kinds)}
    rows = [
        [[numbers[key], *_open_values(kinds[key], attack)] for attack, key in zip(attacks, own)]
        for attacks, own in zip(lists, keys)
    ]
    return list(kinds.values()), rows


def in_full(data: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """A file's JSON with attacks as objects in place of rows; ``data`` stays as it is.

    Args:
        data: as read. Attacks that are objects already stay so: records of before have them in full.
        fields: with lists of attacks.

    Raises:
        ReidbenchError: rows and kinds do not fit together, or stand for too much.
        TypeError: they are no rows or kinds.
    """
    if KINDS not in data:
        return data
    made = {name: value for name, value in data.items() if name != KINDS}
    kinds = [(_checked(kind), len(json.dumps(kind))) for kind in data[KINDS]]
    characters = 0
    for name in fields:
        attacks = []
        for row in made.get(name, ()):
            if isinstance(row, list) and row:
                kind, size = _chosen(kinds, row[0])
                characters += size
                if characters > MOST_IN_FULL:
                    raise ReidbenchError(f"{name}: more than {MOST_IN_FULL:,} characters in full")
                values = iter(row[1:])
                attack = _filled(kind, values)
                if next(values, _END) is not _END:
                    raise ReidbenchError(f"{name}: a row has more values than its kind leaves open")
            else:
                attack = row
            attacks.append(attack)
        if name in made:
            made[name] = attacks
    return made


_END = object()


def _likeness(attack: dict[str, Any]) -> str:
    """Equal for attacks of one kind."""
    return json.dumps([attack.get("negatives"), _names(attack)])


def _names(part: Any) -> Any:
    if isinstance(part, dict):
        return [[name, _names(value)] for name, value in part.items()]
    return len(part) if _has_reason(part) else None


def _has_reason(value: Any) -> bool:
    """Whether it is a list with a text at its end, which most of its kind share although figures differ."""
    return isinstance(value, list) and len(value) > 1 and isinstance(value[-1], str)


def _kind(attacks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    kind: dict[str, Any] = {}
    for name, first in attacks[0].items():
        values = [attack[name] for attack in attacks]
        if isinstance(first, dict):
            kind[name] = _kind(values)
        elif _has_reason(first):
            kind[name] = [_shared(column) for column in zip(*values)]
        else:
            kind[name] = _shared(values)
    return kind


def _shared(values: Sequence[Any]) -> list[Any] | None:
    # As JSON: True is 1 otherwise, and 1.0 too. One attack alone shares nothing.
    return [values[0]] if len(values) > 1 and len(set(map(json.dumps, values))) == 1 else None


def _open_values(kind: dict[str, Any], attack: dict[str, Any]) -> Iterator[Any]:
    for name, part in kind.items():
        if isinstance(part, dict):
            yield from _open_values(part, attack[name])
        elif part is None:
            yield attack[name]
        elif len(part) > 1:
            yield from (value for shared, value in zip(part, attack[name]) if shared is None)


def _filled(kind: dict[str, Any], values: Iterator[Any]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for name, part in kind.items():
        if isinstance(part, dict):
            filled[name] = _filled(part, values)
        elif part is None:
            filled[name] = _next(values)
        else:
            column = [_next(values) if shared is None else shared[0] for shared in part] if len(part) > 1 else part[0]
            filled[name] = column
    return filled


def _next(values: Iterator[Any]) -> Any:
    value = next(values, _END)
    if value is _END:
        raise ReidbenchError("a row has fewer values than its kind leaves open")
    return value


def _chosen(kinds: Sequence[tuple[dict[str, Any], int]], number: Any) -> tuple[dict[str, Any], int]:
    if type(number) is not int or not 0 <= number < len(kinds):
        raise ReidbenchError(f"unknown kind of attack {str(number)[:20]!r}")
    return kinds[number]


def _checked(kind: Any, level: int = 0) -> dict[str, Any]:
    """The same kind, if it is one."""
    if not isinstance(kind, dict) or level > _MOST_LEVELS:
        raise ReidbenchError("a kind of attacks is the names of their fields")
    for part in kind.values():
        if isinstance(part, list):
            shared = len(part) == 1 or all(one is None or (isinstance(one, list) and len(one) == 1) for one in part)
            if not part or not shared:
                raise ReidbenchError("a kind of attacks has null or shared values behind each name")
        elif part is not None:
            _checked(part, level + 1)
    return kind
