"""The base of all schedules, and their composition."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsched.errors import FastschedError, integer, is_number, numeric, real, reject
from fastsched.spec import Spec, spec

_T = TypeVar("_T")
Steps = NDArray[np.int64]
Values = NDArray[np.float64]


class Schedule(Spec, abc.ABC):
    """Base of all schedules: a value for every step t = 0, 1, ...

    Schedules compose: `s.warmup(steps)`, `a.then(b, at)`, `0.5 * s`, `a * b`, `a + b`,
    `s.clip(low, high)`. A new one is a `spec` class with `_at`. Numbers may be arrays without
    dimensions, of any library; with xarray write `s * number`, because xarray stores the result
    of `number * s` in a `DataArray` of objects.

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
    def _at(self, t: Steps) -> Values:
        """Return the values at the non-negative steps `t`, one-dimensional."""

    @overload
    def __call__(self, t: int | np.integer) -> float: ...
    @overload
    def __call__(self, t: NDArray[np.integer] | Sequence[int]) -> Values: ...
    def __call__(self, t: Any) -> float | Values:
        """Return the value at step `t`, an integer or an array of integers, at least 0.

        Raises
        ------
        FastschedError
            `t` is negative or no integer, or the schedule is not finite there.
        """
        allowed = "an integer or an array of integers, at least 0"
        given = numeric("t", t, allowed, "iu")
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
    if not is_number(value):
        reject(name, value, "a finite number or a Schedule")
    return real(name, value)


def _is_operand(value: object) -> bool:
    return isinstance(value, Schedule) or is_number(value)


def checked_schedule(name: str, value: Any) -> Schedule:
    """Return a schedule unchanged; anything else is an error."""
    if not isinstance(value, Schedule):
        reject(name, value, "a Schedule")
    return value


def blend(start: float | Values, end: float, weight: Values) -> Values:
    """Return `start` where the weight is 1 and `end` where it is 0, exactly, linear between."""
    return start * weight + end * (1.0 - weight)


def float_power(base: ArrayLike, exponent: ArrayLike) -> Values:
    """Return base ** exponent in float64, also for integers."""
    return np.power(base, exponent, dtype=np.float64)


def half_cosine(u: Values) -> Values:
    """Return (1 + cos(pi u)) / 2, which falls from 1 at u = 0 to 0 at u = 1."""
    return (1.0 + np.cos(np.pi * u)) / 2.0


def _values_of(value: float | Schedule, t: Steps) -> float | Values:
    return value._at(t) if isinstance(value, Schedule) else value


def _wrapped(value: object, *looser: type) -> str:
    return f"({value!r})" if isinstance(value, looser) else repr(value)


class Hidden(Generic[_T]):
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
            schedule=checked_schedule("schedule", self.schedule),
            steps=integer("steps", self.steps, minimum=0),
            start=real("start", self.start),
        )

    def _at(self, t: Steps) -> Values:
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
            a=checked_schedule("a", self.a),
            b=checked_schedule("b", self.b),
            at=integer("at", self.at, minimum=0),
        )

    def _at(self, t: Steps) -> Values:
        result = np.empty(t.shape)
        first = t < self.at
        result[first] = self.a._at(t[first])
        result[~first] = self.b._at(t[~first] - self.at)
        return result

    def __repr__(self) -> str:
        return f"{_wrapped(self.a, Product, Sum)}.then({self.b!r}, at={self.at!r})"


@spec
class _Pair(Schedule):
    """Two schedules, or a number (written first) and a schedule."""

    a: float | Schedule
    b: float | Schedule

    def __post_init__(self) -> None:
        a, b = hyperparameter("a", self.a), hyperparameter("b", self.b)
        if not isinstance(b, Schedule):
            a, b = b, a
        self._set(a=a, b=checked_schedule("b", b))


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

    def _at(self, t: Steps) -> Values:
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

    def _at(self, t: Steps) -> Values:
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
            schedule=checked_schedule("schedule", self.schedule),
            low=low,
            high=real("high", self.high, minimum=low),
        )

    def _at(self, t: Steps) -> Values:
        return np.clip(self.schedule._at(t), self.low, self.high)

    def __repr__(self) -> str:
        inner = _wrapped(self.schedule, Product, Sum)
        return f"{inner}.clip(low={self.low!r}, high={self.high!r})"
