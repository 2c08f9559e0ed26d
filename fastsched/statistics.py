"""The statistics of a block of trajectories, of all members and of their pairs, that merge."""

from __future__ import annotations

from collections.abc import Callable

from fastsched.kernels import reduce
from fastsched.kernels.rows import Rows
from fastsched.measures.base import Partial, Samples
from fastsched.pairs import block_pairs, paired, samples
from fastsched.study import Study
from fastsched.sweep import Sweep

Statistics = list[Partial]
"""Of each measure of each member in turn; last of the pairs, where these are kept."""


def block_statistics(
    asked: Study | Sweep, count: int, run: Callable[[int], tuple[Rows, Rows] | None]
) -> Statistics | None:
    """Return the statistics of a block.

    Parameters
    ----------
    asked : Study or Sweep
    count : int
        Number of trajectories of the block.
    run : function
        From the number of a member to what is recorded of it, and kept; None if it was stopped,
        and then the result is None.
    """
    statistics: Statistics = []
    found: list[Samples] = []
    for number, member in enumerate(asked.members):
        rows = run(number)
        if rows is None:
            return None
        observed, kept = rows
        found.append({})
        reading = row = 0
        for measure, probe in zip(member.measures, member.probes, strict=True):
            readings = len(probe.readings) * len(member.record_steps)
            parts = observed[reading : reading + readings], kept[row : row + probe.kept]
            statistics.append(measure.reduce(*parts))
            if paired(asked):
                found[-1] |= samples(asked, member, measure, *parts)
            reading += readings
            row += probe.kept
    if paired(asked):
        statistics.append(block_pairs(found, count))
    return statistics


def merged(asked: Study | Sweep, left: Statistics, right: Statistics) -> Statistics:
    """Return the statistics of two neighbouring nodes of the tree of blocks."""
    measures = [measure for member in asked.members for measure in member.measures]
    result = [m.merge(a, b) for m, a, b in zip(measures, left, right, strict=False)]
    if paired(asked):
        pairs = left[-1].items()
        result.append({n: reduce.merge_moments(moments, right[-1][n]) for n, moments in pairs})
    return result
