"""Averages of the iterates as one more number of state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastsched.measures import Average
from fastsched.theory.moments import Dynamics
from fastsched.theory.rule import LinearRule


def averaged(
    dynamics: Dynamics, average: Average, record: NDArray[np.int64]
) -> tuple[Dynamics, NDArray[np.float64]]:
    """Return the dynamics lifted by the average, and how to read the average off.

    Parameters
    ----------
    dynamics : Dynamics
        With states of n numbers.
    average : Average
    record : int array of shape (records,)

    Returns
    -------
    Dynamics
        With states of n + 1 numbers. The last is the sum of the displacements so far, whose map
        is the same at every step as that of the average is not, or the moving average itself.
    array of shape (records, n + 1)
        The average at record[k] is the product of row k with the state.
    """
    rule, n = dynamics.rule, dynamics.rule.order
    readout = np.zeros((len(record), n + 1))
    if average.decay is not None:
        gain = 1 - average.decay
        lifted = _lifted(rule, gain)
        lifted.base[:, n, n] += average.decay
        start = (1.0,) + (0.0,) * (n - 1) + (1.0,)
        readout[:, n] = 1
    else:
        first = average.start or 0
        rule = _split(rule, first)
        lifted = _lifted(rule, 0.0)
        lifted.base[:, n, n] = 1
        lifted.base[:, n, 0] = np.cumsum(rule.lengths) > first
        start = (1.0,) + (0.0,) * n
        begun = record > first
        readout[~begun, 0] = 1
        readout[begun, n] = 1 / (record[begun] - first)
    return replace(dynamics, rule=lifted, start=start), readout


def _lifted(rule: LinearRule, gain: float) -> LinearRule:
    """Return the rule with one more number y' = gain x'."""

    def grown(part: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([part, gain * part[:, :1]], axis=1)

    def squared(part: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.pad(grown(part), ((0, 0), (0, 0), (0, 1)))

    return LinearRule(
        rule.lengths,
        squared(rule.base),
        squared(rule.slope),
        grown(rule.shift),
        grown(rule.noise),
    )


def _split(rule: LinearRule, step: int) -> LinearRule:
    """Return the rule with a stretch that begins at `step`."""
    ends = np.cumsum(rule.lengths)
    cut = np.union1d(ends, [step]) if 0 < step < ends[-1] else ends
    row = np.searchsorted(ends, cut)
    parts = (rule.base, rule.slope, rule.shift, rule.noise)
    return LinearRule(np.diff(cut, prepend=0), *(part[row] for part in parts))
