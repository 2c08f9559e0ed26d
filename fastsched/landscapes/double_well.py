"""The double well."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import array, integer, reject
from fastsched.kernels.device import device
from fastsched.kernels.probe import View
from fastsched.landscapes.base import (
    BasinMap,
    Curvature,
    Normal,
    Separable,
    checked_noise,
    checked_start,
    start_of,
)
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws


@device
def double_well_gradient(x, normal, noise_scale, cubic, linear, triple, variance, share):
    """Return q x^3 + l x plus noise of variance v + share |3 q x^2 + l|."""
    square = x * x
    std = math.sqrt(variance + share * abs(triple * square + linear))
    return (cubic * square + linear) * x + noise_scale * std * normal


@device
def double_well_loss(x, cubic, linear, triple, variance, share):
    """Return q x^4 / 4 + l x^2 / 2."""
    half = x * x / type(x)(2)
    return half * (half * cubic + linear)


@device
def double_well_basin(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the well, 0 left or 1 right, to `totals`."""
    for lane in range(first, last):
        totals[0, lane - first] = 1 if state[slot, 0, lane] > 0 else 0


@device
def double_well_trace(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the sum of the Hessian's eigenvalues to `totals`."""
    for lane in range(first, last):
        x = np.float64(state[slot, 0, lane])
        totals[0, lane - first] = 3 * x * x - 1 + own[0][0]


@device
def double_well_largest(first, last, slot, state, origin, data, work, own, space, totals):
    """Write the largest of the Hessian's eigenvalues to `totals`."""
    for lane in range(first, last):
        x = np.float64(state[slot, 0, lane])
        totals[0, lane - first] = max(3 * x * x - 1, own[0][0])


@spec
class DoubleWell(Separable):
    r"""The double well along the first axis, and a quadratic across it.

    .. math::
        f(\theta) = \tfrac14 \theta_1^4 - \tfrac12 \theta_1^2
            + \tfrac12 \sum_{i=2}^d a_i \theta_i^2, \qquad
        g_t = \nabla f(\theta_t) + \xi_t, \quad \xi_t \sim N(0, C / B_t)

    Its minima are at -1 and 1 on the first axis, with loss -1/4 and curvature 2; between them
    lies the saddle at 0, with loss 0 and curvature -1.

    Parameters
    ----------
    dim : int, default 1
        Number of coordinates d.
    across : float or array of shape (d - 1,), default 1
        The curvatures a of the other axes, positive.
    noise : float, array of shape (d,) or "hessian", default 1
        Standard deviation of the per-sample gradient noise; "hessian" means the variances
        |3 theta_1^2 - 1| and a, the local curvatures.
    start : float, array of shape (d,) or Normal, optional
        The starting point, or the distribution it is drawn from for each trajectory; by default
        the minimum at -1.

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    Source: Kramers, Physica 7 (1940) 284, of escape over a barrier; the exact chain of the first
    axis is `fastsched.theory.double_well_chain`.

    Examples
    --------
    >>> DoubleWell(dim=3, across=0.5).start_moments()[0].tolist()
    [-1.0, 0.0, 0.0]
    """

    dim: int = 1
    across: float | NDArray[np.float64] = 1.0
    noise: float | NDArray[np.float64] | str = 1.0
    start: float | NDArray[np.float64] | Normal | None = None

    gradient_function = double_well_gradient
    loss_function = double_well_loss

    def __post_init__(self) -> None:
        self._set(dim=integer("dim", self.dim, minimum=1, maximum=2**32))
        others = self.dim - 1
        allowed = f"a number or a vector of shape ({others},)"
        across = array("across", self.across, ndim=(0, 1), allowed=allowed)
        if across.ndim and len(across) != others:
            reject("across", self.across, f"{allowed}, got shape {across.shape}")
        if np.min(across) <= 0:
            reject("across", self.across, "positive")
        self._set(
            across=across if across.ndim else float(across),
            noise=checked_noise(self.noise, self.dim),
        )
        if self.start is not None:
            self._set(start=checked_start(self.start, self.dim))

    def coordinates(self) -> NDArray[np.float64]:
        first = np.arange(self.dim) == 0
        linear = np.append(-1.0, np.broadcast_to(self.across, (self.dim - 1,)))
        share = np.full(self.dim, float(isinstance(self.noise, str)))
        variance = np.zeros(self.dim) if isinstance(self.noise, str) else np.square(self.noise)
        cubic = first.astype(float)
        return np.stack([cubic, linear, 3 * cubic, np.broadcast_to(variance, (self.dim,)), share])

    @functools.cached_property
    def basins(self) -> BasinMap:
        return BasinMap(View(double_well_basin), 2)

    @functools.cached_property
    def sharpness(self) -> Curvature:
        across = np.broadcast_to(self.across, (self.dim - 1,))
        # Along the first axis the curvature is never below -1.
        largest = np.max(across, initial=-1.0)
        return Curvature(
            View(double_well_trace, (np.array([np.sum(across)]),)),
            View(double_well_largest, (np.array([largest]),)),
        )

    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.start is None:
            return np.where(np.arange(self.dim) == 0, -1.0, 0.0), np.zeros(self.dim)
        return start_of(self.start, self.dim)

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        cubic, linear, triple, variance, share = self.coordinates()
        std = np.sqrt(variance + share * np.abs(triple * theta**2 + linear))
        noise = std * draws.normals(self.dim) / np.sqrt(batch_size)
        return cubic * theta**3 + linear * theta + noise

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        cubic, linear, *_ = self.coordinates()
        return np.sum(cubic * theta**4 / 4 + linear * theta**2 / 2, axis=-1)
