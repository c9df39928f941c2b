"""What engagement changes: what an occurrence shows of it, what is awaited of it, and the facts that are learnt from.

Facts are only gathered here, in the order of the log; `habits` counts them when the batch is written. A message counts
for habits if its moment was chosen by the learner, or if its recipient was seen to engage before it went out: who never
does costs nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from horae.domain import engagement, model, occurrence
from horae.domain.engagement import WINDOW
from horae.domain.envelope import Event, Recorded
from horae.projections.fold.batch import Rows, json_text
from horae.projections.rows import Occurrence

#: As `learning.facts` has them, which needs numpy.
SENT, ANSWERED, IGNORED, ACTIVE = range(4)
_CHOSEN = '"choice":'
_GRAIN = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Fact(NamedTuple):
    """Something to learn from about (tenant, recipient_ref); `zone`: in which `at` is read."""

    tenant: str
    ref: str
    position: int
    kind: int
    at: datetime
    zone: str


class Told(NamedTuple):
    """What came of a message whose plan had foretold something."""

    tenant: str
    shard: int
    position: int
    features: tuple[float, ...]
    answered: bool


class Awaited(NamedTuple):
    """An answer that may come until `closes_at`; the columns of `awaited`."""

    occurrence: UUID
    tenant: str
    recipient_ref: str
    shard: int
    closes_at: datetime


def delivered(fold: Rows, event: Recorded, body: occurrence.OccurrenceEnded, row: Occurrence) -> None:
    """A message went out: from now on an answer is awaited, if anybody learns from it."""
    tenant, ref = event.meta.tenant, body.recipient_ref
    chosen = row.plan is not None and _CHOSEN in row.plan
    if not chosen and (tenant, ref) not in fold.known:
        return
    fold.known.add((tenant, ref))
    sent_at = body.started_at or event.meta.recorded_at
    zone = json.loads(row.plan)["zone"] if row.plan is not None else "UTC"
    fold.facts.append(Fact(tenant, ref, event.position, SENT, sent_at, zone))
    fold.awaited[row.id] = Awaited(row.id, tenant, ref, event.meta.shard, _grained(sent_at + WINDOW))


def _grained(at: datetime) -> datetime:
    """The next full quarter of an hour: what closes about the same time closes together."""
    return at + (_EPOCH - at) % _GRAIN


def _engaged(fold: Rows, event: Recorded, body: occurrence.OccurrenceEngaged) -> None:
    fold.standing(event, body.schedule)
    row = fold.occurrence(event)
    shown = json.loads(row.engagement) if row.engagement is not None else {}
    key = "machine" if body.machine is not None else body.kind.value
    at = body.at.isoformat()
    shown[key] = min(shown.get(key, at), at)
    if body.answers:
        shown["answered"] = True
    row.engagement = json_text(shown)
    if body.machine is not None:
        return
    _meet(fold, event, body.recipient_ref)
    if body.answers and body.sent_at is not None and body.zone is not None:
        _closed(fold, event, body.recipient_ref, (ANSWERED, body.sent_at, body.zone), body.foretold)


def _unanswered(fold: Rows, event: Recorded, body: occurrence.OccurrenceUnanswered) -> None:
    fold.standing(event, body.schedule)
    row = fold.occurrence(event)
    shown = json.loads(row.engagement) if row.engagement is not None else {}
    row.engagement = json_text(shown | {"answered": False})
    _closed(fold, event, body.recipient_ref, (IGNORED, body.sent_at, body.zone), body.foretold)


def _closed(
    fold: Rows, event: Recorded, ref: str, what: tuple[int, datetime, str], foretold: tuple[float, ...]
) -> None:
    """An answer came or will not: counted if it was awaited. Who engages for the first time begins with the next."""
    if fold.awaited.get(event.stream) is None and (
        event.stream in fold.awaited or event.stream not in fold.awaited_before
    ):
        return
    fold.awaited[event.stream] = None
    tenant, shard = event.meta.tenant, event.meta.shard
    fold.facts.append(Fact(tenant, ref, event.position, *what))
    if foretold:
        fold.told.append(Told(tenant, shard, event.position, foretold, what[0] == ANSWERED))


def _seen(fold: Rows, event: Recorded, body: engagement.RecipientEngaged) -> None:
    if body.machine is not None:
        return
    tenant = event.meta.tenant
    _meet(fold, event, body.recipient_ref)
    fold.facts.append(Fact(tenant, body.recipient_ref, event.position, ACTIVE, body.at, body.zone))


def _forgotten(fold: Rows, event: Recorded, body: engagement.HabitsForgotten) -> None:
    key = (event.meta.tenant, body.recipient_ref)
    fold.facts = [fact for fact in fold.facts if (fact.tenant, fact.ref) != key]
    fold.forgotten.add(key)
    fold.known.discard(key)
    fold.met.pop(key, None)
    for id_, awaited in fold.awaited.items():
        if awaited is not None and (awaited.tenant, awaited.recipient_ref) == key:
            fold.awaited[id_] = None


def _meet(fold: Rows, event: Recorded, ref: str) -> None:
    """From now on what the recipient gets is counted."""
    key = (event.meta.tenant, ref)
    fold.known.add(key)
    fold.met[key] = event.position


def _fitted(fold: Rows, event: Recorded, body: model.ModelFitted) -> None:
    fold.models[event.meta.tenant] = (
        event.meta.tenant,
        event.version,
        body.fitted_at,
        body.model_dump_json(),
        event.position,
    )


HANDLERS: dict[type[Event], Any] = {
    occurrence.OccurrenceEngaged: _engaged,
    occurrence.OccurrenceUnanswered: _unanswered,
    engagement.RecipientEngaged: _seen,
    engagement.HabitsForgotten: _forgotten,
    model.ModelFitted: _fitted,
}
