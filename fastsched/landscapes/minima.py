"""Minima of a landscape, found by descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from fastsched.progress import progress_bar

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_NEWTON_STEPS = 20

# Of the length scale: the precision of a minimum, and the distance that separates two of them.
_CLOSE = 1e-8
_APART = 1e-5


class Smooth(Protocol):
    """A landscape with two derivatives."""

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]: ...

    def gradient(self, theta: Vector) -> Vector: ...

    def hessian(self, theta: Vector) -> Matrix: ...


@dataclass(frozen=True, eq=False)
class Minima:
    """Local minima of a landscape, the deepest first.

    Attributes
    ----------
    locations : array of shape (n, d)
    losses : array of shape (n,)
        Ascending.
    curvatures : array of shape (n, d)
        The eigenvalues of each minimum's Hessian, ascending; all positive.
    """

    locations: Matrix
    losses: Vector
    curvatures: Matrix


def find_minima(
    landscape: Smooth,
    points: Matrix,
    scale: float,
    height: float,
    dim: int,
    *,
    progress: bool = True,
) -> Minima:
    """Return the minima that descents from some points end in.

    Parameters
    ----------
    landscape : Smooth
    points : array of shape (n, d)
    scale, height : float
        A length over which the landscape varies, and by how much it does.
    dim : int
        The number of coordinates d.
    progress : bool, default True
        Show a progress bar on a terminal or in a notebook.
    """
    found = []
    with progress_bar(len(points), progress) as bar:
        for point in points:
            minimum = _descend(landscape, point, scale, height)
            if minimum is not None:
                found.append(minimum)
            bar.advance(1)
    found.sort(key=lambda minimum: minimum[0])
    kept: list[tuple[float, Vector, Vector]] = []
    for minimum in found:
        distances = [np.linalg.norm(minimum[1] - other) for _, other, _ in kept]
        if min(distances, default=np.inf) > _APART * scale:
            kept.append(minimum)
    shape = (len(kept), dim)
    return Minima(
        np.array([location for _, location, _ in kept]).reshape(shape),
        np.array([loss for loss, _, _ in kept]),
        np.array([curvatures for _, _, curvatures in kept]).reshape(shape),
    )


def _descend(
    landscape: Smooth, point: Vector, scale: float, height: float
) -> tuple[float, Vector, Vector] | None:
    """Return loss, location and curvatures of the minimum below a point, if it is found."""

    def scaled(u: Vector) -> tuple[float, Vector]:
        theta = scale * u
        return float(landscape.reference_loss(theta[None])[0]), scale * landscape.gradient(theta)

    options = {"ftol": 0.0, "gtol": 1e-6 * height, "maxiter": 10_000, "maxfun": 20_000}
    descent = optimize.minimize(scaled, point / scale, jac=True, method="L-BFGS-B", options=options)
    theta = scale * descent.x
    for _ in range(_NEWTON_STEPS):
        curvatures, vectors = np.linalg.eigh(landscape.hessian(theta))
        if curvatures[0] <= 0:
            return None
        step = vectors @ (vectors.T @ landscape.gradient(theta) / curvatures)
        theta = theta - step
        if np.linalg.norm(step) <= _CLOSE * scale:
            loss = float(landscape.reference_loss(theta[None])[0])
            return loss, theta, np.linalg.eigvalsh(landscape.hessian(theta)).astype(np.float64)
    return None
