"""What a block recorded of its trajectories, in the memory of the machine that ran it."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels import reduce

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]


class Rows(abc.ABC):
    """Rows of numbers, one of each trajectory of a block, that are reduced where they are."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abc.abstractmethod
    def __getitem__(self, rows: slice) -> Rows:
        """Return some of the rows."""

    @abc.abstractmethod
    def map(self, function: Any, other: Rows) -> Rows:
        """Return a device function `(x, y) -> number` of these numbers and others, as rows."""

    @abc.abstractmethod
    def host(self) -> NDArray[np.float64]:
        """Return a copy of the numbers of the study's trajectories, shape (rows, trajectories)."""

    @abc.abstractmethod
    def moments(self) -> NDArray[np.float64]:
        """Return count, mean and central sums of each row; see `reduce.block_moments`."""

    @abc.abstractmethod
    def histogram(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return keys and counts of logarithmic bins, and extrema; see `reduce.block_histogram`."""

    @abc.abstractmethod
    def occurrences(self, bound: int) -> Counts:
        """Count the integers 0 ... bound - 1 in each row; others are left out.

        Returns
        -------
        keys, counts : int64 arrays
            Of those that occur, ascending; a key is row * bound + integer.
        """


class HostRows(Rows):
    """Rows in the memory of the processor.

    Parameters
    ----------
    values : array of shape (rows, columns)
        The columns are trajectories, whole tiles of them.
    count : int
        How many of them are trajectories of the study.
    """

    def __init__(self, values: NDArray[np.float64], count: int) -> None:
        self.values = values
        self._count = count

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> HostRows:
        return HostRows(self.values[rows], self._count)

    def map(self, function: Any, other: Rows) -> HostRows:
        assert isinstance(other, HostRows)
        with np.errstate(all="ignore"):
            return HostRows(function.py_func(self.values, other.values), self._count)

    def host(self) -> NDArray[np.float64]:
        return self.values[:, : self._count].copy()

    def moments(self) -> NDArray[np.float64]:
        return reduce.block_moments(self.values, self._count)

    def histogram(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        return reduce.block_histogram(self.values, self._count)

    def occurrences(self, bound: int) -> Counts:
        values = self.values[:, : self._count].astype(np.int64)
        keys = values + bound * np.arange(len(values))[:, None]
        return np.unique(keys[(values >= 0) & (values < bound)], return_counts=True)
