"""Mean, standard deviation and quantiles of recorded numbers: sums that merge, and errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels import reduce
from fastsched.kernels.rows import Rows
from fastsched.measures.base import FEWEST_BEYOND, Partial, Variables, mean_and_deviation

_HISTOGRAM = ("keys", "counts", "extrema")


def block_distribution(observed: Rows, quantiles: bool) -> Partial:
    """Return the statistics of a block's readings, with histograms if quantiles are wanted."""
    partial: Partial = {"moments": observed.moments()}
    if quantiles:
        partial |= zip(_HISTOGRAM, observed.histogram(), strict=True)
    return partial


def merge_distributions(left: Partial, right: Partial) -> Partial:
    """Return the statistics of two neighbouring nodes of the tree of blocks."""
    merged = {"moments": reduce.merge_moments(left["moments"], right["moments"])}
    if "keys" in left:
        merged["keys"], merged["counts"] = reduce.merge_histograms(
            left["keys"], left["counts"], right["keys"], right["counts"]
        )
        low, high = (f(left["extrema"], right["extrema"]) for f in (np.minimum, np.maximum))
        merged["extrema"] = np.stack([low[:, 0], high[:, 1]], axis=1)
    return merged


def distributions(
    names: Sequence[str], total: Partial, orders: Sequence[float], trajectories: int
) -> Variables:
    """Return the variables of several readings, by their names.

    For each: `name`, `name`_std, and with `orders` `name`_quantile, with standard errors ..._se.
    """
    result: Variables = {}
    records = total["moments"].shape[1] // len(names)
    quantile, quantile_se = _quantiles(total, orders, trajectories) if orders else (None, None)
    for k, name in enumerate(names):
        rows = slice(k * records, (k + 1) * records)
        result |= mean_and_deviation(name, total["moments"][:, rows])
        if quantile is not None and quantile_se is not None:
            result[f"{name}_quantile"] = (("quantile", "step"), quantile[:, rows])
            result[f"{name}_quantile_se"] = (("quantile", "step"), quantile_se[:, rows])
    return result


def _quantiles(
    total: Partial, orders: Sequence[float], trajectories: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    q = np.array(orders)
    spread = np.sqrt(q * (1 - q) / trajectories)
    wanted = np.concatenate([q, np.maximum(q - spread, 0), np.minimum(q + spread, 1)])
    values, widths = reduce.histogram_quantiles(
        total["keys"], total["counts"], total["extrema"], trajectories, wanted
    )
    middle, below, above = np.split(values, 3)
    width = widths[: len(q)]
    moments = total["moments"]
    with np.errstate(invalid="ignore", divide="ignore"):
        sampling = (above - below) / 2
        std = np.sqrt(moments[reduce.M2] / moments[reduce.COUNT])
        binning = np.where(width > 0, width * np.minimum(width / (4 * std), 12**-0.5), 0.0)
        se = np.hypot(sampling, binning)
    few = np.minimum(q, 1 - q) * trajectories < FEWEST_BEYOND
    return middle, np.where(few[:, None], np.nan, se)
