"""One person's posterior, for a whole shard at a time: a Gaussian prior, counts, and Laplace's approximation.

With e = asked * exp(basis @ theta) expected answers, the log posterior of a Poisson count is concave in theta; a few
Newton steps from the prior's mean reach its top, and the curvature there is the posterior's precision (Laplace's
approximation: Tierney and Kadane, 1986; for log-linear rates with random effects: Breslow and Clayton, 1993).

Systems of `TERMS` unknowns are solved for all rows at once, element by element, with the rows as the last axis: numpy's
batched solver spends ten times as long on calls for matrices this small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from horae.domain.learning.hours import BASIS, TERMS, Floats

STEPS: Final = 3
MOST_STEP: Final = 1.5

_LOWER = [(i, j) for i in range(TERMS) for j in range(i + 1)]
_PRODUCTS: Final[Floats] = np.stack([BASIS[:, i] * BASIS[:, j] for i, j in _LOWER], axis=1)


def information(expected: Floats) -> Floats:
    """(TERMS, TERMS, rows): basis' diag(expected) basis, the information of Poisson counts. Lower triangle only."""
    packed = (expected @ _PRODUCTS).T
    full = np.empty((TERMS, TERMS, expected.shape[0]))
    for k, (i, j) in enumerate(_LOWER):
        full[i, j] = packed[k]
    return full


def cholesky(matrices: Floats) -> Floats:
    """Lower factors of positive definite matrices (n, n, rows), of which the lower triangle is read."""
    n = matrices.shape[0]
    low = np.zeros_like(matrices)
    for j in range(n):
        rest = matrices[j:, j] - np.einsum("ikr,kr->ir", low[j:, :j], low[j, :j]) if j else matrices[j:, j].copy()
        low[j, j] = np.sqrt(np.maximum(rest[0], 1e-12))
        low[j + 1 :, j] = rest[1:] / low[j, j]
    return low


def inverted(matrix: Floats) -> Floats:
    """The inverse of one matrix."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def forward(low: Floats, right: Floats) -> Floats:
    """x of low @ x = right, for right (n, rows)."""
    x = np.empty_like(right)
    for i in range(len(right)):
        x[i] = (right[i] - np.einsum("kr,kr->r", low[i, :i], x[:i])) / low[i, i]
    return x


def backward(low: Floats, right: Floats) -> Floats:
    """x of low.T @ x = right, for right (n, rows)."""
    x = np.empty_like(right)
    for i in reversed(range(len(right))):
        x[i] = (right[i] - np.einsum("kr,kr->r", low[i + 1 :, i], x[i + 1 :])) / low[i, i]
    return x


def inverse(low: Floats) -> Floats:
    """(n, n, rows): the covariances whose precisions have these factors."""
    n, rows = low.shape[0], low.shape[2]
    columns = [backward(low, forward(low, np.broadcast_to(np.eye(n)[:, k : k + 1], (n, rows)))) for k in range(n)]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True)
class Posterior:
    """`mean` (rows, TERMS) of log rates' coefficients; `factor` (TERMS, TERMS, rows) of their precision."""

    mean: Floats
    factor: Floats

    def spread(self, directions: Floats) -> Floats:
        """Standard deviation of each row's mean along its direction (rows, TERMS)."""
        x = forward(self.factor, directions.T)
        result: Floats = np.sqrt(np.einsum("kr,kr->r", x, x))
        return result


def posterior(
    asked: Floats, answered: Floats, prior_mean: Floats, precision: Floats, steps: int = STEPS, cap: float = 0.0
) -> Posterior:
    """Coefficients of each row's log rate after `answered` of `asked` (rows, BINS) decayed times per hour.

    `prior_mean` is (rows, TERMS), `precision` (TERMS, TERMS) the same for all; log rates stop at `cap`.
    """
    theta = prior_mean.copy()
    for _ in range(steps):
        expected = asked * np.exp(np.minimum(theta @ BASIS.T, cap))
        gradient = (answered - expected) @ BASIS - (theta - prior_mean) @ precision
        factor = cholesky(information(expected) + precision[:, :, None])
        step = backward(factor, forward(factor, gradient.T)).T
        theta = theta + step * np.minimum(1.0, MOST_STEP / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-9))
    return Posterior(theta, factor)
