"""Load generators and receivers as processes of their own: started, ordered about by lines, and read to their end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ROOT = Path(__file__).parents[1]
_STOP_S = 30.0
_ANSWER_S = 60.0


class Child:
    """`python -m MODULE …`, which prints lines of JSON. A context: it is ended at the end, whatever happened.

    Nothing waits for it for ever: one that exceeds what it is given is killed, and the wait ends with `SystemExit`.
    """

    def __init__(self, module: str, *arguments: object) -> None:
        self._name = module
        self._late_s: float | None = None
        command = [sys.executable, "-m", module, *map(str, arguments)]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def lines(self, within_s: float) -> Iterator[dict[str, Any]]:
        """What it prints, until it ends. Raises `SystemExit` if it ends badly, or not within so many seconds."""
        assert self._process.stdout is not None
        with self._killed_after(within_s):
            for line in self._process.stdout:
                yield json.loads(line)
            returncode = self._process.wait()
        if returncode:
            raise SystemExit(self._why())

    def ask(self, order: str = "", within_s: float = _ANSWER_S) -> dict[str, Any]:
        """Write a line to it, if one is given, and read the answer's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._killed_after(within_s):
            if order:
                self._process.stdin.write(order + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise SystemExit(self._why())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def result(self, within_s: float) -> dict[str, Any]:
        """Its last line, once it has ended."""
        lines = list(self.lines(within_s))
        if not lines:
            raise SystemExit(f"{self._name} ended without a word")
        return lines[-1]

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        timer = threading.Timer(seconds, self._kill, (seconds,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _kill(self, seconds: float) -> None:
        self._late_s = seconds
        self._process.kill()

    def _why(self) -> str:
        if self._late_s is not None:
            return f"{self._name} was not done within {self._late_s:g} s, and was killed"
        return f"{self._name} ended with {self._process.returncode}; see above"
