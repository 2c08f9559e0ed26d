"""The worst-case bound of a schedule on convex problems."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.errors import array, real, reject


class TunedBound(NamedTuple):
    """The best multiple of a shape, and the bound it gives."""

    scale: float
    bound: float


def last_iterate_bound(
    rates: ArrayLike, distance: float = 1.0, gradient_norms: ArrayLike = 1.0
) -> float:
    r"""Return the bound of E f(x_T) - f* of subgradient descent on any convex f.

    Parameters
    ----------
    rates : array of shape (T,)
        Learning rates of the updates 1 ... T, at least 0 and the last positive, e.g.
        ``schedule.values(T)``. The bound holds for the iterate before update T.
    distance : float, default 1
        The distance D of the start from a minimum.
    gradient_norms : float or array of shape (T,), default 1
        Bounds G_t of the root mean square norms of the stochastic gradients.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    With S the sum of the rates,

    .. math::
        \Omega_T = \frac{D^2}{2 S} + \frac{\sum_t \eta_t^2 G_t^2}{2 S}
            + \frac12 \sum_{k<T} \frac{\eta_k}{\sum_{t>k} \eta_t}
              \frac{\sum_{t \ge k} \eta_t^2 G_t^2}{\sum_{t \ge k} \eta_t}

    Sources: Defazio et al. 2023, arXiv:2310.07831, Theorem 10; Schaipp et al. 2025,
    arXiv:2501.18965.

    Examples
    --------
    >>> from fastsched.theory import last_iterate_bound
    >>> round(last_iterate_bound(Linear(0.09725521, 100).values(100)), 8)
    0.20360842
    """
    initial, noise = _roots(rates, distance, gradient_norms)
    return initial * initial + noise * noise


def tuned_bound(
    shape: ArrayLike, distance: float = 1.0, gradient_norms: ArrayLike = 1.0
) -> TunedBound:
    """Return the multiple of a shape with the smallest bound, and that bound.

    Parameters
    ----------
    shape : array of shape (T,)
        Rates up to a factor.
    distance, gradient_norms
        As in `last_iterate_bound`.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    The first term of the bound falls as 1/scale and the others grow with it: scale =
    sqrt(T1 / (T2 + T3)), bound 2 sqrt(T1 (T2 + T3)). Source: Schaipp et al. 2025,
    arXiv:2501.18965.

    Examples
    --------
    >>> from fastsched.theory import tuned_bound
    >>> tuned_bound(np.ones(100)).bound > tuned_bound(Linear(1.0, 100).values(100)).bound
    True
    """
    initial, noise = _roots(shape, distance, gradient_norms)
    if noise == 0:
        reject("gradient_norms", gradient_norms, "positive somewhere")
    return TunedBound(initial / noise, 2 * initial * noise)


def _roots(rates: ArrayLike, distance: float, gradient_norms: ArrayLike) -> tuple[float, float]:
    """Return the roots of the term of the starting distance, and of those of the gradients."""
    eta = array("rates", rates, ndim=(1,), allowed="a vector of learning rates")
    if np.min(eta) < 0 or eta[-1] == 0:
        reject("rates", rates, "at least 0, and the last positive")
    norms = array("gradient_norms", gradient_norms, ndim=(0, 1), allowed="a number or a vector")
    if np.min(norms) < 0 or (norms.ndim and norms.shape != eta.shape):
        reject("gradient_norms", gradient_norms, f"at least 0, and a number or {eta.shape}")
    length = real("distance", distance, above=0)
    # In units of the largest rate and of the largest step.
    unit = float(np.max(eta))
    eta = eta / unit
    largest = float(np.max(eta * norms))
    steps = eta * norms / largest if largest > 0 else eta * norms
    left, energy = _suffix_sums(eta), _suffix_sums(steps**2)
    tail = 0.5 * float(np.sum(eta[:-1] / left[1:] * energy[:-1] / left[:-1]))
    total = 2 * float(left[0])
    initial = length / math.sqrt(total) / math.sqrt(unit)
    return initial, largest * math.sqrt(unit) * math.sqrt(float(energy[0]) / total + tail)


def _suffix_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cumsum(values[::-1])[::-1]
