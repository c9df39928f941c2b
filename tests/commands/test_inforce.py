"""What was in force in a window: the same as the histories cut off at each instant, and each event folded once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.commands.calendars import Resolver
from horae.commands.inforce import in_force
from horae.commands.recipients import Person
from horae.domain import calendar as c
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery
from horae.domain.envelope import Event, Meta, NewEvent
from horae.domain.ids import recipient_stream, shard_of
from horae.domain.personal import Personal
from horae.domain.recipient import RecipientProfile, RecipientSet
from horae.domain.timing.opendays import USUAL, WEEKDAYS, CalendarDefinition, OnCalendar, built_in
from tests.commands.stage import NOW, TENANT, CountedIds
from tests.fakes.event_store import InMemoryEventStore

SCHEDULE = UUID("01932c5b-0000-7000-8000-000000000001")
ANN = "ann"
MINUTE = timedelta(minutes=1)
ZONES = ("Europe/Berlin", "Asia/Tokyo", "America/New_York")


def every(calendar: str | None, zone: str = "recipient") -> t.Every:
    """Each day at nine, by this calendar."""
    return t.Every(
        cron="0 9 * * *", zone=zone, calendar=None if calendar is None else OnCalendar(id=calendar, skip_weekends=True)
    )


class Histories:
    """A log with a schedule, its recipient and calendars; things happen at so many minutes after `NOW`."""

    def __init__(self) -> None:
        self.store, self._ids = InMemoryEventStore(), CountedIds()
        self._versions: Counter[UUID] = Counter()
        self.state: s.Schedule | None = None

    async def happen(self, minute: int, stream: UUID, body: Event) -> None:
        """Store it as the next event of the stream."""
        self._versions[stream] += 1
        meta = Meta(
            event_id=self._ids.new(),
            tenant=TENANT,
            shard=shard_of(TENANT, ANN),
            actor="test",
            recorded_at=NOW + minute * MINUTE,
        )
        await self.store.append([NewEvent(stream, self._versions[stream], meta, body)])

    async def write(self, minute: int, calendar: str, *plus: str, note: int = 0) -> None:
        """A calendar is this from now on."""
        definition = CalendarDefinition(weekend=(WEEKDAYS[note % 7],), plus=plus)
        await self.happen(
            minute, c.calendar_stream(TENANT, calendar), c.CalendarSet(id=calendar, definition=definition)
        )

    async def move(self, minute: int, zone: str) -> None:
        """The recipient lives there from now on."""
        body = RecipientSet(recipient_ref="ref", personal=RecipientProfile(id=ANN, zone=zone))
        await self.happen(minute, recipient_stream(TENANT, ANN), body)

    async def keep_to(self, minute: int, calendar: str | None) -> None:
        """The schedule is created, or changed, to keep to this calendar."""
        context = t.Context(
            now=NOW + minute * MINUTE, schedule_id=SCHEDULE, recipient_zone="UTC", calendar=built_in(USUAL)
        )
        bodies: Sequence[Event]
        if self.state is None:
            personal = Personal(recipient=ANN, channel="log:", content={})
            bodies = [
                s.create(
                    s.Create(
                        schedule=SCHEDULE,
                        recipient_ref="ref",
                        personal=personal,
                        timing=every(calendar),
                        context=context,
                        priority=2,
                        delivery=Delivery(),
                    )
                )
            ]
        else:
            asked = s.Change(
                changes={"timing": every(calendar)}, context=context, current=s.Current(next=self.state.next)
            )
            bodies = s.decide(asked, self.state)
        for body in bodies:
            assert isinstance(body, s.ScheduleEvent)
            self.state = s.evolve(self.state, SCHEDULE, body)
            await self.happen(minute, SCHEDULE, body)

    async def in_force(self, begin: int, end: int) -> list[s.InForce]:
        """Of the window between these minutes."""
        assert self.state is not None
        return await in_force(self.store, TENANT, self.state, NOW + begin * MINUTE, NOW + end * MINUTE, "UTC", USUAL)

    async def naively(self, minute: int) -> tuple[s.Schedule | None, str | None, str | None]:
        """Schedule, recipient's zone and calendar, from a log that ends with that minute."""
        store = InMemoryEventStore([e for e in self.store.log if e.meta.recorded_at <= NOW + minute * MINUTE])
        state: s.Schedule | None = None
        for event in await store.load(SCHEDULE):
            assert isinstance(event.body, s.ScheduleEvent)
            state = s.evolve(state, SCHEDULE, event.body)
        if state is None:
            return None, None, None
        stream = recipient_stream(TENANT, ANN)
        calendar = await Resolver(store, USUAL).for_timing(TENANT, state.timing)
        return state, Person.of(stream, await store.load(stream)).zone, calendar.label if calendar else None


happenings = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.one_of(
            st.tuples(st.just("write"), st.sampled_from("ab"), st.integers(0, 6), st.booleans()),
            st.tuples(st.just("move"), st.sampled_from(ZONES)),
            st.tuples(st.just("keep_to"), st.sampled_from(["a", "b", None])),
        ),
    ),
    max_size=14,
)


@given(happenings, st.integers(0, 12), st.integers(1, 12))
def test_what_was_in_force_is_what_the_histories_said_then(
    happened: list[tuple[int, Any]], begin: int, length: int
) -> None:
    """At each minute of a window: the state, zone and calendar of a log that ends there. Nothing is told twice."""

    async def check() -> None:
        histories, minute = Histories(), 0
        await histories.write(0, "b")
        await histories.keep_to(0, "a")
        for gap, (kind, what, *more) in happened:
            minute += gap
            match kind:
                case "write":
                    note, names = more
                    await histories.write(minute, what, *(("b",) if names and what == "a" else ()), note=note)
                case "move":
                    await histories.move(minute, what)
                case _:
                    await histories.keep_to(minute, what)
        found = await histories.in_force(begin, begin + length)
        for at in range(begin, begin + length):
            last = [each for each in found if each.since <= NOW + at * MINUTE][-1]
            calendar = last.context.calendar
            told = (last.state, last.context.recipient_zone, calendar.label if calendar else None)
            assert told == await histories.naively(at)
        assert all(NOW + begin * MINUTE <= each.since < NOW + (begin + length) * MINUTE for each in found)

    asyncio.run(check())


async def test_each_event_is_folded_once_and_only_calendars_that_count_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Long histories before a window cost a look at each event, not at all of them for each."""
    histories = Histories()
    await histories.keep_to(0, "old")
    await histories.keep_to(1, "ours")
    for minute in range(2, 62):
        await histories.write(minute, "old", note=minute)
        await histories.write(minute, "ours", note=minute)
    await histories.write(90, "ours", note=90)
    folded: Counter[str] = Counter()
    evolve = c.evolve

    def counted(state: c.State | None, event: c.CalendarSet) -> c.State:
        folded[event.id] += 1
        return evolve(state, event)

    monkeypatch.setattr(c, "evolve", counted)
    found = await histories.in_force(80, 100)
    assert folded == {"ours": 61}
    assert [each.since for each in found] == [NOW + 80 * MINUTE, NOW + 90 * MINUTE]
