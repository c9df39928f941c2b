"""Virtual time: from due instant to due instant, until the target, with everything that lies between."""

import asyncio
from datetime import datetime, timedelta

from horae.domain import timing as t
from horae.domain.delivery import Delivery, Retry
from horae.projections.projector import Applied
from horae.streams.stepper import Applying, SteppedClock, Stepper
from tests.streams.worker import NOON, HandClock, Worker, at, fails, one_off


class HandTime:
    """The installation's virtual clock, without its database."""

    def __init__(self, clock: HandClock) -> None:
        self._clock, self._target = clock, clock.now()
        self._asked = asyncio.Event()

    def now(self) -> datetime:
        return self._clock.now()

    @property
    def target(self) -> datetime:
        return self._target

    def ask(self, target: datetime) -> None:
        self._target = target
        self._asked.set()

    async def asked(self) -> None:
        await self._asked.wait()
        self._asked.clear()

    async def move_to(self, instant: datetime) -> None:
        self._clock.set(max(self._clock.now(), min(instant, self._target)))


def stepper(worker: Worker) -> tuple[Stepper, HandTime]:
    time = HandTime(worker.clock)
    clock = SteppedClock(time)
    dispatcher = worker.dispatcher(clock=clock)
    return Stepper(time, clock, dispatcher, worker.source, worker.applying, worker.store.head), time


async def test_two_years_of_a_daily_schedule_across_both_clock_changes(worker: Worker) -> None:
    """Every day once, at 02:30 of Berlin's wall clock; the night that lacks it moves on to 03:30."""
    step, time = stepper(worker)
    await worker.create(t.Every(cron="30 2 * * *", zone="Europe/Berlin"))
    time.ask(NOON + timedelta(days=730))
    await step.run_once()
    due = [r.due_at for r in worker.channel.releases]
    assert len(due) == 730
    assert due == sorted(due)
    assert time.now() == NOON + timedelta(days=730)
    assert {d.hour for d in due} == {0, 1}
    # 2030-03-31 lacks 02:30 in Berlin: 03:30 summer time is 01:30 UTC.
    assert datetime.fromisoformat("2030-03-31T01:30:00+00:00") in due
    await worker.settle()


async def test_retries_are_part_of_what_is_due(worker: Worker) -> None:
    """The target is reached only when the last retry before it has been made, each at its own instant."""
    step, time = stepper(worker)
    worker.channel.answers[None] = fails(status_code=500)
    schedule = await worker.create(at(NOON + timedelta(hours=1)), delivery=Delivery(retry=Retry(retries=2)))
    time.ask(NOON + timedelta(hours=2))
    await step.run_once()
    assert [(r.released_at - NOON - timedelta(hours=1)).total_seconds() for r in worker.channel.releases] == [0, 5, 15]
    assert (await worker.story(one_off(schedule, NOON + timedelta(hours=1))))[-1] == "ended:dead_lettered"


async def test_what_is_due_at_the_target_comes_before_the_answer(worker: Worker) -> None:
    """Both ends of the way belong to it; the minute after does not."""
    step, time = stepper(worker)
    for minutes in (0, 60, 61):
        await worker.create(at(NOON + timedelta(minutes=minutes)), recipient=f"r{minutes}") if minutes else None
    time.ask(NOON + timedelta(hours=1))
    await step.run_once()
    assert [r.recipient for r in worker.channel.releases] == ["r60"]
    time.ask(NOON + timedelta(hours=2))
    await step.run_once()
    assert [r.recipient for r in worker.channel.releases] == ["r60", "r61"]


async def test_it_waits_until_somebody_asks(worker: Worker) -> None:
    """Time stands still meanwhile, and what is due now goes out all the same."""
    step, time = stepper(worker)
    running = asyncio.create_task(step.run())
    await worker.create(t.Now())
    await worker.channel.until(1)
    assert time.now() == NOON
    schedule = await worker.create(at(NOON + timedelta(days=1)))
    time.ask(NOON + timedelta(days=1))
    await worker.channel.until(2)
    running.cancel()
    assert worker.channel.releases[1].schedule == schedule


async def test_a_feed_that_starts_anew_from_an_earlier_position_is_believed() -> None:
    """A crash of PostgreSQL takes the read models back a little: what they had reached before counts no more."""
    applying = Applying()
    await applying.on_applied(Applied(7))
    await applying.on_applied(Applied(5, reset=True))
    waiting = asyncio.create_task(applying.reached(7))
    await asyncio.sleep(0)
    assert not waiting.done()
    await applying.on_applied(Applied(7))
    await waiting
