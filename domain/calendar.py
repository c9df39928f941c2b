"""A calendar: days and hours of work that a tenant has written down. Its stream is its whole history.

What the days mean is in `timing.opendays`; here is only what may happen to a calendar.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from horae.domain.envelope import Event
from horae.domain.errors import Invalid, VersionMismatch
from horae.domain.ids import derived_id
from horae.domain.timing.opendays import CalendarDefinition, Day
from horae.domain.timing.publicdays import check_country

#: So deep may calendars name calendars.
MAX_DEPTH = 5


class CalendarSet(Event):
    """The calendar is this from now on."""

    name: ClassVar[str] = "calendar.set.v1"
    id: str
    definition: CalendarDefinition
    request_digest: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The fold of a calendar's stream."""

    id: str
    version: int
    definition: CalendarDefinition


def calendar_stream(tenant: str, calendar: str) -> UUID:
    """The stream that holds a calendar's events."""
    return derived_id(tenant, "calendar", calendar)


def evolve(state: State | None, event: CalendarSet) -> State:
    """The state after `event`."""
    return State(event.id, (state.version if state else 0) + 1, event.definition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Write the whole calendar. `known`: the calendars that it may name, which do not name it in turn."""

    id: str
    definition: CalendarDefinition
    known: Collection[str]
    if_match: int | None = None
    request_digest: str | None = None


def decide(command: Set, state: State | None) -> list[CalendarSet]:
    """Empty if nothing differs. Raises `Invalid`, `VersionMismatch`."""
    version = state.version if state else 0
    if command.if_match is not None and command.if_match != version:
        raise VersionMismatch(
            f"The calendar is at version {version}, not {command.if_match}.",
            field="If-Match",
            value=command.if_match,
            hint="Read it again and decide anew.",
            version=version,
        )
    _check(command)
    if state is not None and state.definition == command.definition:
        return []
    return [CalendarSet(id=command.id, definition=command.definition, request_digest=command.request_digest)]


def _check(command: Set) -> None:
    definition = command.definition
    if definition.country is not None:
        check_country(definition.country, definition.subdivision)
    elif definition.subdivision is not None:
        raise Invalid("A part needs its country.", field="subdivision", value=definition.subdivision, hint="Add it.")
    for field in ("plus", "minus"):
        for named in getattr(definition, field):
            if named not in command.known:
                raise Invalid(
                    f"There is no calendar {named!r} that could be named here.",
                    field=field,
                    value=named,
                    hint=f"Write it first; none may name itself, not by way of others, nor {MAX_DEPTH} deep.",
                )
    for weekday, stretches in (definition.hours or {}).items():
        _check_hours(f"hours.{weekday}", [(one.start, one.end) for one in stretches])
    if definition.weekend is not None and len(set(definition.weekend)) == 7 and not definition.days:
        raise Invalid("A week without a day of work closes everything.", field="weekend", hint="Leave out a day.")
    for index, day in enumerate(definition.days):
        _check_day(f"days[{index}]", day)


def _check_day(field: str, day: Day) -> None:
    if day.until is not None and not 0 <= (day.until - day.date).days <= 366:
        raise Invalid(
            "A run of days ends on or after its first day, within a year.",
            field=f"{field}.until",
            value=day.until.isoformat(),
            hint="Give the last day, which is included.",
        )
    if not 1970 <= day.date.year <= 2199:
        raise Invalid("The year is outside 1970 to 2199.", field=f"{field}.date", value=day.date.isoformat())
    _check_hours(f"{field}.hours", [(one.start, one.end) for one in day.hours])


def _check_hours(field: str, stretches: list[tuple[str, str]]) -> None:
    before = "00:00"
    for start, end in stretches:
        if not before <= start < end:
            raise Invalid(
                f"{start} to {end} is empty, or begins before {before}.",
                field=field,
                value=f"{start}-{end}",
                hint="Stretches of a day are in order and do not overlap; one over midnight is two.",
            )
        before = end
