"""Adam, and AdamW: Adam with weight decay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import real
from fastsched.kernels.device import device
from fastsched.optimizers.base import (
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    Optimizer,
    Range,
    Values,
    WeightDecay,
)
from fastsched.schedules import Schedule
from fastsched.spec import spec


@device
def adam_update(
    x, mean, square, origin, gradient, beta1, new1, beta2, new2, coupled, drift, rate, scale, eps
):
    """Return x, m and v after m <- beta1 m + new1 g, v <- beta2 v + new2 g^2 and ...

    ... x <- x + drift theta + rate m / (scale sqrt(v) + eps), with g <- g + coupled theta.
    """
    theta = x + origin
    gradient = gradient + coupled * theta
    mean = beta1 * mean + new1 * gradient
    square = beta2 * square + new2 * (gradient * gradient)
    step = rate * mean / (scale * math.sqrt(square) + eps)
    return x + (drift * theta + step), mean, square


@spec
class Adam(Optimizer):
    r"""Adam: steps scaled coordinate by coordinate by running moments of the gradient.

    With learning rate eta and gradient g, at step t = 0, 1, ...,

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        \theta \leftarrow \theta - \eta_t
            \frac{m / (1 - \beta_1^{t+1})}{\sqrt{v / (1 - \beta_2^{t+1})} + \epsilon}

    as `torch.optim.Adam`. Where beta1 or beta2 is a schedule, its value at step t stands in both
    places, as in PyTorch when a scheduler changes it. The update is not rotation-equivariant: a
    landscape that runs in other coordinates than its own is refused.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate eta, positive; a schedule may touch 0.
    beta1, beta2 : float or Schedule, default 0.9 and 0.999
        Decay rates of the moments, in [0, 1).
    eps : float, default 1e-8
        The number epsilon in the denominator, positive.

    Raises
    ------
    FastschedError
        A number out of range at construction; a schedule out of range when the study is made.

    Notes
    -----
    Source: Kingma & Ba, ICLR 2015, arXiv:1412.6980, algorithm 1.

    Examples
    --------
    >>> Adam(lr=0.001).slots
    2
    """

    lr: float | Schedule
    beta1: float | Schedule = 0.9
    beta2: float | Schedule = 0.999
    eps: float = 1e-8

    RANGES: ClassVar[dict[str, Range]] = {"lr": POSITIVE, "beta1": FRACTION, "beta2": FRACTION}
    ROTATION_EQUIVARIANT: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._set(eps=real("eps", self.eps, above=0))
        super().__post_init__()

    @property
    def slots(self) -> int:
        return 2

    @property
    def update_function(self) -> Any:
        return adam_update

    def coefficients(self, steps: int) -> NDArray[np.float64]:
        values = self.hyperparameters(steps)
        lr, beta1, beta2 = (values[name] for name in ("lr", "beta1", "beta2"))
        coupled, shrinkage = self.decays(values)
        updates = np.arange(1, steps + 1)
        rate = -lr / (1 - beta1**updates)
        scale = 1 / np.sqrt(1 - beta2**updates)
        eps = np.full(steps, self.eps)
        columns = [beta1, 1 - beta1, beta2, 1 - beta2, coupled, -shrinkage, rate, scale, eps]
        return np.stack(columns, axis=1)

    @property
    def idle_coefficients(self) -> NDArray[np.float64]:
        # All zero but for eps, lest a step be 0 / 0.
        return np.append(super().idle_coefficients[:-1], 1.0)

    def reference_step(
        self,
        theta: NDArray[np.floating],
        state: Sequence[NDArray[np.floating]],
        gradient: NDArray[np.floating],
        hyperparameters: Values,
        t: int,
    ) -> tuple[NDArray[np.floating], ...]:
        lr, beta1, beta2 = (hyperparameters[name][t] for name in ("lr", "beta1", "beta2"))
        theta, gradient = self.reference_decay(theta, gradient, hyperparameters, t)
        mean = beta1 * state[0] + (1 - beta1) * gradient
        square = beta2 * state[1] + (1 - beta2) * gradient**2
        corrected = mean / (1 - beta1 ** (t + 1))
        root = np.sqrt(square / (1 - beta2 ** (t + 1)))
        return theta - lr * corrected / (root + self.eps), mean, square


@spec
class AdamW(WeightDecay, Adam):
    r"""Adam with weight decay, by default decoupled.

    The update is that of `Adam` after theta is multiplied by 1 - s, with the gradient taken at
    the undecayed point; as `torch.optim.AdamW` with the default rule.

    Parameters
    ----------
    lr, beta1, beta2, eps
        As for `Adam`.
    weight_decay : float or Schedule, default 0
        Weight decay lambda, at least 0.
    decay : {"lr", "schedule", "constant", "coupled"}, default "lr"
        How the weight decay acts: s is eta_t lambda_t ("lr", PyTorch's AdamW),
        (eta_t / eta_max) lambda_t ("schedule", Loshchilov & Hutter) or lambda_t ("constant").
        eta_max is the largest rate over the study's steps: the base rate, which Loshchilov &
        Hutter's schedule multiplies. "coupled" adds lambda theta to the gradient (L2), as
        `torch.optim.Adam` does.

    Raises
    ------
    FastschedError
        A number out of range at construction; a schedule out of range when the study is made.

    Notes
    -----
    Source: Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101, algorithm 2.

    Examples
    --------
    >>> AdamW(lr=0.001, weight_decay=0.1).decay
    'lr'
    """

    weight_decay: float | Schedule = 0.0
    decay: str = "lr"

    RANGES: ClassVar[dict[str, Range]] = {**Adam.RANGES, "weight_decay": NOT_NEGATIVE}
