"""The loss of an averaged iterate."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import choice, integer, real, reject
from fastsched.kernels.device import device
from fastsched.kernels.probe import LOSS, Probe, Reading
from fastsched.landscapes import Landscape
from fastsched.measures.base import MeanAndDeviation
from fastsched.optimizers import Optimizer
from fastsched.spec import spec


@device
def average_coordinate(before, after, gradient, velocity, average, old_weight, new_weight):
    """Return the average after a step from `before` to `after`."""
    return (average + (old_weight * (before - average) + new_weight * (after - average)),)


@spec
class Average(MeanAndDeviation):
    r"""The loss of an average of the iterates, at every recorded step.

    Adds to the result, over `step`: `average_loss`, the mean over trajectories of the loss of
    the average, with standard error `average_loss_se`; `average_loss_std`, its standard
    deviation, with `average_loss_std_se`. Recorded at step t is the loss of

    .. math::
        \text{polyak:}\quad \bar\theta_t = \frac1t \sum_{k=0}^{t-1} \theta_k, \qquad
        \text{tail:}\quad \bar\theta_t = \frac1{t-s} \sum_{k=s}^{t-1} \theta_k, \qquad
        \text{ema:}\quad \bar\theta_t = \gamma \bar\theta_{t-1} + (1 - \gamma) \theta_t

    with :math:`\bar\theta_0 = \theta_0`, and :math:`\bar\theta_t = \theta_t` up to the tail's
    start s.

    Parameters
    ----------
    kind : {"polyak", "ema", "tail"}, default "polyak"
        Uniform average of all iterates, exponential moving average, or uniform average of the
        iterates from `start` on.
    decay : float, for "ema" only
        The decay gamma, in [0, 1).
    start : int, for "tail" only
        The first step s of the average, at least 1.

    Raises
    ------
    FastschedError
        A parameter that the kind needs is missing or out of range, or is not for this kind; or
        the tail starts after the last step of a study.

    Notes
    -----
    Sources: Polyak & Juditsky, SIAM J. Control Optim. 30 (1992) 838; Defossez & Bach, AISTATS
    2015, for the uniform average of the first t iterates; Zhang et al., NeurIPS 2019,
    arXiv:1907.04164, for the moving average.

    Examples
    --------
    >>> Average(kind="ema", decay=0.99)
    Average(kind='ema', decay=0.99, start=None)
    """

    kind: str = "polyak"
    decay: float | None = None
    start: int | None = None

    variable = "average_loss"

    KINDS: ClassVar = ("polyak", "ema", "tail")

    def __post_init__(self) -> None:
        choice("kind", self.kind, self.KINDS)
        for name, kind in (("decay", "ema"), ("start", "tail")):
            value = getattr(self, name)
            if value is not None and self.kind != kind:
                reject(name, value, f'left out unless kind is "{kind}"')
            if value is None and self.kind == kind:
                reject(name, value, f'given where kind is "{kind}"')
        if self.kind == "ema":
            self._set(decay=real("decay", self.decay, minimum=0, below=1))
        elif self.kind == "tail":
            self._set(start=integer("start", self.start, minimum=1))

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        return Probe(
            coordinate_function=average_coordinate,
            memories=(None,),
            coefficients=self._weights(steps),
            readings=(Reading(LOSS, memory=0),),
        )

    def _weights(self, steps: int) -> NDArray[np.float64]:
        weights = np.zeros((steps, 2))
        if self.decay is not None:
            weights[:, 1] = 1 - self.decay
            return weights
        start = self.start or 0
        if start >= steps:
            reject("start", start, f"less than the study's steps, {steps}")
        weights[:start, 1] = 1
        weights[start:, 0] = 1 / np.arange(1, steps - start + 1)
        return weights
