"""Expected loss of SGD at the horizon and its gradient by every rate, for optimal schedules."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.disk_cache import cached
from fastsched.errors import array, integer, reject
from fastsched.landscapes import Quadratic
from fastsched.memory import require_memory
from fastsched.parallel import Check, ordered_map

# Coordinates of a block: its states between two checkpoints stay in the cache.
_BLOCK = 64
_SMALLEST_CALL = 2**19  # coordinate updates that are worth a thread


@cached(nogil=True, error_model="numpy", fastmath={"reassoc"})
def _block_loss(rates, batch_sizes, curvature, start, noise, checkpoints, path, gradient):
    """Return the expected loss of a block of coordinates, and fill in its gradient.

    The adjoint runs backwards over segments, whose states are computed again from their first
    one: checkpoints (segments, d) and path (steps of a segment, d) are work space.
    """
    steps, dim = rates.shape[0], curvature.shape[0]
    length = path.shape[0]
    state, adjoint = np.empty(dim), np.empty(dim)
    for i in range(dim):
        state[i] = start[i]
    for t in range(steps):
        if t % length == 0:
            for i in range(dim):
                checkpoints[t // length, i] = state[i]
        rate, strength = rates[t], rates[t] * rates[t] / batch_sizes[t]
        for i in range(dim):
            keep = 1 - rate * curvature[i]
            state[i] = keep * keep * state[i] + strength * noise[i]
    loss = 0.0
    for i in range(dim):
        adjoint[i] = 0.5 * curvature[i]
        loss += adjoint[i] * state[i]
    for segment in range((steps - 1) // length, -1, -1):
        first, end = segment * length, min(steps, (segment + 1) * length)
        for i in range(dim):
            path[0, i] = checkpoints[segment, i]
        for t in range(first, end - 1):
            rate, strength = rates[t], rates[t] * rates[t] / batch_sizes[t]
            for i in range(dim):
                keep = 1 - rate * curvature[i]
                path[t - first + 1, i] = keep * keep * path[t - first, i] + strength * noise[i]
        for t in range(end - 1, first - 1, -1):
            rate, strength = rates[t], rates[t] / batch_sizes[t]
            total = 0.0
            for i in range(dim):
                keep = 1 - rate * curvature[i]
                slope = strength * noise[i] - keep * curvature[i] * path[t - first, i]
                total += adjoint[i] * slope
                adjoint[i] *= keep * keep
            gradient[t] = 2 * total
    return loss


@dataclass(frozen=True, eq=False)
class Horizon:
    """Plain SGD on a quadratic up to a horizon, in units in which the largest numbers are near 1.

    Attributes
    ----------
    steps : int
        The horizon.
    batch_sizes : array of shape (steps,)
    unit, loss_unit : float
        Rates and losses are in units of these: powers of two of which the first is near the
        inverse of the largest curvature.
    curvature, start, noise : array of shape (d,)
        In their own units: curvatures, second moments of the displacement from the minimum, and
        variances of a sample's gradient noise.
    """

    steps: int
    batch_sizes: NDArray[np.float64]
    unit: float
    loss_unit: float
    curvature: NDArray[np.float64]
    start: NDArray[np.float64]
    noise: NDArray[np.float64]

    @classmethod
    def of(cls, landscape: Quadratic, steps: int, batch_size: ArrayLike) -> Horizon:
        """Return the problem of a landscape; raise FastschedError for bad parameters."""
        if not isinstance(landscape, Quadratic):
            reject("landscape", landscape, "a Quadratic")
        n = integer("steps", steps, minimum=1)
        allowed = "an integer or one for each step"
        sizes = array("batch_size", batch_size, ndim=(0, 1), allowed=allowed)
        if np.min(sizes) < 1 or (sizes.ndim and sizes.shape != (n,)):
            reject("batch_size", batch_size, f"at least 1, and a number or of shape ({n},)")
        mean, std = landscape.start_moments()
        distance, h = mean - landscape.origin(), landscape.eigenvalues
        kick = landscape.noise_std
        largest = _power_of_two(np.max(h))
        length = _power_of_two(max(np.max(np.abs(distance)), np.max(std), np.max(kick / largest)))
        return cls(
            n,
            np.broadcast_to(sizes, (n,)).copy(),
            1 / largest,
            largest * length * length,
            h / largest,
            (distance / length) ** 2 + (std / length) ** 2,
            (kick / largest / length) ** 2,
        )

    def loss_and_gradient(self, rates: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the expected loss after all steps and its derivative by every rate.

        Both are in the problem's units, and have the same bits for any number of threads.
        """
        dim = len(self.curvature)
        length = max(1, math.isqrt(self.steps))
        segments = -(-self.steps // length)
        threads = numba.get_num_threads()
        if dim * self.steps < threads * _SMALLEST_CALL:
            threads = 1

        def compute(first: int, check: Check) -> tuple[float, NDArray[np.float64]]:
            check()
            part = slice(first, min(first + _BLOCK, dim))
            gradient, size = np.empty(self.steps), part.stop - first
            loss = _block_loss(
                rates,
                self.batch_sizes,
                self.curvature[part],
                self.start[part],
                self.noise[part],
                np.empty((segments, size)),
                np.empty((length, size)),
                gradient,
            )
            return loss, gradient

        loss, gradient = 0.0, np.zeros(self.steps)
        blocks = ordered_map(compute, range(0, dim, _BLOCK), threads)
        with contextlib.closing(blocks) as parts, np.errstate(over="ignore", invalid="ignore"):
            for block_loss, block_gradient in parts:
                loss += block_loss
                gradient += block_gradient
        return loss, gradient

    def require_memory(self, vectors: int) -> None:
        """Check that the work space and a number of vectors of shape (steps,) fit."""
        threads = numba.get_num_threads()
        work = threads * _BLOCK * (2 * math.isqrt(self.steps) + 2)
        vectors += 3 * threads + 3
        require_memory(8 * (work + vectors * self.steps + 6 * len(self.curvature)), "steps")


def _power_of_two(value: float) -> float:
    """Return the largest power of two that is not above a number; 1 for 0."""
    return math.ldexp(1.0, math.frexp(value)[1] - 1) if value > 0 else 1.0
