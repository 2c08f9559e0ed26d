"""Differences between the members of a sweep, trajectory by trajectory.

Members share random numbers, so that the difference of two varies far less from trajectory to
trajectory than each of them. For every pair of members the moments of the difference are
accumulated where both are at hand, in a block, and merged along the tree of `kernels.reduce`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.reduce import DIVERGED_ABOVE, LANES, MOMENTS, block_moments
from fastsched.kernels.rows import Rows
from fastsched.measures.base import Measure, Partial, Samples
from fastsched.study import Study
from fastsched.sweep import Sweep

MOST_PAIRED = 1024
"""Members of the largest sweep that keeps the differences of its pairs."""

MOST_EVERY_STEP = 16
"""Members of the largest sweep that keeps them at every recorded step."""


def paired(asked: Study | Sweep) -> bool:
    """Return whether differences between members are kept."""
    return 1 < len(asked.members) <= MOST_PAIRED


def at_every_step(asked: Study | Sweep) -> bool:
    """Return whether they are kept at every recorded step, or after the last one only."""
    return isinstance(asked, Sweep) and len(asked.members) <= MOST_EVERY_STEP and asked.same_records


def paired_numbers(asked: Study | Sweep) -> int:
    """Return how many numbers of a trajectory are at hand at once, at most."""
    if not paired(asked):
        return 0
    # A first-passage time gives two numbers, time and event, and twice as many are at work.
    return sum(
        2 * sum(p.kept + len(p.readings) * _records(asked, member) for p in member.probes)
        for member in asked.members
    )


def samples(
    asked: Study | Sweep, member: Study, measure: Measure, observed: Rows, kept: Rows
) -> Samples:
    """Return the numbers of each trajectory of a block whose means a measure gives."""
    records = len(member.record_steps)
    wanted = _records(asked, member)
    readings = [
        observed[end - wanted : end].host() for end in range(records, len(observed) + 1, records)
    ]
    shown = np.stack(readings) if readings else np.empty((0, wanted, 0))
    return measure.samples(shown, kept.host(), member)


def block_pairs(members: Sequence[Samples], count: int) -> Partial:
    """Return the moments of the differences of all pairs of members, for a block.

    Returns
    -------
    dict of arrays of shape (5, pairs * numbers)
        By variable, for those that all members have in the same shape; pairs (a, b) with a < b, b
        varying fastest.
    """
    first, *others = members
    return {
        name: _moments(np.stack([found[name].reshape(-1, count) for found in members]), count)
        for name, values in first.items()
        if all(name in found and found[name].shape == values.shape for found in others)
    }


def _records(asked: Study | Sweep, member: Study) -> int:
    return len(member.record_steps) if at_every_step(asked) else 1


def _moments(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the moments of differences of values of shape (members, numbers, count)."""
    members, numbers, _ = values.shape
    whole = np.full((members, numbers, -(-count // LANES) * LANES), np.nan)
    whole[:, :, :count] = np.where(np.abs(values) <= DIVERGED_ABOVE, values, np.nan)
    parts = [
        block_moments((whole[a] - whole[a + 1 :]).reshape(-1, whole.shape[2]), count)
        for a in range(members - 1)
    ]
    return np.concatenate([np.empty((MOMENTS, 0)), *parts], axis=1)
