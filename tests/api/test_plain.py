"""Specifications of routes that skip FastAPI's reading of parameters."""

from uuid import UUID

import httpx
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from horae.api.plain import Lanes, PlainRoute


def _client(lanes: Lanes | None = None, routed: list[str] | None = None) -> httpx.AsyncClient:
    router = APIRouter(route_class=PlainRoute)

    @router.post("/things", summary="Make a thing")
    async def make(request: Request) -> Response:
        return PlainTextResponse(await request.body(), 201)

    @router.get("/things/{thing}")
    async def get(request: Request, thing: UUID) -> Response:
        return PlainTextResponse(f"{request.method} {thing.hex}")

    app = FastAPI()
    app.include_router(router)

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if lanes is None or not await lanes.run(scope, receive, send):
            await app(scope, receive, send)
            if lanes is not None and routed is not None:
                routed.append(scope["path"])
                lanes.learn(scope)

    return httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://horae")


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


async def test_the_router_is_asked_once_for_a_path_without_parameters() -> None:
    """From the second time on the endpoint is called at once, and answers the same; other methods still go the way."""
    routed: list[str] = []
    client = _client(Lanes(), routed)
    answers = [await client.post("/things", content=b"%d" % n) for n in range(3)]
    assert [answer.content for answer in answers] == [b"0", b"1", b"2"]
    assert {answer.status_code for answer in answers} == {201}
    assert (await client.get("/things")).status_code == 405
    assert (await client.get("/things")).status_code == 405
    assert routed == ["/things"] * 3


async def test_what_depends_on_the_path_is_found_by_the_router_each_time() -> None:
    """Of paths with parameters, and of unknown ones, nothing is remembered."""
    routed: list[str] = []
    client = _client(Lanes(), routed)
    for path in (f"/things/{UUID(int=7)}", f"/things/{UUID(int=8)}", "/nothing", "/nothing", "/things/seven"):
        await client.get(path)
    assert len(routed) == 5
