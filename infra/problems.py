"""What a client of the API raises when it was refused.

Place in the flow: HTTP -> CLI's client -> *this* -> whoever asked: commands that print it, imports that go on.
"""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The API answered with a problem; `text` and `hint` are its own words."""

    def __init__(self, text: str, hint: str | None, problem: dict[str, Any]) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.problem = problem
