"""One order for everything: positions are the order of commits, with any number of writing processes."""

import asyncio
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from horae.commands.ports import EventStore, StreamConflict
from horae.domain.envelope import NewEvent
from horae.infra.eventstore import PostgresEventStore
from tests.contracts.event_store import events_of
from tests.fakes.event_store import InMemoryEventStore
from tests.fixtures.postgres import Database
from tests.infra.eventstore.conftest import CommitHold

_ROOT = Path(__file__).parents[3]


async def _run(role: str, dsn: str, events: int) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.infra.eventstore.crowd", role, dsn, str(events)),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


async def test_no_reader_ever_skips_a_position(database: Database) -> None:
    """Four processes write, two read along by different ways: each reader sees 1, 2, 3, … without a gap or a repeat."""
    writers, events = 4, 1_000
    results = await asyncio.gather(
        _run("poll", database.owner_dsn, writers * events),
        _run("follow", database.owner_dsn, writers * events),
        *(_run("write", database.owner_dsn, events) for _ in range(writers)),
    )
    assert results[:2] == ["", ""]
    assert [int(stored) for stored in results[2:]] == [events] * writers


Command = tuple[Sequence[NewEvent], Mapping[UUID, int]]


def _commands(rng: random.Random, streams: Sequence[UUID]) -> list[Command]:
    """Commands that get in each other's way: some right, some stale, many on the same few streams, some repeated."""
    heads = dict.fromkeys(streams, 0)
    commands: list[Command] = []
    for _ in range(60):
        if commands and rng.random() < 0.1:
            commands.append(rng.choice(commands))
            continue
        events: list[NewEvent] = []
        chosen = rng.sample(streams, rng.randint(1, 2))
        for stream in chosen:
            first = max(1, heads[stream] + 1 - (rng.random() < 0.2))
            events += events_of(stream, range(first, first + rng.randint(1, 3)))
        fenced = [stream for stream in rng.sample(streams, 2) if stream not in chosen]
        fences = {stream: heads[stream] + (rng.random() < 0.1) for stream in fenced}
        commands.append((events, fences))
        firsts = {stream: next(event.version for event in events if event.stream == stream) for stream in chosen}
        if all(heads[stream] + 1 == first for stream, first in firsts.items()) and fences.items() <= heads.items():
            heads |= {event.stream: event.version for event in events}
    return commands


async def _outcome(store: EventStore, command: Command) -> str:
    try:
        return f"stored up to {await store.append(*command)}"
    except StreamConflict as conflict:
        return str(conflict)


@pytest.mark.parametrize("seed", range(10))
async def test_batches_give_what_one_after_the_other_gives(
    database: Database, commit_hold: CommitHold, seed: int
) -> None:
    """Commands that are stored together have the outcomes and conflicts of commands stored in their order."""
    streams = [uuid4() for _ in range(6)]
    commands = _commands(random.Random(seed), streams)
    serial = InMemoryEventStore()
    expected = [await _outcome(serial, command) for command in commands]
    async with PostgresEventStore(database.owner_dsn, max_events_per_commit=25) as store:
        async with commit_hold() as held:
            batched = [asyncio.create_task(_outcome(store, command)) for command in commands]
            await held.until_one_waits()
        outcomes = await asyncio.gather(*batched)
        stored = await store.load_many(streams)
    assert [_without_positions(outcome) for outcome in outcomes] == [_without_positions(each) for each in expected]
    assert {stream: [event.meta.event_id for event in events] for stream, events in stored.items()} == {
        stream: [event.meta.event_id for event in events]
        for stream, events in (await serial.load_many(streams)).items()
    }


def _without_positions(outcome: str) -> str:
    """Commands that do not name the same streams may overtake each other."""
    return "stored" if outcome.startswith("stored") else outcome
