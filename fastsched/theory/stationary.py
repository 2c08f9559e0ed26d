"""The stationary law of SGD and momentum on the noisy quadratic model, at constant rates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.errors import FastschedError, NoExactTheory, array, real, reject
from fastsched.landscapes.base import scalar_or_vector
from fastsched.optimizers import SGD, Optimizer
from fastsched.schedules import Constant, Schedule
from fastsched.theory.rule import linear_rule
from fastsched.theory.stability import checked_momentum, mean_limit


def stationary_moments(
    optimizer: Optimizer,
    curvature: ArrayLike,
    noise_variance: ArrayLike,
    *,
    batch_size: float = 1.0,
    minimum: ArrayLike = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return the stationary mean and covariance of every coordinate's state z = (x, v).

    Parameters
    ----------
    optimizer : SGD
        With a constant learning rate, momentum and weight decay, in any form.
    curvature : array of shape (d,)
        Curvatures h.
    noise_variance : float or array of shape (d,)
        Variance c of a sample's gradient noise, at least 0.
    batch_size : float, default 1
        B, at least 1; a batch's gradient has noise of variance c / B.
    minimum : float or array of shape (d,), default 0
        The minimum theta*, from which weight decay displaces the mean.

    Returns
    -------
    mean : array of shape (d, n)
        Of the displacement x = theta - theta* and, with momentum, the velocity v as the
        optimizer keeps it: n = 2, or n = 1 without momentum.
    covariance : array of shape (d, n, n)

    Raises
    ------
    NoExactTheory
        The update is not linear in the gradient, or a parameter changes with the step.
    FastschedError
        A parameter out of range, or an unstable coordinate.

    Notes
    -----
    The fixed point of m = M m + theta* shift and P = M P M^T + (c / B) n n^T, solved for M - I,
    whose entries are exact however small the rate. Without weight decay, with
    q = (1 - mu) [2 (1 + mu) - eta h] the heavy ball has

    .. math::
        \operatorname{Var} x = \frac{\eta c (1 + \mu)}{B h q}, \quad
        \operatorname{Cov}(x, v) = -\frac{\eta c}{B q}, \quad
        \operatorname{Var} v = \frac{2 c}{B q}

    Source: Liu, Ziyin & Ueda, "Noise and fluctuation of finite learning rate stochastic
    gradient descent", ICML 2021, arXiv:2012.03636.

    Examples
    --------
    >>> from fastsched.theory import stationary_moments
    >>> mean, covariance = stationary_moments(SGD(lr=0.5), [1.0, 2.0], 1.0)
    >>> covariance[:, 0, 0].round(12).tolist()
    [0.333333333333, 0.25]
    """
    h = _curvatures(curvature)
    variance = _coordinates("noise_variance", noise_variance, len(h))
    if variance.min() < 0:
        reject("noise_variance", noise_variance, "at least 0")
    origin = _coordinates("minimum", minimum, len(h))
    _refuse_schedules(optimizer)
    rule = linear_rule(optimizer, 1, real("batch_size", batch_size, minimum=1))
    n = rule.order
    unit = np.eye(n)
    change = (rule.base[0] - unit) + h[:, None, None] * rule.slope[0]  # M - I
    _refuse_unstable(optimizer, h, change)
    mean = -np.linalg.solve(change, (origin[:, None] * rule.shift[0])[:, :, None])[:, :, 0]
    system = _kronecker(change, unit) + _kronecker(unit, change) + _kronecker(change, change)
    forcing = variance[:, None] * np.outer(rule.noise[0], rule.noise[0]).ravel()
    covariance = -np.linalg.solve(system, forcing[:, :, None]).reshape(len(h), n, n)
    return mean, (covariance + covariance.transpose(0, 2, 1)) / 2


def nesterov_iterate_variance(
    optimizer: Optimizer,
    curvature: ArrayLike,
    noise_variance: ArrayLike,
    *,
    batch_size: float = 1.0,
) -> NDArray[np.float64]:
    r"""Return the stationary variance of Nesterov's iterate behind the look-ahead point.

    The parameter x of PyTorch and Keras is the look-ahead point, where the gradient is taken.
    The iterate from which one looks ahead is x + eta mu v (x - mu v for the classical velocity).

    Parameters
    ----------
    optimizer : SGD
        With `nesterov=True`, else as for `stationary_moments`.
    curvature, noise_variance, batch_size
        As for `stationary_moments`.

    Returns
    -------
    array of shape (d,)

    Raises
    ------
    NoExactTheory
        A parameter changes with the step.
    FastschedError
        Not Nesterov's form, a parameter out of range, or an unstable coordinate.

    Notes
    -----
    Without weight decay

    .. math::
        \frac{\eta c (1 + \mu - \eta h \mu)}
             {B h (1 - \mu + \eta h \mu) [2 (1 + \mu) - \eta h (1 + 2 \mu)]}

    Source: Liu, Ziyin & Ueda, ICML 2021, arXiv:2012.03636.

    Examples
    --------
    >>> from fastsched.theory import nesterov_iterate_variance
    >>> nesterov_iterate_variance(SGD(0.5, 0.5, nesterov=True), [1.0], 1.0).round(12).tolist()
    [0.416666666667]
    """
    if not isinstance(optimizer, SGD) or not optimizer.nesterov:
        reject("optimizer", optimizer, "an SGD with nesterov=True")
    _, covariance = stationary_moments(optimizer, curvature, noise_variance, batch_size=batch_size)
    if covariance.shape[1] == 1:
        return covariance[:, 0, 0]
    values = optimizer.hyperparameters(1)
    mu = values["momentum"][0]
    ahead = np.array([1.0, values["lr"][0] * mu if optimizer.velocity == "pytorch" else -mu])
    return np.einsum("i,dij,j->d", ahead, covariance, ahead)


def noise_floor(
    optimizer: Optimizer,
    curvature: ArrayLike,
    noise_variance: ArrayLike,
    *,
    batch_size: float = 1.0,
) -> float:
    r"""Return the loss that gradient noise sustains, 1/2 sum_i h_i Var x_i, exactly.

    Parameters
    ----------
    optimizer, curvature, noise_variance, batch_size
        As for `stationary_moments`. With weight decay this is the whole stationary loss only
        where the minimum is 0.

    Raises
    ------
    NoExactTheory
        The update is not linear in the gradient, or a parameter changes with the step.
    FastschedError
        A parameter out of range, or an unstable coordinate.

    Notes
    -----
    For SGD, 1/2 sum_i eta c_i / (B (2 - eta h_i)). Source: Zhang et al., NeurIPS 2019,
    arXiv:1907.04164.

    Examples
    --------
    >>> from fastsched.theory import noise_floor
    >>> round(noise_floor(SGD(lr=0.5), [1.0], 3.0), 12)
    0.5
    """
    h = _curvatures(curvature)
    _, covariance = stationary_moments(optimizer, h, noise_variance, batch_size=batch_size)
    return 0.5 * float(np.sum(h * covariance[:, 0, 0]))


def small_rate_noise_floor(
    lr: float, noise_variance: ArrayLike, *, momentum: float = 0.0, batch_size: float = 1.0
) -> float:
    r"""Return the limit of the noise floor for small rates, a function of lr / batch_size.

    Parameters
    ----------
    lr : float
        Constant learning rate eta, positive, outside the velocity or inside.
    noise_variance : array of shape (d,)
        Variance c of every coordinate's gradient noise of a sample, at least 0.
    momentum : float, default 0
        Momentum mu in (-1, 1), of the heavy ball or Nesterov's form.
    batch_size : float, default 1
        B, at least 1.

    Raises
    ------
    FastschedError
        A parameter out of range.

    Notes
    -----
    .. math::
        \frac{\eta \sum_i c_i}{4 (1 - \mu) B}

    without weight decay, the ratio to `noise_floor` being 1 + O(eta h). Source: Jastrzebski et
    al., "Three factors influencing minima in SGD", 2017, arXiv:1711.04623.

    Examples
    --------
    >>> from fastsched.theory import small_rate_noise_floor
    >>> small_rate_noise_floor(0.5, [1.0, 3.0], batch_size=2)
    0.25
    """
    rate, mu = real("lr", lr, above=0), checked_momentum(momentum)
    allowed = "variances of shape (d,), at least 0"
    variance = array("noise_variance", noise_variance, ndim=(1,), allowed=allowed)
    if variance.min() < 0:
        reject("noise_variance", noise_variance, allowed)
    return rate * float(variance.sum()) / (4 * (1 - mu) * real("batch_size", batch_size, minimum=1))


def dissipation_ratio(
    optimizer: Optimizer, curvature: ArrayLike, noise_variance: ArrayLike
) -> float:
    r"""Return the ratio of two statistics that tests of stationarity compare.

    Parameters
    ----------
    optimizer : SGD
        Without weight decay, else as for `stationary_moments`.
    curvature, noise_variance
        As for `stationary_moments`; not all variances 0.

    Returns
    -------
    float
        The value below in the steady state, whatever the batch size: 1 for SGD and the heavy
        ball at any curvature and noise, another for Nesterov's form.

    Raises
    ------
    NoExactTheory
        The optimizer has weight decay, is not linear in the gradient, or a parameter changes
        with the step.
    FastschedError
        A parameter out of range, an unstable coordinate, or no noise at all.

    Notes
    -----
    .. math::
        \frac{2 E \langle x, g \rangle}{\eta (1 + \mu) E |v|^2}

    with g the gradient and v the velocity with the rate outside (v = g without momentum).
    Source: Yaida, "Fluctuation-dissipation relations for stochastic gradient descent", ICLR
    2019, arXiv:1810.00004.

    Examples
    --------
    >>> from fastsched.theory import dissipation_ratio
    >>> round(dissipation_ratio(SGD(0.1, momentum=0.9), [1.0, 0.5], 1.0), 12)
    1.0
    """
    h = _curvatures(curvature)
    _, covariance = stationary_moments(optimizer, h, noise_variance)
    values = optimizer.hyperparameters(1)
    if values["weight_decay"][0] != 0:
        raise NoExactTheory(f"{optimizer!r} has weight decay: the relation holds without it")
    lr, mu = values["lr"][0], values["momentum"][0]
    if covariance.shape[1] == 1:
        square = np.sum(h**2 * covariance[:, 0, 0] + _coordinates("", noise_variance, len(h)))
    else:
        inside = isinstance(optimizer, SGD) and optimizer.velocity == "classical"
        square = np.sum(covariance[:, 1, 1]) / (lr**2 if inside else 1.0)
    if square == 0:
        reject("noise_variance", noise_variance, "greater than 0 somewhere")
    return 2 * float(np.sum(h * covariance[:, 0, 0]) / (lr * (1 + mu) * square))


def _curvatures(value: Any) -> NDArray[np.float64]:
    return array("curvature", value, ndim=(1,), allowed="curvatures of shape (d,)")


def _coordinates(name: str, value: Any, dim: int) -> NDArray[np.float64]:
    return np.broadcast_to(scalar_or_vector(name, value, dim), (dim,))


def _kronecker(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Kronecker product of two matrices, or of two stacks of them."""
    n = left.shape[-1]
    product = left[..., :, None, :, None] * right[..., None, :, None, :]
    return product.reshape(*product.shape[:-4], n * n, n * n)


def _refuse_schedules(optimizer: Optimizer) -> None:
    for name, value in optimizer._fields().items():
        if isinstance(value, Schedule) and not isinstance(value, Constant):
            raise NoExactTheory(
                f"{name} = {value!r} changes with the step: a stationary law needs constants"
            )


def _refuse_unstable(
    optimizer: Optimizer, curvature: NDArray[np.float64], change: NDArray[np.float64]
) -> None:
    """Check Jury's conditions on I + change."""
    unit = np.eye(change.shape[-1])
    determinant = np.linalg.det(-change)
    stable = (
        (determinant > 0)
        & (np.linalg.det(change + 2 * unit) > 0)
        & (np.trace(change, axis1=1, axis2=2) + np.linalg.det(change) < 0)
    )
    if stable.all():
        return
    worst = int(np.argmin(stable))
    radius = np.max(np.abs(np.linalg.eigvals(unit + change[worst])))
    values = optimizer.hyperparameters(1)
    limit = mean_limit(values["momentum"][0], getattr(optimizer, "nesterov", False))
    raise FastschedError(
        f"lr = {values['lr'][0]:g} is unstable at curvature {curvature[worst]:g}, where the "
        f"update's spectral radius is {radius:.6g}: it must be less than 1; without weight decay "
        f"lr * curvature must be greater than 0 and less than {limit:g}"
    )
