"""The law of the loss of a Gaussian iterate on a quadratic."""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fastsched.disk_cache import cached
from fastsched.errors import array, numeric, reject
from fastsched.progress import progress_bar

# The contour leaves the real axis upwards and bends to the right by this angle, so that the
# integrand fades exponentially; nodes are spaced evenly in the parameter of a hyperbola.
_SLOPE = math.tan(math.pi / 8)
_SPACING = 0.09
_LARGEST_EXPONENT = 40.0
_LARGEST_NODES = 2000

_TOLERANCE = 1e-12
_LARGEST_ITERATIONS = 60
_LARGEST_FREEDOM = 1e8  # of a chi-square law that is not taken as normal, for a first guess
_ROUNDING = 1e-14

_LARGEST_PART = 2**18  # numbers of the arrays that the moments of the loss are computed with

_jit = numba.njit(nogil=True, error_model="numpy")
_cached = cached(nogil=True, error_model="numpy")


@_jit
def _saddle(x, weights, squares, sign):
    """Return where K(s) - s x - log|s| is least on the side `sign` of 0, and its curvature."""
    edge = np.inf
    if sign > 0:
        edge = 0.5 / np.max(weights)
    # The minimum lies where the increasing slope K'(s) - x - 1/s vanishes: bracket, then Newton
    # steps that fall back to bisection (of the logarithm while the bracket is unbounded).
    low, high = 0.0, edge
    s = 0.5 * edge if sign > 0 else 1.0 / x
    second = 1.0
    for _ in range(200):
        signed = sign * s
        slope, second = -x - 1.0 / signed, 1.0 / (s * s)
        for i in range(weights.shape[0]):
            inverse = 1.0 / (1.0 - 2.0 * weights[i] * signed)
            slope += (weights[i] + squares[i] * inverse) * inverse
            second += (2.0 * weights[i] + 4.0 * squares[i] * inverse) * weights[i] * inverse**2
        slope *= sign
        if slope > 0:
            high = s
        else:
            low = s
        trial = s - slope / second
        if abs(trial - s) < 1e-6 * s:
            break
        if not low < trial < high:
            trial = 0.5 * (low + high) if high < np.inf else 2.0 * s
        s = trial
    return sign * s, second


@_cached
def _tail(x, weights, squares, sign):
    """Return log P(Q < x) (sign = -1) or log P(Q > x) (sign = 1), and the density at x."""
    center, second = _saddle(x, weights, squares, sign)
    width = 1.0 / math.sqrt(second)
    mass, density, top = 0.0, 0.0, 0.0
    for k in range(_LARGEST_NODES):
        t = k * _SPACING
        s = complex(center + width * _SLOPE * (math.cosh(t) - 1.0), width * math.sinh(t))
        direction = complex(width * _SLOPE * math.sinh(t), width * math.cosh(t))
        exponent = -s * x
        for i in range(weights.shape[0]):
            u = 1.0 - 2.0 * weights[i] * s
            exponent += squares[i] * s / u - 0.5 * np.log(u)
        if k == 0:
            top = exponent.real
        if exponent.real < top - _LARGEST_EXPONENT:
            break
        value = np.exp(exponent - top) * direction * (0.5 if k == 0 else 1.0)
        density += value.imag
        mass += sign * (value / s).imag
    scale = _SPACING / math.pi
    return math.log(max(mass * scale, 0.0)) + top, density * scale * math.exp(top)


@_cached
def _newton(x, log_mass, density, excess, sign):
    """Return the next x of Newton's method on log P against log x."""
    return x * math.exp(sign * excess * math.exp(log_mass) / (density * x))


def _solve(
    log_target: float,
    x: float,
    weights: NDArray[np.float64],
    squares: NDArray[np.float64],
    sign: int,
    check: Callable[[], None],
) -> float:
    """Return the x whose tail on the side `sign` has the logarithm `log_target`.

    The tails of a positive form are log-concave in log x.
    """
    low, high = 0.0, math.inf
    for _ in range(_LARGEST_ITERATIONS):
        check()
        log_mass, density = _tail(x, weights, squares, sign)
        excess = log_mass - log_target
        if (excess < 0) == (sign < 0):
            low = x
        else:
            high = x
        trial = _newton(x, log_mass, density, excess, sign)
        if abs(trial - x) <= _TOLERANCE * x:
            return trial
        if not low < trial < high:
            trial = 0.5 * (low + high) if high < math.inf else 2.0 * x
        x = trial
    return x


class LossLaw:
    r"""The exact law of a quadratic loss of independent normal coordinates.

    .. math::
        f = \tfrac12 \sum_i h_i x_i^2, \qquad x_i \sim N(m_i, s_i)

    is a sum of scaled, noncentral chi-square variables: with w = h s / 2 and b = h m^2 / 2 its
    cumulant generating function is
    :math:`K(u) = \sum_i b_i u / (1 - 2 w_i u) - \tfrac12 \log(1 - 2 w_i u)`.

    Parameters
    ----------
    curvature : array of shape (d,)
        The eigenvalues h, positive.
    mean, variance : array of shape (d,)
        Of each coordinate's displacement from the minimum.

    Raises
    ------
    FastschedError
        The arrays differ in shape, or a curvature or variance is negative.

    Notes
    -----
    Mean sum(w + b), variance 2 sum(w^2 + 2 w b). Tails are inverted from the characteristic
    function by the trapezoid rule as Imhof (Biometrika 48 (1961) 419) did, but along a contour
    through the saddle point (Rice, SIAM J. Sci. Stat. Comput. 1 (1980) 438) that bends to the
    right, where the integrand fades exponentially for any number of coordinates: some sixty
    nodes give twelve digits, relative to the tail.

    Examples
    --------
    >>> from fastsched.theory import LossLaw
    >>> law = LossLaw(curvature=[2.0, 2.0], mean=[0.0, 0.0], variance=[1.0, 1.0])
    >>> float(law.mean), float(np.round(law.quantile(0.5), 12))  # 2 log 2
    (2.0, 1.38629436112)
    """

    def __init__(self, curvature: ArrayLike, mean: ArrayLike, variance: ArrayLike) -> None:
        allowed = "a vector"
        h = array("curvature", curvature, ndim=(1,), allowed=allowed)
        m = array("mean", mean, ndim=(1,), allowed=allowed)
        v = array("variance", variance, ndim=(1,), allowed=allowed)
        for name, value in (("mean", m), ("variance", v)):
            if value.shape != h.shape:
                reject(name, value, f"of the curvature's shape {h.shape}, got {value.shape}")
        for name, value in (("curvature", h), ("variance", v)):
            if np.min(value) < 0:
                reject(name, value, "at least 0")
        # In units of 2^exponent, so that no product, square or cube leaves the range of doubles.
        (h, h_power), (m, m_power), (v, v_power) = map(np.frexp, (h, m, v))
        weights, weight_power = h * v / 2, h_power + v_power
        squares, square_power = h * m**2 / 2, h_power + 2 * m_power
        powers = np.concatenate([weight_power[weights > 0], square_power[squares > 0]])
        self._exponent = int(powers.max()) if powers.size else 0
        weights = np.ldexp(weights, weight_power - self._exponent)
        squares = np.ldexp(squares, square_power - self._exponent)
        self._random = weights > 0
        self._weights, self._squares = weights[self._random], squares[self._random]
        self._least = float(np.sum(squares[~self._random]))
        self._mean = float(np.sum(weights + squares))
        self._std, self._skewness, self._freedom = _shape(self._weights, self._squares)
        # So close to a constant that the normal law's error is below rounding.
        self._normal = 10 * self._std * self._skewness <= _ROUNDING * self._mean
        self.mean: float = float(self._unscaled(self._mean))
        self.std: float = float(self._unscaled(self._std))

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return P(f <= x), of the shape of x."""
        below, above, _ = self._evaluate(x)
        return np.where(below <= 0.5, below, 1 - above)

    def sf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return P(f > x), of the shape of x."""
        below, above, _ = self._evaluate(x)
        return np.where(above <= 0.5, above, 1 - below)

    def pdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the density at x, of its shape; NaN for a loss that is not random."""
        return self._evaluate(x)[2]

    def quantile(self, order: ArrayLike, progress: bool = True) -> NDArray[np.float64]:
        """Return the x with P(f <= x) = order, of the shape of `order`, in (0, 1).

        Parameters
        ----------
        order : float or array
            Probabilities, between 0 and 1 (both excluded).
        progress : bool, default True
            Show a progress bar on a terminal or in a notebook.

        Returns
        -------
        array
            Infinite where the quantile is above the largest double.

        Raises
        ------
        FastschedError
            An order outside (0, 1).
        """
        orders = numeric("order", order, "numbers between 0 and 1 (both excluded)")
        if not np.all((orders > 0) & (orders < 1)):
            reject("order", order, "between 0 and 1 (both excluded)")
        with progress_bar(orders.size, progress) as bar:
            return self.quantiles(orders, lambda: None, lambda: bar.advance(1))

    def quantiles(
        self, orders: NDArray[np.float64], check: Callable[[], None], done: Callable[[], None]
    ) -> NDArray[np.float64]:
        """Return `quantile(orders)`, with functions called during and after each of them.

        Parameters
        ----------
        orders : array
            Between 0 and 1.
        check : function
            Called before each evaluation of a tail; what it raises ends the computation.
        done : function
            Called after each order.
        """
        result = np.full(orders.shape, self._least)
        if self._std == 0:
            return self._unscaled(result)
        if self._normal:
            return self._unscaled(self._mean + self._std * special.ndtri(orders))
        w, b = self._weights, self._squares
        # A scaled and shifted chi-square with the first three cumulants (Imhof 1961, eq. 4.1).
        freedom = self._freedom
        standard = (2 * special.gammaincinv(freedom / 2, orders) - freedom) / (2 * freedom) ** 0.5
        guess = self._mean + self._std * np.where(
            freedom < _LARGEST_FREEDOM, standard, special.ndtri(orders)
        )
        least = (self._mean - self._least) * 1e-12
        for k, q in np.ndenumerate(orders):
            sign = -1 if q < 0.5 else 1
            start = max(float(guess[k]) - self._least, least)
            result[k] += _solve(math.log(q if q < 0.5 else 1 - q), start, w, b, sign, check)
            done()
        return self._unscaled(result)

    def _unscaled(self, value: ArrayLike) -> NDArray[np.float64]:
        """Return values in units of 2^exponent as such, infinite above the largest double."""
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(value, self._exponent)

    def _evaluate(self, x: ArrayLike) -> tuple[NDArray[np.float64], ...]:
        """Return P(f <= x), P(f > x), of which the smaller is exact, and the density."""
        points = numeric("x", x, "numbers").astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            points = np.ldexp(points, -self._exponent)
        excess, random = points - self._least, self._std > 0
        if random and self._normal:
            z = (points - self._mean) / self._std
            density = np.exp(-(z**2) / 2) / (math.sqrt(2 * math.pi) * self._std)
            return special.ndtr(z), special.ndtr(-z), self._density(density)
        below = np.where(excess > 0, 1.0, 0.0) if random else np.where(excess >= 0, 1.0, 0.0)
        density = np.zeros(points.shape) if random else np.full(points.shape, np.nan)
        above = np.asarray(1 - below)
        if random:
            low = points < self._mean
            for inside, sign, tail, other in (
                ((excess > 0) & low, -1, below, above),
                (~low & np.isfinite(points), 1, above, below),
            ):
                for k in np.ndindex(points.shape):
                    if not inside[k]:
                        continue
                    log_mass, density[k] = _tail(excess[k], self._weights, self._squares, sign)
                    tail[k] = math.exp(log_mass)
                other[inside] = 1 - tail[inside]
        return below, above, self._density(density)

    def _density(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(scaled, -self._exponent)


def _shape(
    weights: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return standard deviation, skewness, and the degrees of freedom of that skewness.

    With weights w = r u and parts b the cumulants are 2 r sum u (w + 2 b) and
    8 r^2 sum u^2 (w + 3 b); powers of a small r are avoided.
    """
    if not weights.size:
        return 0.0, 0.0, math.inf
    largest = float(np.max(weights))
    u = weights / largest
    spread = float(np.sum(u * (weights + 2 * squares)))
    third = float(np.sum(u**2 * (weights + 3 * squares)))
    std = math.sqrt(2 * largest) * math.sqrt(spread)
    skewness = 4 * (third / spread) * (largest / std)
    return std, skewness, 8 / skewness / skewness if skewness else math.inf


def mean_and_std(
    curvature: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the loss of independent normal coordinates.

    Parameters
    ----------
    curvature : array of shape (d,)
        At least 0.
    mean, variance : array of shape (records, d)
        Of each coordinate's displacement from the minimum. Infinite or NaN where they overflow,
        which makes the loss infinite.

    Returns
    -------
    two arrays of shape (records,)
    """
    rows = max(1, _LARGEST_PART // len(curvature))
    parts = [
        _mean_and_std(curvature, mean[k : k + rows], variance[k : k + rows])
        for k in range(0, len(mean), rows)
    ]
    means, stds = zip(*parts, strict=True)
    return np.concatenate(means), np.concatenate(stds)


def _mean_and_std(
    curvature: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares, spread = (np.sqrt(curvature) * mean) ** 2, curvature * variance
        total = squares + spread
        total[np.isnan(total) & (curvature > 0)] = np.inf
        total[:, curvature == 0] = 0
        random = (spread != 0) & (total > 0)
        unit = np.max(np.where(random, total, 0), axis=1, keepdims=True)
        scale = np.where((unit > 0) & (unit < np.inf), unit, 1.0)
        part = np.where(random, spread / scale * ((spread / 2 + squares) / scale), 0)
        std = unit * np.sqrt(np.sum(part, axis=1, keepdims=True))
    std[unit == np.inf] = np.inf
    return np.sum(total, axis=1) / 2, std[:, 0]
