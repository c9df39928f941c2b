"""The fork server answers for what it cannot do, too, and goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from horae.infra.processes.forkserver import NOT_FORKED, ForkServer


@pytest.fixture
def control() -> Iterator[socket.socket]:
    """The supervisor's end of the socket of a server that runs in a thread of ours."""
    before = signal.getsignal(signal.SIGCHLD)
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    server = ForkServer(theirs)
    serving = threading.Thread(target=server.serve)
    serving.start()
    try:
        yield ours
    finally:
        ours.close()
        serving.join(10)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, before)
    assert not serving.is_alive()


def test_a_process_that_cannot_be_forked_is_told_and_takes_nobody_along(
    control: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory, or too many processes: the server lives on, and so do those that it forked before."""

    def refused() -> int:
        raise BlockingIOError("too many processes")

    monkeypatch.setattr(os, "fork", refused)
    answers = control.makefile()
    for number in (1, 2):
        control.sendall(json.dumps({"start": number, "kind": "api", "assignment": "{}"}).encode() + b"\n")
        assert json.loads(answers.readline()) == {"ended": number, "code": NOT_FORKED}
    answers.close()
