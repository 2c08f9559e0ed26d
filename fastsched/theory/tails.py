"""How heavy the tails of a stationary law are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaln, gammaln, logsumexp

from fastsched.errors import NoExactTheory, integer, real


def tail_index(lr: float, dim: int) -> float:
    r"""Return the tail index of SGD's stationary law in isotropic one-pass least squares.

    Features are N(0, I) in `dim` dimensions, the batch size is 1, and the labels are noisy. The
    stationary |x| then has P(|x| > r) ~ r^-alpha: its moments of order alpha and above are
    infinite.

    Parameters
    ----------
    lr : float
        Constant learning rate eta, at least 1e-3; with features of variance lambda, the product
        eta lambda.
    dim : int
        Number of features d, at most 1000.

    Returns
    -------
    float
        alpha, to about 1e-10 of itself. It decreases with the rate and is 2 at the mean-square
        limit, eta = 2/(d + 2).

    Raises
    ------
    NoExactTheory
        The rate is so large that iterates grow almost surely: there is no stationary law and
        the equation has no positive root. Below that there is always one, as Gaussian
        features are unbounded.
    FastschedError
        A parameter out of range.

    Notes
    -----
    alpha > 0 is the root of E |(I - eta a a^T) u|^alpha = 1 for a unit vector u, that is of

    .. math::
        E\left[\left(1 - 2 \eta z^2 + \eta^2 z^2 (z^2 + \chi^2_{d-1})\right)^{\alpha/2}\right] = 1

    With rho = eta |a|^2 and tau the squared cosine between a and u, which are independent, the
    bracket is 1 - tau + tau (1 - rho)^2; both expectations are double-exponential quadratures
    that end at the singular point rho = 1. Source: Gurbuzbalaban, Simsekli & Zhu, "The
    heavy-tail phenomenon in SGD", ICML 2021, arXiv:2006.04740.

    Examples
    --------
    >>> from fastsched.theory import tail_index
    >>> round(tail_index(0.4, 3), 9)
    2.0
    """
    rate = real("lr", lr, minimum=1e-3)
    d = integer("dim", dim, minimum=1, maximum=1000)
    log_norm, log_weight = _one_step_norms(rate, d)
    weight = np.exp(log_weight)
    drift = float(np.sum(weight * log_norm))
    if drift >= 0:
        raise NoExactTheory(
            f"lr = {lr!r} with dim = {d} has no tail index: iterates grow almost surely, by "
            f"{drift:g} a step in the logarithm, so there is no stationary law; lower lr"
        )

    def growth(alpha: float) -> float:
        return float(logsumexp(log_weight + alpha * log_norm)) / alpha if alpha else drift

    upper = 1.0
    while growth(upper) < 0:
        upper *= 2
    return float(brentq(growth, 0.0, upper, xtol=1e-14, rtol=1e-14))


def _one_step_norms(rate: float, dim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes of log |(I - rate a a^T) u| and the logarithms of their probabilities."""
    log_y, log_rest, log_dy = _unit_interval(160 + int(36 / math.sqrt(rate)))
    # rho = y below 1 and 1/y above.
    log_rho = np.concatenate([log_y, -log_y])
    log_excess = np.concatenate([log_rest, log_rest - log_y])  # of |1 - rho|
    squared = np.exp(log_rho) / rate
    log_radial = np.concatenate([log_dy, log_dy - 2 * log_y]) - math.log(rate)
    log_radial += (dim / 2 - 1) * np.log(squared / 2) - squared / 2 - math.log(2)
    log_radial -= gammaln(dim / 2)
    if dim == 1:
        return log_excess, log_radial - logsumexp(log_radial)
    log_y, log_rest, log_dy = _unit_interval(160 + int(8 * math.sqrt(dim)))
    # The squared cosine tau is 1 - y.
    log_angular = log_dy + (dim - 3) / 2 * log_y - log_rest / 2 - betaln((dim - 1) / 2, 0.5)
    log_norm = np.logaddexp(log_y, log_rest + 2 * log_excess[:, None]) / 2
    log_weight = log_radial[:, None] + log_angular
    return log_norm, log_weight - logsumexp(log_weight)


def _unit_interval(
    count: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return log y, log(1 - y) and the log weights of double-exponential nodes y in (0, 1)."""
    v, step = np.linspace(-4, 4, count, retstep=True)
    odds = np.pi * np.sinh(v)
    log_y, log_rest = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
    return log_y, log_rest, np.log(step * np.pi * np.cosh(v)) + log_y + log_rest
