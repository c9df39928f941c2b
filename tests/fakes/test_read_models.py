"""The read models in memory answer as those in PostgreSQL do: the same projector, the same histories, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from horae.projections.audit import (
    active_series,
    missed_runs,
    overdue_pointers,
    stuck_occurrences,
    unwatched_pointers,
)
from horae.projections.due import get_due, load_horizon, next_due_at
from horae.projections.projector import PositionMoved, Projector
from horae.projections.queries import applied_position, current_slot, open_claims, open_owners
from tests.fakes.read_models import ConnectionLost, InMemoryReadModels
from tests.projections.conftest import conn, empty, read_models
from tests.projections.histories import World, world

if TYPE_CHECKING:
    from horae.projections.schema import Connection

__all__ = ["conn", "read_models"]

LOWEST = UUID(int=0)


async def answers(conn: Any, told: World) -> list[tuple[str, Any]]:
    """What every question gets that the simulation asks."""
    before, keys = told.now, sorted({*told.schedules, *told.occurrences, *told.triggered})
    first = await load_horizon(conn, limit=3)
    after = (first[-1].due_at, first[-1].key) if first else None
    owners = await open_owners(conn)
    asked: list[tuple[str, Awaitable[Any]]] = [
        ("due", get_due(conn, keys)),
        ("all", load_horizon(conn)),
        ("soon", load_horizon(conn, [1, 5, 9, 30, 41, 60], before + timedelta(hours=2), limit=5)),
        ("next page", load_horizon(conn, until=before, after=after, limit=4)),
        ("next", next_due_at(conn)),
        ("next but", next_due_at(conn, after=before)),
        ("overdue", overdue_pointers(conn, before, 50)),
        ("unwatched", unwatched_pointers(conn, 50)),
        ("stuck", stuck_occurrences(conn, before, before, 50)),
        ("series", active_series(conn, LOWEST, 2)),
        ("applied", applied_position(conn)),
        *((f"claims of {owner}", open_claims(conn, owner)) for owner in owners),
        *((f"slot of {id_}", current_slot(conn, told.tenants[id_], id_)) for id_ in told.schedules),
        ("missed", missed_runs(conn, sorted(told.schedules), before.replace(tzinfo=None) - timedelta(days=1))),
    ]
    found = [(name, await question) for name, question in asked]
    unordered = ("due", "stuck", "overdue")
    return [(name, sorted(rows) if name in unordered else rows) for name, rows in found]


@pytest.mark.parametrize("seed", range(4))
async def test_the_same_history_gives_the_same_answers(conn: Connection, seed: int) -> None:
    """After every portion: what the projector says it did, and what each query finds."""
    told = world(seed, 80)
    fake: Any = InMemoryReadModels().connect()
    real_projector, fake_projector = Projector(), Projector()
    await real_projector.load(conn)
    await fake_projector.load(fake)
    for begin in range(0, len(told.log), 9):
        portion = told.log[begin : begin + 9]
        real, ours = await real_projector.apply(conn, portion), await fake_projector.apply(fake, portion)
        assert sorted(ours.due) == sorted(real.due)
        assert (ours.position, ours.events, ours.parked) == (real.position, real.events, real.parked)
        assert await answers(fake, told) == await answers(conn, told)


class TwoFeeders:
    """What happens when two write: the suite, for any pair of sessions on the same read models."""

    async def test_of_two_that_apply_the_same_one_wins(self, sessions: tuple[Any, Any]) -> None:
        """The other is told that the position has moved, and has written nothing."""
        told, (one, two) = world(1, 12), sessions
        first, second = Projector(), Projector()
        await first.load(one)
        await second.load(two)
        await first.apply(one, told.log)
        with pytest.raises(PositionMoved):
            await second.apply(two, told.log)
        assert await second.load(two) == len(told.log)

    async def test_what_comes_twice_is_applied_once(self, sessions: tuple[Any, Any]) -> None:
        """By shards and as a stretch of the whole log, within one call and from one to the next."""
        told, (one, _) = world(1, 12), sessions
        shard = told.log[0].meta.shard
        ours = [event for event in told.log if event.meta.shard == shard]
        projector = Projector()
        await projector.load(one)
        assert (await projector.apply_shards(one, [*ours, *ours], {})).events == len(ours)
        assert (await projector.apply_shards(one, ours, {})).events == 0
        assert (await projector.apply(one, told.log)).events == len(told.log) - len(ours)
        assert (await projector.apply(one, told.log)).events == 0

    async def test_the_second_waits_for_the_first(self, sessions: tuple[Any, Any]) -> None:
        """Until its transaction ends; rolled back, it is as if it had never been."""
        told, (one, two) = world(1, 12), sessions
        first, second = Projector(), Projector()
        await first.load(one)
        await second.load(two)
        with pytest.raises(ZeroDivisionError):
            async with one.transaction():
                await first._move(one, {-1: 3})
                waiting = asyncio.create_task(second.apply(two, told.log))
                assert not (await asyncio.wait((waiting,), timeout=0.2))[0]
                raise ZeroDivisionError
        assert (await waiting).position == len(told.log)


class TestTwoFeedersInMemory(TwoFeeders):
    """In memory."""

    @pytest.fixture
    def sessions(self) -> tuple[Any, Any]:
        """Two sessions on one copy."""
        database = InMemoryReadModels()
        return database.connect(), database.connect()


class TestTwoFeedersInPostgres(TwoFeeders):
    """On a real server."""

    @pytest.fixture
    async def sessions(self, conn: Connection, read_models: Any) -> Any:
        """Two sessions on one database, emptied."""
        from horae.projections import schema

        other = await schema.connect(read_models.owner_dsn)
        yield conn, other
        await other.close()
        await empty(conn)


async def test_a_session_that_breaks_at_commit_has_written_all_or_nothing() -> None:
    """Lost on the way there: nothing; lost on the way back: all of it, and the client does not know."""
    told = world(1, 12)
    for at, expected in (("commit", 0), ("committed", len(told.log))):
        database = InMemoryReadModels()
        session: Any = database.connect(_break(at))
        projector = Projector()
        await projector.load(session)
        with pytest.raises(ConnectionLost):
            await projector.apply(session, told.log)
        again: Any = database.connect()
        assert await Projector().load(again) == expected


async def test_a_crash_takes_back_whole_commits() -> None:
    """Rows and positions together, so that feeding them again gives the same."""
    told, database = world(1, 40), InMemoryReadModels()
    session: Any = database.connect()
    projector = Projector()
    await projector.load(session)
    half = len(told.log) // 2
    await projector.apply(session, told.log[:half])
    middle = {table: dict(rows) for table, rows in database.tables.items()}
    await projector.apply(session, told.log[half:])
    whole = {table: dict(rows) for table, rows in database.tables.items()}
    database.crash(1)
    assert session.is_closed()
    assert (database.tables, max(database.positions.values())) == (middle, half)
    session = database.connect()
    assert await projector.load(session) == half
    await projector.apply(session, told.log[half:])
    assert database.tables == whole


def _break(at: str) -> Callable[[str], Awaitable[None]]:
    async def hook(what: str) -> None:
        if what == at:
            raise ConnectionLost(what)

    return hook
