"""Search over HTTP: words, filters, facets, pages, suggestions; and what answers while the search engine is away."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from horae.domain.errors import Invalid, Unavailable
from horae.infra.searching import SearchWithSubstitute
from horae.projections.search.documents import Kind
from horae.projections.search.ports import Count, Facets, Found, Hit, Query
from horae.projections.search.postgres import PostgresSearch
from tests.api.world import DAILY, LOG_NOW, World, make_world
from tests.fixtures.postgres import Database

REPORT = {"subject": "Weekly <report>", "to": "Grüße"}


class Engine:
    """An engine for the substitution alone: answers with nothing, or is away."""

    name = "elasticsearch"

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def search(self, tenant: str, query: Query) -> Found:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        query.check()
        return Found((Hit("schedule", "x", (), {"tenant": tenant}),), Facets(), 1, True, None, self.name)

    async def suggest(self, tenant: str, prefix: str, kind: Kind = "schedule") -> list[Count]:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        return [Count("word", 1)]


@pytest.mark.covers("LIF-10")
async def test_words_filters_and_facets(world: World) -> None:
    """A hit with its highlight, in short; facets over all hits; who answered."""
    made = await world.create(content=REPORT, tags=["a", "b"], metadata={"type": "digest"})
    await world.create(content={"subject": "Invoice"}, tags=["a"], recipient="user-18")
    found = await world.get("/v1/search", q="report", tag="a")
    (hit,) = found["items"]
    assert (hit["kind"], hit["id"]) == ("schedule", made["id"])
    assert hit["highlights"] == [{"field": "content.subject", "html": "Weekly &lt;<mark>report</mark>&gt;"}]
    assert hit["source"]["recipient"] == "user-17"
    assert (found["total"], found["exact"], found["next"], found["served_by"]) == (1, True, None, "postgresql")
    everything = await world.get("/v1/search")
    assert everything["facets"]["tag"] == [{"value": "a", "count": 2}, {"value": "b", "count": 1}]
    assert everything["facets"]["status"] == [{"value": "pending", "count": 2}]
    assert sum(hour["count"] for hour in everything["facets"]["due_hours"]) == 2
    assert (await world.get("/v1/search", recipient="user-18"))["total"] == 1
    assert (await world.get("/v1/search", priority=4))["total"] == 0


async def test_pages_follow_next(world: World) -> None:
    """Every hit once, in any order."""
    ids = {(await world.create(content={"n": f"page {n}"}))["id"] for n in range(5)}
    for sort in ("relevance", "due", "created"):
        seen: list[str] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await world.get("/v1/search", q="page", sort=sort, limit=2, **cursor)
            seen += [hit["id"] for hit in page["items"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert (len(seen), set(seen)) == (5, ids)


async def test_occurrences_and_what_happened(world: World) -> None:
    """The other two kinds: what became of a schedule, and who did what."""
    await world.create({**LOG_NOW, "content": {"subject": "Reminder"}})
    (attempt,) = await world.claim_due()
    await world.fail(attempt, retryable=False)
    await world.settled()
    dead = await world.get("/v1/search", kind="occurrence", q="reminder 500", status="dead_lettered")
    assert [hit["id"] for hit in dead["items"]] == [str(attempt.occurrence.id)]
    made = await world.get("/v1/search", kind="audit", type="schedule.created")
    assert made["items"][0]["source"]["actor"].startswith("key:")
    assert made["items"][0]["id"].isdecimal()


async def test_suggestions(world: World) -> None:
    """Words of one's own documents."""
    await world.create(content=REPORT)
    assert (await world.get("/v1/search/suggest", q="rep"))["items"] == [{"value": "report", "count": 1}]
    assert (await world.get("/v1/search/suggest", q="weekly rep"))["items"] == [{"value": "report", "count": 1}]
    theirs = await world.other.get("/v1/search/suggest", params={"q": "rep"})
    assert theirs.json() == {"items": []}


@pytest.mark.parametrize("query", [{}, {"q": "report"}, {"kind": "audit", "q": "report"}, {"kind": "occurrence"}])
async def test_a_tenant_finds_its_own(world: World, query: dict[str, str]) -> None:
    """Another tenant's key finds nothing of it, and its facets count nothing."""
    await world.create(content=REPORT, tags=["mine"])
    await world.settled()
    found = (await world.other.get("/v1/search", params={**query})).json()
    assert REPORT["subject"] not in str(found)
    assert "mine" not in str(found)
    assert query.get("kind") == "audit" or found["total"] == 0


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"q": '"open'}, "q"),
        ({"q": "-only"}, "q"),
        ({"q": "x" * 501}, "q"),
        ({"limit": "201"}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"kind": "everything"}, "kind"),
        ({"kind": "audit", "status": "pending"}, "status"),
        ({"sort": "size"}, "sort"),
        ({"due_from": "yesterday"}, "due_from"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_bad_question_names_its_field(world: World, params: dict[str, str], field: str) -> None:
    """As every refusal does."""
    answer = await world.client.get("/v1/search", params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert answer.json().get("hint")


@pytest.mark.covers("EXT-19")
async def test_postgresql_answers_while_the_engine_is_away(database: Database) -> None:
    """The answer says who served it; the engine that failed is left alone for a while, then asked again."""
    engine, now = Engine(), [0.0]
    async with make_world(database) as first:
        search = SearchWithSubstitute(engine, PostgresSearch(first.services.pool), monotonic=lambda: now[0])
        async with make_world(database, search=search) as world:
            await world.create(content=REPORT)
            await world.settled()

            async def served() -> str:
                answer: httpx.Response = await world.client.get("/v1/search", params={"q": "report"})
                assert answer.status_code == 200
                return str(answer.json()["served_by"])

            assert await served() == "elasticsearch"
            engine.away = True
            assert await served() == "postgresql"
            engine.away = False
            assert (await served(), engine.asked) == ("postgresql", 2)
            # Lists never ask it.
            assert (await world.client.get("/v1/schedules")).status_code == 200
            now[0] += 5.0
            assert (await served(), engine.asked) == ("elasticsearch", 3)
            # Whoever wants to read what he wrote gets it from where it is at once.
            found = await world.get("/v1/search", q="report")
            assert (found["served_by"], found["total"]) == ("postgresql", 1)


async def test_a_page_by_relevance_goes_on_where_it_began(world: World) -> None:
    """A cursor of the substitute is asked there, whoever answers first by then; a bad one is refused all the same."""
    for number in range(3):
        await world.create({**DAILY, "content": {"n": f"page {number}"}})
    await world.settled()
    engine = Engine()
    engine.away = True
    search = SearchWithSubstitute(engine, PostgresSearch(world.services.pool), monotonic=lambda: 0.0)
    first = await search.search("acme", Query(q="page", limit=2))
    engine.away = False
    second = await search.search("acme", Query(q="page", limit=2, cursor=first.next))
    assert (len(second.items), second.served_by) == (1, "postgresql")
    with pytest.raises(Invalid):
        await search.search("acme", Query(q="page", limit=0))
