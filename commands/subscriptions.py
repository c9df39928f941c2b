"""Calendars whose days come from somebody else's iCalendar file, looked at again and again.

Place in the flow: api, refresher -> *here* -> the file's server; then the log, by `Calendars.write`. A look that finds
the same days stores nothing, one that finds others is a new version of the calendar. The first look that fails after
a good one is stored, too, and so is the first good one after that: in between the days are the last good ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from horae.commands import tracing
from horae.commands.calendars import Calendars, CalendarWritten, Written
from horae.commands.context import Call
from horae.commands.ports import CalendarSource, Clock, Fetched, Unfetched
from horae.domain import calendar as c
from horae.domain.channel import check_url
from horae.domain.errors import Invalid, NotFound
from horae.domain.timing.daysfile import Imported, read_days
from horae.domain.timing.opendays import CalendarDefinition

#: Days are laid out for this year and so many more.
YEARS = 5
LONGEST = timedelta(days=30)
_ERROR_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said of its file, to be asked with the next time."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How a look went. `written`: the calendar, where it is another version now."""

    result: Literal["changed", "unchanged", "failed"]
    calendar: CalendarWritten
    validators: Validators
    passed_over: tuple[tuple[str, str], ...] = ()


class Subscriptions:
    """Subscribe calendars to files, and look at those. `real_clock`: the machine's, which the looks go by."""

    def __init__(
        self,
        calendars: Calendars,
        clock: Clock,
        real_clock: Clock,
        source: CalendarSource,
        shortest: timedelta = timedelta(minutes=15),
    ) -> None:
        self._calendars, self._clock, self._real_clock = calendars, clock, real_clock
        self._source, self._shortest = source, shortest

    @tracing.operation("calendar.subscribe")
    async def subscribe(self, call: Call, calendar: str, url: str, every: timedelta) -> Look:
        """Take the calendar's days from the file at `url` from now on, in place of those it has.

        The file is looked at first: one that cannot be got or read is refused, and nothing is stored. Raises `Invalid`.
        """
        if not self._shortest <= every <= LONGEST:
            raise Invalid(
                f"The interval must be between {self._shortest} and {LONGEST.days} days.",
                field="every",
                value=str(every),
                hint="Write P1D.",
            )
        url = _https(url)
        check_url(url, "url")
        # Before the file is asked for: its server may be away by now.
        if (repeat := await self._calendars.repeated(call, calendar, "subscribe")) is not None:
            return Look("changed", repeat, Validators())
        year = self._clock.now().year
        try:
            fetched = await self._source.fetch(url)
        except Unfetched as error:
            raise Invalid(
                f"The file cannot be got: {error}.", field="url", value=url, hint="Give the address of an .ics file."
            ) from None
        assert fetched is not None, "nothing was named that it could be the same as"
        imported = await _read(fetched, year)
        subscription = self._subscription(url, every.total_seconds(), year, fetched, imported)

        def written(state: c.State | None) -> Written:
            definition = state.definition if state is not None else CalendarDefinition()
            return definition.model_copy(update={"days": tuple(imported.days)}), subscription

        stored = await self._calendars.write(call, calendar, written, operation="subscribe")
        validators = Validators(fetched.etag, fetched.last_modified)
        return Look("changed", stored, validators, tuple(imported.passed_over))

    @tracing.operation("calendar.unsubscribe")
    async def unsubscribe(self, call: Call, calendar: str) -> CalendarWritten:
        """Look no more; the days stay as they are, as the calendar's own. Raises `NotFound`."""
        state = (await self._calendars.get(call.tenant, calendar)).state

        def written(now: c.State | None) -> Written:
            return (now or state).definition, None

        return await self._calendars.write(call, calendar, written, operation="unsubscribe")

    @tracing.operation("calendar.refresh")
    async def refresh(self, call: Call, calendar: str, known: Validators | None = None) -> Look:
        """Look at the file again; `known` is fresher than what is stored. Raises `NotFound`."""
        state = (await self._calendars.get(call.tenant, calendar)).state
        subscription = state.subscription
        if subscription is None:
            raise NotFound(
                "The calendar subscribes to nothing.", field="id", value=calendar, hint="Subscribe it first."
            )
        year = self._clock.now().year
        known = known or Validators(subscription.etag, subscription.last_modified)
        if year != subscription.year:
            known = Validators()  # other years are wanted of the same file
        try:
            fetched = await self._source.fetch(subscription.url, known.etag, known.last_modified)
            imported = None if fetched is None else await _read(fetched, year)
        except (Unfetched, Invalid) as error:
            reason = error.message if isinstance(error, Invalid) else str(error)
            return Look("failed", await self._fail(call, calendar, subscription.url, reason), known)
        if fetched is None or imported is None:
            stored = await self._recover(call, calendar, subscription.url)
            return Look("unchanged", stored, known)
        return await self._take(call, calendar, subscription, year, fetched, imported)

    async def _take(
        self, call: Call, calendar: str, old: c.Subscription, year: int, fetched: Fetched, imported: Imported
    ) -> Look:
        changed = False

        def written(state: c.State | None) -> Written:
            nonlocal changed
            changed = False
            if state is None or state.subscription is None or state.subscription.url != old.url:
                return _as_it_is(state)
            days, present = tuple(imported.days), state.subscription
            changed = (state.definition.days, present.year) != (days, year)
            if not changed:
                return state.definition, present.model_copy(update={"failing_since": None, "error": None})
            fresh = self._subscription(present.url, present.every_s, year, fetched, imported)
            return state.definition.model_copy(update={"days": days}), fresh

        stored = await self._calendars.write(call, calendar, written, operation="refresh")
        validators = Validators(fetched.etag, fetched.last_modified)
        return Look("changed" if changed else "unchanged", stored, validators, tuple(imported.passed_over))

    async def _fail(self, call: Call, calendar: str, url: str, reason: str) -> CalendarWritten:
        now = self._real_clock.now()

        def written(state: c.State | None) -> Written:
            definition, present = _as_it_is(state)
            if not isinstance(present, c.Subscription) or present.url != url or present.failing_since is not None:
                return definition, present
            failing = {"failing_since": now, "error": reason[:_ERROR_LIMIT]}
            return definition, present.model_copy(update=failing)

        return await self._calendars.write(call, calendar, written, operation="refresh")

    async def _recover(self, call: Call, calendar: str, url: str) -> CalendarWritten:
        def written(state: c.State | None) -> Written:
            definition, present = _as_it_is(state)
            if not isinstance(present, c.Subscription) or present.url != url:
                return definition, present
            return definition, present.model_copy(update={"failing_since": None, "error": None})

        return await self._calendars.write(call, calendar, written, operation="refresh")

    def _subscription(
        self, url: str, every_s: float, year: int, fetched: Fetched, imported: Imported
    ) -> c.Subscription:
        return c.Subscription(
            url=url,
            every_s=every_s,
            year=year,
            fetched_at=self._real_clock.now(),
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            passed_over=len(imported.passed_over),
        )


def _https(url: str) -> str:
    """Calendars' own scheme is the web's."""
    scheme, colon, rest = url.partition(":")
    return f"https:{rest}" if colon and scheme.lower() in ("webcal", "webcals") else url


def _as_it_is(state: c.State | None) -> Written:
    if state is None:
        raise NotFound("There is no such calendar.", field="id", hint="PUT it first.")
    return state.definition, state.subscription


async def _read(fetched: Fetched, year: int) -> Imported:
    """The file's days; beside the loop, for a large file takes seconds. Raises `Invalid`."""
    return await asyncio.to_thread(read_days, fetched.text, date(year, 1, 1), date(year + YEARS, 12, 31))
