"""Workers that die during an attempt, and what becomes of it."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import pytest

from horae.domain.delivery import Delivery, Mode
from horae.streams.channels import Receipt, Release
from horae.streams.recovery import Recovery, RecoveryConfig
from tests.streams.worker import NOON, Worker, at, one_off

DUE = NOON + timedelta(minutes=1)


class Graveyard:
    """Whom the test has declared dead."""

    def __init__(self, *dead: int) -> None:
        self.dead = set(dead)

    async def gone(self, owners: Collection[int]) -> set[int]:
        return self.dead & set(owners)


async def never(_release: Release) -> Receipt:
    await asyncio.Event().wait()
    raise AssertionError


def recovery(worker: Worker, lives: Graveyard, ours: int = 2) -> Recovery:
    def under_way() -> set[UUID]:
        return set().union(*(dispatcher.under_way() for dispatcher in worker.dispatchers))

    return Recovery(RecoveryConfig(), worker.pool, lives, worker.occurrences, ours, worker.metrics, under_way)


async def die_during(worker: Worker, delivery: Delivery) -> tuple[Recovery, Graveyard, object]:
    """Worker 1 claims and dies before any result; worker 2 stands by."""
    worker.channel.answers[None] = never
    doomed = worker.dispatcher(1, stop_s=0.01)
    schedule = await worker.create(at(DUE), delivery=delivery)
    await worker.settle()
    worker.clock.set(DUE)
    doomed.wake()
    await worker.channel.until(1)
    await doomed.stop()
    worker.dispatchers.clear()
    worker.channel.answers.clear()
    await worker.applied()
    graveyard = Graveyard()
    return recovery(worker, graveyard), graveyard, schedule


@pytest.mark.covers("REL-18")
async def test_an_attempt_of_a_dead_worker_is_made_again(worker: Worker) -> None:
    """at_least_once: another attempt with the same id, by another owner, without using up a retry."""
    recover, graveyard, schedule = await die_during(worker, Delivery())
    worker.dispatcher(2)
    assert (await recover.run_once()).attempts == 0
    graveyard.dead = {1}
    assert (await recover.run_once()).attempts == 1
    await worker.settle()
    occurrence = one_off(schedule, DUE)  # type: ignore[arg-type]
    assert await worker.story(occurrence) == ["claimed", "attempt_failed", "attempt_started", "ended:delivered"]
    assert [(r.occurrence, r.attempt) for r in worker.channel.releases] == [(occurrence, 1), (occurrence, 2)]
    assert (await recover.run_once()).attempts == 0


async def test_at_most_once_ends_unknown_when_its_worker_dies(worker: Worker) -> None:
    """Sent or not, nobody can tell, and it is not sent again."""
    recover, graveyard, schedule = await die_during(worker, Delivery(mode=Mode.AT_MOST_ONCE))
    worker.dispatcher(2)
    graveyard.dead = {1}
    await recover.run_once()
    await worker.settle()
    assert (await worker.story(one_off(schedule, DUE)))[-1] == "ended:unknown"  # type: ignore[arg-type]
    assert len(worker.channel.releases) == 1


async def test_two_who_recover_the_same_end_it_once(worker: Worker) -> None:
    """The log lets one of them through; the other finds nothing to do."""
    recover, graveyard, schedule = await die_during(worker, Delivery())
    graveyard.dead = {1}
    other = recovery(worker, graveyard, ours=3)
    counts = await asyncio.gather(recover.run_once(), other.run_once())
    assert sum(count.attempts for count in counts) == 1
    assert await worker.story(one_off(schedule, DUE)) == ["claimed", "attempt_failed"]  # type: ignore[arg-type]


async def test_a_result_that_comes_after_the_recovery_changes_nothing(worker: Worker) -> None:
    """A worker that was only thought dead records into the void: the attempt is no longer its own."""
    go_on = asyncio.Event()

    async def slow(_release: Release) -> Receipt:
        await go_on.wait()
        return Receipt()

    worker.channel.answers[None] = slow
    paused = worker.dispatcher(1)
    schedule = await worker.create(at(DUE))
    await worker.settle()
    worker.clock.set(DUE)
    paused.wake()
    await worker.channel.until(1)
    await worker.applied()
    worker.dispatchers.clear()
    assert (await recovery(worker, Graveyard(1)).run_once()).attempts == 1
    go_on.set()
    await paused.stop()
    assert await worker.story(one_off(schedule, DUE)) == ["claimed", "attempt_failed"]


async def lose_hold(worker: Worker, delivery: Delivery) -> UUID:
    """Worker 1 lives, but its attempt ended with an error that nobody foresaw: nothing was recorded. The schedule."""
    dispatcher = worker.dispatcher(1)
    record, crashed = dispatcher._occurrences.delivered, asyncio.Event()

    async def fail_once(*_: object) -> int:
        dispatcher._occurrences.delivered = record  # type: ignore[method-assign]
        crashed.set()
        raise RuntimeError("nobody foresaw this")

    dispatcher._occurrences.delivered = fail_once  # type: ignore[method-assign, assignment]
    schedule = await worker.create(at(DUE), delivery=delivery)
    await worker.settle()
    await worker.at(DUE)
    assert crashed.is_set()
    return schedule


async def test_an_attempt_that_a_living_worker_lost_hold_of_is_made_again(worker: Worker) -> None:
    """No task of ours is left that could record it; another attempt follows."""
    schedule = await lose_hold(worker, Delivery())
    assert (await recovery(worker, Graveyard(), ours=1).run_once()).attempts == 1
    await worker.settle()
    story = await worker.story(one_off(schedule, DUE))
    assert story == ["claimed", "attempt_failed", "attempt_started", "ended:delivered"]


async def test_at_most_once_ends_unknown_when_a_living_worker_lost_hold(worker: Worker) -> None:
    """It was sent, in truth; but nobody can tell."""
    schedule = await lose_hold(worker, Delivery(mode=Mode.AT_MOST_ONCE))
    await recovery(worker, Graveyard(), ours=1).run_once()
    await worker.settle()
    assert (await worker.story(one_off(schedule, DUE)))[-1] == "ended:unknown"
    assert len(worker.channel.releases) == 1


async def test_our_own_attempts_under_way_are_left_alone(worker: Worker) -> None:
    """However long they take; and so is an attempt that began after the claims were read."""
    go_on = asyncio.Event()

    async def slow(_release: Release) -> Receipt:
        await go_on.wait()
        return Receipt()

    worker.channel.answers[None] = slow
    dispatcher = worker.dispatcher(1)
    schedule = await worker.create(at(DUE))
    await worker.settle()
    worker.clock.set(DUE)
    dispatcher.wake()
    await worker.channel.until(1)
    await worker.applied()
    occurrence = one_off(schedule, DUE)
    assert (await recovery(worker, Graveyard(), ours=1).run_once()).attempts == 0
    assert await worker.occurrences.recover("acme", occurrence, 1, "worker:1", attempt=2) == 0
    go_on.set()
    await worker.settle()
    assert await worker.story(occurrence) == ["claimed", "ended:delivered"]


async def test_one_that_cannot_be_recovered_does_not_hold_up_the_others(worker: Worker) -> None:
    """Nor does it end the worker, which would meet it again after every start."""
    worker.channel.answers[None] = never
    doomed = worker.dispatcher(1, stop_s=0.01)
    bad, good = await worker.create(at(DUE)), await worker.create(at(DUE))
    await worker.settle()
    worker.clock.set(DUE)
    doomed.wake()
    await worker.channel.until(2)
    await doomed.stop()
    worker.dispatchers.clear()
    await worker.applied()
    recover = worker.occurrences.recover

    async def fail(tenant: str, occurrence: UUID, *args: object, **kwargs: object) -> int:
        if occurrence == one_off(bad, DUE):
            raise ValueError("a stream that nobody understands")
        return await recover(tenant, occurrence, *args, **kwargs)  # type: ignore[arg-type]

    worker.occurrences.recover = fail  # type: ignore[method-assign]
    assert (await recovery(worker, Graveyard(1)).run_once()).attempts == 1
    assert await worker.story(one_off(good, DUE)) == ["claimed", "attempt_failed"]
