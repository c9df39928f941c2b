"""API keys: 256 random bits, shown once, stored as SHA-256."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, mismatch, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids
from horae.domain import key as k
from horae.domain.draft import check_reason
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Invalid, NotFound
from horae.domain.ids import derived_id, shard_of
from horae.domain.personal import refuse_unstorable

KEY_BYTES = 32
PREFIX_LENGTH = 10
LABEL_LIMIT = 100
#: The longest time that a rotated key may live on.
MAX_OVERLAP = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key. `text` is told only now and stored nowhere; None when the request is a repeat."""

    answer: Answer[k.Key]
    text: str | None


class Keys:
    """Issue, rotate and revoke keys. `secret` gives that many random bytes, fit for secrets."""

    def __init__(self, store: EventStore, clock: Clock, ids: Ids, secret: Callable[[int], bytes]) -> None:
        self._store, self._clock, self._ids, self._secret = store, clock, ids, secret

    async def issue(self, call: Call, *, label: str, scope: k.Scope, expires_at: datetime | None = None) -> IssuedKey:
        """Make a key. Raises `Invalid`, `IdempotencyMismatch`."""
        now = self._clock.now()
        _check(label, expires_at, now)
        key = self._ids.new()
        if call.idempotency_key is not None:
            key = derived_id(call.tenant, "key", call.idempotency_key)
        text = self._new_text()
        event = self._issued(call, key, text, label=label, scope=scope, expires_at=expires_at, now=now)

        async def attempt() -> IssuedKey:
            events = await self._store.scoped(call.tenant).load(key, upto_version=1)
            if events:
                return IssuedKey(answer=_repeat_of_issue(call, key, events), text=None)
            position = await self._store.append([event])
            return IssuedKey(answer=_answer(key, [event.at(position)]), text=text)

        return await until_no_conflict(attempt)

    async def adopt(self, call: Call, text: str, *, label: str, scope: k.Scope) -> Answer[k.Key]:
        """Make a key of a text that the operator chose; the same text again is the same key. Raises `Invalid`.

        How hard it is to guess is the operator's choice: nothing but what a header can carry is asked of it.
        """
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise Invalid(
                "The key is empty or has characters that a header cannot carry.",
                field="api_key",
                hint="Use visible ASCII characters without spaces, or let a key be made.",
            )
        key = derived_id(call.tenant, "adopted key", _sha256(text))
        event = self._issued(call, key, text, label=label, scope=scope, expires_at=None, now=self._clock.now())

        async def attempt() -> Answer[k.Key]:
            events = await self._store.scoped(call.tenant).load(key)
            if events:
                return _answer(key, events, replayed=True)
            return _answer(key, [event.at(await self._store.append([event]))])

        return await until_no_conflict(attempt)

    async def rotate(self, call: Call, key: UUID, *, overlap: timedelta = timedelta(days=1)) -> IssuedKey:
        """Make a successor of the same label, scope and expiry; the old key works on for `overlap`.

        Raises `NotFound`, `Conflict` (revoked or rotated already), `Invalid`.
        """
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise Invalid(
                "The overlap must be between PT0S and P90D.", field="overlap", value=str(overlap), hint="Write P1D."
            )
        successor, text = self._ids.new(), self._new_text()

        async def attempt() -> IssuedKey:
            events = await self._load(call.tenant, key)
            repeat = find_repeat(call, "rotate", key, events)
            if repeat is not None and isinstance(repeat.body, k.KeyRotated):
                made = await self._load(call.tenant, repeat.body.successor)
                return IssuedKey(answer=_answer(repeat.body.successor, made[:1], replayed=True), text=None)
            state, now = _fold(events), self._clock.now()
            bodies = k.decide(k.Rotate(successor=successor, expires_at=now + overlap), state)
            new = self._issued(
                call,
                successor,
                text,
                label=state.label,
                scope=state.scope,
                expires_at=state.expires_at,
                now=now,
                rotated_from=key,
            )
            ended = self._event(call, "rotate", key, len(events) + 1, bodies[0], now)
            position = await self._store.append([ended, new])
            return IssuedKey(answer=_answer(successor, [new.at(position)]), text=text)

        return await until_no_conflict(attempt)

    async def revoke(self, call: Call, key: UUID, *, reason: str | None = None) -> Answer[k.Key]:
        """End the key now. Raises `NotFound`."""
        check_reason(reason)

        async def attempt() -> Answer[k.Key]:
            events = await self._load(call.tenant, key)
            bodies = k.decide(k.Revoke(reason=reason), _fold(events))
            if not bodies:
                return _answer(key, events)
            event = self._event(call, "revoke", key, len(events) + 1, bodies[0], self._clock.now())
            position = await self._store.append([event])
            return _answer(key, [*events, event.at(position)])

        return await until_no_conflict(attempt)

    def _new_text(self) -> str:
        return "hk_" + urlsafe_b64encode(self._secret(KEY_BYTES)).decode().rstrip("=")

    def _issued(
        self,
        call: Call,
        key: UUID,
        text: str,
        *,
        label: str,
        scope: k.Scope,
        expires_at: datetime | None,
        now: datetime,
        rotated_from: UUID | None = None,
    ) -> NewEvent:
        body = k.issue(
            k.Issue(
                sha256=_sha256(text),
                # A third at most: of a short text the first ten characters would give it away.
                prefix=text[: min(PREFIX_LENGTH, len(text) // 3)],
                label=label,
                scope=scope,
                expires_at=expires_at,
                rotated_from=rotated_from,
                request_digest=call.digest,
            )
        )
        # Its id is never derived: a repeat of an issue must collide, for its text is another one.
        return self._event(replace(call, idempotency_key=None), "issue", key, 1, body, now)

    def _event(self, call: Call, operation: str, key: UUID, version: int, body: k.KeyEvent, now: datetime) -> NewEvent:
        event_id = event_id_for(call, self._ids, operation, key)
        meta = meta_of(call, event_id=event_id, shard=shard_of(call.tenant, str(key)), now=now, correlation_id=key)
        return NewEvent(key, version, meta, body)

    async def _load(self, tenant: str, key: UUID) -> list[Recorded]:
        events = await self._store.scoped(tenant).load(key)
        if not events or not isinstance(events[0].body, k.KeyIssued):
            raise NotFound("There is no such key.", field="id", value=str(key), hint="List them: GET /v1/keys.")
        return events


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _check(label: str, expires_at: datetime | None, now: datetime) -> None:
    refuse_unstorable(label, "label")
    if not 1 <= len(label) <= LABEL_LIMIT:
        raise Invalid(
            f"The label must have 1 to {LABEL_LIMIT} characters.",
            field="label",
            value=label[:80],
            hint="Say whose it is.",
        )
    if expires_at is not None and expires_at <= now:
        raise Invalid(
            "The key would have expired already.",
            field="expires_at",
            value=expires_at.isoformat(),
            hint="Give an instant to come, or none.",
        )


def _repeat_of_issue(call: Call, key: UUID, events: Sequence[Recorded]) -> Answer[k.Key]:
    body = events[0].body
    if not isinstance(body, k.KeyIssued) or body.request_digest != call.digest:
        raise mismatch(call)
    return _answer(key, events[:1], replayed=True)


def _fold(events: Sequence[Recorded]) -> k.Key:
    state: k.Key | None = None
    for event in events:
        if isinstance(event.body, k.KeyEvent):
            state = k.evolve(state, event.body)
    if state is None:
        raise ValueError("a key's stream begins with its issue")
    return state


def _answer(key: UUID, events: Sequence[Recorded], *, replayed: bool = False) -> Answer[k.Key]:
    return Answer.of(key, events, _fold(events), replayed=replayed)
