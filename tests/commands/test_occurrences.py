"""Claims and results over a log that is busy, away, or has been overtaken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

import pytest

from horae.commands.candidates import fold, moves_series, sets_pointer
from horae.commands.occurrences import Attempt, Occurrences, Settled
from horae.commands.ports import NOTHING_EXPECTED
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery, Failure
from horae.domain.envelope import Event, Meta, NewEvent
from horae.domain.errors import Busy, Unavailable
from horae.domain.ids import occurrence_id
from horae.domain.personal import Personal
from tests.fakes.event_store import InMemoryEventStore

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Row:
    """What a due row says."""

    schedule: UUID
    occurrence: UUID
    due_at: datetime
    slot: t.Slot
    row: o.Row = "slot"
    schedule_version: int = 1
    occurrence_version: int = 0
    shard: int = 3
    tenant: str = "acme"
    number: int | None = None
    zone: str | None = None
    origin: o.Origin = "slot"


class Clock:
    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


class Ids:
    def new(self) -> UUID:
        return uuid4()


class Troubled(InMemoryEventStore):
    """Fails the next appends as told: before storing, or after (the acknowledgement is lost)."""

    def __init__(self, *troubles: Literal["busy", "away", "lost"]) -> None:
        super().__init__()
        self.troubles = list(troubles)
        self.asked: list[list[UUID]] = []

    async def append(
        self,
        events: Sequence[NewEvent],
        expects: Mapping[UUID, int] = NOTHING_EXPECTED,
        *,
        lane: Literal["fast", "bulk"] = "fast",
    ) -> int:
        self.asked.append([event.meta.event_id for event in events])
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble == "busy":
            raise Busy("full", retry_after_s=0.001)
        if trouble == "away":
            raise Unavailable("away")
        position = await super().append(events, expects, lane=lane)
        if trouble == "lost":
            raise Unavailable("no answer")
        return position


async def hourly(store: InMemoryEventStore) -> Row:
    """An hourly schedule, and its first due row."""
    schedule = uuid4()
    body = s.create(
        s.Create(
            schedule=schedule,
            recipient_ref="ref",
            personal=Personal(recipient="ann", channel="log:", content={}),
            timing=t.Every(interval=t.Interval(unit="hours"), zone="UTC"),
            context=t.Context(now=NOON, schedule_id=schedule),
            priority=2,
            delivery=Delivery(),
        )
    )
    await InMemoryEventStore.append(store, [event(schedule, 1, body)])
    slot = body.next.slot
    return Row(schedule, occurrence_id(schedule, slot.local, slot.fold), body.next.due_at, slot)


def event(stream: UUID, version: int, body: Event) -> NewEvent:
    return NewEvent(
        stream, version, Meta(event_id=uuid4(), tenant="acme", shard=3, actor="test", recorded_at=NOON), body
    )


def commands(store: InMemoryEventStore) -> Occurrences:
    return Occurrences(store, Clock(NOON + HOUR), Ids())


async def claim(store: InMemoryEventStore, row: Row, owner: int = 1) -> Attempt | Settled | None:
    handler = commands(store)
    (candidate,) = await handler.candidates([row])
    if candidate is None:
        return None
    claimed = await handler.claim(candidate, owner)
    return None if claimed is None else claimed[1]


async def story(store: InMemoryEventStore, row: Row) -> list[str]:
    return [each.body.name.split(".")[1] for each in await store.load(row.occurrence)]


@pytest.mark.parametrize("trouble", ["busy", "away", "lost"])
async def test_a_claim_is_offered_until_the_log_answers(trouble: Literal["busy", "away", "lost"]) -> None:
    """The same events each time, so that one that was stored without our knowing is our own claim, not a conflict."""
    store = Troubled(trouble, trouble)
    row = await hourly(store)
    attempt = await claim(store, row)
    assert isinstance(attempt, Attempt)
    assert await story(store, row) == ["claimed"]
    assert len(store.asked) == 3
    assert store.asked[0] == store.asked[1] == store.asked[2]


async def test_a_result_is_never_lost() -> None:
    """Nor stored twice."""
    store = Troubled()
    row = await hourly(store)
    attempt = await claim(store, row)
    assert isinstance(attempt, Attempt)
    store.troubles = ["away", "lost", "busy"]
    await commands(store).delivered(attempt, NOON, 1.0, None)
    assert await story(store, row) == ["claimed", "ended"]


async def test_of_two_claims_one_wins_and_the_other_leaves_no_trace() -> None:
    """The loser learns it from the log, and does not move the series again."""
    store = InMemoryEventStore()
    row = await hourly(store)
    one, other = commands(store), commands(store)
    (mine,), (theirs,) = await one.candidates([row]), await other.candidates([row])
    assert mine is not None
    assert theirs is not None
    assert await one.claim(mine, 1) is not None
    assert await other.claim(theirs, 2) is None
    assert await story(store, row) == ["claimed"]


async def test_a_slot_that_comes_again_is_passed_over() -> None:
    """The series was set to it anew after it had been handled: it moves on, and nothing is sent."""
    store = InMemoryEventStore()
    row = await hourly(store)
    await claim(store, row)
    resumed = s.ScheduleResumed(next=t.Next(slot=row.slot, number=None, due_at=row.due_at, plan=_plan(store, row)))
    await store.append([event(row.schedule, 2, s.SchedulePaused()), event(row.schedule, 3, resumed)])
    settled = await claim(store, replace(row, schedule_version=3))
    assert isinstance(settled, Settled)
    assert settled.kind == "passed"
    assert await claim(store, replace(row, schedule_version=3)) is None
    assert await story(store, row) == ["claimed", "passed"]


async def test_an_early_look_at_a_retry_starts_nothing() -> None:
    """A row that is older than the last attempt comes too soon for the next."""
    store = InMemoryEventStore()
    row = await hourly(store)
    attempt = await claim(store, row)
    assert isinstance(attempt, Attempt)
    await commands(store).failed(attempt, Failure(kind="http", message="500", status_code=500), NOON, 1.0)
    assert await claim(store, replace(row, row="occurrence", occurrence_version=2)) is None
    late = Occurrences(store, Clock(NOON + 2 * HOUR), Ids())
    (candidate,) = await late.candidates([replace(row, row="occurrence", occurrence_version=2)])
    assert candidate is not None
    assert await late.claim(candidate, 1) is not None


async def test_a_paused_schedule_is_left_alone() -> None:
    """The row is on its way out of the index."""
    store = InMemoryEventStore()
    row = await hourly(store)
    await store.append([event(row.schedule, 2, s.SchedulePaused())])
    assert await claim(store, row) is None
    assert await story(store, row) == []


async def test_an_unknown_schedule_is_a_stale_row() -> None:
    """Nothing is raised for what is not there."""
    store = InMemoryEventStore()
    row = await hourly(store)
    assert await commands(store).candidates([replace(row, schedule=uuid4())]) == [None]


async def test_events_tell_what_led_to_them() -> None:
    """The claim correlates with its occurrence; the result names the claim as its cause."""
    store = InMemoryEventStore()
    row = await hourly(store)
    attempt = await claim(store, row)
    assert isinstance(attempt, Attempt)
    await commands(store).delivered(attempt, NOON, 1.0, {"status_code": 200})
    claimed, ended = await store.load(row.occurrence)
    assert (claimed.meta.actor, claimed.meta.correlation_id) == ("worker:1", row.occurrence)
    assert ended.meta.causation_id == claimed.meta.event_id
    state = fold([claimed, ended])
    assert state is not None
    assert state.outcome is o.Outcome.DELIVERED
    assert (moves_series(claimed.body), moves_series(ended.body)) == (1, None)
    assert sets_pointer((await store.load(row.schedule))[0].body)


def _plan(store: InMemoryEventStore, row: Row) -> t.Plan:
    (created,) = [each.body for each in store.log if isinstance(each.body, s.ScheduleCreated)]
    return created.next.plan
