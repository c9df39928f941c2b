"""The documentation is complete and true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, TypeAdapter

from horae.api import openapi
from tests.api.world import World

#: Nothing is stored, or each report brings an id of its own, or a repeat does no harm.
_WITHOUT_KEY = ("/v1/timings/preview", "/v1/clock/advance", "/v1/engagements", "/v1/models/fit", "/v1/schedules/import")
ALWAYS = {"401", "403", "404", "422", "429"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


async def test_every_operation_documents_its_errors_scope_and_answer(world: World) -> None:
    """Behind a key: 401, 403, 404, 422, 429 as problems, the scope, and a 2xx with a schema; POSTs their repeat key."""
    document = (await world.client.get("/openapi.json")).json()
    seen = 0
    for method, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        if not path.startswith("/v1/"):
            continue
        seen += 1
        assert set(operation["responses"]) >= ALWAYS, path
        for code in ALWAYS:
            assert list(operation["responses"][code]["content"]) == ["application/problem+json"], path
        assert operation["security"] == [{"bearer": []}, {"api_key": []}], path
        good = [response for code, response in operation["responses"].items() if code.startswith("2")]
        assert len(good) == 1, path
        assert good[0]["content"], path
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        stores = method == "post" and path not in _WITHOUT_KEY
        assert ("Idempotency-Key" in names) == (stores or method == "patch"), path
    assert seen >= 35
    assert {path.split("/")[1] for path in document["paths"]} == {"v1", "feeds", "healthz", "readyz", "metrics"}


async def test_references_lead_somewhere(world: World) -> None:
    """Every $ref of the document is a schema in it."""
    document = (await world.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]

    def refs(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for value in part.values():
                yield from refs(value)
        elif isinstance(part, list):
            for item in part:
                yield from refs(item)

    found = set(refs(document))
    assert found
    assert {ref for ref in found if ref.removeprefix("#/components/schemas/") not in schemas} == set()


async def test_every_example_is_valid(world: World) -> None:
    """Request examples, and the examples of every field of requests, validate against the models that judge them."""
    world.app.openapi()
    for model, mode in openapi.documented():
        if mode != "validation":
            continue
        for name, info in model.model_fields.items():
            for example in info.examples or []:
                annotation: Any = info.annotation
                field: TypeAdapter[Any] = TypeAdapter(annotation)
                assert field.validate_python(example) is not None, (model, name)
    for method, path, operation in operations(world.app.openapi()):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        judge = _model(content.get("schema", {}))
        for example in content.get("examples", {}).values():
            assert judge is not None, (method, path)
            judge.model_validate(example["value"])


def _model(schema: dict[str, Any]) -> type[BaseModel] | None:
    name = schema.get("$ref", "").rsplit("/", 1)[-1].removesuffix("-Input")
    return next((model for model, _ in openapi.documented() if model.__name__ == name), None)


async def test_the_documentation_is_a_page(world: World) -> None:
    """/docs serves the page without a key."""
    async with world.client_for(None) as nobody:
        answer = await nobody.get("/docs")
    assert answer.status_code == 200
    assert "text/html" in answer.headers["content-type"]
