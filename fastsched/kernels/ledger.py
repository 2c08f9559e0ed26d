"""What is written down of a tile's numbers: at recorded steps, and after the last one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.device import subroutine


class Ledger(NamedTuple):
    """Which of a trajectory's numbers are written down, and when.

    Attributes
    ----------
    record_at : int32 array of shape (1 + largest lag, steps + 1)
        The row of the record that is written with a lag once so many updates are done, or -1.
    initial : array of shape (numbers,)
        How the numbers begin.
    readings : int32 array of shape (readings, 2)
        Number and lag of what is recorded.
    kept : int64 array of shape (kept, 2)
        What is kept after the last step: a slot of the state and a coordinate, or -1 and a
        number.
    """

    record_at: NDArray[np.int32]
    initial: NDArray[np.float64]
    readings: NDArray[np.int32]
    kept: NDArray[np.int64]


@subroutine
def begin(first, last, ledger, numbers):
    """Give the numbers of lanes first ... last - 1 their values before the start."""
    for row in range(len(ledger.initial)):
        for lane in range(last - first):
            numbers[row, lane] = ledger.initial[row]


@subroutine
def record(first, last, time, ledger, numbers, observed, column):
    """Write down what is recorded once `time` updates are done."""
    for m in range(len(ledger.readings)):
        row = ledger.record_at[ledger.readings[m, 1], time]
        if row >= 0:
            number = ledger.readings[m, 0]
            for lane in range(first, last):
                observed[m, row, column + lane] = numbers[number, lane - first]


@subroutine
def keep(first, last, ledger, state, numbers, kept, column):
    """Write down what is kept after the last step."""
    for m in range(len(ledger.kept)):
        slot, index = ledger.kept[m, 0], ledger.kept[m, 1]
        for lane in range(first, last):
            if slot < 0:
                kept[m, column + lane] = numbers[index, lane - first]
            else:
                kept[m, column + lane] = state[slot, index, lane]
