"""A slot has come due: claimed, deferred, suppressed, missed, expired or passed, and where its series goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from horae.domain import timing as t
from horae.domain.occurrence.commands import Defer, Fire, Suppress
from horae.domain.occurrence.events import (
    AnyOccurrenceEvent,
    OccurrenceClaimed,
    OccurrenceDeferred,
    OccurrenceEnded,
    OccurrenceMissed,
    Outcome,
    SlotPassed,
)
from horae.domain.occurrence.facts import facts_of
from horae.domain.occurrence.state import Occurrence, Phase
from horae.domain.schedule import Status

#: One event covers at most so many missed slots, so that deciding never stalls; the chain goes on behind it.
MISSED_RUN_LIMIT = 10_000


def _slot_facts(command: Fire | Defer | Suppress) -> dict[str, Any]:
    return {
        **facts_of(command.schedule),
        "schedule_version": command.schedule.version,
        "origin": command.origin,
        "slot": command.at.slot,
        "number": command.at.number,
        "due_at": command.at.due_at,
    }


def _moves(command: Fire | Defer | Suppress) -> dict[str, Any]:
    if command.row == "occurrence":
        return {"moves": False}
    return {"moves": True, "next": _following(command)}


def _following(command: Fire | Defer | Suppress) -> t.Next | None:
    return t.following(command.schedule.timing, command.at, command.context)


def fire(command: Fire, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    schedule = command.schedule
    if state is not None and (command.row == "slot" or state.phase is not Phase.DEFERRED):
        return _pass(command)
    if schedule.status is not Status.ACTIVE:
        if command.row == "occurrence" and schedule.status is Status.CANCELLED:
            return [_end_unclaimed(command, Outcome.CANCELLED, "the schedule was cancelled before it could fire")]
        return []
    expires_after = schedule.definition.expires_after
    if expires_after is not None and command.now > command.at.due_at + expires_after:
        return [
            _end_unclaimed(
                command, Outcome.EXPIRED, f"not claimed within {t.format_duration(expires_after)} of its due instant"
            )
        ]
    if command.row == "slot" and isinstance(schedule.timing, t.Every):
        missed = _missed_run(command, schedule.timing, t.rule_for(schedule.timing, command.at.slot, command.context))
        if missed is not None:
            return [missed]
    return [OccurrenceClaimed(**_slot_facts(command), plan=_plan(command), owner=command.owner, **_moves(command))]


def _plan(command: Fire) -> t.Plan:
    """The plan with what the claim adds to it: how late it is, and whether it catches up on a missed run."""
    plan, late, timing = command.at.plan, command.now - command.at.due_at, command.schedule.timing
    if isinstance(timing, t.Every):
        timing = t.rule_for(timing, command.at.slot, command.context)
    reasons: list[t.Reason] = []
    if late > timedelta(seconds=1):
        reasons.append(t.Reason(code="late", text=f"claimed {late.total_seconds():.1f} s after its due instant"))
    if isinstance(timing, t.Every) and command.row == "slot" and late > timing.missed.within:
        most = t.format_duration(timing.missed.within)
        text = f"missed by more than {most}; the policy `{timing.missed.policy}` fires it all the same"
        reasons.append(t.Reason(code="catch_up", text=text))
    return plan if not reasons else plan.model_copy(update={"reasons": (*plan.reasons, *reasons)})


def _pass(command: Fire) -> list[AnyOccurrenceEvent]:
    if command.row == "occurrence" or command.schedule.status is not Status.ACTIVE:
        return []
    return [
        SlotPassed(
            **facts_of(command.schedule),
            schedule_version=command.schedule.version,
            slot=command.at.slot,
            next=_following(command),
        )
    ]


def _missed_run(command: Fire, timing: t.Every, rule: t.Every) -> OccurrenceMissed | None:
    """The run of slots from `at` on that came too late, as far as the policy gives them up; None: `at` fires.

    A run is judged by the policy of the `rule` with which it begins.
    """
    within, policy = rule.missed.within, rule.missed.policy
    if command.now <= command.at.due_at + within:
        return None
    spared = rule.missed.most if policy == "all" else 0
    late, following = _late_ones(command, timing, within, MISSED_RUN_LIMIT + spared)
    if policy == "once" and (following is None or following.due_at > command.now):
        spared = 1  # nothing newer fires by itself, so the newest of the run is caught up on
    count = len(late) - spared
    if count <= 0:
        return None
    last, following = late[count - 1], late[count] if spared else following
    return OccurrenceMissed(
        **facts_of(command.schedule),
        schedule_version=command.schedule.version,
        slot=command.at.slot,
        due_at=command.at.due_at,
        to=last.slot,
        to_due_at=last.due_at,
        count=count,
        policy=policy,
        next=following,
    )


def _late_ones(command: Fire, timing: t.Every, within: timedelta, most: int) -> tuple[list[t.Next], t.Next | None]:
    """The slots from the command's own on that are later than `within`, so many at most; and the one behind them."""
    late = [command.at]
    following = t.following(timing, command.at, command.context)
    while following is not None and command.now > following.due_at + within and len(late) < most:
        late.append(following)
        following = t.following(timing, following, command.context)
    return late, following


def _end_unclaimed(command: Fire, outcome: Outcome, reason: str) -> OccurrenceEnded:
    return OccurrenceEnded(
        **_slot_facts(command), outcome=outcome, reason=reason, attempt=0, plan=command.at.plan, **_moves(command)
    )


def obey_rule(command: Defer | Suppress, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is not None and (command.row == "slot" or state.phase is not Phase.DEFERRED):
        return []
    if isinstance(command, Defer):
        return [
            OccurrenceDeferred(
                **_slot_facts(command),
                until=command.until,
                rule=command.rule,
                reason=command.reason,
                **_moves(command),
            )
        ]
    reason = f"{command.rule}: {command.reason}"
    return [
        OccurrenceEnded(
            **_slot_facts(command),
            outcome=Outcome.SUPPRESSED,
            reason=reason,
            attempt=0,
            plan=command.at.plan,
            **_moves(command),
        )
    ]
