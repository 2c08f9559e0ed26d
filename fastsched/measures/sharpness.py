"""Trace and largest eigenvalue of the Hessian at the recorded steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.probe import Probe, Reading
from fastsched.kernels.rows import Rows
from fastsched.landscapes import Landscape
from fastsched.measures.base import QUANTILES, Measure, Partial, Samples, Variables
from fastsched.measures.distribution import (
    block_distribution,
    distributions,
    merge_distributions,
)
from fastsched.optimizers import Optimizer
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.study import Study


@spec
class Sharpness(Measure):
    r"""The curvature of the loss at the iterate: trace and largest eigenvalue of its Hessian.

    Adds to the result, over `step`: `hessian_trace` and `hessian_max`, means over trajectories,
    their standard deviations between trajectories `..._std`, and `..._quantile(quantile, step)`,
    all with standard errors `..._se`.

    The trace is exact. The eigenvalue is the algebraically largest: exact where the Hessian is
    constant or diagonal, elsewhere by Lanczos' method on Hessian-vector products: exact but for
    rounding in up to 20 dimensions, beyond them from 40 steps, which approach it from below.

    Raises
    ------
    FastschedError
        When the study is made: the Hessian of its landscape is not known (`Custom`).

    Notes
    -----
    Sources: Hochreiter & Schmidhuber, Neural Comput. 9 (1997) 1, of flat minima; Keskar et al.,
    ICLR 2017, arXiv:1609.04836, of sharpness by eigenvalues; Golub & Van Loan, Matrix
    Computations, 4th ed., sections 8.4 and 10.1, of bisection and of Lanczos' method.

    Examples
    --------
    >>> Sharpness()
    Sharpness()
    """

    SEEKS = True

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        constant = [c for c in landscape.model.sharpness if isinstance(c, float)]
        registers = iter(range(len(constant)))
        return Probe(
            registers=tuple(constant),
            readings=tuple(
                Reading(next(registers) if isinstance(c, float) else c)
                for c in landscape.model.sharpness
            ),
        )

    def reduce(self, observed: Rows, kept: Rows) -> Partial:
        return block_distribution(observed, quantiles=True)

    def merge(self, left: Partial, right: Partial) -> Partial:
        return merge_distributions(left, right)

    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        return distributions(("hessian_trace", "hessian_max"), total, QUANTILES, trajectories)

    def samples(
        self, observed: NDArray[np.float64], kept: NDArray[np.float64], study: Study
    ) -> Samples:
        return {"hessian_trace": observed[0], "hessian_max": observed[1]}

    def coordinates(self, study: Study) -> dict[str, NDArray[np.generic]]:
        return {"quantile": np.array(QUANTILES)}
