"""First passages of the chains that SGD runs on standard landscapes."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from fastsched.errors import integer, real
from fastsched.landscapes.base import Normal
from fastsched.theory.passage import Array, Chain, GaussianChain

_LARGEST_DIM = 1000


class RadialChain(Chain):
    r"""The radius |x| of the chain x' = a x + s xi in d dimensions, killed outside a ball.

    SGD on the quadratic h |x|^2 / 2 with learning rate eta and gradient noise of standard
    deviation sigma in every direction has a = 1 - eta h and s = eta sigma.

    Parameters
    ----------
    contraction : float
        The factor a.
    std : float
        Standard deviation s of an update's noise in each direction, positive.
    dim : int
        Number of dimensions d, from 1 to 1000.
    radius : float
        Radius of the ball, positive; starts are radii, at least 0.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    |x|' / s has the noncentral chi law of d degrees of freedom and noncentrality m = |a x| / s:
    its density at y is

    .. math::
        \frac{y^{d - 1} e^{-(y^2 + m^2) / 2}}{2^{d/2 - 1} \Gamma(d/2)}\,
        {}_0F_1\!\left(; \tfrac d2; \tfrac{y^2 m^2}{4}\right)

    Source: Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions, vol. 2, 2nd ed.,
    ch. 29. Quadrature as for `GaussianChain`.

    Examples
    --------
    >>> from fastsched.theory import RadialChain
    >>> round(RadialChain(contraction=0.9, std=0.1, dim=10, radius=1.0).mean_passage_time(0.0), 6)
    76.28525
    """

    def __init__(self, contraction: float, std: float, dim: int, radius: float) -> None:
        self.contraction = real("contraction", contraction)
        self.std = real("std", std, above=0)
        self.dim = integer("dim", dim, minimum=1, maximum=_LARGEST_DIM)
        self.lower, self.upper = 0.0, real("radius", radius, above=0)
        self.breaks = ()

    def _moments(self, x: Array) -> tuple[Array, Array]:
        return abs(self.contraction) * x, np.full(len(x), self.std)

    def _density(self, x: Array, y: Array) -> Array:
        order = self.dim / 2 - 1
        m, r = (abs(self.contraction) * x / self.std)[:, None], y / self.std
        z = m * r
        small = z < 600
        # log of 0F1 exp(-z), by the Bessel function I_order where 0F1 would overflow.
        series = np.log(special.hyp0f1(order + 1, np.where(small, z, 0) ** 2 / 4)) - z
        large = np.where(small, 600, z)
        bessel = np.log(special.ive(order, large)) - order * np.log(large / 2)
        constant = special.gammaln(order + 1)
        logarithm = np.where(small, series - constant, bessel)
        logarithm += (self.dim - 1) * np.log(r) - order * math.log(2) - (r - m) ** 2 / 2
        return np.exp(logarithm) / self.std

    def _start(self, start: float | Normal, refinement: float) -> tuple[Array, Array]:
        return np.array([real("start", start, minimum=0)]), np.ones(1)


def double_well_chain(lr: float, noise_std: float, level: float = math.inf) -> GaussianChain:
    r"""Return the chain of SGD in the double well x^4/4 - x^2/2, below a level.

    Parameters
    ----------
    lr : float
        Learning rate eta, positive.
    noise_std : float
        Standard deviation sigma of the gradient noise, positive; the temperature is
        D = eta sigma^2 / 2 and the barrier 1/4.
    level : float, default infinite
        Upper end of the interval where the chain lives on; the wells are at -1 and 1, the
        saddle at 0.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Examples
    --------
    >>> from fastsched.theory import double_well_chain
    >>> round(double_well_chain(0.1, 2**0.5, level=0.0).mean_passage_time(-1.0), 6)
    356.691802
    >>> round(2 * 0.1 / double_well_chain(0.1, 2**0.5).relaxation_rate(), 6)
    57.422505
    """
    rate = real("lr", lr, above=0)
    std = rate * real("noise_std", noise_std, above=0)
    return GaussianChain(lambda x: x - rate * (x**3 - x), std, upper=level)


def quadratic_chain(lr: float, curvature: float, noise_std: float, radius: float) -> GaussianChain:
    r"""Return the chain of SGD on h x^2 / 2, inside (-radius, radius).

    Parameters
    ----------
    lr, curvature : float
        Learning rate eta and curvature h, positive.
    noise_std : float
        Standard deviation sigma of the gradient noise, positive.
    radius : float
        Positive.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    Its exit time is the run length of a two-sided control chart of exponentially weighted
    averages z' = (1 - l) z + l xi with l = eta h, where x = sigma z / h.

    Examples
    --------
    A chart with l = 0.1 and limits at 2.814 stationary standard deviations has an average run
    length of 500 (Lucas & Saccucci, Technometrics 32 (1990) 1):

    >>> from fastsched.theory import quadratic_chain
    >>> chain = quadratic_chain(0.1, 1.0, 1.0, radius=2.814 * (0.1 / 1.9) ** 0.5)
    >>> round(chain.mean_passage_time(0.0), 2)
    499.58
    """
    rate, h = real("lr", lr, above=0), real("curvature", curvature, above=0)
    std = rate * real("noise_std", noise_std, above=0)
    b = real("radius", radius, above=0)
    return GaussianChain(lambda x: (1 - rate * h) * x, std, -b, b)
