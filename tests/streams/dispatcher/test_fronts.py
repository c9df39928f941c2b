"""While a flood is larger than memory: how far each queue that it keeps out is read, look by look."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from horae.domain.ids import shard_of
from horae.projections.due import ALL_SHARDS, Queue
from horae.streams.channels import Receipt, Release
from horae.streams.dispatcher.fronts import Fronts
from horae.streams.dispatcher.horizon import BEGINNING, Edge
from tests.streams.worker import NOON, Worker, at, hook

DUE = NOON + timedelta(minutes=1)
LATER = DUE + timedelta(seconds=1)


async def flooded(worker: Worker) -> None:
    """Six times as much as fits into memory is due before everything else."""
    for i in range(60):
        await worker.create(at(DUE), recipient=f"f{i}", tenant="flood")


@pytest.mark.covers("DSP-07", "REL-13")
async def test_what_waits_for_a_slow_endpoint_keeps_nobody_of_its_tenant_out(worker: Worker) -> None:
    """The first of the queue have no slot; a second look goes on behind them, to one that can go out."""
    answer = asyncio.Event()

    async def slowly(_release: Release) -> Receipt:
        await answer.wait()
        return Receipt()

    worker.channel.answers["https://slow.example"] = slowly
    await flooded(worker)
    for i in range(8):
        await worker.create(at(LATER), recipient=f"s{i}", tenant="small", channel=hook("slow.example"))
    await worker.create(at(LATER + timedelta(seconds=1)), recipient="q", tenant="small", channel=hook("quick.example"))
    dispatcher = worker.dispatcher(
        rows_in_memory=10, batch=1, in_flight=2, per_endpoint=1, turns_every_s=1e-9, run=False
    )
    await worker.applied()
    worker.clock.set(LATER + timedelta(seconds=1))
    worker.run(dispatcher)
    await worker.channel.until(62)
    order = [r.recipient for r in worker.channel.releases]
    answer.set()
    await worker.settle()
    assert "q" in order
    assert order.index("q") <= 30
    assert len({r.occurrence for r in worker.channel.releases}) == len(worker.channel.releases) == 69


@pytest.mark.covers("DSP-07", "PRF-07")
async def test_what_belongs_to_another_worker_hides_nothing_behind_it(worker: Worker) -> None:
    """The first of the queue lie in another's shards, and he does nothing; ours behind them have their turn."""
    ours = set(ALL_SHARDS[:32])
    names = [f"r{i}" for i in range(200)]
    theirs = [name for name in names if shard_of("small", name) not in ours][:8]
    own = next(name for name in names if shard_of("small", name) in ours)
    flood = [name for name in (f"f{i}" for i in range(400)) if shard_of("flood", name) in ours][:60]
    for name in flood:
        await worker.create(at(DUE), recipient=name, tenant="flood")
    for name in theirs:
        await worker.create(at(LATER), recipient=name, tenant="small")
    await worker.create(at(LATER + timedelta(seconds=1)), recipient=own, tenant="small")
    dispatcher = worker.dispatcher(
        shards=ours, foreign_every_s=3600, rows_in_memory=10, batch=1, in_flight=1, turns_every_s=1e-9, run=False
    )
    await worker.applied()
    worker.clock.set(LATER + timedelta(seconds=1))
    worker.run(dispatcher)
    await worker.channel.until(61)
    order = [r.recipient for r in worker.channel.releases]
    assert len(set(order)) == len(order) == 61
    assert order.index(own) <= 30


NEAR, FAR = Queue(4, "near"), Queue(2, "far")


def place(minute: int) -> Edge:
    return (NOON + timedelta(minutes=minute), UUID(int=minute))


def test_a_look_goes_on_where_the_last_one_ended_and_begins_anew_at_the_end() -> None:
    """Each queue by itself."""
    fronts = Fronts()
    fronts.read(NEAR, place(3))
    fronts.read(NEAR, place(5))
    assert fronts.after([NEAR, FAR]) == {NEAR: place(5), FAR: BEGINNING}
    fronts.read(NEAR, None)
    assert fronts.after([NEAR]) == {NEAR: BEGINNING}


def test_a_sweep_looks_at_the_beginning_once_and_goes_on() -> None:
    """What was added there is found, and what waits there does not hide the rest for ever."""
    fronts = Fronts()
    fronts.read(NEAR, place(5))
    fronts.begin_anew()
    assert fronts.after([NEAR]) == {NEAR: BEGINNING}
    fronts.read(NEAR, place(2))
    assert fronts.after([NEAR]) == {NEAR: place(5)}


def test_after_a_flood_nothing_is_remembered() -> None:
    """The next one begins with the first rows."""
    fronts = Fronts()
    fronts.read(NEAR, place(5))
    fronts.forget()
    assert fronts.after([NEAR]) == {NEAR: BEGINNING}
