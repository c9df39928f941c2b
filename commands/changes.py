"""Changing schedules: all of it, a series from a slot on, or one slot by itself; and what that would come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from horae.commands import tracing
from horae.commands.asking import Asking, Decision
from horae.commands.conflicts import Settled
from horae.commands.context import Answer, Call
from horae.commands.ports import NOTHING_EXPECTED
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.draft import Patch, check_fields
from horae.domain.envelope import NewEvent
from horae.domain.errors import Invalid
from horae.domain.ids import occurrence_id

Scope = Literal["all", "following", "this"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a change reaches: all that is to come, what comes from `slot` on, or that slot alone.

    `exceptions`: what becomes of skipped slots and of those that were changed by themselves; None: they stay while the
    rule does.
    """

    scope: Scope = "all"
    slot: t.Slot | None = None
    exceptions: Literal["keep", "drop"] | None = None

    def check(self) -> None:
        """Refuse what contradicts itself. Raises `Invalid`."""
        if (self.scope == "all") != (self.slot is None):
            raise Invalid(
                "Which slot is meant is not told." if self.slot is None else "A slot is named, and all are to change.",
                field="slot" if self.slot is None else "scope",
                value=None if self.slot is None else "all",
                hint="scope=this and scope=following name a slot, as the preview lists it; scope=all names none.",
            )
        if self.scope == "this" and self.exceptions is not None:
            raise Invalid(
                "One occurrence has no exceptions.",
                field="exceptions",
                value=self.exceptions,
                hint="Leave `exceptions` out.",
            )


ALL = Reach()


class Changes(Asking):
    """Every method that changes something answers when its events are durable."""

    @tracing.operation("schedule.change", tracing.answer_facts)
    async def change(
        self,
        call: Call,
        schedule: UUID,
        patch: Patch,
        *,
        if_match: int | None = None,
        dry_run: bool = False,
        reach: Reach = ALL,
    ) -> Answer[s.Schedule]:
        """Change the given fields. With `dry_run` nothing is stored: the answer is what it would be.

        Raises `NotFound`, `Invalid`, `VersionMismatch`, `AlreadyClaimed`, `Conflict`, `ScheduleConflict`.
        """
        beside: list[NewEvent] = []
        changes = patch.changes()
        check_fields(changes)
        reach.check()
        if patch.channel is not None:
            self._offered.check(patch.channel)

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            beside.clear()
            if reach.scope == "this" and reach.slot is not None:
                current, expects = await self._stand(call, state, context)
                begun, own = await self._begun(call, schedule, reach.slot)
                if patch.timing is not None:
                    context, ground = await self._ground_of_slot(call, state, context, patch.timing)
                    own = {**own, **ground}
                one = s.ChangeSlot(
                    slot=reach.slot,
                    changes=changes,
                    context=context,
                    current=current,
                    begun=begun,
                    if_match=if_match,
                    request_digest=call.digest,
                )
                among = await self._one_among_others(call, state, one) if patch.timing is not None else None
                if among is not None:
                    beside.extend(among.events)
                    one = replace(one, settled=among.settlement)
                return one, {**expects, **own, **(among.expects if among is not None else {})}
            decision, settled = await self._change_of(call, state, context, patch, changes, reach, if_match)
            beside.extend(settled.events if settled is not None else ())
            return decision

        answer = await self._ask(call, "change", schedule, decider, dry_run=dry_run, beside=beside)
        return answer if dry_run else await self._with_claimed(call, answer)

    async def _ground_of_slot(
        self, call: Call, state: s.Schedule, context: t.Context, timing: t.Timing
    ) -> tuple[t.Context, Mapping[UUID, int]]:
        """What a slot is moved on by itself: the series' ground, and what its own timing asks of the recipient."""
        found = await self._ground(call.tenant, state.id, state.personal, timing)
        own = found.context
        zone, locale = own.recipient_zone or context.recipient_zone, own.recipient_locale or context.recipient_locale
        return replace(context, recipient_zone=zone, recipient_locale=locale, choice=own.choice), found.expects

    async def _change_of(
        self,
        call: Call,
        state: s.Schedule,
        context: t.Context,
        patch: Patch,
        changes: Mapping[str, Any],
        reach: Reach,
        if_match: int | None,
    ) -> tuple[Decision, Settled | None]:
        since = reach.slot
        current, expects, then, taken, ground = s.NOT_READ, NOTHING_EXPECTED, context, False, NOTHING_EXPECTED
        if patch.timing is not None:
            found = await self._ground(call.tenant, state.id, state.personal, patch.timing)
            then, ground = replace(found.context, exceptions=context.exceptions), found.expects
            if since is not None:
                # A part of a series that has no calendar leaves the others theirs.
                calendar, zone = then.calendar or context.calendar, then.recipient_zone or context.recipient_zone
                then = replace(then, calendar=calendar, recipient_zone=zone)
        moves = patch.timing is not None and s.moves(patch.timing, state, then, since)
        asks = "conflicts" in changes and changes["conflicts"] != state.definition.conflicts
        if moves or asks or not state.recurring or since is not None or reach.exceptions == "drop":
            current, expects = await self._stand(call, state, context)
        if moves and patch.timing is not None and not t.is_recurring(patch.timing) and state.recurring:
            # The slot that it comes to may be one that the series has sent: it would never be sent again.
            only = t.first(t.normalise(patch.timing, then), replace(then, exceptions=frozenset()))
            if only is not None:
                taken, own = await self._begun(call, state.id, only.slot)
                expects = {**expects, **own}
        command = s.Change(
            changes=changes,
            context=then,
            current=current,
            since=since,
            exceptions=reach.exceptions,
            taken=taken,
            if_match=if_match,
            request_digest=call.digest,
        )
        settled = await self._among_others(call, state, command) if moves or asks else None
        if settled is not None:
            command = replace(command, settled=settled.settlement)
        # A change of the content is fenced by the schedule's own head, which every claim expects.
        if not (moves or settled is not None or since is not None or reach.exceptions == "drop"):
            return (command, NOTHING_EXPECTED), None
        return (command, {**expects, **ground, **(settled.expects if settled is not None else {})}), settled

    async def _among_others(self, call: Call, state: s.Schedule, command: s.Change) -> Settled | None:
        """What was decided among other schedules for the schedule as the change would leave it; None: nothing."""
        if command.changes.get("conflicts", state.definition.conflicts) is None:
            return None
        after, since_at = state, None
        for event in s.decide(command, state):
            after = s.evolve(after, state.id, event)
            if isinstance(event, s.ScheduleChanged) and event.since == command.since:
                since_at = event.since_at
        return await self.conflicts.of_change(call, after, command.context, command.since, since_at)

    async def _one_among_others(self, call: Call, state: s.Schedule, command: s.ChangeSlot) -> Settled | None:
        """What was decided among other schedules for a slot that is moved by itself; None: nothing."""
        if state.definition.conflicts is None:
            return None
        for event in s.decide(command, state):
            if isinstance(event, s.SlotChanged) and event.at is not None:
                after = s.evolve(state, state.id, event)
                return await self.conflicts.of_slot(call, after, command.context, event.at)
        return None

    async def compare(
        self, call: Call, schedule: UUID, patch: Patch, *, reach: Reach = ALL, if_match: int | None = None, count: int
    ) -> tuple[Answer[s.Schedule], Answer[s.Schedule], s.Difference]:
        """What a change would come to: the schedule before and after, and the slots that would move, fall or be added.

        Nothing is stored. At most `count` slots of either are looked at. Raises as `change` does.
        """
        stored = await self.get(call.tenant, schedule)
        before = await self._with_next(call, stored)
        after = await self.change(call, schedule, patch, if_match=if_match, dry_run=True, reach=reach)
        if after.state.next == stored.state.next:
            # The series stands where it stood: firing has moved it on there.
            after = replace(after, state=replace(after.state, next=before.state.next))
        contexts = []
        for state in (before.state, after.state):
            ground = await self._ground(call.tenant, schedule, state.personal, state.timing)
            contexts.append(ground.context)
        now = min(context.now for context in contexts)
        before_context, after_context = (replace(context, now=now) for context in contexts)
        return before, after, s.compare(before.state, after.state, before_context, after_context, count)

    @tracing.operation("schedule.skip", tracing.answer_facts)
    async def skip(self, call: Call, schedule: UUID, slot: t.Slot) -> Answer[s.Schedule]:
        """Take one slot to come out. Raises `NotFound`, `Invalid` (no such slot), `AlreadyClaimed`, `Conflict`."""

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            current, expects = await self._stand(call, state, context)
            begun, own = await self._begun_if_moved(call, state, slot)
            command = s.Skip(slot=slot, context=context, current=current, begun=begun, request_digest=call.digest)
            return command, {**expects, **own}

        return await self._ask(call, f"skip:{_name(slot)}", schedule, decider)

    @tracing.operation("schedule.unskip", tracing.answer_facts)
    async def unskip(self, call: Call, schedule: UUID, slot: t.Slot) -> Answer[s.Schedule]:
        """Let a slot that was skipped or changed by itself be as its series has it.

        Raises `NotFound`, `AlreadyClaimed`, `Conflict` if it lies in the past.
        """

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            current, expects = await self._stand(call, state, context)
            begun, own = await self._begun_if_moved(call, state, slot)
            command = s.Unskip(slot=slot, context=context, current=current, begun=begun, request_digest=call.digest)
            return command, {**expects, **own}

        return await self._ask(call, f"unskip:{_name(slot)}", schedule, decider)

    async def _begun(self, call: Call, schedule: UUID, slot: t.Slot) -> tuple[bool, Mapping[UUID, int]]:
        """Has anything happened to the slot? If not: what the append must expect so that nothing does meanwhile."""
        occurrence = occurrence_id(schedule, slot.local, slot.fold)
        if await self._store.scoped(call.tenant).load(occurrence, upto_version=1):
            return True, NOTHING_EXPECTED
        return False, {occurrence: 0}

    async def _begun_if_moved(self, call: Call, state: s.Schedule, slot: t.Slot) -> tuple[bool, Mapping[UUID, int]]:
        own = state.changes.get(slot)
        if own is None or own.at is None:
            return False, NOTHING_EXPECTED
        return await self._begun(call, state.id, slot)


def _name(slot: t.Slot) -> str:
    return f"{slot.local.isoformat()}/{slot.fold}"
