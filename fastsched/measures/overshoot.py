"""How far trajectories pass the minimum, and how far the loss rises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, increasing, reject
from fastsched.kernels.device import device
from fastsched.kernels.probe import LOSS, Probe
from fastsched.kernels.rows import HostRows, Rows
from fastsched.landscapes import Landscape
from fastsched.measures.base import Moments, Partial, Samples, Variables, mean_and_error
from fastsched.optimizers import Optimizer
from fastsched.spec import spec

if TYPE_CHECKING:
    from fastsched.study import Study

_MOST_AXES = 64

_BY_AXIS = ("overshoot_probability", "overshoot_depth", "overshoot_crossings")
_OF_LOSS = ("loss_rise_probability", "loss_rise")


@device
def overshoot_coordinate(before, after, gradient, velocity, start, excursion, crossings, center):
    """Return the starting distance, the largest excursion past the center, and crossings."""
    zero, one = type(start)(0), type(start)(1)
    at_start = crossings < zero
    start = after - center if at_start else start
    old = before - center if start > zero else center - before
    new = after - center if start > zero else center - after
    crossed = (old < zero) != (new < zero)
    past = max(excursion, -new) if start != zero else zero
    count = crossings + (one if crossed else zero)
    return start, past, zero if at_start else count


@device
def rise_event(time, loss, start, peak):
    """Return the starting and the largest loss."""
    start = loss if time == 0 else start
    peak = loss if time == 0 else peak
    return start, loss if loss > peak else peak


@device
def happened(excursion, distance):
    """Return whether there is an excursion beyond the minimum."""
    return (excursion > 0) * 1.0


@device
def depth(excursion, distance):
    """Return how far it goes, in units of the distance at the start."""
    return excursion / abs(distance)


@device
def rises(peak, start):
    """Return whether the loss exceeds its start."""
    return (peak > start) * 1.0


@device
def rise(peak, start):
    """Return the largest loss in units of that at the start."""
    return peak / start


@spec
class Overshoot(Moments):
    r"""Passing the minimum along each axis, and rises of the loss above its start.

    With the distance x_t of a coordinate from the minimum, adds to the result, over the dimension
    `axis`, each with its standard error `..._se`,

    .. math::
        \text{overshoot\_probability} = P\big(\min_t x_t / x_0 < 0\big), \qquad
        \text{overshoot\_depth} = \mathrm E \max\big(0, \max_t (-x_t / x_0)\big)

    and `overshoot_crossings`, the mean number of changes of side; and for the loss, without a
    dimension, `loss_rise_probability`, the fraction of trajectories whose loss is ever above its
    start, and `loss_rise`, the mean of the largest loss over the starting one. Depth and rise are
    means over the trajectories for which they are finite and at most 1e30. Every update counts,
    recorded or not.

    Parameters
    ----------
    axes : array of int, optional
        The coordinates to look at, increasing. By default all up to 64; beyond that, the 64 of
        largest curvature. Axes are those of the run: of a `Quadratic` given by a matrix, or of
        linear random features, the eigenvectors of the Hessian.

    Raises
    ------
    FastschedError
        The axes are not increasing indices of coordinates; or, when the study is made, the
        landscape has no single minimum, or more than 64 coordinates of unknown curvature.

    Notes
    -----
    Source: the classical peak overshoot of a step response, Ogata, Modern Control Engineering,
    section 5-3; exact values of both kinds are `fastsched.theory.noise_free_overshoot` and
    `fastsched.theory.overshoot_probability`.

    Examples
    --------
    >>> Overshoot(axes=[0, 3])
    Overshoot(axes=[0, 3])
    """

    axes: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.axes is None:
            return
        allowed = "increasing indices of coordinates, at least 0"
        self._set(axes=increasing("axes", self.axes, allowed, maximum=2**63 - 1))

    def _chosen(self, landscape: Landscape) -> NDArray[np.int64]:
        if self.axes is not None:
            if self.axes[-1] >= landscape.dim:
                reject("axes", self.axes, f"less than the landscape's dimension, {landscape.dim}")
            return self.axes
        if landscape.dim <= _MOST_AXES:
            return np.arange(landscape.dim)
        curvatures = landscape.model.axis_curvatures()
        if curvatures is None:
            raise FastschedError(
                f"axes = None: axes must be given for {type(landscape).__name__} of more than "
                f"{_MOST_AXES} coordinates"
            )
        return np.sort(np.argsort(-curvatures, kind="stable")[:_MOST_AXES])

    def probe(self, landscape: Landscape, optimizer: Optimizer, steps: int) -> Probe:
        model = landscape.model
        axes = self._chosen(landscape)
        return Probe(
            coordinate_function=overshoot_coordinate,
            memories=(0.0, 0.0, -1.0),
            event_function=rise_event,
            watched=(LOSS,),
            registers=(0.0, 0.0),
            constants=(model.minimizer() - model.origin())[None],
            finals=(0, 1),
            axes=axes,
            confined=len(axes) < model.dim,
        )

    def reduce(self, observed: Rows, kept: Rows) -> Partial:
        return {"moments": np.concatenate([r.moments() for r in _numbers(kept)], axis=1)}

    def variables(self, total: Partial, study: Study, trajectories: int) -> Variables:
        by_axis, rise = total["moments"][:, :-2], total["moments"][:, -2:]
        result: Variables = {}
        for name, moments in zip(_BY_AXIS, np.split(by_axis, 3, axis=1), strict=True):
            result |= mean_and_error(name, ("axis",), moments)
        for k, name in enumerate(_OF_LOSS):
            result |= mean_and_error(name, (), rise[:, k])
        return result

    def samples(
        self, observed: NDArray[np.float64], kept: NDArray[np.float64], study: Study
    ) -> Samples:
        rows = [row.host() for row in _numbers(HostRows(kept, kept.shape[1]))]
        by_axis, of_loss = rows[:3], [row[0] for row in rows[3:]]
        return dict(zip((*_BY_AXIS, *_OF_LOSS), (*by_axis, *of_loss), strict=True))

    def coordinates(self, study: Study) -> dict[str, NDArray[np.generic]]:
        return {"axis": self._chosen(study.landscape)}


def _numbers(kept: Rows) -> list[Rows]:
    """Return what the means are means of: of each axis, and of the loss."""
    start, peak, axes = kept[:1], kept[1:2], (len(kept) - 2) // 3
    distance, excursion = kept[2 : 2 + axes], kept[2 + axes : 2 + 2 * axes]
    return [
        excursion.map(happened, distance),
        excursion.map(depth, distance),
        kept[2 + 2 * axes :],
        peak.map(rises, start),
        peak.map(rise, start),
    ]
