"""The report of a change of zone data, page by page: no page reads much more of its stream than it shows.

Place in the flow: api -> *here* -> log. The stream holds the slots that were moved, in parts, and behind them, once the
change is undone, which of them are back, as a rule in the same order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from horae.commands.ports import EventReader
from horae.domain import zonechange as z
from horae.domain.envelope import Recorded
from horae.domain.errors import NotFound

#: Parts that are read together.
_PARTS = 4


class Place(NamedTuple):
    """Where a page begins: behind `seen` slots, of which `within` are in its first part, the one of version `part`.

    `back`: version from which the parts about what is back are looked through; 0: not known yet.
    """

    seen: int = 0
    part: int = 1
    within: int = 0
    back: int = 0


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Some of the slots that a change concerned; of these `restored` are back, `left` is why a slot stayed: by
    `Move.key`.

    `after`: where the next page begins, None: this was the last.
    """

    change: z.Change
    moves: tuple[z.Move, ...]
    restored: frozenset[UUID]
    left: Mapping[UUID, str]
    after: Place | None


@dataclass(frozen=True, slots=True)
class Report:
    """A change with every slot that it concerned, in the order in which it was done.

    Once it is undone, or while that is under way: `restored` are back, `left` is why a slot stayed: by `Move.key`.
    """

    change: z.Change
    moves: tuple[z.Move, ...]
    restored: tuple[UUID, ...]
    left: Mapping[UUID, str]


async def changes_of(reader: EventReader, stream: UUID) -> list[z.Change]:
    """Every change that a stream of changes tells of, oldest first."""
    events = await reader.load(stream)
    return z.changes([(event.body, event.meta.recorded_at) for event in events])


async def change_of(reader: EventReader, told_in: UUID, change: UUID) -> z.Change:
    """What is told of one change as a whole, in a stream of changes. Raises `NotFound`."""
    for found in await changes_of(reader, told_in):
        if found.id == change:
            return found
    raise NotFound("There is no such change of zone data.", field="change", value=str(change))


async def whole_of(reader: EventReader, tenant: str, told_in: UUID, change: UUID) -> Report:
    """One of them with all of its slots. Raises `NotFound`."""
    found = await change_of(reader, told_in, change)
    moves: list[z.Move] = []
    restored: list[UUID] = []
    left: dict[UUID, str] = {}
    for part in await reader.load(z.slots_stream(tenant, change)):
        match part.body:
            case z.SlotsMoved() as moved:
                moves += moved.moves
            case z.SlotsRestored() as back:
                restored += back.restored
                left |= back.left
            case other:
                raise ValueError(f"{other.name} is not an event of this stream")
    return Report(found, tuple(moves), tuple(restored), left)


async def page_of(
    reader: EventReader, tenant: str, told_in: UUID, change: UUID, place: Place, limit: int
) -> ReportPage:
    """`limit` slots from a place on, in the order in which they were moved. Raises `NotFound`."""
    told = await change_of(reader, told_in, change)
    stream = z.slots_stream(tenant, change)
    moves, after = await _moves(reader, stream, told, place, limit)
    restored, left, back = await _back(reader, stream, told, {move.key for move in moves}, place.back)
    following = None if after is None else after._replace(back=back)
    return ReportPage(told, tuple(moves), frozenset(restored), left, following)


async def _moves(
    reader: EventReader, stream: UUID, told: z.Change, place: Place, limit: int
) -> tuple[list[z.Move], Place | None]:
    """The slots from a place on, and the place behind them, None: there are no more.

    How many there are in all is known when the change was finished; of one that was broken off the stream is read out.
    """
    total = None if told.checked is None else sum(number for _, number in told.zones)
    moves: list[z.Move] = []
    index = place.within
    async for event in _parts(reader, stream, place.part):
        if isinstance(event.body, z.SlotsMoved):
            if len(moves) == limit:  # of one that was broken off: there is one more
                return moves, Place(place.seen + limit, event.version, 0)
            taken = event.body.moves[index : index + limit - len(moves)]
            moves += taken
            index += len(taken)
            if index < len(event.body.moves):
                return moves, Place(place.seen + len(moves), event.version, index)
            if total is not None and place.seen + len(moves) >= total:
                return moves, None
            if total is not None and len(moves) == limit:
                return moves, Place(place.seen + limit, event.version + 1, 0)
        index = 0
    return moves, None


async def _back(
    reader: EventReader, stream: UUID, told: z.Change, wanted: Collection[UUID], begin: int
) -> tuple[set[UUID], dict[UUID, str], int]:
    """Of some slots: which are back, why the others are not, and from which version on the next page looks."""
    head = await reader.version(stream)
    if not wanted or not isinstance(await _body(reader, stream, head), z.SlotsRestored):
        return set(), {}, begin
    begin = begin or await _first_back(reader, stream, head)
    restored, left, last = await _told_back(reader, stream, wanted, begin)
    if told.undone_at is not None and len(restored) + len(left) < len(wanted):
        # Undone while it was still being made: the one's parts stand among the other's.
        restored, left, _ = await _told_back(reader, stream, wanted, 1)
        last = 1
    return restored, left, last


async def _told_back(
    reader: EventReader, stream: UUID, wanted: Collection[UUID], begin: int
) -> tuple[set[UUID], dict[UUID, str], int]:
    restored: set[UUID] = set()
    left: dict[UUID, str] = {}
    last = begin
    async for event in _parts(reader, stream, begin):
        if isinstance(event.body, z.SlotsRestored):
            restored |= {key for key in event.body.restored if key in wanted}
            left |= {key: why for key, why in event.body.left.items() if key in wanted}
            last = event.version
            if len(restored) + len(left) == len(wanted):
                break
    return restored, left, last


async def _first_back(reader: EventReader, stream: UUID, head: int) -> int:
    """The first part about what is back, found by halves; those about what was moved come before."""
    low, high = 1, head
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if isinstance(await _body(reader, stream, middle), z.SlotsRestored) else (middle + 1, high)
        )
    return low


async def _body(reader: EventReader, stream: UUID, version: int) -> object:
    events = await reader.load(stream, after_version=version - 1, upto_version=version)
    return events[0].body if events else None


async def _parts(reader: EventReader, stream: UUID, begin: int) -> AsyncIterator[Recorded]:
    """The events from a version on, a few at a time."""
    while events := await reader.load(stream, after_version=begin - 1, upto_version=begin + _PARTS - 1):
        for event in events:
            yield event
        begin = events[-1].version + 1
