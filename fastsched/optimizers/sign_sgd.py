"""SignSGD: steps of one length, by the sign of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.device import device
from fastsched.optimizers.base import FRACTION, POSITIVE, Optimizer, Range, Values
from fastsched.schedules import Schedule
from fastsched.spec import spec


@device
def _sign(x):
    # Zero stays zero, and what is not a number stays so.
    one = type(x)(1)
    return one if x > 0 else (-one if x < 0 else x)


@device
def sign_update(x, origin, gradient, rate):
    """Return x + rate sign(g)."""
    return (x + rate * _sign(gradient),)


@device
def sign_momentum_update(x, mean, origin, gradient, momentum, new, rate):
    """Return x and m after m <- momentum m + new g, x <- x + rate sign(m)."""
    mean = momentum * mean + new * gradient
    return x + rate * _sign(mean), mean


@spec
class SignSGD(Optimizer):
    r"""Descent by the sign of the stochastic gradient, or of its running mean.

    With learning rate eta, momentum mu and gradient g,

    .. math::
        m \leftarrow \mu_t m + (1 - \mu_t) g, \quad
        \theta \leftarrow \theta - \eta_t \operatorname{sign}(m)

    with sign(0) = 0. The update is not rotation-equivariant: a landscape that runs in other
    coordinates than its own is refused.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate eta, the length of a coordinate's step, positive; a schedule may touch 0.
    momentum : float or Schedule, default 0
        Momentum mu in [0, 1).

    Raises
    ------
    FastschedError
        A number out of range at construction; a schedule out of range when the study is made.

    Notes
    -----
    Source: Bernstein et al., ICML 2018, arXiv:1802.04434, algorithms 1 (signSGD) and 2 (Signum).

    Examples
    --------
    >>> SignSGD(lr=0.01, momentum=0.9).slots
    1
    """

    lr: float | Schedule
    momentum: float | Schedule = 0.0

    RANGES: ClassVar[dict[str, Range]] = {"lr": POSITIVE, "momentum": FRACTION}
    ROTATION_EQUIVARIANT: ClassVar[bool] = False

    @property
    def slots(self) -> int:
        return 0 if self.momentum == 0.0 else 1

    @property
    def update_function(self) -> Any:
        return sign_momentum_update if self.slots else sign_update

    def coefficients(self, steps: int) -> NDArray[np.float64]:
        values = self.hyperparameters(steps)
        rate, momentum = -values["lr"], values["momentum"]
        columns = [momentum, 1 - momentum, rate] if self.slots else [rate]
        return np.stack(columns, axis=1)

    def reference_step(
        self,
        theta: NDArray[np.floating],
        state: Sequence[NDArray[np.floating]],
        gradient: NDArray[np.floating],
        hyperparameters: Values,
        t: int,
    ) -> tuple[NDArray[np.floating], ...]:
        lr, momentum = hyperparameters["lr"][t], hyperparameters["momentum"][t]
        if not state:
            return (theta - lr * np.sign(gradient),)
        mean = momentum * state[0] + (1 - momentum) * gradient
        return theta - lr * np.sign(mean), mean
