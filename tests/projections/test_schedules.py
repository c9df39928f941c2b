"""Given events, then what clients see of schedules, and what waits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery
from horae.domain.ids import trigger_occurrence_id
from horae.domain.personal import Personal
from horae.projections.due import DueRow, get_due, load_horizon, next_due_at
from horae.projections.projector import PositionGap, PositionMoved, Projector
from horae.projections.queries import current_slot, get_schedule
from tests.projections.told import NOW, ONCE, Told, at

if TYPE_CHECKING:
    from horae.projections.schema import Connection

DAY = timedelta(days=1)


async def status(conn: Connection, told: Told, schedule: UUID) -> str:
    """The schedule's status once everything told is applied."""
    projector = Projector()
    await projector.load(conn)
    await projector.apply(conn, told.log)
    row = await get_schedule(conn, "acme", schedule)
    assert row is not None
    return row.status


@pytest.mark.covers("SCH-11")
@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (o.Outcome.DELIVERED, "completed"),
        (o.Outcome.DEAD_LETTERED, "failed"),
        (o.Outcome.SUPPRESSED, "suppressed"),
        (o.Outcome.EXPIRED, "expired"),
        (o.Outcome.CANCELLED, "cancelled"),
        (o.Outcome.UNKNOWN, "unknown"),
    ],
)
async def test_a_one_off_shows_what_became_of_it(conn: Connection, outcome: o.Outcome, shown: str) -> None:
    """Pending, executing, then by its outcome."""
    told = Told()
    schedule = told.created(timing=ONCE)
    assert await status(conn, told, schedule) == "pending"
    occurrence = told.claimed(schedule)
    assert await status(conn, told, schedule) == "executing"
    told.failed(schedule, occurrence)
    assert await status(conn, told, schedule) == "executing"
    told.ended(schedule, occurrence, outcome)
    assert await status(conn, told, schedule) == shown
    if outcome is o.Outcome.DELIVERED:
        # Cancelling what went out does not undo it.
        told.tell(schedule, s.ScheduleCancelled())
        assert await status(conn, told, schedule) == "completed"


@pytest.mark.covers("SCH-11")
async def test_a_series_is_pending_until_its_last_occurrence_has_ended(conn: Connection) -> None:
    """Pending while a slot is to come, whatever became of the last; executing at its end; then completed."""
    told = Told()
    schedule = told.created()
    first = told.claimed(schedule, next_=at(NOW + DAY))
    told.ended(schedule, first, o.Outcome.DEAD_LETTERED)
    assert await status(conn, told, schedule) == "pending"
    last = told.claimed(schedule, at(NOW + DAY))
    assert await status(conn, told, schedule) == "executing"
    told.ended(schedule, last)
    assert await status(conn, told, schedule) == "completed"
    row = await get_schedule(conn, "acme", schedule)
    assert row is not None
    assert (row.fired, row.next, row.open, row.failure_reason) == (2, None, 0, None)


@pytest.mark.covers("SCH-11")
async def test_what_is_left_of_a_series_is_not_taken_for_the_one_off_that_it_became(conn: Connection) -> None:
    """An old occurrence that still retries says nothing of the one-off: neither before it fires nor after it ended."""
    told = Told()
    schedule = told.created()
    old = told.claimed(schedule, next_=at(NOW + DAY))
    told.failed(schedule, old)
    definition = s.Definition(timing=t.At(at=NOW + 2 * DAY), priority=3, delivery=Delivery())
    personal = Personal(recipient="user-17", channel="log:")
    changed = s.ScheduleChanged(
        personal=personal, definition=definition, changed=("timing",), next_unchanged=False, next=at(NOW + 2 * DAY)
    )
    told.tell(schedule, changed)
    told.failed(schedule, old, attempt=2)
    assert await status(conn, told, schedule) == "pending"
    told.ended(schedule, told.claimed(schedule, at(NOW + 2 * DAY)))
    assert await status(conn, told, schedule) == "completed"
    told.ended(schedule, old, o.Outcome.DEAD_LETTERED)
    assert await status(conn, told, schedule) == "completed"


@pytest.mark.covers("SCH-11")
async def test_a_one_off_at_a_slot_that_its_series_has_fired_shows_what_became_of_that(conn: Connection) -> None:
    """The same wall time, in another zone: it is the same occurrence, and the schedule ends as that does."""
    told = Told()
    schedule = told.created()
    old = told.claimed(schedule, next_=at(NOW + DAY))
    told.failed(schedule, old)
    later = t.Next(slot=at().slot, due_at=NOW + timedelta(hours=9), plan=at().plan)
    definition = s.Definition(timing=t.At(at=later.due_at), priority=3, delivery=Delivery())
    personal = Personal(recipient="user-17", channel="log:")
    told.tell(
        schedule,
        s.ScheduleChanged(
            personal=personal, definition=definition, changed=("timing",), next_unchanged=False, next=later
        ),
    )
    told.tell(old, o.SlotPassed(**told.facts(schedule), schedule_version=2, slot=later.slot))
    assert await status(conn, told, schedule) == "executing"
    told.ended(schedule, old, o.Outcome.DEAD_LETTERED)
    assert await status(conn, told, schedule) == "failed"


@pytest.mark.covers("SCH-11", "LIF-07")
async def test_pausing_takes_the_next_slot_away_and_holds_what_waits(conn: Connection) -> None:
    """Paused: no slot row, retries held, even those that arrive now; resumed: both are back; cancelled: at once."""
    told = Told()
    schedule = told.created()
    waiting = told.claimed(schedule, next_=at(NOW + DAY))
    running = told.claimed(schedule, at(NOW + DAY), at(NOW + 2 * DAY))
    told.failed(schedule, waiting, retry_in_s=60)
    assert await status(conn, told, schedule) == "pending"
    told.tell(schedule, s.SchedulePaused(reason="holiday"))
    told.failed(schedule, running, retry_in_s=90)
    assert await status(conn, told, schedule) == "paused"
    rows = await get_due(conn, [schedule, waiting, running])
    assert {(row.key, row.held, row.schedule_version) for row in rows} == {(waiting, True, 2), (running, True, 2)}
    assert await load_horizon(conn) == []

    told.tell(schedule, s.ScheduleResumed(next=at(NOW + 3 * DAY)))
    assert await status(conn, told, schedule) == "pending"
    assert [(row.key, row.held, row.schedule_version) for row in await load_horizon(conn)] == [
        (waiting, False, 3),
        (running, False, 3),
        (schedule, False, 3),
    ]
    told.now = NOW + timedelta(seconds=1)
    told.tell(schedule, s.ScheduleCancelled())
    assert await status(conn, told, schedule) == "cancelled"
    assert {(row.key, row.due_at) for row in await load_horizon(conn)} == {(waiting, told.now), (running, told.now)}


async def test_a_change_without_a_new_timing_only_raises_the_version_and_priority_of_what_waits(
    conn: Connection,
) -> None:
    """The slot row stays at its instant; the projector tells the dispatcher of the new version."""
    told = Told()
    schedule = told.created(tags=("old", "kept"))
    projector = Projector()
    await projector.load(conn)
    await projector.apply(conn, told.log)
    personal = Personal(recipient="user-17", channel="log:", content={"b": "雪", "a": 1.0}, tags=("kept", "new"))
    definition = s.Definition(timing=t.Every(cron="0 9 * * *"), priority=5, delivery=Delivery())
    told.tell(
        schedule,
        s.ScheduleChanged(personal=personal, definition=definition, changed=("content",), next_unchanged=True),
    )
    applied = await projector.apply(conn, told.log)
    (change,) = applied.due
    assert change.due is not None
    assert (change.due.due_at, change.due.schedule_version, change.due.priority) == (NOW, 2, 5)
    assert await get_due(conn, [schedule]) == [change.due]
    row = await get_schedule(conn, "acme", schedule)
    assert row is not None
    assert (row.tags, row.content) == (("kept", "new"), '{"b":"雪","a":1.0}')
    assert [r["tag"] for r in await conn.fetch("SELECT tag FROM schedule_tags ORDER BY tag")] == ["kept", "new"]
    pointer = await current_slot(conn, "acme", schedule)
    assert pointer is not None
    assert (pointer.version, pointer.next, pointer.phase) == (2, at(), "active")


async def test_a_trigger_waits_by_itself_until_it_is_claimed(conn: Connection) -> None:
    """It has a due row and shows as waiting at version 0; the cadence does not move."""
    told = Told()
    schedule = told.created(next_=at(NOW + DAY))
    occurrence = at().slot
    id_ = trigger_occurrence_id(schedule, UUID(int=99), occurrence.local)
    told.tell(schedule, s.ScheduleTriggered(trigger=UUID(int=99), occurrence=id_, at=at()))
    assert await status(conn, told, schedule) == "pending"
    (row,) = await load_horizon(conn, until=NOW)
    assert (row.row, row.key, row.origin, row.occurrence_version, row.zone) == (
        "occurrence",
        id_,
        "trigger",
        0,
        "Europe/Berlin",
    )
    facts = {**told.facts(schedule), "schedule_version": 2, "origin": "trigger", "slot": at().slot, "due_at": NOW}
    told.tell(id_, o.OccurrenceClaimed(**facts, plan=at().plan, owner=7, moves=False))
    assert await status(conn, told, schedule) == "pending"
    assert [row.key for row in await load_horizon(conn)] == [schedule]


async def test_a_passed_slot_moves_the_series_on(conn: Connection) -> None:
    """The series came upon a slot that was handled already: its row goes on, the occurrence stays as it was."""
    told = Told()
    schedule = told.created()
    occurrence = told.claimed(schedule, next_=at())
    told.ended(schedule, occurrence)
    told.tell(occurrence, o.SlotPassed(**told.facts(schedule), schedule_version=1, slot=at().slot, next=at(NOW + DAY)))
    assert await status(conn, told, schedule) == "pending"
    assert [row.due_at for row in await load_horizon(conn)] == [NOW + DAY]


@pytest.mark.covers("LIF-08")
async def test_the_horizon_is_read_in_pages_by_time(conn: Connection) -> None:
    """Every row of the asked shards up to the instant, each once, in order; then nothing."""
    told = Told()
    for number in range(1, 31):
        told.created(number, next_=at(NOW + timedelta(seconds=number % 4)))
    projector = Projector()
    await projector.load(conn)
    await projector.apply(conn, told.log)
    until = NOW + timedelta(seconds=2)
    shards = set(range(40))
    rows: list[DueRow] = []
    while page := await load_horizon(
        conn, shards, until, after=(rows[-1].due_at, rows[-1].key) if rows else None, limit=4
    ):
        rows += page
    expected = [e for e in told.log if e.meta.shard in shards and e.stream.int % 4 <= 2]
    assert {row.key for row in rows} == {event.stream for event in expected}
    assert rows == sorted(rows, key=lambda row: (row.due_at, row.key))
    assert len(rows) == len(expected)
    assert await next_due_at(conn) == NOW
    assert await next_due_at(conn, after=until) == NOW + timedelta(seconds=3)


@pytest.mark.covers("REL-07")
async def test_a_position_that_another_moved_stops_the_writer_before_it_writes(conn: Connection) -> None:
    """Of two projectors the one that lost changes nothing, and goes on after a look at the positions."""
    told = Told()
    told.created()
    one, other = Projector(), Projector()
    await one.load(conn)
    await other.load(conn)
    await one.apply(conn, told.log)
    with pytest.raises(PositionMoved):
        await other.apply(conn, told.log)
    assert await other.load(conn) == 1
    assert (await other.apply(conn, told.log)).events == 0


async def test_a_hole_in_the_log_is_refused(conn: Connection) -> None:
    """A batch that does not begin where the positions end is not applied."""
    told = Told()
    told.created(1)
    told.created(2)
    projector = Projector()
    await projector.load(conn)
    with pytest.raises(PositionGap, match="position 1, the batch at 2"):
        await projector.apply(conn, told.log[1:])
    assert await conn.fetchval("SELECT count(*) FROM schedules") == 0
