"""`horae rebuild` beside the running service: made anew under use, compared, and nobody notices."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from tests.e2e.harness import Service
from tests.e2e.profiles import EMBEDDED, Profile
from tests.e2e.receiver import Receiver
from tests.e2e.stack.truth import horae
from tests.e2e.traffic import Traffic

pytestmark = [pytest.mark.longer, pytest.mark.e2e]

#: Each kind of rebuild, under traffic.
ROUNDS = 2


def sums_of(printed: str) -> list[tuple[str, str]]:
    """Both checksums of every line that has them; they are the same."""
    found = [tuple(re.findall(r"\b[0-9a-f]{16}\b", line)) for line in printed.splitlines()]
    pairs = [(pair[0], pair[1]) for pair in found if len(pair) == 2]
    assert all(one == other for one, other in pairs), printed
    return pairs


@pytest.mark.covers("LIF-26", "REL-02")
@pytest.mark.timeout(600)
async def test_rebuilding_under_traffic_leaves_no_gap(
    profile: Profile, service: Service, receiver: Receiver, record_property: Callable[[str, object], None]
) -> None:
    """Creating, firing, reading, listing and searching go on; the commands print that both copies are the same."""
    commands = [("rebuild",)] if profile.name == EMBEDDED else [("rebuild",), ("rebuild", "--search")]
    took_s: dict[str, list[float]] = {}
    loop = asyncio.get_running_loop()
    async with service.client() as client:
        traffic = Traffic(service, client, receiver)
        async with traffic.flowing():
            await traffic.passed(20)
            for command in commands * ROUNDS:
                began = loop.time()
                printed = await horae(service, *command)
                took_s.setdefault(" ".join(command), []).append(loop.time() - began)
                assert "differ" not in printed.lower(), printed
                assert ("the same" if "--search" in command else "as before") in printed
                assert sums_of(printed), printed
                await traffic.passed()
        made = {schedule for schedule, _ in traffic.made}
        # The last ones may still be under way, and others, acknowledged to nobody, among them.
        await receiver.received(len(made), where=lambda request: request.json["schedule_id"] in made)
    fired = sorted(request.json["schedule_id"] for request in receiver.requests)
    assert len(fired) == len(set(fired))
    assert made <= set(fired)
    tables = " / ".join(
        " ".join(line.split()) for line in printed.splitlines() if "as before" in line or "same" in line
    )
    times = ", ".join(f"horae {name}: {' and '.join(f'{s:.1f}' for s in all_s)} s" for name, all_s in took_s.items())
    record_property(
        "report",
        f"{times}; meanwhile {len(made)} created and fired, passes of readers {traffic.passes}, told to wait "
        f"{traffic.busy} times, found {traffic.found}; printed: {tables}",
    )
