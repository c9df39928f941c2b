"""Lists of schedules: every filter, complete and stable pages."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horae.domain import timing as t
from horae.domain.errors import Invalid
from horae.projections.projector import Projector
from horae.projections.queries import ScheduleFilters, list_schedules
from horae.projections.queries.schedules import Order
from tests.projections.told import NOW, ONCE, Told, at

if TYPE_CHECKING:
    from horae.projections.schema import Connection

HOUR = timedelta(hours=1)


async def apply(conn: Connection, told: Told) -> None:
    projector = Projector()
    await projector.load(conn)
    await projector.apply(conn, told.log)


async def ids(conn: Connection, filters: ScheduleFilters | None = None, **more: Any) -> list[int]:
    """All pages' ids, in order, in pages of two."""
    found, cursor = [], None
    while True:
        page = await list_schedules(conn, "acme", filters, cursor=cursor, limit=2, **more)
        found += [row.id.int for row in page.items]
        cursor = page.next
        if cursor is None:
            return found


@pytest.fixture
async def told(conn: Connection) -> Told:
    """Six schedules, three of them made at one instant."""
    told = Told()
    told.created(1, timing=ONCE, next_=at(NOW + 6 * HOUR), tags=("a", "b"), metadata={"type": "digest"})
    told.created(2, next_=at(NOW + 5 * HOUR), tags=("a",), recipient="user-18")
    told.created(3, next_=at(NOW + 5 * HOUR), channel="webhook:https://example.com/a")
    told.now = NOW + HOUR
    told.created(4, next_=at(NOW + 3 * HOUR), tags=("b", "a"), metadata={"type": ["no", "text"]})
    told.now = NOW + 2 * HOUR
    told.created(5, timing=t.In(delay="PT2H"), next_=at(NOW + 2 * HOUR), channel="webhook:https://example.com/b")
    told.created(6, timing=ONCE)
    told.ended(UUID(int=6), told.claimed(UUID(int=6)))
    await apply(conn, told)
    other = Told(tenant="another", log=list(told.log))
    other.created(7, tags=("a",))
    await apply(conn, other)
    return other


@pytest.mark.covers("LIF-10", "LIF-14")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"status": ("completed",)}, [6]),
        ({"status": ("pending", "executing")}, [5, 4, 3, 2, 1]),
        ({"recipient_ref": "ref-user-18"}, [2]),
        ({"channel": "webhook"}, [5, 3]),
        ({"channel": "webhook:https://example.com/a"}, [3]),
        ({"channel": "log:"}, [6, 4, 2, 1]),
        ({"tags": ("a",)}, [4, 2, 1]),
        ({"tags": ("a", "b")}, [4, 1]),
        ({"tags": ("a",), "status": ("completed",)}, []),
        ({"priority": (1, 2)}, []),
        ({"priority": (3,), "kind": ("in", "at")}, [6, 5, 1]),
        ({"zone": "Europe/Berlin"}, [6, 5, 4, 3, 2, 1]),
        ({"zone": "UTC"}, []),
        ({"type": "digest"}, [1]),
        ({"due_from": NOW + 3 * HOUR, "due_to": NOW + 6 * HOUR}, [4, 3, 2]),
        ({"created_from": NOW + HOUR, "created_to": NOW + 2 * HOUR}, [4]),
    ],
)
async def test_filters_narrow_the_list(
    conn: Connection, told: Told, filters: dict[str, Any], expected: list[int]
) -> None:
    """Each filter alone and together, newest first, and never another tenant's."""
    assert await ids(conn, ScheduleFilters(**filters)) == expected


@pytest.mark.covers("LIF-08")
async def test_by_due_instant_the_soonest_is_first(conn: Connection, told: Told) -> None:
    """Only what has a next slot; equal instants by id."""
    assert await ids(conn, order="due") == [5, 4, 2, 3, 1]


@pytest.mark.covers("LIF-14")
@pytest.mark.parametrize("filters", [{}, {"tags": ("a",)}, {"status": ("pending",)}])
async def test_pages_are_stable_while_schedules_are_added(
    conn: Connection, told: Told, filters: dict[str, Any]
) -> None:
    """What was there when the first page was read is read once, whatever is added meanwhile."""
    before = await ids(conn, ScheduleFilters(**filters))
    told.tenant, told.now = "acme", NOW + 3 * HOUR
    found, cursor, number = [], None, 100
    while True:
        page = await list_schedules(conn, "acme", ScheduleFilters(**filters), cursor=cursor, limit=1)
        found += [row.id.int for row in page.items]
        cursor = page.next
        if cursor is None:
            break
        number += 1
        told.created(number, tags=("a",))
        await apply(conn, told)
    assert found == before


@pytest.mark.parametrize("cursor", ["", "x", "é", "W10", "bnVsbA", "WyJkdWUiLCAxLCAyXQ", "a" * 10_000])
async def test_a_cursor_that_is_none_is_refused(conn: Connection, cursor: str) -> None:
    """Naming the field and the way out."""
    with pytest.raises(Invalid) as caught:
        await list_schedules(conn, "acme", cursor=cursor)
    assert caught.value.field == "cursor"


async def test_a_cursor_of_another_order_is_refused(conn: Connection, told: Told) -> None:
    """It would skip rows silently."""
    page = await list_schedules(conn, "acme", order="due", limit=1)
    with pytest.raises(Invalid):
        await list_schedules(conn, "acme", order="created", cursor=page.next)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    order=st.sampled_from(["created", "due"]),
)
async def test_any_words_may_be_asked_for(conn: Connection, text: str, order: Order) -> None:
    """Filters are values, never SQL."""
    filters = ScheduleFilters(
        status=(text,), recipient_ref=text, channel=text, tags=(text, text), kind=(text,), zone=text, type=text
    )
    assert (await list_schedules(conn, text, filters, order=order)).items == []
