"""What every landscape offers: device functions for the kernels, arrays to feed them."""

from __future__ import annotations

import abc
import numbers
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import array, numeric, real, reject
from fastsched.spec import Spec, spec


@spec
class Normal(Spec):
    """A normal distribution of the start: independent coordinates.

    Parameters
    ----------
    mean : float or array of shape (d,), default 0
        Mean of each coordinate.
    std : float or array of shape (d,), default 1
        Standard deviation of each coordinate, at least 0.

    Raises
    ------
    FastschedError
        A value is not finite, or a standard deviation is negative.

    Examples
    --------
    >>> Normal(mean=0.0, std=2.0)
    Normal(mean=0.0, std=2.0)
    """

    mean: float | NDArray[np.float64] = 0.0
    std: float | NDArray[np.float64] = 1.0

    def __post_init__(self) -> None:
        mean = scalar_or_vector("mean", self.mean)
        std = scalar_or_vector("std", self.std)
        if np.any(np.asarray(std) < 0):
            reject("std", self.std, "at least 0")
        self._set(mean=mean, std=std)


class Landscape(Spec, abc.ABC):
    """Base of all landscapes: a loss over theta in R^d and a stochastic gradient of it.

    A kernel's state is the displacement x = theta - `origin()`, so that a minimum far from zero
    costs no digits. A separable landscape (the gradient of a coordinate needs that coordinate
    only) is two device functions, fed per coordinate with the constants of `coordinates`:

    - `gradient_function(x, normal, noise_scale, *constants)`: the stochastic gradient;
    - `loss_function(x, *constants)`: the coordinate's part of the loss.
    """

    gradient_function: ClassVar[Any]
    loss_function: ClassVar[Any]

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Number of coordinates d."""

    @abc.abstractmethod
    def coordinates(self) -> NDArray[np.float64]:
        """Return the constants of the device functions, shape (constants, d)."""

    def origin(self) -> NDArray[np.float64]:
        """Return the point from which displacements are counted, shape (d,); zero by default."""
        return np.zeros(self.dim)

    @abc.abstractmethod
    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of the start, each of shape (d,)."""

    def noise_scale(self, batch_sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factor of the gradient noise for each step's batch size."""
        return 1.0 / np.sqrt(batch_sizes)

    @abc.abstractmethod
    def reference_gradient(
        self, theta: NDArray[np.floating], normals: NDArray[np.floating], batch_size: float
    ) -> NDArray[np.floating]:
        """Return the stochastic gradient by plain NumPy; theta and normals have shape (n, d)."""

    @abc.abstractmethod
    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the loss of each row of theta, shape (n,), by plain NumPy."""


def scalar_or_vector(name: str, value: Any, dim: int | None = None) -> float | NDArray[np.float64]:
    """Return a finite float or a read-only vector, of length `dim` where that is known."""
    allowed = "a number or a vector" if dim is None else f"a number or a vector of shape ({dim},)"
    if isinstance(value, numbers.Real) or numeric(name, value, allowed).ndim == 0:
        return real(name, value)
    vector = array(name, value, ndim=(1,), allowed=allowed)
    if dim is not None and vector.shape != (dim,):
        reject(name, value, f"{allowed}, got shape {vector.shape}")
    return vector
