"""The report of a change of zone data in pages: the same as the whole, and no page reads much more than it shows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.commands.zonereports import Place, page_of
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.envelope import Event, Meta, NewEvent, Recorded
from horae.domain.errors import NotFound
from tests.fakes.event_store import InMemoryEventStore

NOW = datetime(2026, 8, 1, tzinfo=UTC)
TENANT, CHANGE = "acme", UUID(int=7)
CHANGES = z.changes_stream(TENANT)
ZONE = "America/Vancouver"


def move(number: int) -> z.Move:
    return z.Move(
        schedule_id=UUID(int=number),
        slot=t.Slot(local=datetime(2026, 11, 20, 9)),  # noqa: DTZ001 - local times are naive
        zone=ZONE,
        tzdata="2025c",
        before=NOW,
    )


def parts(numbers: list[int], sizes: list[int]) -> list[list[int]]:
    """Cut into parts of these sizes, in turn."""
    found, at, i = [], 0, 0
    while at < len(numbers):
        found.append(numbers[at : at + sizes[i % len(sizes)]])
        at, i = at + sizes[i % len(sizes)], i + 1
    return found


class Counting(InMemoryEventStore):
    """Counts the events that were read of it."""

    read = 0

    async def load(self, stream: UUID, **limits: Any) -> list[Recorded]:
        found = await super().load(stream, **limits)
        self.read += len(found)
        return found


async def told(
    moved: list[list[int]], back: list[list[int]], stays: set[int], *, finished: bool = True, undone: bool = True
) -> Counting:
    """A log with a change: its parts, and those about what is back (`stays`: what is not)."""
    store = Counting()
    versions: dict[UUID, int] = {}

    async def tell(stream: UUID, body: Event) -> None:
        versions[stream] = versions.get(stream, 0) + 1
        meta = Meta(event_id=uuid4(), tenant=TENANT, shard=7, actor="cli", recorded_at=NOW)
        await store.append([NewEvent(stream, versions[stream], meta, body)])

    changes, slots = z.changes_stream(TENANT), z.slots_stream(TENANT, CHANGE)
    await tell(changes, z.ZoneDataAdopted(change=CHANGE, version="2026c", keep="wall_time"))
    for part in moved:
        await tell(slots, z.SlotsMoved(change=CHANGE, moves=tuple(map(move, part))))
    if finished:
        zones = {ZONE: sum(map(len, moved))}
        await tell(changes, z.ZoneDataReported(change=CHANGE, checked=zones[ZONE], zones=zones))
    for part in back:
        restored = tuple(UUID(int=number) for number in part if number not in stays)
        left = {UUID(int=number): "it is paused" for number in part if number in stays}
        await tell(slots, z.SlotsRestored(change=CHANGE, restored=restored, left=left))
    if undone and back:
        await tell(changes, z.ZoneDataUndone(change=CHANGE, restored=0, left=0))
    return store


async def shown(store: Counting, limit: int) -> list[tuple[int, bool | None]]:
    """Every page: each slot, and whether it is back."""
    found: list[tuple[int, bool | None]] = []
    place: Place | None = Place()
    while place is not None:
        page = await page_of(store, TENANT, CHANGES, CHANGE, place, limit)
        assert page.after is None or len(page.moves) == limit
        for at in page.moves:
            back = True if at.schedule_id in page.restored else False if at.schedule_id in page.left else None
            found.append((at.schedule_id.int, back))
        place = page.after
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 40),
    st.lists(st.integers(1, 7), min_size=1, max_size=3),
    st.lists(st.integers(1, 7), min_size=1, max_size=3),
    st.integers(0, 40),
    st.sets(st.integers(0, 39)),
    st.integers(1, 12),
    st.booleans(),
)
def test_pages_are_the_whole(
    total: int, moved: list[int], back: list[int], so_far: int, stays: set[int], limit: int, finished: bool
) -> None:
    """However it was cut into parts, finished or broken off, undone wholly, in part, or not at all."""
    numbers = list(range(total))
    done = numbers[:so_far]

    async def run() -> None:
        store = await told(parts(numbers, moved), parts(done, back), stays, finished=finished, undone=so_far >= total)
        wanted = [(n, (n not in stays) if n in done else None) for n in numbers]
        assert await shown(store, limit) == wanted

    asyncio.run(run())


async def test_a_change_that_was_undone_while_it_was_made_is_told_all_the_same() -> None:
    """Its parts stand among those about what is back."""
    more = await told([[0, 1], [2, 3]], [[0, 1], [2, 3]], {1})
    slots = z.slots_stream(TENANT, CHANGE)
    bodies = [event.body for event in await more.load(slots)]
    store = Counting()
    for version, body in enumerate([bodies[0], bodies[2], bodies[1], bodies[3]], 1):
        meta = Meta(event_id=uuid4(), tenant=TENANT, shard=7, actor="cli", recorded_at=NOW)
        await store.append([NewEvent(slots, version, meta, body)])
    for event in await more.load(z.changes_stream(TENANT)):
        await store.append([NewEvent(event.stream, event.version, event.meta, event.body)])
    assert await shown(store, 1) == [(0, True), (1, False), (2, True), (3, True)]


async def test_a_page_reads_no_more_than_its_part_of_a_long_stream() -> None:
    """Of 3,000 parts a page of 100 slots reads some dozens, in the middle as at the beginning and at the end."""
    many = parts(list(range(30_000)), [10])
    store = await told(many[:1500], many[:1500], set())
    page = await page_of(store, TENANT, CHANGES, CHANGE, Place(), 100)
    assert (len(page.moves), len(page.restored)) == (100, 100)
    assert store.read < 60
    assert page.after is not None
    for place in (page.after, Place(7_000, 701, 0, 2_201), Place(14_900, 1_491, 0, 2_991)):
        store.read = 0
        page = await page_of(store, TENANT, CHANGES, CHANGE, place, 100)
        assert (len(page.moves), len(page.restored)) == (100, 100)
        assert store.read < 40
    assert page.after is None


async def test_a_change_that_nobody_made_is_not_found() -> None:
    """By name."""
    with pytest.raises(NotFound) as refused:
        await page_of(Counting(), TENANT, CHANGES, CHANGE, Place(), 10)
    assert refused.value.field == "change"
