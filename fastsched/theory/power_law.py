"""Laws of decaying rates, and of power-law random features."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from fastsched.errors import NoExactTheory, integer, real, reject
from fastsched.optimizers import SGD, AdamW


class ComputeOptimal(NamedTuple):
    """The compute-optimal frontier: risk ~ flops^loss with features ~ flops^size."""

    phase: str
    loss: float
    size: float


def inverse_time_factor(alpha: float, beta: float, curvature: float, steps: int) -> float:
    r"""Return by what the rates alpha / (t + beta) multiply the mean of a coordinate.

    Parameters
    ----------
    alpha, beta : float
        Of `InverseTime`, positive.
    curvature : float
        The coordinate's curvature h, at least 0.
    steps : int
        Number of updates n, at least 1.

    Raises
    ------
    FastschedError
        A parameter is out of range.

    Notes
    -----
    .. math::
        \prod_{t<n} \left(1 - \frac{a h}{t + b}\right)
            = \frac{\Gamma(n + b - a h)\, \Gamma(b)}{\Gamma(n + b)\, \Gamma(b - a h)}

    so it decays as n^(-a h). Source: Robbins & Monro, Ann. Math. Stat. 22 (1951) 400, for the
    rates; Chung, Ann. Math. Stat. 25 (1954) 463, for the exponent.

    Examples
    --------
    >>> from fastsched.theory import inverse_time_factor
    >>> round(inverse_time_factor(0.5, 1.0, 1.0, steps=2), 12)  # 1/2 * 3/4
    0.375
    """
    b = real("beta", beta, above=0)
    product = real("alpha", alpha, above=0) * real("curvature", curvature, minimum=0)
    n = integer("steps", steps, minimum=1)
    low, high = b - product, n + b - product
    if low <= 0 and low.is_integer() and n > -low:
        return 0.0  # the factor of step a h - b
    if low <= 0 and (low.is_integer() or math.isinf(low)):
        with np.errstate(over="ignore"):
            return float(np.prod(1 - product / (np.arange(n) + b)))
    size = special.gammaln(high) + special.gammaln(b) - special.gammaln(n + b)
    size -= special.gammaln(low)
    with np.errstate(over="ignore"):
        return float(special.gammasgn(high) * special.gammasgn(low) * np.exp(size))


def decay_shrinkage(optimizer: SGD | AdamW, steps: int) -> float:
    """Return the product of the factors by which decoupled decay shrinks the parameters.

    Parameters
    ----------
    optimizer : SGD or AdamW
        With a decoupled decay: "lr", "schedule" or "constant".
    steps : int
        Number of updates, at least 1.

    Raises
    ------
    FastschedError
        The decay is coupled.

    Notes
    -----
    For "lr" it is the product of 1 - eta_t lambda_t, so that the regularisation decays with the
    rate; for "schedule" that of 1 - (eta_t / eta_max) lambda_t, with the largest rate eta_max of
    these updates; for "constant" that of 1 - lambda_t. Source: Loshchilov & Hutter, ICLR 2019,
    arXiv:1711.05101.

    Examples
    --------
    >>> from fastsched.theory import decay_shrinkage
    >>> round(decay_shrinkage(SGD(0.01, weight_decay=0.1, decay="lr"), 100), 10)
    0.9047921471
    """
    if not isinstance(optimizer, (SGD, AdamW)) or optimizer.decay == "coupled":
        allowed = 'SGD or AdamW with the decay "lr", "schedule" or "constant"'
        reject("optimizer", optimizer, allowed)
    values = optimizer.hyperparameters(integer("steps", steps, minimum=1))
    return float(np.prod(1 - optimizer.decays(values)[1]))


def compute_optimal_exponents(alpha: float, beta: float) -> ComputeOptimal:
    """Return the exponents of the compute-optimal frontier of power-law random features.

    Parameters
    ----------
    alpha : float
        Inputs have the spectrum j^(-2 alpha); positive.
    beta : float
        The target is j^(-beta); any number with 2 (alpha + beta) > 1.

    Raises
    ------
    NoExactTheory
        The exponents lie on the border of two phases, or in the phase IVb.
    FastschedError
        A parameter is out of range.

    Notes
    -----
    Flops are features times updates of one-pass SGD. Source: Paquette et al. 2024,
    arXiv:2405.15074, Table 2.

    Examples
    --------
    >>> from fastsched.theory import compute_optimal_exponents
    >>> compute_optimal_exponents(1.0, 0.75).phase
    'II'
    """
    a, b = real("alpha", alpha, above=0), real("beta", beta)
    if 2 * (a + b) <= 1:
        reject("beta", beta, f"greater than 1/2 - alpha = {0.5 - a:g}: the target has no norm else")
    if a > 0.5 and b < 0.5:
        loss = (1 / (2 * a + 1) - 1) * (1 + b / a - 1 / (2 * a))
        return ComputeOptimal("Ia", loss, 1 / (2 * a + 1))
    if a > 0.5 and 0.5 < b < a:
        return ComputeOptimal("II", -(2 * a + 2 * b - 1) / (2 * (a + b)), b / (a + b))
    if a > 0.5 and b > a:
        return ComputeOptimal("III", (1 - 4 * a) / (4 * a), 0.5)
    if a < 0.5 and b < 0.5:
        return ComputeOptimal("Ib", 0.5 - a - b, 0.5)
    if 1 - 0.5**0.5 < a < 0.5 < b:
        return ComputeOptimal("IVa", -a, 0.5)
    raise NoExactTheory(
        f"alpha = {a:g}, beta = {b:g}: there are exponents inside the phases Ia, Ib, II, III and "
        f"IVa, not on their borders and not in IVb"
    )


def residual_risk(alpha: float, beta: float, inputs: int, features: int) -> float:
    r"""Return the irreducible risk of power-law random features, for large sizes.

    Parameters
    ----------
    alpha, beta : float
        Spectrum j^(-2 alpha) of the inputs and target j^(-beta), j = 1 ... inputs.
    inputs : int
        Number of inputs v.
    features : int
        Number of features d, less than v.

    Returns
    -------
    float
        Half the expected square of the unexplained part of a label.

    Raises
    ------
    FastschedError
        A parameter is out of range.

    Notes
    -----
    The deterministic equivalent: half of
    :math:`\sum_j j^{-2(\alpha + \beta)} / (1 + j^{-2 \alpha} \tau)` where
    :math:`\sum_j j^{-2 \alpha} \tau / (1 + j^{-2 \alpha} \tau) = d`. An approximation, within a
    few per cent of single draws of W at a hundred features. Source: Paquette et al. 2024,
    arXiv:2405.15074.

    Examples
    --------
    >>> from fastsched.theory import residual_risk
    >>> residual_risk(1.0, 0.5, 400, 100) < residual_risk(1.0, 0.5, 400, 50)
    True
    """
    a, b = real("alpha", alpha, above=0), real("beta", beta)
    v = integer("inputs", inputs, minimum=2)
    d = integer("features", features, minimum=1, maximum=v - 1)
    j = np.arange(1, v + 1.0)
    spectrum = j ** (-2 * a)

    def excess(log_tau: float) -> float:
        filled = spectrum * np.exp(log_tau)
        return float(np.sum(filled / (1 + filled))) - d

    # At most all inputs are filled: d / (v - d) / spectrum[-1] suffices.
    high = np.log(d / (v - d) / spectrum[-1])
    tau = np.exp(optimize.brentq(excess, np.log(d / v) - 1, high + 1e-9, xtol=1e-13))
    return float(np.sum(spectrum * j ** (-2 * b) / (1 + spectrum * tau)) / 2)
