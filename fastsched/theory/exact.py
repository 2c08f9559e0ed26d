"""What a study's Monte Carlo estimates, exactly."""

from __future__ import annotations

import functools
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

from fastsched.errors import NoExactTheory, reject
from fastsched.landscapes import Landscape, LeastSquares, Quadratic
from fastsched.measures import Average, Loss
from fastsched.measures.base import Variables
from fastsched.memory import require_memory
from fastsched.schedules import Schedule
from fastsched.study import Study
from fastsched.theory.averaging import averaged
from fastsched.theory.law import LossLaw
from fastsched.theory.moments import Dynamics, map_moments
from fastsched.theory.rule import LinearRule, linear_rule

if TYPE_CHECKING:
    from fastsched.result import Result


def exact(study: Study) -> Result:
    r"""Return the exact values of what a study estimates.

    Parameters
    ----------
    study : Study
        SGD in any form, with any schedules of learning rate, momentum, weight decay and batch
        size, on a `Quadratic`, `LeastSquares` or linear `RandomFeatures`. Trajectories, seed and
        precision do not matter.

    Returns
    -------
    Result
        Of the same shape as that of `run`, without standard errors. Over `step`, for the
        measure `Loss`: `loss`, `loss_std` and `loss_quantile(quantile, step)`; and of the
        parameters `theta_mean(step, coordinate)` and `theta_variance(step, coordinate)`, in the
        landscape's eigenbasis, so that the second moment about any point c is
        (theta_mean - c)^2 + theta_variance. For `Average`: `average_loss`, `average_loss_std`.
        On one-pass problems the states are not Gaussian: there the standard deviations and the
        quantiles of the loss are left out.

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
    variables = exact_curves(study)
    coordinates: dict[str, Any] = {"step": study.record_steps}
    for measure in study.measures:
        if isinstance(measure, Loss):
            variables |= _distribution(measure, linear_dynamics(study), study.record_steps)
            if "loss_quantile" in variables:
                coordinates |= measure.coordinates(study)
    return Result.from_exact(study, variables, coordinates, time.perf_counter() - started)


def exact_curves(study: Study, largest_work: float = math.inf) -> Variables:
    """Return mean and standard deviation of the loss, and of the average's, over `step`.

    Parameters
    ----------
    study : Study
    largest_work : float, default infinite
        The largest number of multiplications, roughly, that may be spent.

    Raises
    ------
    NoExactTheory
        There is none, or it would cost more.
    """
    dynamics = linear_dynamics(study)
    curves: Variables = {}
    for measure in study.measures:
        if isinstance(measure, Average):
            prefix = "average_"
            point, readout = averaged(dynamics, measure, study.record_steps)
        elif isinstance(measure, Loss):
            prefix, point, readout = "", dynamics, None
        else:
            continue
        if point.work > largest_work:
            raise NoExactTheory("the exact values take long: ask for them by fastsched.exact")
        mean, std = loss_moments(point, readout, study.record_steps)
        curves[f"{prefix}loss"] = ("step",), mean + _least_loss(study.landscape.model)
        if std is not None:
            curves[f"{prefix}loss_std"] = ("step",), std
    if not curves:
        names = ", ".join(type(measure).__name__ for measure in study.measures)
        raise NoExactTheory(f"there is no exact theory of {names}; there is of Loss and Average")
    return curves


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
    """

    def use(
        part: slice, means: NDArray[np.float64], covariances: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if readout is None:
            m, s = means[:, 0], covariances[:, 0, 0]
        else:
            m = np.einsum("ka,kai->ki", readout, means)
            s = np.einsum("ka,kb,kabi->ki", readout, readout, covariances)
        h = dynamics.curvature[part]
        with np.errstate(over="ignore", invalid="ignore"):
            return (m**2 + s) @ h / 2, (s * (s / 2 + m**2)) @ h**2

    blocks = list(map_moments(dynamics, record, use, jumps=jumps))
    mean, variance = np.sum(blocks, axis=0)
    return mean, np.sqrt(variance) if dynamics.noise_variance is not None else None


def _distribution(measure: Loss, dynamics: Dynamics, record: NDArray[np.int64]) -> Variables:
    """Return the moments of every coordinate and the quantiles of the loss."""
    shape = (len(record), len(dynamics.curvature))
    require_memory(4 * 8 * shape[0] * shape[1], "record")
    means, variances = np.empty(shape), np.empty(shape)

    def keep(
        part: slice, state_means: NDArray[np.float64], covariances: NDArray[np.float64]
    ) -> None:
        means[:, part], variances[:, part] = state_means[:, 0], covariances[:, 0, 0]

    for _ in map_moments(dynamics, record, keep):
        pass
    variables: Variables = {
        "theta_mean": (("step", "coordinate"), means + dynamics.minimum),
        "theta_variance": (("step", "coordinate"), variances),
    }
    if measure.quantiles and dynamics.noise_variance is not None:
        quantiles = _quantiles(dynamics.curvature, means, variances, measure.quantiles)
        variables["loss_quantile"] = (("quantile", "step"), quantiles)
    return variables


def _quantiles(
    curvature: NDArray[np.float64],
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
    orders: tuple[float, ...],
) -> NDArray[np.float64]:
    def compute(k: int) -> NDArray[np.float64]:
        if not (np.all(np.isfinite(means[k])) and np.all(np.isfinite(variances[k]))):
            return np.full(len(orders), np.nan)
        return LossLaw(curvature, means[k], variances[k]).quantile(orders)

    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        return np.stack(list(pool.map(compute, range(len(means)))), axis=1)
