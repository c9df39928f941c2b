"""The door: what every request passes on its way in and out, as one plain ASGI middleware.

In: request id, log context, key, rate limit. Out: request id, security and rate headers, metrics. An error that nobody
foresaw ends here as a problem document, and in the log.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Any

import asyncpg
import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from horae.api.auth import Authenticator, Caller
from horae.api.errors import RateLimited, internal_error, problem_response
from horae.api.metrics import Metrics
from horae.api.plain import Lanes
from horae.api.ratelimit import Allowance, RateLimiter
from horae.commands import tracing
from horae.commands.ports import Ids
from horae.domain.errors import HoraeError, Unavailable
from horae.projections.away import NO_SERVER

log: Any = structlog.get_logger("horae.api")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
# The documentation page loads its script and style from a content network; everything else is data, not pages.
_NO_PAGE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_PAGES = ("/docs", "/redoc")
#: In the state of a request that our own process makes, at its own pace: true where it counts against no rate limit.
#: (Nothing that a client sends gets there.)
UNLIMITED = "horae.unlimited"
#: A read or a look-up of a key met a PostgreSQL that is away, starting or stopping, or that has not answered in time
#: (then we, or it, end the statement), or no connection to it was free in time. (What a command stores or not is
#: told by the event store, which waits for it.)
_DATABASE_AWAY = (ConnectionError, TimeoutError, asyncpg.QueryCanceledError, *NO_SERVER)


def _route(scope: Scope) -> str:
    """The route's template: what metrics, traces and logs may know of a path, which may name a person."""
    route: str = getattr(scope.get("route"), "path", "unmatched")
    return route


class _Answer:
    """Where the answer goes: adds the headers that every answer has, and knows what was answered so far."""

    def __init__(self, send: Send, extra: list[tuple[bytes, bytes]]) -> None:
        self._send, self._extra = send, extra
        #: 0: it has not begun.
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(h for h in self._extra if h[0] not in present)]
        await self._send(message)


async def _explain(error: Exception, scope: Scope, receive: Receive, answer: _Answer) -> None:
    """Answer with what went wrong. Raises it again when the answer has begun: breaking off is the only honest end."""
    instance, request_id = scope["path"], scope["state"]["request_id"]
    told = {"method": scope["method"], "route": _route(scope)}
    if isinstance(error, ClientDisconnect):
        log.info("caller left", **told)
        return
    if isinstance(error, HoraeError) and not answer.status:
        response = problem_response(error, instance=instance, request_id=request_id)
    elif isinstance(error, _DATABASE_AWAY) and not isinstance(error, asyncpg.DataError) and not answer.status:
        log.warning("database away", **told, error=str(error))
        away = Unavailable("The database does not answer.", hint="Send the request again in a moment.")
        response = problem_response(away, instance=instance, request_id=request_id)
    else:
        log.error("request failed", **told, exc_info=error)
        if answer.status:
            raise error
        response = internal_error(instance=instance, request_id=request_id)
    await response(scope, receive, answer)


class Door:
    """Wraps the whole application; `/v1` is behind a key, health, metrics, feeds and documentation are not."""

    def __init__(
        self, app: ASGIApp, *, authenticator: Authenticator, limiter: RateLimiter, metrics: Metrics, ids: Ids
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limiter = limiter
        self._metrics = metrics
        self._ids = ids
        self._lanes = Lanes()
        #: A line for each request is for debugging, and asking costs less here than there.
        self._tells_all = logging.getLogger("horae.api").isEnabledFor(logging.DEBUG)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(self._ids.new())
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        path: str = scope["path"]
        extra = [*_SECURITY, (b"x-request-id", request_id.encode())]
        if path not in _PAGES:
            extra.append(_NO_PAGE)
        started, answer = time.perf_counter(), _Answer(send, extra)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            try:
                if path.startswith("/v1/"):
                    await self._admit(headers, state, extra)
            except Exception as error:  # noqa: BLE001  answered or raised again
                await _explain(error, scope, receive, answer)
            else:
                await self._pass(scope, receive, answer, headers)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.request(scope["method"], _route(scope), answer.status, seconds)
            if self._tells_all:
                log.debug("request", method=scope["method"], route=_route(scope), status=answer.status, seconds=seconds)

    async def _pass(self, scope: Scope, receive: Receive, answer: _Answer, headers: Headers) -> None:
        """Let it in; a request below /v1 with a span around it, if anybody traces and it is not a stream for hours."""
        path: str = scope["path"]
        if not tracing.active() or not path.startswith("/v1/") or path == "/v1/events":
            await self._serve(scope, receive, answer)
            return
        method = scope["method"]
        # The route's template is known behind it only; the path itself may name a person.
        with tracing.span(
            method, kind="server", attributes={"http.request.method": method}, parent=headers.get("traceparent")
        ) as under_way:
            if (trace := tracing.trace_id()) is not None:
                structlog.contextvars.bind_contextvars(trace_id=trace)
            try:
                await self._serve(scope, receive, answer)
            finally:
                under_way.rename(f"{method} {_route(scope)}", {"http.route": _route(scope)})
                if answer.status:
                    under_way.describe({"http.response.status_code": answer.status})
                if answer.status >= 500:
                    under_way.fail(str(answer.status))

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Answer it, whatever happens: what goes wrong is answered here, within the request's span."""
        try:
            await self._go(scope, receive, answer)
        except Exception as error:  # noqa: BLE001  answered or raised again
            await _explain(error, scope, receive, answer)

    async def _go(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._lanes.run(scope, receive, send):
            await self._app(scope, receive, send)
            self._lanes.learn(scope)

    async def _admit(self, headers: Headers, state: dict[str, Any], extra: list[tuple[bytes, bytes]]) -> None:
        caller: Caller = await self._authenticator.caller(headers)
        allowance: Allowance | None = None if state.get(UNLIMITED) else self._limiter.take(str(caller.key))
        state["caller"] = caller
        structlog.contextvars.bind_contextvars(tenant=caller.tenant, actor=caller.actor)
        if allowance is None:
            return
        extra.extend(allowance.headers(self._limiter.window_s))
        if not allowance.allowed:
            raise RateLimited(
                f"The key has used its {allowance.limit} requests per {self._limiter.window_s} s.",
                retry_after_s=max(1, allowance.reset_s),
            )
