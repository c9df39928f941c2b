"""Many schedules in one request: a JSON array or NDJSON in, one result per item out, in order.

NDJSON is read as it arrives and stored in chunks, so that a request of any length needs little memory. Each item stands
for itself: a bad one is refused, the others are stored.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import BODY_LIMIT, BULK_LIMIT, check_storable, chunks, content_type, load_json, validate
from horae.api.errors import Malformed, UnsupportedType, problem, request_id_of
from horae.api.models.bulk import BulkItemShown, BulkSchedule, BulkSchedules, BulkShown, Everybody
from horae.api.reading import services_of
from horae.api.views import call_of, respond
from horae.commands.bulk import CHUNK, BulkItem, BulkResult
from horae.commands.context import Call
from horae.domain.errors import HoraeError, Invalid
from horae.domain.key import Scope

router = APIRouter(tags=["schedules"])

NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_EXAMPLE = {"recipient": "user-17", "channel": "log:", "timing": {"kind": "in", "delay": "PT30M"}}
_WHEREVER = {
    "recipients": ["user-17", "user-18"],
    "schedule": {"channel": "log:", "timing": {"kind": "at", "local": "2027-03-01T09:00", "zone": "recipient"}},
    "if_past": "next_day",
    "if_no_zone": "skip",
}

#: An item as it came: its place, and its JSON value or what is wrong with its line.
Raw = tuple[int, Any]


class Duplex(StreamingResponse):
    """Answers while the request is still being read: nobody else may take messages from the client meanwhile."""

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Starlette's own would listen for the client leaving, and so swallow the rest of the body."""
        await self.stream_response(send)


@router.post(
    "/v1/schedules/bulk",
    **openapi.operation(
        "Create many schedules",
        body=BulkSchedules,
        answer=BulkShown,
        scope=Scope.WRITE,
        idempotent=True,
        examples={"two": [_EXAMPLE, {**_EXAMPLE, "recipient": "user-18"}], "wherever they are": _WHEREVER},
        bodies={NDJSON[0]: {"schema": openapi.ref(BulkSchedule, "validation"), "example": _EXAMPLE}},
        answers={NDJSON[0]: {"schema": openapi.ref(BulkItemShown, "serialization")}},
    ),
)
async def create_schedules(request: Request) -> Response:
    """Up to 64 MiB; an object with `recipients` gives each of them the same `schedule`.

    With `Accept: application/x-ndjson` each result is a line, sent as soon as it is stored. Under an Idempotency-Key
    every item has its own by its place; an item may also bring one (`idempotency_key`).
    """
    caller = caller_of(request, Scope.WRITE)
    kind = content_type(request)
    if kind != "application/json" and kind not in NDJSON:
        raise UnsupportedType(
            f"The body's Content-Type is {kind or 'missing'}.",
            field="Content-Type",
            value=kind or None,
            hint=f"Send application/json (an array) or {NDJSON[0]}.",
        )
    call = call_of(request, caller)
    items = _lines(request) if kind in NDJSON else _array(request)
    results = _results(request, call, items)
    if NDJSON[0] in request.headers.get("accept", ""):
        # The first result decides whether the request as a whole can be answered: until then it may still be refused.
        first = await anext(results, None)
        return Duplex(_ndjson(request, first, results), 200, media_type=NDJSON[0])
    shown = [item async for item in results]
    skipped = sum(item.skipped is not None for item in shown)
    created = sum(item.id is not None and not item.replayed for item in shown)
    rejected = sum(item.error is not None for item in shown)
    answer = BulkShown.model_construct(
        created=created,
        replayed=len(shown) - created - skipped - rejected,
        skipped=skipped,
        rejected=rejected,
        position=max((item.position for item in shown if item.position is not None), default=None),
        items=shown,
    )
    return respond(answer)


async def _ndjson(
    request: Request, first: BulkItemShown | None, results: AsyncIterator[BulkItemShown]
) -> AsyncIterator[bytes]:
    index = -1 if first is None else first.index
    if first is not None:
        yield first.model_dump_json().encode() + b"\n"
    try:
        async for item in results:
            index = item.index
            yield item.model_dump_json().encode() + b"\n"
    except HoraeError as error:
        # The answer has begun, so that its status cannot say it any more: the last line does.
        ended = BulkResult(index=index + 1, error=error)
        for item in _shown(request, iter([ended])):
            yield item.model_dump_json().encode() + b"\n"


async def _array(request: Request) -> AsyncIterator[Raw]:
    value = load_json(b"".join([chunk async for chunk in chunks(request, BULK_LIMIT)]))
    if isinstance(value, dict) and "recipients" in value:
        value = _for_each(validate(Everybody, value))
    if not isinstance(value, list):
        raise Invalid(
            "The body is neither an array nor an object with `recipients`.",
            field="body",
            hint='Send [schedule, schedule, ...], {"recipients": [...], "schedule": {...}}, or NDJSON.',
        )
    for index, item in enumerate(value):
        yield index, item


def _for_each(everybody: Everybody) -> list[Any]:
    """The items that one schedule for many recipients stands for."""
    for name, hint in (
        ("recipient", "Leave it out: each of `recipients` gets one."),
        ("idempotency_key", "Send an Idempotency-Key with the request: each recipient has their own by their place."),
    ):
        if name in everybody.schedule:
            raise Invalid(
                f"The schedule that all get has a `{name}` of its own.",
                field=f"schedule.{name}",
                value=str(everybody.schedule[name])[:80],
                hint=hint,
            )
    common = {"if_past": everybody.if_past, "if_no_zone": everybody.if_no_zone, **everybody.schedule}
    return [{**common, "recipient": recipient} for recipient in everybody.recipients]


async def _lines(request: Request) -> AsyncIterator[Raw]:
    index, rest = 0, b""
    async for chunk in chunks(request, BULK_LIMIT):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield index, _line(line)
                index += 1
        if len(rest) > BODY_LIMIT:
            raise Malformed(
                f"Line {index + 1} is longer than {BODY_LIMIT} bytes.",
                field=f"[{index}]",
                hint="One schedule per line.",
            )
    if rest.strip():
        yield index, _line(rest)


def _line(line: bytes) -> Any:
    try:
        return load_json(line)
    except HoraeError as error:
        return error


async def _results(request: Request, call: Call, items: AsyncIterator[Raw]) -> AsyncIterator[BulkItemShown]:
    waiting: list[Raw] = []
    async for raw in items:
        waiting.append(raw)
        if len(waiting) == CHUNK:
            for shown in await stored(request, call, waiting):
                yield shown
            waiting = []
    if waiting:
        for shown in await stored(request, call, waiting):
            yield shown


async def stored(request: Request, call: Call, raws: list[Raw]) -> list[BulkItemShown]:
    """Ask for these items, each for itself; their results, in order."""
    judged = [_judge(index, value) for index, value in raws]
    good = [item for item in judged if isinstance(item, BulkItem)]
    created = await services_of(request).schedules.bulk_create(call, good)
    for item, result in zip(good, created, strict=True):
        if result.answer is not None and not result.answer.replayed:
            request.app.state.metrics.created(item.draft)
    outcomes = iter(created)
    results = (next(outcomes) if isinstance(item, BulkItem) else item for item in judged)
    return list(_shown(request, results))


def _judge(index: int, value: Any) -> BulkItem | BulkResult:
    if isinstance(value, HoraeError):
        return BulkResult(index=index, error=value)
    try:
        check_storable(value)
        item = validate(BulkSchedule, value)
    except HoraeError as error:
        return BulkResult(index=index, error=error)
    return BulkItem(index=index, draft=item.draft(), key=item.idempotency_key, rules=item.rules())


def _shown(request: Request, results: Iterator[BulkResult]) -> Iterator[BulkItemShown]:
    for result in results:
        if result.error is not None:
            where = f"{request.url.path}#{result.index}"
            document = problem(result.error, instance=where, request_id=request_id_of(request))
            yield BulkItemShown.model_construct(index=result.index, status=document["status"], error=document)
            continue
        if result.skipped is not None:
            yield BulkItemShown.model_construct(index=result.index, status=200, skipped=result.skipped)
            continue
        answer = result.answer
        assert answer is not None
        yield BulkItemShown.model_construct(
            index=result.index,
            status=201,
            id=answer.id,
            version=answer.version,
            position=answer.position,
            next_due_at=answer.state.next.due_at if answer.state.next else None,
            replayed=answer.replayed,
            settled=answer.state.settled,
        )
