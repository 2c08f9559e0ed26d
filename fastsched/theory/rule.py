"""An optimizer's update as a linear map of a coordinate's state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import NoExactTheory, array
from fastsched.optimizers import SGD, Optimizer
from fastsched.schedules import Constant, Schedule


@dataclass(frozen=True, eq=False)
class LinearRule:
    r"""The update of (x, v), or of x alone, on a coordinate with a linear gradient.

    With displacement x = theta - theta* from the minimum, velocity v, curvature h and gradient
    g = h x + xi / sqrt(B), the state z = (x, v) of n = 2 numbers (n = 1 without momentum)
    follows

    .. math::
        z' = (\mathrm{base} + h\, \mathrm{slope})\, z + \theta^* \mathrm{shift}
             + \xi\, \mathrm{noise}

    where `noise` holds the factor 1/sqrt(B) of the batch. Steps with the same map follow each
    other in stretches.

    Attributes
    ----------
    lengths : int array of shape (stretches,)
        Number of steps of each stretch.
    base, slope : array of shape (stretches, n, n)
    shift, noise : array of shape (stretches, n)
    """

    lengths: NDArray[np.int64]
    base: NDArray[np.float64]
    slope: NDArray[np.float64]
    shift: NDArray[np.float64]
    noise: NDArray[np.float64]

    @property
    def order(self) -> int:
        """Numbers of state of a coordinate, n."""
        return self.base.shape[1]

    def per_step(self) -> LinearRule:
        """Return the same rule with one stretch for each step."""
        parts = (self.base, self.slope, self.shift, self.noise)
        return LinearRule(
            np.ones(int(self.lengths.sum()), np.int64),
            *(np.repeat(part, self.lengths, axis=0) for part in parts),
        )


def linear_rule(
    optimizer: Optimizer, steps: int, batch_sizes: float | NDArray[np.float64] = 1.0
) -> LinearRule:
    r"""Return the linear map of an optimizer's update, stretch by stretch.

    Parameters
    ----------
    optimizer : SGD
        Any form of it: both velocities, Nesterov, every rule of weight decay.
    steps : int
        Number of updates.
    batch_sizes : float or array of shape (steps,), default 1

    Raises
    ------
    NoExactTheory
        The update is not linear in the gradient.

    Notes
    -----
    With learning rate eta, momentum mu, coupled decay lambda and decoupled shrinkage s,
    v' = mu v + a (g + lambda theta) and theta' = (1 - s) theta + c mu v + p (g + lambda theta),
    where p = -eta, or -eta (1 + mu) for Nesterov's form, and (a, c) is (1, -eta), with Nesterov
    (1, -eta mu), outside, and (-eta, 1), with Nesterov (-eta, mu), inside the velocity.
    Source: Polyak, USSR Comput. Math. Math. Phys. 4 (1964) 1; Sutskever et al., ICML 2013.
    """
    if not isinstance(optimizer, SGD):
        raise NoExactTheory(
            f"the update of {type(optimizer).__name__} is not linear in the gradient: exact "
            f"moments exist for SGD in all its forms"
        )
    parameters = (optimizer.lr, optimizer.momentum, optimizer.weight_decay)
    allowed = "a number or one for each step"
    sizes = array("batch_sizes", batch_sizes, ndim=(0, 1), allowed=allowed)
    constant = sizes.ndim == 0 and not any(
        isinstance(p, Schedule) and not isinstance(p, Constant) for p in parameters
    )
    rows = 1 if constant else steps
    values = optimizer.hyperparameters(rows)
    lr, mu = values["lr"], values["momentum"]
    coupled, shrinkage = optimizer.decays(values)
    total = -lr * (1 + mu) if optimizer.nesterov else -lr
    if optimizer.velocity == "pytorch":
        inner, outer = np.ones(rows), -lr * (mu if optimizer.nesterov else 1.0)
    else:
        inner, outer = -lr, mu if optimizer.nesterov else np.ones(rows)
    order = 1 if optimizer.momentum == 0.0 else 2
    root = np.sqrt(np.broadcast_to(sizes, (rows,)))
    base = np.empty((rows, 2, 2))
    slope = np.zeros((rows, 2, 2))
    base[:, 0, 0], base[:, 0, 1] = 1 - shrinkage + total * coupled, outer * mu
    base[:, 1, 0], base[:, 1, 1] = inner * coupled, mu
    slope[:, 0, 0], slope[:, 1, 0] = total, inner
    shift = np.stack([total * coupled - shrinkage, inner * coupled], axis=1)
    noise = np.stack([total, inner], axis=1) / root[:, None]
    first, lengths = _stretches(np.column_stack([lr, mu, coupled, shrinkage, root]), steps)
    return LinearRule(
        lengths,
        base[first, :order, :order],
        slope[first, :order, :order],
        shift[first, :order],
        noise[first, :order],
    )


def _stretches(
    rows: NDArray[np.float64], steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each run of equal rows begins, and the number of steps of each run."""
    changed = np.any(rows[1:] != rows[:-1], axis=1)
    first = np.concatenate([[0], np.flatnonzero(changed) + 1])
    return first, np.diff(np.append(first, steps))
