"""The best value of a hyper-parameter of a study, by its Monte Carlo on common random numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, failed, is_number, items, real, reject, unwrapped
from fastsched.paths import changed, value_at
from fastsched.progress import part_of, progress_bar
from fastsched.reliability import estimable
from fastsched.result import Result
from fastsched.run import run
from fastsched.schedules import Schedule
from fastsched.study import Study
from fastsched.sweep import sweep
from fastsched.sweep_result import SweepResult

_GRID = 9
_EVALUATIONS = _GRID + 12 + 2  # as many as a search takes, roughly: the progress bar's full length

# Parts of the distance between two points of the grid: where golden section ends, so that its
# error is far below that of chance; how near a bound is at the bound; and over what the error's
# differences are taken.
_PRECISION = 0.001
_AT_BOUND = 0.02
_DIFFERENCE = 0.25

# What golden section is told in place of infinity, since it computes with it.
_DIVERGED = 1e100


@dataclass(frozen=True, eq=False)
class Tuned:
    """The best value that `fastsched.tune` found.

    Attributes
    ----------
    value : float
        The value; of a schedule, its largest one.
    value_se : float
        Its standard error, the chance that lies in the study's trajectories; NaN where it is not
        known, for the reason in `unknown_se`.
    unknown_se : str
        Why `value_se` is NaN: the value lies at a bound, the objective is not a mean over
        trajectories (a function), trajectories diverge or the mean is not estimable at the values
        beside it, or the objective does not curve there. Empty where the error is known.
    study : Study
        The study with that value.
    objective, objective_se : float
        The objective there with its standard error, the error NaN for a function. That the value
        was chosen on the same trajectories makes the objective a little too good: run the study
        with another seed to report it.
    values, objectives : arrays of shape (evaluations,)
        All that was tried, by increasing value; infinite where trajectories diverged or the mean
        is not estimable (see `fastsched.reliability.estimable`).
    """

    value: float
    value_se: float
    unknown_se: str
    study: Study
    objective: float
    objective_se: float
    values: NDArray[np.float64]
    objectives: NDArray[np.float64]

    def __repr__(self) -> str:
        return (
            f"Tuned(value={self.value:.5g} +- {self.value_se:.2g}, "
            f"objective={self.objective:.6g} +- {self.objective_se:.2g}, "
            f"{len(self.values)} evaluations)"
            + (f"; the error of the value is unknown: {self.unknown_se}" * bool(self.unknown_se))
        )


def tune(
    study: Study,
    path: str,
    bounds: tuple[float, float],
    objective: str | Callable[[Result], float] = "loss",
    *,
    largest: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> Tuned:
    r"""Return the best value of a study's hyper-parameter, or the best scale of its schedule.

    A sweep over nine values between the bounds finds the best of them, and golden section with
    parabolic steps the minimum between its neighbours, all on the same random numbers, so that
    the objective is one smooth function. Each evaluation has the study's full budget. The
    standard error follows from the paired differences of more runs at a distance :math:`h`,

    .. math::
        \mathrm{se}(x^*) \approx \frac{\mathrm{se}\big(f(x^* + h) - f(x^* - h)\big) / 2h}
        {\big(f(x^* + h) - 2 f(x^*) + f(x^* - h)\big) / h^2}

    Parameters
    ----------
    study : Study
        The study, e.g. with the schedule whose base rate is wanted.
    path : str
        The field, as for `fastsched.sweep`, e.g. ``"optimizer.lr"``. Where it is a schedule, that
        is scaled so that its largest value is the one tried.
    bounds : tuple of two floats
        The least and the greatest value. Both positive: the search is on a logarithmic scale.
    objective : str or function, default "loss"
        A variable, taken after the last step; or a function of a `Result`.
    largest : bool, default False
        Whether the objective is to be large instead of small.
    device
        As for `fastsched.run`.
    progress : bool, default True
        Show one progress bar for all runs, with the best objective so far, on a terminal or in a
        notebook.

    Returns
    -------
    Tuned

    Warns
    -----
    RuntimeWarning
        The best value lies at a bound.

    Raises
    ------
    FastschedError
        A parameter is not allowed, the objective fails or returns no number, or trajectories
        diverge at every value.
    KeyboardInterrupt
        On Ctrl-C: a search that is not finished has no value.

    Notes
    -----
    Where the objective has several minima, the grid decides which is found. Source: Brent,
    Algorithms for Minimization without Derivatives, 1973, ch. 5, as in `scipy.optimize`; of the
    error, the delta method for an M-estimator, van der Vaart, Asymptotic Statistics, ch. 5.

    Examples
    --------
    >>> import fastsched as fs
    >>> landscape = fs.Quadratic([1.0, 0.1], start=fs.Normal())
    >>> study = fs.Study(landscape, fs.SGD(fs.Linear(1.0, 100)), steps=100, trajectories=1000)
    >>> tuned = fs.tune(study, "optimizer.lr", bounds=(0.01, 1.5), progress=False)
    >>> 0.1 < tuned.value < 0.5
    True
    """
    from scipy.optimize import minimize_scalar

    if not isinstance(study, Study):
        reject("study", study, "a Study")
    if not isinstance(objective, str) and not callable(objective):
        reject("objective", objective, "the name of a variable, or a function of a Result")
    low, high = bounds = _checked(bounds)
    logarithmic = low > 0
    to_value, to_scale = (math.exp, math.log) if logarithmic else (float, float)
    setting = _setting(study, path)
    sign = -1.0 if largest else 1.0
    tried: dict[float, float] = {}
    errors: dict[float, float] = {}

    def outcome(value: float, result: Result) -> float:
        if callable(objective):
            return _returned(objective, result)
        if objective in result.data and "step" in result[objective].dims:
            # Means are of the trajectories that have not diverged.
            diverged = "diverged" in result.data and float(result["diverged"][-1]) > 0
            if diverged or not estimable(result, objective)[..., -1]:
                return math.nan
        errors[value] = _last(result, f"{objective}_se")
        return _last(result, objective)

    def evaluated(values: NDArray[np.float64]) -> SweepResult:
        members = sweep(study, {path: {repr(x): setting(x) for x in values.tolist()}})
        with part_of(bar, len(values)):
            result = run(members, device)
        if not result.complete:
            raise KeyboardInterrupt
        for x in values.tolist():
            found = sign * outcome(x, result.member(repr(x)))
            tried[x] = found if math.isfinite(found) else math.inf
        bar.say(f"{len(tried)} values, best {sign * min(tried.values()):.6g}")
        return result

    def cost(position: float) -> float:
        value = to_value(position)
        evaluated(np.array([value]))
        return min(tried[value], _DIVERGED)

    grid = np.linspace(to_scale(low), to_scale(high), _GRID)
    spacing = grid[1] - grid[0]
    with progress_bar(_EVALUATIONS, progress) as bar:
        evaluated(np.array([low, *map(to_value, grid[1:-1]), high]))
        best = min(tried, key=tried.__getitem__)
        if not math.isfinite(tried[best]):
            raise FastschedError(
                f"bounds = {bounds!r}: at every value tried trajectories diverge, or the objective "
                f"is not a number or not estimable"
            )
        place = to_scale(best)
        minimize_scalar(
            cost,
            bounds=(max(place - spacing, grid[0]), min(place + spacing, grid[-1])),
            method="bounded",
            options={"xatol": _PRECISION * spacing},
        )
        value = min(tried, key=tried.__getitem__)
        at_bound = min(abs(to_scale(value) - grid[0]), abs(to_scale(value) - grid[-1]))
        error, unknown = math.nan, ""
        if at_bound <= _AT_BOUND * spacing:
            unknown = "the value lies at a bound"
            warnings.warn(
                f"tune: the best {path} lies at a bound of {bounds!r}", RuntimeWarning, stacklevel=2
            )
        elif not isinstance(objective, str):
            unknown = "the objective is a function, not a mean over trajectories"
        else:
            step = _DIFFERENCE * spacing
            # Near a bound the curvature is that of the nearest three values between the bounds.
            center = min(max(to_scale(value), grid[0] + step), grid[-1] - step)
            middle = value if center == to_scale(value) else to_value(center)
            if middle not in tried:
                evaluated(np.array([middle]))
            ends = to_value(center - step), to_value(center + step)
            result = evaluated(np.array(ends))
            around = [tried[x] for x in (ends[0], middle, ends[1])]
            error, unknown = _position_error(result, objective, around, step)
    order = sorted(tried)
    return Tuned(
        value,
        error * value if logarithmic else error,
        unknown,
        changed(study, {path: setting(value)}),
        sign * tried[value],
        errors.get(value, math.nan),
        np.array(order),
        np.array([sign * tried[x] for x in order]),
    )


def _position_error(
    result: SweepResult, objective: str, around: list[float], step: float
) -> tuple[float, str]:
    """Return the standard error of a minimum's position, or NaN and the reason.

    Parameters
    ----------
    result : SweepResult
        Of two members, one `step` below and above the center.
    objective : str
    around : list of float
        The objective below, at and above the center.
    step : float
    """
    if not all(map(math.isfinite, around)):
        return math.nan, "trajectories diverge, or the mean is not estimable, beside it"
    if f"{objective}_count" not in result.pairs:
        return math.nan, f"no paired differences of {objective} are stored"
    low, middle, high = around
    curvature = (low - 2 * middle + high) / step**2
    _, error, _ = result.differences(objective, np.array(1), np.array(0))
    slope_se = float(np.ravel(error)[-1]) / (2 * step)
    if not math.isfinite(slope_se):
        return math.nan, "at least two trajectories are needed"
    if curvature <= 0:
        return math.nan, "the objective does not curve upwards around it"
    return slope_se / curvature, ""


def _returned(objective: Callable[[Result], float], result: Result) -> float:
    """Return the number that a function gives for a result; it may be infinite or NaN."""
    try:
        value = objective(result)
    except Exception as error:
        raise failed("objective", error) from error
    if isinstance(unwrapped(value), (bool, np.bool_)) or not is_number(value):
        reject("objective", value, "a function that returns a number; it returned this")
    return float(unwrapped(value))


def _last(result: Result, name: str) -> float:
    if name not in result.data:
        known = [str(n) for n in result.data if f"{n}_se" in result.data]
        reject("objective", name.removesuffix("_se"), f"one of {', '.join(known)}")
    values = result.data[name]
    if "step" in values.dims:
        values = values.isel(step=-1)
    if values.ndim:
        reject("objective", name, "a variable without dimensions other than step")
    return float(values)


def _checked(bounds: Any) -> tuple[float, float]:
    given = items("bounds", bounds, "a least and a greatest value")
    if len(given) != 2:
        reject("bounds", bounds, "a least and a greatest value")
    low, high = (real("bounds", bound) for bound in given)
    if low >= high:
        reject("bounds", bounds, "a least and a greatest value, the least first")
    return low, high


def _setting(study: Study, path: str) -> Callable[[float], Any]:
    """Return what the field is to be set to for a value."""
    present = value_at(study, path)
    if isinstance(present, int):
        reject(path, present, "a hyper-parameter that is a real number or a schedule")
    if not isinstance(present, Schedule):
        real(path, present)
        return float
    largest = float(np.max(np.abs(present.values(study.steps))))
    if largest == 0:
        reject(path, present, "a schedule that is not zero")
    return lambda value: (value / largest) * present
