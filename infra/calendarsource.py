"""iCalendar files of other people's servers, got as webhooks are sent: the address that was checked is the one asked.

Place in the flow: commands -> *here* -> HTTP. A tenant chooses the URL and sees what was wrong with it, so that without
these rules anyone could read what only this machine can reach.
"""

from __future__ import annotations

import ssl
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from horae.commands.ports import Fetched, Unfetched
from horae.domain.channel import check_url
from horae.domain.errors import Invalid
from horae.infra.channels.targets import CheckedResolver, TargetRefused, check_literal

#: The whole exchange, redirects and all, and connecting, seconds.
TIMEOUT_S, CONNECT_S = 20.0, 10.0
#: A file may have so many bytes: years of holidays are a tenth of it.
LIMIT_BYTES = 1024 * 1024
_REDIRECTS = 3
_MOVED = frozenset({301, 302, 303, 307, 308})


class HttpCalendarSource:
    """See `CalendarSource`. `ssl_context`: for a private certificate authority; default: the machine's trusted ones."""

    def __init__(
        self,
        *,
        allow_private_targets: bool = False,
        timeout_s: float = TIMEOUT_S,
        limit_bytes: int = LIMIT_BYTES,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private, self._limit, self._ssl = allow_private_targets, limit_bytes, ssl_context
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S, timeout_s))
        self._timeout_s = timeout_s

    async def fetch(self, url: str, etag: str | None = None, last_modified: str | None = None) -> Fetched | None:
        """See `CalendarSource.fetch`."""
        headers = {"accept": "text/calendar", "accept-encoding": "identity", "user-agent": "Horae"}
        if etag is not None:
            headers["if-none-match"] = etag
        elif last_modified is not None:
            headers["if-modified-since"] = last_modified
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._allow_private),
            use_dns_cache=False,
            force_close=True,
            ssl=self._ssl if self._ssl is not None else True,
        )
        try:
            async with aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=self._timeout,
            ) as session:
                return await self._follow(session, url, headers)
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise Unfetched(self._reason(error)) from error

    async def _follow(self, session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> Fetched | None:
        for _ in range(_REDIRECTS + 1):
            parsed = URL(url, encoded=True)
            if not self._allow_private:
                check_literal(parsed.host or "")
            async with session.get(parsed, headers=headers, allow_redirects=False) as response:
                moved = response.headers.get("Location") if response.status in _MOVED else None
                if moved is None:
                    return await self._taken(response)
                url = _next(url, moved)
        raise Unfetched(f"it leads on more than {_REDIRECTS} times")

    async def _taken(self, response: aiohttp.ClientResponse) -> Fetched | None:
        if response.status == 304:
            return None
        if response.status != 200:
            raise Unfetched(f"the server answered {response.status}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Unfetched("the server sends it compressed, which it was asked not to")
        found = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            found += chunk
            if len(found) > self._limit:
                raise Unfetched(f"it has more than {self._limit} bytes")
        try:
            text = found.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Unfetched("it is not UTF-8") from None
        return Fetched(text, _header(response, "ETag"), _header(response, "Last-Modified"))

    def _reason(self, error: Exception) -> str:
        refused = next((e for e in (error, getattr(error, "os_error", None)) if isinstance(e, TargetRefused)), None)
        match error:
            case _ if refused is not None:
                return f"{refused}: private targets are not allowed here"
            case aiohttp.ClientConnectorDNSError():
                return f"the host cannot be resolved: {error.os_error}"
            case TimeoutError():
                return f"no answer within {self._timeout_s:g} s"
            case aiohttp.ClientSSLError():
                return f"no trustworthy TLS connection: {error}"
            case aiohttp.ClientConnectorError():
                return f"no connection: {error.os_error}"
            case _:
                return f"the exchange broke off: {type(error).__name__}: {error}"


def _next(url: str, location: str) -> str:
    """Where a redirect leads. Raises `Unfetched` for what may not be asked, or no longer safely."""
    found = urljoin(url, location)
    try:
        check_url(found, "Location")
    except Invalid as error:
        raise Unfetched(f"it leads to an address that cannot be used: {error.message}") from None
    if url.startswith("https:") and not found.startswith("https:"):
        raise Unfetched("it leads from https to http")
    return found


def _header(response: aiohttp.ClientResponse, name: str) -> str | None:
    value = response.headers.get(name)
    return value if value is not None and len(value) <= 200 and value.isascii() and value.isprintable() else None
