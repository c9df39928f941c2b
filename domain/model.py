"""A tenant's model of send times as an event: the numbers that everybody's choices rest on until the next fit.

A fit is numerical work on many people's counts, whose last bits depend on the machine; so its result is stored, as a
fact, and never computed again by a replay. Plans name its version: that of its stream.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from horae.domain.envelope import Event, Value
from horae.domain.ids import derived_id

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


class SegmentCurve(Value):
    """What one segment has in common; shapes as in `learning.priors.Priors`."""

    name: str
    mean: Vector
    covariance: Matrix
    profile: Vector


class ModelFitted(Event):
    """A tenant's people were looked at together; shapes as in `learning.priors.Priors`."""

    name: ClassVar[str] = "model.fitted.v1"
    #: How many recipients it was fitted to, and what was known of them all: decayed counts.
    people: int
    asked: float
    answered: float
    everybody: Vector
    everybody_covariance: Matrix
    #: The first is of those without a segment.
    segments: tuple[SegmentCurve, ...]
    between: Matrix
    between_active: Matrix
    gain: Vector
    dispersion: float
    #: How much of a foretold gain has come true so far, 0 to 1.
    trust: float
    #: Calibration's coefficients.
    calibration: Vector
    #: The log's position that the counts were read at, at least.
    upto: int
    fitted_at: datetime


def model_stream(tenant: str) -> UUID:
    """The stream of a tenant's models."""
    return derived_id(tenant, "model", "send times")
