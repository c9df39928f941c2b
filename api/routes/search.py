"""Search: words, filters, facets and suggestions, over schedules, occurrences and what happened.

What was just written may take a moment to be found; with `min_position` PostgreSQL answers, which has it at once.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import Caller, caller_of
from horae.api.bodies import query
from horae.api.models.search import SearchQuery, SearchShown, Suggestions, SuggestQuery, found_shown, suggestions_shown
from horae.api.reading import MIN_POSITION_HEADER, services_of, settle
from horae.api.views import respond
from horae.domain.key import Scope
from horae.projections.search.ports import SearchIndex
from horae.projections.search.postgres import PostgresSearch

router = APIRouter(tags=["search"])


@router.get("/v1/search", **openapi.operation("Search", answer=SearchShown, query=SearchQuery))
async def search(request: Request) -> Response:
    """By words and filters; facets count all hits. Highlights are safe HTML. `served_by` says which engine answered."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, SearchQuery)
    reference = None
    if asked.recipient is not None:
        reference = services_of(request).refs.recipient_ref(caller.tenant, asked.recipient)
    engine = await _engine(request, caller, asked.min_position)
    return respond(found_shown(await engine.search(caller.tenant, asked.question(reference))))


@router.get("/v1/search/suggest", **openapi.operation("Complete a word", answer=Suggestions, query=SuggestQuery))
async def suggest(request: Request) -> Response:
    """Words that occur in the tenant's own documents and begin like the last one typed, most frequent first."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, SuggestQuery)
    engine = await _engine(request, caller, asked.min_position)
    return respond(suggestions_shown(await engine.suggest(caller.tenant, asked.q, asked.kind)))


async def _engine(request: Request, caller: Caller, min_position: int | None) -> SearchIndex:
    services = services_of(request)
    if min_position is None and MIN_POSITION_HEADER not in request.headers and services.search is not None:
        return services.search
    await settle(request, caller, min_position)
    return PostgresSearch(services.pool)
