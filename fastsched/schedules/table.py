"""Schedules given value by value."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsched.errors import array, failed, integer, items, real, reject
from fastsched.schedules.base import (
    Hidden,
    Schedule,
    Steps,
    Values,
)
from fastsched.spec import refuse_text, spec


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

    def _at(self, t: Steps) -> Values:
        return np.full(t.shape, self.value)


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
    values: Hidden[Sequence[float]] = Hidden()  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        given = items("boundaries", self.boundaries, "a list of integers")
        boundaries = tuple(integer(f"boundaries[{k}]", b, minimum=0) for k, b in enumerate(given))
        if any(b >= after for b, after in itertools.pairwise(boundaries)):
            reject("boundaries", given, "strictly increasing")
        values = items("values", vars(self)["values"], "a list of numbers")
        if len(values) != len(boundaries) + 1:
            reject("values", values, f"len(boundaries) + 1 = {len(boundaries) + 1} numbers")
        self._set(
            boundaries=boundaries,
            values=tuple(real(f"values[{k}]", value) for k, value in enumerate(values)),
        )

    def _at(self, t: Steps) -> Values:
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

    values: Hidden[ArrayLike] = Hidden()  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        allowed = "a non-empty one-dimensional array of numbers"
        self._set(values=array("values", vars(self)["values"], ndim=(1,), allowed=allowed))

    def _at(self, t: Steps) -> Values:
        values = vars(self)["values"]
        return values[np.minimum(t, len(values) - 1)]


@spec
class Function(Schedule):
    r"""Any Python function of the step.

    .. math:: s(t) = f(t)

    Parameters
    ----------
    f : callable
        Takes one step as an `int` and returns a finite number, the same whenever it is asked.

    Raises
    ------
    FastschedError
        `f` is not callable; on evaluation, it fails or does not return a finite number; on
        `to_dict`, TOML and digests, because a function is not data: use `Table(s.values(steps))`
        there.

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

    def _at(self, t: Steps) -> Values:
        return np.array([self._number(step) for step in t.tolist()], dtype=np.float64)

    def _number(self, step: int) -> float:
        try:
            value = self.f(step)
        except Exception as error:
            raise failed("f", error, f" at step {step}") from error
        return real(f"f({step})", value)

    def to_dict(self) -> dict[str, Any]:
        """Raise: a function cannot be written down."""
        refuse_text(self, "; use Table(schedule.values(steps)) instead")

    def __repr__(self) -> str:
        return f"Function(f={getattr(self.f, '__name__', repr(self.f))})"
