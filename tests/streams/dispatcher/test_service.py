"""The dispatcher as a service: settings, stop, metrics, and a database that goes away."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta

import pytest

from horae.projections.due import ALL_SHARDS, DueRow
from horae.projections.schema import create_pool
from horae.streams.channels import Receipt, Release
from horae.streams.dispatcher import DispatcherConfig, PostgresDueSource
from horae.streams.dispatcher.horizon import BEGINNING, Edge
from tests.fixtures.postgres import Database
from tests.fixtures.silence import silence_before
from tests.streams.worker import NOON, Worker, at, fails, one_off

DUE = NOON + timedelta(minutes=1)


def test_settings_that_make_no_sense_are_named() -> None:
    """Before anything starts."""
    with pytest.raises(ValueError, match="in_flight must be positive, not 0"):
        DispatcherConfig(in_flight=0).validate()
    with pytest.raises(ValueError, match="batch"):
        DispatcherConfig(batch=10, rows_in_memory=5).validate()


async def test_a_stop_lets_what_is_under_way_end_and_claims_nothing_more(worker: Worker) -> None:
    """Its result is recorded; what came due meanwhile is left to the next worker."""
    go_on = asyncio.Event()

    async def slow(_release: Release) -> Receipt:
        await go_on.wait()
        return Receipt()

    worker.channel.answers[None] = slow
    dispatcher = worker.dispatcher(in_flight=1)
    first, second = await worker.create(at(DUE)), await worker.create(at(DUE))
    await worker.settle()
    worker.clock.set(DUE)
    dispatcher.wake()
    await worker.channel.until(1)
    stopping = asyncio.create_task(dispatcher.stop())
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    stories = sorted([await worker.story(one_off(schedule, DUE)) for schedule in (first, second)])
    assert stories == [[], ["claimed", "ended:delivered"]]


@pytest.mark.covers("OBS-02", "DSP-36")
async def test_every_attempt_is_measured(worker: Worker) -> None:
    """By result and kind of timing, in the catalogue's buckets up to the longest execution."""
    worker.dispatcher()
    worker.channel.answers[None] = fails(status_code=500)
    await worker.create(at(DUE))
    await worker.settle()
    await worker.at(DUE)
    worker.channel.answers.clear()
    await worker.at(DUE + timedelta(seconds=5))

    def count(status: str) -> float | None:
        labels = {"status": status, "type": "at"}
        return worker.registry.get_sample_value("schedule_execution_duration_seconds_count", labels)

    assert (count("failed"), count("completed")) == (1, 1)
    labels = {"status": "failed", "type": "at", "le": "300.0"}
    assert worker.registry.get_sample_value("schedule_execution_duration_seconds_bucket", labels) == 1
    assert worker.registry.get_sample_value("horae_release_lateness_seconds_count") == 1


class Absent:
    """A due index that is away for a while."""

    def __init__(self, source: object) -> None:
        self._source, self.away, self.asked = source, True, asyncio.Event()

    async def page(self, shards: Collection[int], after: Edge, until: datetime, limit: int) -> list[DueRow]:
        self.asked.set()
        if self.away:
            raise ConnectionRefusedError
        return await self._source.page(shards, after, until, limit)  # type: ignore[attr-defined, no-any-return]

    async def next_due_at(self, after: datetime | None = None) -> datetime | None:
        return None


async def test_a_due_index_that_is_away_is_waited_for(worker: Worker) -> None:
    """Nothing is lost: when it is back, what is due goes out."""
    absent = Absent(worker.source)
    worker.source = absent  # type: ignore[assignment]
    await worker.create(at(DUE))
    worker.clock.set(DUE)
    worker.dispatcher(max_sleep_s=0.01)
    await absent.asked.wait()
    assert worker.channel.releases == []
    absent.away = False
    await worker.channel.until(1)


@pytest.mark.covers("REL-16")
async def test_a_due_index_that_says_nothing_is_asked_again(worker: Worker, database: Database) -> None:
    """It takes the question and never answers: the look ends, and when it speaks again, what is due goes out."""
    async with silence_before(database.owner_dsn) as silence:
        pool = await create_pool(silence.dsn, patience_s=2.0)
        source = worker.source = PostgresDueSource(pool)
        await worker.create(at(DUE))
        await worker.applied()
        silence.fall()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await source.page(ALL_SHARDS, BEGINNING, DUE, 10)
        worker.clock.set(DUE)
        dispatcher = worker.dispatcher(max_sleep_s=0.01)
        assert worker.channel.releases == []
        silence.end()
        await worker.channel.until(1)
        await dispatcher.stop()
        await pool.close()


async def test_a_worker_that_lost_its_lock_claims_nothing(worker: Worker) -> None:
    """Others would take its attempts for a dead worker's."""
    holds = False
    dispatcher = worker.dispatcher(may_claim=lambda: holds, run=False)
    await worker.create(at(DUE))
    await worker.applied()
    worker.clock.set(DUE)
    assert (await dispatcher.run_once()).taken == 0
    holds = True
    assert (await dispatcher.run_once()).started == 1
    await worker.channel.until(1)


async def test_a_schedule_that_cannot_be_planned_does_not_hold_up_the_others(worker: Worker) -> None:
    """It is set aside and named; the rest of its batch goes out."""
    dispatcher = worker.dispatcher(run=False)
    bad, good = await worker.create(at(DUE)), await worker.create(at(DUE))
    await worker.applied()
    candidates = dispatcher._occurrences.candidates

    async def plan(rows, **_):  # type: ignore[no-untyped-def]
        if any(row.schedule == bad for row in rows):
            raise ValueError("a stream that nobody understands")
        return await candidates(rows)

    dispatcher._occurrences.candidates = plan  # type: ignore[method-assign]
    worker.clock.set(DUE)
    done = await dispatcher.run_once()
    assert (done.taken, done.started, done.stale, done.unplannable) == (2, 1, 0, 1)
    assert worker.registry.get_sample_value("horae_unplannable_due_rows_total") == 1
    assert worker.registry.get_sample_value("horae_stale_due_rows_total") == 0
    await worker.channel.until(1)
    assert worker.channel.releases[0].schedule == good
