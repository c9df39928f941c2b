"""Routes whose endpoint takes the request as it comes: FastAPI documents them, and Starlette alone runs them.

Place in the flow: door -> *route* -> endpoint. The endpoints here read and judge their input themselves (`bodies`), so
that errors are the same everywhere; FastAPI's own reading of parameters would only cost time. Nor need the router look
again for what it has found before: `Lanes` remembers the paths without parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class PlainRoute(APIRoute):
    """Calls an endpoint of the single parameter `request` directly; any other goes FastAPI's way."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for the function between request and response."""
        if self.is_plain:
            handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
            return handler
        return super().get_route_handler()

    @cached_property
    def is_plain(self) -> bool:
        """Whether the endpoint takes the request and nothing else."""
        return list(inspect.signature(self.endpoint).parameters) == ["request"]


class Lanes:
    """The plain routes that the router has found so far, by method and path; those with parameters are never here.

    So there are at most as many as the application has routes. What the skipped middleware does, the door does itself:
    it answers for errors, and endpoints here raise no other than the house's.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], PlainRoute] = {}

    async def run(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer the request if its route is known; False: nothing was done."""
        route = self._found.get((scope["method"], scope["path"]))
        if route is None:
            return False
        scope["route"] = route
        response: Response = await route.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)
        return True

    def learn(self, scope: Scope) -> None:
        """Remember which route the router has found for this request, if it is a plain one."""
        route, method = scope.get("route"), scope["method"]
        if not isinstance(route, PlainRoute) or not route.is_plain or scope["path_params"]:
            return
        if method in (route.methods or ()):
            self._found[method, scope["path"]] = route
