"""What differs between two states of a schedule, field by field, in the words of the public contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from horae.domain.personal import Personal
from horae.domain.schedule import Definition, OwnChange, Schedule
from horae.domain.schedule.state import OWN
from horae.domain.timing import Now, Slot


@dataclass(frozen=True, slots=True)
class Difference:
    """One field (dotted path) and its JSON values; None: it was not there, or is no more."""

    field: str
    before: Any
    after: Any


def facts_of(state: Schedule) -> dict[str, Any]:
    """What clients see of a schedule, as JSON values."""
    # Of the few that have any: what every other has not is no difference either.
    varied = {
        "later": [
            {"since": _named(later.since), **_facts(later.personal, later.definition, ("timing",))}
            for later in state.later
        ],
        "changes": {_named(slot): _own_facts(own) for slot, own in state.changes.items()},
    }
    return {
        "status": state.status.value,
        **_facts(state.personal, state.definition),
        "skipped": sorted(_named(slot) for slot in state.exceptions),
        "triggers": [str(occurrence) for occurrence in state.triggers],
        **{name: value for name, value in varied.items() if value},
    }


def _facts(personal: Personal, definition: Definition, without: tuple[str, ...] = ()) -> dict[str, Any]:
    rest = definition.model_dump(mode="json", exclude_none=True, exclude=set(without))
    return {**personal.model_dump(mode="json"), **rest}


def _named(slot: Slot) -> str:
    return f"{slot.local.isoformat()}/{slot.fold}"


def _own_facts(own: OwnChange) -> dict[str, Any]:
    facts = _facts(own.personal, Definition(timing=Now(), **{name: getattr(own, name) for name in OWN}), ("timing",))
    told = {name: facts[name] for name in own.changed if name in facts}
    return told if own.at is None else {**told, "due_at": own.at.due_at.isoformat()}


def differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> list[Difference]:
    """The differing leaves, by path; lists are compared as a whole."""
    found: list[Difference] = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{path}{key}.")
        elif old != new:
            found.append(Difference(f"{path}{key}", old, new))
    return found
