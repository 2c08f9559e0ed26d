"""The simulation in plain NumPy: slow, obvious, and fed with the same random numbers.

Fast kernels are tested against this file trajectory by trajectory. It shares with them the
layout of the counter and nothing else: its Philox and its normals (with the library's
logarithm, cosine and sine) are written a second time on purpose, and the landscape's gradient
and the optimizer's update come from their plain NumPy forms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.body import PRECISIONS
from fastsched.kernels.philox import (
    LOW_WORDS,
    MULTIPLIERS,
    ROUNDS,
    STREAM_BATCH,
    STREAM_NOISE,
    STREAM_START,
    WEYL,
)
from fastsched.landscapes import Landscape
from fastsched.optimizers import Optimizer

_MASK = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def philox(counter: tuple[Any, ...], seed: int) -> tuple[NDArray[np.uint64], ...]:
    """Return the four words of Philox4x32-10 for broadcastable counter words."""
    a, b, c, d = counter
    for k in range(ROUNDS):
        key0 = np.uint64(((seed & 0xFFFFFFFF) + k * WEYL[0]) & 0xFFFFFFFF)
        key1 = np.uint64(((seed >> 32) + k * WEYL[1]) & 0xFFFFFFFF)
        p, q = a * np.uint64(MULTIPLIERS[0]), c * np.uint64(MULTIPLIERS[1])
        a, b, c, d = (q >> _32) ^ b ^ key0, q & _MASK, (p >> _32) ^ d ^ key1, p & _MASK
    return a, b, c, d


def normal_block(counter: tuple[Any, ...], seed: int, precision: str) -> list[NDArray[np.floating]]:
    """Return the four standard normals of broadcastable counters, in float64.

    In "single" precision the uniforms have 32 bits, in "double" 64.
    """
    *rest, stream = counter
    high = philox((*rest, np.uint64(stream)), seed)
    low = philox((*rest, np.uint64(stream | LOW_WORDS)), seed)
    result = []
    for pair in (0, 2):
        radius_word, angle_word = (word.astype(np.float64) for word in high[pair : pair + 2])
        if precision == "double":
            radius_word = radius_word + (low[pair] + 0.5) * 2.0**-32
            fraction = low[pair + 1] * 2.0**-32
        else:
            radius_word = (radius_word.astype(np.float32) + np.float32(0.5)).astype(np.float64)
            fraction = np.zeros_like(angle_word)
        radius = np.sqrt(-2 * np.log(radius_word * 2.0**-32))
        # Bits 30 and 31 of the angle word exchange the coordinates and flip both signs.
        signed = np.mod(angle_word + 2.0**29, 2.0**30) - 2.0**29
        angle = (signed + fraction) * (np.pi / 2**31)
        swap = (high[pair + 1] >> np.uint64(30) & np.uint64(1)).astype(bool)
        sign = np.where(high[pair + 1] >> np.uint64(31), -1.0, 1.0)
        cosine, sine = np.cos(angle), np.sin(angle)
        result += [radius * sign * np.where(swap, sine, cosine)]
        result += [radius * sign * np.where(swap, cosine, sine)]
    return result


@dataclass(frozen=True)
class Draws:
    """The random numbers of one step of some trajectories.

    Attributes
    ----------
    seed, step : int
    trajectories : uint64 array of shape (n,)
    precision : {"single", "double"}
    """

    seed: int
    step: int
    trajectories: NDArray[np.uint64]
    precision: str

    def normals(self, dim: int, stream: int = STREAM_NOISE) -> NDArray[np.floating]:
        """Return the normals of the coordinates, shape (n, dim), rounded to the precision."""
        coordinates = np.arange(dim, dtype=np.uint64)
        counter = (coordinates[None, :], np.uint64(self.step // 4), self.trajectories[:, None])
        block = normal_block((*counter, stream), self.seed, self.precision)
        return block[self.step % 4].astype(PRECISIONS[self.precision])

    def batch_normals(self, index: int | NDArray[np.integer]) -> NDArray[np.floating]:
        """Return blocks of four normals of this step's own, shape (n, 4) or (n, indices, 4)."""
        first = np.asarray(index, dtype=np.uint64)
        trajectories = self.trajectories[:, None] if first.ndim else self.trajectories
        counter = (first, np.uint64(self.step), trajectories, STREAM_BATCH)
        return np.stack(normal_block(counter, self.seed, self.precision), axis=-1)

    def batch_words(self, index: int | NDArray[np.integer]) -> NDArray[np.uint64]:
        """Return blocks of four 32-bit words of this step's own, shaped as `batch_normals`."""
        first = np.asarray(index, dtype=np.uint64)
        trajectories = self.trajectories[:, None] if first.ndim else self.trajectories
        counter = (first, np.uint64(self.step), trajectories, np.uint64(STREAM_BATCH))
        return np.stack(philox(counter, self.seed), axis=-1)


class Point(NamedTuple):
    """Where some trajectories are after a number of updates.

    Attributes
    ----------
    theta : array of shape (n, d)
    state : list of arrays of shape (n, d)
        The optimizer's, e.g. the velocity: what the next gradient meets.
    gradient : array of shape (n, d)
        The stochastic gradient of the update that led here; zero at the start.
    """

    theta: NDArray[np.floating]
    state: list[NDArray[np.floating]]
    gradient: NDArray[np.floating]


def path(
    landscape: Landscape,
    optimizer: Optimizer,
    batch_sizes: NDArray[np.float64],
    trajectories: NDArray[np.integer],
    seed: int,
    precision: str,
) -> Iterator[Point]:
    """Yield where the trajectories are after 0, 1, ... updates.

    All arithmetic is in the dtype of `precision`; the normals are rounded to it.
    """
    dtype = PRECISIONS[precision]
    landscape = landscape.model
    steps, dim = len(batch_sizes), landscape.dim
    mean, std = landscape.start_moments()
    indices = np.asarray(trajectories, dtype=np.uint64)
    draw = Draws(seed, 0, indices, precision).normals(dim, STREAM_START)
    theta = (mean + std * draw).astype(dtype)
    state = [np.zeros_like(theta) for _ in range(optimizer.slots)]
    hyperparameters = optimizer.hyperparameters(steps)
    yield Point(theta, state, np.zeros_like(theta))
    for t in range(steps):
        draws = Draws(seed, t, indices, precision)
        gradient = landscape.reference_gradient(theta, draws, batch_sizes[t]).astype(dtype)
        moved = optimizer.reference_step(theta, state, gradient, hyperparameters, t)
        theta, *state = (array.astype(dtype) for array in moved)
        yield Point(theta, state, gradient)


def simulate(
    landscape: Landscape,
    optimizer: Optimizer,
    batch_sizes: NDArray[np.float64],
    record_steps: NDArray[np.int64],
    trajectories: NDArray[np.integer],
    seed: int,
    precision: str,
) -> NDArray[np.floating]:
    """Return the loss of each trajectory at the recorded steps, shape (records, trajectories)."""
    recorded = set(record_steps.tolist())
    points = path(landscape, optimizer, batch_sizes, trajectories, seed, precision)
    return np.stack(
        [
            landscape.model.reference_loss(point.theta.astype(np.float64))
            for t, point in enumerate(points)
            if t in recorded
        ]
    )
