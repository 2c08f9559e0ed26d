"""Exact moments of linear dynamics: every coordinate's state under its own affine map.

The mean m (n,) and covariance P (n, n) of the state follow m' = M m + b and P' = M P M^T + N.
Coordinates are independent given the variance of the gradient noise, which is a constant, or
couples them through one number (one-pass least squares). Stretches of steps with the same map
are jumped over by repeated squaring, (M, b, N) <- (M M, M b + b, M N M^T + N), so that they
cost O(log steps). Arrays have the coordinates innermost, for the compiler's vectors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from fastsched.disk_cache import cached
from fastsched.parallel import Check, ordered_map
from fastsched.theory.rule import LinearRule

# Coordinates of a block: few enough for the first-level cache; fewer with many records.
_LARGEST_BLOCK = 256
_FEWEST_BLOCKS = 16
_BLOCK_BYTES = 2**26

# A squaring and an application of its map cost as much as a few steps.
_SHORTEST_JUMP = 32
_JUMP_COST = 64

# Multiplications of a call, a tenth of a second: the delay of Ctrl-C.
_LARGEST_CALL = 1e8

T = TypeVar("T")
Use = Callable[[slice, NDArray[np.float64], NDArray[np.float64]], T]

_jit = numba.njit(nogil=True, error_model="numpy")
_cached = cached(nogil=True, error_model="numpy")


@_jit
def _times(a, b):
    """Return a b, and 0 where one is 0 even if the other has overflowed."""
    return 0.0 if a == 0 or b == 0 else a * b


@_jit
def _build(base, slope, shift, noise, curvature, variance, origin, matrix, offset, covariance):
    """Fill in the map of a stretch: matrix (n, n, d), offset (n, d), covariance (n, n, d)."""
    for a in range(base.shape[0]):
        for b in range(base.shape[0]):
            constant, linear, strength = base[a, b], slope[a, b], noise[a] * noise[b]
            for i in range(curvature.shape[0]):
                matrix[a, b, i] = constant + linear * curvature[i]
                covariance[a, b, i] = strength * variance[i]
        scale = shift[a]
        for i in range(curvature.shape[0]):
            offset[a, i] = scale * origin[i]


@_jit
def _transform_vector(matrix, vector, offset, work):
    """vector <- matrix vector + offset."""
    n, dim = vector.shape
    for a in range(n):
        for i in range(dim):
            work[a, 0, i] = offset[a, i]
        for b in range(n):
            for i in range(dim):
                work[a, 0, i] += _times(matrix[a, b, i], vector[b, i])
    for a in range(n):
        for i in range(dim):
            vector[a, i] = work[a, 0, i]


@_jit
def _transform_form(matrix, form, added, work):
    """form <- matrix form matrix^T + added, for a symmetric form."""
    n, dim = form.shape[0], form.shape[2]
    for a in range(n):
        for b in range(n):
            for i in range(dim):
                work[a, b, i] = _times(matrix[a, 0, i], form[0, b, i])
            for c in range(1, n):
                for i in range(dim):
                    work[a, b, i] += _times(matrix[a, c, i], form[c, b, i])
    for a in range(n):
        for b in range(a + 1):
            for i in range(dim):
                form[a, b, i] = added[a, b, i] + _times(work[a, 0, i], matrix[b, 0, i])
            for c in range(1, n):
                for i in range(dim):
                    form[a, b, i] += _times(work[a, c, i], matrix[b, c, i])
        for b in range(a):
            for i in range(dim):
                form[b, a, i] = form[a, b, i]


@_jit
def _square(matrix, work):
    """matrix <- matrix matrix."""
    n, dim = matrix.shape[0], matrix.shape[2]
    for a in range(n):
        for b in range(n):
            for i in range(dim):
                work[a, b, i] = _times(matrix[a, 0, i], matrix[0, b, i])
            for c in range(1, n):
                for i in range(dim):
                    work[a, b, i] += _times(matrix[a, c, i], matrix[c, b, i])
    for a in range(n):
        for b in range(n):
            for i in range(dim):
                matrix[a, b, i] = work[a, b, i]


@_jit
def _jump(steps, mean, covariance, matrix, offset, added, work):
    """Take `steps` equal steps by the binary digits of their number; the map is used up."""
    while True:
        if steps & 1:
            _transform_vector(matrix, mean, offset, work)
            _transform_form(matrix, covariance, added, work)
        steps >>= 1
        if steps == 0:
            return
        _transform_vector(matrix, offset, offset, work)
        _transform_form(matrix, added, added, work)
        _square(matrix, work)


@_jit
def _streaming_noise(spectrum, label_variance, mean, covariance, variance):
    """Variance of a sample's gradient noise in one-pass least squares."""
    total = label_variance
    for i in range(spectrum.shape[0]):
        second = mean[0, i] * mean[0, i] + covariance[0, 0, i]
        variance[i] = spectrum[i] * second
        total += variance[i]
    for i in range(spectrum.shape[0]):
        noise = spectrum[i] * (variance[i] + total)
        variance[i] = noise if spectrum[i] != 0 else 0.0


@_cached
def _propagate(
    place,
    most,
    lengths,
    base,
    slope,
    shift,
    noise,
    record,
    curvature,
    variance,
    label_variance,
    shortest_jump,
    origin,
    mean,
    covariance,
    means,
    covariances,
):
    """Apply up to `most` maps, and copy the moments to means[k], covariances[k] at step record[k].

    With label_variance >= 0 the noise is that of one-pass least squares, else `variance`. `place`
    holds the stretch, its steps that are left, the steps taken and the records made, between
    calls. Return whether all records are made.
    """
    n, dim = mean.shape
    streaming = label_variance >= 0
    matrix, covariance_added = np.empty((n, n, dim)), np.empty((n, n, dim))
    offset, work = np.empty((n, dim)), np.empty((n, n, dim))
    s, left, t, k = place
    while True:
        while k < record.shape[0] and record[k] == t:
            for a in range(n):
                for i in range(dim):
                    means[k, a, i] = mean[a, i]
                for b in range(n):
                    for i in range(dim):
                        covariances[k, a, b, i] = covariance[a, b, i]
            k += 1
        if most <= 0 or k == record.shape[0]:
            place[0], place[1], place[2], place[3] = s, left, t, k
            return k == record.shape[0]
        if left == 0:
            s += 1
            left = lengths[s]
        steps = min(left, record[k] - t)
        jump = steps >= shortest_jump and not streaming
        if not jump:
            steps = min(steps, most)
        left -= steps
        t += steps
        most -= _JUMP_COST if jump else steps
        for _ in range(1 if jump else steps):
            if streaming:
                _streaming_noise(curvature, label_variance, mean, covariance, variance)
            _build(
                base[s],
                slope[s],
                shift[s],
                noise[s],
                curvature,
                variance,
                origin,
                matrix,
                offset,
                covariance_added,
            )
            if jump:
                _jump(steps, mean, covariance, matrix, offset, covariance_added, work)
            else:
                _transform_vector(matrix, mean, offset, work)
                _transform_form(matrix, covariance, covariance_added, work)


@dataclass(frozen=True, eq=False)
class Dynamics:
    """What an optimizer does on a landscape whose expected gradient is linear.

    Attributes
    ----------
    rule : LinearRule
        The update of a coordinate's state z of n numbers, of which the first is the
        displacement x from the minimum.
    curvature : array of shape (d,)
    minimum : array of shape (d,)
        The minimum theta*.
    start_mean, start_variance : array of shape (d,)
        Of the displacement x_0.
    noise_variance : array of shape (d,) or None
        Variance of a sample's gradient noise; None for one-pass least squares, where it depends
        on the state.
    label_variance : float, default 0
        One-pass least squares: variance of the labels' noise.
    start : tuple of n floats, default (1, 0, ...)
        The state starts at these multiples of x_0.
    """

    rule: LinearRule
    curvature: NDArray[np.float64]
    minimum: NDArray[np.float64]
    start_mean: NDArray[np.float64]
    start_variance: NDArray[np.float64]
    noise_variance: NDArray[np.float64] | None
    label_variance: float = 0.0
    start: tuple[float, ...] | None = None

    @property
    def work(self) -> float:
        """Multiplications, roughly, of the moments over all steps; a jump counts as its cost."""
        lengths = self.rule.lengths
        if self.noise_variance is not None:
            lengths = np.minimum(lengths, 10 * _SHORTEST_JUMP)
        return float(np.sum(lengths)) * len(self.curvature) * 3 * self.rule.order**3


def map_moments(
    dynamics: Dynamics,
    record: NDArray[np.int64],
    use: Use[T],
    *,
    jumps: bool = True,
    advance: Callable[[float], None] | None = None,
) -> Generator[T, None, None]:
    """Yield what `use` makes of the exact moments of the state, block by block of coordinates.

    Blocks of independent coordinates are computed and used in parallel. They do not depend on the
    number of threads.

    Parameters
    ----------
    dynamics : Dynamics
    record : int array of shape (records,)
        Increasing steps, 0 being the start.
    use : function
        Takes the slice of a block's m coordinates, the means of their states at the recorded
        steps, shape (records, n, m), and the covariances, shape (records, n, n, m). Moments that
        overflow are infinite; the mean is NaN where its sign is lost with momentum.
    jumps : bool, default True
        Whether stretches are jumped over; without, every step is taken.
    advance : function, optional
        Called in any thread with the work that was done, which adds up to `dynamics.work`.
    """
    rule, dim = dynamics.rule, len(dynamics.curvature)
    n = rule.order
    noise = dynamics.noise_variance
    block = dim
    if noise is not None:
        fitting = _BLOCK_BYTES // (8 * len(record) * n * (n + 1))
        block = max(8, min(_LARGEST_BLOCK, fitting, -(-dim // _FEWEST_BLOCKS)))
    start = np.array(dynamics.start or (1.0,) + (0.0,) * (n - 1))
    steps = np.ascontiguousarray(record, dtype=np.int64)
    coordinate_step = dynamics.work / (max(1.0, float(steps[-1])) * dim)

    def compute(first: int, check: Check) -> T:
        part = slice(first, min(first + block, dim))
        size = part.stop - first
        means, covariances = np.empty((len(steps), n, size)), np.empty((len(steps), n, n, size))
        place = np.array([-1, 0, 0, 0])
        arguments = (
            place,
            max(1, int(_LARGEST_CALL / (size * 3 * n**3))),
            rule.lengths,
            rule.base,
            rule.slope,
            rule.shift,
            rule.noise,
            steps,
            dynamics.curvature[part].copy(),
            np.empty(size) if noise is None else noise[part].copy(),
            dynamics.label_variance if noise is None else -1.0,
            _SHORTEST_JUMP if jumps else np.iinfo(np.int64).max,
            dynamics.minimum[part].copy(),
            start[:, None] * dynamics.start_mean[part],
            start[:, None, None] * start[:, None] * dynamics.start_variance[part],
            means,
            covariances,
        )
        complete = False
        while not complete:
            check()
            before = int(place[2])
            complete = _propagate(*arguments)
            if advance is not None:
                advance((int(place[2]) - before) * size * coordinate_step)
        # A covariance is NaN where infinities of opposite signs met.
        covariances[np.isnan(covariances)] = np.inf
        return use(part, means, covariances)

    blocks = range(0, dim, block)
    threads = min(numba.get_num_threads(), len(blocks))
    with contextlib.closing(ordered_map(compute, blocks, threads)) as results:
        yield from results
