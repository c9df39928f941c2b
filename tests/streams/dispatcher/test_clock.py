"""Clocks that jump, slots that were missed, and series across clock changes."""

from datetime import timedelta

import pytest

from horae.domain import occurrence as o
from horae.domain import timing as t
from horae.domain.ids import occurrence_id
from tests.streams.worker import NOON, Worker, at, one_off

HOUR = timedelta(hours=1)
HOURLY = t.Interval(unit="hours")


def hourly(policy: str, within: timedelta = timedelta(minutes=10)) -> t.Timing:
    return t.Every(interval=HOURLY, zone="UTC", missed=t.Missed(policy=policy, within=within))


async def test_a_jump_ahead_brings_what_it_jumped_over(worker: Worker) -> None:
    """A one-off that lay beyond the horizon a moment ago goes out late, with the reason in its plan."""
    worker.dispatcher()
    schedule = await worker.create(at(NOON + 5 * HOUR))
    await worker.settle()
    await worker.at(NOON + 6 * HOUR)
    (claimed, _) = await worker.bodies(one_off(schedule, NOON + 5 * HOUR))
    assert [reason.code for reason in claimed.plan.reasons] == ["late"]


async def test_a_jump_back_neither_repeats_nor_loses(worker: Worker) -> None:
    """What went out stays out; what is due later waits for its instant to come again."""
    worker.dispatcher()
    await worker.create(at(NOON + HOUR))
    await worker.create(at(NOON + 2 * HOUR))
    await worker.settle()
    await worker.at(NOON + HOUR)
    await worker.at(NOON - 24 * HOUR)
    assert len(worker.channel.releases) == 1
    await worker.at(NOON + 2 * HOUR)
    assert [r.due_at for r in worker.channel.releases] == [NOON + HOUR, NOON + 2 * HOUR]


async def test_missed_slots_are_skipped_as_asked(worker: Worker) -> None:
    """`skip`: one event for the run, nothing sent, and the series goes on with the next slot."""
    worker.dispatcher()
    schedule = await worker.create(hourly("skip"))
    await worker.settle()
    await worker.at(NOON + 5 * HOUR + HOUR / 2)
    assert worker.channel.releases == []
    (missed,) = await worker.bodies(occurrence_id(schedule, (NOON + HOUR).replace(tzinfo=None), 0))
    assert isinstance(missed, o.OccurrenceMissed)
    assert missed.count == 5
    await worker.at(NOON + 6 * HOUR)
    assert [r.due_at for r in worker.channel.releases] == [NOON + 6 * HOUR]
    assert worker.registry.get_sample_value("horae_missed_slots_total") == 5


async def test_of_missed_slots_the_newest_is_caught_up_on(worker: Worker) -> None:
    """`once`: the run without its newest slot is one event; that one goes out late."""
    worker.dispatcher()
    schedule = await worker.create(hourly("once"))
    await worker.settle()
    await worker.at(NOON + 5 * HOUR + HOUR / 2)
    assert [r.due_at for r in worker.channel.releases] == [NOON + 5 * HOUR]
    assert [status for _, status in await worker.slots(schedule)] == ["missed", "delivered"]


async def test_all_missed_slots_fire_when_asked(worker: Worker) -> None:
    """`all`: every one, in order."""
    worker.dispatcher()
    await worker.create(hourly("all"))
    await worker.settle()
    await worker.at(NOON + 5 * HOUR + HOUR / 2)
    assert [r.due_at for r in worker.channel.releases] == [NOON + h * HOUR for h in range(1, 6)]


async def test_what_expired_is_not_sent(worker: Worker) -> None:
    """Unclaimed within its time: the outcome says so."""
    worker.dispatcher()
    schedule = await worker.create(at(NOON + HOUR), expires_after=timedelta(minutes=5))
    await worker.settle()
    await worker.at(NOON + 2 * HOUR)
    assert worker.channel.releases == []
    assert await worker.story(one_off(schedule, NOON + HOUR)) == ["ended:expired"]


async def test_a_series_follows_its_recipient_to_another_zone(worker: Worker) -> None:
    """The slot that was planned keeps its instant; the next one is planned in the recipient's present zone."""
    worker.dispatcher()
    await worker.know("ann", "Europe/Berlin")
    await worker.create(t.Every(cron="0 9 * * *", zone="recipient"), recipient_zone="Europe/Berlin")
    await worker.settle()
    await worker.know("ann", "America/New_York", version=2)
    for days in range(1, 4):
        await worker.at(NOON + timedelta(days=days))
        await worker.at(NOON + timedelta(days=days, hours=3))
    assert [r.due_at.hour for r in worker.channel.releases] == [8, 14, 14]


@pytest.mark.covers("REL-18")
async def test_a_change_that_was_never_heard_of_is_found_by_the_sweep(worker: Worker) -> None:
    """A dispatcher that is told nothing reads the index anew from time to time."""
    deaf = worker.dispatcher(run=False, sweep_s=1e-9)
    await deaf.run_once()
    worker.dispatchers.clear()
    schedule = await worker.create(at(NOON + HOUR / 60))
    await worker.applied()
    worker.clock.set(NOON + HOUR / 60)
    await deaf.run_once()
    await worker.channel.until(1)
    await deaf.stop()
    assert await worker.story(one_off(schedule, NOON + HOUR / 60)) == ["claimed", "ended:delivered"]


async def test_overdue_work_of_other_shards_is_taken_over(worker: Worker) -> None:
    """A dispatcher that owns no shard of it sends what is more than a second overdue: its owner may be dead."""
    schedule = await worker.create(at(NOON + HOUR))
    await worker.applied()
    (shard,) = [event.meta.shard for event in await worker.store.load(schedule)]
    other = worker.dispatcher(shards={(shard + 1) % 64}, foreign_every_s=1e-9, run=False)
    worker.clock.set(NOON + HOUR - timedelta(seconds=1))
    await other.run_once()
    assert other.in_flight == 0
    worker.clock.set(NOON + HOUR + timedelta(seconds=2))
    await other.run_once()
    await worker.channel.until(1)
