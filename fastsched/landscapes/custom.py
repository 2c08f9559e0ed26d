"""The user's own landscape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.compiled import compiled, python_of, tried
from fastsched.errors import FastschedError, array, choice, integer, is_number, reject
from fastsched.kernels.device import device
from fastsched.kernels.philox import STREAM_BATCH, philox
from fastsched.kernels.probe import Work
from fastsched.landscapes.base import (
    Coupled,
    Normal,
    checked_start,
    checked_std,
    filled,
    scalar_or_vector,
    start_of,
)
from fastsched.spec import refuse_text, spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws

_BATCH = np.uint32(STREAM_BATCH)
_ULP = 2.0**-32

# The largest float32 below 1, to which a uniform number of a rounded 1 is moved.
_BELOW_ONE = 1 - 2.0**-24


@device
def _uniform(word, real):
    """Return a uniform number in (0, 1) of type `real`."""
    u = real((np.float64(word) + 0.5) * _ULP)
    return u if u < 1 else real(_BELOW_ONE)


@device
def custom_gradient(normals, first, last, trajectory, t, k, state, field, table, data, work, keys):
    """Write the user's gradient, with the noise of step t, to field[k]."""
    noise, origin, settings, gradient = data[0], data[1], data[2], data[3]
    theta, draws, out = work
    dim, count, uniform, noisy = origin.shape[0], settings[0], settings[1], settings[2]
    real = type(noise[0])
    for i in range(dim):
        for lane in range(first, last):
            theta[lane - first, i] = state[0, i, lane] + origin[i]
            out[lane - first, i] = 0
    for q in range(0, count, 4):
        for lane in range(first, last):
            row = draws[lane - first]
            index, step = np.uint32(q // 4), np.uint32(t)
            if uniform:
                a, b, c, d = philox(index, step, np.uint32(trajectory + lane), _BATCH, keys)
                row[q], row[q + 1] = _uniform(a, real), _uniform(b, real)
                row[q + 2], row[q + 3] = _uniform(c, real), _uniform(d, real)
            else:
                a, b, c, d = normals(index, step, np.uint32(trajectory + lane), _BATCH, keys)
                row[q], row[q + 1], row[q + 2], row[q + 3] = a, b, c, d
    for lane in range(first, last):
        gradient(theta[lane - first], draws[lane - first, :count], out[lane - first])
    for i in range(dim):
        std = table[t, 0] * noise[i]
        for lane in range(first, last):
            if noisy:
                field[k, i, lane] = out[lane - first, i] + std * field[k, i, lane]
            else:
                field[k, i, lane] = out[lane - first, i]


@device
def custom_loss(first, last, slot, state, data, work, totals):
    """Write the user's loss to `totals`."""
    origin, loss, theta = data[1], data[4], work[0]
    for i in range(origin.shape[0]):
        for lane in range(first, last):
            theta[lane - first, i] = state[slot, i, lane] + origin[i]
    for lane in range(first, last):
        totals[0, lane - first] = loss(theta[lane - first])


@spec
class Custom(Coupled):
    r"""A landscape of your own: a loss and a stochastic gradient as compiled functions.

    .. math::
        g_t = \mathrm{gradient}(\theta_t, \mathrm{draws}_t) + \xi_t, \qquad
        \xi_t \sim N(0, C / B_t), \quad f(\theta) = \mathrm{loss}(\theta)

    Parameters
    ----------
    gradient : function
        `gradient(theta, draws, out)` writes the gradient at `theta`, of shape (d,), to `out`, of
        shape (d,), and returns nothing; it must leave `theta` as it is. Arrays are in the study's
        precision, and the function must compile in both: where types must agree, as in `np.dot`,
        an array `a` of its own enters as `a.astype(theta.dtype)`. A `numba.njit` function, or a
        Python function that Numba can compile.
    loss : function
        `loss(theta)` returns a real number, on every path.
    dim : int
        Number of coordinates d.
    draws : int, default 0
        How many fresh random numbers `gradient` takes at each step, e.g. to pick a mini-batch.
    sampler : {"normal", "uniform"}, default "normal"
        Standard normals, or uniform numbers between 0 and 1, both excluded.
    noise : float or array of shape (d,), default 0
        Standard deviation of Gaussian noise that is added to the gradient, C = diag(noise**2).
    start : float, array of shape (d,) or Normal, default 0
        The starting point, or the distribution it is drawn from for each trajectory.
    minimum : float or array of shape (d,), default 0
        A minimum, from which displacements are counted: near it no digits are lost.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape; a function cannot be compiled, returns
        something else, or fails a trial at the start: an index out of bounds, values that are not
        finite, or an `out` that is not filled. On `to_dict`, TOML and digests, because a function
        is not data.

    Notes
    -----
    The batch size divides the variance of `noise` only: what the draws do is the function's
    affair. The kernel is compiled anew in every process. Source of the examples in
    `scripts/custom_landscapes.py`: Rosenbrock, Comput. J. 3 (1960) 175; Rastrigin 1974.

    Examples
    --------
    >>> def gradient(theta, draws, out):
    ...     for i in range(len(theta)):
    ...         out[i] = theta[i] ** 3 + draws[i]
    >>> def loss(theta):
    ...     return np.sum(theta**4) / 4
    >>> quartic = Custom(gradient, loss, dim=2, draws=2, start=1.0)
    >>> quartic.check_gradient()
    """

    gradient: Callable[..., Any]
    loss: Callable[..., Any]
    dim: int
    draws: int = 0
    sampler: str = "normal"
    noise: float | NDArray[np.float64] = 0.0
    start: float | NDArray[np.float64] | Normal = 0.0
    minimum: float | NDArray[np.float64] = 0.0

    gradient_function = custom_gradient
    loss_function = custom_loss
    cacheable = False

    def __post_init__(self) -> None:
        self._set(
            dim=integer("dim", self.dim, minimum=1, maximum=2**31),
            draws=integer("draws", self.draws, minimum=0, maximum=2**31),
            sampler=choice("sampler", self.sampler, ("normal", "uniform")),
        )
        self._set(
            noise=checked_std("noise", self.noise, self.dim),
            start=checked_start(self.start, self.dim),
            minimum=scalar_or_vector("minimum", self.minimum, self.dim),
        )
        self._try()

    def _try(self) -> None:
        """Call the functions at the start."""
        theta = start_of(self.start, self.dim)[0]
        out = np.full(self.dim, np.nan)
        draws = np.full(self.draws, 0.5)
        before = theta.copy()
        tried(
            "gradient",
            self.gradient,
            "(theta, draws, out)",
            theta,
            draws,
            out,
            returns="nothing",
            advice="; write the gradient into `out`",
        )
        if not np.array_equal(theta, before):
            reject("gradient", self.gradient, "a function that leaves theta as it is")
        if not np.all(np.isfinite(out)):
            i = int(np.argmin(np.isfinite(out)))
            reject(
                "gradient",
                self.gradient,
                f"a function that fills `out` with finite numbers; at the start out[{i}] = "
                f"{out[i]}",
            )
        value = tried("loss", self.loss, "(theta)", theta, returns="a number")
        if not math.isfinite(value):
            allowed = f"a function that returns a finite number; at the start it returns {value!r}"
            reject("loss", self.loss, allowed)

    @property
    def draws_normals(self) -> bool:  # type: ignore[override]
        return bool(np.any(np.asarray(self.noise) > 0))

    def origin(self) -> NDArray[np.float64]:
        return filled(self.minimum, self.dim)

    def minimizer(self) -> NDArray[np.float64]:
        return self.origin()

    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return start_of(self.start, self.dim)

    def step_cost(self, batch_size: float) -> float:
        return 20.0 * self.dim

    def data(self) -> tuple[Any, ...]:
        settings = (self.draws, self.sampler == "uniform", self.draws_normals)
        # A function in the first place would make Numba look for function pointers.
        return (
            filled(self.noise, self.dim),
            self.origin(),
            np.array(settings, dtype=np.int64),
            compiled(self.gradient),
            compiled(self.loss),
        )

    def work(self) -> tuple[Work, ...]:
        vector = Work(self.dim, by_lane=True)
        return vector, Work(4 * -(-self.draws // 4), by_lane=True), vector

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        blocks = np.arange(-(-self.draws // 4))
        if self.sampler == "uniform":
            numbers = (draws.batch_words(blocks) + 0.5) * _ULP
        else:
            numbers = draws.batch_normals(blocks)
        numbers = numbers.reshape(len(theta), -1)[:, : self.draws].astype(theta.dtype)
        if self.sampler == "uniform":
            numbers = np.where(numbers == 1, _BELOW_ONE, numbers)
        out = np.zeros(theta.shape, theta.dtype)
        for row, given, result in zip(theta, numbers, out, strict=True):
            python_of(self.gradient)(row, given.astype(theta.dtype), result)
        return out + self.noise * draws.normals(self.dim) / np.sqrt(batch_size)

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.array([python_of(self.loss)(row) for row in theta])

    def check_gradient(
        self, points: int | NDArray[np.float64] = 5, seed: int = 0, samples: int = 10_000
    ) -> None:
        """Compare the gradient with central finite differences of the loss.

        Parameters
        ----------
        points : int or array of shape (n, d), default 5
            Where: that many points, drawn around the start with standard deviation 1, or these.
        seed : int, default 0
            Of points and draws.
        samples : int, default 10000
            With draws, the mean of so many gradients is compared, at 5 standard errors.

        Raises
        ------
        FastschedError
            They differ; the message names point, coordinate and both values.
        """
        rng = np.random.default_rng(integer("seed", seed, minimum=0))
        samples = integer("samples", samples, minimum=2)
        if is_number(points):
            mean, _ = self.start_moments()
            number = integer("points", points, minimum=1)
            where = mean + rng.standard_normal((number, self.dim))
        else:
            where = array("points", points, ndim=(2,), allowed=f"of shape (n, {self.dim})")
            if where.shape[1] != self.dim:
                reject("points", points, f"of shape (n, {self.dim}), got {where.shape}")
        gradient, loss = compiled(self.gradient), compiled(self.loss)
        for theta in where:
            slope, rounding = _slope(loss, np.array(theta))
            gradients = np.zeros((samples if self.draws else 1, self.dim))
            for row in gradients:
                uniform = self.sampler == "uniform"
                draws = rng.random(self.draws) if uniform else rng.standard_normal(self.draws)
                gradient(theta.copy(), draws, row)
            found = gradients.mean(axis=0)
            spread = gradients.std(axis=0) / np.sqrt(max(len(gradients) - 1, 1))
            allowed = 1e-5 * (1 + np.abs(slope)) + rounding + 5 * spread
            excess = np.abs(found - slope) / allowed
            if not np.max(excess) <= 1:
                i = int(np.argmax(np.where(np.isfinite(excess), excess, np.inf)))
                raise FastschedError(
                    f"gradient disagrees with loss at theta = {theta.tolist()}: coordinate {i} is "
                    f"{found[i]:.8g}, the finite difference of the loss {slope[i]:.8g} "
                    f"+- {allowed[i]:.1g}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Raise: functions cannot be written down."""
        refuse_text(self, ", because its functions are not data")


def _slope(loss: Any, theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the slope of a loss by central differences, and a bound of its rounding."""
    slope = np.zeros(len(theta))
    largest = 0.0
    for i, value in enumerate(theta.tolist()):
        h = 6e-6 * max(1.0, abs(value))
        theta[i] = value + h
        above = loss(theta)
        theta[i] = value - h
        below = loss(theta)
        theta[i] = value
        slope[i] = (above - below) / (2 * h)
        largest = max(largest, abs(above), abs(below))
    return slope, 1e-10 * largest
