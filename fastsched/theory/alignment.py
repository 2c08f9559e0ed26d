"""Alignment of successive gradients: expected inner products and expected cosines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.disk_cache import cached
from fastsched.errors import array, integer, items, real, reject
from fastsched.landscapes.base import scalar_or_vector
from fastsched.progress import progress_bar
from fastsched.theory.rule import LinearRule
from fastsched.theory.stability import checked_spectrum

# Trapezoid nodes in log s for a vector of unit mean square: their spacing, the first, the last
# there may be, and the logarithm of E exp(-s |a|^2) at which they end.
_SPACING = 0.35
_FIRST, _LAST = -20.0, 60.0
_LOG_NEGLECTED = math.log(1e-11)

_LARGEST_PRODUCT = 1e200  # times one more factor it must be finite


def expected_inner_product(mean: ArrayLike, covariance: ArrayLike) -> float:
    r"""Return the expected inner product of two random vectors, of any law.

    Parameters
    ----------
    mean : array of shape (d, 2)
        Mean of each coordinate of the two vectors.
    covariance : array of shape (d, 2, 2)
        Covariance of each coordinate of the first with that of the second vector.

    Raises
    ------
    FastschedError
        A wrong shape, a non-finite number or a matrix that is no covariance.

    Notes
    -----
    .. math:: E \langle a, b \rangle = \sum_i (\Sigma_{i,12} + m_{i,1} m_{i,2})

    Examples
    --------
    >>> from fastsched.theory import expected_inner_product
    >>> expected_inner_product([[1.0, 2.0]], [[[1.0, 0.5], [0.5, 1.0]]])
    2.5
    """
    m, c = _gaussian(mean, covariance)
    return float(np.sum(c[:, 0, 1] + m[:, 0] * m[:, 1]))


def expected_cosine(mean: ArrayLike, covariance: ArrayLike, *, progress: bool = True) -> float:
    r"""Return the expected cosine of the angle between two jointly Gaussian vectors.

    Coordinates are independent of each other; a covariance may be singular or zero.

    Parameters
    ----------
    mean : array of shape (d, 2)
        Mean of each coordinate of the two vectors.
    covariance : array of shape (d, 2, 2)
        Covariance of each coordinate of the first with that of the second vector.
    progress : bool, default True
        Show a progress bar on a terminal or in a notebook.

    Returns
    -------
    float
        E <a, b> / (|a| |b|), to about 1e-10. It costs between 80^2 d and 200^2 d elementary
        steps, most where one coordinate dominates.

    Raises
    ------
    FastschedError
        A wrong shape, a non-finite number, a matrix that is no covariance, or a vector that is
        surely zero.

    Notes
    -----
    Since 1/|a| is the integral of (pi s)^(-1/2) exp(-s |a|^2) over s > 0,

    .. math::
        E \cos = \frac{1}{\pi} \int_0^\infty \!\! \int_0^\infty \frac{ds\, dt}{\sqrt{s t}}
            \sum_i \left(V_{i,12} + n_{i,1} n_{i,2}\right) \prod_j w_j

    where, with D = diag(s, t), V = (I + 2 Sigma D)^{-1} Sigma, n = (I + 2 Sigma D)^{-1} m and
    w = |I + 2 Sigma D|^{-1/2} exp(-m^T D n). Both integrals are trapezoid sums in log s and
    log t. They end where E exp(-s |a|^2) < 1e-11, which bounds what is left out; the first
    weight includes all below it, where the integrand is proportional to s^(1/2).

    Examples
    --------
    >>> from fastsched.theory import expected_cosine
    >>> round(expected_cosine([[0.0, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]]), 9)  # 2 arcsin(1/2) / pi
    0.333333333
    """
    m, c = _gaussian(mean, covariance)
    largest = np.maximum(np.abs(m), np.sqrt(np.diagonal(c, axis1=1, axis2=2))).max(axis=0)
    if np.any(largest == 0):
        reject("mean", mean, "such that neither vector is surely zero")
    m, c = m / largest, c / largest[:, None] / largest
    root = np.sqrt(np.sum(m**2 + np.diagonal(c, axis1=1, axis2=2), axis=0))
    m, c = m / root, c / (root[:, None] * root)
    first, first_weight = _nodes(m[:, 0], c[:, 0, 0])
    second, second_weight = _nodes(m[:, 1], c[:, 1, 1])
    parts = (m[:, 0], m[:, 1], c[:, 0, 0], c[:, 1, 1], c[:, 0, 1])
    law = [part.copy() for part in parts]
    cosine = 0.0
    with progress_bar(len(first), progress) as bar:
        for s, weight in zip(first, first_weight, strict=True):
            cosine += weight * _tilted_sum(*law, s, second, second_weight)
            bar.advance(1)
    return min(max(float(cosine), -1.0), 1.0)


def successive_gradients(
    mean: ArrayLike,
    covariance: ArrayLike,
    rule: LinearRule,
    curvature: ArrayLike,
    noise_variance: ArrayLike,
    *,
    stretch: int = 0,
    minimum: ArrayLike = 0.0,
    batch_sizes: tuple[float, float] = (1.0, 1.0),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return the joint law of the gradients of two steps on the noisy quadratic model.

    Parameters
    ----------
    mean : array of shape (d, n)
        Mean of every coordinate's state z_t = (x_t, v_t), or x_t alone (n = 1).
    covariance : array of shape (d, n, n)
        Its covariance.
    rule : LinearRule
        The optimizer's update, made with the batch size of step t.
    curvature : array of shape (d,)
        Curvatures h.
    noise_variance : float or array of shape (d,)
        Variance c of a sample's gradient noise, at least 0.
    stretch : int, default 0
        The stretch of `rule` that step t belongs to.
    minimum : float or array of shape (d,), default 0
        The minimum theta*.
    batch_sizes : tuple of two floats, default (1, 1)
        Batch sizes of the steps t and t + 1, at least 1.

    Returns
    -------
    mean : array of shape (d, 2)
        Of the gradients (g_t, g_{t+1}), without weight decay's part.
    covariance : array of shape (d, 2, 2)

    Raises
    ------
    FastschedError
        A wrong shape or a parameter out of range.

    Notes
    -----
    With the noise xi of the batch, of variance c / B,

    .. math::
        g_t = h x_t + \xi_t, \qquad
        z_{t+1} = M z_t + \theta^* \mathrm{shift} + \sqrt{B_t}\, \mathrm{noise}\, \xi_t, \qquad
        g_{t+1} = h x_{t+1} + \xi_{t+1}

    For SGD the covariance of a coordinate's gradients is h^2 (1 - eta h) Var x - eta h c / B,
    and in the steady state -eta h / 2 times the variance of each.

    Examples
    --------
    >>> from fastsched.theory import successive_gradients
    >>> from fastsched.theory import linear_rule
    >>> rule = linear_rule(SGD(lr=0.5), 1)
    >>> mean, covariance = successive_gradients([[1.0]], [[[0.0]]], rule, [1.0], 4.0)
    >>> mean.tolist(), covariance.tolist()
    ([[1.0, 0.5]], [[[4.0, -2.0], [-2.0, 5.0]]])
    """
    h = array("curvature", curvature, ndim=(1,), allowed="curvatures of shape (d,)")
    dim, n = len(h), rule.order
    m = _shaped("mean", mean, (dim, n))
    p = _shaped("covariance", covariance, (dim, n, n))
    c = np.broadcast_to(scalar_or_vector("noise_variance", noise_variance, dim), (dim,))
    if c.min() < 0:
        reject("noise_variance", noise_variance, "at least 0")
    origin = np.broadcast_to(scalar_or_vector("minimum", minimum, dim), (dim,))
    k = integer("stretch", stretch, minimum=0, maximum=len(rule.lengths) - 1)
    sizes = items("batch_sizes", batch_sizes, "a tuple of two batch sizes")
    if len(sizes) != 2:
        reject("batch_sizes", batch_sizes, "a tuple of two batch sizes")
    batch, next_batch = (real("batch_sizes", value, minimum=1) for value in sizes)
    row = rule.base[k, 0] + h[:, None] * rule.slope[k, 0]
    strength = rule.noise[k, 0]
    carried = np.einsum("dij,dj->di", p, row)
    next_variance = np.einsum("di,di->d", row, carried) + strength**2 * c
    next_mean = np.einsum("di,di->d", row, m) + rule.shift[k, 0] * origin
    gradients = np.empty((dim, 2, 2))
    gradients[:, 0, 0] = h**2 * p[:, 0, 0] + c / batch
    gradients[:, 1, 1] = h**2 * next_variance + c / next_batch
    gradients[:, 0, 1] = h**2 * carried[:, 0] + h * strength * c / math.sqrt(batch)
    gradients[:, 1, 0] = gradients[:, 0, 1]
    return h[:, None] * np.stack([m[:, 0], next_mean], axis=1), gradients


def one_pass_alignment(
    spectrum: ArrayLike,
    second_moment: ArrayLike,
    lr: float,
    label_noise_variance: float,
    *,
    batch_size: int = 1,
) -> tuple[float, float]:
    r"""Return E <g_t, g_{t+1}> and E |g_t|^2 of SGD on one-pass least squares.

    The gradients are not Gaussian, so their mean cosine has no such form.

    Parameters
    ----------
    spectrum : array of shape (d,)
        Positive eigenvalues lambda of the features' covariance.
    second_moment : array of shape (d,)
        p_i = E (x_i - x*_i)^2 before step t, at least 0.
    lr : float
        Learning rate eta of step t, at least 0.
    label_noise_variance : float
        Variance of the labels' noise, s2, at least 0.
    batch_size : int, default 1
        Fresh samples of a step, B.

    Returns
    -------
    inner_product, squared_norm : float

    Raises
    ------
    FastschedError
        A wrong shape or a parameter out of range.

    Notes
    -----
    .. math::
        E \langle g_t, g_{t+1} \rangle = \sum_i \lambda_i^2 p_i - \eta \sum_i \lambda_i G_i,
        \qquad E |g_t|^2 = \sum_i G_i

    .. math::
        G_i = \left(1 + \tfrac1B\right) \lambda_i^2 p_i
            + \tfrac{\lambda_i}{B} \Big(\sum_j \lambda_j p_j + s_2\Big)

    Examples
    --------
    >>> from fastsched.theory import one_pass_alignment
    >>> one_pass_alignment([1.0], [1.0], 0.25, 1.0)
    (0.0, 4.0)
    """
    values = checked_spectrum(spectrum)
    p = _shaped("second_moment", second_moment, values.shape)
    if p.min() < 0:
        reject("second_moment", second_moment, "at least 0")
    rate = real("lr", lr, minimum=0)
    variance = real("label_noise_variance", label_noise_variance, minimum=0)
    batch = integer("batch_size", batch_size, minimum=1)
    mean_square = values**2 * p
    g = mean_square + (mean_square + values * (np.sum(values * p) + variance)) / batch
    return float(np.sum(mean_square) - rate * np.sum(values * g)), float(np.sum(g))


def _gaussian(
    mean: ArrayLike, covariance: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    m = array("mean", mean, ndim=(2,), allowed="of shape (d, 2)")
    m = _shaped("mean", mean, (len(m), 2))
    c = _shaped("covariance", covariance, (len(m), 2, 2))
    variance = np.diagonal(c, axis1=1, axis2=2)
    bound = np.sqrt(np.maximum(variance, 0)).prod(axis=1)
    if (
        variance.min() < 0
        or np.any(np.abs(c[:, 0, 1]) > bound * (1 + 1e-9))
        or np.any(np.abs(c[:, 0, 1] - c[:, 1, 0]) > bound * 1e-9)
    ):
        reject("covariance", covariance, "symmetric and positive semidefinite")
    return m, c


def _shaped(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    allowed = f"of shape {shape}"
    result = array(name, value, ndim=(len(shape),), allowed=allowed)
    if result.shape != shape:
        reject(name, value, f"{allowed}, got shape {result.shape}")
    return result


def _nodes(
    mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights of (pi s)^(-1/2) ds for a vector a of unit mean square."""
    s = np.exp(np.arange(_FIRST, _LAST, _SPACING))
    spread = 1 + 2 * s[:, None] * variance
    log_left = -np.sum(np.log(spread) / 2 + s[:, None] * mean**2 / spread, axis=1)
    s = s[: int(np.argmax(log_left < _LOG_NEGLECTED)) + 1]
    weight = _SPACING * np.sqrt(s / np.pi)
    weight[0] /= 1 - math.exp(-_SPACING / 2)
    return s, weight


@cached(nogil=True, error_model="numpy")
def _tilted_sum(m1, m2, c11, c22, c12, s, second, second_weight):
    """Return the sum over nodes t of sum_i (V_i,12 + n_i1 n_i2) prod_j w_j."""
    determinant = np.maximum(c11 * c22 - c12 * c12, 0.0)
    pull1, pull2 = c22 * m1 - c12 * m2, c11 * m2 - c12 * m1
    total = 0.0
    for b in range(second.shape[0]):
        t = second[b]
        inner, exponent, product = 0.0, 0.0, 1.0
        for i in range(m1.shape[0]):
            scale = 1 + 2 * (s * c11[i] + t * c22[i]) + 4 * s * t * determinant[i]
            n1, n2 = (m1[i] + 2 * t * pull1[i]) / scale, (m2[i] + 2 * s * pull2[i]) / scale
            inner += c12[i] / scale + n1 * n2
            exponent += s * m1[i] * n1 + t * m2[i] * n2
            product *= scale
            if product > _LARGEST_PRODUCT:
                exponent += math.log(product) / 2
                product = 1.0
        exponent += math.log(product) / 2
        total += second_weight[b] * inner * math.exp(-exponent)
    return total
