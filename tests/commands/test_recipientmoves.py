"""Bringing schedules to another zone of their recipient's: what a break leaves is finished under the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest

from horae.commands import recipientmoves
from horae.commands.ports import NOTHING_EXPECTED, Lane
from horae.commands.recipientmoves import Moved, RecipientMoves
from horae.commands.zonereports import Place
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.envelope import NewEvent
from horae.domain.errors import Unavailable
from horae.domain.recipient import RecipientProfile
from horae.domain.schedule import Keep
from tests.commands.stage import TENANT, PlainRefs, Stage, call, draft
from tests.fakes.event_store import InMemoryEventStore

BERLIN, TOKYO = "Europe/Berlin", "Asia/Tokyo"
EVENING = t.At(local=datetime(2026, 12, 24, 18), zone="recipient")  # noqa: DTZ001 - local times are naive
IN_BERLIN, IN_TOKYO = (datetime(2026, 12, 24, hour, tzinfo=UTC) for hour in (17, 9))


class BreakingStore(InMemoryEventStore):
    """Refuses the append number `at`."""

    at = 0

    async def append(
        self, events: Sequence[NewEvent], expects: Mapping[UUID, int] = NOTHING_EXPECTED, *, lane: Lane = "fast"
    ) -> int:
        self.at -= 1
        if self.at == 0:
            raise Unavailable("the log is away")
        return await super().append(events, expects, lane=lane)


@dataclass
class House:
    """A recipient in Berlin, and schedules that follow them, as a read model knows them."""

    store: BreakingStore = field(default_factory=BreakingStore)
    ids: list[UUID] = field(default_factory=list)
    away: bool = False

    def __post_init__(self) -> None:
        self.stage = Stage(store=self.store)
        self.moves = RecipientMoves(
            self.store,
            self.stage.clock,
            self.stage.ids,
            PlainRefs(),
            self.stage.model,
            self,
            self.stage.recipients,
        )

    async def following(self, tenant: str, recipient_ref: str, position: int, shard: int) -> list[UUID]:
        if self.away:
            raise Unavailable("the read model is behind")
        return sorted(self.ids)

    async def live_in(self, zone: str, keep: Keep = "wall_time") -> Moved | None:
        written = await self.stage.recipients.put(call(), RecipientProfile(id="user-17", zone=zone))
        return await self.moves.follow(call(), "user-17", written.zones, written.answer.position, keep)

    async def instants(self) -> list[datetime]:
        states = [(await self.stage.schedules.get(TENANT, id_)).state for id_ in sorted(self.ids)]
        return [state.next.due_at for state in states if state.next is not None]


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> House:
    """Three one-offs in the evening, of somebody in Berlin; parts of two show that there are several."""
    monkeypatch.setattr(recipientmoves, "PART", 2)
    house = House()
    await house.live_in(BERLIN)
    house.ids = [(await house.stage.schedules.create(call(), draft(EVENING))).id for _ in range(3)]
    assert await house.instants() == [IN_BERLIN] * 3
    return house


@pytest.mark.covers("TZ-04")
async def test_what_breaks_off_is_finished_under_the_same_name(house: House) -> None:
    """The append after the recipient's, the change's and the first part's fails; the same request does the rest."""
    house.store.at = 4
    first = await house.live_in(TOKYO)
    assert first is not None
    assert (len(first.moves), list(first.failed)) == (2, sorted(house.ids)[2:])
    assert await house.instants() == [IN_TOKYO, IN_TOKYO, IN_BERLIN]
    # Whatever is asked to be kept now: it was begun otherwise.
    second = await house.live_in(TOKYO, keep="instant")
    assert second is not None
    assert (second.change, len(second.moves), second.failed) == (first.change, 1, ())
    assert await house.instants() == [IN_TOKYO] * 3
    (change,) = await house.moves.changes(TENANT, "user-17")
    assert (change.keep, change.checked, dict(change.zones)) == ("wall_time", 3, {BERLIN: 3})
    page = await house.moves.page(TENANT, "user-17", change.id, Place(), 10)
    assert [move.schedule_id for move in page.moves] == sorted(house.ids)
    third = await house.live_in(TOKYO)
    assert third is not None
    assert (third.change, third.moves) == (None, ())


@pytest.mark.covers("TZ-04")
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_an_undoing_that_breaks_off_is_finished_by_the_next(house: House, at: int) -> None:
    """Wherever it broke: the slots' first or second part, the zone, the end. Nothing is told twice or left out."""
    done = await house.live_in(TOKYO)
    assert done is not None
    assert done.change is not None
    house.store.at = at
    with pytest.raises(Unavailable):
        await house.moves.undo(call(), "user-17", done.change)
    back = await house.moves.undo(call(), "user-17", done.change)
    assert (back.change.restored, back.change.left, back.zone) == (3, 0, BERLIN)
    assert await house.instants() == [IN_BERLIN] * 3
    assert (await house.stage.recipients.zones(TENANT, "user-17"))[-1][0] == BERLIN
    events = [event.body for event in house.store.log]
    assert [sorted(body.restored) for body in events if isinstance(body, z.SlotsRestored)] == [
        sorted(house.ids)[:2],
        sorted(house.ids)[2:],
    ]
    assert sum(isinstance(body, z.ZoneDataUndone) for body in events) == 1
    # What was moved back by the undoing is no move of its own.
    assert len(await house.moves.changes(TENANT, "user-17")) == 1


async def test_who_follows_is_not_known_in_time(house: House) -> None:
    """The zone is stored; the same request finishes the rest."""
    house.away = True
    assert await house.live_in(TOKYO) is None
    assert await house.instants() == [IN_BERLIN] * 3
    house.away = False
    done = await house.live_in(TOKYO)
    assert done is not None
    assert len(done.moves) == 3
