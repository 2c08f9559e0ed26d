"""Schedules that are optimal for something: Chebyshev, silver, greedy, best at the horizon."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.disk_cache import cached
from fastsched.errors import array, integer, real, reject
from fastsched.landscapes import Quadratic
from fastsched.schedules import Table


def chebyshev_rates(smallest: float, largest: float, steps: int) -> NDArray[np.float64]:
    r"""Return the rates that shrink all of a spectrum most in a number of noise-free steps.

    Parameters
    ----------
    smallest, largest : float
        The ends m and L of the spectrum, 0 < m <= L.
    steps : int
        Number of updates n, at least 1.

    Returns
    -------
    array of shape (steps,)
        Decreasing from near 1/m. Any order gives the same final error without noise; noise and
        rounding are amplified least when large and small rates alternate.

    Raises
    ------
    FastschedError
        A parameter is out of range.

    Notes
    -----
    eta_k = 2 / (L + m - (L - m) cos((2 k - 1) pi / 2 n)) for k = 1 ... n; the error shrinks by
    1 / T_n((L + m) / (L - m)), T_n being Chebyshev's polynomial. Source: Young, J. Math. Phys.
    32 (1953) 243.

    Examples
    --------
    >>> from fastsched.theory import chebyshev_rates
    >>> chebyshev_rates(1.0, 3.0, 1).tolist()
    [0.5]
    """
    low = real("smallest", smallest, above=0)
    high = real("largest", largest, minimum=low)
    n = integer("steps", steps, minimum=1)
    angles = (2 * np.arange(1, n + 1) - 1) * np.pi / (2 * n)
    return 2 / (high + low - (high - low) * np.cos(angles))


def silver_rates(steps: int) -> NDArray[np.float64]:
    """Return the silver stepsizes, in units of 1/L, for smooth convex problems without noise.

    Parameters
    ----------
    steps : int
        Number of updates, 2^k - 1.

    Returns
    -------
    array of shape (steps,)

    Raises
    ------
    FastschedError
        `steps` is not 2^k - 1.

    Notes
    -----
    With rho = 1 + sqrt 2, h_1 = [sqrt 2] and h_{k+1} = [h_k, 1 + rho^(k-1), h_k]. Source:
    Altschuler & Parrilo 2023, arXiv:2309.16530.

    Examples
    --------
    >>> from fastsched.theory import silver_rates
    >>> silver_rates(3).round(4).tolist()
    [1.4142, 2.0, 1.4142]
    """
    n = integer("steps", steps, minimum=1)
    if n & (n + 1):
        reject("steps", steps, "2^k - 1, e.g. 1, 3, 7, 15")
    # Step t has the exponent of 2 in t: every second one is sqrt 2, every fourth 2, ...
    index = np.arange(1, n + 1)
    exponent = np.log2(index & -index)
    return 1 + (1 + np.sqrt(2)) ** (exponent - 1)


def greedy_schedule(landscape: Quadratic, steps: int, batch_size: ArrayLike = 1) -> Table:
    r"""Return the schedule that makes the expected loss after each next step smallest.

    Parameters
    ----------
    landscape : Quadratic
    steps : int
        Number of updates of plain SGD, at least 1.
    batch_size : int or array of shape (steps,), default 1

    Returns
    -------
    Table
        The rates. On spread spectra they are much worse at the horizon than those of
        `optimal_schedule`: the short-horizon bias.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    With second moments p of the displacement and noise variance c,
    :math:`\eta = \sum h^2 p / \sum h (h^2 p + c / B)`. Source: Wu et al., ICLR 2018,
    arXiv:1803.02021.

    Examples
    --------
    >>> from fastsched.theory import greedy_schedule
    >>> greedy_schedule(Quadratic([1.0], noise=1.0), steps=3).values(3).tolist()  # 1/(1/p + t)
    [0.5, 0.3333333333333333, 0.25]
    """
    h, noise, second, n = _problem(landscape, steps, batch_size)
    rates = np.empty(n)
    for t in range(n):
        drift = h**2 * second
        rates[t] = np.sum(drift) / np.sum(h * (drift + noise[t]))
        second = (1 - rates[t] * h) ** 2 * second + rates[t] ** 2 * noise[t]
    return Table(rates)


def optimal_schedule(landscape: Quadratic, steps: int, batch_size: ArrayLike = 1) -> Table:
    """Return the schedule of plain SGD with the smallest expected loss at the horizon.

    Parameters
    ----------
    landscape : Quadratic
    steps : int
        The horizon, at least 1.
    batch_size : int or array of shape (steps,), default 1

    Returns
    -------
    Table
        The rates: a local minimum over all sequences of non-negative rates, found from the
        greedy schedule and from constant and linear ones.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    The recursion s' = (1 - eta h)^2 s + eta^2 c/B is differentiated by its adjoint, at the cost
    of one more sweep, and minimised by L-BFGS-B over the square roots of the rates. Source: Zhang
    et al., NeurIPS 2019, arXiv:1907.04164, section 4.3, which optimises piecewise constant rates.

    Examples
    --------
    >>> from fastsched.theory import optimal_schedule
    >>> rates = optimal_schedule(Quadratic([1.0], noise=1.0), steps=3).values(3)
    >>> rates.round(6).tolist()
    [0.5, 0.333333, 0.25]
    """
    from scipy import optimize

    h, noise, second, n = _problem(landscape, steps, batch_size)

    def objective(roots: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = _loss_and_gradient(roots**2, h, second, noise)
        if not np.all(np.isfinite(gradient)):
            return np.log(np.finfo(np.float64).max), np.zeros_like(roots)
        scale = max(loss, 1e-300)
        return np.log(scale), 2 * roots * gradient / scale

    edge = 1 / np.max(h)
    fade = 1 - np.arange(n) / n
    starts = [greedy_schedule(landscape, n, batch_size).values(n)]
    starts += [scale * edge * shape for scale in (1.0, 0.1) for shape in (np.ones(n), fade)]
    options = {"maxiter": 2000, "maxfun": 4000, "maxcor": 30, "ftol": 1e-15, "gtol": 1e-10}
    found = [
        optimize.minimize(objective, np.sqrt(s), jac=True, method="L-BFGS-B", options=options)
        for s in starts
    ]
    return Table(min(found, key=lambda f: f.fun).x ** 2)


@cached(nogil=True, error_model="numpy")
def _loss_and_gradient(rates, h, start, noise):
    """Return the expected loss after all steps and its derivative by every rate."""
    steps, dim = noise.shape
    path = np.empty((steps + 1, dim))
    for i in range(dim):
        path[0, i] = start[i]
    for t in range(steps):
        for i in range(dim):
            keep = 1 - rates[t] * h[i]
            path[t + 1, i] = keep * keep * path[t, i] + rates[t] * rates[t] * noise[t, i]
    loss = 0.0
    adjoint = np.empty(dim)
    for i in range(dim):
        loss += 0.5 * h[i] * path[steps, i]
        adjoint[i] = 0.5 * h[i]
    gradient = np.zeros(steps)
    for t in range(steps - 1, -1, -1):
        for i in range(dim):
            keep = 1 - rates[t] * h[i]
            slope = rates[t] * noise[t, i] - keep * h[i] * path[t, i]
            gradient[t] += 2 * adjoint[i] * slope
            adjoint[i] *= keep * keep
    return loss, gradient


def _problem(
    landscape: Quadratic, steps: int, batch_size: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int]:
    """Return curvatures, noise variance of every step, starting second moments, and steps."""
    if not isinstance(landscape, Quadratic):
        reject("landscape", landscape, "a Quadratic")
    n = integer("steps", steps, minimum=1)
    sizes = array("batch_size", batch_size, ndim=(0, 1), allowed="an integer or one for each step")
    if np.min(sizes) < 1 or (sizes.ndim and sizes.shape != (n,)):
        reject("batch_size", batch_size, f"at least 1, and a number or of shape ({n},)")
    mean, std = landscape.start_moments()
    noise = landscape.noise_std**2 / np.broadcast_to(sizes, (n,))[:, None]
    second = (mean - landscape.origin()) ** 2 + std**2
    return landscape.eigenvalues.copy(), noise, second, n
