"""Soft minima of quadratic wells."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fastsched.errors import FastschedError, array, real, reject
from fastsched.kernels.body import CHUNK
from fastsched.kernels.curvature import eigenvalue_work, largest_eigenvalue
from fastsched.kernels.device import device
from fastsched.kernels.probe import View, Work
from fastsched.landscapes.base import (
    BasinMap,
    Coupled,
    Curvature,
    Normal,
    checked_noise,
    checked_start,
    filled,
    start_of,
)
from fastsched.landscapes.minima import Matrix, Minima, Vector, find_minima
from fastsched.landscapes.saddles import Saddle, find_saddle, lowest_passes
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws


@device
def _energies(first, last, x, centers, curvatures, depths, part, energies):
    """Write to `energies` each well's own loss, h (x - c)^2 / 2 summed, less its depth."""
    wells, dim = centers.shape
    for k in range(wells):
        for lane in range(first, last):
            energies[k, lane - first] = 0
        for chunk in range(0, dim, CHUNK):
            for lane in range(first, last):
                part[0, lane - first] = 0
            for i in range(chunk, min(chunk + CHUNK, dim)):
                center, curvature = centers[k, i], curvatures[k, i]
                for lane in range(first, last):
                    distance = x[i, lane] - center
                    part[0, lane - first] += curvature * distance * distance
            for lane in range(first, last):
                energies[k, lane - first] += part[0, lane - first]
        depth = depths[k]
        for lane in range(first, last):
            energies[k, lane - first] = energies[k, lane - first] / 2 - depth


@device
def _soften(first, last, softness, energies, totals):
    """Turn energies into weights, in place, and write their soft minimum to `totals`."""
    for lane in range(first, last):
        lowest = energies[0, lane - first]
        for k in range(1, energies.shape[0]):
            lowest = min(lowest, energies[k, lane - first])
        total = 0.0
        for k in range(energies.shape[0]):
            weight = math.exp((lowest - energies[k, lane - first]) / softness)
            energies[k, lane - first] = weight
            total += weight
        for k in range(energies.shape[0]):
            energies[k, lane - first] /= total
        totals[0, lane - first] = lowest - softness * math.log(total)


@device
def wells_gradient(normals, first, last, trajectory, t, k, state, field, table, data, work, keys):
    """Write the wells' gradients by their weights, with the noise of step t, to field[k]."""
    centers, curvatures, depths, noise, softness = data[0], data[1], data[2], data[3], data[4][0]
    by_curvature = data[5][0]
    part, energies, weights, spread, unused = work
    x = state[0]
    _energies(first, last, x, centers, curvatures, depths, part, energies)
    _soften(first, last, np.float64(softness), energies, unused)
    for j in range(weights.shape[0]):
        for lane in range(first, last):
            weights[j, lane - first] = energies[j, lane - first]
    scale = table[t, 0]
    for i in range(centers.shape[1]):
        strength = noise[i]
        for lane in range(first, last):
            part[0, lane - first] = 0
            spread[0, lane - first] = 0
        for j in range(weights.shape[0]):
            center, curvature = centers[j, i], curvatures[j, i]
            for lane in range(first, last):
                pull = weights[j, lane - first] * curvature
                part[0, lane - first] += pull * (x[i, lane] - center)
                spread[0, lane - first] += pull
        for lane in range(first, last):
            std = math.sqrt(spread[0, lane - first]) if by_curvature else strength
            field[k, i, lane] = part[0, lane - first] + scale * std * field[k, i, lane]


@device
def wells_loss(first, last, slot, state, data, work, totals):
    """Write the soft minimum of the wells to `totals`."""
    energies = work[1]
    _energies(first, last, state[slot], data[0], data[1], data[2], work[0], energies)
    _soften(first, last, np.float64(data[4][0]), energies, totals)


@device
def wells_basin(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the well of largest weight to `totals`."""
    energies = work[1]
    _energies(first, last, state[slot], data[0], data[1], data[2], work[0], energies)
    for lane in range(first, last):
        best = 0
        for k in range(1, energies.shape[0]):
            best = k if energies[k, lane - first] < energies[best, lane - first] else best
        totals[0, lane - first] = best


@device
def wells_trace(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the sum of the Hessian's eigenvalues to `totals`."""
    centers, curvatures, energies, x = data[0], data[1], work[1], state[slot]
    softness = np.float64(data[4][0])
    _energies(first, last, x, centers, curvatures, data[2], work[0], energies)
    _soften(first, last, softness, energies, totals)
    for lane in range(first, last):
        total = 0.0
        for i in range(x.shape[0]):
            mean = square = 0.0
            for k in range(centers.shape[0]):
                weight = energies[k, lane - first]
                pull = np.float64(curvatures[k, i] * (x[i, lane] - centers[k, i]))
                total += weight * curvatures[k, i]
                mean += weight * pull
                square += weight * pull * pull
            total -= (square - mean * mean) / softness
        totals[0, lane - first] = total


@device
def _wells_product(context, first, last, vector, image):
    """Write the Hessian times `vector` to `image`; see `Wells.hessian`."""
    x, centers, curvatures, softness, weights, pushes = context
    wells, dim = centers.shape
    for lane in range(first, last):
        mean = 0.0
        for k in range(wells):
            push = 0.0
            for i in range(dim):
                push += curvatures[k, i] * (x[i, lane] - centers[k, i]) * vector[i, lane]
            pushes[k, lane - first] = push
            mean += weights[k, lane - first] * push
        for i in range(dim):
            total = 0.0
            for k in range(wells):
                pull = curvatures[k, i] * (x[i, lane] - centers[k, i])
                part = curvatures[k, i] * vector[i, lane]
                part -= pull * (pushes[k, lane - first] - mean) / softness
                total += weights[k, lane - first] * part
            image[i, lane] = total


@device
def wells_largest(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the largest of the Hessian's eigenvalues to `totals`."""
    energies, softness = work[1], np.float64(data[4][0])
    _energies(first, last, state[slot], data[0], data[1], data[2], work[0], energies)
    _soften(first, last, softness, energies, totals)
    context = (state[slot], data[0], data[1], softness, energies, space[4])
    largest_eigenvalue(_wells_product, context, first, last, space[:4], totals)


@spec
class Wells(Coupled):
    r"""The soft minimum of K quadratic wells: sharp and flat, deep and shallow.

    .. math::
        f(\theta) = -s \log \sum_{k=1}^K e^{-E_k(\theta) / s}, \qquad
        E_k(\theta) = \tfrac12 \sum_i h_{ki} (\theta_i - c_{ki})^2 - u_k, \qquad
        g_t = \nabla f(\theta_t) + \xi_t, \quad \xi_t \sim N(0, C / B_t)

    Parameters
    ----------
    centers : array of shape (K, d)
        The wells' centres c.
    curvatures : array of shape (K, d)
        Their curvatures h, positive.
    depths : float or array of shape (K,), default 0
        Their depths u: far from the others, a well's least loss is -u.
    softness : float, default 0.1
        How softly one well passes into another: the loss s, positive, over which their weights
        differ by a factor e.
    noise : float, array of shape (d,) or "hessian", default 1
        Standard deviation of the per-sample gradient noise; "hessian" means a covariance that is
        the wells' curvatures averaged by their weights, which at a minimum is its Hessian's
        diagonal.
    start : float, array of shape (d,) or Normal, default 0
        The starting point, or the distribution it is drawn from for each trajectory.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    With the weights :math:`w_k \propto e^{-E_k / s}`, gradient and Hessian are

    .. math::
        \nabla f = \sum_k w_k \nabla E_k, \qquad
        \nabla^2 f = \sum_k w_k H_k - \frac1s \Big(\sum_k w_k \nabla E_k \nabla E_k^\top
            - \nabla f \nabla f^\top\Big)

    Sources: of noise in proportion to the curvature, Xie, Sato & Sugiyama, ICLR 2021,
    arXiv:2002.03495; of flat and sharp minima, Hochreiter & Schmidhuber, Neural Comput. 9 (1997)
    1; of the soft minimum as an interpolation between wells, the empirical valence bond, Warshel
    & Weiss, J. Am. Chem. Soc. 102 (1980) 6218.

    Examples
    --------
    >>> wells = Wells([[-2.0], [2.0]], [[1.0], [4.0]], depths=[0.0, 0.5])
    >>> wells.minima().losses.round(6).tolist()
    [-0.5, -0.0]
    >>> wells.barriers().round(3).tolist()
    [[nan, 3.83], [3.33, nan]]
    """

    centers: NDArray[np.float64]
    curvatures: NDArray[np.float64]
    depths: float | NDArray[np.float64] = 0.0
    softness: float = 0.1
    noise: float | NDArray[np.float64] | str = 1.0
    start: float | NDArray[np.float64] | Normal = 0.0

    gradient_function = wells_gradient
    loss_function = wells_loss

    def __post_init__(self) -> None:
        allowed = "an array of shape (K, d)"
        centers = array("centers", self.centers, ndim=(2,), allowed=allowed)
        shape = f"an array of the centers' shape {centers.shape}"
        curvatures = array("curvatures", self.curvatures, ndim=(2,), allowed=shape)
        if curvatures.shape != centers.shape:
            reject("curvatures", self.curvatures, f"{shape}, got shape {curvatures.shape}")
        if np.min(curvatures) <= 0:
            reject("curvatures", self.curvatures, "positive")
        allowed = f"a number or a vector of shape ({len(centers)},)"
        depths = array("depths", self.depths, ndim=(0, 1), allowed=allowed)
        if depths.ndim and len(depths) != len(centers):
            reject("depths", self.depths, f"{allowed}, got shape {depths.shape}")
        self._set(
            centers=centers,
            curvatures=curvatures,
            depths=depths if depths.ndim else float(depths),
            softness=real("softness", self.softness, above=0),
        )
        self._set(
            noise=checked_noise(self.noise, self.dim), start=checked_start(self.start, self.dim)
        )

    @property
    def dim(self) -> int:
        return self.centers.shape[1]

    @functools.cached_property
    def basins(self) -> BasinMap:
        return BasinMap(View(wells_basin), len(self.centers))

    @functools.cached_property
    def sharpness(self) -> Curvature:
        pushes = Work(len(self.centers), np.float64)
        work = (*eigenvalue_work(self.dim), pushes)
        return Curvature(View(wells_trace), View(wells_largest, work=work))

    @property
    def _depths(self) -> Vector:
        return filled(self.depths, len(self.centers))

    def start_moments(self) -> tuple[Vector, Vector]:
        return start_of(self.start, self.dim)

    def step_cost(self, batch_size: float) -> float:
        return self.dim * (2.0 + 2.0 * len(self.centers))

    def data(self) -> tuple[Any, ...]:
        noise = 0.0 if isinstance(self.noise, str) else self.noise
        return (
            self.centers,
            self.curvatures,
            self._depths,
            filled(noise, self.dim),
            np.array([self.softness]),
            np.array([isinstance(self.noise, str)], dtype=np.int64),
        )

    def work(self) -> tuple[Work, ...]:
        wells = len(self.centers)
        return Work(1), Work(wells, np.float64), Work(wells), Work(1), Work(1, np.float64)

    def _pulls(self, theta: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return each well's gradient, shape (n, K, d)."""
        return self.curvatures * (theta[:, None] - self.centers)

    def weights(self, theta: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the wells' weights at points of shape (..., d), shape (..., K)."""
        return special.softmax(-self._losses(np.asarray(theta)) / self.softness, axis=-1)

    def assign(self, theta: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the well of largest weight at points of shape (..., d), shape (...)."""
        return np.argmin(self._losses(np.asarray(theta)), axis=-1)

    def _losses(self, theta: NDArray[np.floating]) -> NDArray[np.float64]:
        distances = theta[..., None, :] - self.centers
        return 0.5 * np.sum(self.curvatures * distances**2, axis=-1) - self._depths

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        std: Any = self.noise
        if isinstance(self.noise, str):
            std = np.sqrt(self.weights(theta) @ self.curvatures)
        return self.gradients(theta) + std * draws.normals(self.dim) / math.sqrt(batch_size)

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        return -self.softness * special.logsumexp(-self._losses(theta) / self.softness, axis=-1)

    def gradients(self, theta: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the gradient at each row of theta, shape (n, d), without noise."""
        return np.einsum("nk,nki->ni", self.weights(theta), self._pulls(theta))

    def gradient(self, theta: Vector) -> Vector:
        """Return the gradient at theta, shape (d,), without noise."""
        return self.gradients(theta[None])[0]

    def hessian(self, theta: Vector) -> Matrix:
        """Return the Hessian at theta, shape (d, d)."""
        weights, pulls = self.weights(theta), self._pulls(theta[None])[0]
        gradient = weights @ pulls
        spread = (pulls.T * weights) @ pulls - np.outer(gradient, gradient)
        return np.diag(weights @ self.curvatures) - spread / self.softness

    def minima(self) -> Minima:
        """Return the minima that descents from the wells' centres end in, the deepest first."""
        steepest = float(np.max(self.curvatures))
        scale = math.sqrt(self.softness / steepest)
        return find_minima(self, self.centers, scale, self.softness, self.dim)

    def saddle(self, start: Vector, end: Vector) -> Saddle:
        """Return the highest saddle of the lowest path between two minima.

        Parameters
        ----------
        start, end : arrays of shape (d,)
            Locations of the minima.

        Raises
        ------
        FastschedError
            None is found.
        """
        allowed = f"a vector of shape ({self.dim},)"
        a = array("start", start, ndim=(1,), allowed=allowed)
        b = array("end", end, ndim=(1,), allowed=allowed)
        for name, point in (("start", a), ("end", b)):
            if len(point) != self.dim:
                reject(name, point, f"{allowed}, got shape {point.shape}")
        return find_saddle(self, a, b, float(np.max(self.curvatures)))

    def barriers(self) -> Matrix:
        """Return how far the loss must rise from each minimum to any other, shape (n, n).

        Row and column are those of `minima`; a path may pass other minima. NaN on the diagonal.
        """
        minima = self.minima()
        n = len(minima.losses)
        heights = np.full((n, n), np.inf)
        for a in range(n):
            for b in range(a):
                try:
                    saddle = self.saddle(minima.locations[a], minima.locations[b])
                except FastschedError:
                    continue
                heights[a, b] = heights[b, a] = saddle.loss
        barriers = lowest_passes(heights) - minima.losses[:, None]
        np.fill_diagonal(barriers, np.nan)
        return barriers
