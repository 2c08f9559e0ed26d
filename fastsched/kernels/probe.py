"""What a measure asks of the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LOSS = "loss"
"""The view of the landscape's loss."""


class Work(NamedTuple):
    """An array of work space, by default of shape (rows, lanes).

    Attributes
    ----------
    rows : int
    kind : numpy scalar type or None
        Of its numbers; by default the study's precision.
    by_lane : bool, default False
        Whether the shape is (lanes, rows), a contiguous vector for each lane, instead of
        (rows, lanes).
    """

    rows: int
    kind: type | None = None
    by_lane: bool = False


@dataclass(frozen=True, eq=False)
class View:
    """A number of the whole iterate other than its loss, e.g. its basin.

    Attributes
    ----------
    function : device function
        `(first, last, slot, state, origin, data, work, own, space, totals)` writes to `totals`
        the number at `state[slot]`, for each lane. `data` and `work` are the landscape's, `own`
        and `space` the view's; lanes of `work`, `space` and `totals` are counted from first.
    data : tuple of arrays
        The view's own; those of float64 are rounded to the study's precision.
    work : tuple of Work
        The view's own work space.
    cacheable : bool, default True
        Whether a kernel with this function can be kept on disk.
    """

    function: Any
    data: tuple[Any, ...] = ()
    work: tuple[Work, ...] = ()
    cacheable: bool = True


class Reading(NamedTuple):
    """A number that is recorded of every trajectory.

    Attributes
    ----------
    source : LOSS, View or int
        The loss, another view of the iterate, or the number of a register.
    memory : int or None
        The memory that is seen, instead of the iterate.
    lag : int, default 0
        After how many more updates the number for a recorded step is known.
    """

    source: Any = LOSS
    memory: int | None = None
    lag: int = 0


@dataclass(frozen=True, eq=False)
class Probe:
    """What a measure asks of the kernels.

    After every step, `coordinate_function` sees each coordinate and adds to sums over all of
    them; then `event_function` sees the sums and updates the trajectory's registers.

    Attributes
    ----------
    coordinate_function : device function or None
        `(before, after, gradient, velocity, *memories, *constants, *coefficients) -> (*memories,
        *terms)` of the displacements before and after a step, its stochastic gradient, and the
        velocity before it (zero where the optimizer has none). Called for the start with
        before = after, no gradient and no velocity.
    memories : tuple of float or None
        How the numbers remembered of a coordinate begin, None for the starting displacement.
    terms : int
        Number of the sums.
    event_function : device function or None
        `(time, *watched, *sums, *registers, *coefficients) -> (*registers,)`, in double
        precision; `time` is the number of updates done. With a `tally`, the last value returned
        is the index of the count to raise, or -1.
    watched : tuple of LOSS or View
    registers : tuple of float
        Numbers of a trajectory, as they begin.
    tally : int
        Number of counts of a trajectory.
    at_records : bool
        Whether the event is asked for only at the start, at recorded steps and after the last.
    constants : array of shape (constants, d)
        Of each coordinate.
    coefficients : array of shape (steps, coefficients)
        Of each step.
    readings : tuple of Reading
        What is recorded at the recorded steps.
    finals : tuple of int
        The registers that are kept after the last step. The tally is always kept.
    axes : int array of shape (axes,)
        Coordinates whose memories are kept after the last step.
    confined : bool
        Whether the coordinate function need not see other coordinates.
    settled : int or None
        A register that is negative until nothing the measure keeps can change any more. Where
        every probe of a study has one and none has readings, trajectories stop there.
    """

    coordinate_function: Any = None
    memories: tuple[float | None, ...] = ()
    terms: int = 0
    event_function: Any = None
    watched: tuple[Any, ...] = ()
    registers: tuple[float, ...] = ()
    tally: int = 0
    at_records: bool = False
    constants: NDArray[np.float64] | None = None
    coefficients: NDArray[np.float64] | None = None
    readings: tuple[Reading, ...] = ()
    finals: tuple[int, ...] = ()
    axes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    confined: bool = False
    settled: int | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """The views it watches or reads, other than losses."""
        seen = (*self.watched, *(reading.source for reading in self.readings))
        return tuple(view for view in seen if isinstance(view, View))

    @property
    def constant_rows(self) -> int:
        """Number of constants of a coordinate."""
        return 0 if self.constants is None else self.constants.shape[0]

    @property
    def columns(self) -> int:
        """Number of coefficients of a step."""
        return 0 if self.coefficients is None else self.coefficients.shape[1]

    @property
    def kept(self) -> int:
        """Numbers kept of a trajectory after the last step: registers, counts, memories."""
        return len(self.finals) + self.tally + len(self.memories) * len(self.axes)
