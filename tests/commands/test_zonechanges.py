"""Bringing plans to newer zone data: what is stored, together with what, and what a break or a race leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from horae.commands import zonechanges
from horae.commands.ports import NOTHING_EXPECTED, Lane, StreamConflict
from horae.commands.zonechanges import ZoneChanges
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.envelope import NewEvent
from horae.domain.errors import Conflict, NotFound, Unavailable
from horae.domain.timing import zonedata
from horae.domain.timing.opendays import Hours, OnCalendar, Standard
from horae.infra.zonedata import open_release
from tests.commands.stage import OTHER, TENANT, Stage, call, draft
from tests.fakes.event_store import InMemoryEventStore
from tests.fixtures.zone_releases import ZoneReleases

NOW = datetime(2026, 8, 1, tzinfo=UTC)
CHANGE = UUID(int=7)
VANCOUVER = "America/Vancouver"
WINTER = t.At(local=datetime(2026, 11, 20, 9), zone=VANCOUVER)  # noqa: DTZ001 - local times are naive


@pytest.fixture(autouse=True)
def planned_by_the_old_release(zone_releases: ZoneReleases, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins by 2025c; `to_the_new` goes over to 2026c. Parts of two show that there are several."""
    monkeypatch.setattr(zonechanges, "PART", 2)
    monkeypatch.setattr(zonechanges, "PAGE", 3)
    with zonedata.using(open_release(zone_releases.folder("2025c"))):
        yield


class BreakingStore(InMemoryEventStore):
    """Refuses the append number `at`, for `reason`."""

    at, reason = 0, Exception()

    async def append(
        self, events: Sequence[NewEvent], expects: Mapping[UUID, int] = NOTHING_EXPECTED, *, lane: Lane = "fast"
    ) -> int:
        self.at -= 1
        if self.at == 0:
            raise self.reason
        return await super().append(events, expects, lane=lane)


@dataclass
class House:
    """A stage whose read model keeps up by itself."""

    stage: Stage
    store: BreakingStore
    ids: list[UUID]

    @property
    def zones(self) -> ZoneChanges:
        return ZoneChanges(self.store, self.stage.clock, self.stage.ids, self.stage.model, self)

    async def planned_by_others(
        self, tenant: str, version: str, after: UUID | None, limit: int
    ) -> list[tuple[UUID, t.Next | None, int]]:
        found: list[tuple[UUID, t.Next | None, int]] = []
        for id_ in sorted(self.ids):
            state = (await self.stage.schedules.get(TENANT, id_)).state
            at = state.next if state.status is s.Status.ACTIVE else None
            at = at if at is not None and at.plan.tzdata != version else None
            alone = sum(moved.plan.tzdata != version for moved in state.moved.values())
            if tenant == TENANT and (at is not None or alone) and (after is None or id_ > after):
                found.append((id_, at, alone))
        return found[:limit]

    async def instants(self) -> list[datetime | None]:
        states = [(await self.stage.schedules.get(TENANT, id_)).state for id_ in self.ids]
        return [None if state.next is None else state.next.due_at for state in states]

    def stored(self) -> list[z.ZoneDataEvent]:
        return [event.body for event in self.store.log if isinstance(event.body, z.ZoneDataEvent)]


@pytest.fixture
async def house(zone_releases: ZoneReleases) -> House:
    """Five one-offs of Vancouver's winter, and one of its summer, planned by 2025c, and the newer release in use."""
    store = BreakingStore()
    stage = Stage(store=store)
    stage.clock.instant = NOW
    made = [(await stage.schedules.create(call(), draft(WINTER))).id for _ in range(5)]
    summer = t.At(local=datetime(2026, 9, 1, 9), zone=VANCOUVER)  # noqa: DTZ001 - local times are naive
    made.append((await stage.schedules.create(call(), draft(summer))).id)
    zonedata.use(open_release(zone_releases.folder("2026c")))
    return House(stage, store, made)


OLD, NEW = datetime(2026, 11, 20, 17, tzinfo=UTC), datetime(2026, 11, 20, 16, tzinfo=UTC)
SUMMER = datetime(2026, 9, 1, 16, tzinfo=UTC)


@pytest.mark.covers("TZ-01")
async def test_what_moves_is_stored_with_its_part_of_the_report(house: House) -> None:
    """Each append holds schedules' events and the part that names them; the reports say how many were looked at."""
    surveyed = await house.zones.survey(TENANT)
    assert (surveyed.checked, len(surveyed.moves), house.stored()) == (6, 5, [])
    done = await house.zones.apply(call(), CHANGE, "wall_time")
    assert await house.instants() == [NEW] * 5 + [SUMMER]
    adopted, *parts, reported = house.stored()
    assert adopted == z.ZoneDataAdopted(change=CHANGE, version="2026c", keep="wall_time")
    assert reported == z.ZoneDataReported(change=CHANGE, checked=6, zones={VANCOUVER: 5})
    assert [len(part.moves) for part in parts if isinstance(part, z.SlotsMoved)] == [2, 2, 1]
    assert (await house.zones.report(TENANT, CHANGE)).moves == done.moves
    assert {(move.before, move.after, move.tzdata) for move in done.moves} == {(OLD, NEW, "2025c")}
    assert (await house.zones.apply(call(), UUID(int=8), "wall_time")).moves == ()
    assert len(house.stored()) == 5
    assert await house.zones.changes(OTHER) == []


async def test_a_race_is_decided_anew(house: House) -> None:
    """A schedule that changes between reading and appending is read again, with the others of its part."""
    house.store.at, house.store.reason = 2, StreamConflict(house.ids[0], 1, 2)
    await house.zones.apply(call(), CHANGE, "wall_time")
    assert await house.instants() == [NEW] * 5 + [SUMMER]
    assert sum(len(part.moves) for part in house.stored() if isinstance(part, z.SlotsMoved)) == 5


async def test_what_breaks_off_is_finished_by_the_next_one_and_undone_by_parts(house: House) -> None:
    """The report never says more than was done: the first change moved four, the second the fifth."""
    house.store.at, house.store.reason = 4, Unavailable("the log is away")
    with pytest.raises(Unavailable):
        await house.zones.apply(call(), CHANGE, "wall_time")
    assert await house.instants() == [NEW] * 4 + [OLD, SUMMER]
    second = UUID(int=8)
    await house.zones.apply(call(), second, "wall_time")
    assert await house.instants() == [NEW] * 5 + [SUMMER]
    first, last = await house.zones.changes(TENANT)
    assert (first.checked, last.checked, len((await house.zones.report(TENANT, CHANGE)).moves)) == (None, 2, 4)
    # Undoing breaks off, too, and goes on where it was.
    house.store.at, house.store.reason = 2, Unavailable("the log is away")
    with pytest.raises(Unavailable):
        await house.zones.undo(call(), CHANGE)
    assert await house.instants() == [OLD, OLD, NEW, NEW, NEW, SUMMER]
    undone = await house.zones.undo(call(), CHANGE)
    assert (set(undone.restored), undone.left) == (set(house.ids[:4]), {})
    assert await house.instants() == [OLD] * 4 + [NEW, SUMMER]
    with pytest.raises(Conflict):
        await house.zones.undo(call(), CHANGE)
    with pytest.raises(NotFound):
        await house.zones.undo(call(tenant=OTHER), second)


async def test_what_was_changed_since_stays_and_is_named(house: House) -> None:
    """A paused one, and one that went out; the others go back."""
    await house.zones.apply(call(), CHANGE, "wall_time")
    paused, sent = house.ids[0], house.ids[1]
    await house.stage.schedules.pause(call(), paused)
    at = (await house.stage.schedules.get(TENANT, sent)).state.next
    assert at is not None
    await house.stage.claim(sent, at, None, schedule_version=2)
    undone = await house.zones.undo(call(), CHANGE)
    assert undone.left == {paused: "it is paused", sent: "it has gone out or was changed since"}
    assert await house.instants() == [NEW, NEW, OLD, OLD, OLD, SUMMER]
    (change,) = await house.zones.changes(TENANT)
    assert (change.restored, change.left) == (3, 2)


@pytest.mark.covers("TZ-01")
async def test_what_is_paused_is_planned_by_the_data_of_the_day_it_is_resumed(house: House) -> None:
    """Nothing of it is planned, so nothing moves; then it goes out by the clock of then."""
    paused = house.ids[0]
    await house.stage.schedules.pause(call(), paused)
    done = await house.zones.apply(call(), CHANGE, "wall_time")
    assert paused not in {move.schedule_id for move in done.moves}
    resumed = (await house.stage.schedules.resume(call(), paused)).state.next
    assert resumed is not None
    assert (resumed.due_at, resumed.plan.tzdata) == (NEW, "2026c")


async def test_instants_can_be_kept(house: House) -> None:
    """The plans say by which release they are now; the report says where they would be."""
    kept = await house.zones.apply(call(), CHANGE, "instant")
    assert {(move.before, move.after) for move in kept.moves} == {(OLD, NEW)}
    assert await house.instants() == [OLD] * 5 + [SUMMER]
    assert (await house.zones.survey(TENANT)).moves == ()


async def test_other_hours_of_business_are_no_change_of_zone_data(zone_releases: ZoneReleases) -> None:
    """Looked at by the installation's own hours: what they moved on stays there, and moves by the zone alone."""
    late = Standard((Hours(start="10:00", end="18:00"),), frozenset())
    stage = Stage(standard=late)
    stage.clock.instant = NOW
    kept = OnCalendar(business_hours_only=True)
    rule = t.Every(cron="0 9 20 11 *", zone=VANCOUVER, calendar=kept)
    zonedata.use(open_release(zone_releases.folder("2025c")))
    made = (await stage.schedules.create(call(), draft(rule))).id
    zonedata.use(open_release(zone_releases.folder("2026c")))
    house = House(stage, BreakingStore(), [made])
    zones = ZoneChanges(stage.store, stage.clock, stage.ids, stage.model, house, standard=late)
    (move,) = (await zones.survey(TENANT)).moves
    ten = datetime(2026, 11, 20, 18, tzinfo=UTC)
    assert (move.before, move.after) == (ten, ten - timedelta(hours=1))
