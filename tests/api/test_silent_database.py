"""A database that takes requests and answers nothing: callers are told in bounded time, and find it well afterwards."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from horae.projections.schema import connect as connect_read
from horae.projections.schema import create_pool, install
from tests.api.world import DAILY, World, make_world
from tests.fixtures.postgres import Database
from tests.fixtures.silence import Silence, silence_before

#: How long the service waits here; a real one as `POSTGRES_CONNECTION_TIMEOUT` says.
PATIENCE_S = 3.0
#: Far more than that, on any machine.
BOUND_S = 60.0


@pytest.fixture
async def silence(database: Database) -> AsyncIterator[Silence]:
    """Between the API's reads and their database."""
    async with silence_before(database.api_dsn) as silence:
        yield silence


@pytest.fixture
async def world(database: Database, silence: Silence) -> AsyncIterator[World]:
    """An installation whose reads pass the silence; what it stores does not."""
    owner = await connect_read(database.owner_dsn)
    await install(owner)
    await owner.close()
    pool = await create_pool(silence.dsn, max_size=2, patience_s=PATIENCE_S)
    try:
        async with make_world(database, pool=pool) as made:
            yield made
    finally:
        silence.end()
        await pool.close()


async def told(world: World, path: str) -> httpx.Response:
    async with asyncio.timeout(BOUND_S):
        return await world.client.get(path)


@pytest.mark.covers("REL-16")
async def test_reads_of_a_silent_database_end_in_a_503(world: World, silence: Silence) -> None:
    """One by one, with a schedule, a list, and more at once than there are connections: each gets its answer."""
    schedule = await world.create(DAILY)
    await world.settled()
    assert (await told(world, "/v1/schedules?limit=1")).status_code == 200
    silence.fall()
    paths = ["/v1/schedules", f"/v1/schedules/{schedule['id']}/occurrences", *["/v1/dead-letters"] * 4]
    answers = await asyncio.gather(*(told(world, path) for path in paths))
    assert [answer.status_code for answer in answers] == [503] * len(paths)
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert {answer.json()["detail"] for answer in answers} == {"The database does not answer."}


async def test_after_the_silence_reads_go_well_again(world: World, silence: Silence) -> None:
    """Connections on which an answer is outstanding are not used again."""
    schedule = await world.create(DAILY)
    await world.settled()
    silence.fall()
    assert (await told(world, "/v1/schedules")).status_code == 503
    silence.end()
    answer = await told(world, "/v1/schedules")
    while answer.status_code == 503:
        answer = await told(world, "/v1/schedules")
    assert [item["id"] for item in answer.json()["items"]] == [schedule["id"]]


@pytest.mark.parametrize(("path", "status"), [("/pause", "paused"), ("/cancel", "cancelled")])
async def test_what_is_stored_is_answered_so_although_the_reads_behind_it_are_silent(
    world: World, silence: Silence, path: str, status: str
) -> None:
    """What cannot be told is left out, because an error would say that nothing was stored."""
    schedule = await world.create(DAILY)
    await world.settled()
    silence.fall()
    async with asyncio.timeout(BOUND_S):
        answer = await world.client.post(f"/v1/schedules/{schedule['id']}{path}", json={})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json().get("already_claimed")) == (status, None)
    assert answer.json()["version"] == schedule["version"] + 1


async def test_a_change_that_leaves_the_series_where_it_stands_is_answered_too(world: World, silence: Silence) -> None:
    """Where it stands would come from the read models; the answer has what the log says."""
    schedule = await world.create(DAILY)
    await world.settled()
    silence.fall()
    async with asyncio.timeout(BOUND_S):
        answer = await world.client.patch(f"/v1/schedules/{schedule['id']}", json={"priority": 1})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["priority"], answer.json()["next_due_at"]) == (1, schedule["next_due_at"])


async def test_a_zone_that_is_stored_is_answered_so(world: World, silence: Silence) -> None:
    """Nobody can tell who follows it, so `replanned` says nothing."""
    await world.create(timing={"kind": "every", "cron": "0 9 * * *", "zone": "recipient"})
    await world.settled()
    silence.fall()
    async with asyncio.timeout(BOUND_S):
        answer = await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["zone"], answer.json().get("replanned")) == ("Asia/Tokyo", None)
