"""Another day of business for the whole installation: what was planned by the one before is looked at, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from horae.commands import calendarplans, replanning
from horae.commands.calendarplans import CalendarPlans, PlanOnCalendar, planned_by
from horae.commands.schedules import Schedules
from horae.domain.schedule import ScheduleReplanned
from horae.domain.timing import opendays, publicdays
from horae.domain.timing.opendays import Hours, Standard
from horae.infra.commanding import commands_over
from horae.infra.ids import NewIds
from horae.infra.settings import Settings
from horae.infra.standing import ReadModelStanding
from horae.projections.schema import create_pool
from horae.streams.renewing import Renewer
from tests.api.test_calendars import put
from tests.api.world import World

LATE = "10:00-18:00"
HOURS = {"business_hours_only": True}


@asynccontextmanager
async def renewer(world: World, **settings: Any) -> AsyncIterator[Renewer]:
    """As a worker has it that was started with these settings."""
    chosen = Settings(**settings)
    services = world.services
    pool = await create_pool(world.owner_dsn)
    try:
        made = commands_over(
            chosen,
            world.every,
            pool,
            services.progress,
            clock=world.clock,
            ids=NewIds(),
            refs=services.refs,
        )
        yield Renewer(
            planned_by(chosen.standard), pool, CalendarPlans(made.schedules, made.calendars.resolver, made.standing)
        )
    finally:
        await pool.close()


async def at_seven(world: World, **calendar: Any) -> str:
    """A series at seven every day, moved on to the opening."""
    timing = {"kind": "every", "cron": "0 7 * * *", "zone": "UTC", "calendar": HOURS | calendar}
    created = await world.create(timing=timing)
    return str(created["id"])


async def planned(world: World, schedule: str) -> tuple[str, str, int]:
    """When the next slot goes out, by which calendar, and how often it was planned anew."""
    shown = await world.get(f"/v1/schedules/{schedule}")
    history = (await world.get(f"/v1/schedules/{schedule}/history"))["items"]
    anew = sum(entry["event"] == "schedule.replanned.v1" for entry in history)
    return shown["next"]["due_at"], shown["next"]["calendar"], anew


@pytest.mark.covers("TZ-20", "CFG-14", "RUL-12")
async def test_what_was_planned_by_other_hours_is_planned_anew(world: World) -> None:
    """What leaves its hours to the settings moves, of every tenant, and says why; what names its own does not."""
    await put(world, "office", {"weekend": ["sun"]})
    await put(world, "own", {"hours": {"wed": [{"start": "09:00", "end": "12:00"}]}})
    built_in, office, own = await at_seven(world), await at_seven(world, id="office"), await at_seven(world, id="own")
    noon = (await world.create(timing={"kind": "every", "cron": "0 12 * * *", "zone": "UTC", "calendar": HOURS}))["id"]
    theirs = await world.other.post(
        "/v1/schedules",
        json={
            "recipient": "user-1",
            "channel": "log:",
            "timing": {"kind": "every", "cron": "0 7 * * *", "zone": "UTC", "calendar": HOURS},
        },
    )
    paused = await at_seven(world)
    assert (await world.client.post(f"/v1/schedules/{paused}/pause", json={})).status_code == 200
    async with renewer(world, business_hours=LATE) as late:
        assert await late.run_once()
    label = f"default@0 {LATE}"
    assert await planned(world, built_in) == ("2026-12-02T10:00:00Z", label, 1)
    assert await planned(world, office) == ("2026-12-02T10:00:00Z", f"office@1 {LATE}", 1)
    assert await planned(world, own) == ("2026-12-02T09:00:00Z", "own@1", 0)
    assert (await planned(world, noon))[::2] == ("2026-12-01T12:00:00Z", 0)
    shown = await world.other.get(
        f"/v1/schedules/{theirs.json()['id']}", params={"min_position": await world.services.store.head()}
    )
    assert shown.json()["next"]["due_at"] == "2026-12-02T10:00:00Z"
    told = (await world.every.load(UUID(built_in)))[-1].body
    assert isinstance(told, ScheduleReplanned)
    assert (told.cause, told.detail) == ("calendar", label)


async def test_the_same_settings_look_at_nothing_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not move keeps the name of before, and is not asked about at each start."""
    await at_seven(world)
    looks: list[PlanOnCalendar | None] = []
    real = ReadModelStanding.planned_on_calendars

    async def noted(
        self: ReadModelStanding, tenant: str, after: PlanOnCalendar | None, limit: int
    ) -> list[PlanOnCalendar]:
        looks.append(after)
        return await real(self, tenant, after, limit)

    monkeypatch.setattr(ReadModelStanding, "planned_on_calendars", noted)
    async with renewer(world, business_hours=LATE) as late:
        assert await late.run_once()
        assert looks
        looks.clear()
        assert await late.run_once()
    async with renewer(world, business_hours=LATE) as started_again:
        assert await started_again.run_once()
    assert looks == []
    async with renewer(world, business_hours="08:00-12:00") as early:
        assert await early.run_once()
    assert looks


async def test_what_breaks_off_is_finished_by_the_next_and_moves_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page: killed between two of them, and begun anew; nothing is noted before all has been looked at."""
    monkeypatch.setattr(calendarplans, "PAGE", 2)
    schedules = [await at_seven(world) for _ in range(5)]
    real, pages = replanning.replan, 0

    async def ends_at_the_second(*arguments: Any) -> replanning.Outcome:
        nonlocal pages
        pages += 1
        if pages == 2:
            raise asyncio.CancelledError
        return await real(*arguments)

    async with renewer(world, business_hours=LATE) as late:
        with monkeypatch.context() as broken:
            broken.setattr(replanning, "replan", ends_at_the_second)
            with pytest.raises(asyncio.CancelledError):
                await late.run_once()
        assert sorted([(await planned(world, each))[2] for each in schedules]) == [0, 0, 0, 1, 1]
        assert await late.run_once()
    assert [await planned(world, each) for each in schedules] == [("2026-12-02T10:00:00Z", f"default@0 {LATE}", 1)] * 5


async def test_two_at_once_move_each_slot_once(world: World) -> None:
    """Whoever comes second finds it planned."""
    schedules = [await at_seven(world) for _ in range(6)]
    async with renewer(world, business_hours=LATE) as one, renewer(world, business_hours=LATE) as other:
        assert all(await asyncio.gather(one.run_once(), other.run_once()))
    assert [(await planned(world, each))[2] for each in schedules] == [1] * 6


async def test_a_schedule_that_fails_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone: the others have been looked at by then, moved or not; all is not called done before it has, too."""
    broken, sound = await at_seven(world), await at_seven(world)
    noon = await world.create(timing={"kind": "every", "cron": "0 12 * * *", "zone": "UTC", "calendar": HOURS})
    asked: list[str] = []
    real = Schedules.replan

    async def noted(self: Any, call: Any, schedule: Any, *rest: Any) -> bool:
        asked.append(str(schedule))
        return await real(self, call, schedule, *rest)

    async with renewer(world, business_hours=LATE) as late:
        with monkeypatch.context() as failing:

            async def fails_at_one(self: Any, call: Any, schedule: Any, *rest: Any) -> bool:
                if str(schedule) == broken:
                    asked.append(broken)
                    raise OverflowError("date value out of range")
                return await noted(self, call, schedule, *rest)

            failing.setattr(Schedules, "replan", fails_at_one)
            assert not await late.run_once()
        assert [(await planned(world, each))[2] for each in (broken, sound)] == [0, 1]
        assert sorted(asked) == sorted([broken, sound, noon["id"]])
        asked.clear()
        monkeypatch.setattr(Schedules, "replan", noted)
        assert await late.run_once()
        assert asked == [broken]
    assert [(await planned(world, each))[2] for each in (broken, sound)] == [1, 1]


@pytest.mark.covers("CFG-16", "TZ-28")
async def test_another_country_and_newer_holidays_are_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in calendar's country, and a release of the holidays that knows of a day off more."""
    await put(world, "munich", {"country": "DE", "subdivision": "BY"})
    timing = {"kind": "every", "cron": "0 9 * * *", "zone": "UTC", "calendar": {"skip_holidays": True, "move": "drop"}}
    built_in = (await world.create(timing=timing | {"starts_at": "2026-12-25"}))["id"]
    named = timing | {"starts_at": "2026-12-02", "calendar": {"id": "munich", "skip_holidays": True, "move": "drop"}}
    munich = (await world.create(timing=named))["id"]
    assert (await planned(world, built_in))[0] == "2026-12-25T09:00:00Z"
    async with renewer(world, holiday_country="DE") as german:
        assert await german.run_once()
    due, label, _ = await planned(world, built_in)
    assert (due, label.split()[-1]) == ("2026-12-27T09:00:00Z", "DE")
    real = publicdays.public_days
    for module in (opendays, calendarplans):
        monkeypatch.setattr(module, "holidays_version", lambda: "999.0")

    def with_a_new_one(country: str, part: str | None, year: int) -> Any:
        return {date(2026, 12, 2): "A new day", **real(country, part, year)}

    monkeypatch.setattr(opendays, "public_days", with_a_new_one)
    async with renewer(world, holiday_country="DE") as newer:
        assert await newer.run_once()
    assert await planned(world, munich) == ("2026-12-03T09:00:00Z", "munich@1 holidays 999.0", 1)


def test_what_plans_are_made_by_tells_settings_apart() -> None:
    """Hours, weekend, country and its part."""
    hours = (Hours(start="10:00", end="18:00"),)
    standards = [
        Standard(),
        Standard(hours=hours),
        Standard(weekend=frozenset()),
        Standard(country="DE"),
        Standard(country="DE", subdivision="BY"),
    ]
    assert len({planned_by(standard) for standard in standards}) == len(standards)
