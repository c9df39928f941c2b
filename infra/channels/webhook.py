"""The `webhook:` channel: a signed POST, as the Standard Webhooks specification has it.

Place in the flow: dispatcher -> *channel* -> the receiver. TLS is verified, redirects are not followed, the address
that was checked is the one connected to, and no answer is read further than it is of use.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from standardwebhooks.webhooks import Webhook as Signer
from yarl import URL

from horae.commands import tracing
from horae.commands.ports import Refs
from horae.domain.channel import Webhook
from horae.domain.delivery import Failure, Mode
from horae.infra.channels.targets import CheckedResolver, TargetRefused, check_literal
from horae.streams.channels import Receipt, Release, ReleaseFailed

#: Of an answer no more is read, so that its connection can be used again if it was short.
_ANSWER_BYTES = 16 * 1024
_CONNECT_S = 10.0
_SIGNERS = 1_000
#: Refusals that time may heal.
_WORTH_ANOTHER = frozenset({408, 425, 429})


class WebhookChannel:
    """Posts releases. `now`: the machine's clock (receivers compare the signature's time with theirs).

    `ssl_context`: for a private certificate authority; default: the machine's trusted ones.
    """

    def __init__(
        self,
        refs: Refs,
        now: Callable[[], datetime],
        *,
        allow_private_targets: bool = False,
        user_agent: str = "Horae",
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._refs, self._now, self._allow_private = refs, now, allow_private_targets
        self._user_agent, self._ssl = user_agent, ssl_context
        self._signers: dict[str, Signer] = {}
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._closed = False

    async def release(self, release: Release) -> Receipt:
        """See `Channel.release`: the receiver answered with a 2xx."""
        assert isinstance(release.address, Webhook)
        body = json.dumps(release.document(), ensure_ascii=False, separators=(",", ":"))
        url = URL(release.address.url, encoded=True)
        timeout_s = release.timeout.total_seconds()
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(_CONNECT_S, 0.9 * timeout_s))
        try:
            if not self._allow_private:
                check_literal(url.host or "")
            session = self._session(release.mode)
            async with session.post(
                url,
                data=body.encode(),
                headers=self._headers(release, body),
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                retry_after = response.headers.get("Retry-After")
                status = response.status
                await _read_some(response)
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise ReleaseFailed(_failure_of(error, timeout_s)) from error
        if 200 <= status < 300:
            return Receipt({"status_code": status})
        raise ReleaseFailed(_refusal(status, retry_after, self._now()))

    async def aclose(self) -> None:
        """See `Channel.aclose`."""
        self._closed = True
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()

    def _headers(self, release: Release, body: str) -> dict[str, str]:
        occurrence, now = str(release.occurrence), self._now()
        context = tracing.traceparent()
        traced = {} if context is None else {"traceparent": context}
        return traced | {
            "content-type": "application/json",
            "user-agent": self._user_agent,
            "webhook-id": occurrence,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer(release.tenant).sign(occurrence, now, body),
        }

    def _signer(self, tenant: str) -> Signer:
        signer = self._signers.get(tenant)
        if signer is None:
            if len(self._signers) >= _SIGNERS:
                self._signers.clear()
            signer = self._signers[tenant] = Signer(self._refs.signing_secret(tenant))
        return signer

    def _session(self, mode: Mode) -> aiohttp.ClientSession:
        """Connections are kept, but not for at_most_once: a kept one that the receiver just closed leaves it unknown
        whether the message arrived."""
        if self._closed:
            raise ValueError("the webhook channel is closed")
        if mode is Mode.AT_MOST_ONCE:
            self._fresh = self._fresh or self._new_session(keep=False)
            return self._fresh
        self._kept = self._kept or self._new_session(keep=True)
        return self._kept

    def _new_session(self, *, keep: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._allow_private),
            use_dns_cache=False,
            limit=0,
            force_close=not keep,
            ssl=self._ssl if self._ssl is not None else True,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        )


async def _read_some(response: aiohttp.ClientResponse) -> None:
    """Read the answer to its end, or give its connection up if it is long. What it says is not kept."""
    left = _ANSWER_BYTES
    while left > 0:
        chunk = await response.content.read(left)
        if not chunk:
            return
        left -= len(chunk)
    response.close()


def _refusal(status: int, retry_after: str | None, now: datetime) -> Failure:
    """What a status that is no 2xx means for the next attempt."""
    redirect = 300 <= status < 400
    return Failure(
        kind="redirect" if redirect else "http",
        message=f"the receiver answered {status}" + (", and redirects are not followed" if redirect else ""),
        status_code=status,
        # Both say by their definition that the request was not processed.
        nothing_arrived=status in (429, 503),
        retryable=status >= 500 or status in _WORTH_ANOTHER,
        retry_after_s=_seconds(retry_after, now),
    )


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """A Retry-After header (RFC 9110 §10.2.3: seconds or a date) in seconds from `now`; None: unreadable or absent."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _failure_of(error: Exception, timeout_s: float) -> Failure:
    """What a failed exchange means: whether the receiver can have got the message, and whether to try again."""
    refused = next((e for e in (error, getattr(error, "os_error", None)) if isinstance(e, TargetRefused)), None)
    match error:
        case _ if refused is not None:
            hint = "private targets are not allowed here (HORAE_ALLOW_PRIVATE_TARGETS)"
            return Failure(kind="refused_target", message=f"{refused}: {hint}", nothing_arrived=True, retryable=False)
        case aiohttp.ClientConnectorDNSError():
            return Failure(kind="dns", message=f"the host cannot be resolved: {error.os_error}", nothing_arrived=True)
        case aiohttp.ConnectionTimeoutError():
            return Failure(kind="timeout", message="no connection in time", nothing_arrived=True)
        case TimeoutError():
            return Failure(kind="timeout", message=f"no answer within {timeout_s:g} s")
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            # The handshake comes before the message.
            return Failure(kind="tls", message=f"no trustworthy TLS connection: {error}", nothing_arrived=True)
        case aiohttp.ClientConnectorError():
            return Failure(kind="connect", message=f"no connection: {error.os_error}", nothing_arrived=True)
        case aiohttp.InvalidURL() | ValueError():
            return Failure(
                kind="channel", message=f"the address cannot be used: {error}", nothing_arrived=True, retryable=False
            )
        case _:
            return Failure(kind="io", message=f"the exchange broke off: {type(error).__name__}: {error}")
