"""Why something went out late, where nobody was there to send it: the worker had started only after it was due.

Place in the flow: `explain` tells what the log says; the routes add here what only the workers' own records know.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from horae.api.models.occurrences import Decision, Explanation
from horae.api.services import WorkersStarted
from horae.api.story import local, span

_DEALT_WITH = frozenset({"claimed", "missed", "expired"})


async def with_starts(explanation: Explanation, started: WorkersStarted | None) -> Explanation:
    """The same, with a sentence and the fact `worker_started_at` where a worker that started late dealt with it."""
    due_at = explanation.due_at
    owners = {owner for entry in explanation.decisions if (owner := _worker_of(entry)) is not None}
    if started is None or due_at is None or not owners:
        return explanation
    known = await started(owners)
    decisions = [_told(entry, due_at, explanation.zone, known) for entry in explanation.decisions]
    return explanation.model_copy(update={"decisions": decisions, "story": [entry.text for entry in decisions]})


def _told(entry: Decision, due_at: datetime, zone: str | None, known: Mapping[int, datetime]) -> Decision:
    at = known.get(owner) if (owner := _worker_of(entry)) is not None else None
    if at is None or at <= due_at:
        return entry
    text = f"{entry.text} That worker had started at {local(at, zone)}, {span(at - due_at)} after the due instant."
    return entry.model_copy(update={"text": text, "facts": {**entry.facts, "worker_started_at": at}})


def _worker_of(entry: Decision) -> int | None:
    """The incarnation that claimed it or found it missed; None: the decision is another, or nobody's."""
    kind, _, number = (entry.actor or "").partition(":")
    return int(number) if entry.code in _DEALT_WITH and kind == "worker" and number.isdecimal() else None
