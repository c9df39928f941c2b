"""A calendar: days and hours of work that a tenant has written down. Its stream is its whole history.

What the days mean is in `timing.opendays`; here is only what may happen to a calendar.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from horae.domain.envelope import Event, Value
from horae.domain.errors import Invalid, VersionMismatch
from horae.domain.ids import derived_id
from horae.domain.timing.opendays import CalendarDefinition, Day
from horae.domain.timing.publicdays import check_country

#: So deep may calendars name calendars.
MAX_DEPTH = 5
#: A calendar is put together of so many at most, one that is reached on two ways counted twice.
MAX_PARTS = 64
#: Where a calendar names others.
_SIDES = ("plus", "minus", "plus_hours", "minus_hours")


class Subscription(Value):
    """Where a calendar's days come from, and how it stands. Instants are the machine's, like the looks themselves."""

    url: str
    #: From one look to the next, seconds.
    every_s: float
    #: The first year that the days were laid out for.
    year: int
    #: When the days that are there now were got.
    fetched_at: datetime
    #: What the server said of them, for the next look.
    etag: str | None = None
    last_modified: str | None = None
    #: Events of the file that are no days off.
    passed_over: int = 0
    #: Since when no look has gone well, and what was wrong with the first of those; the days are the last good ones.
    failing_since: datetime | None = None
    error: str | None = None


class CalendarSet(Event):
    """The calendar is this from now on: written by a client, or by a look at what it subscribes to."""

    name: ClassVar[str] = "calendar.set.v1"
    id: str
    definition: CalendarDefinition
    subscription: Subscription | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The fold of a calendar's stream."""

    id: str
    version: int
    definition: CalendarDefinition
    subscription: Subscription | None = None


def calendar_stream(tenant: str, calendar: str) -> UUID:
    """The stream that holds a calendar's events."""
    return derived_id(tenant, "calendar", calendar)


def evolve(state: State | None, event: CalendarSet) -> State:
    """The state after `event`."""
    return State(event.id, (state.version if state else 0) + 1, event.definition, event.subscription)


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Write the whole calendar. `known`: the calendars that it may name, which do not name it in turn.

    `names`: which calendars name which before this, as far as they are reached from it or lead to it.
    """

    id: str
    definition: CalendarDefinition
    known: Collection[str]
    names: Mapping[str, Collection[str]] = field(default_factory=dict)
    if_match: int | None = None
    request_digest: str | None = None
    #: `keep`: a client writes, to whom the days of a subscription do not belong.
    subscription: Subscription | Literal["keep"] | None = "keep"


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
    definition, subscription = command.definition, command.subscription
    if subscription == "keep":
        definition, subscription = _with_days_of(definition, state), state.subscription if state is not None else None
    if state is not None and (state.definition, state.subscription) == (definition, subscription):
        return []
    return [
        CalendarSet(
            id=command.id, definition=definition, subscription=subscription, request_digest=command.request_digest
        )
    ]


def _with_days_of(definition: CalendarDefinition, state: State | None) -> CalendarDefinition:
    """What a client writes, with the days that the calendar subscribes to. Raises `Invalid` for others."""
    if state is None or state.subscription is None:
        return definition
    if definition.days not in ((), state.definition.days):
        raise Invalid(
            "The calendar's days come from its subscription.",
            field="days",
            value=len(definition.days),
            hint="Write days of your own into another calendar, and name it in `plus`; or end the subscription.",
        )
    return definition.model_copy(update={"days": state.definition.days})


def _check(command: Set) -> None:
    definition = command.definition
    if definition.country is not None:
        check_country(definition.country, definition.subdivision)
    elif definition.subdivision is not None:
        raise Invalid("A part needs its country.", field="subdivision", value=definition.subdivision, hint="Add it.")
    _check_names(command)
    for weekday, stretches in (definition.hours or {}).items():
        _check_hours(f"hours.{weekday}", [(one.start, one.end) for one in stretches])
    opened = definition.days or definition.plus_hours
    if definition.weekend is not None and len(set(definition.weekend)) == 7 and not opened:
        raise Invalid("A week without a day of work closes everything.", field="weekend", hint="Leave out a day.")
    for index, day in enumerate(definition.days):
        _check_day(f"days[{index}]", day)


def _check_names(command: Set) -> None:
    for plus, minus in (("plus", "minus"), ("plus_hours", "minus_hours")):
        seen: set[str] = set()
        for side in (plus, minus):
            for named in getattr(command.definition, side) or ():
                if named in seen:
                    raise Invalid(
                        f"The calendar {named!r} is named twice.",
                        field=side,
                        value=named,
                        hint=f"Name each calendar once, in `{plus}` or in `{minus}`.",
                    )
                seen.add(named)
                if named not in command.known:
                    raise Invalid(
                        f"There is no calendar {named!r} that could be named here.",
                        field=side,
                        value=named,
                        hint="Write it first; none may name itself, nor by way of others.",
                    )
    named_in = next((side for side in _SIDES if getattr(command.definition, side)), None)
    if named_in is not None:
        _check_size(command, named_in)


def _check_size(command: Set, side: str) -> None:
    """Of the calendar, and of those that name it: they grow with it. What does not grow is let be."""
    before = dict(command.names)
    after = {**before, command.id: command.definition.named}
    smaller: dict[str, tuple[int, int]] = {}
    larger: dict[str, tuple[int, int]] = {}
    for named in after:
        old, new = _size(named, before, smaller), _size(named, after, larger)
        whose = "It" if named == command.id else f"The calendar {named!r}, which names it,"
        for what, limit, was, would in (
            ("calendars deep", MAX_DEPTH, old[1], new[1]),
            ("calendars together", MAX_PARTS, old[0], new[0]),
        ):
            if would > limit and would > was:
                raise Invalid(
                    f"{whose} would be {would} {what}; {limit} is the most.",
                    field=side,
                    value=list(getattr(command.definition, side)),
                    hint="Write the days themselves into fewer calendars.",
                )


def _size(named: str, names: Mapping[str, Collection[str]], known: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """Parts, counted as often as they are reached, and depth. Each calendar is looked at once."""
    if named not in known:
        known[named] = (1, 1)  # were there a ring, it would end here
        below = [_size(other, names, known) for other in names.get(named, ())]
        known[named] = 1 + sum(parts for parts, _ in below), 1 + max((deep for _, deep in below), default=0)
    return known[named]


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
