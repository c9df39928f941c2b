"""The webhook channel against a real receiver on this machine."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook as Verifier

from horae.domain.channel import Webhook
from horae.domain.delivery import Failure, Mode
from horae.infra.channels import WebhookChannel
from horae.streams.channels import Channel, ReleaseFailed
from tests.contracts.channel import Arrived, ChannelContract, release_to

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


class Secrets:
    """The same secret for every tenant."""

    def recipient_ref(self, tenant: str, recipient: str) -> str:
        return f"{tenant}/{recipient}"

    def signing_secret(self, tenant: str) -> str:
        return SECRET


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """A receiver that keeps what it got and answers as told."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    peers: set[Any] = field(default_factory=set)
    answer: Handler | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.peers.add(request.transport and request.transport.get_extra_info("peername"))
        self.got.append((dict(request.headers), await request.read()))
        return await self.answer(request) if self.answer else web.Response(status=204)

    def answers(self, status: int, **headers: str) -> None:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

        self.answer = answer


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Listens on a free port."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://localhost:{port}/hook?a=b%20c"
    yield receiver
    await runner.cleanup()


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def channel() -> AsyncIterator[WebhookChannel]:
    """May reach this machine."""
    channel = WebhookChannel(Secrets(), now, allow_private_targets=True, user_agent="Horae/test")
    yield channel
    await channel.aclose()


@pytest.fixture
def arrived(receiver: Receiver) -> Arrived:
    """The documents that the receiver's verifier accepted."""
    return lambda: [Verifier(SECRET).verify(body, headers) for headers, body in receiver.got]


class TestWebhookChannel(ChannelContract):
    """The contract; what arrives is verified with the standard's own library."""

    @pytest.fixture(autouse=True)
    def _address(self, receiver: Receiver) -> None:
        self.address = Webhook(receiver.url)


async def failure(channel: Channel, url: str, **changes: Any) -> Failure:
    with pytest.raises(ReleaseFailed) as failed:
        await channel.release(release_to(Webhook(url), **changes))
    return failed.value.failure


async def test_the_id_is_the_occurrences_and_the_url_is_taken_literally(
    channel: WebhookChannel, receiver: Receiver
) -> None:
    """Receivers know repeats by it, whatever the attempt."""
    paths = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        return web.Response(status=202)

    receiver.answer = answer
    receipt = await channel.release(release_to(Webhook(receiver.url), 5, attempt=3))
    headers = receiver.got[0][0]
    assert headers["webhook-id"] == str(UUID(int=5))
    assert headers["User-Agent"] == "Horae/test"
    assert paths == ["/hook?a=b%20c"]
    assert receipt.response == {"status_code": 202}


@pytest.mark.parametrize(
    ("status", "retryable", "nothing_arrived"),
    [
        *((400, False, False), (401, False, False), (404, False, False), (410, False, False), (422, False, False)),
        *((408, True, False), (425, True, False), (429, True, True)),
        *((500, True, False), (502, True, False), (503, True, True), (504, True, False)),
        *((301, False, False), (307, False, False)),
    ],
)
async def test_what_a_status_means(
    channel: WebhookChannel, receiver: Receiver, status: int, retryable: bool, nothing_arrived: bool
) -> None:
    """Refusals are final but for those that time heals; redirects are not followed."""
    receiver.answers(status, Location=receiver.url)
    met = await failure(channel, receiver.url)
    assert (met.status_code, met.retryable, met.nothing_arrived) == (status, retryable, nothing_arrived)
    assert len(receiver.got) == 1


async def test_retry_after_is_read_as_seconds_or_as_a_date(channel: WebhookChannel, receiver: Receiver) -> None:
    """What is neither is ignored."""
    receiver.answers(503, Retry_After="120")
    assert (await failure(channel, receiver.url)).retry_after_s == 120
    receiver.answers(503, Retry_After=format_datetime(now() + timedelta(hours=1), usegmt=True))
    assert 3590 < ((await failure(channel, receiver.url)).retry_after_s or 0) <= 3600
    receiver.answers(503, Retry_After="soon")
    assert (await failure(channel, receiver.url)).retry_after_s is None


async def test_what_never_connects_never_arrived(channel: WebhookChannel) -> None:
    """A closed port, and a name that does not exist."""
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    refused = await failure(channel, f"http://127.0.0.1:{port}/")
    assert (refused.kind, refused.nothing_arrived, refused.retryable) == ("connect", True, True)
    unknown = await failure(channel, "http://no-such-host.invalid/")
    assert (unknown.kind, unknown.nothing_arrived, unknown.retryable) == ("dns", True, True)


async def test_silence_is_ambiguous(channel: WebhookChannel, receiver: Receiver) -> None:
    """It was sent, and no answer came in time; or the connection broke off."""

    over = asyncio.Event()

    async def never(_request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    receiver.answer = never
    late = await failure(channel, receiver.url, timeout=timedelta(milliseconds=200))
    assert (late.kind, late.nothing_arrived) == ("timeout", False)
    over.set()

    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    receiver.answer = hang_up
    broken = await failure(channel, receiver.url)
    assert (broken.kind, broken.nothing_arrived, broken.retryable) == ("io", False, True)


async def test_private_targets_are_refused_by_default(receiver: Receiver) -> None:
    """By name and by address; nothing is sent, and no retry is worth it."""
    channel = WebhookChannel(Secrets(), now)
    for url in (receiver.url, receiver.url.replace("localhost", "127.0.0.1"), "http://[::1]:1/"):
        refused = await failure(channel, url)
        assert (refused.kind, refused.nothing_arrived, refused.retryable) == ("refused_target", True, False)
    await channel.aclose()
    assert receiver.got == []


@pytest.mark.parametrize(
    "host", ["2130706433", "127.1", "0", "0177.0.0.1", "0x7f000001", "127.0.0.1.", "%31%32%37.0.0.1", "[::1%25lo]"]
)
async def test_other_spellings_of_this_machine_do_not_reach_it(receiver: Receiver, host: str) -> None:
    """What the C library would read as 127.0.0.1, and what no literal address looks like."""
    channel = WebhookChannel(Secrets(), now)
    met = await failure(channel, receiver.url.replace("localhost", host))
    await channel.aclose()
    assert met.kind in ("refused_target", "channel", "dns")
    assert receiver.got == []


async def test_a_server_that_speaks_no_tls_gets_nothing(channel: WebhookChannel, receiver: Receiver) -> None:
    """The handshake fails before the message leaves."""
    met = await failure(channel, receiver.url.replace("http:", "https:"))
    assert (met.kind, met.nothing_arrived) == ("tls", True)
    assert receiver.got == []


@pytest.fixture
async def secured(receiver: Receiver, tmp_path: Path) -> AsyncIterator[Receiver]:
    """The receiver behind TLS, with a certificate for `localhost` that it signed itself: `tmp_path / "cert"`."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing = "no openssl to make a certificate with: install it to show what TLS refuses"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    made = await asyncio.create_subprocess_exec(
        openssl, "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(tmp_path / "key"),
        "-out", str(tmp_path / "cert"), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await made.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    receiver.url = f"https://localhost:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


@pytest.mark.parametrize("mode", Mode)
async def test_a_certificate_that_nobody_vouches_for_is_refused(
    channel: WebhookChannel, secured: Receiver, mode: Mode
) -> None:
    """Self-signed: the message never leaves, so that even at_most_once may try again."""
    met = await failure(channel, secured.url, mode=mode)
    assert (met.kind, met.nothing_arrived, met.retryable) == ("tls", True, True)
    assert "certificate" in met.message
    assert secured.got == []


async def test_a_certificate_counts_for_its_own_name_only(secured: Receiver, tmp_path: Path) -> None:
    """Vouched for, it is taken under the name that it was made for, and refused under another."""
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert"))
    channel = WebhookChannel(Secrets(), now, allow_private_targets=True, ssl_context=trusting)
    try:
        met = await failure(channel, secured.url.replace("localhost", "127.0.0.1"))
        assert (met.kind, met.nothing_arrived) == ("tls", True)
        assert secured.got == []
        await channel.release(release_to(Webhook(secured.url)))
    finally:
        await channel.aclose()
    assert len(secured.got) == 1


async def test_connections_are_used_again_but_not_where_it_matters(channel: WebhookChannel, receiver: Receiver) -> None:
    """at_most_once opens its own: a kept one that was just closed would leave it unknown whether it arrived."""
    for number in range(3):
        await channel.release(release_to(Webhook(receiver.url), number))
    assert len(receiver.peers) == 1
    for number in range(3):
        await channel.release(release_to(Webhook(receiver.url), number, mode=Mode.AT_MOST_ONCE))
    assert len(receiver.peers) == 4


async def test_a_long_answer_is_not_read(channel: WebhookChannel, receiver: Receiver) -> None:
    """A receiver that streams for ever cannot hold the attempt."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    receiver.answer = endless
    receipt = await channel.release(release_to(Webhook(receiver.url)))
    assert receipt.response == {"status_code": 200}
