"""Planned slots whose calendar has become another without anybody writing it: by settings, or by newer holidays.

Place in the flow: `streams.renewing` -> *here* -> one command for each schedule. What a plan calls its calendar says by
which hours, holidays and versions it was made; where the calendar is called otherwise today, the slot is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, Protocol
from uuid import UUID

from horae.commands import replanning
from horae.commands.calendars import Resolver
from horae.commands.context import Call
from horae.commands.schedules import Schedules
from horae.domain.timing.opendays import Calendar, Standard
from horae.domain.timing.publicdays import holidays_version

#: Planned slots that are looked at together.
PAGE = 200
#: A longer label is not told of each slot: the calendar's version is.
_TOLD = 200


class PlanOnCalendar(NamedTuple):
    """An active schedule that keeps to a calendar, and what the plan of its next slot calls that."""

    schedule: UUID
    calendar: str
    label: str | None


class PlansOnCalendars(Protocol):
    """The slots that wait, as a read model knows them."""

    async def planned_on_calendars(self, tenant: str, after: PlanOnCalendar | None, limit: int) -> list[PlanOnCalendar]:
        """At most `limit`, by calendar and schedule, those behind `after`; None: from the first on."""
        ...

    async def caught_up(self) -> None:
        """The read model has applied all that is stored. Raises `Unavailable` if it does not come that far in time."""
        ...


@dataclass(slots=True)
class Renewed:
    """How many slots were planned by what has changed, and what became of them."""

    checked: int = 0
    moved: int = 0
    #: Who could not be looked at.
    failed: list[UUID] = field(default_factory=list)


def planned_by(standard: Standard) -> str:
    """What of an installation calendars are read by, beside what tenants have written."""
    country = "-".join(part for part in (standard.country, standard.subdivision) if part is not None)
    return f"{standard.label} {country or 'no country'}, holidays {holidays_version()}"


class CalendarPlans:
    """Brings a tenant's plans to its calendars as they are read now."""

    def __init__(self, schedules: Schedules, calendars: Resolver, plans: PlansOnCalendars) -> None:
        self._schedules, self._calendars, self._plans = schedules, calendars, plans

    async def caught_up(self) -> None:
        """See `PlansOnCalendars.caught_up`: before that, neither slots nor tenants need be known."""
        await self._plans.caught_up()

    async def renew(self, call: Call, only: Collection[UUID] | None = None) -> Renewed:
        """Plan anew, by an event for each schedule (of `only`, if given), what moves.

        What was broken off is finished by doing it again.
        """
        done = Renewed()
        after: PlanOnCalendar | None = None
        while page := await self._plans.planned_on_calendars(call.tenant, after, PAGE):
            calendars = await self._calendars.resolve({(call.tenant, row.calendar) for row in page})
            for name, rows in groupby(page, lambda row: row.calendar):
                calendar = calendars.get((call.tenant, name))
                if calendar is not None:
                    wanted = [row for row in rows if only is None or row.schedule in only]
                    await self._renew(call, calendar, wanted, done)
            after = page[-1]
        return done

    async def _renew(self, call: Call, calendar: Calendar, rows: Sequence[PlanOnCalendar], done: Renewed) -> None:
        others = [row.schedule for row in rows if row.label != calendar.label]
        detail = calendar.label if len(calendar.label) <= _TOLD else f"{calendar.id}@{calendar.version}"
        found = await replanning.replan(self._schedules, call, others, "calendar", detail)
        done.checked += len(others)
        done.moved += len(found.moved)
        done.failed += found.failed
