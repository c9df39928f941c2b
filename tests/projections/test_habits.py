"""Habits as a read model: counted the same whatever the batches, begun by engagement, forgotten on request."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from horae.domain import engagement as e
from horae.domain import occurrence as o
from horae.domain import timing as t
from horae.domain.learning.calibration import FEATURES
from horae.infra.rebuild import checksums
from horae.projections.habits import counts_of
from horae.projections.projector import Projector
from tests.projections.conftest import empty
from tests.projections.told import NOW, PLAN, Told, at

if TYPE_CHECKING:
    from horae.projections.schema import Connection

LEARNT = ("habits", "awaited", "calibrations", "models", "occurrences")


async def apply(conn: Connection, told: Told, batch: int = 1000) -> None:
    """The whole log, in batches of that size."""
    projector = Projector()
    await projector.load(conn)
    for begin in range(0, len(told.log), batch):
        await projector.apply(conn, told.log[begin : begin + batch])


def seen(told: Told, recipient: str, number: int, hours: float = 0) -> None:
    """The recipient was active."""
    body = e.RecipientEngaged(
        recipient_ref=f"ref-{recipient}", kind=e.Kind.ACTIVE, at=told.now + timedelta(hours=hours), zone="Europe/Berlin"
    )
    told.tell(UUID(int=900_000 + number), body)


def sent(told: Told, number: int, recipient: str, *, chosen: bool = False, answered: bool | None = None) -> UUID:
    """A message goes out, and is answered, or not, or nobody knows yet."""
    told.now += timedelta(hours=7)
    next_ = at(told.now)
    features = tuple(0.1 * k for k in range(FEATURES))
    if chosen:
        choice = t.Choice(at=next_.slot.local, level="segment", confidence=0.8, features=features)
        next_ = next_.model_copy(update={"plan": PLAN.model_copy(update={"choice": choice})})
    schedule = told.created(number, recipient=recipient, next_=next_)
    facts = told.facts(schedule, recipient)
    occurrence = told.claimed(schedule, next_, recipient_ref=facts["recipient_ref"])
    told.ended(schedule, occurrence, recipient_ref=facts["recipient_ref"], started_at=told.now)
    learnt: dict[str, Any] = {"sent_at": told.now, "zone": "Europe/Berlin", "foretold": features if chosen else ()}
    if answered:
        opened = told.now + timedelta(hours=1)
        told.tell(occurrence, o.OccurrenceEngaged(**facts, kind=e.Kind.OPENED, at=opened, answers=True, **learnt))
    elif answered is False:
        told.tell(occurrence, o.OccurrenceUnanswered(**facts, **learnt))
    return occurrence


def lived() -> Told:
    """Some weeks of three people, one of whom is forgotten in between."""
    told = Told()
    seen(told, "anna", 1)
    for number in range(1, 60):
        who = ("anna", "ben", "cleo")[number % 3]
        if number % 4 == 0:
            seen(told, who, 100 + number, hours=number % 24)
        sent(told, number, who, chosen=number % 5 == 0, answered=(True, False, None)[number % 7 % 3])
        if number == 41:
            told.tell(UUID(int=800_000), e.HabitsForgotten(recipient_ref="ref-ben"))
    return told


async def digests(conn: Connection) -> dict[str, tuple[int, int]]:
    """Rows and checksum of every table that learning touches."""
    return {table: found for table, found in (await checksums(conn)).items() if table in LEARNT}


@pytest.mark.parametrize("batch", [1, 7])
async def test_the_same_log_gives_the_same_bits_whatever_the_batches(conn: Connection, batch: int) -> None:
    """Counts, what is awaited and calibration are the same when each event comes by itself."""
    told = lived()
    await apply(conn, told)
    at_once = await digests(conn)
    assert {table: rows for table, (rows, _) in at_once.items() if table in ("habits", "awaited")} == {
        "habits": 3, "awaited": at_once["awaited"][0],
    }  # fmt: skip
    assert at_once["calibrations"][0] > 0
    await empty(conn)
    await apply(conn, told, batch)
    assert await digests(conn) == at_once


async def test_who_never_engages_costs_nothing(conn: Connection) -> None:
    """Their messages are neither awaited nor counted, until the learner chooses a moment or they are seen."""
    told = Told()
    sent(told, 1, "anna")
    sent(told, 2, "anna", answered=True)
    await apply(conn, told)
    assert [tuple(row) for row in await conn.fetch("SELECT recipient_ref, asked FROM habits")] == [("ref-anna", b"")]
    assert await conn.fetchval("SELECT count(*) FROM awaited") == 0
    sent(told, 3, "anna", answered=True)
    sent(told, 4, "ben", chosen=True)
    await apply(conn, told)
    (anna, _) = await conn.fetch("SELECT * FROM habits ORDER BY recipient_ref")
    asked, answered, _ = counts_of([anna]).view(__import__("numpy").array([0]), int(told.now.timestamp()))
    assert (round(asked.sum(), 1), round(answered.sum(), 1)) == (1.0, 1.0)
    awaited = await conn.fetch("SELECT recipient_ref, closes_at FROM awaited")
    assert [tuple(row) for row in awaited] == [("ref-ben", told.now + timedelta(hours=24))]


async def test_a_forgotten_recipient_is_in_no_table(conn: Connection) -> None:
    """Counts and what was awaited are gone; another's stay."""
    told = Told()
    for name in ("anna", "ben"):
        seen(told, name, len(told.log))
        sent(told, len(told.log) + 1, name)
    told.tell(UUID(int=800_000), e.HabitsForgotten(recipient_ref="ref-ben"))
    await apply(conn, told)
    for table in ("habits", "awaited"):
        assert [row[0] for row in await conn.fetch(f"SELECT recipient_ref FROM {table}")] == ["ref-anna"]


async def test_an_occurrence_shows_what_its_recipient_did(conn: Connection) -> None:
    """The first time of each kind, machines apart, and whether it was answered."""
    told = Told()
    occurrence = sent(told, 1, "anna")
    facts = told.facts(UUID(int=1), "anna")
    for hours, machine in ((3, None), (2, None), (1, "declared")):
        when = NOW + timedelta(hours=hours)
        told.tell(occurrence, o.OccurrenceEngaged(**facts, kind=e.Kind.OPENED, at=when, machine=machine))
    await apply(conn, told)
    shown = await conn.fetchval("SELECT engagement FROM occurrences")
    assert shown == '{"opened":"2026-12-01T11:00:00+00:00","machine":"2026-12-01T10:00:00+00:00"}'
