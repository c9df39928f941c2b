"""The worked examples of `golden.yaml`: what comes of each timing, to the second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from horae.domain import timing as t
from tests.domain.timing.cases import at, context, short, take, timing

CASES: list[dict[str, Any]] = yaml.load(
    (Path(__file__).parent / "golden.yaml").read_text(), Loader=yaml.BaseLoader
)  # BaseLoader: everything is text, so that a time in the file stays as it was written


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: int(v) if k == "count" else _typed(v) if isinstance(v, dict) else v for k, v in fields.items()}


@pytest.mark.covers("TZ-29", "TZ-02", "REC-20")
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_preview_and_walk_give_the_written_slots(case: dict[str, Any]) -> None:
    """Previewing a client's timing and walking the accepted one give exactly the slots in the table."""
    ctx = context(case["now"])
    given = timing(**_typed(case["timing"]))
    wanted = {slot: at(due) for slot, due in case["slots"].items()}

    shown = t.preview(given, len(wanted), ctx)
    walked = take(t.normalise(given, ctx), ctx, len(wanted))

    assert {short(n.slot): n.due_at for n in shown.slots} == wanted
    assert [short(n.slot) for n in shown.slots] == list(wanted)
    assert {short(s.slot): s.reason.code for s in shown.skipped} == case.get("skipped", {})
    assert walked == shown.slots
