"""The loss at the recorded steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import array, reject
from fastsched.kernels import reduce
from fastsched.measures.base import Measure, Partial, Variables, mean_and_deviation
from fastsched.spec import spec

# With fewer values beyond a quantile its standard error cannot be told.
_FEWEST_BEYOND = 5
_HISTOGRAM = ("keys", "counts", "extrema")


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

    quantiles: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)

    def __post_init__(self) -> None:
        allowed = "strictly increasing numbers between 0 and 1 (both excluded)"
        if isinstance(self.quantiles, (tuple, list)) and not self.quantiles:
            self._set(quantiles=())
            return
        orders = array("quantiles", self.quantiles, ndim=(1,), allowed=allowed)
        if orders[0] <= 0 or orders[-1] >= 1 or np.any(np.diff(orders) <= 0):
            reject("quantiles", self.quantiles, allowed)
        self._set(quantiles=tuple(orders.tolist()))

    def reduce(self, observed: NDArray[np.float64], count: int) -> Partial:
        partial = {"moments": reduce.block_moments(observed, count)}
        if self.quantiles:
            partial |= zip(_HISTOGRAM, reduce.block_histogram(observed, count), strict=True)
        return partial

    def merge(self, left: Partial, right: Partial) -> Partial:
        merged = {"moments": reduce.merge_moments(left["moments"], right["moments"])}
        if self.quantiles:
            merged["keys"], merged["counts"] = reduce.merge_histograms(
                left["keys"], left["counts"], right["keys"], right["counts"]
            )
            low, high = (f(left["extrema"], right["extrema"]) for f in (np.minimum, np.maximum))
            merged["extrema"] = np.stack([low[:, 0], high[:, 1]], axis=1)
        return merged

    def variables(self, total: Partial, trajectories: int) -> Variables:
        moments = total["moments"]
        diverged = 1 - moments[reduce.COUNT] / trajectories
        result = mean_and_deviation("loss", moments)
        result |= {
            "diverged": (("step",), diverged),
            "diverged_se": (("step",), np.sqrt(diverged * (1 - diverged) / trajectories)),
        }
        if self.quantiles:
            quantile, se = self._quantiles(total, trajectories)
            result["loss_quantile"] = (("quantile", "step"), quantile)
            result["loss_quantile_se"] = (("quantile", "step"), se)
        return result

    def _quantiles(
        self, total: Partial, trajectories: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        q = np.array(self.quantiles)
        spread = np.sqrt(q * (1 - q) / trajectories)
        orders = np.concatenate([q, np.maximum(q - spread, 0), np.minimum(q + spread, 1)])
        values, widths = reduce.histogram_quantiles(
            total["keys"], total["counts"], total["extrema"], trajectories, orders
        )
        middle, below, above = np.split(values, 3)
        width = widths[: len(q)]
        moments = total["moments"]
        with np.errstate(invalid="ignore", divide="ignore"):
            sampling = (above - below) / 2
            std = np.sqrt(moments[reduce.M2] / moments[reduce.COUNT])
            binning = np.where(width > 0, width * np.minimum(width / (4 * std), 12**-0.5), 0.0)
            se = np.hypot(sampling, binning)
        few = np.minimum(q, 1 - q) * trajectories < _FEWEST_BEYOND
        return middle, np.where(few[:, None], np.nan, se)

    def coordinates(self) -> dict[str, NDArray[np.float64]]:
        return {"quantile": np.array(self.quantiles)} if self.quantiles else {}
