"""Who calls: the API key of a request, its tenant and its scope.

Keys have 256 random bits, so that their SHA-256 may be looked up and compared without salt or stretching. The tenant
comes from the key and from nowhere else. Look-ups are remembered for a moment; a revocation through this process counts
at once, one through another process after `REMEMBER_S`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from starlette.datastructures import Headers
from starlette.requests import Request

from horae.commands.ports import Clock
from horae.domain.errors import Forbidden, Unauthenticated
from horae.domain.key import Scope

REMEMBER_S = 1.0
_REMEMBERED = 10_000
_RANK = {Scope.READ: 0, Scope.WRITE: 1, Scope.ADMIN: 2}


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What is stored of a key."""

    id: UUID
    tenant: str
    sha256: str
    scope: Scope
    expires_at: datetime | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, for the length of one request."""

    tenant: str
    key: UUID
    scope: Scope
    expires_at: datetime | None

    @property
    def actor(self) -> str:
        """How events name the caller."""
        return f"key:{self.key}"


FindKey = Callable[[str], Awaitable[KeyFacts | None]]
"""Looks a key up by the SHA-256 of its text (hexadecimal), over all tenants."""


class Authenticator:
    """Finds the caller of a request by its key."""

    def __init__(self, find: FindKey, clock: Clock, header: str = "X-API-Key") -> None:
        """`clock` is the real one: the expiry of keys does not follow a virtual clock."""
        self._header = header
        self._find = find
        self._clock = clock
        self._known: dict[str, tuple[float, KeyFacts | None]] = {}
        self._asking: dict[str, asyncio.Future[KeyFacts | None]] = {}
        self._revoked: set[UUID] = set()

    async def caller(self, headers: Headers) -> Caller:
        """Raises `Unauthenticated` when no key is given, or it is unknown, expired or revoked."""
        text = key_text(headers, self._header)
        sha256 = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        facts = await self._facts(sha256)
        if facts is None or not hmac.compare_digest(facts.sha256, sha256):
            raise Unauthenticated("The API key is not known.", hint="Check it, or issue one with `horae keys issue`.")
        if facts.revoked or facts.id in self._revoked:
            raise Unauthenticated("The API key was revoked.", hint="Use another, or issue one with `horae keys issue`.")
        if facts.expires_at is not None and facts.expires_at <= self._clock.now():
            raise Unauthenticated("The API key has expired.", hint="Use its successor, or issue a new one.")
        return Caller(facts.tenant, facts.id, facts.scope, facts.expires_at)

    def forget(self, key: UUID, *, revoked: bool) -> None:
        """The key changed through this process: what was remembered of it holds no longer."""
        if revoked:
            self._revoked.add(key)
        self._known = {sha: entry for sha, entry in self._known.items() if entry[1] is None or entry[1].id != key}

    async def _facts(self, sha256: str) -> KeyFacts | None:
        known = self._known.get(sha256)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        # Many requests may come with the same key at the moment at which it is forgotten: they ask once.
        asking = self._asking.get(sha256)
        if asking is None:
            asking = asyncio.ensure_future(self._find(sha256))
            self._asking[sha256] = asking
            asking.add_done_callback(lambda done: self._answered(sha256, done))
        return await asyncio.shield(asking)

    def _answered(self, sha256: str, done: asyncio.Future[KeyFacts | None]) -> None:
        self._asking.pop(sha256, None)
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[sha256] = (time.monotonic() + REMEMBER_S, done.result())


def key_text(headers: Headers, header: str) -> str:
    """The key as the caller sent it, in `header` or as a bearer. Raises `Unauthenticated` when there is none."""
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() == "bearer" and text.strip():
            return text.strip()
    text = headers.get(header, "").strip()
    if text:
        return text
    raise Unauthenticated(
        "The request has no API key.",
        field="Authorization",
        hint="Send `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
    )


def caller_of(request: Request, scope: Scope) -> Caller:
    """The caller whom the door found. Raises `Forbidden` when the key's scope is narrower than `scope`."""
    caller: Caller = request.scope["state"]["caller"]
    if _RANK[caller.scope] < _RANK[scope]:
        raise Forbidden(
            f"The key has the scope `{caller.scope}`, this needs `{scope}`.",
            field="scope",
            value=caller.scope.value,
            hint=f"Use a key with the scope `{scope}`.",
        )
    return caller
