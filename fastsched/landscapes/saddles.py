"""Saddles between minima of a landscape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError
from fastsched.landscapes.minima import Matrix, Smooth, Vector

_IMAGES = 41
_RELAXATIONS = 4000
_SETTLED = 1e-6
_CLIMBS = 100
_SEARCHED = 1001
_CLOSE = 1e-9


class SmoothField(Smooth, Protocol):
    """A smooth landscape whose gradient takes many points at once."""

    def gradients(self, theta: Matrix) -> Matrix: ...


@dataclass(frozen=True, eq=False)
class Saddle:
    """A saddle of index 1.

    Attributes
    ----------
    location : array of shape (d,)
    loss : float
    curvatures : array of shape (d,)
        The eigenvalues of the Hessian, ascending; only the first is negative.
    """

    location: Vector
    loss: float
    curvatures: NDArray[np.float64]


def find_saddle(landscape: SmoothField, start: Vector, end: Vector, steepest: float) -> Saddle:
    """Return the highest saddle of the lowest path that a straight line relaxes to.

    Parameters
    ----------
    landscape : SmoothField
    start, end : arrays of shape (d,)
        Two minima.
    steepest : float
        A bound of the curvature.

    Raises
    ------
    FastschedError
        No saddle is found.

    Notes
    -----
    The simplified string method, images spread evenly along a path that descends; then Newton
    steps that climb along the lowest eigenvector. Source: E, Ren & Vanden-Eijnden, J. Chem. Phys.
    126 (2007) 164103.
    """
    length = float(np.linalg.norm(end - start))
    even = np.linspace(0, 1, _IMAGES)
    path = start + even[:, None] * (end - start)
    for _ in range(_RELAXATIONS):
        moved = path - 0.5 / steepest * landscape.gradients(path)
        moved[0], moved[-1] = start, end
        arcs = np.append(0, np.cumsum(np.linalg.norm(np.diff(moved, axis=0), axis=1)))
        moved = _interpolated(arcs / arcs[-1], moved, even)
        change = float(np.max(np.abs(moved - path)))
        path = moved
        if change < _SETTLED * length:
            break
    peak = int(np.clip(np.argmax(landscape.reference_loss(path)), 1, _IMAGES - 2))
    reach = length / _IMAGES
    theta = path[peak]
    along = (path[peak + 1] - path[peak - 1]) / np.linalg.norm(path[peak + 1] - path[peak - 1])
    for _ in range(_CLIMBS):
        # A ridge may be much narrower than the distance of images: search it before trusting
        # the curvature there.
        offsets = reach * np.linspace(-1, 1, _SEARCHED)
        theta = theta + offsets[_highest(landscape, theta, offsets, along)] * along
        curvatures, vectors = np.linalg.eigh(landscape.hessian(theta))
        if curvatures[0] >= 0:
            break
        along = vectors[:, 0]
        slopes = vectors.T @ landscape.gradient(theta)
        step = -slopes / np.maximum(np.abs(curvatures), 1e-12 * steepest)
        step[0] = -slopes[0] / curvatures[0]
        size = float(np.linalg.norm(step))
        theta = theta + vectors @ (step * min(1.0, reach / max(size, 1e-300)))
        if size < _CLOSE * length:
            break
        reach = max(0.5 * reach, min(reach, 2 * size))
    curvatures = np.linalg.eigvalsh(landscape.hessian(theta)).astype(np.float64)
    slope = float(np.linalg.norm(landscape.gradient(theta)))
    if slope > 1e-6 * steepest * length or curvatures[0] >= 0 or np.any(curvatures[1:] <= 0):
        raise FastschedError(
            f"no saddle was found between the minima at {start.tolist()} and {end.tolist()}"
        )
    return Saddle(theta, float(landscape.reference_loss(theta[None])[0]), curvatures)


def _highest(landscape: SmoothField, theta: Vector, offsets: Vector, along: Vector) -> int:
    """Return which of some points on a line is the highest."""
    return int(np.argmax(landscape.reference_loss(theta + offsets[:, None] * along)))


def _interpolated(arcs: Vector, path: Matrix, even: Vector) -> Matrix:
    """Return the points at even arcs of a path, linearly."""
    right = np.clip(np.searchsorted(arcs, even), 1, len(arcs) - 1)
    share = (even - arcs[right - 1]) / np.maximum(arcs[right] - arcs[right - 1], 1e-300)
    return path[right - 1] + share[:, None] * (path[right] - path[right - 1])


def lowest_passes(heights: Matrix) -> Matrix:
    """Return between any two minima the least height that a path must climb to.

    Parameters
    ----------
    heights : array of shape (n, n)
        Heights of the direct saddles, infinite where there is none.
    """
    passes = heights.copy()
    for middle in range(len(passes)):
        detour = np.maximum(passes[:, middle, None], passes[middle])
        passes = np.minimum(passes, detour)
    return passes
