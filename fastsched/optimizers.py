"""Optimizers: their parameters, and their update of one coordinate as a device function."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, choice, reject
from fastsched.kernels.device import device
from fastsched.schedules import Schedule, hyperparameter
from fastsched.spec import Spec, spec


class Optimizer(Spec, abc.ABC):
    """Base of all optimizers.

    A kernel sees an optimizer as a device function that maps a coordinate's theta, its state
    (`slots` numbers, zero at the start) and its gradient to their new values, and as a table
    with one row of coefficients per step. Schedules never reach a kernel.
    """

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

    @abc.abstractmethod
    def reference_step(
        self,
        theta: NDArray[np.floating],
        state: Sequence[NDArray[np.floating]],
        gradient: NDArray[np.floating],
        hyperparameters: dict[str, NDArray[np.float64]],
        t: int,
    ) -> tuple[NDArray[np.floating], ...]:
        """Return theta and state after step `t` by plain NumPy."""

    def hyperparameters(self, steps: int) -> dict[str, NDArray[np.float64]]:
        """Return each hyper-parameter's value at every step, shape (steps,)."""
        return {
            name: value.values(steps) if isinstance(value, Schedule) else np.full(steps, value)
            for name, value in self._fields().items()
            if isinstance(value, (float, Schedule))
        }


@device
def sgd_update(x, origin, gradient, drift, rate):
    """Return x + drift theta + rate g: SGD with any weight decay."""
    return (x + (drift * (x + origin) + rate * gradient),)


@device
def momentum_update(
    x, velocity, origin, gradient, momentum, inner, inner_decay, drift, outer, rate
):
    """Return x and v after v <- mu v + inner g + inner_decay theta, x <- x + drift theta + ...

    ... + outer v + rate g: heavy ball, classical momentum and their Nesterov forms.
    """
    theta = x + origin
    velocity = momentum * velocity + (inner * gradient + inner_decay * theta)
    return x + (drift * theta + (outer * velocity + rate * gradient)), velocity


def _check_range(
    name: str, value: float | Schedule, values: NDArray[np.float64], allowed: str, ok: Any
) -> None:
    bad = ~ok(values)
    if np.any(bad):
        t = int(np.argmax(bad))
        if isinstance(value, Schedule):
            raise FastschedError(
                f"{name} = {value!r} is {values[t]:g} at step {t}: {name} must be {allowed}"
            )
        reject(name, value, allowed)


@spec
class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum and weight decay.

    With learning rate eta, momentum mu, weight decay lambda and gradient g, `velocity="pytorch"`
    keeps the rate outside the velocity and `velocity="classical"` inside:

    .. math::
        \text{pytorch:}\quad & v \leftarrow \mu_t v + g, \quad
            \theta \leftarrow \theta - \eta_t v
            \quad [\text{Nesterov: } \theta \leftarrow \theta - \eta_t (g + \mu_t v)] \\
        \text{classical:}\quad & v \leftarrow \mu_t v - \eta_t g, \quad
            \theta \leftarrow \theta + v
            \quad [\text{Nesterov: } \theta \leftarrow \theta + \mu_t v - \eta_t g]

    The two are the same at a constant rate and differ whenever it changes.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate eta, positive; a schedule may touch 0.
    momentum : float or Schedule, default 0
        Momentum mu in (-1, 1).
    nesterov : bool, default False
        Nesterov's form; theta is then the look-ahead point, as in PyTorch and Keras.
    weight_decay : float or Schedule, default 0
        Weight decay lambda, at least 0.
    decay : {"coupled", "lr", "schedule", "constant"}, default "coupled"
        How the weight decay acts. "coupled": lambda theta is added to the gradient (L2). The
        others are decoupled: theta is multiplied, before the gradient step and with the gradient
        taken at the undecayed point, by 1 - eta_t lambda_t ("lr", PyTorch's AdamW),
        1 - (eta_t / eta_0) lambda_t ("schedule", Loshchilov & Hutter) or 1 - lambda_t
        ("constant").
    velocity : {"pytorch", "classical"}, default "pytorch"
        Where the learning rate stands: outside the velocity (PyTorch, Optax) or inside (Polyak,
        Sutskever, Keras).

    Raises
    ------
    FastschedError
        A number out of range at construction; a schedule out of range when the study is made.

    Notes
    -----
    Sources: Polyak, USSR Comput. Math. Math. Phys. 4 (1964) 1; Sutskever et al., ICML 2013,
    eqs. 1-4; `torch.optim.SGD`; Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101.

    Examples
    --------
    >>> SGD(lr=0.1, momentum=0.9).slots
    1
    """

    lr: float | Schedule
    momentum: float | Schedule = 0.0
    nesterov: bool = False
    weight_decay: float | Schedule = 0.0
    decay: str = "coupled"
    velocity: str = "pytorch"

    DECAYS: ClassVar = ("coupled", "lr", "schedule", "constant")
    VELOCITIES: ClassVar = ("pytorch", "classical")

    def __post_init__(self) -> None:
        if not isinstance(self.nesterov, (bool, np.bool_)):
            reject("nesterov", self.nesterov, "True or False")
        choice("decay", self.decay, self.DECAYS)
        choice("velocity", self.velocity, self.VELOCITIES)
        self._set(
            nesterov=bool(self.nesterov),
            **{n: hyperparameter(n, getattr(self, n)) for n in ("lr", "momentum", "weight_decay")},
        )
        numbers = self._fields()
        self._check({n: np.array([v]) for n, v in numbers.items() if isinstance(v, float)})

    def _check(self, values: dict[str, NDArray[np.float64]]) -> None:
        ranges: dict[str, tuple[str, Any]] = {
            "lr": ("at least 0", lambda x: x >= 0)
            if isinstance(self.lr, Schedule)
            else ("greater than 0", lambda x: x > 0),
            "momentum": ("in the open interval (-1, 1)", lambda x: np.abs(x) < 1),
            "weight_decay": ("at least 0", lambda x: x >= 0),
        }
        for name, value in values.items():
            _check_range(name, getattr(self, name), value, *ranges[name])

    @property
    def slots(self) -> int:
        return 0 if self.momentum == 0.0 else 1

    @property
    def velocity_sign(self) -> float:
        return 1.0 if self.velocity == "pytorch" else -1.0

    @property
    def update_function(self) -> Any:
        return momentum_update if self.slots else sgd_update

    def hyperparameters(self, steps: int) -> dict[str, NDArray[np.float64]]:
        values = super().hyperparameters(steps)
        self._check(values)
        if self.decay == "schedule" and values["lr"][0] == 0:
            raise FastschedError(
                f'decay = "schedule" divides by the learning rate of step 0, which is 0 for '
                f"lr = {self.lr!r}: start above 0, or use another decay"
            )
        return values

    def decoupled_shrinkage(self, values: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return by how much decoupled decay shrinks theta at each step (its factor less one)."""
        decay = values["weight_decay"]
        if self.decay == "coupled":
            return np.zeros_like(decay)
        if self.decay == "lr":
            return -values["lr"] * decay
        if self.decay == "schedule":
            return -(values["lr"] / values["lr"][0]) * decay
        return -decay

    def coefficients(self, steps: int) -> NDArray[np.float64]:
        values = self.hyperparameters(steps)
        lr, momentum = values["lr"], values["momentum"]
        shrinkage = self.decoupled_shrinkage(values)
        coupled = values["weight_decay"] if self.decay == "coupled" else np.zeros(steps)
        zeros, ones = np.zeros(steps), np.ones(steps)
        if self.slots == 0:
            return np.stack([shrinkage - lr * coupled, -lr], axis=1)
        if self.velocity == "pytorch":
            inner, outer = ones, -lr * (momentum if self.nesterov else ones)
        else:
            inner, outer = -lr, momentum if self.nesterov else ones
        rate = -lr if self.nesterov else zeros
        drift = shrinkage + rate * coupled
        return np.stack([momentum, inner, inner * coupled, drift, outer, rate], axis=1)

    def reference_step(
        self,
        theta: NDArray[np.floating],
        state: Sequence[NDArray[np.floating]],
        gradient: NDArray[np.floating],
        hyperparameters: dict[str, NDArray[np.float64]],
        t: int,
    ) -> tuple[NDArray[np.floating], ...]:
        lr, mu, decay = (hyperparameters[n][t] for n in ("lr", "momentum", "weight_decay"))
        if self.decay == "coupled":
            gradient = gradient + decay * theta
        elif self.decay == "lr":
            theta = theta * (1 - lr * decay)
        elif self.decay == "schedule":
            theta = theta * (1 - lr / hyperparameters["lr"][0] * decay)
        else:
            theta = theta * (1 - decay)
        velocity = state[0] if state else np.zeros_like(theta)
        if self.velocity == "pytorch":
            velocity = mu * velocity + gradient
            step = gradient + mu * velocity if self.nesterov else velocity
            theta = theta - lr * step
        else:
            velocity = mu * velocity - lr * gradient
            theta = theta + (mu * velocity - lr * gradient if self.nesterov else velocity)
        return (theta, velocity)[: 1 + len(state)]
