"""What every measure offers: a probe for the kernels, and statistics that merge."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels import reduce
from fastsched.kernels.probe import Probe
from fastsched.kernels.rows import Rows
from fastsched.landscapes import Landscape
from fastsched.optimizers import Optimizer
from fastsched.spec import Spec

if TYPE_CHECKING:
    from fastsched.study import Study

Partial = dict[str, NDArray[Any]]
"""Statistics of some trajectories, as plain arrays."""

Samples = dict[str, NDArray[np.float64]]
"""Numbers of each trajectory, shape (..., trajectories), by the variable that is their mean."""

Variables = dict[str, tuple[tuple[str, ...], NDArray[np.float64] | float]]
"""Results by name: dimensions and values."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The orders of quantiles, where a measure lets no others be chosen."""

FEWEST_BEYOND = 5
"""With fewer values beyond a quantile its standard error cannot be told."""


class Measure(Spec, abc.ABC):
    """Base of all measures.

    A measure says by its `probe` what the kernels are to look at and to write down of every
    trajectory, and reduces that block by block.
    """

    SEEKS: ClassVar[bool] = False
    """Whether the probe may ask the landscape for its basins or Hessian."""

    @abc.abstractmethod
    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        """Return what the kernels are asked for.

        Parameters
        ----------
        landscape : Landscape
        optimizer : Optimizer
        steps : int
            The study's steps.

        Raises
        ------
        FastschedError
            The measure does not fit the study.
        """

    @abc.abstractmethod
    def reduce(self, observed: Rows, kept: Rows) -> Partial:
        """Return the statistics of a block.

        Parameters
        ----------
        observed : Rows
            The readings of the probe, each at all recorded steps.
        kept : Rows
            What the probe keeps after the last step.
        """

    @abc.abstractmethod
    def merge(self, left: Partial, right: Partial) -> Partial:
        """Return the statistics of two neighbouring nodes of the tree of blocks."""

    @abc.abstractmethod
    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        """Return the measure's results after all trajectories.

        Parameters
        ----------
        total : dict of arrays
            The statistics of all trajectories, as `reduce` and `merge` return them.
        study : Study
        trajectories : int
            How many were run.

        Returns
        -------
        dict
            Dimensions and values by name; an error has the name of its variable with `_se`.
        """

    def samples(
        self, observed: NDArray[np.float64], kept: NDArray[np.float64], study: Study
    ) -> Samples:
        """Return what the measure's means are means of, trajectory by trajectory.

        By these the members of a sweep are compared.

        Parameters
        ----------
        observed : array of shape (readings, steps, trajectories)
            The readings of the probe, at all recorded steps or at the last one.
        kept : array of shape (kept, trajectories)
            What the probe keeps after the last step.
        study : Study

        Returns
        -------
        dict of arrays of shape (..., trajectories)
            With the dimensions of the variable.
        """
        return {}

    def coordinates(self, study: Study) -> dict[str, NDArray[np.generic]]:
        """Return the coordinates of the dimensions the measure adds."""
        return {}


class Moments(Measure):
    """A measure whose statistics are the moments of some numbers."""

    def merge(self, left: Partial, right: Partial) -> Partial:
        return {"moments": reduce.merge_moments(left["moments"], right["moments"])}


class MeanAndDeviation(Moments):
    """A measure of the mean and the standard deviation over trajectories of one number."""

    variable: ClassVar[str]

    def reduce(self, observed: Rows, kept: Rows) -> Partial:
        return {"moments": observed.moments()}

    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        return mean_and_deviation(self.variable, total["moments"])

    def samples(
        self, observed: NDArray[np.float64], kept: NDArray[np.float64], study: Study
    ) -> Samples:
        return {self.variable: observed[0]}


def mean_and_error(
    name: str, dimensions: tuple[str, ...], moments: NDArray[np.float64]
) -> Variables:
    """Return the mean `name`, and its standard error `name`_se."""
    n = moments[reduce.COUNT]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, moments[reduce.MEAN], np.nan)
        se = np.where(n > 1, np.sqrt(moments[reduce.M2] / (n - 1) / n), np.nan)
    return {name: (dimensions, mean), f"{name}_se": (dimensions, se)}


def binomial_error(fraction: NDArray[np.float64] | float, n: int) -> NDArray[np.float64]:
    """Return the standard error of a fraction of n trajectories."""
    fraction = np.asarray(fraction)
    return np.asarray(np.sqrt(fraction * (1 - fraction) / n))


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
