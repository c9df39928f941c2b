"""The trace of one attempt: whose it is, and what it says.

Place in the flow: candidate -> *span* -> claim, release, result. What is asked for and fires within a minute is one
story, and stays one trace; what fires later begins a trace of its own that is linked to the asking one, because a trace
that lasts for weeks is shown by nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from horae.commands import tracing
from horae.commands.candidates import Candidate
from horae.commands.occurrences import Attempt
from horae.projections.due import DueRow
from horae.streams.dispatcher.releasing import Result

#: By the service's clock, from the event that led to it.
ONE_TRACE = timedelta(seconds=60)


def execution(row: DueRow, candidate: Candidate, now: datetime) -> AbstractContextManager[tracing.Span]:
    """Around everything that is done about a due row."""
    if not tracing.active():
        return tracing.OFF
    causes = {meta.traceparent: meta for meta in candidate.causes if meta.traceparent is not None}
    parent, latest = None, next(iter(causes.values()), None)
    if latest is not None and now - latest.recorded_at <= ONE_TRACE:
        parent = latest.traceparent
    name = "schedule.execute"
    return tracing.span(
        name,
        kind="consumer",
        attributes={
            **tracing.tags(name),
            **tracing.schedule_facts(candidate.schedule),
            "occurrence.id": str(row.occurrence),
            "occurrence.lateness_s": round((now - row.due_at).total_seconds(), 3),
        },
        parent=parent,
        links=[context for context in causes if context is not None and context != parent],
    )


def release(attempt: Attempt) -> AbstractContextManager[tracing.Span]:
    """Around one call of the channel, which hands its context on."""
    if not tracing.active():
        return tracing.OFF
    name = "schedule.release"
    return tracing.span(
        name,
        kind="client",
        attributes={
            **tracing.tags(name),
            "schedule.id": str(attempt.schedule.id),
            "occurrence.id": str(attempt.occurrence.id),
            "occurrence.attempt": attempt.occurrence.attempt,
            "channel": attempt.schedule.personal.channel.partition(":")[0],
        },
    )


def describe(under_way: tracing.Span, result: Result) -> None:
    """How the attempt went. The failure's message stays out of it: it may quote an address."""
    if not under_way.recording:
        return
    failure = result.failure
    if failure is None:
        under_way.event("released", {"duration_ms": round(result.duration_ms, 3)})
        return
    data: dict[str, str | int | float | bool] = {"kind": failure.kind, "retryable": failure.retryable}
    if failure.status_code is not None:
        data["status_code"] = failure.status_code
    under_way.event("failed", data)
    under_way.fail(failure.kind)
