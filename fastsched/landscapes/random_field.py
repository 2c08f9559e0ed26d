"""A Gaussian random landscape over a bowl, with its minima."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, array, integer, real, reject
from fastsched.kernels.curvature import eigenvalue_work, largest_eigenvalue
from fastsched.kernels.dense import ROWS, multiply
from fastsched.kernels.device import device
from fastsched.kernels.math import cos_turns
from fastsched.kernels.probe import View, Work
from fastsched.landscapes.base import (
    BasinMap,
    Coupled,
    Curvature,
    Normal,
    checked_start,
    checked_std,
    filled,
    start_of,
)
from fastsched.landscapes.minima import Matrix, Minima, Vector, find_minima
from fastsched.memory import require_memory
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws

# Steps of the descent that tells the basin.
_DESCENT = 100


@device
def _cosines(first, last, shifts, phases):
    """Turn phases into the cosines of phase plus shift, in place."""
    # A number of lanes that the compiler knows makes it unroll the loop, not vectorise it.
    lanes = min(last - first, phases.shape[1])
    for m in range(phases.shape[0]):
        shift = shifts[m]
        for lane in range(lanes):
            phases[m, lane] = cos_turns(phases[m, lane] + shift)


@device
def random_field_gradient(
    normals, first, last, trajectory, t, k, state, field, table, data, work, keys
):
    """Write the gradient, with the noise of step t, to field[k]."""
    waves, sine_shifts, forces, noise, confinement = data[0], data[2], data[3], data[4], data[5][0]
    sines, block = work
    dim = noise.shape[0]
    multiply(first, last, np.int64(0), waves.shape[0], dim, waves, state[0], sines)
    _cosines(first, last, sine_shifts, sines)
    for begin in range(0, dim, ROWS):
        end = min(begin + ROWS, dim)
        multiply(first, last, begin, end, waves.shape[0], forces, sines, block)
        for i in range(begin, end):
            std = table[t, 0] * noise[i]
            for lane in range(first, last):
                bowl = confinement * state[0, i, lane]
                field[k, i, lane] = block[i - begin, lane - first] + bowl + std * field[k, i, lane]


@device
def random_field_loss(first, last, slot, state, data, work, totals):
    """Write the loss to `totals`."""
    waves, shifts, confinement, height = data[0], data[1], data[5][0], data[5][1]
    cosines, x = work[0], state[slot]
    multiply(first, last, np.int64(0), waves.shape[0], waves.shape[1], waves, x, cosines)
    _cosines(first, last, shifts, cosines)
    for lane in range(first, last):
        totals[0, lane - first] = 0
    for m in range(waves.shape[0]):
        for lane in range(first, last):
            totals[0, lane - first] += height * cosines[m, lane - first]
    for i in range(waves.shape[1]):
        for lane in range(first, last):
            totals[0, lane - first] += confinement / 2 * (x[i, lane] * x[i, lane])


@device
def random_field_basin(first, last, slot, state, origin, data, work, own, space, totals):
    """Descend without noise, and write the number of the nearest minimum to `totals`."""
    waves, sine_shifts, forces, confinement = data[0], data[2], data[3], data[5][0]
    minima, rate, steps = own[0], own[1][0], own[2][0]
    sines, block = work
    x = space[0]
    dim = x.shape[0]
    for i in range(dim):
        for lane in range(first, last):
            x[i, lane] = state[slot, i, lane]
    for _ in range(steps):
        multiply(first, last, np.int64(0), waves.shape[0], dim, waves, x, sines)
        _cosines(first, last, sine_shifts, sines)
        for begin in range(0, dim, ROWS):
            end = min(begin + ROWS, dim)
            multiply(first, last, begin, end, waves.shape[0], forces, sines, block)
            for i in range(begin, end):
                for lane in range(first, last):
                    x[i, lane] -= rate * (block[i - begin, lane - first] + confinement * x[i, lane])
    for lane in range(first, last):
        nearest = np.inf
        for m in range(minima.shape[0]):
            square = 0.0
            for i in range(dim):
                square += (x[i, lane] - minima[m, i]) * (x[i, lane] - minima[m, i])
            if square < nearest:
                nearest = square
                totals[0, lane - first] = m


@device
def random_field_trace(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the sum of the Hessian's eigenvalues to `totals`."""
    waves, squares, confinement, cosines = data[0], own[0], data[5][0], work[0]
    dim = waves.shape[1]
    multiply(first, last, np.int64(0), waves.shape[0], dim, waves, state[slot], cosines)
    _cosines(first, last, data[1], cosines)
    for lane in range(first, last):
        totals[0, lane - first] = confinement * dim
    for m in range(waves.shape[0]):
        for lane in range(first, last):
            totals[0, lane - first] -= squares[m] * cosines[m, lane - first]


@device
def _random_field_product(context, first, last, vector, image):
    """Write the Hessian times `vector` to `image`; see `RandomField.hessian_vector`."""
    waves, forces, confinement, cosines, shares, block = context
    dim = waves.shape[1]
    multiply(first, last, np.int64(0), waves.shape[0], dim, waves, vector, shares)
    for m in range(waves.shape[0]):
        for lane in range(first, last):
            shares[m, lane] *= cosines[m, lane]
    for begin in range(0, dim, ROWS):
        end = min(begin + ROWS, dim)
        multiply(first, last, begin, end, waves.shape[0], forces, shares, block)
        for i in range(begin, end):
            for lane in range(first, last):
                image[i, lane] = block[i - begin, lane] + confinement * vector[i, lane]


@device
def random_field_largest(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the largest of the Hessian's eigenvalues to `totals`."""
    waves = data[0]
    cosines, block = work
    multiply(first, last, np.int64(0), waves.shape[0], waves.shape[1], waves, state[slot], cosines)
    _cosines(first, last, data[1], cosines)
    context = (waves, own[0], data[5][0], cosines, space[4], block)
    largest_eigenvalue(_random_field_product, context, first, last, space[:4], totals)


@spec
class RandomField(Coupled):
    r"""A Gaussian random landscape over a confining bowl: many minima of all shapes.

    .. math::
        f(\theta) = A \sqrt{\frac2M} \sum_{m=1}^M \cos(\langle \omega_m, \theta \rangle + b_m)
            + \frac c2 |\theta|^2, \qquad
        g_t = \nabla f(\theta_t) + \xi_t, \quad \xi_t \sim N(0, C / B_t)

    with waves :math:`\omega_m \sim N(0, I / l^2)` and phases :math:`b_m` uniform on
    :math:`[0, 2 \pi)`, drawn once.

    Parameters
    ----------
    dim : int
        Number of coordinates d.
    waves : int
        Number M of waves.
    length_scale : float, default 1
        The length l over which the field varies.
    amplitude : float, default 1
        Standard deviation A of the field at a point, at least 0.
    confinement : float, default 0.1
        Curvature c of the bowl, above 0.
    noise : float or array of shape (d,), default 1
        Standard deviation of the per-sample gradient noise, so C = diag(noise**2).
    seed : int, default 0
        Of waves and phases.
    start : float, array of shape (d,) or Normal, default 0
        The starting point, or the distribution it is drawn from for each trajectory.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    Over the seeds the field (without the bowl) has mean 0 and covariance
    :math:`A^2 e^{-r^2 / (2 l^2)}` at points a distance r apart, for any M; it is Gaussian in the
    limit of many waves. Its slope along a coordinate has the standard deviation A / l, so its
    stationary points lie within a few A / (l c) of the origin along each coordinate. In many
    dimensions their number grows exponentially with d while c is below
    :math:`\sqrt d A / l^2`; above, there is but one.

    Sources: of the waves, Rahimi & Recht, NeurIPS 2007; of the landscape, Fyodorov, Phys. Rev.
    Lett. 92 (2004) 240601.

    Examples
    --------
    >>> minima = RandomField(dim=1, waves=200, confinement=0.3).minima()
    >>> minima.losses.round(3).tolist()
    [-0.811, 0.544]
    """

    dim: int
    waves: int
    length_scale: float = 1.0
    amplitude: float = 1.0
    confinement: float = 0.1
    noise: float | Vector = 1.0
    seed: int = 0
    start: float | Vector | Normal = 0.0

    SEARCHED = True
    gradient_function = random_field_gradient
    loss_function = random_field_loss

    def __post_init__(self) -> None:
        self._set(
            dim=integer("dim", self.dim, minimum=1, maximum=2**31),
            waves=integer("waves", self.waves, minimum=1, maximum=2**31),
            length_scale=real("length_scale", self.length_scale, above=0),
            amplitude=real("amplitude", self.amplitude, minimum=0),
            confinement=real("confinement", self.confinement, above=0),
            seed=integer("seed", self.seed, minimum=0, maximum=2**64 - 1),
        )
        self._set(
            noise=checked_std("noise", self.noise, self.dim),
            start=checked_start(self.start, self.dim),
        )

    @functools.cached_property
    def _drawn(self) -> tuple[Matrix, Vector]:
        require_memory(8 * self.waves * self.dim, "waves or dim")
        generator = np.random.Generator(np.random.Philox(self.seed))
        frequencies = generator.standard_normal((self.waves, self.dim)) / self.length_scale
        phases = 2 * np.pi * generator.random(self.waves)
        frequencies.setflags(write=False)
        phases.setflags(write=False)
        return frequencies, phases

    @property
    def frequencies(self) -> Matrix:
        """The vectors omega, shape (M, d): normals of NumPy's Philox generator of `seed`."""
        return self._drawn[0]

    @property
    def phases(self) -> Vector:
        """The numbers b, shape (M,): uniforms of the same generator, drawn after the normals."""
        return self._drawn[1]

    @property
    def _height(self) -> float:
        return self.amplitude * math.sqrt(2 / self.waves)

    @functools.cached_property
    def basins(self) -> BasinMap:
        minima = self.minima().locations
        if not len(minima):
            raise FastschedError(f"no minimum of {self!r} was found")
        # Eigenvalues of the field's Hessian lie within about 2 sqrt(d) A / l^2 of zero.
        steepest = self.confinement + (
            (1 + 2 * math.sqrt(self.dim)) * self.amplitude / self.length_scale / self.length_scale
        )
        own = (minima, np.array([1 / steepest]), np.array([_DESCENT]))
        return BasinMap(
            View(random_field_basin, own, (Work(self.dim),)), len(minima), at_records=True
        )

    @functools.cached_property
    def sharpness(self) -> Curvature:
        squares = self._height * np.sum(self.frequencies**2, axis=1)
        # A wave's share of the field's Hessian; those of `waves` are in turns.
        forces = -2 * np.pi * self._height * self.frequencies.T
        work = (*eigenvalue_work(self.dim), Work(self.waves))
        return Curvature(
            View(random_field_trace, (squares,)), View(random_field_largest, (forces,), work)
        )

    def step_cost(self, batch_size: float) -> float:
        return self.dim * (2 + self.waves / 20)

    def start_moments(self) -> tuple[Vector, Vector]:
        return start_of(self.start, self.dim)

    def data(self) -> tuple[Any, ...]:
        turns = self.phases / (2 * np.pi)
        return (
            self.frequencies / (2 * np.pi),
            turns,
            turns - 0.25,
            -self._height * self.frequencies.T,
            filled(self.noise, self.dim),
            np.array([self.confinement, self._height]),
        )

    def work(self) -> tuple[Work, ...]:
        return Work(self.waves), Work(ROWS)

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        sines = np.sin(theta @ self.frequencies.T + self.phases)
        noise = self.noise * draws.normals(self.dim) / np.sqrt(batch_size)
        return -self._height * sines @ self.frequencies + self.confinement * theta + noise

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        cosines = np.cos(theta @ self.frequencies.T + self.phases)
        bowl = self.confinement / 2 * np.sum(theta**2, axis=1)
        return self._height * np.sum(cosines, axis=1) + bowl

    def _vector(self, name: str, value: Any) -> Vector:
        vector = array(name, value, ndim=(1,), allowed=f"a vector of shape ({self.dim},)")
        if len(vector) != self.dim:
            reject(name, value, f"a vector of shape ({self.dim},), got shape {vector.shape}")
        return vector

    def gradient(self, theta: Vector) -> Vector:
        """Return the gradient of the loss at theta, shape (d,), without noise."""
        theta = self._vector("theta", theta)
        sines = np.sin(self.frequencies @ theta + self.phases)
        return -self._height * (self.frequencies.T @ sines) + self.confinement * theta

    def hessian(self, theta: Vector) -> Matrix:
        """Return the Hessian of the loss at theta, shape (d, d)."""
        theta = self._vector("theta", theta)
        cosines = np.cos(self.frequencies @ theta + self.phases)
        field = self.frequencies.T @ (cosines[:, None] * self.frequencies)
        return self.confinement * np.eye(self.dim) - self._height * field

    def hessian_vector(self, theta: Vector, v: Vector) -> Vector:
        """Return the Hessian at theta times v, shape (d,), in O(M d) operations."""
        theta, v = self._vector("theta", theta), self._vector("v", v)
        cosines = np.cos(self.frequencies @ theta + self.phases)
        field = self.frequencies.T @ (cosines * (self.frequencies @ v))
        return self.confinement * v - self._height * field

    def minima(self, starts: int = 100, seed: int = 0, *, progress: bool = True) -> Minima:
        """Return the local minima that descents from random points end in.

        Parameters
        ----------
        starts : int, default 100
            Number of descents, from points that have twice the spread of the stationary points:
            normal, of standard deviation 2 A / (l c) along each coordinate. The catalogue is
            complete once more of them find nothing new, which in many dimensions is never.
        seed : int, default 0
            Of these points.
        progress : bool, default True
            Show a progress bar on a terminal or in a notebook.

        Raises
        ------
        FastschedError
            A parameter is out of range.
        """
        starts = integer("starts", starts, minimum=1)
        key = np.random.SeedSequence(
            integer("seed", seed, minimum=0, maximum=2**64 - 1), spawn_key=(1,)
        )
        spread = 2 * self.amplitude / (self.length_scale * self.confinement)
        points = spread * np.random.Generator(np.random.Philox(key)).standard_normal(
            (starts, self.dim)
        )
        scale, height = self.length_scale, self.amplitude
        return find_minima(self, points, scale, height, self.dim, progress=progress)
