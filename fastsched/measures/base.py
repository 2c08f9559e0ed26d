"""What every measure offers: sums for the kernel, and statistics that merge."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels import reduce
from fastsched.landscapes import Landscape
from fastsched.spec import Spec

Partial = dict[str, NDArray[Any]]
"""Statistics of some trajectories, as plain arrays."""

Variables = dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]
"""Results by name: dimensions and values."""


class Measure(Spec, abc.ABC):
    """Base of all measures.

    The kernel records the loss of every trajectory at the recorded steps; a measure reduces the
    losses block by block.

    A measure may remember one number of each coordinate: `memory_function` is a device function
    `(before, after, memory, *coefficients) -> memory` of the displacements before and after a
    step, called at every step with that step's row of `memory_coefficients`. The memory starts
    as the starting displacement, and the loss is then recorded at it.
    """

    memory_function: ClassVar[Any] = None

    def memory_coefficients(self, steps: int) -> NDArray[np.float64]:
        """Return the coefficients of the memory at every step, shape (steps, coefficients).

        Raises
        ------
        FastschedError
            The measure does not fit a study of so many steps.
        """
        return np.zeros((steps, 0))

    def readout(self, landscape: Landscape) -> Any:
        """Return the device function of the landscape that is recorded; None is its loss.

        Raises
        ------
        FastschedError
            The landscape has none.
        """
        return None

    @abc.abstractmethod
    def reduce(self, observed: NDArray[np.float64], count: int) -> Partial:
        """Return the statistics of a block.

        Parameters
        ----------
        observed : array of shape (records, columns)
            The losses; trajectories are the first `count` columns.
        count : int
            Number of trajectories.
        """

    @abc.abstractmethod
    def merge(self, left: Partial, right: Partial) -> Partial:
        """Return the statistics of two neighbouring nodes of the tree of blocks."""

    @abc.abstractmethod
    def variables(self, total: Partial, trajectories: int) -> Variables:
        """Return the measure's results after all trajectories."""

    def coordinates(self) -> dict[str, NDArray[np.float64]]:
        """Return the coordinates of the dimensions the measure adds."""
        return {}


class MeanAndDeviation(Measure):
    """A measure of the mean and the standard deviation over trajectories of one number."""

    variable: ClassVar[str]

    def reduce(self, observed: NDArray[np.float64], count: int) -> Partial:
        return {"moments": reduce.block_moments(observed, count)}

    def merge(self, left: Partial, right: Partial) -> Partial:
        return {"moments": reduce.merge_moments(left["moments"], right["moments"])}

    def variables(self, total: Partial, trajectories: int) -> Variables:
        return mean_and_deviation(self.variable, total["moments"])


def mean_and_deviation(name: str, moments: NDArray[np.float64]) -> Variables:
    """Return `name`, its standard deviation `name`_std, and their standard errors."""
    n = moments[reduce.COUNT]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, moments[reduce.MEAN], np.nan)
        std = np.where(n > 1, np.sqrt(moments[reduce.M2] / (n - 1)), np.nan)
        m2, m4 = moments[reduce.M2] / n, moments[reduce.M4] / n
        std_se = np.where(m2 > 0, np.sqrt(np.maximum(m4 - m2**2, 0) / (4 * n * m2)), 0.0)
    return {
        name: (("step",), mean),
        f"{name}_se": (("step",), std / np.sqrt(np.maximum(n, 1))),
        f"{name}_std": (("step",), std),
        f"{name}_std_se": (("step",), np.where(n > 1, std_se, np.nan)),
    }
