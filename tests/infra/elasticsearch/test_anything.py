"""Whatever the API accepts both engines index, and both find it by the same words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horae.domain.errors import Invalid
from horae.infra.stack import ElasticsearchServer
from horae.projections.search.documents import Document, schedule_texts
from horae.projections.search.ports import Query
from horae.projections.search.postgres import tsquery_of
from horae.projections.search.words import matches, parse, tsvector_of
from tests.fixtures.postgres import Database
from tests.infra.elasticsearch.world import Search, open_search

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
#: Words that meet each other often, in scripts that are cut in different ways.
WORDS = st.lists(
    st.sampled_from(
        ["report", "Report", "re", "user-17", "Grüße", "GRÜSSE", "世界", "世", "हिन्दी", "ﬁne", "½", "a_b", "İ"]
    ),
    max_size=8,
).map(" ".join)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
QUESTIONS = st.lists(
    st.builds(
        lambda sign, word, end: f"{sign}{word}{end}",
        st.sampled_from(["", "", "", "-"]),
        st.sampled_from(
            ["report", "rep", "user-17", "user-1", '"re report"', "grusse", "世", "世界", "हि", "a", "12", "fine"]
        ),
        st.sampled_from(["", "", "*"]),
    ),
    min_size=1,
    max_size=3,
).map(" ".join)


@pytest.fixture
async def search(elasticsearch: ElasticsearchServer, index_prefix: str) -> AsyncIterator[Search]:
    """Empty indices of the test's own."""
    async with open_search(elasticsearch.url, index_prefix) as made:
        yield made


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    given=st.lists(
        st.tuples(TEXT | WORDS, st.lists(TEXT, max_size=2), st.dictionaries(TEXT, JSON | WORDS, max_size=3), JSON),
        min_size=1,
        max_size=6,
    ),
    questions=st.lists(QUESTIONS, min_size=1, max_size=4),
)
@pytest.mark.covers("LIF-10")
async def test_both_take_anything_and_find_the_same(
    search: Search, database: Database, given: list[Any], questions: list[str]
) -> None:
    """Nothing is refused, and each question finds in both what `words.matches` says."""
    documents = []
    for number, (recipient, tags, content, metadata) in enumerate(given, 1):
        texts = schedule_texts(recipient, "log:", tags, content, metadata)
        fields = {"created_at": "2026-12-01T09:00:00+00:00", "channel": "log:", "tags": tags, "status": "pending"}
        documents.append(Document("schedule", str(UUID(int=number)), "acme", 1, fields, texts))
    (index,) = await search.indices.written("schedule")
    # Versions of one example must not stand in the way of the next.
    await search.indices.drop(index)
    await search.indices.ensure("schedule")
    await search.documents.put(documents)
    await search.documents.refresh()
    assert search.documents.refused == 0
    conn = await asyncpg.connect(database.owner_dsn)
    try:
        for question in questions:
            try:
                clauses = parse(question)
            except Invalid:
                continue
            expected = (
                {d.id for d in documents if matches(d.words(), clauses)} if clauses else {d.id for d in documents}
            )
            found = await search.engine.search("acme", Query(q=question))
            assert {hit.id for hit in found.items} == expected, question
            for document in documents if clauses else ():
                query = "SELECT $1::text::tsvector @@ $2::text::tsquery"
                held = await conn.fetchval(query, tsvector_of(document.texts), tsquery_of(clauses))
                assert held == (document.id in expected), question
    finally:
        await conn.close()
