"""Specifications of routes that skip FastAPI's reading of parameters."""

from uuid import UUID

import httpx
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from horae.api.plain import PlainRoute


def _client() -> httpx.AsyncClient:
    router = APIRouter(route_class=PlainRoute)

    @router.post("/things", summary="Make a thing")
    async def make(request: Request) -> Response:
        return PlainTextResponse(await request.body(), 201)

    @router.get("/things/{thing}")
    async def get(request: Request, thing: UUID) -> Response:
        return PlainTextResponse(f"{request.method} {thing.hex}")

    app = FastAPI()
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://horae")


async def test_an_endpoint_of_the_request_alone_gets_it_as_it_came() -> None:
    """Its body is the client's, and its answer is sent as it is."""
    answer = await _client().post("/things", content=b"\x00 anything")
    assert (answer.status_code, answer.content) == (201, b"\x00 anything")


async def test_an_endpoint_with_parameters_still_has_them_read() -> None:
    """A path parameter arrives as its type, and a wrong one is refused."""
    client = _client()
    assert (await client.get(f"/things/{UUID(int=7)}")).text == f"GET {UUID(int=7).hex}"
    assert (await client.get("/things/seven")).status_code == 422


async def test_both_are_documented() -> None:
    """The OpenAPI document does not know the difference."""
    document = (await _client().get("/openapi.json")).json()
    assert document["paths"]["/things"]["post"]["summary"] == "Make a thing"
    assert document["paths"]["/things/{thing}"]["get"]["parameters"][0]["name"] == "thing"
