"""What several deciders of a schedule ask first: is it open, which slot is meant, does that lie behind?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from horae.domain import timing as t
from horae.domain.errors import AlreadyClaimed, Conflict, Invalid, VersionMismatch
from horae.domain.ids import occurrence_id
from horae.domain.schedule.commands import Current
from horae.domain.schedule.events import Status
from horae.domain.schedule.state import Schedule


def check_version(if_match: int | None, state: Schedule) -> None:
    """Raises `VersionMismatch`."""
    if if_match is not None and if_match != state.version:
        raise VersionMismatch(
            f"The schedule is at version {state.version}, not {if_match}.",
            field="If-Match",
            value=if_match,
            hint="Read it again and decide anew.",
            version=state.version,
        )


def check_open(state: Schedule, verb: str) -> None:
    """Refuse what is cancelled. Raises `Conflict`."""
    if state.status is Status.CANCELLED:
        raise Conflict(
            f"The schedule is cancelled, so it cannot be {verb}.", field="status", value="cancelled", hint="Clone it."
        )


def check_of_all(changes: Mapping[str, Any], scope: str) -> None:
    """Refuse to change for some slots what is one for the whole schedule. Raises `Invalid`."""
    if "conflicts" in changes:
        raise Invalid(
            "What becomes of conflicts is asked for a schedule as a whole.",
            field="scope",
            value=scope,
            hint="Change it by itself: leave `scope` and `slot` out.",
        )


def one_off_slot(state: Schedule, context: t.Context) -> t.Next:
    """The one slot of a schedule that does not recur, skipped, fired or not."""
    slot = t.first(state.timing, replace(context, exceptions=frozenset()))
    if slot is None:
        raise ValueError(f"the one-off {state.id} has no slot")
    return slot


def slot_of_series(slot: t.Slot, state: Schedule, context: t.Context) -> t.Next:
    """The slot as the series has it, skipped or not. Raises `Invalid` where it has none."""
    found = t.find(state.timing, slot, context)
    if found is None:
        raise Invalid(
            "The schedule has no such slot.",
            field="slot",
            value=slot.local.isoformat(),
            hint="Ask for its preview: each slot is listed there with its fold.",
        )
    return found


def lies_behind(planned: t.Next, current: Current, state: Schedule, now: datetime) -> bool:
    """Has the series gone on past this slot, or has its instant come, so that it may be claimed at any moment?"""
    if nominal(planned) <= now:
        return True
    return state.status is Status.ACTIVE and (current.next is None or is_before(planned, current.next))


def is_before(one: t.Next, other: t.Next) -> bool:
    """In the series' own order: jitter may turn the order of the due instants round."""
    return nominal(one) < nominal(other)


def nominal(slot: t.Next) -> datetime:
    """The slot's instant without its jitter."""
    return slot.due_at - timedelta(seconds=slot.plan.jitter_s)


def passed(slot: t.Slot, state: Schedule, verb: str) -> AlreadyClaimed:
    """The refusal of what comes too late for a slot."""
    return AlreadyClaimed(
        "The slot is due or lies behind the series: it has fired, is on its way, or was passed over.",
        field="slot",
        value=slot.local.isoformat(),
        hint=f"Only slots to come can be {verb}.",
        already_claimed=[str(occurrence_id(state.id, slot.local, slot.fold))],
    )
