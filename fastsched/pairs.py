"""Differences between the members of a sweep, trajectory by trajectory.

Members share random numbers, so that the difference of two varies far less from trajectory to
trajectory than each of them. For every pair of members the moments of the difference are
accumulated where both are at hand, in a block, and merged along the tree of `kernels.reduce`.
Small sweeps keep them at every recorded step, larger ones after the last one, and no variable of
which there would be too many.
"""

from __future__ import annotations

import itertools
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

# Differences of one variable, of all pairs: above that they are not kept.
_MOST_DIFFERENCES = 2**22

# Numbers that a measure makes of one that is kept: time and event, or peak and event.
_MADE = 2


def paired(asked: Study | Sweep) -> bool:
    """Return whether differences between members are kept."""
    return 1 < len(asked.members) <= MOST_PAIRED


def at_every_step(asked: Study | Sweep) -> bool:
    """Return whether they are kept at every recorded step, or after the last one only."""
    members = len(asked.members)
    return isinstance(asked, Sweep) and members <= MOST_EVERY_STEP and asked.same_records


def paired_numbers(asked: Study | Sweep) -> int:
    """Return how many numbers of a trajectory are at hand at once, about."""
    if not paired(asked):
        return 0
    # Differences of a member to all others are as many.
    return 2 * sum(_numbers(asked, member) for member in asked.members)


def pairs_bytes(asked: Study | Sweep) -> int:
    """Return the bytes of the moments of all pairs, about."""
    if not paired(asked):
        return 0
    members = len(asked.members)
    numbers = max(_numbers(asked, member) for member in asked.members)
    return members * (members + 1) // 2 * numbers * MOMENTS * 8


def samples(
    asked: Study | Sweep, member: Study, measure: Measure, observed: Rows, kept: Rows
) -> Samples:
    """Return the numbers of each trajectory of a block whose means a measure gives."""
    records = len(member.record_steps)
    wanted = records if at_every_step(asked) else 1
    readings = [
        observed[end - wanted : end].host() for end in range(records, len(observed) + 1, records)
    ]
    shown = np.stack(readings) if readings else np.empty((0, wanted, 0))
    found = measure.samples(shown, kept.host(), member)
    most = _most_numbers(asked)
    return {name: x for name, x in found.items() if x.size <= most * x.shape[-1]}


def block_pairs(members: Sequence[Samples], count: int) -> Partial:
    """Return the moments of the differences of all pairs of members, for a block.

    Returns
    -------
    dict of arrays of shape (5, (pairs + members) * numbers)
        By variable, for those that all members have in the same shape: pairs (a, b) with a < b, b
        varying fastest, and after them the members themselves.
    """
    first, *others = members
    return {
        name: _moments(np.stack([found[name].reshape(-1, count) for found in members]), count)
        for name, values in first.items()
        if all(name in found and found[name].shape == values.shape for found in others)
    }


def _most_numbers(asked: Study | Sweep) -> int:
    """Return how many numbers of a trajectory a variable may have to be compared."""
    members = len(asked.members)
    return max(1, _MOST_DIFFERENCES // (members * (members - 1) // 2))


def _numbers(asked: Study | Sweep, member: Study) -> int:
    """Return how many numbers of a trajectory are compared, about."""
    records = len(member.record_steps) if at_every_step(asked) else 1
    most = _most_numbers(asked)
    return sum(
        min(records, most) * len(p.readings) + min(_MADE * p.kept, _MADE * most)
        for p in member.probes
    )


def _moments(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the moments of differences of values of shape (members, numbers, count)."""
    members, numbers, _ = values.shape
    whole = np.full((members, numbers, -(-count // LANES) * LANES), np.nan)
    whole[:, :, :count] = np.where(np.abs(values) <= DIVERGED_ABOVE, values, np.nan)
    rows = itertools.chain((whole[a] - whole[a + 1 :] for a in range(members - 1)), [whole])
    parts = [block_moments(x.reshape(-1, whole.shape[2]), count) for x in rows]
    return np.concatenate(parts, axis=1)
