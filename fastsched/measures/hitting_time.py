"""The first time the loss is at or below a level."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fastsched.errors import real
from fastsched.kernels.device import device
from fastsched.kernels.probe import LOSS, Probe
from fastsched.landscapes import Landscape
from fastsched.measures.passage import FirstPassage
from fastsched.optimizers import Optimizer
from fastsched.spec import spec


@device
def hitting_event(time, loss, hit, level):
    """Return the time of the first loss at or below the level, or -1."""
    return (time if (hit < 0) & (loss <= level) else hit,)


@spec
class HittingTime(FirstPassage):
    r"""The first step at which the loss is at or below a level.

    The loss is looked at after every update, and at the start; a time is a number of updates,
    0 where the start is already there, and is censored at the study's last step T. Adds to the
    result, each with its standard error `..._se`: `hitting_probability`, the fraction of
    trajectories that get there; `hitting_time`, the restricted mean time E min(tau, T);
    `hitting_time_quantile(quantile)`, the Kaplan-Meier quantiles of tau, NaN where not reached;
    `hitting_survival(step)`, the fraction that is not there yet:

    .. math::
        \hat S(t) = \prod_{s \le t} \Big(1 - \frac{d_s}{n_s}\Big), \qquad
        \mathrm{se}(\hat S)^2 = \hat S^2 \sum_{s \le t} \frac{d_s}{n_s (n_s - d_s)}

    with d_s of the n_s trajectories still on their way getting there at s. The quantile of order
    q is the first t with S(t) <= 1 - q; its error, half the distance of the quantiles of orders
    one standard error apart, is NaN with fewer than five trajectories beyond it.

    Parameters
    ----------
    level : float
        The level of the loss.

    Raises
    ------
    FastschedError
        The level is not a finite number.

    Notes
    -----
    Sources: Kaplan & Meier, J. Am. Stat. Assoc. 53 (1958) 457; Greenwood 1926.

    Examples
    --------
    >>> HittingTime(0.01)
    HittingTime(level=0.01)
    """

    level: float

    prefix: ClassVar[str] = "hitting"

    def __post_init__(self) -> None:
        self._set(level=real("level", self.level))

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        return Probe(
            event_function=hitting_event,
            watched=(LOSS,),
            registers=(-1.0,),
            coefficients=np.full((steps, 1), self.level),
            finals=(0,),
            settled=0,
        )
