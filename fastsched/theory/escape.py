"""Approximations of escape times: continuous time, low temperature, shifted boundaries.

They show the trend and are 5-25 % off at ordinary rates; `GaussianChain` is exact.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastsched.errors import NoExactTheory, array, evaluated, real, reject
from fastsched.theory.passage import (
    NODES,
    SAMPLES,
    TOLERANCE,
    WEIGHTS,
    Array,
    Function,
    panel_nodes,
)


def boundary_shift(lr: float, noise_std: float) -> float:
    r"""Return by how much a chain sees a boundary farther than the diffusion does: approximate.

    Parameters
    ----------
    lr, noise_std : float
        Learning rate eta and standard deviation sigma of the gradient noise, positive.

    Returns
    -------
    float
        The mean overshoot of a random walk of steps eta sigma xi over a distant boundary. The
        diffusion with its boundary moved outwards by it follows the chain one order further.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    -zeta(1/2) / sqrt(2 pi) = 0.5826 standard deviations of an update, which is 0.5826
    sqrt(2 D eta) at the temperature D = eta sigma^2 / 2. Not for a boundary at a minimum.
    Source: Siegmund, "Corrected diffusion approximations in certain random walk problems", Adv.
    Appl. Probab. 11 (1979) 701.

    Examples
    --------
    >>> from fastsched.theory import boundary_shift
    >>> round(boundary_shift(0.1, 2.0), 6)
    0.116519
    """
    std = real("lr", lr, above=0) * real("noise_std", noise_std, above=0)
    return 0.5825971579390106 * std


def sde_passage_time(potential: Function, start: float, level: float, temperature: float) -> float:
    r"""Return the mean time in which the Langevin diffusion reaches a level above: approximate.

    The diffusion dx = -U'(x) dt + sqrt(2 D) dW approximates SGD with eta sigma^2 / 2 = D at
    times eta t; its boundary needs `boundary_shift`.

    Parameters
    ----------
    potential : callable
        U, elementwise on an array, smooth; it must grow towards -infinity.
    start, level : float
        start < level.
    temperature : float
        D, positive.

    Returns
    -------
    float
        In units of time, 1/eta updates; to a relative 1e-9.

    Raises
    ------
    NoExactTheory
        The integral does not settle with 4096 panels.
    FastschedError
        A parameter out of range, or a potential whose values are not finite.

    Notes
    -----
    .. math::
        \frac1D \int_{x_0}^{b} dy\, e^{U(y)/D} \int_{-\infty}^{y} dz\, e^{-U(z)/D}

    Source: Gardiner, Handbook of Stochastic Methods, 3rd ed., sec. 5.2.7.

    Examples
    --------
    >>> from fastsched.theory import sde_passage_time
    >>> round(sde_passage_time(lambda x: x**4 / 4 - x**2 / 2, -1.0, 1.0, 0.1), 4)
    66.2686
    """
    x0, b = real("start", start), real("level", level)
    scale = real("temperature", temperature, above=0)
    if x0 >= b:
        reject("level", level, f"greater than start = {start!r}")

    def exponent(x: Array) -> Array:
        return evaluated("potential", potential, x.ravel()).reshape(x.shape) / scale

    def integral(low: float, panels: int) -> float:
        edges = np.union1d(np.linspace(low, x0, panels + 1), np.linspace(x0, b, panels + 1))
        y, weights = (part.reshape(-1, len(NODES)) for part in panel_nodes(edges))
        # From each panel's left edge to each of its nodes, by nodes of their own.
        part = (y - edges[:-1, None])[:, :, None] / 2
        z = edges[:-1, None, None] + part * (1 + NODES)
        lowest = exponent(edges).min()
        inner = np.sum(part * WEIGHTS * np.exp(lowest - exponent(z)), axis=2)
        whole = np.sum(weights * np.exp(lowest - exponent(y)), axis=1, keepdims=True)
        inner += np.cumsum(whole, axis=0) - whole
        above = edges[:-1] >= x0
        heights = exponent(y[above])
        highest = heights.max()
        outer = weights[above] * np.exp(heights - highest)
        with np.errstate(over="ignore"):
            climb = np.exp(highest - lowest)
            return float(climb * (np.sum(outer * inner[above]) / scale))

    low, panels = x0 - (b - x0), 16
    previous = 0.0
    for _ in range(9):
        span = np.linspace(low, b, SAMPLES)
        while exponent(span)[0] < exponent(span).min() + 40:
            if x0 - low > 1e6 * (b - x0):
                reject("potential", potential, "growing towards -infinity")
            low -= x0 - low
            span = np.linspace(low, b, SAMPLES)
        value = integral(low, panels)
        if abs(value - previous) <= TOLERANCE * value:
            return value
        previous, panels = value, 2 * panels
    raise NoExactTheory(f"the mean passage time does not settle with {panels // 2} panels")


def kramers_time(
    curvature_minimum: float, curvature_saddle: float, barrier: float, temperature: float
) -> float:
    r"""Return Kramers' time of escape from a well in one dimension: approximate.

    Parameters
    ----------
    curvature_minimum : float
        U'' at the minimum, positive.
    curvature_saddle : float
        U'' at the top of the barrier, negative.
    barrier : float
        Height of the barrier, positive.
    temperature : float
        D = eta sigma^2 / 2, positive, small against the barrier.

    Returns
    -------
    float
        In units of time, 1/eta updates: the leading term, at small temperatures, of the mean
        time in which the diffusion gets to the other side.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    .. math::
        \frac{2 \pi}{\sqrt{U''(a) |U''(s)|}} e^{\Delta U / D}

    Source: Kramers, Physica 7 (1940) 284.

    Examples
    --------
    >>> from fastsched.theory import kramers_time
    >>> round(kramers_time(2.0, -1.0, 0.25, 0.1), 4)
    54.1254
    """
    inside = real("curvature_minimum", curvature_minimum, above=0)
    if real("curvature_saddle", curvature_saddle) >= 0:
        reject("curvature_saddle", curvature_saddle, "a finite number, less than 0")
    return eyring_kramers_time([[inside]], [[curvature_saddle]], barrier, temperature)


def eyring_kramers_time(
    hessian_minimum: ArrayLike, hessian_saddle: ArrayLike, barrier: float, temperature: float
) -> float:
    r"""Return the Eyring-Kramers time of escape over a saddle in n dimensions: approximate.

    Parameters
    ----------
    hessian_minimum : array of shape (n, n)
        Hessian H_a at the minimum, symmetric and positive definite.
    hessian_saddle : array of shape (n, n)
        Hessian H_s at the saddle, symmetric, with one negative eigenvalue.
    barrier : float
        Height of the saddle above the minimum, positive.
    temperature : float
        D = eta sigma^2 / 2 of isotropic noise, positive, small against the barrier.

    Returns
    -------
    float
        In units of time, 1/eta updates; infinite above the largest double.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    .. math::
        \frac{2 \pi}{|\lambda_-|} \sqrt{\frac{|\det H_s|}{\det H_a}}\, e^{\Delta U / D}

    Source: Bovier, Eckhoff, Gayrard & Klein, J. Eur. Math. Soc. 6 (2004) 399.

    Examples
    --------
    >>> from fastsched.theory import eyring_kramers_time
    >>> time = eyring_kramers_time(np.diag([2.0, 1.0]), np.diag([-1.0, 4.0]), 0.25, 0.1)
    >>> round(time, 4)
    108.2508
    """
    inside = _symmetric("hessian_minimum", hessian_minimum)
    if inside[0] <= 0:
        reject("hessian_minimum", hessian_minimum, "positive definite")
    saddle = _symmetric("hessian_saddle", hessian_saddle)
    if len(saddle) != len(inside):
        reject("hessian_saddle", hessian_saddle, f"of shape ({len(inside)}, {len(inside)})")
    if np.count_nonzero(saddle < 0) != 1 or np.any(saddle == 0):
        reject(
            "hessian_saddle", hessian_saddle, "with one negative eigenvalue, the others positive"
        )
    height = real("barrier", barrier, above=0) / real("temperature", temperature, above=0)
    ratio = math.fsum(np.log(np.abs(saddle))) - math.fsum(np.log(inside))
    prefactor = math.log(2 * math.pi) - math.log(-float(saddle[0]))
    with np.errstate(over="ignore"):
        return float(np.exp(prefactor + ratio / 2 + height))


def _symmetric(name: str, value: ArrayLike) -> Array:
    """Return the eigenvalues of a symmetric matrix, ascending."""
    allowed = "a symmetric matrix of shape (n, n)"
    matrix = array(name, value, ndim=(2,), allowed=allowed)
    if matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T, rtol=1e-10):
        reject(name, value, allowed)
    return np.asarray(np.linalg.eigvalsh((matrix + matrix.T) / 2), dtype=np.float64)
