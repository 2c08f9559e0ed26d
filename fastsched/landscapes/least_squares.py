"""One-pass least squares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import LARGEST_SQUARED, array, real, reject
from fastsched.kernels.device import device
from fastsched.kernels.philox import STREAM_BATCH
from fastsched.landscapes.base import (
    Curvature,
    Normal,
    Summed,
    checked_start,
    filled,
    scalar_or_vector,
    start_of,
)
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.kernels.reference import Draws

_BATCH = np.uint32(STREAM_BATCH)
_CHI_SQUARES = np.uint32(2)

# |u| below this fraction of the label noise counts as zero; the error of the gradient's law is of
# the same relative order.
_NEGLIGIBLE = 1e-12


@device
def least_squares_terms(x, normal, spectrum, root):
    """Return lambda x^2 and sqrt(lambda) x z: the terms of |u|^2 and <u, z>, u = Lambda^1/2 x."""
    u = root * x
    return u * u, u * normal


@device
def least_squares_weights(
    normals, keys, trajectory, t, batch_size, label_normal, square, product, data
):
    """Return alpha and beta of a batch's gradient alpha Lambda x + beta Lambda^1/2 z."""
    std = np.float64(data[0][0])
    noise = std * np.float64(label_normal)
    if batch_size == 1:
        return 0.0, product - noise
    spread = chi_square(normals, keys, trajectory, t, 0, batch_size)
    rest = std * std * chi_square(normals, keys, trajectory, t, 1, batch_size)
    if square <= (_NEGLIGIBLE * std) ** 2:
        # At the minimum <u, z>^2 / |u|^2 is 0/0, but the gradient is label noise in any direction.
        return 0.0, math.sqrt(noise * noise + rest) / batch_size
    length, root = math.sqrt(square), math.sqrt(product * product / square + spread)
    gap = length * root - noise
    residuals = math.sqrt(gap * gap + rest)
    alpha = root * gap / length - residuals * product / square
    return alpha / batch_size, residuals / batch_size


@device
def chi_square(normals, keys, trajectory, t, which, batch_size):
    """Return a chi^2 number of batch_size - 1 degrees of freedom."""
    freedom = batch_size - 1
    index = np.uint32(which)
    shift = np.float64(freedom) / 2 - 1 / 3
    scale = 1 / math.sqrt(9 * shift)
    while True:
        z, _, a, b = normals(index, t, trajectory, _BATCH, keys)
        z = np.float64(z)
        if freedom == 1:
            return z * z
        root = 1 + scale * z
        cube = root * root * root
        # (a^2 + b^2) / 2 is minus the logarithm of a uniform number.
        exponential = (np.float64(a) * np.float64(a) + np.float64(b) * np.float64(b)) / 2
        if root > 0 and z * z / 2 + shift * (1 - cube + math.log(cube)) > -exponential:
            return 2 * shift * cube
        index = np.uint32(index + _CHI_SQUARES)


@device
def least_squares_gradient(x, normal, alpha, beta, spectrum, root):
    """Return alpha Lambda x + beta Lambda^1/2 z."""
    return alpha * (spectrum * x) + beta * (root * normal)


@device
def least_squares_loss(square, product, data):
    """Return |Lambda^1/2 x|^2 / 2, plus a constant."""
    return square / 2 + np.float64(data[0][1])


@spec
class LeastSquares(Summed):
    r"""One-pass (streaming) least squares: fresh Gaussian features at every step.

    A step draws B samples, features a ~ N(0, diag(spectrum)) and labels
    :math:`y = \langle a, \theta^* \rangle + \sigma \epsilon`, and averages their gradients:

    .. math::
        g_t = \frac1B \sum_{b=1}^B a_b \left(\langle a_b, \theta_t \rangle - y_b\right), \qquad
        f(\theta) = \tfrac12 \sum_i \lambda_i (\theta_i - \theta^*_i)^2

    The loss f is the population risk without the irreducible part sigma^2 / 2.

    Parameters
    ----------
    spectrum : array of shape (d,)
        Eigenvalues lambda of the features' covariance, at least 0 and not all 0.
    label_noise : float, default 0
        Standard deviation sigma of the labels' noise.
    start : float, array of shape (d,) or Normal, default 1
        The starting point, or the distribution it is drawn from for each trajectory.
    target : float or array of shape (d,), default 0
        The minimum theta*.

    Raises
    ------
    FastschedError
        A negative, non-finite or vanishing spectrum, negative noise, or a shape that does not fit.

    Notes
    -----
    A batch costs no more than one sample, and follows the same law. With :math:`u =
    \Lambda^{1/2} (\theta - \theta^*)`, split the samples into their parts along and across u.
    The parts along u and the noise give the residuals r; given these, the sum over the batch of
    residual times part across u is normal, of covariance |r|^2 times the projection, so one
    normal z for each coordinate does for any B:

    .. math::
        g = \Lambda^{1/2} \left[ \frac{|u| Q - \sigma \sqrt Q e}{B |u|} u
            + \frac{|r|}{B} \left(z - \frac{\langle u, z \rangle}{|u|^2} u\right) \right], \qquad
        |r|^2 = |u|^2 Q - 2 |u| \sigma \sqrt Q e + \sigma^2 (e^2 + R)

    with :math:`Q = \langle u, z \rangle^2 / |u|^2 + \chi^2_{B-1}`, another
    :math:`R \sim \chi^2_{B-1}` and a normal e. For B = 1 this is :math:`\Lambda^{1/2} z r`.
    The loss has heavy tails: means and standard errors say little once
    `fastsched.theory.tail_index` is 4 or less, well before the mean-square limit
    `fastsched.theory.one_pass_limit`; stay below half of that, or look at quantiles.

    Source of the model: Bach & Moulines, NeurIPS 2013; of the chi-squares: Marsaglia & Tsang,
    ACM Trans. Math. Softw. 26 (2000) 363.

    Examples
    --------
    >>> LeastSquares(spectrum=[1.0, 0.5], label_noise=0.1).irreducible_risk
    0.005000000000000001
    """

    spectrum: NDArray[np.float64]
    label_noise: float = 0.0
    start: float | NDArray[np.float64] | Normal = 1.0
    target: float | NDArray[np.float64] = 0.0

    reduce_function = least_squares_terms
    weigh_function = least_squares_weights
    gradient_function = least_squares_gradient
    loss_function = least_squares_loss
    sums = 2
    weights = 2
    extras = 1

    def __post_init__(self) -> None:
        spectrum = array("spectrum", self.spectrum, ndim=(1,), allowed="a vector of shape (d,)")
        if np.min(spectrum) < 0 or np.max(spectrum) == 0:
            reject("spectrum", self.spectrum, "at least 0, and not all 0")
        self._set(
            spectrum=spectrum,
            label_noise=real("label_noise", self.label_noise, minimum=0, maximum=LARGEST_SQUARED),
        )
        self._set(target=scalar_or_vector("target", self.target, self.dim))
        self._set(start=checked_start(self.start, self.dim))

    @property
    def dim(self) -> int:
        return len(self.spectrum)

    @property
    def irreducible_risk(self) -> float:
        return self.label_noise**2 / 2

    def origin(self) -> NDArray[np.float64]:
        return filled(self.target, self.dim)

    def minimizer(self) -> NDArray[np.float64]:
        return self.origin()

    def axis_curvatures(self) -> NDArray[np.float64]:
        return self.spectrum

    @property
    def sharpness(self) -> Curvature:
        return Curvature(float(np.sum(self.spectrum)), float(np.max(self.spectrum)))

    def start_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return start_of(self.start, self.dim)

    def coordinates(self) -> NDArray[np.float64]:
        return np.stack([self.spectrum, np.sqrt(self.spectrum)])

    def data(self) -> tuple[Any, ...]:
        return (np.array([self.label_noise, self.least_loss]),)

    def step_table(self, batch_sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        return batch_sizes[:, None]

    def reference_gradient(
        self, theta: NDArray[np.floating], draws: Draws, batch_size: float
    ) -> NDArray[np.floating]:
        root = np.sqrt(self.spectrum)
        u = root * (theta - self.origin()).astype(np.float64)
        normals = draws.normals(self.dim + 1).astype(np.float64)
        z, label = normals[:, :-1], normals[:, -1]
        square = np.sum(u**2, axis=1)
        far = square > (_NEGLIGIBLE * self.label_noise) ** 2
        square = np.where(far, square, 1.0)
        product = np.sum(u * z, axis=1)
        freedom = int(batch_size) - 1
        noise = self.label_noise * label
        if freedom == 0:
            return root * (product - noise)[:, None] * z
        across = self.label_noise**2 * _reference_chi_square(draws, 1, freedom)
        q = product**2 / square + _reference_chi_square(draws, 0, freedom)
        gap = np.where(far, np.sqrt(square * q), 0.0) - noise
        length = np.sqrt(gap**2 + across)
        along = np.where(far, np.sqrt(q / square) * gap - length * product / square, 0.0)
        part = along[:, None] * u + length[:, None] * z
        return root * part / batch_size

    def reference_loss(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        return 0.5 * (theta - self.origin()) ** 2 @ self.spectrum + self.least_loss


def _reference_chi_square(draws: Draws, which: int, freedom: int) -> NDArray[np.float64]:
    """Return the chi^2 numbers of `chi_square` by plain NumPy, shape (n,)."""
    result = np.full(len(draws.trajectories), np.nan if freedom else 0.0)
    index = which
    while np.any(np.isnan(result)):
        z, _, a, b = draws.batch_normals(index).T
        shift = freedom / 2 - 1 / 3
        with np.errstate(invalid="ignore"):
            cube = (1 + z / np.sqrt(9 * shift)) ** 3
            accepted = z**2 / 2 + shift * (1 - cube + np.log(cube)) > -(a**2 + b**2) / 2
        value = z**2 if freedom == 1 else np.where(accepted, 2 * shift * cube, np.nan)
        result = np.where(np.isnan(result), value, result)
        index += 2
    return result
