"""The noisy quadratic model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, array, reject
from fastsched.kernels.device import device
from fastsched.landscapes.base import (
    NULL,
    Curvature,
    Normal,
    Separable,
    checked_noise,
    checked_start,
    filled,
    scalar_or_vector,
    start_of,
)
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws
    from fastsched.landscapes.dataset import Dataset

_SYMMETRY_TOLERANCE = 1e-10


@device
def quadratic_gradient(x, normal, noise_scale, curvature, half_curvature, noise):
    """Return h x + sigma z / sqrt(B) for the displacement x from the minimum."""
    return curvature * x + (noise_scale * noise) * normal


@device
def quadratic_loss(x, curvature, half_curvature, noise):
    """Return h x^2 / 2 for the displacement x from the minimum."""
    return half_curvature * x * x


@spec
class Quadratic(Separable):
    r"""The noisy quadratic model: a quadratic loss with Gaussian gradient noise.

    .. math::
        f(\theta) = \tfrac12 (\theta - \theta^*)^\top H (\theta - \theta^*), \qquad
        g_t = H (\theta_t - \theta^*) + \xi_t, \quad \xi_t \sim N(0, C / B_t)

    Parameters
    ----------
    curvature : array of shape (d,) or (d, d)
        The eigenvalues of H, or H itself, symmetric. All eigenvalues must be positive. A matrix
        is diagonalised once and the run takes place in its eigenbasis, which is exact for SGD
        and momentum in every form, since these are rotation-equivariant.
    noise : float, array of shape (d,) or "hessian", default 1
        Standard deviation of the per-sample gradient noise, so C = diag(noise**2); "hessian"
        means C = H. With a non-diagonal matrix the noise must be one number or "hessian".
    start : float, array of shape (d,) or Normal, default 1
        The starting point, or the distribution it is drawn from for each trajectory.
    minimum : float or array of shape (d,), default 0
        The minimum theta*.

    Raises
    ------
    FastschedError
        Non-positive or non-finite curvature, an asymmetric matrix, negative noise, a shape that
        does not fit, or noise or start that a rotation would make dependent between coordinates.

    Notes
    -----
    Source: Zhang et al., "Which algorithmic choices matter at which batch sizes? Insights from
    a noisy quadratic model", NeurIPS 2019, arXiv:1907.04164.

    Examples
    --------
    >>> Quadratic(curvature=[1.0, 0.5], noise="hessian")
    Quadratic(curvature=[1.0, 0.5], noise='hessian', start=1.0, minimum=0.0)
    """

    curvature: NDArray[np.float64]
    noise: float | NDArray[np.float64] | str = 1.0
    start: float | NDArray[np.float64] | Normal = 1.0
    minimum: float | NDArray[np.float64] = 0.0

    gradient_function = quadratic_gradient
    loss_function = quadratic_loss

    def __post_init__(self) -> None:
        allowed = "eigenvalues of shape (d,) or a symmetric matrix of shape (d, d)"
        curvature = array("curvature", self.curvature, ndim=(1, 2), allowed=allowed)
        if curvature.ndim == 2:
            if curvature.shape[0] != curvature.shape[1]:
                reject("curvature", self.curvature, f"{allowed}, got shape {curvature.shape}")
            if np.max(np.abs(curvature - curvature.T)) > _SYMMETRY_TOLERANCE * np.max(
                np.abs(curvature)
            ):
                reject("curvature", self.curvature, f"{allowed}; this one is asymmetric")
        self._set(curvature=curvature)
        if np.min(self.eigenvalues) <= 0:
            smallest = float(np.min(self.eigenvalues))
            reject(
                "curvature", self.curvature, f"positive; the smallest eigenvalue is {smallest:g}"
            )
        dim = self.dim
        self._set(noise=checked_noise(self.noise, dim))
        self._set(minimum=scalar_or_vector("minimum", self.minimum, dim))
        self._set(start=checked_start(self.start, dim))
        if self._rotated:
            self._refuse_vector("noise", self.noise)
            if isinstance(self.start, Normal):
                self._refuse_vector("start.std", self.start.std)

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Quadratic:
        """Return the local noisy quadratic model of a data set, at the minimizer of its loss.

        Coordinates are those of the Hessian's eigenbasis. Noise has the variance, along each
        eigenvector, of one row's gradient at the minimizer; its correlations between eigenvectors
        are left out, and do not matter for the expected loss. The loss counts from the least one.

        Parameters
        ----------
        dataset : Dataset
            Its start is taken over.

        Raises
        ------
        FastschedError
            The Hessian is singular, there is no minimizer, or the start has standard deviations
            that differ between parameters.

        Examples
        --------
        >>> from fastsched.landscapes import Dataset
        >>> data = Dataset([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [1.0, 2.0, 4.0])
        >>> Quadratic.from_dataset(data).eigenvalues.round(6).tolist()
        [0.565741, 1.767592]
        """
        values, basis = np.linalg.eigh(dataset.hessian())
        if values[0] <= NULL * values[-1]:
            raise FastschedError(
                f"l2 = {dataset.l2}: the Hessian of the data's loss is singular: l2 must be "
                f"greater than 0, or the inputs' columns independent"
            )
        variances = np.einsum("ri,rs,si->i", basis, dataset.gradient_covariance(), basis)
        mean, std = dataset.start_moments()
        if np.ptp(std) > 0:
            reject("start.std", std.tolist(), "one number for the model in the eigenbasis")
        return cls(
            values,
            noise=np.sqrt(np.maximum(variances, 0)),
            start=Normal(basis.T @ mean, std[0]),
            minimum=basis.T @ dataset.minimizer(),
        )

    def _refuse_vector(self, name: str, value: object) -> None:
        if isinstance(value, np.ndarray) and np.ptp(value) > 0:
            raise FastschedError(
                f"{name} differs between coordinates, which a non-diagonal curvature matrix would "
                f"make dependent in its eigenbasis: {name} must be one number, or give "
                f"curvature as eigenvalues"
            )

    @property
    def dim(self) -> int:
        return self.curvature.shape[0]

    @property
    def _rotated(self) -> bool:
        return self.curvature.ndim == 2 and bool(
            np.count_nonzero(self.curvature - np.diag(np.diagonal(self.curvature)))
        )

    @functools.cached_property
    def _eigh(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        if self.curvature.ndim == 1:
            return self.curvature, None
        if not self._rotated:
            return np.diagonal(self.curvature), None
        values, vectors = np.linalg.eigh((self.curvature + self.curvature.T) / 2)
        values.setflags(write=False)
        vectors.setflags(write=False)
        return values, vectors

    @property
    def eigenvalues(self) -> NDArray[np.float64]:
        """The eigenvalues of H, shape (d,): as given, or ascending for a non-diagonal matrix."""
        return self._eigh[0]

    def to_eigenbasis(self, theta: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the vector (d,), or the constant one, in the basis the run takes place in."""
        vectors = self._eigh[1]
        full = filled(theta, self.dim)
        return full if vectors is None else vectors.T @ full

    @property
    def noise_std(self) -> NDArray[np.float64]:
        """Standard deviation of the per-sample noise along each eigenvector, shape (d,)."""
        if isinstance(self.noise, str):
            return np.sqrt(self.eigenvalues)
        return filled(self.noise, self.dim)

    def coordinates(self) -> NDArray[np.float64]:
        h = self.eigenvalues
        return np.stack([h, h / 2, self.noise_std])

    def origin(self) -> NDArray[np.float64]:
        return self.to_eigenbasis(self.minimum)

    def run_coordinates(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.to_eigenbasis(theta)

    @property
    def rotated(self) -> str | None:
        return "give curvature as eigenvalues" if self._rotated else None

    def minimizer(self) -> NDArray[np.float64]:
        return self.origin()

    def axis_curvatures(self) -> NDArray[np.float64]:
        return self.eigenvalues

    @property
    def sharpness(self) -> Curvature:
        return Curvature(float(np.sum(self.eigenvalues)), float(np.max(self.eigenvalues)))

    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean, std = start_of(self.start, self.dim)
        return self.to_eigenbasis(mean), std

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        centred = theta - self.to_eigenbasis(self.minimum)
        noise = self.noise_std * draws.normals(self.dim) / np.sqrt(batch_size)
        return self.eigenvalues * centred + noise

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        centred = theta - self.to_eigenbasis(self.minimum)
        return 0.5 * np.sum(self.eigenvalues * centred**2, axis=-1)
