"""The connection to Elasticsearch: every request has a bound, every failure one name.

Place in the flow: engine, indices -> *here* -> HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError, TransportError
from elasticsearch.exceptions import UnsupportedProductError

from horae.domain.errors import Unavailable

#: A question waits so long, a bulk so long.
ASK_TIMEOUT_S = 5.0
BULK_TIMEOUT_S = 30.0
#: What the server says when it is overloaded, starting, or has no shard to ask.
_LATER = frozenset({408, 429, 500, 502, 503, 504})


def connect(url: str) -> AsyncElasticsearch:
    """A client that neither asks the server who it is nor repeats requests by itself."""
    return AsyncElasticsearch(url, request_timeout=ASK_TIMEOUT_S, max_retries=0, retry_on_timeout=False)


@contextmanager
def told() -> Iterator[None]:
    """Failures of the server or the way to it become `Unavailable`; a faulty request's stay an `ApiError`."""
    try:
        yield
    except (TransportError, UnsupportedProductError) as error:
        raise Unavailable("Elasticsearch does not answer.", hint="Ask again in a moment.") from error
    except ApiError as error:
        if error.meta.status in _LATER:
            raise Unavailable(f"Elasticsearch answers {error.meta.status}.", hint="Ask again in a moment.") from error
        raise


async def found_or(request: Awaitable[Any], otherwise: Any) -> Any:
    """The answer's body; `otherwise` where the server says that there is no such thing."""
    with told():
        try:
            return (await request).body
        except NotFoundError:
            return otherwise
