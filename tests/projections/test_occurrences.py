"""Given events, then what is told of occurrences: history, dead letters, timeline, open claims, partitions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery
from horae.domain.ids import occurrence_id
from horae.domain.personal import Personal
from horae.projections.due import claimed
from horae.projections.projector import Projector
from horae.projections.queries import (
    get_occurrence,
    get_schedule,
    list_dead_letters,
    list_occurrences,
    open_claims,
    open_owners,
    recipient_timeline,
)
from tests.projections.told import NOW, Told, at

if TYPE_CHECKING:
    from horae.projections.schema import Connection

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


async def apply(conn: Connection, told: Told) -> None:
    projector = Projector()
    await projector.load(conn)
    await projector.apply(conn, told.log)


@pytest.mark.covers("DSP-36", "LIF-09")
async def test_a_run_leaves_a_row_with_everything_about_it(conn: Connection) -> None:
    """Time, outcome, duration, attempts, error and the channel's answer."""
    told = Told()
    schedule = told.created(next_=at(NOW - timedelta(milliseconds=1500)))
    id_ = told.claimed(schedule, at(NOW - timedelta(milliseconds=1500)), at(NOW + DAY))
    told.failed(schedule, id_)
    told.tell(id_, o.AttemptStarted(**told.facts(schedule), schedule_version=1, attempt=2, owner=8))
    told.now = NOW + timedelta(seconds=6)
    told.ended(schedule, id_, attempt=2, started_at=told.now, duration_ms=31.5, response={"status_code": 204})
    told.tell(id_, o.DeliveryReported(**told.facts(schedule), status="opened", at=told.now))
    await apply(conn, told)
    row = await get_occurrence(conn, "acme", id_)
    assert row is not None
    assert (row.status, row.attempts, row.version, row.owner) == ("delivered", 2, 5, None)
    assert (row.claimed_at, row.ended_at, row.late_ms, row.duration_ms) == (NOW, told.now, 1500.0, 31.5)
    assert row.last_failure is not None
    assert json.loads(row.last_failure)["status_code"] == 500
    assert row.response == '{"status_code":204}'
    assert row.reported is not None
    assert json.loads(row.reported)["status"] == "opened"
    assert (row.recipient, row.channel, row.plan) == ("user-17", "log:", at().plan)


@pytest.mark.covers("DSP-12")
async def test_the_history_is_listed_newest_first_and_whole(conn: Connection) -> None:
    """Pages of any size give every occurrence once."""
    told = Told()
    schedule = told.created()
    ids = [told.claimed(schedule, at(NOW + n * DAY), at(NOW + (n + 1) * DAY)) for n in range(50)]
    await apply(conn, told)
    for limit in (1, 7, 1_000):
        seen, cursor = [], None
        while True:
            page = await list_occurrences(conn, "acme", schedule, cursor=cursor, limit=limit)
            seen += [row.id for row in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert seen == ids[::-1]


async def test_a_missed_run_is_one_row_that_says_how_many(conn: Connection) -> None:
    """From, to and count; the series goes on behind it."""
    told = Told()
    schedule = told.created()
    id_ = occurrence_id(schedule, at().slot.local, 0)
    to = at(NOW + 4 * DAY)
    body = o.OccurrenceMissed(
        **told.facts(schedule),
        schedule_version=1,
        slot=at().slot,
        due_at=NOW,
        to=to.slot,
        to_due_at=to.due_at,
        count=5,
        policy="skip",
        next=at(NOW + 5 * DAY),
    )
    told.tell(id_, body)
    await apply(conn, told)
    row = await get_occurrence(conn, "acme", id_)
    assert row is not None
    assert (row.status, row.missed_count, row.missed_to, row.attempts) == ("missed", 5, to.slot, 0)
    found = await get_schedule(conn, "acme", schedule)
    assert found is not None
    assert (found.missed, found.fired, found.next) == (5, 0, at(NOW + 5 * DAY))


async def test_dead_letters_are_listed_until_they_are_replayed(conn: Connection) -> None:
    """Last ended first; a replayed one is on its way again."""
    told = Told()
    ids = []
    for number in range(1, 5):
        schedule = told.created(number)
        ids.append(told.claimed(schedule))
        told.now = NOW + timedelta(seconds=number)
        told.ended(schedule, ids[-1], o.Outcome.UNKNOWN if number == 2 else o.Outcome.DEAD_LETTERED)
    told.tell(ids[0], o.OccurrenceReplayed(**told.facts(told.log[0].stream), due_at=told.now))
    await apply(conn, told)
    first = await list_dead_letters(conn, "acme", limit=2)
    assert [row.id for row in first.items] == [ids[3], ids[2]]
    rest = await list_dead_letters(conn, "acme", limit=2, cursor=first.next)
    assert ([row.id for row in rest.items], rest.next) == ([ids[1]], None)
    assert [row.id for row in (await list_dead_letters(conn, "acme", status=["unknown"])).items] == [ids[1]]


@pytest.mark.covers("LIF-07", "LIF-08")
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_timeline_merges_what_was_and_what_is_to_come(conn: Connection, order: str) -> None:
    """By due instant, in pages; other recipients' are not in it; a coming slot keeps its place when it fires."""
    told = Told()
    for number in range(1, 4):
        schedule = told.created(number, next_=at(NOW + number * timedelta(hours=1)))
        slot = at(NOW + number * timedelta(hours=1))
        told.ended(schedule, told.claimed(schedule, slot, at(slot.due_at + DAY)))
    told.created(9, recipient="another")
    await apply(conn, told)
    seen, cursor = [], None
    while True:
        page = await recipient_timeline(conn, "acme", "ref-user-17", order=order, cursor=cursor, limit=1)  # type: ignore[arg-type]
        seen += page.items
        cursor = page.next
        if cursor is None:
            break
        if len(seen) == 4 and order == "asc":
            told.claimed(told.log[0].stream, at(NOW + timedelta(hours=1) + DAY), at(NOW + 2 * DAY))
            await apply(conn, told)
    times = [entry.due_at for entry in seen]
    assert times == sorted(times, reverse=order == "desc")
    assert len({entry.occurrence for entry in seen}) == len(seen)
    expected = 6 if order == "desc" else 7
    assert (len(seen), {entry.status for entry in seen}) == (expected, {"delivered", "pending"})


@pytest.mark.parametrize("portion", [1, 500], ids=["event by event", "at once"])
async def test_what_was_moved_twice_is_due_where_it_was_moved_to_last(conn: Connection, portion: int) -> None:
    """And once its series has it again, it is due there."""
    told = Told()
    schedule, slot = told.created(), at(NOW + DAY)
    id_ = occurrence_id(schedule, slot.slot.local, 0)
    moved = {"slot": slot.slot, "occurrence": id_, "personal": Personal(recipient="user-17", channel="log:")}
    moved |= {"priority": 3, "delivery": Delivery(), "changed": ("timing",), "next_unchanged": True}
    for hours in (2, 5):
        told.tell(schedule, s.SlotChanged(**moved, at=slot.model_copy(update={"due_at": slot.due_at + hours * HOUR})))
    projector = Projector()
    await projector.load(conn)
    for begin in range(0, len(told.log), portion):
        await projector.apply(conn, told.log[begin : begin + portion])
    row = await get_occurrence(conn, "acme", id_)
    assert row is not None
    assert (row.due_at, row.status) == (slot.due_at + 5 * HOUR, "waiting")
    told.tell(schedule, s.SlotUnskipped(slot=slot.slot, occurrence=id_, next_unchanged=True))
    told.claimed(schedule, slot, at(NOW + 2 * DAY))
    await projector.apply(conn, told.log[projector.position :])
    row = await get_occurrence(conn, "acme", id_)
    assert row is not None
    assert (row.due_at, row.status) == (slot.due_at, "executing")


async def test_open_claims_are_found_by_their_owner(conn: Connection) -> None:
    """For recovery: whose attempts are open, over all tenants; what has ended or waits is not among them."""
    told = Told()
    schedule = told.created()
    open_ = told.claimed(schedule, next_=at(NOW + DAY))
    told.failed(schedule, told.claimed(schedule, at(NOW + DAY), at(NOW + 2 * DAY), owner=8))
    await apply(conn, told)
    assert await open_owners(conn) == [7]
    (claim,) = await open_claims(conn, 7)
    assert (claim.occurrence, claim.version, claim.attempt, claim.tenant) == (open_, 1, 1, "acme")
    assert await open_claims(conn, 7, after=open_) == []


async def test_what_was_begun_of_a_series_and_has_not_ended(conn: Connection) -> None:
    """Being sent, or waiting for its next attempt; and the latest slot that was claimed, whatever became of it.

    Of the schedules asked for alone.
    """
    told = Told()
    schedule, other, quiet = told.created(), told.created(2), told.created(3)
    told.ended(schedule, told.claimed(schedule, at(NOW), at(NOW + DAY)))
    retrying = told.claimed(schedule, at(NOW + DAY), at(NOW + 2 * DAY))
    told.failed(schedule, retrying)
    sent = told.claimed(schedule, at(NOW + 2 * DAY), at(NOW + 3 * DAY))
    last = told.claimed(schedule, at(NOW + 3 * DAY), at(NOW + 4 * DAY))
    told.ended(schedule, last)
    told.claimed(other)
    await apply(conn, told)
    found = await claimed(conn, [schedule, quiet])
    assert [(s, id_, slot.local - NOW.replace(tzinfo=None), is_open) for s, id_, slot, is_open in found] == [
        (schedule, last, 3 * DAY, False),
        (schedule, sent, 2 * DAY, True),
        (schedule, retrying, DAY, True),
    ]
    assert await claimed(conn, []) == []


@pytest.mark.covers("PRF-28", "DAT-14.01", "PRF-11")
async def test_occurrences_lie_in_partitions_by_the_month_of_their_slot(conn: Connection) -> None:
    """A month is its slots from the first day up to the next month, which is not in it; a look-up by id reads one."""
    for month in ("2026_11", "2026_12", "2027_01"):
        await conn.execute(f"DROP TABLE IF EXISTS occurrences_{month}")
    told = Told()
    schedule = told.created()
    slots = [
        datetime(2026, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    ]
    for slot in slots:
        told.claimed(schedule, at(slot), at(slot))
    await apply(conn, told)
    rows = await conn.fetch("SELECT tableoid::regclass::text AS place, slot FROM occurrences ORDER BY slot")
    assert [(row["place"], row["slot"]) for row in rows] == [
        ("occurrences_2026_11", slots[0].replace(tzinfo=None)),
        ("occurrences_2026_12", slots[1].replace(tzinfo=None)),
        ("occurrences_2026_12", slots[2].replace(tzinfo=None)),
        ("occurrences_2027_01", slots[3].replace(tzinfo=None)),
    ]
    plan = await conn.fetch(
        "EXPLAIN SELECT * FROM occurrences WHERE id = $1 AND slot = $2",
        occurrence_id(schedule, slots[0].replace(tzinfo=None), 0),
        slots[0].replace(tzinfo=None),
    )
    text = "\n".join(row[0] for row in plan)
    assert "occurrences_2026_11" in text
    assert "occurrences_2026_12" not in text


async def test_both_passings_of_a_repeated_local_time_are_kept(conn: Connection) -> None:
    """Fold 0 and fold 1 of one local time are two occurrences."""
    told = Told()
    schedule = told.created()
    first = at()
    second = t.Next(slot=t.Slot(local=first.slot.local, fold=1), due_at=NOW + timedelta(hours=1), plan=first.plan)
    ids = [told.claimed(schedule, first, second), told.claimed(schedule, second)]
    await apply(conn, told)
    rows = [await get_occurrence(conn, "acme", id_) for id_ in ids]
    assert [row.slot.fold for row in rows if row] == [0, 1]
