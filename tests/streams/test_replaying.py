"""What was parked is applied after all, by whoever is asked, while every feed goes on."""

from __future__ import annotations

from uuid import UUID

import pytest

from horae.domain import schedule as s
from horae.domain.errors import Conflict, NotFound
from horae.domain.undecodable import load_or_stand_in
from horae.projections import schema
from horae.projections.parked import list_parked
from horae.projections.projector import Projector
from horae.streams.parking import apply_or_park
from horae.streams.replaying import replay_parked
from tests.fakes.event_store import InMemoryEventStore
from tests.fixtures.postgres import Database
from tests.projections.conftest import conn, read_models
from tests.projections.told import Told
from tests.streams.records import records_of
from tests.streams.test_feed import Heard
from tests.streams.test_shardfeed import shard_feed

__all__ = ["conn", "read_models"]


async def one_parked(conn: schema.Connection) -> tuple[Told, UUID]:
    """Read models in which the creation of one of two schedules is parked, its pause behind it."""
    told = Told()
    bad = told.created(1, channel="webhook:https://bad.example/")
    told.created(2)
    told.tell(bad, s.SchedulePaused())
    await conn.execute("ALTER TABLE schedules ADD CONSTRAINT bad CHECK (channel <> 'webhook:https://bad.example/')")
    projector = Projector()
    await projector.load(conn)
    try:
        async for _ in apply_or_park(projector, conn, told.log):
            pass
    finally:
        await conn.execute("ALTER TABLE schedules DROP CONSTRAINT bad")
    return told, bad


async def test_a_feed_from_kafka_looks_again_after_a_replay_by_another_process(
    conn: schema.Connection, read_models: Database
) -> None:
    """Without any record its dispatcher is told to read the due index anew, and nothing counts as parked any more."""
    told, bad = await one_parked(conn)
    log, heard = InMemoryEventStore(told.log), Heard()
    async with shard_feed(log, read_models, heard) as feed:
        await feed.reset()
        assert (feed.parked, len(heard.applied)) == (frozenset([bad]), 1)
        assert await replay_parked(log, conn, bad) == 2
        await heard.resets(2)
        assert (feed.parked, [applied.reset for applied in heard.applied]) == (frozenset(), [True, True])
    assert await conn.fetchval("SELECT status FROM standings WHERE id = $1", bad) == "paused"


async def test_a_replay_that_a_feeder_gets_in_the_way_of_tries_again(
    conn: schema.Connection, read_models: Database
) -> None:
    """The shard was moved between the look at it and the replay: nothing is lost, nothing is applied twice."""
    told, bad = await one_parked(conn)
    feeder = await schema.connect(read_models.owner_dsn)
    projector = Projector()
    await projector.load(feeder)

    class Meddling(InMemoryEventStore):
        """A feeder puts another event behind the parked ones just when these have been read."""

        async def load_many(self, streams: object) -> dict[UUID, list]:  # type: ignore[type-arg]
            found = await super().load_many(streams)  # type: ignore[arg-type]
            if len(told.log) == 3:
                told.tell(bad, s.ScheduleCancelled())
                async for _ in apply_or_park(projector, feeder, told.log[3:]):
                    pass
            return found

    assert await replay_parked(Meddling(told.log), conn, bad) == 3
    assert await conn.fetchval("SELECT status FROM standings WHERE id = $1", bad) == "cancelled"
    assert await list_parked(conn) == []
    await feeder.close()


async def test_what_this_version_cannot_read_stays_parked_and_says_so(
    conn: schema.Connection, read_models: Database
) -> None:
    """The refusal names the position and the reason; an id that nothing is parked under is not found."""
    told, bad = await one_parked(conn)
    log = InMemoryEventStore(list(told.log))
    newer, record = told.log[0], records_of(told.log)[0]
    log.log[0] = load_or_stand_in(
        "schedule.created.v9", record.state, newer.stream, 1, 1, tenant="acme", shard=newer.meta.shard
    )
    with pytest.raises(Conflict, match="position 1") as refused:
        await replay_parked(log, conn, bad)
    assert "UnknownEvent" in refused.value.message
    assert len(await list_parked(conn)) == 2
    with pytest.raises(NotFound):
        await replay_parked(log, conn, UUID(int=7))
