"""Errors on their way out: the only place that knows HTTP statuses, and the shape of a problem (RFC 9457).

Everything below raises `HoraeError`s; here each becomes `application/problem+json` that names the field, the value and
what to do. What nobody foresaw becomes a 500 that says nothing but the request id under which the log has it all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from horae.domain import errors
from horae.domain.conflicts import ScheduleConflict

PROBLEM_TYPE = "application/problem+json"
#: Longer values are cut in problem documents, so that an error is never larger than what caused it by much.
_SHOWN_VALUE = 200


class Malformed(errors.HoraeError):
    """The body is not what its Content-Type says: it could not be read at all."""

    code = "malformed"


class TooLarge(errors.HoraeError):
    """The body is larger than this operation takes: split it, or use the bulk operation."""

    code = "too_large"


class UnsupportedType(errors.HoraeError):
    """The body's Content-Type is not one that this operation reads."""

    code = "unsupported_media_type"


class RateLimited(errors.HoraeError):
    """The key has used up its requests for now; wait `retry_after_s`."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, hint=f"Try again in {math.ceil(retry_after_s)} s; create many at once in bulk.")
        self.retry_after_s = retry_after_s


class TooManyStreams(errors.HoraeError):
    """The key has as many event streams open as it may: close one, or share one among your readers."""

    code = "too_many_streams"
    retry_after_s = 5.0


class InvalidFields(errors.Invalid):
    """Several fields are wrong; `fields` has one entry per field, the first is also the error's own."""

    def __init__(self, fields: Sequence[Mapping[str, Any]]) -> None:
        first = fields[0]
        more = "" if len(fields) == 1 else f" ({len(fields) - 1} more fields are wrong, see `errors`)"
        super().__init__(
            f"{first['detail']}{more}", field=first["field"], value=first.get("value"), hint=first.get("hint")
        )
        self.fields = list(fields)


#: First match wins along an error's ancestry: code -> (status, title).
STATUSES: dict[type[errors.HoraeError], tuple[int, str]] = {
    Malformed: (400, "The request cannot be read"),
    errors.Unauthenticated: (401, "No valid API key"),
    errors.Forbidden: (403, "The key's scope does not allow this"),
    errors.NotFound: (404, "Not found"),
    errors.VersionMismatch: (412, "Changed meanwhile"),
    errors.AlreadyClaimed: (409, "Already on its way"),
    ScheduleConflict: (409, "Too close to other schedules"),
    errors.Conflict: (409, "Not possible in the present state"),
    TooLarge: (413, "Too large"),
    UnsupportedType: (415, "Unsupported content type"),
    errors.IdempotencyMismatch: (422, "The Idempotency-Key belongs to another request"),
    errors.Invalid: (422, "The request is not valid"),
    RateLimited: (429, "Too many requests"),
    TooManyStreams: (429, "Too many open streams"),
    errors.Busy: (503, "Too busy"),
    errors.Unavailable: (503, "Not available"),
    errors.HoraeError: (500, "Internal error"),
}

_HTTP_CODES = {404: ("not_found", "Not found"), 405: ("method_not_allowed", "Method not allowed")}


def status_of(error: errors.HoraeError) -> tuple[int, str]:
    """HTTP status and title of an error."""
    for ancestor in type(error).__mro__:
        if ancestor in STATUSES:
            return STATUSES[ancestor]
    raise AssertionError("every HoraeError has a status")


def shown(value: Any) -> Any:
    """`value` as JSON can hold it, cut if it is long; what was given is recognised, not repeated in full."""
    try:
        text = json.dumps(value, default=str, allow_nan=False)
    except (ValueError, RecursionError, TypeError):
        text, value = repr(type(value)), None
    if value is None or len(text) > _SHOWN_VALUE:
        return None if value is None else text[:_SHOWN_VALUE] + "…"
    return json.loads(text)


def problem(error: errors.HoraeError, *, instance: str, request_id: str | None) -> dict[str, Any]:
    """The members of the problem document; `status` says which HTTP status goes with it."""
    status, title = status_of(error)
    document: dict[str, Any] = {
        "type": f"urn:horae:problem:{error.code}",
        "title": title,
        "status": status,
        "detail": error.message,
        "instance": instance,
        "code": error.code,
        "field": error.field,
        "value": shown(error.value),
        "hint": error.hint,
        "request_id": request_id,
    }
    document = {name: member for name, member in document.items() if member is not None}
    if isinstance(error, InvalidFields):
        document["errors"] = [{k: v for k, v in field.items() if v is not None} for field in error.fields]
    if isinstance(error, ScheduleConflict):
        document |= {"conflicts": error.conflicts, "others": error.settlement.others}
    for name, member in error.extra.items():
        document.setdefault(name, shown(member))
    return document


def problem_response(error: errors.HoraeError, *, instance: str, request_id: str | None) -> Response:
    """The answer that reports `error`, with Retry-After and WWW-Authenticate where they belong."""
    document = problem(error, instance=instance, request_id=request_id)
    headers: dict[str, str] = {}
    retry_after_s = getattr(error, "retry_after_s", 1.0 if isinstance(error, errors.Unavailable) else None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    if document["status"] == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="horae"'
    return Response(json.dumps(document).encode(), document["status"], headers, PROBLEM_TYPE)


def internal_error(*, instance: str, request_id: str | None) -> Response:
    """The answer for what nobody foresaw: no detail leaves the house, the log has it under the request id."""
    document = {
        "type": "urn:horae:problem:internal",
        "title": "Internal error",
        "status": 500,
        "detail": "Something went wrong on our side; nothing is known to be half-done.",
        "hint": "Try again with the same Idempotency-Key; if it stays, report the request id.",
        "instance": instance,
        "code": "internal",
        "request_id": request_id,
    }
    return Response(json.dumps(document).encode(), 500, media_type=PROBLEM_TYPE)


def request_id_of(request: Request) -> str | None:
    """The id that the door gave to this request."""
    value: str | None = request.scope.get("state", {}).get("request_id")
    return value


async def on_horae_error(request: Request, error: Exception) -> Response:
    """Exception handler for `HoraeError`."""
    assert isinstance(error, errors.HoraeError)
    return problem_response(error, instance=request.url.path, request_id=request_id_of(request))


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Exception handler for what FastAPI itself validates: the ids in paths."""
    assert isinstance(error, RequestValidationError)
    fields = [
        {
            "field": str(item["loc"][-1]),
            "code": item["type"],
            "detail": item["msg"],
            "value": shown(item.get("input")),
            "hint": "Ids are UUIDs, as given when the thing was created.",
        }
        for item in error.errors()
    ]
    return await on_horae_error(request, InvalidFields(fields))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Exception handler for the router's own refusals: no such path, no such method."""
    assert isinstance(error, HTTPException)
    code, title = _HTTP_CODES.get(error.status_code, ("http_error", "Refused"))
    document = {
        "type": f"urn:horae:problem:{code}",
        "title": title,
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}: {str(error.detail).lower()}.",
        "hint": "All operations are listed at /docs.",
        "instance": request.url.path,
        "code": code,
        "request_id": request_id_of(request),
    }
    headers = dict(error.headers or {})
    return Response(json.dumps(document).encode(), error.status_code, headers, PROBLEM_TYPE)
