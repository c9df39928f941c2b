"""Another zone of a recipient's: which planned slots it moves, moving them with a report, and taking that back.

Place in the flow: api -> *here* -> `zonemoving`, as for newer zone data. A change is named after the version of the
recipient that set the zone, so that what was broken off is finished under the same name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from horae.commands.context import Call
from horae.commands.ports import Clock, EventStore, Ids, Refs, SeriesPointers
from horae.commands.recipients import Recipients, ZoneSet, zones_of
from horae.commands.zonelooking import UNASKED, Looking, Unasked
from horae.commands.zonemoving import Moving, parts_of, schedules_of
from horae.commands.zonereports import Place, ReportPage, change_of, changes_of, page_of, whole_of
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.errors import Busy, Conflict, HoraeError, Unavailable
from horae.domain.ids import recipient_stream, shard_of
from horae.domain.recipient import RecipientProfile
from horae.domain.timing.opendays import USUAL, Standard

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: Slots that move together, in one append with their part of the report; schedules that are looked at together.
PART = 100
_NO_CHANGE = UUID(int=0)


class Followers(Protocol):
    """Who follows a recipient, as a read model knows them."""

    async def following(self, tenant: str, recipient_ref: str, position: int, shard: int) -> list[UUID]:
        """The recipient's schedules that are active and follow their zone, or of which a slot waits that was moved by
        itself and may; everything up to `position` applied.

        Raises `Unavailable` if the read model does not come so far in time.
        """
        ...


@dataclass(frozen=True, slots=True)
class Moved:
    """What a zone did to the schedules that follow it; `change` None: nothing moved, and no report is kept."""

    change: UUID | None
    checked: int
    moves: tuple[z.Move, ...]
    #: Those that could not be looked at.
    failed: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A change that was undone; `moved`: what the zone of before did to schedules that were not as the change left
    them, None: the read models could not tell in time which these are."""

    change: z.Change
    zone: str | None
    moved: Moved | None


class RecipientMoves:
    """Moves what follows a recipient, and takes that back."""

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        ids: Ids,
        refs: Refs,
        pointers: SeriesPointers,
        followers: Followers,
        recipients: Recipients,
        default_zone: str = "UTC",
        standard: Standard = USUAL,
    ) -> None:
        self._store, self._refs, self._followers, self._recipients = store, refs, followers, recipients
        self._looking = Looking(store, clock, pointers, default_zone, standard)
        self._moving = Moving(store, clock, ids, self._looking)

    async def would_move(self, tenant: str, profile: RecipientProfile) -> Moved:
        """What setting this profile would move; nothing is stored. Raises `Invalid` as setting it would."""
        await self._recipients.looked_over(tenant, profile)
        following = await self._following(tenant, profile.id, await self._store.head())
        moves, failed = await self._survey(tenant, following, profile.zone)
        return Moved(None, len(following), tuple(moves), tuple(failed))

    async def follow(
        self, call: Call, recipient: str, zones: Sequence[ZoneSet], position: int, keep: s.Keep
    ) -> Moved | None:
        """Bring the schedules that follow the recipient to the zone that they have now, the last of `zones`.

        None: a read got no answer in time, or others kept writing where the change is begun, and the recipient is
        stored all the same; the same again finishes it, and keeps what the change was begun with.
        """
        try:
            return await self._follow(call, recipient, zones, position, keep)
        except (Busy, Unavailable, Conflict):
            return None

    async def _follow(self, call: Call, recipient: str, zones: Sequence[ZoneSet], position: int, keep: s.Keep) -> Moved:
        following = await self._following(call.tenant, recipient, position)
        looked, failed = await self._survey(call.tenant, following)
        if not looked:
            return Moved(None, len(following), (), tuple(failed))
        current = zones[-1] if zones else ZoneSet(0, None, None)
        change = z.move_id(call.tenant, recipient, current.version)
        keep = await self._begun(call, recipient, change, current, keep)

        async def move(schedules: Sequence[UUID]) -> list[z.Move]:
            return await self._moving.move(call, change, keep, schedules, "recipient")

        moves, unmoved = await _piecewise(move, [schedules_of(part) for part in parts_of(looked, PART)])
        all_of_it = await whole_of(
            self._store.scoped(call.tenant), call.tenant, z.moves_stream(call.tenant, recipient), change
        )
        by_zone = dict(sorted(Counter(each.zone for each in all_of_it.moves).items()))
        reported = z.ZoneDataReported(change=change, checked=len(following), zones=by_zone)
        await self._tell(call, recipient, reported)
        return Moved(change, len(following), tuple(moves), (*failed, *unmoved))

    async def undo(self, call: Call, recipient: str, change: UUID) -> TakenBack:
        """Give the recipient the zone of before, and put back what the change moved and nobody has moved since.

        The rest is planned by that zone, as after any other change of it. Who asks again gets the same answer, or
        finishes what was broken off. Raises `NotFound`, and `Conflict` if their zone has become another since.
        """
        tenant, reader = call.tenant, self._store.scoped(call.tenant)
        stream = z.moves_stream(tenant, recipient)
        found = await whole_of(reader, tenant, stream, change)
        moved = found.change.moved
        assert moved is not None, "a recipient's changes are moves of theirs"
        if found.change.undone_at is not None:
            return TakenBack(found.change, moved.before, None)
        _check_newest(zones_of(await reader.load(recipient_stream(tenant, recipient))), moved)
        restored, left = await self._moving.restore_rest(call, found, PART)
        back = await self._recipients.take_back(call, recipient, moved.recipient_version)
        rest = await self.follow(call, recipient, back.zones, back.answer.position, "wall_time")
        await self._tell(call, recipient, z.ZoneDataUndone(change=change, restored=len(restored), left=len(left)))
        return TakenBack(await change_of(reader, stream, change), moved.before, rest)

    async def changes(self, tenant: str, recipient: str) -> list[z.Change]:
        """Every change of their zone that moved anything, oldest first."""
        return await changes_of(self._store.scoped(tenant), z.moves_stream(tenant, recipient))

    async def page(self, tenant: str, recipient: str, change: UUID, place: Place, limit: int) -> ReportPage:
        """`limit` slots of one of them, from a place on. Raises `NotFound`."""
        stream = z.moves_stream(tenant, recipient)
        return await page_of(self._store.scoped(tenant), tenant, stream, change, place, limit)

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _following(self, tenant: str, recipient: str, position: int) -> list[UUID]:
        reference, shard = self._refs.recipient_ref(tenant, recipient), shard_of(tenant, recipient)
        return await self._followers.following(tenant, reference, position, shard)

    async def _survey(
        self, tenant: str, following: Sequence[UUID], zone: str | Unasked | None = UNASKED
    ) -> tuple[list[z.Move], list[UUID]]:
        """What moves in the zone that they have, or would in another; and what could not be looked at."""

        async def look(schedules: Sequence[UUID]) -> list[z.Move]:
            standing, _ = await self._looking.fenced(tenant, schedules, zone)
            looked = await self._looking.look(tenant, _NO_CHANGE, "wall_time", standing, "recipient")
            return [move for each in looked for move in each.moves]

        return await _piecewise(look, [following[at : at + PART] for at in range(0, len(following), PART)])

    async def _begun(self, call: Call, recipient: str, change: UUID, zone: ZoneSet, keep: s.Keep) -> s.Keep:
        """What the change keeps; it begins here unless it has begun before."""
        for known in await self.changes(call.tenant, recipient):
            if known.id == change:
                return known.keep
        event = z.RecipientMoved(
            change=change,
            recipient_version=zone.version,
            before=zone.before,
            zone=zone.zone,
            version=t.tzdata_version(),
            keep=keep,
        )
        await self._tell(call, recipient, event)
        return keep

    async def _tell(self, call: Call, recipient: str, body: z.ZoneDataEvent) -> None:
        stream = z.moves_stream(call.tenant, recipient)
        await self._moving.tell(call, stream, body, shard_of(call.tenant, recipient))


def _check_newest(zones: Sequence[ZoneSet], moved: z.RecipientMoved) -> None:
    """Refuse to undo a change that another has followed, but for the undoing's own. Raises `Conflict`."""
    later = [zone for zone in zones if zone.version > moved.recipient_version]
    if later and not (len(later) == 1 and later[0].zone == moved.before):
        raise Conflict(
            "The recipient's zone has become another since.",
            field="change",
            value=str(moved.change),
            hint="Undo the newest change first, or set the zone that is wanted.",
        )


async def _piecewise(
    work: Callable[[Sequence[UUID]], Awaitable[list[T]]], parts: Sequence[Sequence[UUID]]
) -> tuple[list[T], list[UUID]]:
    """Do it for the schedules of each part; where that fails, one by one, so that one keeps no other from its turn."""
    done: list[T] = []
    failed: list[UUID] = []
    for chunk in parts:
        try:
            done += await work(chunk)
        except (Unavailable, Busy):
            failed += chunk
        except Exception as error:
            if len(chunk) == 1:
                failed += chunk
                if not isinstance(error, HoraeError):
                    log.error("schedule_not_replanned", schedule=str(chunk[0]), cause="recipient", exc_info=error)
                continue
            more, not_done = await _piecewise(work, [[one] for one in chunk])
            done += more
            failed += not_done
    return done, failed
