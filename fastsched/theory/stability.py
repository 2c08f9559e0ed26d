"""Stability limits: the largest learning rates."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigsh

from fastsched.errors import FastschedError, array, integer, real, reject
from fastsched.progress import progress_bar

_HESSIANS = "data rows of shape (n, d) or Hessians of shape (n, d, d)"


def mean_limit(momentum: float = 0.0, nesterov: bool = False) -> float:
    r"""Return the largest eta h at which the mean on a quadratic is stable.

    Parameters
    ----------
    momentum : float, default 0
        Momentum mu in (-1, 1).
    nesterov : bool, default False
        Nesterov's form rather than the heavy ball.

    Returns
    -------
    float
        The product of learning rate and curvature below which the mean contracts, without
        weight decay. With constant gradient noise the covariance has the same limit.

    Raises
    ------
    FastschedError
        Momentum outside (-1, 1), or `nesterov` not a bool.

    Notes
    -----
    By Jury's conditions on the characteristic polynomial, z^2 - (1 + mu - eta h) z + mu or
    z^2 - (1 + mu)(1 - eta h) z + mu (1 - eta h),

    .. math::
        \eta h < 2 (1 + \mu) \quad \text{(heavy ball)}, \qquad
        \eta h < 1 + \frac{1}{\max(1 + 2 \mu, -\mu)} \quad \text{(Nesterov)}

    For mu >= -1/3 the latter is (2 + 2 mu)/(1 + 2 mu), where an eigenvalue leaves at -1; below,
    a complex pair leaves. Source (positive momentum): Cohen et al., "Gradient descent on neural
    networks typically occurs at the edge of stability", ICLR 2021, arXiv:2103.00065.

    Examples
    --------
    >>> from fastsched.theory import mean_limit
    >>> mean_limit(), mean_limit(0.5)
    (2.0, 3.0)
    >>> round(mean_limit(0.9, nesterov=True), 9)
    1.357142857
    """
    mu = checked_momentum(momentum)
    if not isinstance(nesterov, (bool, np.bool_)):
        reject("nesterov", nesterov, "True or False")
    return 1 + 1 / max(1 + 2 * mu, -mu) if nesterov else 2 * (1 + mu)


class OnePassStability(NamedTuple):
    """Whether one-pass least squares is stable in mean square, and by what margin.

    Attributes
    ----------
    stable : bool
        Whether E |x|^2 stays bounded: every gain below the batch size and feedback below 1.
    feedback : float
        S, the excess risk that a unit of risk sustains; infinite where a gain reaches the batch
        size.
    gains : array of shape (d,)
        V_i, stationary variance of the coordinate's mean gradient over the variance of the
        gradient noise; infinite where the mean itself is unstable.
    """

    stable: bool
    feedback: float
    gains: NDArray[np.float64]


def one_pass_stability(
    spectrum: ArrayLike,
    lr: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    batch_size: int = 1,
) -> OnePassStability:
    r"""Return whether one-pass least squares with Gaussian features is stable in mean square.

    Parameters
    ----------
    spectrum : array of shape (d,)
        Positive eigenvalues lambda of the features' covariance.
    lr : float
        Constant learning rate eta, positive.
    momentum : float, default 0
        Momentum mu in (-1, 1).
    nesterov : bool, default False
        Nesterov's form rather than the heavy ball. At a constant rate both velocity conventions
        are the same.
    batch_size : int, default 1
        Fresh samples of a step, B.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    With x_i = eta lambda_i, the condition is V_i < B and S < 1, where for the heavy ball

    .. math::
        V_i = \frac{x_i (1 + \mu)}{(1 - \mu) (2 (1 + \mu) - x_i)}, \qquad
        S = \sum_i \frac{V_i / B}{1 - V_i / B}

    and for Nesterov's form V = x [1 + mu + x mu (1 + 2 mu)] /
    {(1 - mu + x mu) [2 (1 + mu) - x (1 + 2 mu)]}. Necessary and sufficient: the noise adds a
    positive operator to the stable noise-free one, so the sum is stable exactly if the feedback
    through the stationary response V is. Source (mu = 0, B = 1): Feuer & Weinstein,
    "Convergence analysis of LMS filters with uncorrelated Gaussian data", IEEE Trans. ASSP 33
    (1985) 222; V: Liu, Ziyin & Ueda, "Noise and fluctuation of finite learning rate stochastic
    gradient descent", ICML 2021, arXiv:2012.03636.

    Examples
    --------
    >>> from fastsched.theory import one_pass_stability
    >>> one_pass_stability([1.0, 1.0], 0.4).stable, one_pass_stability([1.0, 1.0], 0.6).stable
    (True, False)
    """
    values = checked_spectrum(spectrum)
    rate = real("lr", lr, above=0)
    batch = integer("batch_size", batch_size, minimum=1)
    gains = _gain(rate * values, checked_momentum(momentum), nesterov)
    feedback = _feedback(gains, batch)
    return OnePassStability(feedback < 1, feedback, gains)


def one_pass_limit(
    spectrum: ArrayLike, *, momentum: float = 0.0, nesterov: bool = False, batch_size: int = 1
) -> float:
    r"""Return the learning rate at which one-pass least squares loses mean-square stability.

    Parameters
    ----------
    spectrum, momentum, nesterov, batch_size
        As for `one_pass_stability`.

    Returns
    -------
    float
        The rate at which S = 1, to a few units of the last place.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    S increases with the rate. With d equal eigenvalues lambda and mu = 0 the limit is
    2 B / (lambda (B + d + 1)).

    Examples
    --------
    >>> from fastsched.theory import one_pass_limit
    >>> round(one_pass_limit([1.0, 1.0, 1.0]), 12)
    0.4
    """
    values = checked_spectrum(spectrum)
    mu = checked_momentum(momentum)
    batch = integer("batch_size", batch_size, minimum=1)

    def margin(rate: float) -> float:
        return 1 / (1 + _feedback(_gain(rate * values, mu, nesterov), batch)) - 0.5

    upper = mean_limit(mu, nesterov) / values.max()
    return float(brentq(margin, 0.0, upper, xtol=np.finfo(float).tiny, rtol=1e-15))


def one_pass_excess_risk(
    spectrum: ArrayLike,
    lr: float,
    label_noise_variance: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    batch_size: int = 1,
) -> float:
    r"""Return the excess risk 1/2 sum_i lambda_i E x_i^2 that one-pass least squares settles at.

    Parameters
    ----------
    spectrum, lr, momentum, nesterov, batch_size
        As for `one_pass_stability`: SGD, the heavy ball and Nesterov's form (at PyTorch's
        parameter, the look-ahead point), at a constant rate and without weight decay.
    label_noise_variance : float
        Variance of the labels' noise, s2, at least 0.

    Raises
    ------
    FastschedError
        A parameter out of range, or a rate at which there is no steady state.

    Notes
    -----
    .. math::
        R = \frac{s_2}{2} \frac{S}{1 - S}

    Examples
    --------
    >>> from fastsched.theory import one_pass_excess_risk
    >>> round(one_pass_excess_risk([1.0], 0.5, 1.0), 12)
    0.5
    """
    variance = real("label_noise_variance", label_noise_variance, minimum=0)
    stability = one_pass_stability(
        spectrum, lr, momentum=momentum, nesterov=nesterov, batch_size=batch_size
    )
    if not stability.stable:
        limit = one_pass_limit(
            spectrum, momentum=momentum, nesterov=nesterov, batch_size=batch_size
        )
        raise FastschedError(
            f"lr = {lr!r}: there is no steady state, since lr must be less than {limit:.12g} for "
            f"mean-square stability"
        )
    return 0.5 * variance * stability.feedback / (1 - stability.feedback)


def finite_sum_limit(hessians: ArrayLike, batch_size: int, *, progress: bool = True) -> float:
    r"""Return the learning rate at which multi-epoch SGD loses mean-square stability.

    SGD without momentum, near a minimum that every sample shares; each step's batch is drawn
    without replacement from the n samples and independently of the other batches.

    Parameters
    ----------
    hessians : array of shape (n, d, d) or (n, d)
        The Hessian H_i of every sample, symmetric and positive semidefinite, or the data rows
        a_i of least squares, for which H_i = a_i a_i^T.
    batch_size : int
        Samples of a batch B, from 1 to n.
    progress : bool, default True
        Show the number of steps of the eigenvalue's iteration on a terminal or in a notebook.

    Raises
    ------
    FastschedError
        Hessians of another shape, asymmetric, indefinite or all zero; a batch size out of range.

    Notes
    -----
    With H the mean of the H_i and p = (n - B)/(B (n - 1)), SGD is stable below

    .. math::
        \eta = \frac{2}{\lambda_{\max}(C^+ D)}, \qquad C = \tfrac12 H \oplus H, \qquad
        D = (1 - p) H \otimes H + \frac{p}{n} \sum_i H_i \otimes H_i

    The operators act on d x d matrices and are never formed: a step of the eigenvalue's
    iteration costs O(n d^2) for rows and O(n d^3) for Hessians. Source: Mulayoff & Michaeli,
    "Exact mean square linear stability analysis for SGD", COLT 2024, arXiv:2306.07850.

    Examples
    --------
    >>> from fastsched.theory import finite_sum_limit
    >>> rows = [[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]
    >>> round(finite_sum_limit(rows, 1), 6), round(finite_sum_limit(rows, 3), 6)
    (0.576039, 1.131483)
    """
    samples = array("hessians", hessians, ndim=(2, 3), allowed=_HESSIANS)
    n = samples.shape[0]
    batch = integer("batch_size", batch_size, minimum=1, maximum=n)
    rows = samples.ndim == 2
    if not rows:
        _check_semidefinite(samples)
    values, basis = np.linalg.eigh(samples.T @ samples / n if rows else samples.mean(axis=0))
    if values[-1] <= 0:
        reject("hessians", hessians, f"{_HESSIANS}, not all zero")
    range_of_mean = values > len(values) * np.finfo(float).eps * values[-1]
    values, basis = values[range_of_mean], basis[:, range_of_mean]
    samples = samples @ basis if rows else basis.T @ samples @ basis
    single = (n - batch) / (batch * (n - 1)) if batch < n else 0.0
    scale = ((values[:, None] + values) / 2) ** -0.5

    def apply(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        matrix = scale * flat.reshape(scale.shape)
        full = values[:, None] * matrix * values
        if rows:
            weights = np.sum((samples @ matrix) * samples, axis=1)
            mixed = (samples.T * weights) @ samples
        else:
            mixed = np.sum(samples @ matrix @ samples, axis=0)
        return (scale * ((1 - single) * full + single / n * mixed)).ravel()

    if scale.size == 1:
        return float(2 / apply(np.ones(1))[0])
    shape = (scale.size, scale.size)
    # The leading eigenvector is a semidefinite matrix, so the identity has a part along it.
    start = (np.eye(len(values)) / scale).ravel()
    with progress_bar(None, progress, " steps") as bar:

        def counted(flat: NDArray[np.float64]) -> NDArray[np.float64]:
            bar.advance(1)
            return apply(flat)

        operator = LinearOperator(shape, matvec=counted, dtype=np.float64)
        return float(2 / eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0])


def _gain(x: NDArray[np.float64], mu: float, nesterov: bool) -> NDArray[np.float64]:
    """Return h^2 Var x over the variance of the gradient noise, infinite where unstable."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if nesterov:
            gain = x * (1 + mu + x * mu * (1 + 2 * mu))
            gain /= (1 - mu + x * mu) * (2 * (1 + mu) - x * (1 + 2 * mu))
        else:
            gain = x * (1 + mu) / ((1 - mu) * (2 * (1 + mu) - x))
    return np.where(x < mean_limit(mu, nesterov), gain, np.inf)


def _feedback(gains: NDArray[np.float64], batch: int) -> float:
    if np.any(gains >= batch):
        return math.inf
    return float(np.sum(gains / (batch - gains)))


def checked_momentum(value: float) -> float:
    """Return a momentum in (-1, 1)."""
    mu = real("momentum", value)
    if abs(mu) >= 1:
        reject("momentum", value, "in the open interval (-1, 1)")
    return mu


def checked_spectrum(value: ArrayLike) -> NDArray[np.float64]:
    """Return the positive eigenvalues of features' covariance, shape (d,)."""
    spectrum = array("spectrum", value, ndim=(1,), allowed="positive eigenvalues of shape (d,)")
    if spectrum.min() <= 0:
        reject("spectrum", value, "positive eigenvalues of shape (d,)")
    return spectrum


def _check_semidefinite(hessians: NDArray[np.float64]) -> None:
    if hessians.shape[1] != hessians.shape[2]:
        reject("hessians", hessians, f"{_HESSIANS}, got shape {hessians.shape}")
    tolerance = 1e-10 * np.abs(hessians).max()
    if np.abs(hessians - hessians.transpose(0, 2, 1)).max() > tolerance:
        reject("hessians", hessians, f"{_HESSIANS}, symmetric")
    smallest = float(np.linalg.eigvalsh(hessians).min())
    if smallest < -tolerance:
        reject(
            "hessians",
            hessians,
            f"{_HESSIANS}, positive semidefinite; an eigenvalue is {smallest:g}",
        )
