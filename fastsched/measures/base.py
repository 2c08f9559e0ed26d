"""What every measure offers: sums for the kernel, and statistics that merge."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.landscapes.base import Landscape
from fastsched.spec import Spec

Partial = dict[str, NDArray[Any]]
"""Statistics of some trajectories, as plain arrays."""

Variables = dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]
"""Results by name: dimensions and values."""


class Measure(Spec, abc.ABC):
    """Base of all measures.

    The kernel sums each of `term_functions` over the coordinates and records the sums of every
    trajectory at the recorded steps; a measure reduces them block by block.
    """

    @abc.abstractmethod
    def term_functions(self, landscape: Landscape) -> tuple[Any, ...]:
        """Return the device functions `(theta, *constants) -> part of a sum`."""

    @abc.abstractmethod
    def reduce(self, observed: NDArray[np.float64], count: int) -> Partial:
        """Return the statistics of a block.

        Parameters
        ----------
        observed : array of shape (terms, records, columns)
            The sums; trajectories are the first `count` columns.
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
