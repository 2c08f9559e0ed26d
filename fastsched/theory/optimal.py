"""Schedules that are optimal for something: Chebyshev, silver, greedy, best at the horizon."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.errors import integer, real, reject
from fastsched.landscapes import Quadratic
from fastsched.progress import Bar, progress_bar
from fastsched.schedules import Table
from fastsched.theory.horizon import Horizon

_STARTS = 5
_CORRECTIONS = 30
_LARGEST_EVALUATIONS = 4000  # of a start
_TYPICAL_EVALUATIONS = 100


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
    return Table(_greedy_rates(Horizon.of(landscape, steps, batch_size)))


def _greedy_rates(problem: Horizon) -> NDArray[np.float64]:
    h, second = problem.curvature, problem.start
    rates = np.empty(problem.steps)
    for t, size in enumerate(problem.batch_sizes):
        drift, noise = h**2 * second, problem.noise / size
        cost = np.sum(h * (drift + noise))
        rates[t] = np.sum(drift) / cost if cost > 0 else 0.0
        second = (1 - rates[t] * h) ** 2 * second + rates[t] ** 2 * noise
    return rates * problem.unit


def optimal_schedule(
    landscape: Quadratic, steps: int, batch_size: ArrayLike = 1, *, progress: bool = True
) -> Table:
    """Return the schedule of plain SGD with the smallest expected loss at the horizon.

    Parameters
    ----------
    landscape : Quadratic
    steps : int
        The horizon, at least 1.
    batch_size : int or array of shape (steps,), default 1
    progress : bool, default True
        Show a progress bar with the evaluations and the loss so far, on a terminal or in a
        notebook.

    Returns
    -------
    Table
        The rates: a local minimum over all sequences of non-negative rates, found from the
        greedy schedule and from constant and linear ones. After Ctrl-C the best rates so far.

    Warns
    -----
    RuntimeWarning
        Ctrl-C interrupted the search.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape, or the memory does not suffice.
    KeyboardInterrupt
        On Ctrl-C before the first evaluation has ended.

    Notes
    -----
    The recursion s' = (1 - eta h)^2 s + eta^2 c/B is differentiated by its adjoint, from
    checkpoints at every sqrt(steps)-th step, at the cost of two more sweeps, and minimised by
    L-BFGS-B over the square roots of the rates. Source: Zhang et al., NeurIPS 2019,
    arXiv:1907.04164, section 4.3, which optimises piecewise constant rates.

    Examples
    --------
    >>> from fastsched.theory import optimal_schedule
    >>> rates = optimal_schedule(Quadratic([1.0], noise=1.0), steps=3).values(3)
    >>> rates.round(6).tolist()
    [0.5, 0.333333, 0.25]
    """
    problem = Horizon.of(landscape, steps, batch_size)
    # L-BFGS keeps two vectors for each of its corrections, and some more.
    problem.require_memory(2 * _CORRECTIONS + 20)
    search = _Search(problem)
    try:
        with progress_bar(_STARTS, progress) as bar:
            search.run(bar)
    except KeyboardInterrupt:
        if not math.isfinite(search.loss):
            raise
        warnings.warn(
            f"optimal_schedule: interrupted after {search.evaluations} evaluations; these are "
            f"the best rates so far",
            RuntimeWarning,
            stacklevel=2,
        )
    return search.table()


class _Search:
    """Minimisation of the loss at the horizon over the square roots of the rates.

    Attributes
    ----------
    best : array of shape (steps,)
        The rates of the least loss so far.
    loss : float
        That loss, infinite before the first evaluation.
    evaluations : int
    """

    def __init__(self, problem: Horizon) -> None:
        self.best = np.zeros(problem.steps)
        self.loss = math.inf
        self.evaluations = 0
        self._problem = problem

    def table(self) -> Table:
        """Return the best rates so far."""
        return Table(self.best * self._problem.unit)

    def run(self, bar: Bar) -> None:
        """Search from every start; each fills one unit of the bar."""
        n = self._problem.steps
        edge, fade = 1 / np.max(self._problem.curvature), 1 - np.arange(n) / n
        starts = [_greedy_rates(self._problem) / self._problem.unit]
        starts += [scale * edge * shape for scale in (1.0, 0.1) for shape in (np.ones(n), fade)]
        options = {
            "maxiter": _LARGEST_EVALUATIONS // 2,
            "maxfun": _LARGEST_EVALUATIONS,
            "maxcor": _CORRECTIONS,
            "ftol": 1e-15,
            "gtol": 1e-10,
        }

        for k, start in enumerate(starts):
            self._descend(start, options, bar, f"start {k + 1} of {_STARTS}")

    def _descend(
        self, start: NDArray[np.float64], options: dict[str, Any], bar: Bar, place: str
    ) -> None:
        from scipy import optimize

        shares = [0.0]

        def objective(roots: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            value = self._objective(roots)
            loss = self.loss * self._problem.loss_unit
            bar.say(f"{place}, {self.evaluations} evaluations, loss {loss:.6g}")
            # The number of evaluations that a start takes is not known.
            shares.append(1 - 1 / (1 + len(shares) / _TYPICAL_EVALUATIONS))
            bar.advance(shares[-1] - shares[-2])
            return value

        optimize.minimize(objective, np.sqrt(start), jac=True, method="L-BFGS-B", options=options)
        bar.advance(1 - shares[-1])

    def _objective(self, roots: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the logarithm of the loss and its gradient; keep the best rates."""
        rates = roots**2
        loss, gradient = self._problem.loss_and_gradient(rates)
        self.evaluations += 1
        if not np.all(np.isfinite(gradient)):
            return math.log(np.finfo(np.float64).max), np.zeros_like(roots)
        if loss < self.loss:
            self.best, self.loss = rates, loss
        scale = max(loss, 1e-300)
        return math.log(scale), 2 * roots * gradient / scale
