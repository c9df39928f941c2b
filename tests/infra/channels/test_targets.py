"""Which addresses a webhook may reach."""

import socket

import pytest

from horae.infra.channels.targets import CheckedResolver, TargetRefused, check_literal, is_public


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fd00:ec2::254", "fc00::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"),
    ],
)
def test_no_private_address_in_any_disguise(address: str) -> None:
    """Loopback, private, link-local, metadata, multicast, reserved; mapped, translated or tunnelled."""
    assert not is_public(address)
    with pytest.raises(TargetRefused):
        check_literal(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_pass(address: str) -> None:
    """Also those that carry a public IPv4 address."""
    assert is_public(address)
    check_literal(address)


def test_names_are_not_literals() -> None:
    """They are checked when they are resolved."""
    check_literal("localhost")


@pytest.mark.parametrize("name", ["localhost", "2130706433", "0x7f.1"])
async def test_names_of_private_addresses_are_refused(name: str) -> None:
    """Whatever the resolver makes of them counts, not how they are written."""
    with pytest.raises(TargetRefused):
        await CheckedResolver(allow_private=False).resolve(name, 80)
    allowed = await CheckedResolver(allow_private=True).resolve(name, 80, socket.AF_INET)
    assert {result["host"] for result in allowed} == {"127.0.0.1"}
