"""Commands on schedules: load -> decide -> append, each a short function. How it is asked is in `asking`."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal
from uuid import UUID

from horae.commands import tracing
from horae.commands.asking import Decider, Decision
from horae.commands.backfills import Backfills
from horae.commands.context import Answer, Call
from horae.commands.ports import NOTHING_EXPECTED
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.draft import check_reason

Cause = Literal["calendar", "zone", "recipient"]


class Schedules(Backfills):
    """What clients may do with schedules; creating is in `creation` and `bulk`, changing in `changes`, reading back in
    `reading`.

    Every method that changes something answers when its events are durable.
    """

    @tracing.operation("schedule.pause", tracing.answer_facts)
    async def pause(
        self, call: Call, schedule: UUID, *, reason: str | None = None, if_match: int | None = None
    ) -> Answer[s.Schedule]:
        """Let nothing of it fire until it is resumed. Raises `NotFound`, `VersionMismatch`, `Conflict`."""
        check_reason(reason)
        command = s.Pause(if_match=if_match, reason=reason, request_digest=call.digest)
        return await self._with_claimed(call, await self._ask(call, "pause", schedule, _just(command)))

    @tracing.operation("schedule.cancel", tracing.answer_facts)
    async def cancel(
        self, call: Call, schedule: UUID, *, reason: str | None = None, if_match: int | None = None
    ) -> Answer[s.Schedule]:
        """Let nothing of it fire any more. Raises `NotFound`, `VersionMismatch`."""
        check_reason(reason)
        command = s.Cancel(if_match=if_match, reason=reason, request_digest=call.digest)
        return await self._with_claimed(call, await self._ask(call, "cancel", schedule, _just(command)))

    @tracing.operation("schedule.resume", tracing.answer_facts)
    async def resume(
        self, call: Call, schedule: UUID, *, reason: str | None = None, if_match: int | None = None
    ) -> Answer[s.Schedule]:
        """Let it fire again: a series from its first slot after now, a one-off that is overdue at once.

        Raises `NotFound`, `VersionMismatch`, `Conflict`.
        """
        check_reason(reason)

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            current, expects = s.NOT_READ, NOTHING_EXPECTED
            if not state.recurring:
                current, expects = await self._stand(call, state, context)
            command = s.Resume(
                context=context, current=current, if_match=if_match, reason=reason, request_digest=call.digest
            )
            return command, expects

        return await self._with_one_off(call, await self._ask(call, "resume", schedule, decider))

    @tracing.operation("schedule.trigger", tracing.answer_facts)
    async def trigger(self, call: Call, schedule: UUID, *, reason: str | None = None) -> Answer[s.Schedule]:
        """Release one occurrence now; the cadence does not move. Its id is the newest in `state.triggers`.

        Raises `NotFound`, `Conflict` unless the schedule is active.
        """
        check_reason(reason)
        trigger = self._new_id(call, f"trigger:{schedule}")

        async def decider(_state: s.Schedule, context: t.Context) -> Decision:
            command = s.Trigger(trigger=trigger, context=context, reason=reason, request_digest=call.digest)
            return command, NOTHING_EXPECTED

        return await self._ask(call, "trigger", schedule, decider)

    async def replan(self, call: Call, schedule: UUID, cause: Cause, detail: str) -> bool:
        """See whether the next slot is still where it was planned; True: it is not, and was planned anew."""
        moved = False

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            nonlocal moved
            current, expects = await self._stand(call, state, context)
            command = s.Replan(cause=cause, detail=detail, context=context, current=current)
            moved = bool(s.decide(command, state))
            return command, expects

        await self._ask(replace(call, idempotency_key=None), "replan", schedule, decider)
        return moved


def _just(command: s.Command) -> Decider:
    async def decider(_state: s.Schedule, _context: t.Context) -> Decision:
        return command, NOTHING_EXPECTED

    return decider
