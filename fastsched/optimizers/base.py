"""What every optimizer offers: its update for the kernel, and its coefficients step by step."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, choice, reject
from fastsched.schedules import Schedule, hyperparameter
from fastsched.spec import Spec

Values = dict[str, NDArray[np.float64]]
"""The values of hyper-parameters by name, each of shape (steps,)."""


class Range(NamedTuple):
    """The values a hyper-parameter may have, in words and as a test of an array."""

    allowed: str
    holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]


POSITIVE = Range("greater than 0", lambda x: x > 0)
NOT_NEGATIVE = Range("at least 0", lambda x: x >= 0)
FRACTION = Range("in the interval [0, 1)", lambda x: (x >= 0) & (x < 1))


class Optimizer(Spec, abc.ABC):
    """Base of all optimizers.

    A kernel sees an optimizer as a device function that maps a coordinate's theta, its state
    (`slots` numbers, zero at the start) and its gradient to their new values, and as a table
    with one row of coefficients per step. Schedules never reach a kernel.
    """

    RANGES: ClassVar[dict[str, Range]]
    """Of the hyper-parameters that may be schedules; one may touch 0 where a number may not."""

    ROTATION_EQUIVARIANT: ClassVar[bool] = True
    """Whether the update of rotated parameters is the rotated update."""

    def __post_init__(self) -> None:
        self._set(**{name: hyperparameter(name, getattr(self, name)) for name in self.RANGES})
        numbers = {n: v for n in self.RANGES if isinstance(v := getattr(self, n), float)}
        self._check({name: np.array([value]) for name, value in numbers.items()})

    def _check(self, values: Values) -> None:
        for name, value in values.items():
            given, allowed = getattr(self, name), self.RANGES[name]
            if allowed is POSITIVE and isinstance(given, Schedule):
                allowed = NOT_NEGATIVE
            bad = ~allowed.holds(value)
            if not np.any(bad):
                continue
            if not isinstance(given, Schedule):
                reject(name, given, allowed.allowed)
            t = int(np.argmax(bad))
            raise FastschedError(
                f"{name} = {given!r} is {value[t]:g} at step {t}: {name} must be {allowed.allowed}"
            )

    @property
    @abc.abstractmethod
    def slots(self) -> int:
        """How many numbers of state each coordinate has besides theta."""

    @property
    def velocity_sign(self) -> float:
        """1 where the first number of state is a sum of gradients, -1 where it is of steps."""
        return 1.0

    @property
    @abc.abstractmethod
    def update_function(self) -> Any:
        """The device function `(x, *state, origin, gradient, *coefficients) -> (x, *state)`.

        x is the displacement of theta from the landscape's origin, so theta = x + origin.
        """

    @abc.abstractmethod
    def coefficients(self, steps: int) -> NDArray[np.float64]:
        """Return the coefficients of every step, shape (steps, coefficients).

        Raises
        ------
        FastschedError
            A schedule leaves its allowed range within `steps`.
        """

    @property
    def idle_coefficients(self) -> NDArray[np.float64]:
        """The coefficients of an update that leaves theta as it is, shape (coefficients,)."""
        return np.zeros(self.coefficients(1).shape[1])

    @abc.abstractmethod
    def reference_step(
        self,
        theta: NDArray[np.floating],
        state: Sequence[NDArray[np.floating]],
        gradient: NDArray[np.floating],
        hyperparameters: Values,
        t: int,
    ) -> tuple[NDArray[np.floating], ...]:
        """Return theta and state after step `t` by plain NumPy.

        Parameters
        ----------
        theta, gradient : arrays of shape (n, d)
        state : sequence of `slots` arrays of shape (n, d)
        hyperparameters : dict of arrays of shape (steps,)
            Of `hyperparameters`.
        t : int
        """

    def hyperparameters(self, steps: int) -> Values:
        """Return each hyper-parameter's value at every step, shape (steps,).

        Raises
        ------
        FastschedError
            A schedule leaves its allowed range within `steps`.
        """
        given = {name: getattr(self, name) for name in self.RANGES}
        values = {
            name: value.values(steps) if isinstance(value, Schedule) else np.full(steps, value)
            for name, value in given.items()
        }
        self._check(values)
        return values

    def decays(self, values: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weight decay in the gradient, and that by which theta shrinks, by step."""
        zeros = np.zeros(len(values["lr"]))
        return zeros, zeros

    def reference_decay(
        self, theta: NDArray[np.floating], gradient: NDArray[np.floating], values: Values, t: int
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return theta and gradient after the weight decay of step `t` by plain NumPy."""
        return theta, gradient


class WeightDecay(Optimizer):
    """An optimizer with `weight_decay`, and `decay`, the rule by which it acts."""

    lr: float | Schedule
    weight_decay: float | Schedule
    decay: str

    DECAYS: ClassVar = ("coupled", "lr", "schedule", "constant")

    def __post_init__(self) -> None:
        choice("decay", self.decay, self.DECAYS)
        super().__post_init__()

    def decays(self, values: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        decay = values["weight_decay"]
        zeros = np.zeros_like(decay)
        if self.decay == "coupled":
            return decay, zeros
        return zeros, self._scale(values["lr"]) * decay

    def reference_decay(
        self, theta: NDArray[np.floating], gradient: NDArray[np.floating], values: Values, t: int
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        decay = values["weight_decay"][t]
        if self.decay == "coupled":
            return theta, gradient + decay * theta
        return theta * (1 - self._scale(values["lr"])[t] * decay), gradient

    def _scale(self, lr: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factor of lambda in the decoupled shrinkage, by step."""
        if self.decay == "lr":
            return lr
        if self.decay == "schedule":
            # The base rate is the peak; a rate that is zero throughout shrinks nothing.
            return lr / (np.max(lr, initial=0.0) or 1.0)
        return np.ones_like(lr)
