"""The learner's clock, as far as it tells how well its models foretell."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from horae.commands.engagements import Engagements
from horae.commands.models import Models
from horae.commands.recipients import Recipients
from horae.infra.secrets import Refs
from horae.infra.sendtimes import PostgresSendTimes
from horae.streams.learner import Learner, LearnerConfig
from tests.streams.worker import NOON, Worker


async def known(worker: Worker, tenant: str, version: int, fitted_at: datetime, **model: Any) -> None:
    """The read models know something of a recipient of the tenant, and its present model."""
    await worker.pool.execute(
        "INSERT INTO habits (tenant, recipient_ref, epoch, asked, answered, active, recent, answered_at, position) "
        "VALUES ($1, 'ref', 0, '', '', '', '', 0, 1) ON CONFLICT DO NOTHING",
        tenant,
    )
    await worker.pool.execute(
        "INSERT INTO models (tenant, version, fitted_at, model, position) VALUES ($1, $2, $3, $4, 1) "
        "ON CONFLICT (tenant) DO UPDATE SET version = $2, fitted_at = $3, model = $4",
        tenant,
        version,
        fitted_at,
        json.dumps(model),
    )


class Watched(Learner):
    """Says when it has looked."""

    looked = asyncio.Event()

    async def run_once(self) -> int:
        position = await super().run_once()
        self.looked.set()
        return position


@asynccontextmanager
async def leading(learner: Watched) -> AsyncIterator[None]:
    """Within, it has the lead, and has looked once."""
    learner.looked = asyncio.Event()
    task = asyncio.create_task(learner.run())
    try:
        await learner.looked.wait()
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def learner_of(worker: Worker) -> Watched:
    """As the worker puts it together."""
    refs = Refs(b"k" * 32)
    recipients = Recipients(worker.store, worker.clock, worker.ids, refs)
    engagements = Engagements(worker.store, worker.clock, worker.ids, refs, recipients)
    models = Models(worker.store, worker.clock, worker.ids, PostgresSendTimes(worker.pool))
    return Watched(LearnerConfig(every_s=1e-3), worker.pool, engagements, models, worker.clock, worker.metrics)


def told(worker: Worker, version: int) -> float | None:
    labels = {"model_version": str(version), "segment": "all"}
    return worker.registry.get_sample_value("optimization_accuracy_ratio", labels)


@pytest.mark.covers("OBS-04")
async def test_how_well_the_present_models_foretell_is_told(worker: Worker) -> None:
    """By version, tenants weighing by their people; what a newer model has replaced is told no more."""
    learner = learner_of(worker)
    await learner.run_once()
    assert told(worker, 1) is None
    await known(worker, "acme", 1, NOON, people=300, trust=0.9)
    await known(worker, "globex", 1, NOON, people=100, trust=0.5)
    await learner.run_once()
    assert told(worker, 1) == pytest.approx((300 * 0.9 + 100 * 0.5) / 400)
    await known(worker, "acme", 2, NOON + timedelta(hours=1), people=300, trust=0.25)
    await learner.run_once()
    assert (told(worker, 1), told(worker, 2)) == (0.5, 0.25)


async def test_who_gets_the_lead_back_tells_again_how_well_models_foretell(worker: Worker) -> None:
    """Whoever has it tells; without it nothing is told, and after it all, though no model is new."""
    learner = learner_of(worker)
    await known(worker, "acme", 1, NOON, people=300, trust=0.9)
    for _ in range(2):
        async with leading(learner):
            assert told(worker, 1) == pytest.approx(0.9)
        assert told(worker, 1) is None
