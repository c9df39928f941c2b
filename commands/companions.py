"""What of a schedule is still under way when its next slot comes due, where the timing asks about that.

Place in the flow: candidates -> *here* -> claim (`occurrences`). A read model says which occurrences were claimed,
their streams in the log whether they have ended. What is suppressed expects the other's stream as it was read: had that
one ended meanwhile, it is looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from horae.commands.candidates import Candidate, Drop, Pass, Verdict, fold
from horae.commands.ports import Companion, Companions, EventStore
from horae.domain import occurrence as o
from horae.domain import timing as t

_UNDER_WAY = (o.Phase.EXECUTING, o.Phase.RETRYING)


async def with_companions(
    store: EventStore, companions: Companions, candidates: Sequence[Candidate | None]
) -> list[Candidate | None]:
    """The candidates, told what is beside them. Nothing is read where no timing asks. Raises `Unavailable`."""
    asked = {each.schedule.id for each in candidates if each is not None and _policy(each) != "allow"}
    if not asked:
        return list(candidates)
    claimed = await companions.claimed(asked)
    open_ones = {one.occurrence for found in claimed.values() for one in found if one.open}
    streams = await store.load_many(open_ones) if open_ones else {}
    under_way = {id_: state for id_ in open_ones if (state := fold(streams.get(id_, []))) and state.phase in _UNDER_WAY}

    def told(candidate: Candidate | None) -> Candidate | None:
        if candidate is None or candidate.schedule.id not in claimed:
            return candidate
        others = [one for one in claimed[candidate.schedule.id] if one.occurrence != candidate.due.occurrence]
        match _policy(candidate):
            case "skip" if candidate.at is not None:
                found = (under_way[one.occurrence] for one in others if one.occurrence in under_way)
                return replace(candidate, beside=next(found, None))
            case "latest" if candidate.at is None and candidate.state is not None:
                return replace(candidate, overtaken_by=_later(candidate, others))
            case _:
                return candidate

    return [told(each) for each in candidates]


def alone(candidate: Candidate) -> Verdict:
    """The rule: nothing is sent beside what is under way, where the timing wants it so."""
    other = candidate.beside
    if other is None or other.slot is None:
        return Pass()
    stands = "is being sent" if other.phase is o.Phase.EXECUTING else "waits for its next attempt"
    return Drop("concurrency", f"occurrence {other.id} of slot {other.slot.local.isoformat()} {stands}")


def _later(candidate: Candidate, others: Sequence[Companion]) -> UUID | None:
    """One of a later slot. What somebody asked to be tried again is tried, whatever has gone out since."""
    state = candidate.state
    if state is None or state.slot is None or state.replayed_at is not None:
        return None
    own = _order(state.slot)
    return next((one.occurrence for one in others if _order(one.slot) > own), None)


def _order(slot: t.Slot) -> tuple[datetime, int]:
    return slot.local, slot.fold


def _policy(candidate: Candidate) -> t.Concurrency:
    """What the timing says for this slot; what was triggered, or moved by itself, is nobody's companion."""
    timing, due, own = candidate.schedule.timing, candidate.due, candidate.schedule.changes.get(candidate.due.slot)
    if not isinstance(timing, t.Every) or due.origin != "slot" or (own is not None and own.at is not None):
        return "allow"
    return t.rule_for(timing, due.slot, candidate.context).concurrency or "allow"
