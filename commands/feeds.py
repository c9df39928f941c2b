"""Calendar feeds: a token of 256 random bits, shown once, stored as SHA-256; rotated and revoked like keys."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from horae.commands import tracing
from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, mismatch, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids, Refs
from horae.domain import feed as f
from horae.domain.draft import check_reason
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Invalid, NotFound
from horae.domain.ids import derived_id, shard_of
from horae.domain.personal import RECIPIENT_LIMIT, refuse_unstorable

TOKEN_BYTES = 32
PREFIX_LENGTH = 10
LABEL_LIMIT = 100
#: The longest time that a replaced token may live on.
MAX_OVERLAP = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFeed:
    """A feed after it was given a token. `token` is told only now and stored nowhere; None when this is a repeat."""

    answer: Answer[f.Feed]
    token: str | None


class Feeds:
    """Open, rotate and revoke feeds. `clock`: the real one; `secret` gives that many random bytes, fit for secrets."""

    def __init__(self, store: EventStore, clock: Clock, ids: Ids, refs: Refs, secret: Callable[[int], bytes]) -> None:
        self._store, self._clock, self._ids, self._refs, self._secret = store, clock, ids, refs, secret

    @tracing.operation("feed.open")
    async def open(self, call: Call, *, label: str, recipient: str | None = None) -> OpenedFeed:
        """Make a feed of a recipient's schedules; None: of all of the tenant's. Raises `Invalid`."""
        _check(label, recipient)
        feed = self._ids.new()
        if call.idempotency_key is not None:
            feed = derived_id(call.tenant, "feed", call.idempotency_key)
        token = self._new_token()
        body = f.FeedOpened(
            sha256=sha256_of(token),
            prefix=token[:PREFIX_LENGTH],
            label=label,
            recipient_ref=None if recipient is None else self._refs.recipient_ref(call.tenant, recipient),
            personal=None if recipient is None else f.FeedOwner(recipient=recipient),
            request_digest=call.digest,
        )
        # Its id is never derived: a repeat must collide, for its token is another one.
        event = self._event(replace(call, idempotency_key=None), "open", feed, 1, body, recipient)

        async def attempt() -> OpenedFeed:
            events = await self._store.scoped(call.tenant).load(feed, upto_version=1)
            if events:
                first = events[0].body
                if not isinstance(first, f.FeedOpened) or first.request_digest != call.digest:
                    raise mismatch(call)
                return OpenedFeed(answer=_answer(feed, events, replayed=True), token=None)
            position = await self._store.append([event])
            return OpenedFeed(answer=_answer(feed, [event.at(position)]), token=token)

        return await until_no_conflict(attempt)

    @tracing.operation("feed.rotate")
    async def rotate(self, call: Call, feed: UUID, *, overlap: timedelta = timedelta(days=7)) -> OpenedFeed:
        """Give the feed another token; the one before works on for `overlap`. Raises `NotFound`, `Conflict`."""
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise Invalid(
                "The overlap must be between PT0S and P90D.", field="overlap", value=str(overlap), hint="Write P7D."
            )
        token = self._new_token()

        async def attempt() -> OpenedFeed:
            events = await self._load(call.tenant, feed)
            repeat = find_repeat(call, "rotate", feed, events)
            if repeat is not None:
                return OpenedFeed(answer=_answer(feed, events[: repeat.version], replayed=True), token=None)
            command = f.Rotate(
                sha256=sha256_of(token),
                prefix=token[:PREFIX_LENGTH],
                old_until=self._clock.now() + overlap,
                request_digest=call.digest,
            )
            return OpenedFeed(answer=await self._append(call, "rotate", feed, events, command), token=token)

        return await until_no_conflict(attempt)

    @tracing.operation("feed.revoke")
    async def revoke(self, call: Call, feed: UUID, *, reason: str | None = None) -> Answer[f.Feed]:
        """End the feed now. Raises `NotFound`."""
        check_reason(reason)

        async def attempt() -> Answer[f.Feed]:
            events = await self._load(call.tenant, feed)
            return await self._append(call, "revoke", feed, events, f.Revoke(reason=reason))

        return await until_no_conflict(attempt)

    async def _append(
        self, call: Call, operation: str, feed: UUID, events: list[Recorded], command: f.Rotate | f.Revoke
    ) -> Answer[f.Feed]:
        state = _fold(events)
        bodies = f.decide(command, state)
        if not bodies:
            return _answer(feed, events)
        event = self._event(call, operation, feed, len(events) + 1, bodies[0], state.recipient)
        position = await self._store.append([event])
        return _answer(feed, [*events, event.at(position)])

    def _new_token(self) -> str:
        return "hf_" + urlsafe_b64encode(self._secret(TOKEN_BYTES)).decode().rstrip("=")

    def _event(
        self, call: Call, operation: str, feed: UUID, version: int, body: f.FeedEvent, recipient: str | None
    ) -> NewEvent:
        meta = meta_of(
            call,
            event_id=event_id_for(call, self._ids, operation, feed),
            shard=shard_of(call.tenant, recipient or str(feed)),
            now=self._clock.now(),
            correlation_id=feed,
        )
        return NewEvent(feed, version, meta, body)

    async def _load(self, tenant: str, feed: UUID) -> list[Recorded]:
        events = await self._store.scoped(tenant).load(feed)
        if not events or not isinstance(events[0].body, f.FeedOpened):
            raise NotFound("There is no such feed.", field="id", value=str(feed), hint="List them: GET /v1/feeds.")
        return events


def sha256_of(token: str) -> str:
    """As it is stored."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _check(label: str, recipient: str | None) -> None:
    refuse_unstorable(label, "label")
    if not 1 <= len(label) <= LABEL_LIMIT:
        raise Invalid(
            f"The label must have 1 to {LABEL_LIMIT} characters.",
            field="label",
            value=label[:80],
            hint="Say what the feed is for; calendar programs show it as the calendar's name.",
        )
    if recipient is not None:
        refuse_unstorable(recipient, "recipient")
        if not 1 <= len(recipient) <= RECIPIENT_LIMIT:
            raise Invalid(
                f"A recipient's id has 1 to {RECIPIENT_LIMIT} characters.",
                field="recipient",
                value=recipient[:80],
                hint="Leave it out for a feed of everybody's schedules.",
            )


def _fold(events: Sequence[Recorded]) -> f.Feed:
    state: f.Feed | None = None
    for event in events:
        if isinstance(event.body, f.FeedEvent):
            state = f.evolve(state, event.body)
    if state is None:
        raise ValueError("a feed's stream begins with its opening")
    return state


def _answer(feed: UUID, events: Sequence[Recorded], *, replayed: bool = False) -> Answer[f.Feed]:
    return Answer.of(feed, events, _fold(events), replayed=replayed)
