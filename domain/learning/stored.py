"""The model between its event and the learner's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from horae.domain.learning.calibration import Calibration
from horae.domain.learning.hours import Floats
from horae.domain.learning.priors import Priors
from horae.domain.model import Matrix, ModelFitted, SegmentCurve, Vector

#: Of recipients without a segment, and of those whose segment the model has not met.
NO_SEGMENT = ""
#: Digits that are kept: more than any of the numbers means.
_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted model and its version; version 0: nothing was fitted yet."""

    version: int = 0
    priors: Priors = field(default_factory=lambda: Priors.unknown(1))
    segments: tuple[str, ...] = (NO_SEGMENT,)
    calibration: Calibration = field(default_factory=Calibration)
    fitted_at: datetime | None = None

    def segment(self, name: str | None) -> int:
        """The row of a segment's curve."""
        return self.segments.index(name) if name is not None and name in self.segments else 0


def model_of(event: ModelFitted, version: int) -> Model:
    """The model that was stored as `version`."""
    curves = event.segments
    priors = Priors(
        everybody=_array(event.everybody),
        everybody_covariance=_array(event.everybody_covariance),
        segments=_array([curve.mean for curve in curves]),
        segment_covariances=_array([curve.covariance for curve in curves]),
        between=_array(event.between),
        profile=_array([curve.profile for curve in curves]),
        between_active=_array(event.between_active),
        gain=_array(event.gain),
        dispersion=event.dispersion,
    )
    calibration = Calibration(weights=_array(event.calibration))
    return Model(version, priors, tuple(curve.name for curve in curves), calibration, event.fitted_at)


def event_of(
    priors: Priors,
    names: Sequence[str],
    calibration: Calibration,
    *,
    people: int,
    asked: float,
    answered: float,
    upto: int,
    fitted_at: datetime,
) -> ModelFitted:
    """The event that stores a fit."""
    return ModelFitted(
        people=people,
        asked=round(asked, 3),
        answered=round(answered, 3),
        everybody=_vector(priors.everybody),
        everybody_covariance=_matrix(priors.everybody_covariance),
        segments=tuple(
            SegmentCurve(
                name=name,
                mean=_vector(priors.segments[row]),
                covariance=_matrix(priors.segment_covariances[row]),
                profile=_vector(priors.profile[row]),
            )
            for row, name in enumerate(names)
        ),
        between=_matrix(priors.between),
        between_active=_matrix(priors.between_active),
        gain=_vector(priors.gain),
        dispersion=priors.dispersion,
        trust=calibration.trust,
        calibration=_vector(calibration.weights),
        upto=upto,
        fitted_at=fitted_at,
    )


def together(parts: Sequence[Calibration]) -> Calibration:
    """What shards have learnt apart, as one: Gaussian posteriors are multiplied, their prior counted once."""
    start = Calibration()
    precision = start.precision + sum((part.precision - start.precision for part in parts), np.zeros(1))
    drawn = start.precision * start.weights + sum(
        (part.precision * part.weights - start.precision * start.weights for part in parts), np.zeros(1)
    )
    return Calibration(weights=drawn / precision, precision=precision)


def _array(values: object) -> Floats:
    return np.array(values, dtype=np.float64)


def _vector(values: Floats) -> Vector:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values.tolist())


def _matrix(values: Floats) -> Matrix:
    return tuple(_vector(row) for row in values)
