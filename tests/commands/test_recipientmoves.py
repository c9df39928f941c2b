"""Bringing schedules to another zone of their recipient's: what a break leaves is finished under the same name."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from horae.commands import recipientmoves
from horae.commands.changes import Reach
from horae.commands.ports import NOTHING_EXPECTED, Lane
from horae.commands.recipientmoves import Moved, RecipientMoves
from horae.commands.zonereports import Place
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.draft import Patch
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
    """Refuses the append number `at`; before any of the lane `bulk` `first` happens, once."""

    at = 0
    first: Coroutine[Any, Any, object] | None = None

    async def append(
        self, events: Sequence[NewEvent], expects: Mapping[UUID, int] = NOTHING_EXPECTED, *, lane: Lane = "fast"
    ) -> int:
        if lane == "bulk" and self.first is not None:
            first, self.first = self.first, None
            await first
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


# --- slots that were moved by themselves ----------------------------------------------------------------------------

DAILY = t.Every(cron="0 9 * * *", zone="UTC")


@pytest.fixture
async def alone(house: House) -> list[t.Next]:
    """Instead of the one-offs a series that nobody follows, with three slots that were moved to that evening."""
    made = await house.stage.schedules.create(call(), draft(DAILY))
    house.ids = [made.id]
    context = t.Context(now=house.stage.clock.now(), schedule_id=made.id)
    house.stage.model.pointers[made.id] = made.state.next
    slots = t.preview(made.state.timing, 4, context).slots[1:]
    for at in slots:
        reach = Reach(scope="this", slot=at.slot)
        await house.stage.schedules.change(call(), made.id, Patch(timing=EVENING), reach=reach)
    return slots


async def moved(house: House) -> list[datetime]:
    (id_,) = house.ids
    return [at.due_at for at in (await house.stage.schedules.get(TENANT, id_)).state.moved.values()]


@pytest.mark.covers("TZ-04", "LIF-18")
async def test_slots_of_one_schedule_move_and_come_back_together(house: House, alone: list[t.Next]) -> None:
    """In one append, though they are more than a part; each is told for itself, and put back for itself."""
    assert await moved(house) == [IN_BERLIN] * 3
    done = await house.live_in(TOKYO)
    assert done is not None
    assert done.change is not None
    assert ([move.slot for move in done.moves], await moved(house)) == ([at.slot for at in alone], [IN_TOKYO] * 3)
    assert sum(isinstance(event.body, z.SlotsMoved) for event in house.store.log) == 1
    # One of them is given another time by hand, and is not put back.
    reach = Reach(scope="this", slot=alone[1].slot)
    at_noon = t.At(local=datetime(2026, 12, 24, 12), zone="recipient")  # noqa: DTZ001 - local times are naive
    await house.stage.schedules.change(call(), house.ids[0], Patch(timing=at_noon), reach=reach)
    back = await house.moves.undo(call(), "user-17", done.change)
    assert (back.change.restored, back.change.left) == (2, 1)
    page = await house.moves.page(TENANT, "user-17", done.change, Place(), 10)
    assert page.restored == {done.moves[0].key, done.moves[2].key}
    assert page.left == {done.moves[1].key: "it has gone out or was changed since"}
    # What stayed is planned by the zone that they have now.
    at_eleven = datetime(2026, 12, 24, 11, tzinfo=UTC)
    assert await moved(house) == [IN_BERLIN, at_eleven, IN_BERLIN]
    assert back.moved is not None
    assert [move.slot for move in back.moved.moves] == [alone[1].slot]


@pytest.mark.parametrize("back", [False, True], ids=["moving", "undoing"])
async def test_one_that_is_claimed_meanwhile_stays(house: House, alone: list[t.Next], back: bool) -> None:
    """The append expects that nobody has claimed it; decided anew, the others move."""
    done = await house.live_in(TOKYO) if back else None
    state = (await house.stage.schedules.get(TENANT, house.ids[0])).state
    at = state.changes[alone[0].slot].at
    assert at is not None
    house.store.first = house.stage.claim(state.id, at, None, schedule_version=state.version)
    if done is None:
        done = await house.live_in(TOKYO)
        assert done is not None
        assert ([move.slot for move in done.moves], await moved(house)) == (
            [at.slot for at in alone[1:]],
            [IN_BERLIN, IN_TOKYO, IN_TOKYO],
        )
        return
    assert done.change is not None
    undone = await house.moves.undo(call(), "user-17", done.change)
    assert (undone.change.restored, undone.change.left) == (2, 1)
    assert await moved(house) == [IN_TOKYO, IN_BERLIN, IN_BERLIN]
