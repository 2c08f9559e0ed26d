"""Schedules that decay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastsched.errors import integer, items, real, reject
from fastsched.schedules.base import (
    Schedule,
    Steps,
    Values,
    blend,
    float_power,
    half_cosine,
)
from fastsched.spec import spec


@spec
class StepDecay(Schedule):
    r"""A factor every so many steps.

    .. math:: s(t) = \text{initial} \cdot \text{factor}^{\lfloor t / \text{every} \rfloor}

    Parameters
    ----------
    initial : float
        Value at t = 0.
    every : int
        Steps between drops, at least 1; the first drop is at t = every.
    factor : float, default 0.1
        Greater than 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    PyTorch's `StepLR`.

    Examples
    --------
    >>> StepDecay(8.0, every=2, factor=0.5).values(6).tolist()
    [8.0, 8.0, 4.0, 4.0, 2.0, 2.0]
    """

    initial: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._set(
            initial=real("initial", self.initial),
            every=integer("every", self.every, minimum=1),
            factor=real("factor", self.factor, above=0.0),
        )

    def _at(self, t: Steps) -> Values:
        return self.initial * float_power(self.factor, t // self.every)


@spec
class MultiStep(Schedule):
    r"""A factor at each milestone.

    .. math:: s(t) = \text{initial} \cdot \text{factor}^{\#\{m \in \text{milestones}: m \le t\}}

    Parameters
    ----------
    initial : float
        Value before the first milestone.
    milestones : sequence of int
        Steps from which the value is multiplied, at least 0, in order; repeats multiply again.
    factor : float, default 0.1
        Greater than 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed, or the milestones are out of order.

    Notes
    -----
    PyTorch's `MultiStepLR`: the drop is at t = m (Keras: m + 1, timm: m - 1).

    Examples
    --------
    >>> MultiStep(8.0, [1, 3, 3], factor=0.5).values(5).tolist()
    [8.0, 4.0, 4.0, 1.0, 1.0]
    """

    initial: float
    milestones: Sequence[int]
    factor: float = 0.1

    def __post_init__(self) -> None:
        given = items("milestones", self.milestones, "a list of integers")
        milestones = tuple(integer(f"milestones[{k}]", m, minimum=0) for k, m in enumerate(given))
        if list(milestones) != sorted(milestones):
            reject("milestones", given, "in increasing order")
        self._set(
            initial=real("initial", self.initial),
            milestones=milestones,
            factor=real("factor", self.factor, above=0.0),
        )

    def _at(self, t: Steps) -> Values:
        milestones = np.array(self.milestones, dtype=np.int64)
        return self.initial * float_power(self.factor, np.searchsorted(milestones, t, side="right"))


@spec
class Exponential(Schedule):
    r"""A factor at every step.

    .. math:: s(t) = \text{initial} \cdot \text{gamma}^t

    Parameters
    ----------
    initial : float
        Value at t = 0.
    gamma : float
        Factor per step, greater than 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed; on evaluation, the value overflows (gamma > 1).

    Notes
    -----
    PyTorch's `ExponentialLR`.

    Examples
    --------
    >>> Exponential(8.0, gamma=0.5).values(4).tolist()
    [8.0, 4.0, 2.0, 1.0]
    """

    initial: float
    gamma: float

    def __post_init__(self) -> None:
        self._set(initial=real("initial", self.initial), gamma=real("gamma", self.gamma, above=0.0))

    def _at(self, t: Steps) -> Values:
        return self.initial * float_power(self.gamma, t)


@spec
class Polynomial(Schedule):
    r"""A power of the remaining fraction of the steps.

    .. math:: s(t) = \text{final} + (\text{initial} - \text{final})
        \left(1 - \min(t, \text{steps}) / \text{steps}\right)^{\text{power}}

    Parameters
    ----------
    initial : float
        Value at t = 0.
    steps : int
        Step with the final value, at least 1.
    power : float, default 1
        Greater than 0.
    final : float, default 0
        Value from t = steps on.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    PyTorch's `PolynomialLR` and Optax's `polynomial_schedule`.

    Examples
    --------
    >>> Polynomial(1.0, steps=4, power=2).values(6).tolist()
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    initial: float
    steps: int
    power: float = 1.0
    final: float = 0.0

    def __post_init__(self) -> None:
        self._set(
            initial=real("initial", self.initial),
            steps=integer("steps", self.steps, minimum=1),
            power=real("power", self.power, above=0.0),
            final=real("final", self.final),
        )

    def _at(self, t: Steps) -> Values:
        remaining = 1.0 - np.minimum(t, self.steps) / self.steps
        return blend(self.initial, self.final, remaining**self.power)


@spec
class Linear(Schedule):
    r"""A straight line; `Polynomial` with power 1.

    .. math:: s(t) = \text{initial}
        + (\text{final} - \text{initial}) \min(t, \text{steps}) / \text{steps}

    Parameters
    ----------
    initial : float
        Value at t = 0.
    steps : int
        Step with the final value, at least 1.
    final : float, default 0
        Value from t = steps on.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Optax's `linear_schedule`. Worst-case optimal for the last iterate (Defazio et al. 2023,
    arXiv:2310.07831).

    Examples
    --------
    >>> Linear(1.0, steps=4).values(6).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        self._set(
            initial=real("initial", self.initial),
            steps=integer("steps", self.steps, minimum=1),
            final=real("final", self.final),
        )

    def _at(self, t: Steps) -> Values:
        return blend(self.initial, self.final, 1.0 - np.minimum(t, self.steps) / self.steps)


@spec
class InverseTime(Schedule):
    r"""Inverse to the step: Robbins and Monro's rate.

    .. math:: s(t) = \alpha / (t + \beta)

    Parameters
    ----------
    alpha : float
        Numerator.
    beta : float, default 1
        Offset in steps, greater than 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Robbins & Monro, Ann. Math. Stat. 22 (1951) 400. Keras' `InverseTimeDecay(b, n, r)` is
    alpha = b n / r, beta = n / r.

    Examples
    --------
    >>> InverseTime(2.0, beta=2.0).values(3).tolist()
    [1.0, 0.6666666666666666, 0.5]
    """

    alpha: float
    beta: float = 1.0

    def __post_init__(self) -> None:
        self._set(alpha=real("alpha", self.alpha), beta=real("beta", self.beta, above=0.0))

    def _at(self, t: Steps) -> Values:
        return np.divide(self.alpha, t + self.beta, dtype=np.float64)


@spec
class InverseSqrt(Schedule):
    r"""Inverse to the square root of the step.

    .. math:: s(t) = \alpha / \sqrt{t + \beta}

    Parameters
    ----------
    alpha : float
        Numerator.
    beta : float, default 1
        Offset in steps, greater than 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Vaswani et al. 2017, arXiv:1706.03762, eq. 3, without its warm-up: for that of W steps take
    `InverseSqrt(alpha, beta=W).warmup(W)`, with peak alpha / sqrt(W).

    Examples
    --------
    >>> InverseSqrt(1.0)(3)
    0.5
    """

    alpha: float
    beta: float = 1.0

    def __post_init__(self) -> None:
        self._set(alpha=real("alpha", self.alpha), beta=real("beta", self.beta, above=0.0))

    def _at(self, t: Steps) -> Values:
        return np.divide(self.alpha, np.sqrt(t + self.beta), dtype=np.float64)


@spec
class PowerLaw(Schedule):
    r"""A power of the step beyond a time scale.

    .. math:: s(t) = \text{initial} \cdot (1 + t / \text{timescale})^{-\text{exponent}}

    Parameters
    ----------
    initial : float
        Value at t = 0.
    exponent : float
        Decay exponent; a negative one grows.
    timescale : float, default 1
        Steps before the decay sets in, greater than 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Exponents in (1/2, 1] are those of Robbins & Monro, Ann. Math. Stat. 22 (1951) 400.

    Examples
    --------
    >>> PowerLaw(1.0, exponent=0.5, timescale=10)(30)
    0.5
    """

    initial: float
    exponent: float
    timescale: float = 1.0

    def __post_init__(self) -> None:
        self._set(
            initial=real("initial", self.initial),
            exponent=real("exponent", self.exponent),
            timescale=real("timescale", self.timescale, above=0.0),
        )

    def _at(self, t: Steps) -> Values:
        return self.initial * float_power(1.0 + t / self.timescale, -self.exponent)


@spec
class Cosine(Schedule):
    r"""Half a period of a cosine.

    .. math:: s(t) = \text{final} + \frac{\text{initial} - \text{final}}{2}
        \left(1 + \cos \frac{\pi \min(t, \text{steps})}{\text{steps}}\right)

    Parameters
    ----------
    initial : float
        Value at t = 0.
    steps : int
        Step with the final value, at least 1.
    final : float, default 0
        Value from t = steps on.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, one cycle. Optax and Keras; PyTorch's
    `CosineAnnealingLR` agrees up to t = steps and then rises again.

    Examples
    --------
    >>> Cosine(1.0, steps=3).values(5).round(9).tolist()
    [1.0, 0.75, 0.25, 0.0, 0.0]
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        self._set(
            initial=real("initial", self.initial),
            steps=integer("steps", self.steps, minimum=1),
            final=real("final", self.final),
        )

    def _at(self, t: Steps) -> Values:
        weight = half_cosine(np.minimum(t, self.steps) / self.steps)
        return blend(self.initial, self.final, weight)
