"""The simulation in plain NumPy: slow, obvious, and fed with the same random numbers.

Fast kernels are tested against this file trajectory by trajectory. It shares with them the
layout of the counter and nothing else: its Philox and its normals (with the library's
logarithm, cosine and sine) are written a second time on purpose, and the landscape's gradient
and the optimizer's update come from their plain NumPy forms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.philox import (
    LOW_WORDS,
    MULTIPLIERS,
    ROUNDS,
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


def normals(
    seed: int, trajectories: NDArray[np.integer], step: int, dim: int, stream: int, precision: str
) -> NDArray[np.floating]:
    """Return the standard normals of one step, shape (trajectories, dim), in float64.

    In "single" precision the uniforms have 32 bits, in "double" 64.
    """
    counter = (
        np.arange(dim, dtype=np.uint64)[None, :],
        np.uint64(step // 4),
        np.asarray(trajectories, dtype=np.uint64)[:, None],
    )
    high = philox((*counter, np.uint64(stream)), seed)
    low = philox((*counter, np.uint64(stream | LOW_WORDS)), seed)
    pair = 2 * (step % 4 // 2)
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
    swap, flip = high[pair + 1] >> np.uint64(30) & np.uint64(1), high[pair + 1] >> np.uint64(31)
    first = np.where(swap == (step % 2), np.cos(angle), np.sin(angle))
    return radius * first * np.where(flip, -1.0, 1.0)


def simulate(
    landscape: Landscape,
    optimizer: Optimizer,
    batch_sizes: NDArray[np.float64],
    record_steps: NDArray[np.int64],
    trajectories: NDArray[np.integer],
    seed: int,
    precision: str,
) -> NDArray[np.floating]:
    """Return the loss of each trajectory at the recorded steps, shape (records, trajectories).

    All arithmetic is in the dtype of `precision`; the normals are rounded to it.
    """
    dtype: Any = np.float32 if precision == "single" else np.float64
    steps, dim = len(batch_sizes), landscape.dim
    mean, std = landscape.start_moments()
    draw = normals(seed, trajectories, 0, dim, STREAM_START, precision)
    theta = (mean + std * draw).astype(dtype)
    state = [np.zeros_like(theta) for _ in range(optimizer.slots)]
    hyperparameters = optimizer.hyperparameters(steps)
    recorded = set(record_steps.tolist())
    losses = [landscape.reference_loss(theta)] if 0 in recorded else []
    for t in range(steps):
        draw = normals(seed, trajectories, t, dim, STREAM_NOISE, precision).astype(dtype)
        gradient = landscape.reference_gradient(theta, draw, batch_sizes[t]).astype(dtype)
        moved = optimizer.reference_step(theta, state, gradient, hyperparameters, t)
        theta, *state = (array.astype(dtype) for array in moved)
        if t + 1 in recorded:
            losses.append(landscape.reference_loss(theta.astype(np.float64)))
    return np.stack(losses)
