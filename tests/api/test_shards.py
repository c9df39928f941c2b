"""Where shards are fed on their own, whoever reads what they wrote waits for one shard, not for all of them."""

from __future__ import annotations

import asyncio

import pytest

from horae.api.services import ApiSettings
from horae.infra.eventstore import PostgresEventStore
from horae.projections.due import ALL_SHARDS
from horae.projections.schema import connect
from horae.streams.messages import Mark
from horae.streams.shardfeed import ShardFeed
from tests.api.world import make_world
from tests.fixtures.postgres import Database
from tests.streams.records import records_of


@pytest.mark.covers("LIF-07")
async def test_what_is_written_is_read_before_the_next_mark(database: Database) -> None:
    """Commands, one recipient's or schedule's lists, and a new key need no mark; a list of everything does."""
    marks = asyncio.Event()
    marks.set()

    async def feeding(store: PostgresEventStore) -> None:
        feed = ShardFeed(store, lambda: connect(database.owner_dsn), [], lambda: 0.0)
        last = dict.fromkeys(ALL_SHARDS, 0)
        async with store.subscribe() as batches:
            async for batch in batches:
                await feed.take(records_of(batch, last))
                if marks.is_set():
                    await feed.take([Mark(batch[-1].position, dict(last))])

    async with make_world(database, ApiSettings(settle_timeout_s=5), feeding) as world:
        one = await world.create({**DAILY_FOR, "recipient": "ann"})
        await world.settled()
        marks.clear()
        two = await world.create({**DAILY_FOR, "recipient": "bob"})
        assert world.services.progress.sharded
        shown = await world.client.post(f"/v1/schedules/{one['id']}/trigger")
        assert shown.status_code in (200, 201, 202), shown.text
        paused = await world.client.post(f"/v1/schedules/{one['id']}/pause")
        assert paused.status_code == 200, paused.text
        position = paused.json()["position"]
        lists = {
            "/v1/schedules?recipient=ann": 1,
            "/v1/recipients/ann/timeline": 1,
            f"/v1/schedules/{one['id']}/occurrences": 1,
        }
        for path, count in lists.items():
            url = f"{path}{'&' if '?' in path else '?'}min_position={position}"
            answer = await world.client.get(url)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["items"]) == count, path
        key = await world.client.post("/v1/keys", json={"label": "new", "scope": "read"})
        assert (await world.client_for(key.json()["key"]).get("/v1/schedules")).status_code == 200
        assert world.services.progress.applied < two["position"]
        waiting = asyncio.create_task(world.get("/v1/schedules"))
        await asyncio.sleep(0)
        marks.set()
        await world.create({**DAILY_FOR, "recipient": "cid"})
        assert len((await waiting)["items"]) >= 2


DAILY_FOR = {"channel": "log:", "content": {}, "timing": {"kind": "every", "cron": "0 9 * * *", "zone": "UTC"}}
