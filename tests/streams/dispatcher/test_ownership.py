"""Shards change hands while dispatchers run: who fires what, and what is taken over from whom."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from horae.projections.due import ALL_SHARDS
from horae.streams.dispatcher import Among
from tests.streams.worker import NOON, Worker, at, one_off

DUE = NOON + timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class Known:
    """Peers whose standing the test says."""

    def __init__(self, among: Among) -> None:
        self.standing = among

    def among(self) -> Among:
        return self.standing


async def shard_of(worker: Worker, schedule: UUID) -> int:
    (created,) = await worker.store.load(schedule)
    return created.meta.shard


@pytest.mark.covers("PRF-07", "REL-03")
async def test_a_shard_that_changes_hands_is_fired_by_its_new_owner(worker: Worker) -> None:
    """What the old one held in memory it lets go; the new one reads it from the index, and fires it on time."""
    old, new = worker.dispatcher(1), worker.dispatcher(2, shards=())
    schedule = await worker.create(at(DUE))
    await worker.settle()
    shard = await shard_of(worker, schedule)
    old.own(set(ALL_SHARDS) - {shard})
    new.own({shard})
    await worker.at(DUE)
    occurrence = one_off(schedule, DUE)
    assert await worker.story(occurrence) == ["claimed", "ended:delivered"]
    (claimed, _) = await worker.bodies(occurrence)
    assert claimed.owner == 2


async def test_changes_of_a_shard_are_followed_by_its_present_owner_only(worker: Worker) -> None:
    """Created after the hand-over: the old owner holds nothing of it."""
    old, new = worker.dispatcher(1), worker.dispatcher(2, shards=())
    old.own(())
    new.own(ALL_SHARDS)
    schedule = await worker.create(at(DUE))
    await worker.settle()
    await worker.at(DUE)
    (claimed, _) = await worker.bodies(one_off(schedule, DUE))
    assert claimed.owner == 2
    assert old.shards == frozenset()


async def test_owning_the_same_shards_again_changes_nothing(worker: Worker) -> None:
    """What was taken meanwhile is not taken twice."""
    dispatcher = worker.dispatcher(1, shards=range(32))
    dispatcher.own(ALL_SHARDS)
    dispatcher.own(ALL_SHARDS)
    schedules = await asyncio.gather(*(worker.create(at(DUE), recipient=f"r{i}") for i in range(20)))
    await worker.settle()
    await worker.at(DUE)
    dispatcher.own(range(32))
    dispatcher.own(ALL_SHARDS)
    await worker.settle()
    for schedule in schedules:
        assert await worker.story(one_off(schedule, DUE)) == ["claimed", "ended:delivered"]


async def test_the_living_share_what_a_dead_one_left(worker: Worker) -> None:
    """Two of them look at the same overdue rows of shards that nobody has; each takes its part, and none collides."""
    schedules = await asyncio.gather(*(worker.create(at(DUE), recipient=f"r{i}") for i in range(40)))
    await worker.applied()
    living = [
        worker.dispatcher(n + 1, shards=(), peers=Known(Among(n, 2)), foreign_every_s=1e-9, run=False) for n in range(2)
    ]
    worker.clock.set(DUE + 2 * SECOND)
    done = [await dispatcher.run_once() for dispatcher in living]
    assert sum(each.started for each in done) == len(schedules)
    assert all(each.started for each in done)
    await worker.channel.until(len(schedules))


@pytest.mark.parametrize(("overdue_s", "taken"), [(2, 0), (4, 1)])
async def test_what_a_living_owner_has_not_fired_waits_longer(worker: Worker, overdue_s: int, taken: int) -> None:
    """He may merely have much to do: a claim of ours would only cost him another one."""
    await worker.create(at(DUE))
    await worker.applied()
    known = Known(Among(0, 1, others=frozenset(ALL_SHARDS)))
    idle = worker.dispatcher(shards=(), peers=known, foreign_every_s=1e-9, run=False)
    worker.clock.set(DUE + overdue_s * SECOND)
    assert (await idle.run_once()).taken == taken
    await worker.channel.until(taken)


async def test_what_falls_to_a_peer_that_does_nothing_is_taken_in_the_end(worker: Worker) -> None:
    """A standing that is out of date must not leave anything behind for ever."""
    schedule = await worker.create(at(DUE))
    await worker.applied()
    not_ours = 1 - schedule.int % 2
    dispatcher = worker.dispatcher(shards=(), peers=Known(Among(not_ours, 2)), foreign_every_s=1e-9, run=False)
    worker.clock.set(DUE + 5 * SECOND)
    assert (await dispatcher.run_once()).taken == 0
    worker.clock.set(DUE + 11 * SECOND)
    assert (await dispatcher.run_once()).taken == 1
    await worker.channel.until(1)


async def test_who_is_late_himself_takes_nothing_from_the_living(worker: Worker) -> None:
    """Where all have too much to do, taking each other's work would only do it twice; what is left over comes later."""
    schedules = await asyncio.gather(*(worker.create(at(DUE), recipient=f"r{i}") for i in range(60)))
    await worker.applied()
    shards = {schedule: await shard_of(worker, schedule) for schedule in schedules}
    half = {shard for shard in ALL_SHARDS if shard % 2}
    mine = {schedule for schedule, shard in shards.items() if shard in half}
    known = Known(Among(0, 2, others=frozenset(ALL_SHARDS) - half))
    busy = worker.dispatcher(shards=half, peers=known, foreign_every_s=1e-9, batch=5, run=False)
    worker.clock.set(DUE + 20 * SECOND)
    fired = (await busy.run_once()).started
    assert busy.queue_size == len(mine) - fired
    while fired < len(schedules):
        fired += (await busy.run_once()).started
        await worker.channel.until(fired)
        await worker.applied()


async def test_who_is_late_himself_still_takes_what_a_living_one_leaves_untouched(worker: Worker) -> None:
    """An owner who gives signs of life and fires nothing must not be waited for until everybody has time."""
    schedules = await asyncio.gather(*(worker.create(at(DUE), recipient=f"r{i}") for i in range(60)))
    await worker.applied()
    shards = {schedule: await shard_of(worker, schedule) for schedule in schedules}
    half = {shard for shard in ALL_SHARDS if shard % 2}
    theirs = {schedule for schedule, shard in shards.items() if shard not in half}
    known = Known(Among(0, 1, others=frozenset(ALL_SHARDS) - half))
    busy = worker.dispatcher(shards=half, peers=known, foreign_every_s=1e-9, batch=5, run=False)
    held = len(schedules) - len(theirs)
    for overdue_s, taken_over in ((20, 0), (25, 0), (30, 5)):
        worker.clock.set(DUE + overdue_s * SECOND)
        held -= (await busy.run_once()).started
        assert busy.queue_size >= 5, "it is busy all the time"
        assert busy.queue_size == held + taken_over
