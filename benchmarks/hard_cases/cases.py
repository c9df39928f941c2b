"""The forty cases, and their right answers: local times by hand, instants by java.time.

A time that a gap swallows and one that an overlap repeats have several answers that somebody documents. The right one
is that of RFC 5545 and java.time, Horae's default; the others are `policies`, which are no errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CASES = Path(__file__).parent / "cases.yaml"
#: So many instants are asked for and compared.
COUNT = 3


class Resolved(NamedTuple):
    """A local time as `LocalTimes.java` tells it: how many offsets are valid, and instants in epoch seconds."""

    offsets: int
    first: int
    second: int
    gap_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One of cases.yaml, where the fields are told; `after` in epoch seconds."""

    what: str
    cron: str
    zone: str
    after: int
    local: tuple[str, ...]
    why: str
    clock: bool = False
    policies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()

    def readings(self) -> tuple[tuple[str, ...], ...]:
        """The lists of local times that java.time is asked for: the right one, then those of other readings."""
        return (self.local, *self.policies.values())


_Reading = Callable[[Resolved], list[int]]
#: What may become of a local time that a clock change swallows or repeats, by what the table calls it.
_GAPS: dict[str, _Reading] = {
    "": lambda at: [at.first],
    "at the gap's end": lambda at: [at.gap_end],
    "skipped": lambda _: [],
}
_OVERLAPS: dict[str, _Reading] = {
    "": lambda at: [at.first],
    "second passing": lambda at: [at.second],
    "both passings": lambda at: [at.first, at.second],
}


def read() -> list[Case]:
    """The cases, in the order of the table."""
    rows: list[dict[str, Any]] = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return [_case(row) for row in rows]


def _case(row: dict[str, Any]) -> Case:
    after = row["after"]
    instant = after if isinstance(after, datetime) else datetime.fromisoformat(after)
    lists = {name: tuple(times) for name, times in row.get("policies", {}).items()}
    changed = {
        "after": round(instant.replace(tzinfo=UTC).timestamp()),
        "local": tuple(row["local"]),
        "policies": lists,
        "lacks": tuple(row.get("lacks", ())),
    }
    return Case(**{**row, **changed})


def right(case: Case, resolved: Sequence[Sequence[Resolved]]) -> list[int]:
    """The right answer: the first instants behind `after`; none for a date that never comes."""
    if case.clock:
        return _instants(case, resolved[0], lambda _: [], _OVERLAPS["both passings"])
    return _instants(case, resolved[0], _GAPS[""], _OVERLAPS[""])


def policies(case: Case, resolved: Sequence[Sequence[Resolved]]) -> dict[str, list[int]]:
    """Answers by other policies, by name. Rules that follow the clock have none: an hour left out is left out."""
    found = {
        name: _instants(case, times, _GAPS[""], _OVERLAPS[""])
        for name, times in zip(case.policies, resolved[1:], strict=True)
    }
    if case.clock:
        return found
    for (gap, by_gap), (overlap, by_overlap) in product(_GAPS.items(), _OVERLAPS.items()):
        name = ", ".join(filter(None, (gap, overlap)))
        if name:
            found[name] = _instants(case, resolved[0], by_gap, by_overlap)
    return found


def _instants(case: Case, times: Sequence[Resolved], by_gap: _Reading, by_overlap: _Reading) -> list[int]:
    found: set[int] = set()
    for at in times:
        if at.offsets == 1:
            found.add(at.first)
        else:
            found |= set(by_gap(at) if at.offsets == 0 else by_overlap(at))
    return sorted(instant for instant in found if instant > case.after)[:COUNT]
