"""Routes whose endpoint takes the request as it comes: FastAPI documents them, and Starlette alone runs them.

Place in the flow: door -> *route* -> endpoint. The endpoints here read and judge their input themselves (`bodies`), so
that errors are the same everywhere; FastAPI's own reading of parameters would only cost time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class PlainRoute(APIRoute):
    """Calls an endpoint of the single parameter `request` directly; any other goes FastAPI's way."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for the function between request and response."""
        if list(inspect.signature(self.endpoint).parameters) == ["request"]:
            handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
            return handler
        return super().get_route_handler()
