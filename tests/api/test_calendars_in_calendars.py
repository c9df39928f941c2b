"""Calendars that name calendars: how many and how deep, told at once, and what nesting costs."""

from __future__ import annotations

from datetime import date
from typing import Any

from horae.commands.calendars import fences
from horae.domain.timing.opendays import Calendar, CalendarDefinition
from tests.api.world import World


async def put(world: World, name: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = await world.client.put(f"/v1/calendars/{name}", json=body)
    return answer.status_code, answer.json()


async def written(world: World, name: str, **body: Any) -> None:
    status, shown = await put(world, name, **body)
    assert status == 200, shown


async def test_a_calendar_names_each_other_once(world: World) -> None:
    """Twice in `plus`, or in both: it can mean nothing."""
    await written(world, "a", days=[{"date": "2026-12-07"}])
    for body, field in (({"plus": ["a", "a"]}, "plus"), ({"plus": ["a"], "minus": ["a"]}, "minus")):
        status, problem = await put(world, "b", **body)
        assert (status, problem["field"]) == (422, field)
        assert "named twice" in problem["detail"]


async def test_too_many_calendars_together_are_refused_from_above_and_from_below(world: World) -> None:
    """Counted as often as they are reached: 8 times 8 and themselves are more than 64."""
    for n in range(8):
        await written(world, f"leaf-{n}", days=[{"date": f"2026-12-0{n + 1}"}])
    leaves = [f"leaf-{n}" for n in range(8)]
    for n in range(8):
        await written(world, f"mid-{n}", plus=leaves[:4], minus=leaves[4:])
    mids = [f"mid-{n}" for n in range(8)]
    status, problem = await put(world, "top", plus=mids)
    assert (status, problem["field"]) == (422, "plus")
    assert "73 calendars together; 64 is the most" in problem["detail"]
    await written(world, "top", plus=mids[:7])  # 64
    await written(world, "one-more")
    status, problem = await put(world, "leaf-7", plus=["one-more"])
    assert (status, problem["field"]) == (422, "plus")
    assert "'top', which names it, would be 71 calendars together" in problem["detail"]


async def test_a_chain_that_grows_from_below_is_refused_and_loses_nothing(world: World) -> None:
    """Five deep is the most, wherever the sixth would come in; a holiday five down counts."""
    await written(world, "c5", days=[{"date": "2026-12-07", "name": "deep down"}])
    for n in (4, 3, 2, 1):
        await written(world, f"c{n}", plus=[f"c{n + 1}"])
    told = await world.get("/v1/calendars/c1/holidays", on="2026-12-07")
    assert [item["name"] for item in told["items"]] == ["deep down"]
    status, problem = await put(world, "c0", plus=["c1"])
    assert (status, problem["field"]) == (422, "plus")
    assert "6 calendars deep; 5 is the most" in problem["detail"]
    await written(world, "c6")
    status, problem = await put(world, "c5", plus=["c6"])
    assert (status, problem["field"]) == (422, "plus")
    assert "'c1', which names it, would be 6 calendars deep" in problem["detail"]


def test_what_is_named_on_many_ways_is_looked_at_once() -> None:
    """Sixteen and sixteen, twelve deep: as many ways as no machine walks, and an answer all the same."""
    made = Calendar("level-0", 1, CalendarDefinition.model_validate({"days": [{"date": "2026-12-07", "name": "x"}]}))
    for level in range(1, 13):
        made = Calendar(f"level-{level}", 1, CalendarDefinition(), (made,) * 16, ())
    assert made.holiday(date(2026, 12, 7)) == "x"
    assert made.holiday(date(2026, 12, 8)) is None
    assert len(fences("acme", made)) == 13
    assert len(made.label) < 10_000
