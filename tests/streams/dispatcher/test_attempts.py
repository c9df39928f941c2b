"""From the claim to the outcome: retries, modes, dead letters, replays, pauses, callbacks."""

import asyncio
from datetime import timedelta

import pytest

from horae.commands.context import Call
from horae.domain.delivery import Delivery, Mode, Retry, Strategy
from horae.domain.errors import Conflict, IdempotencyMismatch, NotFound
from horae.streams.channels import Receipt, Release
from tests.streams.worker import NOON, Worker, at, fails, one_off

MINUTE = timedelta(minutes=1)
DUE = NOON + MINUTE
TWO_RETRIES = Delivery(retry=Retry(retries=2, delay=timedelta(seconds=5)))
CALL = Call(tenant="acme", actor="key:1", idempotency_key="k1", digest="d1")


@pytest.mark.covers("DSP-10", "DSP-11", "DSP-22")
async def test_retries_are_due_rows_until_the_occurrence_is_a_dead_letter(worker: Worker) -> None:
    """Each retry waits its delay, has the same id and the next number; when they are used up it is parked for good."""
    worker.dispatcher()
    worker.channel.answers[None] = fails(status_code=500)
    schedule = await worker.create(at(DUE), delivery=TWO_RETRIES)
    await worker.settle()
    await worker.at(DUE)
    await worker.at(DUE + timedelta(seconds=4))
    assert len(worker.channel.releases) == 1
    await worker.at(DUE + timedelta(seconds=5))
    await worker.at(DUE + timedelta(seconds=15))
    assert [r.attempt for r in worker.channel.releases] == [1, 2, 3]
    assert len({r.occurrence for r in worker.channel.releases}) == 1
    assert await worker.story(one_off(schedule, DUE)) == [
        *("claimed", "attempt_failed"),
        *("attempt_started", "attempt_failed"),
        *("attempt_started", "attempt_failed", "ended:dead_lettered"),
    ]


@pytest.mark.covers("DSP-05", "DSP-23")
async def test_a_dead_letter_that_is_replayed_is_sent_again(worker: Worker) -> None:
    """The replay is answered once per idempotency key; the new attempt's outcome counts."""
    worker.dispatcher()
    worker.channel.answers[None] = fails(status_code=410, retryable=False)
    schedule = await worker.create(at(DUE), delivery=TWO_RETRIES)
    await worker.settle()
    await worker.at(DUE)
    occurrence = one_off(schedule, DUE)
    assert (await worker.story(occurrence))[-1] == "ended:dead_lettered"
    worker.channel.answers.clear()
    first = await worker.occurrences.replay(CALL, occurrence)
    again = await worker.occurrences.replay(CALL, occurrence)
    assert (first.replayed, again.replayed, again.version) == (False, True, first.version)
    await worker.settle()
    assert (await worker.story(occurrence))[-3:] == ["replayed", "attempt_started", "ended:delivered"]
    assert [r.attempt for r in worker.channel.releases] == [1, 2]


async def test_what_cannot_be_replayed_is_refused(worker: Worker) -> None:
    """Delivered ones conflict, unknown ones and those of others are not found, another body under a key is refused."""
    worker.dispatcher()
    schedule = await worker.create(at(DUE))
    await worker.settle()
    await worker.at(DUE)
    occurrence = one_off(schedule, DUE)
    with pytest.raises(Conflict, match="nothing to replay"):
        await worker.occurrences.replay(CALL, occurrence)
    with pytest.raises(NotFound):
        await worker.occurrences.replay(Call(tenant="other", actor="key:2"), occurrence)
    await worker.occurrences.report_delivery(CALL, occurrence, "opened", NOON)
    with pytest.raises(IdempotencyMismatch):
        await worker.occurrences.report_delivery(
            Call(tenant="acme", actor="key:1", idempotency_key="k1", digest="other"), occurrence, "bounced", NOON
        )


@pytest.mark.covers("DSP-09")
async def test_a_providers_callback_is_stored_once(worker: Worker) -> None:
    """Repeats under the same key add nothing; the outcome stays what it was."""
    worker.dispatcher()
    schedule = await worker.create(at(DUE))
    await worker.settle()
    await worker.at(DUE)
    occurrence = one_off(schedule, DUE)
    for _ in range(2):
        await worker.occurrences.report_delivery(CALL, occurrence, "bounced", DUE, {"code": 550})
    assert await worker.story(occurrence) == ["claimed", "ended:delivered", "delivery_reported"]


async def test_a_callback_during_the_attempt_does_not_lose_the_result(worker: Worker) -> None:
    """The provider is quicker than the answer: the result is decided anew behind the callback."""
    go_on = asyncio.Event()

    async def slow(_release: Release) -> Receipt:
        await go_on.wait()
        return Receipt({"status_code": 202})

    worker.channel.answers[None] = slow
    worker.dispatcher()
    schedule = await worker.create(at(DUE))
    await worker.settle()
    worker.clock.set(DUE)
    worker.dispatchers[0].wake()
    await worker.channel.until(1)
    occurrence = one_off(schedule, DUE)
    await worker.occurrences.report_delivery(CALL, occurrence, "delivered", DUE)
    go_on.set()
    await worker.settle()
    assert await worker.story(occurrence) == ["claimed", "delivery_reported", "ended:delivered"]


async def test_at_most_once_is_not_repeated_when_it_may_have_arrived(worker: Worker) -> None:
    """Silence after sending ends `unknown`: sent or not, nobody can tell."""
    worker.dispatcher()
    worker.channel.answers[None] = fails(kind="timeout")
    schedule = await worker.create(at(DUE), delivery=Delivery(mode=Mode.AT_MOST_ONCE))
    await worker.settle()
    await worker.at(DUE)
    await worker.at(DUE + timedelta(hours=1))
    assert await worker.story(one_off(schedule, DUE)) == ["claimed", "attempt_failed", "ended:unknown"]
    assert len(worker.channel.releases) == 1


async def test_at_most_once_is_repeated_when_nothing_can_have_arrived(worker: Worker) -> None:
    """A refused connection is no risk."""
    worker.dispatcher()
    worker.channel.answers[None] = fails(kind="connect", nothing_arrived=True)
    schedule = await worker.create(at(DUE), delivery=Delivery(mode=Mode.AT_MOST_ONCE))
    await worker.settle()
    await worker.at(DUE)
    worker.channel.answers.clear()
    await worker.at(DUE + timedelta(seconds=5))
    assert (await worker.story(one_off(schedule, DUE)))[-1] == "ended:delivered"


@pytest.mark.covers("DSP-27", "REL-16")
async def test_an_attempt_is_cut_off_when_its_time_is_over(worker: Worker) -> None:
    """A channel that never answers costs the attempt's timeout, and the result is a timeout."""

    async def never(_release: Release) -> Receipt:
        await asyncio.Event().wait()
        raise AssertionError

    worker.channel.answers[None] = never
    worker.dispatcher()
    delivery = Delivery(timeout=timedelta(milliseconds=100), retry=Retry(retries=0))
    schedule = await worker.create(at(DUE), delivery=delivery)
    await worker.settle()
    await worker.at(DUE)
    _, failed, ended = await worker.bodies(one_off(schedule, DUE))
    assert (failed.failure.kind, ended.outcome) == ("timeout", "dead_lettered")
    assert failed.duration_ms >= 100
    samples = worker.registry.get_sample_value(
        "schedule_execution_duration_seconds_count", {"status": "timeout", "type": "at"}
    )
    assert samples == 1


@pytest.mark.covers("DSP-31", "DSP-32")
async def test_the_receivers_wish_to_wait_is_honoured(worker: Worker) -> None:
    """Retry-After longer than the policy's delay moves the retry."""
    worker.dispatcher()
    worker.channel.answers[None] = fails(status_code=503, nothing_arrived=True, retry_after_s=120.0)
    await worker.create(at(DUE))
    await worker.settle()
    await worker.at(DUE)
    await worker.at(DUE + timedelta(seconds=119))
    assert len(worker.channel.releases) == 1
    await worker.at(DUE + timedelta(seconds=120))
    assert len(worker.channel.releases) == 2


@pytest.mark.covers("DSP-28", "DSP-29", "REL-14")
async def test_the_strategy_sets_the_delays(worker: Worker) -> None:
    """Linear and exponential schedules wait as they say: 5 and 10, then 15 against 20 seconds."""
    worker.dispatcher()
    worker.channel.answers[None] = fails(status_code=500)
    linear = Delivery(retry=Retry(strategy=Strategy.LINEAR))
    a, b = await worker.create(at(DUE), delivery=linear), await worker.create(at(DUE))
    await worker.settle()
    for seconds in (0, 5, 15, 30, 35):
        await worker.at(DUE + timedelta(seconds=seconds))
    waits = {
        schedule: [
            (body.retry_at - DUE).total_seconds()
            for body in await worker.bodies(one_off(schedule, DUE))
            if getattr(body, "retry_at", None)
        ]
        for schedule in (a, b)
    }
    assert waits == {a: [5, 15, 30], b: [5, 15, 35]}


async def test_a_retry_waits_while_its_schedule_is_paused(worker: Worker) -> None:
    """Held by the pause, released by the resume; and a cancel ends it."""
    worker.dispatcher()
    worker.channel.answers[None] = fails(status_code=500)
    schedule = await worker.create(at(DUE))
    await worker.settle()
    await worker.at(DUE)
    await worker.pause(schedule)
    await worker.at(DUE + MINUTE)
    assert len(worker.channel.releases) == 1
    await worker.resume(schedule)
    await worker.settle()
    assert len(worker.channel.releases) == 2
    await worker.cancel(schedule)
    await worker.settle()
    assert (await worker.story(one_off(schedule, DUE)))[-1] == "ended:cancelled"


async def test_a_channel_with_a_bug_loses_nothing(worker: Worker) -> None:
    """An exception that no channel should raise is a failed attempt like any other."""

    async def broken(_release: Release) -> Receipt:
        raise ZeroDivisionError

    worker.dispatcher()
    worker.channel.answers[None] = broken
    schedule = await worker.create(at(DUE))
    await worker.settle()
    await worker.at(DUE)
    _, failed = await worker.bodies(one_off(schedule, DUE))
    assert failed.failure.kind == "internal"
