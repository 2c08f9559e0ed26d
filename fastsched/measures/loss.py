"""The loss at the recorded steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import array, numeric, reject
from fastsched.kernels import reduce
from fastsched.kernels.probe import LOSS, Probe, Reading
from fastsched.kernels.rows import Rows
from fastsched.landscapes import Landscape
from fastsched.measures.base import QUANTILES, Measure, Partial, Samples, Variables, binomial_error
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
class Loss(Measure):
    r"""The distribution of the loss over trajectories at every recorded step.

    Adds to the result, over `step`: `loss`, its mean with standard error `loss_se`; `loss_std`,
    the standard deviation between trajectories, with `loss_std_se`; `loss_quantile(quantile,
    step)` with `loss_quantile_se`; `diverged`, the fraction of trajectories whose loss is not
    finite or above 1e30, with `diverged_se`. With n values, central moments m2 and m4 and
    density p at the quantile of order q,

    .. math::
        \mathrm{se}(\bar f)^2 = \frac{s^2}{n}, \qquad
        \mathrm{se}(s)^2 \approx \frac{m_4 - m_2^2}{4 n m_2}, \qquad
        \mathrm{se}(f_q)^2 \approx \frac{q (1 - q)}{n p(f_q)^2}

    Mean and standard deviation are taken over the trajectories that have not diverged;
    quantiles over all, a diverged one counting as infinite. The error of a quantile adds a bound
    of what the interpolation in bins of width w may cost, w^2 / 4 s, and is NaN with fewer than
    five values beyond the quantile.

    Parameters
    ----------
    quantiles : tuple of float, default (0.05, 0.25, 0.5, 0.75, 0.95)
        Orders of the quantiles, strictly increasing in (0, 1); empty for none. Values come from
        integer histograms with bins at most 0.2 % wide, interpolated: the quantile of order q
        of n values is where the cumulated count is q n.

    Raises
    ------
    FastschedError
        An order outside (0, 1), or orders that do not increase.

    Notes
    -----
    Source of the standard errors: Kendall & Stuart, The Advanced Theory of Statistics, vol. 1,
    eqs. 10.9 and 10.29.

    Examples
    --------
    >>> Loss(quantiles=(0.5,))
    Loss(quantiles=(0.5,))
    """

    quantiles: tuple[float, ...] = QUANTILES

    def __post_init__(self) -> None:
        allowed = "strictly increasing numbers between 0 and 1 (both excluded)"
        if numeric("quantiles", self.quantiles, allowed).size == 0:
            self._set(quantiles=())
            return
        orders = array("quantiles", self.quantiles, ndim=(1,), allowed=allowed)
        if orders[0] <= 0 or orders[-1] >= 1 or np.any(np.diff(orders) <= 0):
            reject("quantiles", self.quantiles, allowed)
        self._set(quantiles=tuple(orders.tolist()))

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        return Probe(readings=(Reading(LOSS),))

    def reduce(self, observed: Rows, kept: Rows) -> Partial:
        return block_distribution(observed, bool(self.quantiles))

    def merge(self, left: Partial, right: Partial) -> Partial:
        return merge_distributions(left, right)

    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        diverged = 1 - total["moments"][reduce.COUNT] / trajectories
        return {
            **distributions(("loss",), total, self.quantiles, trajectories),
            "diverged": (("step",), diverged),
            "diverged_se": (("step",), binomial_error(diverged, trajectories)),
        }

    def samples(
        self, observed: NDArray[np.float64], kept: NDArray[np.float64], study: Study
    ) -> Samples:
        return {"loss": observed[0]}

    def coordinates(self, study: Study) -> dict[str, NDArray[np.generic]]:
        return {"quantile": np.array(self.quantiles)} if self.quantiles else {}
