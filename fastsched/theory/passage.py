"""First passages of discrete chains: exact laws by quadrature, and the known approximations."""

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

from fastsched.errors import NoExactTheory, array, integer, numeric, real, reject
from fastsched.landscapes.base import Normal

# A panel this many standard deviations wide with so many nodes integrates the transition density
# times its own shape to double precision.
_PANEL = 4.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_LARGEST_GRID = 4096
_REFINEMENT = 1.5

# Relative tolerance, and the rounding error per step of the mean time.
_TOLERANCE = 1e-9
_ROUNDING = 1e-14
_LONGEST = 1e10

_REACH = 8.0  # standard deviations beyond which a normal density is nothing
_SAMPLES = 1000
_LARGEST_DIM = 1000
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


class _Chain(abc.ABC):
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
        The solution of u(x) = 1 + \int p(x, y) u(y) dy, to a relative 1e-9, or 1e-14 times the
        mean time where that is more.
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
            return _Answer(values[:, 0], _TOLERANCE * alive[:, 0], error)

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
        nodes, weights = _panel_nodes(edges)
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
        pieces = [np.linspace(a, b, _SAMPLES + 1) for a, b in itertools.pairwise(ends)]
        centers = np.concatenate([(piece[1:] + piece[:-1]) / 2 for piece in pieces])
        means, stds = self._moments(centers)
        if np.ptp(stds) == 0:
            widths = np.full(len(pieces) * _SAMPLES, stds[0])
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
            if (count + sum(map(len, edges))) * len(_NODES) > _LARGEST_GRID:
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


class GaussianChain(_Chain):
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

    >>> from fastsched.theory.passage import GaussianChain
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
        self.lower = lower if lower == -math.inf else real("lower", lower)
        self.upper = upper if upper == math.inf else real("upper", upper)
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
        >>> from fastsched.theory.passage import GaussianChain
        >>> chain = GaussianChain(lambda x: 0.75 * x, 1.0)
        >>> round(float(np.exp(-chain.relaxation_rate())), 9)
        0.75
        """
        if not (math.isinf(self.lower) and math.isinf(self.upper)):
            reject("(lower, upper)", (self.lower, self.upper), "the whole line")
        return float(self._settle(lambda grid: _spectral(grid, 1), real("start", start)))

    def _moments(self, x: Array) -> tuple[Array, Array]:
        means = _values("map", self.map, x)
        if not callable(self.std):
            return means, np.full(len(x), self.std)
        stds = _values("std", self.std, x)
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
        points, weights = _panel_nodes(edges)
        return points, weights * np.exp(-(((points - mean) / std) ** 2) / 2) / (std * _ROOT_TAU)


class RadialChain(_Chain):
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
    >>> from fastsched.theory.passage import RadialChain
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
    >>> from fastsched.theory.passage import double_well_chain
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

    >>> from fastsched.theory.passage import quadratic_chain
    >>> chain = quadratic_chain(0.1, 1.0, 1.0, radius=2.814 * (0.1 / 1.9) ** 0.5)
    >>> round(chain.mean_passage_time(0.0), 2)
    499.58
    """
    rate, h = real("lr", lr, above=0), real("curvature", curvature, above=0)
    std = rate * real("noise_std", noise_std, above=0)
    b = real("radius", radius, above=0)
    return GaussianChain(lambda x: (1 - rate * h) * x, std, -b, b)


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
    >>> from fastsched.theory.passage import boundary_shift
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
    >>> from fastsched.theory.passage import sde_passage_time
    >>> round(sde_passage_time(lambda x: x**4 / 4 - x**2 / 2, -1.0, 1.0, 0.1), 4)
    66.2686
    """
    x0, b = real("start", start), real("level", level)
    scale = real("temperature", temperature, above=0)
    if x0 >= b:
        reject("level", level, f"greater than start = {start!r}")

    def exponent(x: Array) -> Array:
        return _values("potential", potential, x.ravel()).reshape(x.shape) / scale

    def integral(low: float, panels: int) -> float:
        edges = np.union1d(np.linspace(low, x0, panels + 1), np.linspace(x0, b, panels + 1))
        y, weights = (part.reshape(-1, len(_NODES)) for part in _panel_nodes(edges))
        # From each panel's left edge to each of its nodes, by nodes of their own.
        part = (y - edges[:-1, None])[:, :, None] / 2
        z = edges[:-1, None, None] + part * (1 + _NODES)
        lowest = exponent(edges).min()
        inner = np.sum(part * _WEIGHTS * np.exp(lowest - exponent(z)), axis=2)
        whole = np.sum(weights * np.exp(lowest - exponent(y)), axis=1, keepdims=True)
        inner += np.cumsum(whole, axis=0) - whole
        above = edges[:-1] >= x0
        outer = weights[above] * np.exp(exponent(y[above]) - lowest)
        return float(np.sum(outer * inner[above])) / scale

    low, panels = x0 - (b - x0), 16
    previous = 0.0
    for _ in range(9):
        span = np.linspace(low, b, _SAMPLES)
        while exponent(span)[0] < exponent(span).min() + 40:
            if x0 - low > 1e6 * (b - x0):
                reject("potential", potential, "growing towards -infinity")
            low -= x0 - low
            span = np.linspace(low, b, _SAMPLES)
        value = integral(low, panels)
        if abs(value - previous) <= _TOLERANCE * value:
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
    >>> from fastsched.theory.passage import kramers_time
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
        In units of time, 1/eta updates.

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
    >>> from fastsched.theory.passage import eyring_kramers_time
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
    return 2 * math.pi / -float(saddle[0]) * math.exp(ratio / 2 + height)


def _panel_nodes(edges: Array) -> tuple[Array, Array]:
    """Return the nodes and weights of all panels, each (16 panels,)."""
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + _NODES)).ravel(), (half * _WEIGHTS).ravel()


def _relative_tolerance(time: float) -> float:
    return max(_TOLERANCE, _ROUNDING * time)


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


def _values(name: str, function: Function, x: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        result = np.broadcast_to(np.asarray(function(x), dtype=np.float64), x.shape)
    bad = ~np.isfinite(result)
    if np.any(bad):
        reject(name, function, f"finite; it is not at x = {x[np.argmax(bad)]:g}")
    return result


def _symmetric(name: str, value: ArrayLike) -> Array:
    """Return the eigenvalues of a symmetric matrix, ascending."""
    allowed = "a symmetric matrix of shape (n, n)"
    matrix = array(name, value, ndim=(2,), allowed=allowed)
    if matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T, rtol=1e-10):
        reject(name, value, allowed)
    return np.asarray(np.linalg.eigvalsh((matrix + matrix.T) / 2), dtype=np.float64)
