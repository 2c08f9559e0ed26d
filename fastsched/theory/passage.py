"""First passages of discrete chains: exact laws by quadrature."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.sparse.linalg import eigs

from fastsched.errors import NoExactTheory, evaluated, numeric, real, reject
from fastsched.landscapes.base import Normal

# A panel this many standard deviations wide with so many nodes integrates the transition density
# times its own shape to double precision.
_PANEL = 4.0
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
_LARGEST_GRID = 4096
_REFINEMENT = 1.5

# Relative tolerance, and the rounding error per step of the mean time.
TOLERANCE = 1e-9
_ROUNDING = 1e-14
_LONGEST = 1e10

_REACH = 8.0  # standard deviations beyond which a normal density is nothing
SAMPLES = 1000
_ROOT_TAU = math.sqrt(2 * math.pi)
_FAINTEST = 1e-30

Array = NDArray[np.float64]
Function = Callable[[Array], ArrayLike]


class _Grid(NamedTuple):
    """Nodes x (n,), their transitions K_ij = p(x_i, x_j) w_j, and a start's row of them.

    The columns of `lost` (n, 2) and of `start_lost` (2,) are the probabilities of stepping below
    and above the grid while staying in the interval.
    """

    kernel: Array
    lost: Array
    start: Array
    start_lost: Array


class _Answer(NamedTuple):
    value: Array
    tolerance: Array
    error: Array  # caused by what is lost below and above the grid, (2,)


class Chain(abc.ABC):
    """A Markov chain on the line that dies on leaving the interval (lower, upper)."""

    lower: float
    upper: float
    breaks: tuple[float, ...]

    @abc.abstractmethod
    def _moments(self, x: Array) -> tuple[Array, Array]:
        """Return where the chain goes from x, each (n,), and with what standard deviation."""

    @abc.abstractmethod
    def _density(self, x: Array, y: Array) -> Array:
        """Return the transition density from every x to every y, shape (len(x), len(y))."""

    @abc.abstractmethod
    def _start(self, start: float | Normal, refinement: float) -> tuple[Array, Array]:
        """Return points and weights of the start."""

    def mean_passage_time(self, start: float | Normal) -> float:
        r"""Return the mean number of updates until the chain is outside the interval.

        Parameters
        ----------
        start : float or Normal
            Not tested itself: the first test follows the first update.

        Raises
        ------
        NoExactTheory
            The mean is above 1e10 updates, or the quadrature does not settle with 4096 nodes.
        FastschedError
            A start that is not one, or a chain on the whole line.

        Notes
        -----
        The solution of :math:`u(x) = 1 + \int p(x, y)\, u(y)\, dy`, to a relative 1e-9, or 1e-14
        times the mean time where that is more.
        """
        self._refuse_line()

        def answer(grid: _Grid) -> _Answer:
            n = len(grid.kernel)
            sides = np.column_stack([np.ones(n), grid.lost])
            try:
                solution = np.linalg.solve(np.eye(n) - grid.kernel, sides)
            except np.linalg.LinAlgError:
                solution = np.full((n, 3), np.inf)
            value, longest = 1 + grid.start @ solution[:, 0], solution[:, 0].max()
            if not (0 < value <= _LONGEST and 0 < longest <= _LONGEST):
                raise NoExactTheory(
                    f"the mean passage time from start = {start!r} is above {_LONGEST:g} updates, "
                    f"where double precision leaves too few digits"
                )
            lost = grid.start_lost + grid.start @ solution[:, 1:]
            return _Answer(value, value * _relative_tolerance(longest), lost * longest)

        return float(self._settle(answer, start))

    def survival(self, steps: ArrayLike, start: float | Normal) -> Array:
        """Return the probability of no exit in the first `steps` updates.

        Parameters
        ----------
        steps : int or array of int
            Numbers of updates, at least 0.
        start : float or Normal
            Not tested itself: after 0 updates the probability is 1.

        Returns
        -------
        array of the shape of `steps`
            To a relative 1e-9, and absolutely to 1e-39.

        Raises
        ------
        NoExactTheory
            The quadrature does not settle with 4096 nodes.
        FastschedError
            Steps that are not integers or are negative, a start that is not one, or a chain on
            the whole line.
        """
        self._refuse_line()
        allowed = "integers, at least 0"
        given = numeric("steps", steps, allowed)
        if not (given.size and np.all((given >= 0) & (given < 2**53) & (given % 1 == 0))):
            reject("steps", steps, allowed)
        times, place = np.unique(given.astype(np.int64), return_inverse=True)

        def answer(grid: _Grid) -> _Answer:
            n = len(grid.kernel)
            # What leaves the grid is kept, in two more states, to know how much it is.
            matrix = np.eye(n + 2)
            matrix[:n, :n], matrix[:n, n:] = grid.kernel, grid.lost
            row = np.concatenate([grid.start, grid.start_lost])
            state = np.zeros((n + 2, 3))
            state[:n, 0] = state[n, 1] = state[n + 1, 2] = 1
            values = np.ones((len(times), 3)) * [1, 0, 0]
            done = 0  # updates after the first
            for k in np.flatnonzero(times):
                state = _advance(matrix, state, int(times[k]) - 1 - done)
                done = int(times[k]) - 1
                values[k] = row @ state
            alive = np.maximum(values[:, :1], _FAINTEST)
            error = np.max(values[:, 1:] / alive, axis=0) * alive.min()
            return _Answer(values[:, 0], TOLERANCE * alive[:, 0], error)

        return np.asarray(self._settle(answer, start)[place].reshape(given.shape))

    def decay_rate(self) -> float:
        r"""Return the rate r at which the probability of survival fades, exp(-r t) in the end.

        Returns
        -------
        float
            Per update: -log of the leading eigenvalue of the killed transition density; its
            inverse is nearly the mean passage time where that is long.

        Raises
        ------
        NoExactTheory
            The rate is below 1e-10, or the quadrature does not settle with 4096 nodes.
        FastschedError
            A chain on the whole line.
        """
        self._refuse_line()
        return float(self._settle(lambda grid: _spectral(grid, 0)))

    def _refuse_line(self) -> None:
        if math.isinf(self.lower) and math.isinf(self.upper):
            reject(
                "(lower, upper)", (self.lower, self.upper), "an interval with an end to leave by"
            )

    def _settle(
        self, answer: Callable[[_Grid], _Answer], start: float | Normal | None = None
    ) -> Array:
        """Return the answer that neither a wider nor a finer grid changes."""
        points = [end for end in (self.lower, self.upper) if math.isfinite(end)]
        if start is not None:
            points += list(self._start(start, 1.0)[0][[0, -1]])
        reach = _REACH * self._moments(np.array(points))[1].max()
        low = self.lower if math.isfinite(self.lower) else min(points) - reach
        high = self.upper if math.isfinite(self.upper) else max(points) + reach
        refinement, previous = 1.0, None
        while True:
            value, tolerance, error = answer(self._grid(low, high, refinement, start))
            wider = error > tolerance.min() / 4
            if np.any(wider):
                growth = (high - low) / 4
                low, high = low - growth * wider[0], high + growth * wider[1]
                previous = None
                continue
            if previous is not None and np.all(np.abs(value - previous) <= tolerance):
                return value
            refinement *= _REFINEMENT
            previous = value

    def _grid(
        self, low: float, high: float, refinement: float, start: float | Normal | None
    ) -> _Grid:
        edges = self._edges(low, high, refinement)
        nodes, weights = panel_nodes(edges)
        row, row_lost = np.zeros(len(nodes)), np.zeros(2)
        if start is not None:
            points, masses = self._start(start, refinement)
            row = masses @ self._density(points, nodes) * weights
            row_lost = masses @ self._lost(points, low, high)
        kernel = self._density(nodes, nodes)
        kernel *= weights
        return _Grid(kernel, self._lost(nodes, low, high), row, row_lost)

    def _edges(self, low: float, high: float, refinement: float) -> Array:
        """Return panels at most `_PANEL` of the narrowest transition that arrives wide."""
        ends = np.array([low, *(b for b in self.breaks if low < b < high), high])
        pieces = [np.linspace(a, b, SAMPLES + 1) for a, b in itertools.pairwise(ends)]
        centers = np.concatenate([(piece[1:] + piece[:-1]) / 2 for piece in pieces])
        means, stds = self._moments(centers)
        if np.ptp(stds) == 0:
            widths = np.full(len(pieces) * SAMPLES, stds[0])
        else:
            order = np.argsort(stds)[::-1]
            widths = np.full(len(centers), np.inf)
            first = np.searchsorted(centers, (means - _REACH * stds)[order])
            last = np.searchsorted(centers, (means + _REACH * stds)[order])
            for i, j, std in zip(first, last, stds[order], strict=True):
                widths[i:j] = std
            widths = np.minimum(widths, stds.max())
        edges = [np.array([low])]
        for piece, width in zip(pieces, widths.reshape(len(pieces), -1), strict=True):
            depth = np.concatenate([[0], np.cumsum(np.diff(piece) / width)])
            count = math.ceil(depth[-1] * refinement / _PANEL)
            if (count + sum(map(len, edges))) * len(NODES) > _LARGEST_GRID:
                raise NoExactTheory(
                    f"the passage law does not settle with {_LARGEST_GRID} nodes on "
                    f"({low:g}, {high:g}): the noise is too small, the chain does not stay near "
                    f"the interval's finite end, or breaks lacks a kink or jump"
                )
            edges.append(np.interp(np.linspace(0, depth[-1], count + 1), depth, piece)[1:])
        return np.concatenate(edges)

    def _lost(self, x: Array, low: float, high: float) -> Array:
        """Return the probabilities of stepping below and above the grid, shape (len(x), 2)."""
        means, stds = self._moments(x)
        below = special.ndtr((low - means) / stds) * math.isinf(self.lower)
        above = special.ndtr((means - high) / stds) * math.isinf(self.upper)
        return np.column_stack([below, above])


class GaussianChain(Chain):
    r"""The chain x' = map(x) + std(x) xi with standard normal xi, killed outside an interval.

    SGD with learning rate eta on a loss U with gradient noise of standard deviation sigma has
    map(x) = x - eta U'(x) and std = eta sigma. The chain is tested after each update, and time
    counts updates.

    Parameters
    ----------
    map : callable
        Maps an array of points to where they go without noise, elementwise.
    std : float or callable
        Standard deviation of the noise of an update, positive: a number, or an elementwise
        function of the point.
    lower, upper : float, default infinite
        Ends of the interval where the chain lives on. An infinite end is cut off where what lies
        beyond changes nothing.
    breaks : tuple of float, default ()
        Points where `map` or `std` has a kink or a jump.

    Raises
    ------
    FastschedError
        An empty interval, a break that is not a finite number, or functions whose values are not
        finite (not positive, for `std`).

    Notes
    -----
    The transition density is integrated by Gauss-Legendre panels as wide as four standard
    deviations and broken at `breaks` (Nystrom's method: Atkinson, The Numerical Solution of
    Integral Equations of the Second Kind, Cambridge 1997, ch. 4), refined until the result
    stands still to a relative 1e-9. Equation of the mean time, for control charts: Crowder,
    "A simple method for studying run-length distributions of exponentially weighted moving
    average charts", Technometrics 29 (1987) 401.

    Examples
    --------
    SGD with eta = 0.1 on x^4/4 - x^2/2 with gradient noise of variance 2, from -1 to 1:

    >>> from fastsched.theory import GaussianChain
    >>> chain = GaussianChain(lambda x: x - 0.1 * (x**3 - x), 0.1 * 2**0.5, upper=1.0)
    >>> round(chain.mean_passage_time(-1.0), 6)
    649.715817
    >>> chain.survival([0, 100, 1000], -1.0).round(6).tolist()
    [1.0, 0.899922, 0.20787]
    """

    def __init__(
        self,
        map: Function,
        std: float | Function,
        lower: float = -math.inf,
        upper: float = math.inf,
        breaks: tuple[float, ...] = (),
    ) -> None:
        if not callable(map):
            reject("map", map, "a function of an array of points")
        self.map = map
        self.std = std if callable(std) else real("std", std, above=0)
        self.lower = -math.inf if lower == -math.inf else real("lower", lower)
        self.upper = math.inf if upper == math.inf else real("upper", upper)
        if self.lower >= self.upper:
            reject("upper", upper, f"greater than lower = {lower!r}")
        points = numeric("breaks", breaks, "a tuple of points")
        if points.ndim != 1 or not np.all(np.isfinite(points)):
            reject("breaks", breaks, "a tuple of finite points")
        self.breaks = tuple(np.unique(points).tolist())

    def relaxation_rate(self, start: float = 0.0) -> float:
        r"""Return the rate r at which the unkilled chain forgets its start, exp(-r t) in the end.

        Parameters
        ----------
        start : float, default 0
            A point the chain can come from; its surroundings are searched for where it lives.

        Returns
        -------
        float
            Per update: -log of the modulus of the second eigenvalue of the transition density.
            In a symmetric double well it is twice the rate of escape from a well.

        Raises
        ------
        NoExactTheory
            The rate is below 1e-10, or the quadrature does not settle with 4096 nodes.
        FastschedError
            A chain with an end to leave by.

        Examples
        --------
        >>> from fastsched.theory import GaussianChain
        >>> chain = GaussianChain(lambda x: 0.75 * x, 1.0)
        >>> round(float(np.exp(-chain.relaxation_rate())), 9)
        0.75
        """
        if not (math.isinf(self.lower) and math.isinf(self.upper)):
            reject("(lower, upper)", (self.lower, self.upper), "the whole line")
        return float(self._settle(lambda grid: _spectral(grid, 1), real("start", start)))

    def _moments(self, x: Array) -> tuple[Array, Array]:
        means = evaluated("map", self.map, x)
        if not callable(self.std):
            return means, np.full(len(x), self.std)
        stds = evaluated("std", self.std, x)
        if stds.min() <= 0:
            reject("std", self.std, f"positive; it is not at x = {x[np.argmin(stds)]:g}")
        return means, stds

    def _density(self, x: Array, y: Array) -> Array:
        means, stds = self._moments(x)
        deviation = (y - means[:, None]) / stds[:, None]
        return np.exp(-(deviation**2) / 2) / (stds[:, None] * _ROOT_TAU)

    def _start(self, start: float | Normal, refinement: float) -> tuple[Array, Array]:
        if not isinstance(start, Normal):
            return np.array([real("start", start)]), np.ones(1)
        mean, std = real("start.mean", start.mean), real("start.std", start.std)
        if std == 0:
            return np.array([mean]), np.ones(1)
        low, high = mean - _REACH * std, mean + _REACH * std
        # Panels a standard deviation wide, broken and graded as those of the transitions.
        own = np.linspace(low, high, math.ceil(2 * _REACH * refinement) + 1)
        edges = np.union1d(own, self._edges(low, high, refinement))
        points, weights = panel_nodes(edges)
        return points, weights * np.exp(-(((points - mean) / std) ** 2) / 2) / (std * _ROOT_TAU)


def panel_nodes(edges: Array) -> tuple[Array, Array]:
    """Return the nodes and weights of all panels, each (16 panels,)."""
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + NODES)).ravel(), (half * WEIGHTS).ravel()


def _relative_tolerance(time: float) -> float:
    return max(TOLERANCE, _ROUNDING * time)


def _advance(matrix: Array, state: Array, steps: int) -> Array:
    """Return matrix^steps state by products with the state or by squarings, whichever is less."""
    if steps < len(matrix):
        for _ in range(steps):
            state = matrix @ state
        return state
    while steps:
        if steps & 1:
            state = matrix @ state
        steps >>= 1
        if steps:
            matrix = matrix @ matrix
    return state


def _spectral(grid: _Grid, index: int) -> _Answer:
    """Return -log of the modulus of an eigenvalue, counted from the largest."""
    values, vectors = eigs(grid.kernel.T, k=index + 1, v0=np.ones(len(grid.kernel)))
    order = np.argsort(np.abs(values))[::-1]
    law = np.abs(vectors[:, order[0]].real)
    rate = -math.log(abs(values[order[index]]))
    if rate < 1 / _LONGEST:
        raise NoExactTheory(
            f"the rate is below {1 / _LONGEST:g} per update, where double precision leaves too "
            f"few digits"
        )
    tolerance = np.asarray(rate * _relative_tolerance(1 / rate))
    return _Answer(np.asarray(rate), tolerance, law @ grid.lost / law.sum())
