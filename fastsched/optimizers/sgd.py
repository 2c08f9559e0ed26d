"""Stochastic gradient descent: momentum in both conventions, Nesterov's form, weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import choice, reject
from fastsched.kernels.device import device
from fastsched.optimizers.base import NOT_NEGATIVE, POSITIVE, Range, Values, WeightDecay
from fastsched.schedules import Schedule
from fastsched.spec import spec


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


@spec
class SGD(WeightDecay):
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
        Momentum mu in (-1, 1). Where a schedule is 0 the velocity becomes the gradient, v <- g,
        as in Optax; PyTorch skips its momentum buffer there and resumes from it later.
    nesterov : bool, default False
        Nesterov's form; theta is then the look-ahead point, as in PyTorch and Keras.
    weight_decay : float or Schedule, default 0
        Weight decay lambda, at least 0.
    decay : {"coupled", "lr", "schedule", "constant"}, default "coupled"
        How the weight decay acts. "coupled": lambda theta is added to the gradient (L2). The
        others are decoupled: theta is multiplied, before the gradient step and with the gradient
        taken at the undecayed point, by 1 - eta_t lambda_t ("lr", PyTorch's AdamW),
        1 - (eta_t / eta_max) lambda_t ("schedule", Loshchilov & Hutter) or 1 - lambda_t
        ("constant"). eta_max is the largest rate over the study's steps: the base rate, which
        Loshchilov & Hutter's schedule multiplies.
    velocity : {"pytorch", "classical"}, default "pytorch"
        Where the learning rate enters: outside the velocity (PyTorch, Optax) or inside (Polyak,
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

    RANGES: ClassVar[dict[str, Range]] = {
        "lr": POSITIVE,
        "momentum": Range("in the open interval (-1, 1)", lambda x: np.abs(x) < 1),
        "weight_decay": NOT_NEGATIVE,
    }
    VELOCITIES: ClassVar = ("pytorch", "classical")

    def __post_init__(self) -> None:
        if not isinstance(self.nesterov, (bool, np.bool_)):
            reject("nesterov", self.nesterov, "True or False")
        choice("velocity", self.velocity, self.VELOCITIES)
        self._set(nesterov=bool(self.nesterov))
        super().__post_init__()

    @property
    def slots(self) -> int:
        return 0 if self.momentum == 0.0 else 1

    @property
    def velocity_sign(self) -> float:
        return 1.0 if self.velocity == "pytorch" else -1.0

    @property
    def update_function(self) -> Any:
        return momentum_update if self.slots else sgd_update

    def coefficients(self, steps: int) -> NDArray[np.float64]:
        values = self.hyperparameters(steps)
        lr, momentum = values["lr"], values["momentum"]
        coupled, shrinkage = self.decays(values)
        zeros, ones = np.zeros(steps), np.ones(steps)
        if self.slots == 0:
            return np.stack([-shrinkage - lr * coupled, -lr], axis=1)
        if self.velocity == "pytorch":
            inner, outer = ones, -lr * (momentum if self.nesterov else ones)
        else:
            inner, outer = -lr, momentum if self.nesterov else ones
        rate = -lr if self.nesterov else zeros
        drift = rate * coupled - shrinkage
        return np.stack([momentum, inner, inner * coupled, drift, outer, rate], axis=1)

    def reference_step(
        self,
        theta: NDArray[np.floating],
        state: Sequence[NDArray[np.floating]],
        gradient: NDArray[np.floating],
        hyperparameters: Values,
        t: int,
    ) -> tuple[NDArray[np.floating], ...]:
        lr, mu = hyperparameters["lr"][t], hyperparameters["momentum"][t]
        theta, gradient = self.reference_decay(theta, gradient, hyperparameters, t)
        velocity = state[0] if state else np.zeros_like(theta)
        if self.velocity == "pytorch":
            velocity = mu * velocity + gradient
            step = gradient + mu * velocity if self.nesterov else velocity
            theta = theta - lr * step
        else:
            velocity = mu * velocity - lr * gradient
            theta = theta + (mu * velocity - lr * gradient if self.nesterov else velocity)
        return (theta, velocity)[: 1 + len(state)]
