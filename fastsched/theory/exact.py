"""What a study's Monte Carlo estimates, exactly."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from fastsched.errors import NoExactTheory, reject
from fastsched.landscapes import Landscape, LeastSquares, Quadratic
from fastsched.measures import Average, Loss
from fastsched.measures.base import Variables
from fastsched.memory import require_memory
from fastsched.parallel import Check, ordered_map
from fastsched.progress import progress_bar
from fastsched.schedules import Schedule
from fastsched.study import Study
from fastsched.theory.averaging import averaged
from fastsched.theory.law import LossLaw, mean_and_std
from fastsched.theory.moments import Dynamics, map_moments
from fastsched.theory.rule import LinearRule, linear_rule

# Multiplications, roughly, of a quantile for each coordinate.
_QUANTILE_COST = 6000

if TYPE_CHECKING:
    from fastsched.result import Result


def exact(study: Study, *, progress: bool = True) -> Result:
    r"""Return the exact values of what a study estimates.

    Parameters
    ----------
    study : Study
        SGD in any form, with any schedules of learning rate, momentum, weight decay and batch
        size, on a `Quadratic`, `LeastSquares` or linear `RandomFeatures`. Trajectories, seed and
        precision do not matter.
    progress : bool, default True
        Show a progress bar on a terminal or in a notebook.

    Returns
    -------
    Result
        Of the same shape as that of `run`, without standard errors. Over `step`, for the
        measure `Loss`: `loss`, `loss_std` and `loss_quantile(quantile, step)`; and of the
        parameters `theta_mean(step, coordinate)` and `theta_variance(step, coordinate)`, in the
        landscape's eigenbasis, so that the second moment about any point c is
        (theta_mean - c)^2 + theta_variance. For `Average`: `average_loss`, `average_loss_std`.
        On one-pass problems the states are not Gaussian: there the standard deviations and the
        quantiles of the loss are left out. Values above the largest double are infinite; a
        `theta_mean` that overflows is NaN where its sign is lost, with momentum.

    Raises
    ------
    NoExactTheory
        The landscape, the optimizer or every measure lacks exact theory; the message says which.
    FastschedError
        The moments would need more memory than the machine has.

    Notes
    -----
    A step maps the state z = (x, v) of a coordinate of curvature h to M z + b + n xi, so mean m
    and covariance P follow m' = M m + b and P' = M P M^T + c n n^T / B, where c is the variance
    of a sample's gradient noise. The loss is 1/2 sum h (m^2 + P_xx), and its law that of
    `LossLaw`. On one-pass problems c depends on the state; see `least_squares_risk`. Source:
    Zhang et al., NeurIPS 2019, arXiv:1907.04164, appendix.

    Examples
    --------
    >>> study = Study(Quadratic([1.0, 0.1]), SGD(lr=0.1), steps=1_000_000, trajectories=1)
    >>> float(np.round(exact(study)["loss"][-1], 12))  # 1/2 sum eta / (2 - eta h)
    0.051441417614
    """
    from fastsched.result import Result

    if not isinstance(study, Study):
        reject("study", study, "a Study")
    started = time.perf_counter()
    curves, dynamics = _curves(study), linear_dynamics(study)
    distributions = [measure for measure in study.measures if isinstance(measure, Loss)]
    coordinates: dict[str, Any] = {"step": study.record_steps}
    work = sum(curve.point.work for curve in curves) + len(distributions) * dynamics.work
    work += sum(_quantile_work(m, dynamics, len(study.record_steps)) for m in distributions)
    with progress_bar(work, progress) as bar:
        variables = _evaluated(study, curves, bar.advance)
        for measure in distributions:
            variables |= _distribution(measure, dynamics, study.record_steps, bar.advance)
            if "loss_quantile" in variables:
                coordinates |= measure.coordinates(study)
    return Result.from_exact(study, variables, coordinates, time.perf_counter() - started)


def exact_curves(study: Study, largest_work: float = math.inf) -> Variables:
    """Return mean and standard deviation of the loss, and of the average's, over `step`.

    Parameters
    ----------
    study : Study
    largest_work : float, default infinite
        The largest number of multiplications, roughly, that may be spent on each of them.

    Raises
    ------
    NoExactTheory
        There is none, or it would cost more.
    """
    curves = _curves(study)
    if max(curve.point.work for curve in curves) > largest_work:
        raise NoExactTheory("the exact values take long: ask for them by fastsched.exact")
    return _evaluated(study, curves, lambda work: None)


class _Curve(NamedTuple):
    """The loss of a point that follows linear dynamics, as a combination of their state."""

    prefix: str
    point: Dynamics
    readout: NDArray[np.float64] | None


def _curves(study: Study) -> list[_Curve]:
    """Return the curves that the study's measures ask for."""
    dynamics = linear_dynamics(study)
    curves = []
    for measure in study.measures:
        if isinstance(measure, Average):
            curves.append(_Curve("average_", *averaged(dynamics, measure, study.record_steps)))
        elif isinstance(measure, Loss):
            curves.append(_Curve("", dynamics, None))
    if not curves:
        names = ", ".join(type(measure).__name__ for measure in study.measures)
        raise NoExactTheory(f"there is no exact theory of {names}; there is of Loss and Average")
    return curves


def _evaluated(study: Study, curves: list[_Curve], advance: Callable[[float], None]) -> Variables:
    """Return the variables of curves; `advance` is called with the work that was done."""
    variables: Variables = {}
    for prefix, point, readout in curves:
        mean, std = loss_moments(point, readout, study.record_steps, advance=advance)
        variables[f"{prefix}loss"] = ("step",), mean + _least_loss(study.landscape.model)
        if std is not None:
            variables[f"{prefix}loss_std"] = ("step",), std
    return variables


def linear_dynamics(study: Study) -> Dynamics:
    """Return the linear dynamics of a study.

    Raises
    ------
    NoExactTheory
        The landscape's expected gradient or the optimizer's update is not linear.
    """
    batch = study.batch_sizes() if isinstance(study.batch_size, Schedule) else study.batch_size
    return _dynamics(study.landscape.model, linear_rule(study.optimizer, study.steps, batch))


@functools.singledispatch
def _dynamics(landscape: Landscape, rule: LinearRule) -> Dynamics:
    raise NoExactTheory(
        f"there is no exact theory of the landscape {type(landscape).__name__}: its expected "
        f"gradient is not linear in theta; there is of Quadratic, of LeastSquares and of linear "
        f"RandomFeatures"
    )


@_dynamics.register
def _(landscape: Quadratic, rule: LinearRule) -> Dynamics:
    mean, std = landscape.start_moments()
    minimum = landscape.origin()
    return Dynamics(
        rule,
        landscape.eigenvalues,
        minimum,
        mean - minimum,
        std**2,
        landscape.noise_std**2,
    )


@_dynamics.register
def _(landscape: LeastSquares, rule: LinearRule) -> Dynamics:
    mean, std = landscape.start_moments()
    minimum = landscape.origin()
    return Dynamics(
        rule,
        landscape.spectrum,
        minimum,
        mean - minimum,
        std**2,
        None,
        landscape.label_noise**2,
    )


def _least_loss(landscape: Landscape) -> float:
    return landscape.least_loss if isinstance(landscape, LeastSquares) else 0.0


def loss_moments(
    dynamics: Dynamics,
    readout: NDArray[np.float64] | None,
    record: NDArray[np.int64],
    *,
    jumps: bool = True,
    advance: Callable[[float], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return mean and standard deviation of the loss at the recorded steps, each (records,).

    The standard deviation is that of Gaussian states: None for one-pass least squares.

    Parameters
    ----------
    dynamics : Dynamics
    readout : array of shape (records, n) or None
        The point whose loss is meant, as a combination of the state's n numbers; None for the
        iterate.
    record : int array of shape (records,)
        Increasing steps.
    jumps : bool, default True
        Whether stretches of equal steps are jumped over.
    advance : function, optional
        Called in any thread with the work that was done, as by `map_moments`.
    """

    def use(
        part: slice, means: NDArray[np.float64], covariances: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if readout is None:
            m, s = means[:, 0], covariances[:, 0, 0]
        else:
            m, s = _read_off(readout, means, covariances)
        return mean_and_std(dynamics.curvature[part], m, s)

    blocks = list(map_moments(dynamics, record, use, jumps=jumps, advance=advance))
    means, stds = (np.array(part) for part in zip(*blocks, strict=True))
    with np.errstate(over="ignore"):
        mean, std = np.sum(means, axis=0), np.hypot.reduce(stds)
    return mean, std if dynamics.noise_variance is not None else None


def _read_off(
    readout: NDArray[np.float64], means: NDArray[np.float64], covariances: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of a combination of the state, each (records, d)."""
    used = [np.flatnonzero(row) for row in readout]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = [r[a] @ m[a] for r, m, a in zip(readout, means, used, strict=True)]
        variance = [
            np.einsum("a,abi,b->i", r[a], p[np.ix_(a, a)], r[a])
            for r, p, a in zip(readout, covariances, used, strict=True)
        ]
    return np.array(mean), np.array(variance)


def _distribution(
    measure: Loss,
    dynamics: Dynamics,
    record: NDArray[np.int64],
    advance: Callable[[float], None],
) -> Variables:
    """Return the moments of every coordinate and the quantiles of the loss."""
    shape = (len(record), len(dynamics.curvature))
    require_memory(4 * 8 * shape[0] * shape[1], "record")
    means, variances = np.empty(shape), np.empty(shape)

    def keep(
        part: slice, state_means: NDArray[np.float64], covariances: NDArray[np.float64]
    ) -> None:
        means[:, part], variances[:, part] = state_means[:, 0], covariances[:, 0, 0]

    for _ in map_moments(dynamics, record, keep, advance=advance):
        pass
    variables: Variables = {
        "theta_mean": (("step", "coordinate"), means + dynamics.minimum),
        "theta_variance": (("step", "coordinate"), variances),
    }
    work = _quantile_work(measure, dynamics, len(record))
    if work:
        quantiles = _quantiles(
            dynamics.curvature,
            means,
            variances,
            measure.quantiles,
            lambda part: advance(part * work),
        )
        variables["loss_quantile"] = (("quantile", "step"), quantiles)
    return variables


def _quantile_work(measure: Loss, dynamics: Dynamics, records: int) -> float:
    """Return the multiplications, roughly, of the quantiles of the loss."""
    if dynamics.noise_variance is None:
        return 0.0
    return float(_QUANTILE_COST * records * len(measure.quantiles) * len(dynamics.curvature))


def _quantiles(
    curvature: NDArray[np.float64],
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
    orders: tuple[float, ...],
    advance: Callable[[float], None],
) -> NDArray[np.float64]:
    share = 1 / (len(means) * len(orders))

    def compute(k: int, check: Check) -> NDArray[np.float64]:
        if not (np.all(np.isfinite(means[k])) and np.all(np.isfinite(variances[k]))):
            return np.full(len(orders), np.inf)
        law = LossLaw(curvature, means[k], variances[k])
        return law.quantiles(np.array(orders), check, lambda: advance(share))

    records = ordered_map(compute, range(len(means)), numba.get_num_threads())
    with contextlib.closing(records) as found:
        return np.stack(list(found), axis=1)
