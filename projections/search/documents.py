"""Documents: what search finds, made from the rows of the read models (and, of what happened, from events).

Place in the flow: rows -> *documents* -> an engine. A document is a pure function of its rows, so that an index can be
compared with them, and made anew from them, at any time. Its version is the position of the last event that changed it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.envelope import Recorded
from horae.domain.feed import FeedOpened
from horae.domain.key import KeyIssued
from horae.projections.search.words import Clause, document_words, highlight

Kind = Literal["schedule", "occurrence", "audit"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
#: Highlighted fragments of one document.
_FRAGMENTS = 3


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a tenant."""

    kind: Kind
    id: str
    tenant: str
    #: Position of the last event that changed it.
    version: int
    #: What is filtered by, sorted by and shown. Instants are RFC 3339 texts.
    fields: Mapping[str, Any] = field(default_factory=dict)
    #: What is searched: where it stands, and the text.
    texts: tuple[tuple[str, str], ...] = ()
    #: True: a tombstone, which is never found.
    deleted: bool = False

    def words(self) -> list[str]:
        """The folded words in order, an empty one between two texts; at most `DOCUMENT_LIMIT`."""
        return document_words(self.texts)

    def highlights(self, clauses: Sequence[Clause]) -> tuple[tuple[str, str], ...]:
        """Where it was hit, and the fragment as HTML; the first few."""
        found = ((path, html) for path, text in self.texts if (html := highlight(text, clauses)) is not None)
        return tuple(islice(found, _FRAGMENTS))

    def sum(self) -> int:
        """A number of 64 bits that differs where id, version or body differ."""
        body = [self.kind, self.id, self.tenant, self.version, dict(self.fields), [list(text) for text in self.texts]]
        canonical = json.dumps(body, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return int.from_bytes(hashlib.blake2b(canonical.encode(), digest_size=8).digest(), "big")


def micros(instant: str) -> int:
    """Microseconds since 1970 of a document's instant: what is sorted by, exactly."""
    return (datetime.fromisoformat(instant) - _EPOCH) // _US


def instant(at: datetime | None) -> str | None:
    """An instant as documents have it."""
    return None if at is None else at.astimezone(UTC).isoformat()


def schedule_texts(
    recipient: str, channel: str, tags: Sequence[str], content: object, metadata: object
) -> tuple[tuple[str, str], ...]:
    """What is searched of a schedule."""
    texts = [("recipient", recipient), ("channel", channel), *(("tags", tag) for tag in tags)]
    return (*texts, *_leaves("content", content), *_leaves("metadata", metadata))


def _leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case str() if value:
            yield path, value
        case bool():
            return
        case int() | float():
            yield path, str(value)
        case dict():
            for name, item in value.items():
                yield from _leaves(f"{path}.{name}", item)
        case list() | tuple():
            for item in value:
                yield from _leaves(path, item)
        case _:
            return


def schedule_document(row: Mapping[str, Any]) -> Document:
    """From a row of `schedules` joined with its standing (statement `schedules_by_id`)."""
    fields = {
        "status": row["status"],
        "recipient": row["recipient"],
        "recipient_ref": row["recipient_ref"],
        **_definition(row),
        "zone": row["zone"],
        "due_at": instant(row["due_at"]),
        "created_at": instant(row["created_at"]),
        "updated_at": instant(row["updated_at"]),
        "executed_at": instant(row["executed_at"]),
        "failure_reason": row["failure_reason"],
    }
    return Document("schedule", str(row["id"]), row["tenant"], row["position"], fields, _row_texts(row))


def occurrence_document(row: Mapping[str, Any]) -> Document:
    """From a row of `occurrences` joined with its schedule (statement `occurrences_by_id`)."""
    plan = json.loads(row["plan"]) if row["plan"] is not None else {}
    fields = {
        "schedule": str(row["schedule"]),
        "slot": row["slot"].isoformat(),
        "status": row["status"],
        "reason": row["reason"],
        "recipient": row["recipient"],
        "recipient_ref": row["recipient_ref"],
        **_definition(row),
        "priority": row["priority"],
        "zone": plan.get("zone"),
        "attempts": row["attempts"],
        "due_at": instant(row["due_at"]),
        "created_at": instant(row["due_at"]),
        "ended_at": instant(row["ended_at"]),
    }
    texts = _row_texts(row)
    if row["reason"]:
        texts = (("reason", row["reason"]), *texts)
    failure = json.loads(row["last_failure"]).get("message") if row["last_failure"] is not None else None
    if failure:
        texts = (*texts, ("last_failure", failure))
    version = max(row["position"], row["definition_position"])
    return Document("occurrence", str(row["id"]), row["tenant"], version, fields, texts)


def _definition(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "channel": row["channel"],
        "channel_kind": row["channel"].partition(":")[0],
        "priority": row["priority"],
        "tags": list(row["tags"]),
        "type": row["type"],
    }


def _row_texts(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    content, metadata = json.loads(row["content"]), json.loads(row["metadata"])
    return schedule_texts(row["recipient"], row["channel"], row["tags"], content, metadata)


def audit_document(event: Recorded) -> Document:
    """What happened, by whom and when; nothing of the personal part."""
    meta, name = event.meta, event.body.name.rpartition(".v")[0]
    at = instant(meta.recorded_at)
    summary = _summary(event)
    fields = {
        "type": name,
        "actor": meta.actor,
        "request_id": meta.request_id,
        "stream": str(event.stream),
        "stream_version": event.version,
        "summary": summary,
        "created_at": at,
    }
    texts = [("event", name), ("actor", meta.actor), ("stream", str(event.stream)), ("summary", summary)]
    if meta.request_id:
        texts.append(("request_id", meta.request_id))
    return Document("audit", audit_id(event.position), meta.tenant, event.position, fields, tuple(texts))


def audit_id(position: int) -> str:
    """Sorts as the positions do."""
    return f"{position:020d}"


def _summary(event: Recorded) -> str:
    body = event.body
    subject, _, verb = body.name.rpartition(".v")[0].partition(".")
    said = f"{subject} {verb.replace('_', ' ')}"
    match body:
        case s.ScheduleChanged():
            said += f": {', '.join(body.changed)}"
        case o.OccurrenceEnded():
            said += f": {body.outcome.value}"
        case o.OccurrenceMissed():
            said += f": {body.count} by policy {body.policy}"
        case o.AttemptFailed():
            said += f": {body.failure.message}"
        case KeyIssued():
            said += f": {body.label} ({body.scope.value})"
        case FeedOpened():
            said += f": {body.label}"
        case _:
            pass
    reason = getattr(body, "reason", None)
    return f"{said}. {reason}" if isinstance(reason, str) and reason else said
