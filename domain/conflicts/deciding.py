"""Which slots meet, and what the policy makes of it. A function of its arguments: the same look, the same decision."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from horae.domain.conflicts.values import NAMED, Against, ConflictPolicy, GivenUp, Settlement
from horae.domain.timing import Next, Slot, format_duration

#: So many slots are given up for one schedule; whoever would need more is rejected.
MOST_GIVEN_UP = 100
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Other:
    """Another schedule with its slots to come, in order of time."""

    schedule: UUID
    priority: int
    #: None: not all of the slots go over the same.
    channel: str | None
    recurring: bool
    slots: Sequence[Next]
    #: Priorities of slots that have one of their own.
    own: Mapping[Slot, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A schedule among others. `slots`: its own to come, not shifted, one at least.

    `channel` None: not known yet, it fits any. `position`: how much of the log was looked at.
    """

    slots: Sequence[Next]
    priority: int
    channel: str | None
    recurring: bool
    others: Sequence[Other]
    position: int
    #: Ours are not all of one content, channel and time.
    differ: bool = False
    #: There are no more of our slots up to here; None: there are none at all.
    complete_until: datetime | None
    #: Nor of the others'.
    others_until: datetime


@dataclass(frozen=True, slots=True)
class _Taken:
    """A slot of another schedule."""

    due_at: datetime
    other: Other
    slot: Slot
    priority: int


def decide(policy: ConflictPolicy, look: Look) -> Settlement:
    """What becomes of the schedule; `rejected` says that it is not to be, and why in `why`."""
    taken = sorted(
        (
            _Taken(at.due_at, other, at.slot, other.own.get(at.slot, other.priority))
            for other in look.others
            for at in other.slots
        ),
        key=lambda each: (each.due_at, each.other.schedule),
    )
    met = _Lane(policy, look, taken)
    if not met.against:
        return met.settled("none")
    match policy.strategy:
        case "allow":
            return met.settled("allowed")
        case "reject":
            return met.settled("rejected")
        case "shift":
            return met.shifted()
        case "merge":
            return met.merged()
        case "highest_priority":
            return met.by_priority()
        case _ as never:
            assert_never(never)


class _Lane:
    """The look with the others' slots in one order."""

    def __init__(self, policy: ConflictPolicy, look: Look, taken: Sequence[_Taken]) -> None:
        self._policy, self._look, self._taken = policy, look, taken
        self._dues = [each.due_at for each in taken]
        self.against = self._against()

    def meeting(self, due_at: datetime) -> Sequence[_Taken]:
        """The others' slots less than the window away from an instant."""
        window = self._policy.window
        return self._taken[
            bisect_right(self._dues, due_at - window) : bisect_right(self._dues, due_at + window - _TICK)
        ]

    def _against(self) -> list[Against]:
        """The first meeting with each other schedule, in order of our slots."""
        found: dict[UUID, Against] = {}
        for at in self._look.slots:
            for each in self.meeting(at.due_at):
                if each.other.schedule not in found:
                    found[each.other.schedule] = Against(
                        schedule=each.other.schedule,
                        slot=at.slot,
                        due_at=at.due_at,
                        other_slot=each.slot,
                        other_due_at=each.due_at,
                        priority=each.priority,
                    )
        return list(found.values())

    def settled(self, action: str, **more: object) -> Settlement:
        """A settlement with what was met."""
        return Settlement.model_validate(
            {
                "strategy": self._policy.strategy,
                "action": action,
                "window": self._policy.window,
                "position": self._look.position,
                "checked_until": self._look.complete_until,
                "others": len(self.against),
                "against": tuple(self.against[:NAMED]),
                **more,
            }
        )

    def shifted(self) -> Settlement:
        """Later by the least that frees every slot: a pair that meets is apart only from the other's slot on."""
        by = timedelta(0)
        last = self._look.slots[-1].due_at + self._policy.window
        while by <= self._policy.max_shift:
            if last + by > self._look.others_until:
                return self.settled("rejected", why="the others have too many slots to look through")
            least = by
            for at in self._look.slots:
                meeting = self.meeting(at.due_at + by)
                if meeting:
                    least = max(least, meeting[-1].due_at + self._policy.window - at.due_at)
            if least == by:
                return self.settled("shifted", shifted_by=by)
            by = least
        limit = format_duration(self._policy.max_shift)
        return self.settled("rejected", why=f"nothing is free within `max_shift`, {limit}")

    def merged(self) -> Settlement:
        """Into the first that goes out over the same channel, slot by slot with it, and no more often."""
        if self._look.differ:
            return self.settled("rejected", why="slots of its own content, channel or time would be lost in another")
        for each in self.against:
            other = next(other for other in self._look.others if other.schedule == each.schedule)
            if other.channel is not None and self._look.channel in (None, other.channel) and self._goes_with(other):
                return self.settled("merged", into=other.schedule)
        why = "it can be merged only with one of the same channel whose slots go with its own one by one"
        return self.settled("rejected", why=why)

    def _goes_with(self, other: Other) -> bool:
        window, ours = self._policy.window, self._look.slots
        if other.recurring != self._look.recurring:
            return False
        theirs = [at for at in other.slots if at.due_at > ours[0].due_at - window]
        pairs = min(len(ours), len(theirs))
        if any(abs(one.due_at - two.due_at) >= window for one, two in zip(ours[:pairs], theirs[:pairs], strict=True)):
            return False
        # What is left over on one side must lie where the other was not looked at.
        until = self._look.complete_until
        return all(at.due_at > self._look.others_until - window for at in ours[pairs:]) and all(
            until is not None and at.due_at > until - window for at in theirs[pairs:]
        )

    def by_priority(self) -> Settlement:
        """Slot by slot: ours gives way to any of at least its priority, else all that it meets give way."""
        skipped: list[Slot] = []
        given_up: dict[tuple[UUID, Slot], GivenUp] = {}
        for at in self._look.slots:
            meeting = self.meeting(at.due_at)
            if any(each.priority >= self._look.priority for each in meeting):
                skipped.append(at.slot)
                continue
            for each in meeting:
                given_up[each.other.schedule, each.slot] = GivenUp(schedule=each.other.schedule, slot=each.slot)
        if len(skipped) == len(self._look.slots):
            return self.settled("given_way")
        if len(skipped) + len(given_up) > MOST_GIVEN_UP:
            return self.settled("rejected", why=f"more than {MOST_GIVEN_UP} slots would have to give way")
        action = "partly_given_way" if skipped else "kept"
        return self.settled(action, skipped=tuple(skipped), given_up=tuple(given_up.values()))
