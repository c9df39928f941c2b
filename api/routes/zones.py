"""Zones: what the clock shows where, when it is changed, and which names there are. Nothing here is stored."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import Caller, caller_of
from horae.api.bodies import query
from horae.api.models.zones import (
    ConvertQuery,
    NameJudged,
    NameQuery,
    NowQuery,
    Transitions,
    TransitionsQuery,
    ZoneNames,
    ZoneQuery,
    ZonesQuery,
)
from horae.api.reading import services_of
from horae.api.views import respond
from horae.domain.errors import Invalid
from horae.domain.key import Scope
from horae.domain.timing import zonefacts
from horae.domain.timing.zones import canonical, check_zone, tzdata_version

router = APIRouter(tags=["zones"])


@router.get("/v1/zones", **openapi.operation("List zones", answer=ZoneNames, query=ZonesQuery))
async def list_zones(request: Request) -> Response:
    """Every name of the IANA database, old ones too; or those in use in a country."""
    caller_of(request, Scope.READ)
    asked = query(request, ZonesQuery)
    return respond(ZoneNames.model_construct(tzdata=tzdata_version(), items=zonefacts.zones_of(asked.country)))


@router.get("/v1/zones/info", **openapi.operation("Describe a zone", answer=zonefacts.ZoneFacts, query=ZoneQuery))
async def describe_zone(request: Request) -> Response:
    """Offset, abbreviation, whether it is daylight-saving time, other names, and the clock changes on either side."""
    caller_of(request, Scope.READ)
    asked = query(request, ZoneQuery)
    return respond(zonefacts.facts(asked.zone, asked.at or services_of(request).clock.now()))


@router.get(
    "/v1/zones/transitions",
    **openapi.operation("List a year's clock changes", answer=Transitions, query=TransitionsQuery),
)
async def list_transitions(request: Request) -> Response:
    """Each with the local times that it leaves out or repeats."""
    caller_of(request, Scope.READ)
    asked = query(request, TransitionsQuery)
    year = asked.year if asked.year is not None else services_of(request).clock.now().year
    found = zonefacts.transitions(asked.zone, year)
    return respond(Transitions.model_construct(zone=asked.zone, year=year, tzdata=tzdata_version(), items=found))


@router.get("/v1/zones/convert", **openapi.operation("Convert a time", answer=zonefacts.Conversion, query=ConvertQuery))
async def convert_time(request: Request) -> Response:
    """An instant or a local time, on the clocks of other zones or of a recipient.

    A local time that a clock change skips moves on by as much, as in timings; `branch` says so.
    """
    caller = caller_of(request, Scope.READ)
    asked = query(request, ConvertQuery)
    targets = [(name, "to") for name in asked.to]
    if asked.recipient is not None:
        targets.append((await _zone_of(request, caller, asked.recipient), "recipient"))
    return respond(zonefacts.convert(asked.at, asked.from_, asked.fold, targets, "at"))


@router.get("/v1/zones/now", **openapi.operation("What time is it there", answer=zonefacts.Conversion, query=NowQuery))
async def tell_time(request: Request) -> Response:
    """The service's present, which a virtual clock may have moved, on the clocks that are asked for."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, NowQuery)
    targets = [(name, "zone") for name in asked.zone]
    if asked.recipient is not None:
        targets.append((await _zone_of(request, caller, asked.recipient), "recipient"))
    targets = targets or [(services_of(request).settings.default_zone, "zone")]
    return respond(zonefacts.convert(services_of(request).clock.now(), None, 0, targets))


@router.get("/v1/zones/validate", **openapi.operation("Judge a zone's name", answer=NameJudged, query=NameQuery))
async def validate_zone(request: Request) -> Response:
    """Whether timings may name it. Old names are valid; `canonical` is the one that plans use."""
    caller_of(request, Scope.READ)
    asked = query(request, NameQuery)
    try:
        check_zone(asked.zone, "zone")
    except Invalid as refused:
        return respond(NameJudged.model_construct(zone=asked.zone, valid=False, canonical=None, hint=refused.hint))
    return respond(NameJudged.model_construct(zone=asked.zone, valid=True, canonical=canonical(asked.zone), hint=None))


async def _zone_of(request: Request, caller: Caller, recipient: str) -> str:
    """The zone that `recipient` means in a timing."""
    services = services_of(request)
    return await services.recipients.zone(caller.tenant, recipient) or services.settings.default_zone
