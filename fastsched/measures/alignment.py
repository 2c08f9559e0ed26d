"""How far successive gradients, and velocity and gradient, point the same way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.device import device
from fastsched.kernels.probe import Probe, Reading
from fastsched.kernels.rows import Rows
from fastsched.landscapes import Landscape
from fastsched.measures.base import Moments, Partial, Samples, Variables, mean_and_deviation
from fastsched.optimizers import Optimizer
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.study import Study

_NAMES = ("gradient_alignment", "velocity_alignment")


@device
def gradients_coordinate(before, after, gradient, velocity, last):
    """Return the gradient to remember, and the products of both gradients."""
    return gradient, gradient * last, gradient * gradient


@device
def velocity_coordinate(before, after, gradient, velocity, last, sign):
    """As `gradients_coordinate`, with the products of velocity and gradient."""
    return (
        gradient,
        gradient * last,
        gradient * gradient,
        sign * velocity * gradient,
        velocity * velocity,
    )


@device
def gradients_event(time, product, square, last_square, cosine):
    """Return the gradient's squared norm, and its cosine with the one before."""
    return square, product / (math.sqrt(square) * math.sqrt(last_square))


@device
def velocity_event(
    time, product, square, met, velocity_square, last_square, cosine, velocity_cosine, sign
):
    """As `gradients_event`, with the cosine of the velocity and the gradient it met."""
    return (
        square,
        product / (math.sqrt(square) * math.sqrt(last_square)),
        met / (math.sqrt(velocity_square) * math.sqrt(square)),
    )


@spec
class Alignment(Moments):
    r"""Cosines of successive stochastic gradients, and of the velocity with its gradient.

    Adds to the result, over `step`, each with the standard error `..._se` and the standard
    deviation between trajectories `..._std`:

    .. math::
        \text{gradient\_alignment}_t = \mathrm E
            \frac{\langle g_t, g_{t+1} \rangle}{|g_t| |g_{t+1}|}, \qquad
        \text{velocity\_alignment}_t = \mathrm E
            \frac{\langle v_t, g_t \rangle}{|v_t| |g_t|}

    where g_t is the stochastic gradient of update t, taken at theta_t, and v_t the velocity that
    meets it, made of the gradients before: where it is stale, the cosine is low. Its sign is
    that of PyTorch's velocity, a sum of gradients; of Adam's kind it is the first moment. What is
    not known is NaN: gradient alignment from the last update on, velocity alignment at step 0
    and after the last update. It is left out for optimizers without a velocity. Trajectories
    whose cosine is not a number are left out of the mean: diverged ones, those whose gradient is
    zero, and, in single precision, those whose gradient is below 1e-19.

    Notes
    -----
    These are means of cosines, not ratios of means; `fastsched.theory.expected_cosine` is the
    exact value for Gaussian gradients.

    Examples
    --------
    >>> Alignment()
    Alignment()
    """

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        if not optimizer.slots:
            return Probe(
                coordinate_function=gradients_coordinate,
                memories=(0.0,),
                terms=2,
                event_function=gradients_event,
                registers=(0.0, 0.0),
                readings=(Reading(1, lag=2),),
            )
        return Probe(
            coordinate_function=velocity_coordinate,
            memories=(0.0,),
            terms=4,
            event_function=velocity_event,
            registers=(0.0, 0.0, 0.0),
            coefficients=np.full((steps, 1), optimizer.velocity_sign),
            readings=(Reading(1, lag=2), Reading(2, lag=1)),
        )

    def reduce(self, observed: Rows, kept: Rows) -> Partial:
        return {"moments": observed.moments()}

    def samples(
        self, observed: NDArray[np.float64], kept: NDArray[np.float64], study: Study
    ) -> Samples:
        return dict(zip(_NAMES, observed, strict=False))

    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        records = len(study.record_steps)
        result: Variables = {}
        for k in range(total["moments"].shape[1] // records):
            moments = total["moments"][:, k * records : (k + 1) * records]
            result |= mean_and_deviation(_NAMES[k], moments)
        return result
