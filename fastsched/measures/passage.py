"""First-passage times: counts that merge, and what follows from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels import reduce
from fastsched.kernels.rows import Rows
from fastsched.measures.base import (
    FEWEST_BEYOND,
    QUANTILES,
    Measure,
    Partial,
    Samples,
    Variables,
    binomial_error,
)

if TYPE_CHECKING:
    from fastsched.study import Study


# Beyond any time: the integers that a float64 holds.
_LATEST = 2**53


class FirstPassage(Measure):
    """A measure of the first time at which something happens, censored at the last step.

    Its probe keeps one number: that time, the number of updates done, or -1 where it did not
    happen. No trajectory is lost before the last step, so the Kaplan-Meier estimate of the
    survival function is the fraction that goes on, and Greenwood's error that of a binomial.

    A study of first passages alone stops the trajectories of a tile once all of them have passed,
    so that its `steps` may be generous.
    """

    prefix: ClassVar[str]

    def reduce(self, observed: Rows, kept: Rows) -> Partial:
        times, counts = kept.occurrences(_LATEST)
        return {"times": times, "counts": counts}

    def merge(self, left: Partial, right: Partial) -> Partial:
        times, counts = reduce.merge_histograms(
            left["times"], left["counts"], right["times"], right["counts"]
        )
        return {"times": times, "counts": counts}

    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        times, counts, n = total["times"], total["counts"], trajectories
        events = int(counts.sum())
        values = np.append(times, study.steps).astype(np.float64)
        weights = np.append(counts, n - events) / n
        mean = float(weights @ values)
        variance = float(weights @ (values - mean) ** 2) * n / max(n - 1, 1)
        gone = np.append(0, np.cumsum(counts))[
            np.searchsorted(times, study.record_steps, side="right")
        ]
        survival = 1 - gone / n
        quantile, quantile_se = _quantiles(times, counts, n)
        probability = events / n
        name = self.prefix
        return {
            f"{name}_probability": ((), probability),
            f"{name}_probability_se": ((), binomial_error(probability, n)),
            f"{name}_time": ((), mean),
            f"{name}_time_se": ((), math.sqrt(variance / n) if n > 1 else math.nan),
            f"{name}_time_quantile": (("quantile",), quantile),
            f"{name}_time_quantile_se": (("quantile",), quantile_se),
            f"{name}_survival": (("step",), survival),
            f"{name}_survival_se": (("step",), binomial_error(survival, n)),
        }

    def samples(
        self, observed: NDArray[np.float64], kept: NDArray[np.float64], study: Study
    ) -> Samples:
        time = kept[0]
        return {
            f"{self.prefix}_probability": (time >= 0) * 1.0,
            f"{self.prefix}_time": np.where(time < 0, study.steps, time),
        }

    def coordinates(self, study: Study) -> dict[str, NDArray[np.generic]]:
        return {"quantile": np.array(QUANTILES)}


def _quantiles(
    times: NDArray[np.int64], counts: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times by which given fractions have passed, and their errors; NaN if never."""
    q = np.array(QUANTILES)
    spread = np.sqrt(q * (1 - q) / n)
    orders = np.concatenate([q, np.maximum(q - spread, 0), np.minimum(q + spread, 1)])
    # A fraction such as 0.95 of n trajectories need not be a whole number to the last digit.
    wanted = np.maximum(np.ceil(orders * n - 1e-9 * n), 1)
    values = np.append(times.astype(np.float64), np.nan)
    middle, below, above = np.split(values[np.searchsorted(np.cumsum(counts), wanted)], 3)
    few = np.minimum(q, 1 - q) * n < FEWEST_BEYOND
    return middle, np.where(few, np.nan, (above - below) / 2)
