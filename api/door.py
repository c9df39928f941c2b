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
#: A read or a look-up of a key met a PostgreSQL that is away, starting or stopping. (What a command stores or not is
#: told by the event store, which waits for it.)
_DATABASE_AWAY = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


def _route(scope: Scope) -> str:
    """The route's template: what metrics, traces and logs may know of a path, which may name a person."""
    route: str = getattr(scope.get("route"), "path", "unmatched")
    return route


class Door:
    """Wraps the whole application; `/v1` is behind a key, health, metrics and documentation are not."""

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
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in extra if h[0] not in present)]
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            if path.startswith("/v1/"):
                await self._admit(headers, state, extra)
            await self._pass(scope, receive, answer, headers)
        except HoraeError as error:
            if status:
                log.exception("request failed", method=scope["method"], route=_route(scope))
                raise
            await problem_response(error, instance=path, request_id=request_id)(scope, receive, answer)
        except ClientDisconnect:
            log.info("caller left", method=scope["method"], route=_route(scope))
        except Exception as error:
            if not status and isinstance(error, _DATABASE_AWAY) and not isinstance(error, asyncpg.DataError):
                log.warning("database away", method=scope["method"], route=_route(scope), error=str(error))
                away = Unavailable("The database does not answer.", hint="Send the request again in a moment.")
                await problem_response(away, instance=path, request_id=request_id)(scope, receive, answer)
                return
            log.exception("request failed", method=scope["method"], route=_route(scope))
            if status:  # The answer has begun: breaking the connection is the only honest end.
                raise
            await internal_error(instance=path, request_id=request_id)(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.request(scope["method"], _route(scope), status, seconds)
            if self._tells_all:
                log.debug("request", method=scope["method"], route=_route(scope), status=status, seconds=seconds)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Let it in; a request below /v1 with a span around it, if anybody traces and it is not a stream for hours."""
        path: str = scope["path"]
        if not tracing.active() or not path.startswith("/v1/") or path == "/v1/events":
            await self._go(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                status: int = message["status"]
                under_way.describe({"http.response.status_code": status})
                if status >= 500:
                    under_way.fail(str(status))
            await send(message)

        method = scope["method"]
        # The route's template is known behind it only; the path itself may name a person.
        with tracing.span(
            method, kind="server", attributes={"http.request.method": method}, parent=headers.get("traceparent")
        ) as under_way:
            if (trace := tracing.trace_id()) is not None:
                structlog.contextvars.bind_contextvars(trace_id=trace)
            try:
                await self._go(scope, receive, answer)
            finally:
                under_way.rename(f"{method} {_route(scope)}", {"http.route": _route(scope)})

    async def _go(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._lanes.run(scope, receive, send):
            await self._app(scope, receive, send)
            self._lanes.learn(scope)

    async def _admit(self, headers: Headers, state: dict[str, Any], extra: list[tuple[bytes, bytes]]) -> None:
        caller: Caller = await self._authenticator.caller(headers)
        allowance: Allowance | None = self._limiter.take(str(caller.key))
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
