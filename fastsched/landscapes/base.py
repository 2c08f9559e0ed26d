"""What every landscape offers: device functions for the kernels, arrays to feed them."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, array, is_number, numeric, real, reject
from fastsched.kernels.probe import View, Work
from fastsched.spec import Spec, spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws


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
        self._set(mean=mean, std=checked_std("std", self.std))


NULL = 1e-12
"""Eigenvalues below this part of the largest are rounding errors."""


class BasinMap(NamedTuple):
    """Basins of attraction, numbered from 0.

    Attributes
    ----------
    view : View
        The number of the iterate's basin.
    basins : int
        How many there are.
    at_records : bool, default False
        Whether finding it is so costly that it is not done after every update, but at the start,
        at recorded steps and after the last one.
    """

    view: View
    basins: int
    at_records: bool = False


class Curvature(NamedTuple):
    """Trace and largest eigenvalue of the Hessian: views, or numbers where it is constant."""

    trace: View | float
    largest: View | float


class Landscape(Spec, abc.ABC):
    """Base of all landscapes: a loss over theta in R^d and a stochastic gradient of it.

    A kernel's state is the displacement x = theta - `origin()`, so that a minimum far from zero
    costs no digits. What a kernel needs besides is said by the three kinds of landscapes,
    `Separable`, `Summed` and `Coupled`.
    """

    if TYPE_CHECKING:
        # A subclass has a field or a property of this name; an abstract one would hide the field.
        @property
        def dim(self) -> int:
            """Number of coordinates d."""

    SEARCHED: ClassVar[bool] = False
    """Whether basins or Hessian take a search or large arrays, which are left to the run."""

    @property
    def model(self) -> Landscape:
        """The landscape that is run: this one, or a simpler one that follows the same law."""
        return self

    @property
    def irreducible_risk(self) -> float:
        """The part of the risk that no theta removes and the recorded loss leaves out."""
        return 0.0

    def origin(self) -> NDArray[np.float64]:
        """Return the point from which displacements are counted, shape (d,); zero by default."""
        return np.zeros(self.dim)

    def run_coordinates(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a point in the coordinates of the run, in which `origin` is given."""
        return theta

    @property
    def kind(self) -> str:
        """The name of the landscape's class, as messages tell it."""
        return type(self).__name__

    @property
    def rotated(self) -> str | None:
        """How to avoid that the run has other coordinates than theta; None if it has not."""
        return None

    def minimizer(self) -> NDArray[np.float64]:
        """Return the minimum, in the coordinates of the run, shape (d,).

        Raises
        ------
        FastschedError
            There is none, or more than one.
        """
        raise FastschedError(f"{self.kind} has no single minimum")

    def axis_curvatures(self) -> NDArray[np.float64] | None:
        """Return the curvature along each coordinate at the minimum, if it is known."""
        return None

    @property
    def basins(self) -> BasinMap:
        """The basins of attraction.

        Raises
        ------
        FastschedError
            The landscape has none that are known.
        """
        raise FastschedError(f"{self.kind} has no basins; DoubleWell, Wells and RandomField have")

    @property
    def sharpness(self) -> Curvature:
        """The trace and the largest eigenvalue of the loss's Hessian.

        Raises
        ------
        FastschedError
            They are not known.
        """
        raise FastschedError(f"the Hessian of {self.kind} is not known")

    @abc.abstractmethod
    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of the start, each of shape (d,)."""

    def step_table(self, batch_sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the kernel needs to know of each step, shape (steps, columns).

        By default the standard deviation of a batch's noise over that of a sample's.

        Raises
        ------
        FastschedError
            A batch size is not allowed.
        """
        return 1.0 / np.sqrt(batch_sizes)[:, None]

    @abc.abstractmethod
    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        """Return the stochastic gradient by plain NumPy, shape (n, d).

        Parameters
        ----------
        theta : array of shape (n, d)
            In the coordinates of the run.
        draws : Draws
            The random numbers of the step; see `fastsched.kernels.reference`.
        batch_size : float
            Of the step.
        """

    @abc.abstractmethod
    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the loss of each row of theta, shape (n,), by plain NumPy."""


class Separable(Landscape):
    """A landscape whose gradient of a coordinate needs that coordinate only.

    It is two device functions, fed per coordinate with the constants of `coordinates`:

    - `gradient_function(x, normal, noise_scale, *constants)`: the stochastic gradient;
    - `loss_function(x, *constants)`: the coordinate's part of the loss.
    """

    gradient_function: ClassVar[Any]
    loss_function: ClassVar[Any]

    @abc.abstractmethod
    def coordinates(self) -> NDArray[np.float64]:
        """Return the constants of the device functions, shape (constants, d)."""


class Summed(Landscape):
    """A landscape whose coordinates meet in a few sums over all of them.

    It is four device functions; `c` are the coordinate's constants, of `coordinates`:

    - `reduce_function(x, normal, *c) -> (term, ...)`: what a coordinate adds to each sum; the
      normal is the coming step's;
    - `weigh_function(normals, keys, trajectory, t, *row, *extras, *sums, data) -> (weight, ...)`:
      the weights of step t, from its row of `step_table` and normals of its own;
    - `gradient_function(x, normal, *weights, *c)`: the stochastic gradient;
    - `loss_function(*sums, data)`: the loss. The terms of the sums it reads must not depend on
      the normal.
    """

    reduce_function: ClassVar[Any]
    weigh_function: ClassVar[Any]
    gradient_function: ClassVar[Any]
    loss_function: ClassVar[Any]

    sums: ClassVar[int]
    weights: ClassVar[int]
    extras: ClassVar[int] = 0
    """Normals of each step beside those of the coordinates."""

    least_loss: float = 0.0
    """The loss at the minimum."""

    @abc.abstractmethod
    def coordinates(self) -> NDArray[np.float64]:
        """Return the constants of the device functions, shape (constants, d)."""

    @abc.abstractmethod
    def data(self) -> tuple[Any, ...]:
        """Return the arrays of the device functions; those of float64 are rounded."""


class Coupled(Landscape):
    """A landscape whose gradient couples the coordinates in any way.

    It is two device functions that work on whole tiles; see `fastsched.kernels.coupled` for
    their arguments.
    """

    gradient_function: ClassVar[Any]
    loss_function: ClassVar[Any]

    draws_normals: bool = True
    """Whether the gradient wants a normal of each coordinate at each step."""

    cacheable: ClassVar[bool] = True
    """Whether the compiled kernel can be kept on disk."""

    def step_cost(self, batch_size: float) -> float:
        """Return about how many updates of a `Quadratic`'s coordinate a step takes."""
        return 2.0 * self.dim

    @abc.abstractmethod
    def data(self) -> tuple[Any, ...]:
        """Return the arrays of the device functions; those of float64 are rounded."""

    @abc.abstractmethod
    def work(self) -> tuple[Work, ...]:
        """Return what arrays of work space the device functions want."""


def start_of(
    start: float | NDArray[np.float64] | Normal, dim: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of a start, each of shape (d,)."""
    mean, std = (start.mean, start.std) if isinstance(start, Normal) else (start, 0.0)
    return filled(mean, dim), filled(std, dim)


def filled(value: float | NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    """Return a new vector of shape (d,): a number at every coordinate, or a copy of a vector."""
    return np.broadcast_to(np.asarray(value, dtype=np.float64), (dim,)).copy()


def checked_start(start: Any, dim: int) -> float | NDArray[np.float64] | Normal:
    """Return a start that fits into d dimensions."""
    if isinstance(start, Normal):
        scalar_or_vector("start.mean", start.mean, dim)
        scalar_or_vector("start.std", start.std, dim)
        return start
    return scalar_or_vector("start", start, dim)


def checked_noise(noise: Any, dim: int) -> float | NDArray[np.float64] | str:
    """Return a standard deviation of gradient noise that fits into d dimensions, or "hessian"."""
    if isinstance(noise, str):
        if noise != "hessian":
            reject("noise", noise, f'a number, a vector of shape ({dim},) or "hessian"')
        return noise
    return checked_std("noise", noise, dim)


def checked_std(name: str, std: Any, dim: int | None = None) -> float | NDArray[np.float64]:
    """Return a standard deviation, at least 0, of each coordinate or all."""
    checked = scalar_or_vector(name, std, dim)
    if np.any(np.asarray(checked) < 0):
        reject(name, std, "at least 0")
    return checked


def scalar_or_vector(name: str, value: Any, dim: int | None = None) -> float | NDArray[np.float64]:
    """Return a finite float or a read-only vector, of length `dim` where that is known."""
    allowed = "a number or a vector" if dim is None else f"a number or a vector of shape ({dim},)"
    if is_number(value) or numeric(name, value, allowed).ndim == 0:
        return real(name, value)
    vector = array(name, value, ndim=(1,), allowed=allowed)
    if dim is not None and vector.shape != (dim,):
        reject(name, value, f"{allowed}, got shape {vector.shape}")
    return vector
