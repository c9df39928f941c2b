"""Who goes first, and how many at once: priorities, tenants in turn, endpoints' limits and breakers."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from horae.domain.delivery import Delivery, Retry
from horae.projections.due import Queue
from horae.streams.channels import Receipt, Release
from horae.streams.dispatcher.horizon import BEGINNING
from tests.streams.worker import NOON, Worker, at, fails, hook, host_of, one_off

DUE = NOON + timedelta(minutes=1)


class Gate:
    """A receiver that answers only when it is told to, and knows how many wait at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.now = self.most = 0

    async def __call__(self, _release: Release) -> Receipt:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.open.wait()
        self.now -= 1
        return Receipt()


@pytest.mark.covers("DSP-07", "RUL-04")
async def test_pressing_work_goes_first_and_tenants_take_turns(worker: Worker) -> None:
    """One tenant's flood delays neither the other tenant nor what is more pressing."""
    for i in range(30):
        await worker.create(at(DUE), recipient=f"f{i}", tenant="flood", priority=2)
    for i in range(3):
        await worker.create(at(DUE), recipient=f"s{i}", tenant="small", priority=2)
    await worker.create(at(DUE), recipient="u", tenant="flood", priority=4)
    worker.dispatcher(in_flight=1, batch=1)
    await worker.settle()
    await worker.at(DUE)
    order = [r.tenant for r in worker.channel.releases]
    assert worker.channel.releases[0].recipient == "u"
    assert len(order) == 34
    assert max(i for i, tenant in enumerate(order) if tenant == "small") <= 6


@pytest.mark.covers("DSP-26")
async def test_no_more_attempts_run_at_once_than_allowed(worker: Worker) -> None:
    """What finds no free slot stays unclaimed, so that a cancel still stops it."""
    gate = Gate()
    worker.channel.answers[None] = gate
    schedules = [await worker.create(at(DUE), recipient=f"r{i}") for i in range(12)]
    dispatcher = worker.dispatcher(in_flight=5)
    await worker.settle()
    worker.clock.set(DUE)
    dispatcher.wake()
    await worker.channel.until(5)
    claimed = {r.schedule for r in worker.channel.releases}
    waiting = [schedule for schedule in schedules if schedule not in claimed]
    assert (len(waiting), dispatcher.in_flight, dispatcher.queue_size) == (7, 5, 7)
    await worker.cancel(waiting[0])
    gate.open.set()
    await worker.settle()
    assert gate.most == 5
    assert {r.schedule for r in worker.channel.releases} == set(schedules) - {waiting[0]}


@pytest.mark.covers("REL-13")
async def test_a_slow_endpoint_does_not_delay_another(worker: Worker) -> None:
    """Its own slots are all that it can take, however much waits for it."""
    gate = Gate()
    worker.channel.answers["https://slow.example"] = gate
    for i in range(20):
        await worker.create(at(DUE), recipient=f"s{i}", channel=hook("slow.example"))
    for i in range(5):
        await worker.create(at(DUE), recipient=f"q{i}", channel=hook("quick.example"))
    dispatcher = worker.dispatcher(in_flight=10, per_endpoint=2)
    await worker.settle()
    worker.clock.set(DUE)
    dispatcher.wake()
    await worker.channel.until(7)
    assert Counter(map(host_of, worker.channel.releases)) == {"quick.example": 5, "slow.example": 2}
    gate.open.set()
    await worker.settle()
    assert gate.most == 2
    assert len(worker.channel.releases) == 25


@pytest.mark.covers("DSP-33", "DSP-34", "REL-15")
async def test_an_endpoint_in_trouble_is_left_alone_for_a_while(worker: Worker) -> None:
    """After three failures nothing more is claimed for it; after the breaker's time one attempt tries it out."""
    worker.channel.answers["https://down.example"] = fails(kind="connect", nothing_arrived=True)
    no_retry = Delivery(retry=Retry(retries=0))
    schedules = [
        await worker.create(at(DUE), recipient=f"r{i}", channel=hook("down.example"), delivery=no_retry)
        for i in range(6)
    ]
    dispatcher = worker.dispatcher(per_endpoint=1, breaker_failures=3, breaker_reset_s=0.3, max_sleep_s=0.05)
    await worker.settle()
    worker.clock.set(DUE)
    dispatcher.wake()
    await worker.channel.until(3)
    worker.channel.answers.clear()
    await worker.settle()
    opened = worker.registry.get_sample_value("horae_breaker_changes_total", {"state": "opened"})
    closed = worker.registry.get_sample_value("horae_breaker_changes_total", {"state": "closed"})
    assert (opened, closed) == (1, 1)
    ends = Counter([(await worker.story(one_off(schedule, DUE)))[-1] for schedule in schedules])
    assert ends == {"ended:dead_lettered": 3, "ended:delivered": 3}


@pytest.mark.covers("DSP-35")
async def test_refusals_do_not_open_the_breaker(worker: Worker) -> None:
    """A receiver that says 400 to one message is well."""
    worker.channel.answers["https://picky.example"] = fails(status_code=400, retryable=False)
    for i in range(6):
        await worker.create(at(DUE), recipient=f"r{i}", channel=hook("picky.example"))
    worker.dispatcher(per_endpoint=1, breaker_failures=3)
    await worker.settle()
    await worker.at(DUE)
    assert len(worker.channel.releases) == 6


async def test_more_is_due_than_fits_into_memory(worker: Worker) -> None:
    """The rest waits in the index, and goes out all the same, each once."""
    for i in range(60):
        await worker.create(at(DUE), recipient=f"r{i}")
    dispatcher = worker.dispatcher(rows_in_memory=10, batch=5, in_flight=5)
    await worker.at(DUE)
    while len(worker.channel.releases) < 60:
        await worker.channel.until(len(worker.channel.releases) + 1)
    await worker.settle()
    assert len({r.occurrence for r in worker.channel.releases}) == len(worker.channel.releases) == 60
    assert dispatcher.queue_size == 0


@pytest.mark.covers("DSP-07", "PRF-10")
async def test_a_flood_beyond_the_memory_delays_neither_another_tenant_nor_pressing_work(worker: Worker) -> None:
    """They are due after all of it, and go out when a part of it has: the index is not only read in order of time."""
    later = DUE + timedelta(seconds=1)
    for i in range(60):
        await worker.create(at(DUE), recipient=f"f{i}", tenant="flood", priority=2)
    await worker.create(at(later), recipient="s", tenant="small", priority=2)
    await worker.create(at(later), recipient="u", tenant="flood", priority=4)
    dispatcher = worker.dispatcher(rows_in_memory=10, batch=1, in_flight=1, turns_every_s=1e-9, run=False)
    await worker.applied()
    worker.clock.set(later)
    worker.run(dispatcher)
    await worker.channel.until(62)
    await worker.settle()
    order = [r.recipient for r in worker.channel.releases]
    assert len(set(order)) == len(order) == 62
    assert order[0] == "u"
    assert order.index("s") <= 12


async def test_who_is_kept_out_by_a_flood_is_found_a_few_at_a_time(worker: Worker) -> None:
    """However many wait at however many priorities: pressing ones first, and round again."""
    for priority in (1, 2, 4):
        for tenant in ("ann", "bob", "cyd"):
            for i in range(3):
                await worker.create(at(DUE), recipient=f"r{i}", tenant=tenant, priority=priority)
    await worker.create(at(DUE + timedelta(days=1)), tenant="later", priority=4)
    await worker.applied()
    found, after = await worker.source.queues(DUE, None, 4)
    assert found == [Queue(4, "cyd"), Queue(4, "bob"), Queue(4, "ann")]
    assert after == Queue(4, "ann")
    further, after = await worker.source.queues(DUE, after, 10)
    assert further == [Queue(priority, tenant) for priority in (2, 1) for tenant in ("cyd", "bob", "ann")]
    assert after is None
    rows = await worker.source.fronts(dict.fromkeys(further[:2], BEGINNING), DUE, 2)
    assert Counter(Queue(row.priority, row.tenant) for row in rows) == {further[0]: 2, further[1]: 2}
    places = {Queue(row.priority, row.tenant): (row.due_at, row.key) for row in rows}
    rest = await worker.source.fronts(places, DUE, 2)
    assert Counter(Queue(row.priority, row.tenant) for row in rest) == {further[0]: 1, further[1]: 1}
    assert not {row.key for row in rows} & {row.key for row in rest}


async def test_an_endpoint_for_which_very_much_waits_leaves_room_for_the_others(worker: Worker) -> None:
    """More waits for it than fits into memory: what is due later for others goes out, and then all of its own."""
    gate = Gate()
    worker.channel.answers["https://slow.example"] = gate
    for i in range(40):
        await worker.create(at(DUE), recipient=f"s{i}", channel=hook("slow.example"))
    for i in range(5):
        await worker.create(at(DUE + timedelta(seconds=1)), recipient=f"q{i}", channel=hook("quick.example"))
    dispatcher = worker.dispatcher(
        rows_in_memory=20, batch=5, in_flight=10, per_endpoint=2, respill_s=1e-9, max_sleep_s=0.05
    )
    await worker.settle()
    worker.clock.set(DUE + timedelta(seconds=1))
    dispatcher.wake()
    await worker.channel.until(7)
    assert Counter(map(host_of, worker.channel.releases)) == {"quick.example": 5, "slow.example": 2}
    gate.open.set()
    await worker.settle()
    assert len({r.occurrence for r in worker.channel.releases}) == len(worker.channel.releases) == 45
    assert gate.most == 2


async def test_what_waits_for_a_full_endpoint_is_planned_a_few_times_not_again_and_again(worker: Worker) -> None:
    """Once to learn where it goes, once when it has a slot: however much waits, the work for each is the same."""
    for i in range(200):
        await worker.create(at(DUE), recipient=f"s{i}", channel=hook("slow.example"))
    worker.dispatcher(rows_in_memory=100, batch=10, in_flight=10, per_endpoint=2, respill_s=1e-9, max_sleep_s=0.05)
    await worker.settle()
    await worker.at(DUE)
    while len(worker.channel.releases) < 200:
        await worker.channel.until(len(worker.channel.releases) + 1)
    await worker.settle()
    assert len({r.occurrence for r in worker.channel.releases}) == len(worker.channel.releases) == 200
    planned = worker.registry.get_sample_value("horae_dispatch_batch_size_sum")
    assert planned is not None
    assert planned <= 3 * 200
