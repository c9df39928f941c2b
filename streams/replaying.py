"""Applies parked events after all, once what was wrong with them is mended.

Place in the flow: an operator's command, in any process -> *replaying* -> projector. Feeds go on meanwhile; they hear
of it by their connections and load again what they know, so that what has become due is dispatched.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import structlog

from horae.domain.envelope import Recorded
from horae.domain.errors import Conflict, NotFound
from horae.projections.parked import ParkedEvent, parked_of
from horae.projections.projector import PositionMoved, Projector
from horae.projections.search import positions
from horae.streams.parking import BAD_DATA, describe

if TYPE_CHECKING:
    from horae.projections.schema import Connection

log = structlog.get_logger(__name__)


class ReplayedLog(Protocol):
    """What a replay needs of the event store."""

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        """The events of streams."""
        ...


async def replay_parked(store: ReplayedLog, conn: Connection, family: UUID) -> int:
    """Apply a family's parked events, all or nothing; gives how many. `conn` belongs to the owner's role.

    Raises `NotFound` when nothing of it is parked, `Conflict` when they still cannot be applied: then it stays parked.
    """
    while True:
        projector = Projector()
        await projector.load(conn)
        # Behind the look at the positions: whoever parks another one moves them.
        parked = await parked_of(conn, family)
        if not parked:
            raise NotFound(
                f"nothing of {family} is parked",
                field="family",
                value=str(family),
                hint="`horae parked` lists what is.",
            )
        try:
            events = await _load(store, parked)
            await projector.replay(conn, family, events)
        except PositionMoved:
            continue
        except BAD_DATA as error:
            raise Conflict(
                f"{family} stays parked: what stands still from position {parked[0].position} on still cannot be "
                f"applied ({describe(error)}).",
                field="family",
                value=str(family),
                hint="Mend the cause, which is a newer version of Horae in most cases, then replay it again.",
            ) from error
        # Search passed them by: no record will tell of these rows.
        before: dict[int, int] = {}
        for event in reversed(events):
            before[event.meta.shard] = event.position - 1
        await positions.rewind(conn, before)
        log.info("parked_replayed", family=str(family), events=len(events))
        return len(events)


async def _load(store: ReplayedLog, parked: Sequence[ParkedEvent]) -> list[Recorded]:
    wanted = {event.position for event in parked}
    streams = await store.load_many({event.stream for event in parked})
    found = [event for events in streams.values() for event in events if event.position in wanted]
    return sorted(found, key=lambda event: event.position)
