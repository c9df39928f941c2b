"""The documentation of the API, kept complete by hand-made operations: FastAPI only lists the paths.

Handlers parse bodies and build answers themselves (once each), so each route says here which models it takes and gives,
which scope it needs and which errors it may end in. Schemas are generated from the very models that judge requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.responses import Response

from horae.api.errors import PROBLEM_TYPE
from horae.domain.conflicts import Against
from horae.domain.key import Scope

_ERRORS: dict[int, tuple[str, str]] = {
    400: ("The body cannot be read at all.", "malformed"),
    401: ("No valid API key.", "unauthenticated"),
    403: ("The key's scope does not allow it.", "forbidden"),
    404: ("Nothing of that id belongs to the tenant.", "not_found"),
    409: (
        "Not possible in the present state; `already_claimed` lists what cannot be called back, `conflicts` which "
        "other schedules are too close.",
        "conflict",
    ),
    412: ("If-Match names another version than the present one.", "version_mismatch"),
    413: ("The body is too large.", "too_large"),
    415: ("The Content-Type is not one that is read.", "unsupported_media_type"),
    422: ("A field is wrong: `field`, `value` and `hint` say which and what to do.", "invalid"),
    429: ("Too many requests, or open streams, of this key; see Retry-After.", "rate_limited"),
    503: ("Too busy, or not caught up in time; see Retry-After.", "busy"),
}
#: Every operation behind a key may end in these.
ALWAYS = (401, 403, 404, 422, 429, 503)
WITH_BODY = (400, 413, 415)

_KEYED: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]
_IDEMPOTENCY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeat of this request harmless: it gets the first answer again; another body gets 422.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "order-4711-reminder",
}
IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The version (ETag) that the change is meant for; if it is another by now, nothing happens (412).",
    "schema": {"type": "string"},
    "example": '"3"',
}
_ids: dict[str, tuple[type[BaseModel], JsonSchemaMode]] = {}


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    field: str | None = None
    value: Any = None
    hint: str | None = None
    request_id: str | None = None
    errors: list[dict[str, Any]] | None = None
    #: Of `schedule_conflict`: the first meeting with each of the others, at most twenty; and how many there are.
    conflicts: list[Against] | None = None
    others: int | None = None


def _ref(model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, str]:
    _ids[f"{model.__name__}:{mode}"] = (model, mode)
    return {"$ref": f"{model.__name__}:{mode}"}


def operation(
    summary: str,
    *,
    answer: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    examples: Mapping[str, Any] | None = None,
    scope: Scope | None = Scope.READ,
    status: int = 200,
    errors: Sequence[int] = (),
    parameters: Sequence[dict[str, Any]] = (),
    idempotent: bool = False,
    bodies: Mapping[str, Any] | None = None,
    answers: Mapping[str, Any] | None = None,
    alternatives: Sequence[type[BaseModel]] = (),
) -> dict[str, Any]:
    """Keyword arguments of a route. `bodies` and `answers` add further content types with their schemas."""
    content: dict[str, Any] = {}
    if answer is not None:
        refs = [_ref(model, "serialization") for model in (answer, *alternatives)]
        content["application/json"] = {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}
    content |= dict(answers or {})
    responses: dict[int | str, dict[str, Any]] = {status: {"description": "Done.", "content": content}}
    codes = {*(ALWAYS if scope else ()), *errors, *(WITH_BODY if body or bodies else ())}
    for code in sorted(codes):
        responses[code] = _problem(code)
    extra: dict[str, Any] = {"parameters": [*_parameters(query), *parameters]}
    if scope is not None:
        extra["security"] = _KEYED
        extra["x-scope"] = scope.value
    if idempotent:
        extra["parameters"].append(_IDEMPOTENCY)
    if body is not None or bodies:
        extra["requestBody"] = _body(body, examples, bodies or {})
    return {
        "summary": summary,
        "status_code": status,
        "responses": responses,
        "response_class": Response,
        "response_model": None,
        "openapi_extra": {name: part for name, part in extra.items() if part},
    }


def _body(
    body: type[BaseModel] | None, examples: Mapping[str, Any] | None, bodies: Mapping[str, Any]
) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if body is not None:
        content["application/json"] = {"schema": _ref(body, "validation")}
        if examples:
            content["application/json"]["examples"] = {name: {"value": value} for name, value in examples.items()}
    content |= dict(bodies)
    required = body is None or any(field.is_required() for field in body.model_fields.values())
    return {"required": required, "content": content}


def _problem(code: int) -> dict[str, Any]:
    description, name = _ERRORS[code]
    example = {
        "type": f"urn:horae:problem:{name}",
        "title": description.split(".")[0],
        "status": code,
        "detail": description,
        "instance": "/v1/schedules",
        "code": name,
        "request_id": "01936f3e-5b70-7cc4-a8d1-5f1e3c9d2a10",
    }
    if code == 422:
        example |= {
            "field": "timing.cron",
            "value": "0 9 * * MOONDAY",
            "hint": "For example: 0 9 * * MON-FRI.",
        }
    return {
        "description": description,
        "content": {PROBLEM_TYPE: {"schema": _ref(Problem, "serialization"), "example": example}},
    }


def _parameters(query: type[BaseModel] | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    schema = query.model_json_schema()
    found = []
    for name, field in schema["properties"].items():
        description = field.pop("description", None)
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        if description:
            parameter["description"] = description
        found.append(parameter)
    return found


def ref(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, str]:
    """A reference to a model's schema, for content types other than JSON."""
    return _ref(model, mode)


def documented() -> list[tuple[type[BaseModel], JsonSchemaMode]]:
    """The models that operations refer to, and whether as request or as answer."""
    return list(_ids.values())


def build(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of `app`, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        openapi_version=app.openapi_version,
    )
    places, definitions = models_json_schema(documented(), ref_template="#/components/schemas/{model}")
    targets = {f"{model.__name__}:{mode}": schema["$ref"] for (model, mode), schema in places.items()}
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions.get("$defs", {}))
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    app.openapi_schema = _resolved(document, targets)
    return app.openapi_schema


def _resolved(part: Any, targets: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {
            key: targets.get(value, value) if key == "$ref" and isinstance(value, str) else _resolved(value, targets)
            for key, value in part.items()
        }
    if isinstance(part, list):
        return [_resolved(item, targets) for item in part]
    return part
