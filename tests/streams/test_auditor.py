"""Nothing stays silent without an alarm, and nothing raises one that is as it should be."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from horae.domain import timing as t
from horae.domain.audit import SlotSilent
from horae.domain.delivery import Delivery, Retry
from horae.domain.errors import Invalid
from horae.projections.audit import Series
from horae.streams.auditor import Auditor, AuditorConfig
from horae.streams.metrics import Metrics
from tests.streams.worker import NOON, Worker, at, fails, one_off

HOUR = timedelta(hours=1)


def auditor(worker: Worker) -> Auditor:
    return Auditor(AuditorConfig(), worker.pool, worker.store, worker.clock, worker.metrics)


async def test_a_healthy_installation_raises_no_alarm(worker: Worker) -> None:
    """Delivered, missed, skipped over, waiting for a retry, paused, cancelled, to come: all accounted for."""
    worker.dispatcher()
    await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    await worker.create(
        t.Every(interval=t.Interval(unit="hours"), zone="UTC", missed=t.Missed(policy="skip", within=HOUR / 6))
    )
    await worker.create(at(NOON + HOUR))
    await worker.create(at(NOON + 100 * HOUR))
    paused = await worker.create(at(NOON + 2 * HOUR))
    cancelled = await worker.create(at(NOON + 2 * HOUR))
    await worker.pause(paused)
    await worker.cancel(cancelled)
    await worker.settle()
    await worker.at(NOON + HOUR)
    await worker.at(NOON + 7 * HOUR + HOUR / 2)
    report = await auditor(worker).run_once()
    assert report.silent == ()
    assert (report.series, report.slots) == (2, 14)


async def test_it_tells_how_long_no_audit_has_come_to_its_end(worker: Worker) -> None:
    """From the beginning of work, then from the last audit; one that is broken off changes nothing."""
    seconds, registry = 100.0, CollectorRegistry()
    metrics = Metrics(registry, lambda: seconds)
    audit = Auditor(AuditorConfig(), worker.pool, worker.store, worker.clock, metrics)
    seconds = 130.0
    assert registry.get_sample_value("horae_audit_age_seconds") == 30
    await audit.run_once()
    assert registry.get_sample_value("horae_audit_age_seconds") == 0
    seconds = 170.0
    held = [await worker.pool.acquire() for _ in range(worker.pool.get_max_size())]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await audit.run_once()
    for connection in held:
        await worker.pool.release(connection)
    assert registry.get_sample_value("horae_audit_age_seconds") == 40
    await audit.run_once()
    assert registry.get_sample_value("horae_audit_age_seconds") == 0


@pytest.mark.covers("REL-18")
async def test_a_removed_due_row_is_found(worker: Worker) -> None:
    """Before its instant and after it: the schedule is active, and nothing will ever bring its slot."""
    worker.dispatcher()
    schedule = await worker.create(at(NOON + HOUR))
    await worker.settle()
    await worker.pool.execute("DELETE FROM due WHERE key = $1", schedule)
    audit = auditor(worker)
    (suspect,) = (await audit.run_once()).silent
    assert (suspect.schedule, suspect.state) == (schedule, "unwatched")
    await worker.at(NOON + 2 * HOUR)
    assert worker.channel.releases == []
    (suspect,) = (await audit.run_once()).silent
    assert suspect.occurrence == one_off(schedule, NOON + HOUR)
    assert worker.registry.get_sample_value("horae_auditor_alarms_total") == 1
    assert worker.registry.get_sample_value("horae_silent_slots") == 1


async def test_a_dispatcher_that_does_nothing_is_found(worker: Worker) -> None:
    """The due rows are there, and nobody acts on them."""
    schedule = await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    await worker.applied()
    worker.clock.set(NOON + 3 * HOUR)
    silent = (await auditor(worker).run_once()).silent
    assert [(s.schedule, s.due_at, s.state) for s in silent] == [
        (schedule, NOON + HOUR, "overdue"),
        (schedule, NOON + 2 * HOUR, "unheard"),
    ]


@pytest.mark.covers("REL-18")
async def test_a_silent_slot_becomes_an_event_once(worker: Worker) -> None:
    """However often it is found, by whichever auditor; and it neither parks anything nor stands in the claim's way."""
    schedule = await worker.create(at(NOON + HOUR))
    await worker.applied()
    worker.clock.set(NOON + 2 * HOUR)
    audit = auditor(worker)
    await audit.run_once()
    await audit.run_once()
    worker.clock.set(NOON + 3 * HOUR)
    await auditor(worker).run_once()
    told = [(e.meta, e.body) for e in await worker.store.after(0) if isinstance(e.body, SlotSilent)]
    assert [(body.schedule_id, body.due_at, meta.tenant, meta.actor) for meta, body in told] == [
        (schedule, NOON + HOUR, "acme", "auditor")
    ]
    worker.dispatcher()
    await worker.settle()
    assert worker.feed.parked == frozenset()
    assert await worker.story(one_off(schedule, NOON + HOUR)) == ["claimed", "ended:delivered"]
    assert (await audit.run_once()).silent == ()


async def test_a_series_that_cannot_be_planned_does_not_keep_the_others_unseen(worker: Worker) -> None:
    """Its zone may have gone from the zone data; the alarm about another one is raised all the same."""
    bad = await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    good = await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    await worker.applied()
    await worker.pool.execute("UPDATE standings SET due_at = due_at + interval '9 hours'")
    worker.clock.set(NOON + 2 * HOUR)
    audit, expected = auditor(worker), Auditor._expected

    def plan(series: Series, *rest: object) -> list[t.Next]:
        if series.schedule == bad:
            raise Invalid("there is no such zone")
        return expected(audit, series, *rest)  # type: ignore[arg-type]

    audit._expected = plan  # type: ignore[method-assign, assignment]
    assert {s.schedule for s in (await audit.run_once()).silent} == {good}


async def test_a_series_that_jumped_over_a_slot_is_found_in_the_log(worker: Worker) -> None:
    """Even when every read model agrees that all is well."""
    worker.dispatcher()
    schedule = await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    await worker.settle()
    await worker.pool.execute(
        "UPDATE due SET due_at = due_at + interval '1 hour', slot = slot + interval '1 hour', "
        "occurrence = $2 WHERE key = $1",
        schedule,
        one_off(schedule, NOON + 2 * HOUR),
    )
    worker.dispatchers[0].look_again()
    await worker.at(NOON + 2 * HOUR)
    await worker.at(NOON + 3 * HOUR)
    silent = (await auditor(worker).run_once()).silent
    assert [(s.due_at, s.state) for s in silent] == [(NOON + HOUR, "unheard")]


async def test_a_retry_that_nobody_makes_is_found(worker: Worker) -> None:
    """An occurrence that waits for longer than its instant."""
    worker.channel.answers[None] = fails(status_code=500)
    worker.dispatcher()
    schedule = await worker.create(at(NOON + HOUR), delivery=Delivery(retry=Retry(retries=1)))
    await worker.settle()
    await worker.at(NOON + HOUR)
    await worker.pool.execute("DELETE FROM due")
    worker.dispatchers[0].look_again()
    await worker.dispatchers[0].quiet()
    await asyncio.gather(*(dispatcher.stop() for dispatcher in worker.dispatchers))
    worker.clock.set(NOON + 2 * HOUR)
    (suspect,) = (await auditor(worker).run_once()).silent
    assert (suspect.occurrence, suspect.state) == (one_off(schedule, NOON + HOUR), "retrying")
