"""A slot that comes due beside an earlier occurrence of its schedule: what the claim decides, by real read models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from horae.commands.candidates import Candidate
from horae.commands.occurrences import Attempt, Occurrences, Settled
from horae.domain.errors import Unavailable
from horae.infra.companions import ReadModelCompanions
from horae.projections.due import load_horizon
from horae.projections.schema import connect, create_pool
from tests.api.world import OWNER, World, make_world
from tests.fixtures.postgres import Database

#: A failed attempt is followed by one more, an hour later.
HOURLY = {"retry": {"strategy": "fixed", "retries": 1, "delay": "PT1H", "max_delay": "PT1H"}}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """An installation whose claims ask what is under way, as a worker's do."""
    async with make_world(database) as made:
        pool = await create_pool(database.owner_dsn, max_size=2)
        asking = ReadModelCompanions(pool)
        was = made.services
        made.worker = Occurrences(made.every, was.clock, was.ids, companions=asking)
        yield made
        await pool.close()


async def series(world: World, policy: str | None, **more: Any) -> str:
    """A series every ten minutes from ten past eight on."""
    timing = {"kind": "every", "cron": "*/10 * * * *", "zone": "UTC", "concurrency": policy}
    made = await world.create(
        {"recipient": "user-17", "channel": "log:", "timing": timing, "delivery": HOURLY} | more,
    )
    return str(made["id"])


async def planned(world: World) -> list[Candidate]:
    """What is due, as the dispatcher plans it."""
    await world.settled()
    conn = await connect(world.owner_dsn)
    try:
        rows = await load_horizon(conn, until=world.clock.now())
    finally:
        await conn.close()
    return [found for found in await world.worker.candidates(rows) if found is not None]


async def claim(world: World, candidate: Candidate) -> Attempt | Settled | None:
    claimed = await world.worker.claim(candidate, OWNER)
    return None if claimed is None else claimed[1]


async def first_sent(world: World) -> Attempt:
    """The first slot, claimed; the next has come due."""
    world.pass_time(minutes=10)
    (attempt,) = await world.claim_due()
    world.pass_time(minutes=10)
    return attempt


async def told(world: World, schedule: str) -> list[tuple[str, str | None]]:
    """Status and reason, slot by slot."""
    shown = await world.get(f"/v1/schedules/{schedule}/occurrences")
    return [(one["status"], one["reason"]) for one in sorted(shown["items"], key=lambda one: str(one["slot"]))]


@pytest.mark.parametrize(("fails", "stands"), [(False, "is being sent"), (True, "waits for its next attempt")])
async def test_a_slot_is_left_out_beside_one_under_way(world: World, fails: bool, stands: str) -> None:
    """While it is sent and while it is retried; the reason names it, and stands in its explanation."""
    schedule = await series(world, "skip")
    first = await first_sent(world)
    if fails:
        await world.fail(first)
    assert await world.claim_due() == []
    reason = f"concurrency: occurrence {first.occurrence.id} of slot 2026-12-01T08:10:00 {stands}"
    assert (await told(world, schedule))[1] == ("suppressed", reason)
    listed = await world.get(f"/v1/schedules/{schedule}/occurrences", status="suppressed")
    story = (await world.get(f"/v1/occurrences/{listed['items'][0]['id']}/explain"))["story"]
    assert any(reason in line for line in story)


async def test_a_slot_goes_out_once_the_other_has_ended(world: World) -> None:
    """Whatever the read models still believe: the other's stream is read, and was expected to stand as it was."""
    schedule = await series(world, "skip")
    first = await first_sent(world)
    (second,) = await planned(world)
    assert second.beside is not None
    await world.deliver(first)
    assert isinstance(await claim(world, second), Attempt)
    assert [status for status, _ in await told(world, schedule)] == ["delivered", "executing"]


async def test_by_default_nothing_is_held_back_and_nothing_asked(world: World, database: Database) -> None:
    """`allow`: both are under way; the claim needs no read model. Where one is asked for and away, the claim waits."""
    pool = await create_pool(database.owner_dsn, max_size=1)
    await pool.close()
    was = world.services
    world.worker = Occurrences(world.every, was.clock, was.ids, companions=ReadModelCompanions(pool))
    for policy in (None, "allow"):
        await series(world, policy)
    world.pass_time(minutes=10)
    assert len(await world.claim_due()) == 2
    world.pass_time(minutes=10)
    assert len(await world.claim_due()) == 2
    await series(world, "skip")
    world.pass_time(minutes=10)
    with pytest.raises(Unavailable):
        await world.claim_due()


async def test_only_the_latest_is_tried_again(world: World) -> None:
    """The earlier one has no further attempt, and names the one that was claimed since; the later one is retried."""
    schedule = await series(world, "latest")
    first = await first_sent(world)
    await world.fail(first)
    (second,) = await world.claim_due()
    await world.fail(second)
    world.pass_time(minutes=61)
    again = {attempt.occurrence.id: attempt.occurrence.attempt for attempt in await world.claim_due()}
    assert again.pop(second.occurrence.id) == 2
    assert list(again.values()) == [1]
    reason = f"concurrency: occurrence {second.occurrence.id} of a later slot was claimed since"
    assert (await told(world, schedule))[0] == ("suppressed", reason)


async def test_what_somebody_asks_for_is_never_held_back(world: World) -> None:
    """A trigger, a slot moved by itself, and what is to be tried again after its end."""
    schedule = await series(world, "skip")
    moved = {"timing": {"kind": "at", "local": "2026-12-01T08:25"}}
    answer = await world.client.patch(
        f"/v1/schedules/{schedule}", params={"scope": "this", "slot": "2026-12-01T08:40"}, json=moved
    )
    assert answer.status_code == 200, answer.text
    await first_sent(world)
    assert (await world.client.post(f"/v1/schedules/{schedule}/trigger", json={})).status_code < 300
    assert [attempt.occurrence.origin for attempt in await world.claim_due()] == ["trigger"]
    world.pass_time(minutes=5)
    (by_itself,) = await world.claim_due()
    assert by_itself.occurrence.slot is not None
    assert by_itself.occurrence.slot.local.isoformat() == "2026-12-01T08:40:00"


async def test_a_part_of_a_series_has_its_own(world: World) -> None:
    """From a slot on, the policy is the one of the rule that the slot belongs to."""
    schedule = await series(world, None)
    rule = {"kind": "every", "cron": "*/10 * * * *", "zone": "UTC", "concurrency": "skip"}
    answer = await world.client.patch(
        f"/v1/schedules/{schedule}", params={"scope": "following", "slot": "2026-12-01T08:30"}, json={"timing": rule}
    )
    assert answer.status_code == 200, answer.text
    await first_sent(world)
    assert len(await world.claim_due()) == 1
    world.pass_time(minutes=10)
    assert await world.claim_due() == []


async def test_another_word_is_refused(world: World) -> None:
    """By the field's name and with the words there are."""
    timing = {"kind": "every", "cron": "*/10 * * * *", "zone": "UTC", "concurrency": "never"}
    answer = await world.client.post(
        "/v1/schedules", json={"recipient": "user-17", "channel": "log:", "timing": timing}
    )
    problem = answer.json()
    assert (answer.status_code, problem["value"]) == (422, "never")
    assert "concurrency" in problem["field"]
    assert "latest" in str(problem)


async def test_the_time_of_a_retry_is_not_moved(world: World) -> None:
    """`skip` holds the slots back, not the attempts of the one under way."""
    await series(world, "skip")
    first = await first_sent(world)
    await world.fail(first)
    for _ in range(4):
        assert await world.claim_due() == []
        world.pass_time(minutes=10)
    world.pass_time(minutes=20)
    (again, *_) = await world.claim_due()
    assert (again.occurrence.id, again.occurrence.attempt) == (first.occurrence.id, 2)
