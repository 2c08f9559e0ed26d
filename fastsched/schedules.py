"""Schedules: a hyper-parameter as a function of the step.

Step t = 0, 1, ... is the index of the update that uses the value. Every schedule is evaluated in
float64, and past its end it holds its final value. Where libraries disagree the table says which
convention holds here, on five axes: the step that has the final value, what comes after it, where
a warm-up starts and peaks, what the horizon counts and which clock runs, and which side of a
boundary its own step is on.

============== ================= ============= ====================== ================= ===========
Class          Final value at t  After it      Warm-up                Horizon, clock    Boundary
============== ================= ============= ====================== ================= ===========
Constant       0                 holds         none                   none              none
StepDecay      none              goes on       none                   none              t >= k every
MultiStep      last milestone    holds         none                   none              t >= m
Exponential    none              goes on       none                   none              none
Polynomial     steps             holds         none                   steps             none
Linear         steps             holds         none                   steps             none
InverseTime    none              goes on       none                   none              none
InverseSqrt    none              goes on       none                   none              none
PowerLaw       none              goes on       none                   none              none
Cosine         steps             holds         none                   steps             none
Triangular     none              repeats       rises from low at 0,   one cycle is      t >= 2 k h
                                               high at h=half_cycle   2 half_cycle
WarmRestarts   none (the limit   repeats       none                   clock restarts    t >= start
               of each cycle)                                         with each cycle   of the cycle
OneCycle       steps - 1         holds         from start_factor,     steps with the    none
                                               peak at warmup * steps warm-up
                                               - 1
WSD            steps             holds         from 0, peak at warmup steps with warm-  decay starts
                                                                      up and decay      after
                                                                                        steps-decay
Piecewise      last boundary     holds         none                   none              t >= b
Table          len(values) - 1   holds         none                   len(values)       none
Function       the function's    f's own       the function's         the function's    f's own
s.warmup(W)    W + that of s     as s          from start, s(0) at W  s starts after W, as s
                                                                      W not in its steps
a.then(b, at)  at + that of b    as b          as a                   b starts at zero  t >= at
a * b, a + b   the later one     pointwise     pointwise              shared clock      pointwise
s.clip(...)    as s              as s          as s                   as s              as s
============== ================= ============= ====================== ================= ===========

Whose conventions these are: StepDecay, MultiStep, Exponential, Polynomial, Linear: PyTorch and
Optax (Keras drops MultiStep's values one step later, timm one earlier). Cosine: Optax, Keras and
timm (PyTorch's rises again after `steps`). Triangular, WarmRestarts, OneCycle: PyTorch (whose
OneCycleLR raises past the end, and Optax's reaches the final value at `steps`, one step later).
InverseTime: Keras. WSD: lrsched, and Optax's `warmup_cosine_decay_schedule` for the horizon with
the warm-up in it. Piecewise: Optax's side of the boundary, Keras' absolute values. Warm-up as a
composition: PyTorch's SequentialLR, Keras, and timm with `warmup_prefix=True`; it starts at 0, so
at the default the first update moves nothing, as in Transformers. `then`: Optax's
`join_schedules` and PyTorch's SequentialLR.
"""

from __future__ import annotations

import abc
import itertools
import math
import numbers
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.errors import FastschedError, array, choice, integer, real, reject
from fastsched.spec import Spec, spec

_T = TypeVar("_T")
_Steps = NDArray[np.int64]
_Values = NDArray[np.float64]


class Schedule(Spec, abc.ABC):
    """Base of all schedules: a value for every step t = 0, 1, ...

    Schedules compose: `s.warmup(steps)`, `a.then(b, at)`, `0.5 * s`, `a * b`, `a + b`,
    `s.clip(low, high)`. A new one is a `spec` class with `_at`.

    Examples
    --------
    >>> s = 2 * Linear(1.0, steps=4).warmup(2)
    >>> s(1), s.values(7).tolist()
    (1.0, [0.0, 1.0, 2.0, 1.5, 1.0, 0.5, 0.0])
    >>> s
    2.0 * Linear(initial=1.0, steps=4, final=0.0).warmup(steps=2, start=0.0)
    """

    __array_ufunc__ = None  # NumPy numbers leave `number * schedule` to the schedule

    @abc.abstractmethod
    def _at(self, t: _Steps) -> _Values:
        """Return the values at the non-negative steps `t`, one-dimensional."""

    @overload
    def __call__(self, t: int | np.integer) -> float: ...
    @overload
    def __call__(self, t: NDArray[np.integer] | Sequence[int]) -> _Values: ...
    def __call__(self, t: Any) -> float | _Values:
        """Return the value at step `t`, an integer or an array of integers, at least 0.

        Raises
        ------
        FastschedError
            `t` is negative or no integer, or the schedule is not finite there.
        """
        allowed = "an integer or an array of integers, at least 0"
        try:
            given = np.asarray(t)
        except ValueError:
            reject("t", t, allowed)
        if given.dtype.kind not in "iu":
            reject("t", t, allowed)
        steps = given.astype(np.int64).reshape(-1)
        if np.any(steps < 0):
            reject("t", t, allowed)
        with np.errstate(over="ignore", invalid="ignore"):
            values = self._at(steps)
        if not np.all(np.isfinite(values)):
            k = int(np.argmin(np.isfinite(values)))
            raise FastschedError(
                f"{self!r} is {values[k]} at step {steps[k]}: a schedule must be finite"
            )
        return float(values[0]) if given.ndim == 0 else values.reshape(given.shape)

    def values(self, steps: int) -> NDArray[np.float64]:
        """Return the values at t = 0, ..., steps - 1, shape (steps,)."""
        return self(np.arange(integer("steps", steps, minimum=0)))

    def warmup(self, steps: int, start: float = 0.0) -> Warmup:
        """Ramp linearly from `start` to this schedule's first value, then run it: `Warmup`."""
        return Warmup(self, steps, start)

    def then(self, b: Schedule, at: int) -> Then:
        """Switch at step `at` to `b`, whose clock starts there at zero: `Then`."""
        return Then(self, b, at)

    def clip(self, low: float, high: float) -> Clip:
        """Keep the values inside [low, high]: `Clip`."""
        return Clip(self, low, high)

    def __mul__(self, other: float | Schedule) -> Product:
        return Product(self, other) if _is_operand(other) else NotImplemented

    def __rmul__(self, other: float) -> Product:
        return Product(other, self) if _is_operand(other) else NotImplemented

    def __add__(self, other: float | Schedule) -> Sum:
        return Sum(self, other) if _is_operand(other) else NotImplemented

    def __radd__(self, other: float) -> Sum:
        return Sum(other, self) if _is_operand(other) else NotImplemented


def hyperparameter(name: str, value: Any) -> float | Schedule:
    """Return a schedule unchanged and a finite number as a float.

    Raises
    ------
    FastschedError
        `value` is neither.

    Examples
    --------
    >>> hyperparameter("lr", 1)
    1.0
    """
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, numbers.Real):
        reject(name, value, "a finite number or a Schedule")
    return real(name, value)


def _is_operand(value: object) -> bool:
    return isinstance(value, (Schedule, numbers.Real))


def _schedule(name: str, value: Any) -> Schedule:
    if not isinstance(value, Schedule):
        reject(name, value, "a Schedule")
    return value


def _items(name: str, value: Any, allowed: str) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        reject(name, value, allowed)
    return list(value)


def _blend(start: float | _Values, end: float, weight: _Values) -> _Values:
    """Return `start` where the weight is 1 and `end` where it is 0, exactly, linear between."""
    return start * weight + end * (1.0 - weight)


def _power(base: ArrayLike, exponent: ArrayLike) -> _Values:
    return np.power(base, exponent, dtype=np.float64)


def _half_cosine(u: _Values) -> _Values:
    return (1.0 + np.cos(np.pi * u)) / 2.0


def _values_of(value: float | Schedule, t: _Steps) -> float | _Values:
    return value._at(t) if isinstance(value, Schedule) else value


def _wrapped(value: object, *looser: type) -> str:
    return f"({value!r})" if isinstance(value, looser) else repr(value)


class _Hidden(Generic[_T]):
    """A field with the name of a method.

    It is given, printed, compared and stored like any other; the attribute is the method.
    """

    def __init__(self, *default: _T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> _T: ...
    @overload
    def __get__(self, instance: Schedule, owner: type) -> Callable[..., Any]: ...
    def __get__(self, instance: Schedule | None, owner: type) -> _T | Callable[..., Any]:
        if instance is not None:
            return MethodType(getattr(Schedule, self.name), instance)
        if not self.default:  # how a dataclass learns that the field is required
            raise AttributeError(self.name)
        return self.default[0]

    def __set__(self, instance: Schedule, value: _T) -> None:
        vars(instance)[self.name] = value


@spec
class Constant(Schedule):
    r"""The same value at every step.

    .. math:: s(t) = \text{value}

    Parameters
    ----------
    value : float
        The value, finite.

    Raises
    ------
    FastschedError
        `value` is not a finite number.

    Notes
    -----
    Optax's `constant_schedule`.

    Examples
    --------
    >>> Constant(0.1)(1000)
    0.1
    """

    value: float

    def __post_init__(self) -> None:
        self._set(value=real("value", self.value))

    def _at(self, t: _Steps) -> _Values:
        return np.full(t.shape, self.value)


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

    def _at(self, t: _Steps) -> _Values:
        return self.initial * _power(self.factor, t // self.every)


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
        given = _items("milestones", self.milestones, "a list of integers")
        milestones = tuple(integer(f"milestones[{k}]", m, minimum=0) for k, m in enumerate(given))
        if list(milestones) != sorted(milestones):
            reject("milestones", given, "in increasing order")
        self._set(
            initial=real("initial", self.initial),
            milestones=milestones,
            factor=real("factor", self.factor, above=0.0),
        )

    def _at(self, t: _Steps) -> _Values:
        milestones = np.array(self.milestones, dtype=np.int64)
        return self.initial * _power(self.factor, np.searchsorted(milestones, t, side="right"))


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

    def _at(self, t: _Steps) -> _Values:
        return self.initial * _power(self.gamma, t)


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

    def _at(self, t: _Steps) -> _Values:
        remaining = 1.0 - np.minimum(t, self.steps) / self.steps
        return _blend(self.initial, self.final, remaining**self.power)


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

    def _at(self, t: _Steps) -> _Values:
        return _blend(self.initial, self.final, 1.0 - np.minimum(t, self.steps) / self.steps)


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

    def _at(self, t: _Steps) -> _Values:
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

    def _at(self, t: _Steps) -> _Values:
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

    def _at(self, t: _Steps) -> _Values:
        return self.initial * _power(1.0 + t / self.timescale, -self.exponent)


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

    def _at(self, t: _Steps) -> _Values:
        weight = _half_cosine(np.minimum(t, self.steps) / self.steps)
        return _blend(self.initial, self.final, weight)


@spec
class Triangular(Schedule):
    r"""Cyclical rates: up and down in straight lines, again and again.

    .. math:: s(t) = \text{low} + (\text{high} - \text{low}) \, a \,
        \left(1 - \left|\frac{t \bmod 2h}{h} - 1\right|\right), \quad
        a = 1, \; 2^{-\lfloor t / 2h \rfloor}, \; \text{gamma}^t

    with h = half_cycle and a for the modes "triangular", "triangular2", "exp_range".

    Parameters
    ----------
    low, high : float
        Values at the ends of the first rise, low <= high.
    half_cycle : int
        Steps from low to high and from high to low, at least 1.
    mode : {"triangular", "triangular2", "exp_range"}, default "triangular"
        How the amplitude shrinks: not, by half each cycle, or by gamma each step.
    gamma : float, default 1
        Factor per step, greater than 0; only "exp_range" uses it, as in PyTorch.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Smith 2017, arXiv:1506.01186; PyTorch's `CyclicLR` with equal steps up and down.

    Examples
    --------
    >>> Triangular(0.0, 1.0, half_cycle=2, mode="triangular2").values(8).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    """

    low: float
    high: float
    half_cycle: int
    mode: str = "triangular"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        low = real("low", self.low)
        self._set(
            low=low,
            high=real("high", self.high, minimum=low),
            half_cycle=integer("half_cycle", self.half_cycle, minimum=1),
            mode=choice("mode", self.mode, ("triangular", "triangular2", "exp_range")),
            gamma=real("gamma", self.gamma, above=0.0),
        )

    def _at(self, t: _Steps) -> _Values:
        cycle, position = np.divmod(t, 2 * self.half_cycle)
        height = 1.0 - np.abs(position / self.half_cycle - 1.0)
        if self.mode == "triangular2":
            height *= 0.5**cycle
        elif self.mode == "exp_range":
            height *= self.gamma**t
        return self.low + (self.high - self.low) * height


@spec
class WarmRestarts(Schedule):
    r"""Cosine cycles that start again (SGDR).

    .. math:: s(t) = \text{final} + \frac{\text{initial} \cdot \text{decay}^k - \text{final}}{2}
        \left(1 + \cos \frac{\pi (t - S_k)}{S_{k+1} - S_k}\right), \quad
        S_k = \text{period} \sum_{j < k} \text{multiplier}^j \le t < S_{k+1}

    Parameters
    ----------
    initial : float
        Value at the start of the first cycle.
    period : float
        Length of the first cycle in steps, at least 1, not necessarily whole.
    multiplier : float, default 1
        Length of a cycle over that of the one before, at least 1.
    final : float, default 0
        What each cycle tends to; with whole lengths no step has quite this value.
    decay : float, default 1
        Starting value of a cycle over that of the one before, greater than 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed. Shrinking cycles (multiplier < 1) are not: they pile up at
        step period / (1 - multiplier).

    Notes
    -----
    Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5; for decay = 1 and whole numbers PyTorch's
    `CosineAnnealingWarmRestarts`. Keras' `m_mul` decays initial - final instead of initial.

    Examples
    --------
    >>> WarmRestarts(1.0, period=2, multiplier=2).values(7).round(3).tolist()
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    initial: float
    period: float
    multiplier: float = 1.0
    final: float = 0.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        self._set(
            initial=real("initial", self.initial),
            period=real("period", self.period, minimum=1.0),
            multiplier=real("multiplier", self.multiplier, minimum=1.0),
            final=real("final", self.final),
            decay=real("decay", self.decay, above=0.0),
        )

    def _start(self, cycle: _Values) -> _Values:
        growth = self.multiplier - 1.0
        lengths = np.expm1(cycle * math.log1p(growth)) / growth if growth else cycle
        start = self.period * lengths
        whole = np.rint(start)
        # A restart meant for a whole step must not miss it by a rounding error.
        return np.where(np.abs(start - whole) <= 1e-12 * (1.0 + whole), whole, start)

    def _at(self, t: _Steps) -> _Values:
        growth = self.multiplier - 1.0
        elapsed = t / self.period
        cycle = np.floor(np.log1p(growth * elapsed) / math.log1p(growth) if growth else elapsed)
        cycle += self._start(cycle + 1.0) <= t
        start = self._start(cycle)
        u = (t - start) / (self._start(cycle + 1.0) - start)
        return _blend(self.initial * self.decay**cycle, self.final, _half_cosine(u))


@spec
class OneCycle(Schedule):
    r"""One rise to a peak and one longer fall to almost nothing.

    .. math:: s(t) = \text{peak} \cdot \begin{cases}
        f_s + (1 - f_s) \, w(t / p) & t \le p \\
        1 + (f_f - 1) \, w\left((t - p) / (\text{steps} - 1 - p)\right) & t > p
        \end{cases}, \qquad p = \text{warmup} \cdot \text{steps} - 1

    with w(u) = (1 - cos(pi u)) / 2 for "cosine" and u for "linear".

    Parameters
    ----------
    peak : float
        Largest value.
    steps : int
        Number of steps, rise included, at least 1; the final value is at t = steps - 1.
    warmup : float, default 0.3
        Fraction of the steps that rise, in [0, 1]; the peak is at t = warmup * steps - 1.
    start_factor : float, default 1/25
        Value at t = 0 over the peak, at least 0.
    final_factor : float, default 1e-4 * start_factor
        Final value over the peak, at least 0.
    shape : {"cosine", "linear"}, default "cosine"
        Form of both parts.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Smith & Topin 2017, arXiv:1708.07120, as PyTorch's `OneCycleLR` has it with its defaults:
    `div_factor` = 1 / start_factor, `final_div_factor` = start_factor / final_factor.
    Optax's `cosine_onecycle_schedule` peaks and ends a step later. When warmup * steps < 1 the
    peak lies before the first step. PyTorch also cycles the momentum: give it its own schedule.
    The attribute `warmup` is the method; the fraction shows in the repr and in `to_dict()`.

    Examples
    --------
    >>> OneCycle(1.0, steps=10).values(11).round(4).tolist()
    [0.04, 0.52, 1.0, 0.9505, 0.8117, 0.6113, 0.3887, 0.1883, 0.0495, 0.0, 0.0]
    """

    peak: float
    steps: int
    warmup: _Hidden[float] = _Hidden(0.3)  # pyright: ignore[reportIncompatibleMethodOverride]
    start_factor: float = 1 / 25
    final_factor: float | None = None
    shape: str = "cosine"

    def __post_init__(self) -> None:
        start_factor = real("start_factor", self.start_factor, minimum=0.0)
        final_factor = 1e-4 * start_factor if self.final_factor is None else self.final_factor
        self._set(
            peak=real("peak", self.peak),
            steps=integer("steps", self.steps, minimum=1),
            warmup=real("warmup", vars(self)["warmup"], minimum=0.0, maximum=1.0),
            start_factor=start_factor,
            final_factor=real("final_factor", final_factor, minimum=0.0),
            shape=choice("shape", self.shape, ("cosine", "linear")),
        )

    def _at(self, t: _Steps) -> _Values:
        last = self.steps - 1
        top = vars(self)["warmup"] * self.steps - 1.0
        rise = t / top if top > 0 else np.ones(t.shape)
        fall = (t - top) / (last - top) if last > top else np.zeros(t.shape)
        rising = t <= top
        u = np.clip(np.where(rising, 1.0 - rise, fall), 0.0, 1.0)
        away = np.where(rising, self.start_factor, vars(self)["final_factor"])
        weight = _half_cosine(u) if self.shape == "cosine" else 1.0 - u
        return self.peak * (weight + away * (1.0 - weight))


@spec
class WSD(Schedule):
    r"""Warm-up, stable, decay.

    .. math:: s(t) = \begin{cases}
        \text{peak} \cdot t / \text{warmup} & t < \text{warmup} \\
        \text{peak} & \text{warmup} \le t \le \text{steps} - \text{decay} \\
        \text{final} + (\text{peak} - \text{final}) \, w(u)
            & u = \min(1, 1 - (\text{steps} - t) / \text{decay}) > 0
        \end{cases}

    with w(u) = 1 - u for "linear", (1 + cos(pi u)) / 2 for "cosine", 1 - sqrt(u) for "sqrt";
    "exponential" is geometric, peak^(1 - u) final^u.

    Parameters
    ----------
    peak : float
        Value of the stable phase.
    steps : int
        Number of steps with warm-up and decay, at least 1; the final value is at t = steps.
    warmup : int, default 0
        Steps of the linear rise from 0; the peak is at t = warmup.
    decay : int, default 0
        Steps of the fall; warmup + decay <= steps. With 0 the peak is held and `final` unused.
    shape : {"linear", "cosine", "sqrt", "exponential"}, default "linear"
        Form of the fall.
    final : float, default 0
        Value from t = steps on; for "exponential" of the same sign as the peak, not 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed, or warm-up and decay are longer than the steps together.

    Notes
    -----
    Hu et al. 2024, arXiv:2404.06395; "linear" and "sqrt": Hägele et al. 2024, arXiv:2405.18392.
    The attribute `warmup` is the method; the steps show in the repr and in `to_dict()`.

    Examples
    --------
    >>> WSD(1.0, steps=8, warmup=2, decay=4).values(10).tolist()
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    peak: float
    steps: int
    warmup: _Hidden[int] = _Hidden(0)  # pyright: ignore[reportIncompatibleMethodOverride]
    decay: int = 0
    shape: str = "linear"
    final: float = 0.0

    def __post_init__(self) -> None:
        peak, final = real("peak", self.peak), real("final", self.final)
        steps = integer("steps", self.steps, minimum=1)
        warmup = integer("warmup", vars(self)["warmup"], minimum=0, maximum=steps)
        decay = integer("decay", self.decay, minimum=0)
        if warmup + decay > steps:
            reject("decay", decay, f"at most steps - warmup = {steps - warmup}")
        shape = choice("shape", self.shape, ("linear", "cosine", "sqrt", "exponential"))
        if shape == "exponential" and decay and not (peak > 0 < final or peak < 0 > final):
            reject("final", final, "not 0 and of the sign of the peak with shape='exponential'")
        self._set(peak=peak, steps=steps, warmup=warmup, decay=decay, shape=shape, final=final)

    def _at(self, t: _Steps) -> _Values:
        warmup, start = vars(self)["warmup"], self.steps - self.decay
        rise = np.minimum(t / warmup, 1.0) if warmup else np.ones(t.shape)
        if not self.decay:
            return self.peak * rise
        u = np.clip((t - start) / self.decay, 0.0, 1.0)
        if self.shape == "exponential":
            size = abs(self.peak) ** (1.0 - u) * abs(self.final) ** u
            return rise * math.copysign(1.0, self.peak) * size
        if self.shape == "cosine":
            weight = _half_cosine(u)
        else:
            weight = 1.0 - (np.sqrt(u) if self.shape == "sqrt" else u)
        return rise * _blend(self.peak, self.final, weight)


@spec
class Piecewise(Schedule):
    r"""Constant pieces.

    .. math:: s(t) = \text{values}_k, \quad k = \#\{b \in \text{boundaries}: b \le t\}

    Parameters
    ----------
    boundaries : sequence of int
        Steps from which the next value holds, at least 0, strictly increasing.
    values : sequence of float
        One value more than there are boundaries.

    Raises
    ------
    FastschedError
        A parameter is not allowed, or the numbers of boundaries and values do not match.

    Notes
    -----
    Values as in Keras' `PiecewiseConstantDecay`, which changes them one step later; boundaries
    as in Optax's `piecewise_constant_schedule`, which takes factors.

    Examples
    --------
    >>> Piecewise([2, 3], [1.0, 0.5, 0.2]).values(5).tolist()
    [1.0, 1.0, 0.5, 0.2, 0.2]
    """

    boundaries: Sequence[int]
    values: _Hidden[Sequence[float]] = _Hidden()  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        given = _items("boundaries", self.boundaries, "a list of integers")
        boundaries = tuple(integer(f"boundaries[{k}]", b, minimum=0) for k, b in enumerate(given))
        if any(b >= after for b, after in itertools.pairwise(boundaries)):
            reject("boundaries", given, "strictly increasing")
        values = _items("values", vars(self)["values"], "a list of numbers")
        if len(values) != len(boundaries) + 1:
            reject("values", values, f"len(boundaries) + 1 = {len(boundaries) + 1} numbers")
        self._set(
            boundaries=boundaries,
            values=tuple(real(f"values[{k}]", value) for k, value in enumerate(values)),
        )

    def _at(self, t: _Steps) -> _Values:
        boundaries = np.array(self.boundaries, dtype=np.int64)
        return np.array(vars(self)["values"])[np.searchsorted(boundaries, t, side="right")]


@spec
class Table(Schedule):
    r"""Given values.

    .. math:: s(t) = \text{values}_{\min(t, n - 1)}, \quad n = \text{number of values}

    Parameters
    ----------
    values : array_like of float, shape (n,)
        Value at each step, at least one, finite; the last is held.

    Raises
    ------
    FastschedError
        The values are no finite one-dimensional array, or empty.

    Notes
    -----
    fastsched's own. The repr of a table of more than 1000 values is shortened.

    Examples
    --------
    >>> Table([0.3, 0.2, 0.1]).values(5).tolist()
    [0.3, 0.2, 0.1, 0.1, 0.1]
    """

    values: _Hidden[ArrayLike] = _Hidden()  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        allowed = "a non-empty one-dimensional array of numbers"
        self._set(values=array("values", vars(self)["values"], ndim=(1,), allowed=allowed))

    def _at(self, t: _Steps) -> _Values:
        values = vars(self)["values"]
        return values[np.minimum(t, len(values) - 1)]


@spec
class Function(Schedule):
    r"""Any Python function of the step.

    .. math:: s(t) = f(t)

    Parameters
    ----------
    f : callable
        Takes one step as an `int` and returns a finite number; called once for every step.

    Raises
    ------
    FastschedError
        `f` is not callable; on evaluation, it did not return a finite number; `to_dict`, TOML
        and digests, because a function is not data: use `Table(s.values(steps))` there.

    Notes
    -----
    PyTorch's `LambdaLR`, with the value itself instead of a factor. Equal to another `Function`
    if the functions are the same object.

    Examples
    --------
    >>> Function(lambda t: 0.1 / (1 + t)).values(2).tolist()
    [0.1, 0.05]
    """

    f: Callable[[int], Any]

    def __post_init__(self) -> None:
        if not callable(self.f):
            reject("f", self.f, "a function of the step, int -> float")

    def _at(self, t: _Steps) -> _Values:
        return np.array([self._number(step) for step in t.tolist()], dtype=np.float64)

    def _number(self, step: int) -> float:
        value = self.f(step)
        if getattr(value, "ndim", None) == 0:
            value = value.item()
        return real(f"f({step})", value)

    def to_dict(self) -> dict[str, Any]:
        """Raise: a function cannot be written down."""
        raise FastschedError(
            f"{self!r} cannot be written as data or TOML, nor have a digest; "
            "use Table(schedule.values(steps)) instead"
        )

    def __repr__(self) -> str:
        return f"Function(f={getattr(self.f, '__name__', repr(self.f))})"


@spec
class Warmup(Schedule):
    r"""A linear ramp before a schedule; what `s.warmup(steps, start)` returns.

    .. math:: w(t) = \begin{cases}
        \text{start} + (s(0) - \text{start}) \, t / \text{steps} & t < \text{steps} \\
        s(t - \text{steps}) & t \ge \text{steps} \end{cases}

    Parameters
    ----------
    schedule : Schedule
        What follows, on its own clock: s(0) is the value at t = steps.
    steps : int
        Length of the ramp, at least 0 (no ramp); not part of the horizon of `schedule`.
    start : float, default 0
        Value at t = 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Goyal et al. 2017, arXiv:1706.02677, sec. 2.2; PyTorch's `LinearLR` in a `SequentialLR`, but
    with the start as a value, which may be 0.

    Examples
    --------
    >>> Linear(1.0, steps=2).warmup(2).values(5).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    schedule: Schedule
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        self._set(
            schedule=_schedule("schedule", self.schedule),
            steps=integer("steps", self.steps, minimum=0),
            start=real("start", self.start),
        )

    def _at(self, t: _Steps) -> _Values:
        after = self.schedule._at(np.maximum(t - self.steps, 0))
        ramp = self.start + (after - self.start) * (t / max(self.steps, 1))
        return np.where(t < self.steps, ramp, after)

    def __repr__(self) -> str:
        inner = _wrapped(self.schedule, Product, Sum)
        return f"{inner}.warmup(steps={self.steps!r}, start={self.start!r})"


@spec
class Then(Schedule):
    r"""One schedule after another; what `a.then(b, at)` returns.

    .. math:: s(t) = \begin{cases} a(t) & t < \text{at} \\
        b(t - \text{at}) & t \ge \text{at} \end{cases}

    Parameters
    ----------
    a, b : Schedule
        The first and the second schedule; the clock of `b` starts at zero.
    at : int
        First step of `b`, at least 0.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Optax's `join_schedules`, PyTorch's `SequentialLR`.

    Examples
    --------
    >>> Constant(1.0).then(Linear(0.5, steps=2), at=2).values(5).tolist()
    [1.0, 1.0, 0.5, 0.25, 0.0]
    """

    a: Schedule
    b: Schedule
    at: int

    def __post_init__(self) -> None:
        self._set(
            a=_schedule("a", self.a),
            b=_schedule("b", self.b),
            at=integer("at", self.at, minimum=0),
        )

    def _at(self, t: _Steps) -> _Values:
        result = np.empty(t.shape)
        first = t < self.at
        result[first] = self.a._at(t[first])
        result[~first] = self.b._at(t[~first] - self.at)
        return result

    def __repr__(self) -> str:
        return f"{_wrapped(self.a, Product, Sum)}.then({self.b!r}, at={self.at!r})"


class _Pair(Schedule):
    """Two schedules, or a number (written first) and a schedule."""

    a: float | Schedule
    b: float | Schedule

    def __post_init__(self) -> None:
        a, b = hyperparameter("a", self.a), hyperparameter("b", self.b)
        if not isinstance(b, Schedule):
            a, b = b, a
        self._set(a=a, b=_schedule("b", b))


@spec
class Product(_Pair):
    r"""The product at each step; what `a * b` and `0.5 * b` return.

    .. math:: s(t) = a(t) \, b(t)

    Parameters
    ----------
    a, b : float or Schedule
        The factors, at least one a schedule; a number is moved to the front.

    Raises
    ------
    FastschedError
        A factor is neither a finite number nor a schedule, or both are numbers.

    Notes
    -----
    PyTorch's `ChainedScheduler`.

    Examples
    --------
    >>> (Linear(1.0, steps=4) * 2).values(4).tolist()
    [2.0, 1.5, 1.0, 0.5]
    """

    a: float | Schedule
    b: float | Schedule

    def _at(self, t: _Steps) -> _Values:
        return np.asarray(_values_of(self.a, t) * _values_of(self.b, t))

    def __repr__(self) -> str:
        return f"{_wrapped(self.a, Sum)} * {_wrapped(self.b, Product, Sum)}"


@spec
class Sum(_Pair):
    r"""The sum at each step; what `a + b` and `0.5 + b` return.

    .. math:: s(t) = a(t) + b(t)

    Parameters
    ----------
    a, b : float or Schedule
        The terms, at least one a schedule; a number is moved to the front.

    Raises
    ------
    FastschedError
        A term is neither a finite number nor a schedule, or both are numbers.

    Notes
    -----
    fastsched's own.

    Examples
    --------
    >>> (Linear(1.0, steps=2) + 0.5).values(3).tolist()
    [1.5, 1.0, 0.5]
    """

    a: float | Schedule
    b: float | Schedule

    def _at(self, t: _Steps) -> _Values:
        return np.asarray(_values_of(self.a, t) + _values_of(self.b, t))

    def __repr__(self) -> str:
        return f"{self.a!r} + {_wrapped(self.b, Sum)}"


@spec
class Clip(Schedule):
    r"""Bounded values; what `s.clip(low, high)` returns.

    .. math:: c(t) = \min(\max(s(t), \text{low}), \text{high})

    Parameters
    ----------
    schedule : Schedule
        What is clipped.
    low, high : float
        Smallest and largest value, low <= high.

    Raises
    ------
    FastschedError
        A parameter is not allowed.

    Notes
    -----
    Optax's `exponential_decay` has it as `end_value`.

    Examples
    --------
    >>> Linear(1.0, steps=4).clip(0.25, 0.75).values(5).tolist()
    [0.75, 0.75, 0.5, 0.25, 0.25]
    """

    schedule: Schedule
    low: float
    high: float

    def __post_init__(self) -> None:
        low = real("low", self.low)
        self._set(
            schedule=_schedule("schedule", self.schedule),
            low=low,
            high=real("high", self.high, minimum=low),
        )

    def _at(self, t: _Steps) -> _Values:
        return np.clip(self.schedule._at(t), self.low, self.high)

    def __repr__(self) -> str:
        inner = _wrapped(self.schedule, Product, Sum)
        return f"{inner}.clip(low={self.low!r}, high={self.high!r})"
