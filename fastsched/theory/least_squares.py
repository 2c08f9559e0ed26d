"""Exact population risk of one-pass least squares, two ways."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.errors import LARGEST_SQUARED, array, integer, real, reject
from fastsched.memory import require_memory
from fastsched.optimizers import Optimizer
from fastsched.progress import progress_bar
from fastsched.theory.law import mean_and_std
from fastsched.theory.moments import Dynamics, map_moments
from fastsched.theory.rule import linear_rule


def least_squares_risk(
    spectrum: ArrayLike,
    error: ArrayLike,
    optimizer: Optimizer,
    steps: int,
    batch_size: ArrayLike = 1,
    label_noise: float = 0.0,
    target: ArrayLike = 0.0,
    *,
    progress: bool = True,
) -> NDArray[np.float64]:
    r"""Return the expected population risk of one-pass least squares after every step.

    Each step draws fresh features a ~ N(0, diag(spectrum)) and labels <a, target> plus noise,
    and averages the gradients of a batch of them.

    Parameters
    ----------
    spectrum : array of shape (d,)
        Eigenvalues lambda of the features' covariance, at least 0.
    error : array of shape (d,)
        The starting error e_0 = theta_0 - target; of a random start the root mean square (with
        weight decay the start must not be random).
    optimizer : SGD
        In any form, with any schedules.
    steps : int
        Number of updates, at least 1.
    batch_size : int or array of shape (steps,), default 1
        Samples of each step.
    label_noise : float, default 0
        Standard deviation of the labels' noise.
    target : float or array of shape (d,), default 0
        The minimum; it matters with weight decay only.
    progress : bool, default True
        Show a progress bar on a terminal or in a notebook.

    Returns
    -------
    array of shape (steps + 1,)
        Half the sum of lambda E e^2, without the irreducible label_noise^2 / 2.

    Raises
    ------
    NoExactTheory
        The optimizer's update is not linear.
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    The gradient of a batch of B has mean lambda_i e_i and, for each coordinate, variance
    (lambda_i^2 e_i^2 + lambda_i (sum_j lambda_j e_j^2 + s^2)) / B, by Wick's formula; so second
    moments follow a closed recursion at O(d) a step. Sources: Paquette, Lee, Pedregosa &
    Paquette, COLT 2021, arXiv:2102.04396; Bach & Moulines, NeurIPS 2013.

    Examples
    --------
    >>> from fastsched.theory import least_squares_risk
    >>> risk = least_squares_risk([1.0], [1.0], SGD(lr=0.1), steps=10)
    >>> bool(np.isclose(risk[-1], 0.5 * (1 - 2 * 0.1 + 3 * 0.1**2) ** 10))
    True
    """
    features, start = _spectrum_and_error(spectrum, error)
    steps = integer("steps", steps, minimum=1)
    sizes = array("batch_size", batch_size, ndim=(0, 1), allowed="an integer or one for each step")
    if sizes.ndim and sizes.shape != (steps,):
        reject("batch_size", batch_size, f"of shape ({steps},), got {sizes.shape}")
    if np.min(sizes) < 1:
        reject("batch_size", batch_size, "at least 1")
    minimum = array("target", target, ndim=(0, 1), allowed="a number or a vector")
    if minimum.ndim and minimum.shape != features.shape:
        reject("target", target, f"of shape {features.shape}, got {minimum.shape}")
    dynamics = Dynamics(
        linear_rule(optimizer, steps, float(sizes) if sizes.ndim == 0 else sizes),
        features,
        np.broadcast_to(minimum, features.shape),
        start,
        np.zeros_like(start),
        None,
        real("label_noise", label_noise, minimum=0, maximum=LARGEST_SQUARED) ** 2,
    )

    def risk(
        part: slice, means: NDArray[np.float64], covariances: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return mean_and_std(features[part], means[:, 0], covariances[:, 0, 0])[0]

    order = dynamics.rule.order
    require_memory(8 * (steps + 1) * len(features) * (order + order**2), "steps or spectrum")
    with progress_bar(dynamics.work, progress) as bar:
        parts = map_moments(dynamics, np.arange(steps + 1), risk, advance=bar.advance)
        return sum(parts, np.zeros(steps + 1))


def volterra_risk(
    spectrum: ArrayLike,
    error: ArrayLike,
    lr: float,
    steps: int,
    batch_size: int = 1,
    label_noise: float = 0.0,
    *,
    progress: bool = True,
) -> NDArray[np.float64]:
    r"""Return the expected population risk of one-pass SGD at a constant rate, by convolution.

    Parameters
    ----------
    spectrum, error, steps, label_noise
        As in `least_squares_risk`.
    lr : float
        The learning rate eta.
    batch_size : int, default 1
        Samples of each step.
    progress : bool, default True
        Show a progress bar on a terminal or in a notebook.

    Returns
    -------
    array of shape (steps + 1,)

    Raises
    ------
    FastschedError
        A parameter is out of range or of the wrong shape.

    Notes
    -----
    With A = 1 - 2 eta lambda + eta^2 lambda^2 (1 + 1/B), the risk P solves the Volterra equation

    .. math::
        P(t) = \tfrac12 \sum_i \lambda_i A_i^t e_{0,i}^2
             + \sum_{s < t} K(t - 1 - s) \left(P(s) + \tfrac12 \sigma^2\right), \qquad
        K(j) = \frac{\eta^2}{B} \sum_i \lambda_i^2 A_i^j

    Source: Paquette, Lee, Pedregosa & Paquette, COLT 2021, arXiv:2102.04396. It costs
    O(steps^2 + steps d) and serves as a check of the recursion.

    Examples
    --------
    >>> from fastsched.theory import volterra_risk
    >>> round(float(volterra_risk([1.0], [1.0], lr=0.1, steps=1)[1]), 12)
    0.415
    """
    features, start = _spectrum_and_error(spectrum, error)
    eta, batch = real("lr", lr, above=0), integer("batch_size", batch_size, minimum=1)
    steps = integer("steps", steps, minimum=1)
    noise = real("label_noise", label_noise, minimum=0, maximum=LARGEST_SQUARED) ** 2 / 2
    decay = 1 - 2 * eta * features + (eta * features) ** 2 * (1 + 1 / batch)
    forcing, kernel, risk = np.empty(steps + 1), np.empty(steps + 1), np.empty(steps + 1)
    first, second = features * start**2 / 2, features**2 * (eta**2 / batch)
    with progress_bar(steps, progress) as bar, np.errstate(over="ignore", invalid="ignore"):
        for t in range(steps + 1):
            forcing[t], kernel[t] = np.sum(first), np.sum(second)
            risk[t] = forcing[t] + kernel[:t][::-1] @ (risk[:t] + noise)
            first, second = decay * first, decay * second
            bar.advance(1)
    return risk


def _spectrum_and_error(
    spectrum: ArrayLike, error: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    features = array("spectrum", spectrum, ndim=(1,), allowed="a vector")
    if np.min(features) < 0:
        reject("spectrum", spectrum, "at least 0")
    start = array("error", error, ndim=(1,), allowed="a vector")
    if start.shape != features.shape:
        reject("error", error, f"of the spectrum's shape {features.shape}, got {start.shape}")
    return features, start
