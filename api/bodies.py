"""Request bodies and queries: read within bounds, refused at the door when some store downstream could not hold them.

A body is read once, parsed once and validated once. Every refusal names the field by its path in the request.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import Request

from horae.api.errors import InvalidFields, Malformed, TooLarge, UnsupportedType, shown
from horae.domain.errors import Invalid
from horae.domain.personal import refuse_unstorable

BODY_LIMIT = 1024 * 1024
BULK_LIMIT = 64 * 1024 * 1024
DEPTH_LIMIT = 32
IDEMPOTENCY_KEY_LIMIT = 255

M = TypeVar("M", bound=BaseModel)

#: Tags of tagged unions stand in pydantic's locations, but not in the request.
_TAGGED = {"timing": {"now", "at", "in", "phrase", "every", "best"}}


def content_type(request: Request) -> str:
    """The media type of the body, without its parameters."""
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()


async def chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises `TooLarge` as soon as it is known to be longer than `limit` bytes."""
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(int(declared), limit)
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > limit:
            raise _too_large(seen, limit)
        yield chunk


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"The body has {size} bytes or more, the limit is {limit}.",
        field="body",
        hint="Send less, or many schedules through POST /v1/schedules/bulk.",
    )


async def read(request: Request, *, limit: int = BODY_LIMIT, types: Sequence[str] = ("application/json",)) -> bytes:
    """The whole body. Raises `TooLarge`, or `UnsupportedType` unless its type is one of `types` (or it is empty)."""
    raw = b"".join([chunk async for chunk in chunks(request, limit)])
    if raw and content_type(request) not in types:
        raise UnsupportedType(
            f"The body's Content-Type is {content_type(request) or 'missing'}.",
            field="Content-Type",
            value=content_type(request) or None,
            hint=f"Send {' or '.join(types)}.",
        )
    return raw


def parse_json(raw: bytes) -> Any:
    """The JSON value of a body. Raises `Malformed`, or `Invalid` for what cannot be stored (U+0000, NaN)."""
    value = load_json(raw)
    check_storable(value)
    return value


def check_storable(value: object) -> None:
    """Refuse what is nested too deep, or holds what some store downstream cannot. Raises `Invalid`."""
    _check_depth(value, DEPTH_LIMIT)
    try:
        refuse_unstorable(value, "body")
    except Invalid as error:
        # The path in the request, as in every other refusal.
        error.field = (error.field or "body").removeprefix("body.")
        raise


def load_json(raw: bytes) -> Any:
    """The JSON value of a body, of which nothing is judged but that it is JSON. Raises `Malformed`, `Invalid`."""
    try:
        return from_json(raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        if "surrogate" in str(error) or "hex escape" in str(error):
            raise Invalid(
                f"The body holds half of a surrogate pair: {error}.", field="body", hint="Send whole characters."
            ) from None
        raise Malformed(
            f"The body is not JSON: {error}.",
            field="body",
            hint='Send an object: {"recipient": "user-17", ...}.',
        ) from None


def _check_depth(value: object, left: int) -> None:
    if left == 0:
        raise Invalid(
            f"The body is nested more than {DEPTH_LIMIT} levels deep.", field="body", hint="Flatten it, or send text."
        )
    if isinstance(value, dict):
        for item in value.values():
            if isinstance(item, dict | list):
                _check_depth(item, left - 1)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):
                _check_depth(item, left - 1)


def validate(model: type[M], value: object) -> M:
    """`value` as the model. Raises `InvalidFields`, one entry per wrong field, each with its path and a hint."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
        raise InvalidFields([_field(model, item) for item in found[:50]]) from None


async def read_model(request: Request, model: type[M]) -> tuple[M, Any]:
    """The body as the model, and as plain JSON for its digest. An empty body counts as {}."""
    raw = await read(request)
    value = parse_json(raw) if raw else {}
    return validate(model, value), value


def digest(request: Request, value: Any) -> str:
    """What tells one request from another under the same Idempotency-Key: method, path and canonical body."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{request.method} {request.url.path}\n{canonical}".encode()).hexdigest()


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, if there is one. Raises `Invalid` when it is empty or too long."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_LIMIT or "\x00" in key:
        raise Invalid(
            f"The Idempotency-Key has {len(key)} characters.",
            field="Idempotency-Key",
            value=key[:80],
            hint=f"Send 1 to {IDEMPOTENCY_KEY_LIMIT} characters, such as a UUID.",
        )
    return key


def query(request: Request, model: type[M]) -> M:
    """The query's parameters as the model; a repeated parameter is a list. Unknown ones are refused."""
    values: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        refuse_unstorable(value, name)
        if name not in values:
            values[name] = value
        elif isinstance(values[name], list):
            values[name].append(value)
        else:
            values[name] = [values[name], value]
    return validate(model, values)


# --- pydantic's errors in a client's words --------------------------------------------------------------------------


def path_of(location: Sequence[int | str]) -> str:
    """`("timing", "every", "cron")` as `timing.cron`, `("tags", 0)` as `tags[0]`."""
    path, previous = "", ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            continue
        if part in _TAGGED.get(previous, ()) or "[" in part or part == "nullable":
            previous = ""
            continue
        path += f".{part}" if path else part
        previous = part
    return path


def _field(model: type[BaseModel], item: ErrorDetails) -> dict[str, Any]:
    field = path_of(item["loc"]) or "body"
    cause = item.get("ctx", {}).get("error")
    detail = str(cause) if isinstance(cause, ValueError) else item["msg"]
    value = None if item["type"] == "missing" else shown(item.get("input"))
    return {
        "field": field,
        "code": item["type"],
        "detail": detail[:1].upper() + detail[1:] + ("" if detail.endswith(".") else "."),
        "value": value,
        "hint": _hint(model, item),
    }


def _hint(model: type[BaseModel], item: ErrorDetails) -> str | None:
    location = item["loc"]
    place = next((index for index in reversed(range(len(location))) if isinstance(location[index], str)), None)
    if place is None:
        return None
    name, parent = str(location[place]), _model_at(model, location[:place], location)
    if item["type"] == "extra_forbidden":
        known = sorted(info.alias or name for name, info in parent.model_fields.items()) if parent else []
        close = difflib.get_close_matches(name, known, n=1)
        if close:
            return f"Did you mean `{close[0]}`?"
        return f"Known fields: {', '.join(known)}." if known else "Leave it out."
    fields = parent.model_fields.items() if parent else ()
    info = next((info for own, info in fields if name in (own, info.alias)), None)
    if info is None:
        return None
    example = f"For example: {json.dumps(info.examples[0], default=str)}." if info.examples else ""
    return example or info.description


def _model_at(
    model: type[BaseModel], location: Sequence[int | str], tags: Sequence[int | str]
) -> type[BaseModel] | None:
    """The model in which `location` ends, found along annotations; None where that is no single model."""
    found: type[BaseModel] | None = model
    previous = ""
    for part in location:
        if isinstance(part, int) or found is None:
            continue
        is_tag, previous = part in _TAGGED.get(previous, ()), part
        info = None if is_tag else found.model_fields.get(part)
        if info is not None:
            found = _only_model(info.annotation, tags)
    return found


def _only_model(annotation: object, tags: Sequence[int | str]) -> type[BaseModel] | None:
    models = list(_models(annotation))
    if len(models) == 1:
        return models[0]
    return next((m for m in models if getattr(m.model_fields.get("kind"), "default", None) in tags), None)


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]
