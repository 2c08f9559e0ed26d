"""Whether the mean of a result can be estimated: means that a few trajectories decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastsched.sweep import Sweep

if TYPE_CHECKING:
    import xarray

    from fastsched.result import Result
    from fastsched.study import Study
    from fastsched.sweep_result import SweepResult

# A mean needs sqrt(n) times this many effective trajectories, and never more than the maximum.
# Samples of 100 to 1000 exponential or chi-squared values reach that in more than 99.9 % of cases,
# lognormal ones (sigma = 1) in 95 %; without a mean (tail index 0.75) 40 % do at n = 100, 0.5 % at
# 10,000.
_NEEDED, _MOST_NEEDED = 0.2, 10.0

# The same where theory knows of no stationary mean.
_NEEDED_HEAVY, _MOST_NEEDED_HEAVY = 1.0, 100.0

# Fewer trajectories do not show how heavy a tail is.
_FEWEST = 100

# A rare event is a heavy tail to the variance, but an error below this fraction of the mean does
# not mislead.
_SMALL_ERROR = 0.05


def estimable(result: Result, name: str) -> xarray.DataArray:
    r"""Return where the mean of a variable can be estimated by the sample.

    It cannot where a few trajectories carry the variance: then the law may have no variance or
    no mean, and the standard error says nothing.

    Parameters
    ----------
    result : Result or SweepResult
        Also one that was loaded, or a member of a sweep.
    name : str
        A variable, such as ``"loss"``, ``"average_loss"`` or ``"test_loss"``. Its standard
        deviation ``name_std`` and its quantiles are not judged; pass the name of the mean.

    Returns
    -------
    xarray.DataArray of bool
        Over the dimensions of the variable. True where nothing speaks against the mean: without
        ``name_std`` and its error, in exact results, where the value does not vary, and where no
        trajectory is finite.

    Notes
    -----
    With deviations d from the mean of n finite trajectories, the number that carries the variance
    is the participation ratio

    .. math::
        n_\mathrm{eff} = \frac{(\sum d^2)^2}{\sum d^4}
            = \Big(\frac{4\,\mathrm{se}(s)^2}{s^2} + \frac1n\Big)^{-1}

    A mean is not estimable with n >= 100 where this is less than the smaller of 10 and
    sqrt(n) / 5 and the relative standard error is above 5 %. Where theory excludes a stationary
    mean (SGD on one-pass least squares at a constant rate beyond the mean-square limit, see
    `theory.one_pass_limit`) the bound is the smaller of 100 and sqrt(n), for any n and any error,
    and no mean is estimable at a step where a trajectory has diverged.
    """
    import xarray

    values = result.data[name]
    fine = xarray.ones_like(values, dtype=bool)
    if result.is_exact or f"{name}_std_se" not in result.data:
        return fine
    error, std, std_error = (result.data[f"{name}{end}"] for end in ("_se", "_std", "_std_se"))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        n = (std / error) ** 2
        carriers = 1 / (4 * (std_error / std) ** 2 + 1 / n)
        few = carriers < np.minimum(_MOST_NEEDED, _NEEDED * np.sqrt(n))
        # The count follows from two rounded numbers.
        few &= (n > _FEWEST - 0.5) & (error > _SMALL_ERROR * abs(values))
        suspect = carriers < np.minimum(_MOST_NEEDED_HEAVY, _NEEDED_HEAVY * np.sqrt(n))
    if "diverged" in result.data:
        suspect = suspect | (result.data["diverged"] > 0)
    return fine & ~few & ~(suspect & _heavy(result, suspect))


def estimable_last(result: SweepResult, name: str) -> xarray.DataArray:
    """Return where `estimable` holds after each member's last step, over the sweep's axes."""
    return result.last(name, estimable(result, name).to_dataset(name=name))


def _heavy(result: Result, suspect: xarray.DataArray) -> xarray.DataArray:
    """Return which of the suspect members have no stationary mean, over the sweep's axes."""
    import xarray

    dims = result.asked.dims if isinstance(result.asked, Sweep) else ()
    asked = suspect.any([dim for dim in suspect.dims if dim not in dims]).transpose(*dims)
    heavy = np.zeros(asked.shape, dtype=bool)
    for place, member in zip(np.ndindex(*asked.shape), result.asked.members, strict=True):
        heavy[place] = bool(asked.values[place]) and without_stationary_mean(member)
    return xarray.DataArray(heavy, dims=dims, coords={dim: suspect[dim] for dim in dims})


def without_stationary_mean(study: Study) -> bool:
    """Return whether theory knows that the study's stationary loss has no mean.

    Parameters
    ----------
    study : Study
        SGD without weight decay at constant rate, momentum and batch size on one-pass least
        squares, or on linear random features; of any other study nothing is known.
    """
    from fastsched.landscapes import LeastSquares
    from fastsched.optimizers import SGD
    from fastsched.theory.stability import one_pass_stability

    model, optimizer = study.landscape.model, study.optimizer
    if not isinstance(model, LeastSquares) or not isinstance(optimizer, SGD):
        return False
    values = {**optimizer.hyperparameters(study.steps), "batch_size": study.batch_sizes()}
    if any(np.ptp(numbers) > 0 for numbers in values.values()):
        return False
    first = {name: float(numbers[0]) for name, numbers in values.items()}
    spectrum = model.spectrum[model.spectrum > 0]
    if first["lr"] == 0 or first["weight_decay"] != 0 or spectrum.size == 0:
        return False
    return not one_pass_stability(
        spectrum,
        first["lr"],
        momentum=first["momentum"],
        nesterov=optimizer.nesterov,
        batch_size=int(first["batch_size"]),
    ).stable
