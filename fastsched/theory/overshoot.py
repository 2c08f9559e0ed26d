"""Overshoot: how far, and how probably, a trajectory on a quadratic passes the minimum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from fastsched.errors import FastschedError, NoExactTheory, integer, real, reject
from fastsched.landscapes import Quadratic
from fastsched.progress import progress_bar
from fastsched.study import Study
from fastsched.theory.rule import linear_rule
from fastsched.theory.stability import checked_momentum

_LONGEST_ORTHANT = 25
_ORTHANT_ERROR = 1e-6
_ORTHANT_POINTS = 1_000_000

_NOTHING = 1e-300

# Panels of a function of x > 0: nodes, and the matrix that takes values to Legendre coefficients.
_ORDER = 16
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_ORDER)
_COEFFICIENTS = (np.polynomial.legendre.legvander(_NODES, _ORDER - 1) * _WEIGHTS[:, None]).T * (
    np.arange(_ORDER)[:, None] + 0.5
)
_RESOLVED = 1e-12
_LARGEST_PANELS = 128

_ROOT_TAU = math.sqrt(2 * math.pi)

# A normal density out to this many standard deviations, and nodes that integrate it.
_REACH = 8.5
_FINE_NODES, _FINE_WEIGHTS = np.polynomial.legendre.leggauss(48)


class Overshoot(NamedTuple):
    """How far beyond the minimum a noise-free trajectory gets.

    Attributes
    ----------
    depth : float
        max(-x_t / x_0) over all steps; 0 if the minimum is never passed.
    step : int or None
        The step t of the maximum, the first if there are several; None without an overshoot.
    """

    depth: float
    step: int | None


def noise_free_overshoot(momentum: float, rate: float) -> Overshoot:
    r"""Return the depth of the overshoot of the noise-free heavy ball, from rest.

    Parameters
    ----------
    momentum : float
        Momentum mu in (-1, 1); 0 is gradient descent.
    rate : float
        Learning rate times curvature, a = eta h, positive and below the limit of stability
        2 (1 + mu).

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    x_{t+1} = (1 + mu - a) x_t - mu x_{t-1} with x_1 = (1 - a) x_0. For
    (1 - sqrt mu)^2 < a < (1 + sqrt mu)^2 the motion is underdamped,

    .. math::
        \frac{x_t}{x_0} = r^t (\cos \varphi t + \kappa \sin \varphi t), \quad
        r = \sqrt\mu, \quad \cos\varphi = \frac{1 + \mu - a}{2 r}, \quad
        \kappa = \frac{(1 - a)/r - \cos\varphi}{\sin\varphi}

    and each lobe on the far side has its lowest integer step next to its lowest point. Below,
    with mu >= 0, there is no overshoot; above, and for mu <= 0, the sign may alternate, and odd
    steps rise to one maximum and fall.

    Examples
    --------
    >>> from fastsched.theory import noise_free_overshoot
    >>> depth, step = noise_free_overshoot(0.9, 0.01)
    >>> round(depth, 6), step
    (0.153156, 35)
    >>> noise_free_overshoot(0.5, 0.01)
    Overshoot(depth=0.0, step=None)
    """
    mu = checked_momentum(momentum)
    a = real("rate", rate, above=0)
    if a >= 2 * (1 + mu):
        reject(
            "rate", rate, f"less than 2 (1 + momentum) = {2 * (1 + mu):g}, the limit of stability"
        )
    r = math.sqrt(max(mu, 0.0))
    low, high = a - (1 - r) ** 2, (1 + r) ** 2 - a
    if mu <= 0 or high <= 0:
        return _alternating(mu, a)
    if low <= 0:
        return Overshoot(0.0, None)
    return _underdamped(mu, a, math.sqrt(low * high) / (2 * r))


def _underdamped(mu: float, a: float, sine: float) -> Overshoot:
    r = math.sqrt(mu)
    cosine = (1 + mu - a) / (2 * r)
    phi = math.atan2(sine, cosine)
    kappa = ((1 - a) / r - cosine) / sine
    amplitude = math.hypot(1, kappa)
    # x_t / x_0 = amplitude r^t cos(phi t - lag), lowest where tan(phi t - lag) = log(r) / phi.
    lag = math.atan(kappa)
    lowest = lag + math.pi + math.atan(math.log(r) / phi)
    best = Overshoot(0.0, None)
    lobe = 0
    while True:
        first = math.floor((lowest + 2 * math.pi * lobe) / phi)
        if amplitude * r**first <= best.depth:
            return best
        for t in (first, first + 1):
            depth = -amplitude * r**t * math.cos(phi * t - lag)
            if t > 0 and depth > best.depth:
                best = Overshoot(depth, t)
        lobe += 1


def _alternating(mu: float, a: float) -> Overshoot:
    """Return the overshoot where the roots are real and not both positive.

    On odd steps -x_t = c q^t - b p^t, where -q < 0 is the larger root unless 1 + mu - a >= 0.
    """
    trace = 1 + mu - a
    if trace >= 0:
        return Overshoot(0.0, None)
    earlier, x, t = 1.0, 1 - a, 1
    while True:
        depth = -x
        for _ in range(2):
            earlier, x = x, trace * x - mu * earlier
        if 0 < depth >= -x:
            return Overshoot(depth, t)
        if max(abs(earlier), abs(x)) < _NOTHING:
            return Overshoot(0.0, None)
        t += 2


def overshoot_probability(
    study: Study, axis: int = 0, steps: int | None = None, *, progress: bool = True
) -> float:
    r"""Return the exact probability that a trajectory crosses the minimum along an axis.

    A crossing is a step 1 <= t <= steps with x_t x_0 < 0, where x is the displacement from the
    minimum along the axis.

    Parameters
    ----------
    study : Study
        SGD in any form on a `Quadratic`, with any schedules. The start may be fixed or `Normal`.
    axis : int, default 0
        Coordinate, in the landscape's eigenbasis.
    steps : int, default the study's
        Horizon, at most that of the study; with momentum at most 25.
    progress : bool, default True
        Show a progress bar on a terminal or in a notebook.

    Raises
    ------
    NoExactTheory
        Another landscape or optimizer; more than 25 steps with momentum; without momentum or
        without noise, weight decay that pulls away from the minimum; or an unstable trajectory
        that leaves the range of doubles.
    FastschedError
        An axis or a number of steps out of range, or a start at the minimum along the axis.

    Notes
    -----
    Without momentum, x' = m_t x + s_t xi, the probability v_t(x) of staying on the positive side
    follows

    .. math::
        v_t(x) = \int_0^\infty \frac{e^{-(y - m_t x)^2 / 2 s_t^2}}{\sqrt{2 \pi}\, s_t}
                 v_{t+1}(y)\, dy, \qquad v_T = 1

    on panels of Legendre polynomials bisected until they resolve it to 1e-12: some 10 ms a step
    where the rate changes, next to nothing where it does not. With momentum it is a Gaussian
    orthant with the covariance of the trajectory, by the quasi-Monte Carlo rule of Genz, J.
    Comput. Graph. Statist. 1 (1992) 141, to about 1e-6 in seconds.

    Examples
    --------
    >>> from fastsched.theory import overshoot_probability
    >>> study = Study(Quadratic([1.0, 0.1]), SGD(lr=0.1), steps=50, trajectories=1)
    >>> round(overshoot_probability(study), 6)
    0.956695
    """
    if not isinstance(study, Study):
        reject("study", study, "a Study")
    landscape = study.landscape
    if not isinstance(landscape, Quadratic):
        raise NoExactTheory(
            f"there is no exact overshoot probability on the landscape "
            f"{type(landscape).__name__}; there is on Quadratic"
        )
    k = integer("axis", axis, minimum=0, maximum=landscape.dim - 1)
    horizon = study.steps
    if steps is not None:
        horizon = integer("steps", steps, minimum=1, maximum=study.steps)
    rule = linear_rule(study.optimizer, study.steps, study.batch_sizes()).per_step()
    minimum = float(landscape.origin()[k])
    means, stds = landscape.start_moments()
    mean, std = float(means[k]) - minimum, float(stds[k])
    if mean == std == 0:
        raise FastschedError(
            f"the start along axis = {axis!r} is at the minimum, from which there is no side to "
            f"cross to: start must differ from minimum there"
        )
    maps = (rule.base + landscape.eigenvalues[k] * rule.slope)[:horizon]
    # The probability does not depend on the unit of length.
    unit = max(abs(mean), std)
    mean, std = mean / unit, std / unit
    shifts = minimum / unit * rule.shift[:horizon]
    noises = float(landscape.noise_std[k]) / unit * rule.noise[:horizon]
    if not np.any(noises):
        return _noise_free(maps, shifts, mean, std)
    if rule.order == 2:
        return _orthant(maps, shifts, noises, mean, std)
    if np.any(shifts):
        raise NoExactTheory(
            "there is no overshoot probability without momentum where weight decay pulls away "
            "from the minimum: minimum along the axis must be 0, or weight_decay"
        )
    with progress_bar(horizon, progress) as bar:
        return _quadrature(maps[:, 0, 0], noises[:, 0], mean, std, lambda: bar.advance(1))


def _noise_free(
    maps: NDArray[np.float64], shifts: NDArray[np.float64], mean: float, std: float
) -> float:
    if std > 0 and np.any(shifts):
        raise NoExactTheory(
            "there is no overshoot probability without gradient noise from a Normal start where "
            "weight decay pulls away from the minimum"
        )
    start = mean or std
    state = np.zeros(maps.shape[1])
    state[0] = start
    for matrix, shift in zip(maps, shifts, strict=True):
        state = matrix @ state + shift
        if state[0] * start < 0:
            return 1.0
    return 0.0


def _orthant(
    maps: NDArray[np.float64],
    shifts: NDArray[np.float64],
    noises: NDArray[np.float64],
    mean: float,
    std: float,
) -> float:
    steps = len(maps)
    if steps > _LONGEST_ORTHANT:
        raise NoExactTheory(
            f"steps = {steps}: with momentum the overshoot probability is a Gaussian orthant, "
            f"computed up to {_LONGEST_ORTHANT} steps"
        )
    # x_t as a combination of 1, of the start's normal and of the noises of all steps.
    state = np.zeros((2, steps + 2))
    state[0, :2] = mean, std
    path = [state[0]]
    for t in range(steps):
        state = maps[t] @ state
        state[:, 0] += shifts[t]
        state[:, t + 2] += noises[t]
        path.append(state[0])
    positions = np.array(path[0 if std > 0 else 1 :])
    covariance = positions[:, 1:] @ positions[:, 1:].T
    stay = 0.0
    for side in (1.0, -1.0) if std > 0 else (math.copysign(1.0, mean),):
        law = stats.multivariate_normal(
            -side * positions[:, 0],
            covariance,
            allow_singular=True,
            seed=0,
            maxpts=_ORTHANT_POINTS,
            abseps=_ORTHANT_ERROR,
            releps=0,
        )
        stay += float(law.cdf(np.zeros(len(positions))))
    return 1 - stay


class _Panels:
    """A function on (0, end), constant beyond, by its values at the nodes of panels."""

    def __init__(self, edges: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        self.edges = edges
        self.values = values

    def nodes(self) -> NDArray[np.float64]:
        half = np.diff(self.edges)[:, None] / 2
        return (self.edges[:-1, None] + half * (1 + _NODES)).ravel()

    def unresolved(self) -> NDArray[np.bool_]:
        """Return which panels hold a function that their polynomials do not follow."""
        last = self.values.reshape(-1, _ORDER) @ _COEFFICIENTS[-2:].T
        return np.max(np.abs(last), axis=1) > _RESOLVED

    def at(self, x: float) -> float:
        p = min(int(np.searchsorted(self.edges, x)), len(self.edges) - 1) - 1
        local = 2 * (x - self.edges[p]) / (self.edges[p + 1] - self.edges[p]) - 1
        coefficients = _COEFFICIENTS @ self.values.reshape(-1, _ORDER)[p]
        return float(np.polynomial.legendre.legval(min(local, 1.0), coefficients))

    def smoothing(self, centers: NDArray[np.float64], std: float) -> NDArray[np.float64]:
        """Return the matrix from the values to the integrals over N(center, std^2), x > 0."""
        # The window of each normal density within each panel, in standard deviations.
        ends = np.clip((self.edges - centers[:, None]) / std, -_REACH, _REACH)
        i, p = np.nonzero(ends[:, :-1] < ends[:, 1:])
        half = ((ends[i, p + 1] - ends[i, p]) / 2)[:, None]
        u = ends[i, p][:, None] + half * (1 + _FINE_NODES)
        density = np.exp(-(u**2) / 2) / _ROOT_TAU
        y = centers[i, None] + std * u
        local = 2 * (y - self.edges[p, None]) / np.diff(self.edges)[p, None] - 1
        legendre = np.polynomial.legendre.legvander(local, _ORDER - 1)
        moments = np.einsum("kg,kgl->kl", density * _FINE_WEIGHTS * half, legendre)
        matrix = np.zeros((len(centers), len(self.edges) - 1, _ORDER))
        matrix[i, p] = moments @ _COEFFICIENTS
        beyond = special.ndtr((centers - self.edges[-1]) / std)
        matrix[:, -1] += beyond[:, None] * _COEFFICIENTS.sum(axis=0)
        return matrix.reshape(len(centers), -1)


def _quadrature(
    factors: NDArray[np.float64],
    stds: NDArray[np.float64],
    mean: float,
    std: float,
    taken: Callable[[], None],
) -> float:
    """Return 1 - P(x_t > 0 for all t | x_0 > 0), or its mean over a normal start."""
    stds = np.abs(stds)
    center, spread, end = abs(mean), std, abs(mean) + _REACH * std
    for factor, noise in zip(factors.tolist(), stds.tolist(), strict=True):
        center, spread = abs(factor) * center, math.hypot(factor * spread, noise)
        end = max(end, center + _REACH * spread)
    if not math.isfinite(end):
        raise NoExactTheory(
            "there is no overshoot probability where the trajectory leaves the range of doubles: "
            "lower lr or steps"
        )
    stay = _Panels(np.array([0.0, end]), np.ones(_ORDER))
    matrix: NDArray[np.float64] | None = None  # of the step last taken, if it kept the panels
    last = (0.0, 0.0)
    for factor, noise in zip(factors[::-1], stds[::-1], strict=True):
        taken()
        if noise == 0:
            if factor <= 0:
                raise NoExactTheory(
                    "there is no overshoot probability where weight decay without gradient noise "
                    "reverses a coordinate"
                )
            stay = _Panels(stay.edges / factor, stay.values)
            matrix = None
            continue
        if matrix is not None and last == (factor, noise):
            same = _Panels(stay.edges, matrix @ stay.values)
            if not np.any(same.unresolved()):
                stay = same
                continue
        edges, last = stay.edges, (factor, noise)
        stay, used = _earlier(stay, factor, noise)
        matrix = used if np.array_equal(edges, stay.edges) else None
    if std == 0:
        return 1 - stay.at(abs(mean))
    return 1 - float(np.sum(stay.smoothing(np.array([mean, -mean]), std) @ stay.values))


def _earlier(stay: _Panels, factor: float, noise: float) -> tuple[_Panels, NDArray[np.float64]]:
    """Return E[stay(factor x + noise xi)], and the matrix that takes the values to its values."""
    scale = noise / abs(factor) if factor else stay.edges[-1]
    edges = stay.edges[(stay.edges == 0) | (stay.edges >= min(scale / 2, stay.edges[-1]))]
    while edges[1] > 2 * scale:
        edges = np.insert(edges, 1, edges[1] / 2)
    while True:
        earlier = _Panels(edges, np.empty(0))
        matrix = stay.smoothing(factor * earlier.nodes(), noise)
        earlier.values = matrix @ stay.values
        bad = earlier.unresolved()
        if not np.any(bad):
            return earlier, matrix
        edges = np.sort(np.concatenate([edges, (edges[1:] + edges[:-1])[bad] / 2]))
        if len(edges) > _LARGEST_PANELS:
            raise NoExactTheory(
                f"the overshoot probability is not resolved by {_LARGEST_PANELS} panels"
            )
