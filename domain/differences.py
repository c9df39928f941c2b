"""What differs between two states of a schedule, field by field, in the words of the public contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from horae.domain.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Difference:
    """One field (dotted path) and its JSON values; None: it was not there, or is no more."""

    field: str
    before: Any
    after: Any


def facts_of(state: Schedule) -> dict[str, Any]:
    """What clients see of a schedule, as JSON values."""
    definition = state.definition.model_dump(mode="json", exclude_none=True)
    return {
        "status": state.status.value,
        **state.personal.model_dump(mode="json"),
        **definition,
        "skipped": sorted(f"{slot.local.isoformat()}/{slot.fold}" for slot in state.exceptions),
        "triggers": [str(occurrence) for occurrence in state.triggers],
    }


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
