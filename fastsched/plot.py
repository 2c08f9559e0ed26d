"""Pictures of results; matplotlib is imported when a picture is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsched.reliability import estimable
from fastsched.schedules import Schedule
from fastsched.summary import largest_z, shortened

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastsched.result import Result
    from fastsched.study import Study

# Okabe & Ito's palette, distinct under the common colour deficiencies.
_CURVE = "#0072B2"
_RATE = "#D55E00"
_REFERENCE = "0.55"

EXACT_LINE: dict[str, Any] = {"color": "black", "linewidth": 1, "linestyle": (0, (2, 2))}
"""How exact values are drawn."""

# Parts of a schedule that a picture tells apart.
_MOST_STEPS = 2000

# Axes reach beyond the numbers, and must not overflow. Exact values that leave the estimates
# behind by more than the second factor would flatten them.
_LARGEST_DRAWN = 1e250
_FARTHEST_EXACT = 10.0

# A linear axis does not show positive numbers that span more than this factor.
_WIDEST_LINEAR = 1e6


def drawn(values: Any) -> NDArray[np.float64]:
    """Return numbers as they are drawn: NaN where they are not finite, or overflow the axes."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(numbers) < _LARGEST_DRAWN, numbers, np.nan)


def drawn_exact(values: Any, *estimates: Any) -> NDArray[np.float64]:
    """Return exact values as they are drawn: NaN where they are far beyond all estimates."""
    numbers = drawn(values)
    sizes = [np.abs(drawn(part)).ravel() for part in estimates]
    largest = np.nanmax(np.concatenate([*sizes, [0.0]]))
    return np.where(np.abs(numbers) <= _FARTHEST_EXACT * largest, numbers, np.nan)


def wide(values: Any, factor: float) -> bool:
    """Return whether numbers need a logarithmic axis.

    They do where they are positive and span more than `factor`, or are not negative and their
    positive ones span more than a linear axis shows.
    """
    numbers = drawn(values)
    positive = numbers[numbers > 0]
    if positive.size == 0 or np.any(numbers < 0):
        return False
    span = float(np.max(positive)) / float(np.min(positive))
    return span > (factor if np.all(numbers[np.isfinite(numbers)] > 0) else _WIDEST_LINEAR)


def error_band(
    curve: NDArray[np.float64], error: Any, logarithmic: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both ends of two standard errors about a curve.

    On a logarithmic axis an end below zero becomes the reflection of the other one, so that the
    band does not reach the bottom of the figure.
    """
    width = 2 * drawn(error)
    low, high = curve - width, curve + width
    if logarithmic:
        with np.errstate(divide="ignore", invalid="ignore"):
            low = np.where((low <= 0) & (curve > 0), curve / (1 + width / np.abs(curve)), low)
    return low, high


def estimated(result: Result, name: str) -> xarray.DataArray:
    """Return where a mean, or the standard deviation of one, can be shown."""
    mean = name.removesuffix("_std")
    return estimable(result, mean if mean in result.data else name)


def median(result: Result, name: str) -> xarray.DataArray | None:
    """Return the median of a variable, where that was measured."""
    quantiles = result.data.get(f"{name}_quantile")
    if quantiles is None or 0.5 not in quantiles["quantile"].values:
        return None
    return quantiles.sel(quantile=0.5, drop=True)


def drawable(result: Result) -> list[str]:
    """Return the names of the variables that `Result.plot` can draw."""
    return [
        str(name)
        for name, values in result.data.items()
        if "step" in values.dims and values.ndim < 3 and not str(name).endswith("_se")
    ]


def plot_loss(result: Result, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Draw the loss of a result; see `Result.plot`."""
    ax = ax or new_axes()
    right = ax.get_xlim()[1] if ax.lines else 1.0
    colour = f"C{len(ax.lines)}" if ax.lines else _CURVE
    name = label or _rate(result)
    z = _largest_z(result)
    first = not ax.lines
    _draw_curve(result, ax, colour, f"{name}\n{z}" if z else name)
    _draw_exact(result, "loss", ax, "exact mean" if first else None)
    ax.set_xlim(0, max(right, float(result.study.steps)))
    finish(result, ax, "loss", "loss")
    return ax


def plot_variable(
    result: Result, variable: str, ax: Axes | None = None, label: str | None = None
) -> Axes:
    """Draw a variable over the steps; see `Result.plot`."""
    ax = ax or new_axes()
    name = label or _rate(result)
    values = result.data[variable].transpose("step", ...)
    step, error = values["step"].values, result.data.get(f"{variable}_se")
    kind = next((str(d) for d in values.dims if d != "step"), None)
    fine = estimated(result, variable)
    if kind:
        # Where measures have different quantiles, those that one lacks are NaN.
        values = values.dropna(kind, how="all")
        error = None if error is None else error.sel({kind: values[kind]})
    logarithmic = wide(values.where(fine), _WIDEST_LINEAR)
    for k in range(values[kind].size if kind else 1):
        part = {kind: k} if kind else {}
        curve = drawn(values.where(fine).isel(part))
        text = f"{kind} {values[kind].values[k]:g}, {name}" if kind else name
        colour = f"C{len(ax.lines)}"
        ax.plot(step, curve, color=colour, linewidth=1.5, label=text)
        if error is not None:
            band = error_band(curve, error.transpose("step", ...).isel(part), logarithmic)
            ax.fill_between(step, *band, color=colour, alpha=0.3, linewidth=0)
    _draw_median(result, variable, ax, "C0")
    _draw_exact(result, variable, ax, "exact")
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(left=0)
    if logarithmic:
        ax.set_yscale("log")
    words = variable.replace("_", " ") + (", ± 2 se" if error is not None else "")
    finish(result, ax, words, variable)
    return ax


def new_axes() -> Axes:
    """Return the axes of a new figure."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 4.5), layout="constrained")[1]


def _rate(result: Result) -> str:
    return f"lr = {shortened(getattr(result.study.optimizer, 'lr', None), 80)}"


def finish(
    result: Result, ax: Axes, ylabel: str, variable: str, shown: xarray.DataArray | None = None
) -> None:
    """Name the axes, and say what limits the curves: an interruption, divergence, heavy tails.

    Parameters
    ----------
    result : Result
    ax : matplotlib Axes
    ylabel : str
    variable : str
        What is drawn.
    shown : xarray.DataArray of bool, optional
        Where it is estimable, of what is drawn; by default everywhere.
    """
    ax.set_xlabel("step (updates)")
    ax.set_ylabel(ylabel)
    ax.legend(frameon=False, fontsize="small")
    notes = []
    if not result.complete:
        notes.append(f"interrupted after {result.trajectories:,} trajectories")
    lost = float(result["diverged"].max()) if "diverged" in result.data else 0.0
    if lost > 0 and f"{variable.removesuffix('_std')}_std_se" in result.data:
        notes.append(f"up to {100 * lost:.3g} % of the trajectories diverge and are left out")
    fine = estimated(result, variable) if shown is None else shown
    if not fine.all():
        part = f"{int((~fine).sum()):,} of {fine.size:,}"
        what = "step" if tuple(fine.dims) == ("step",) else "point"
        place = f"at {part} {what}s" if fine.size > 1 else "here"
        median_too = median(result, variable) is not None
        notes.append(f"the mean is not estimable {place}" + ": see the median" * median_too)
    if notes:
        ax.set_title("\n".join([*filter(None, [ax.get_title()]), *notes]), fontsize="small")
    if not any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in ax.lines):
        ax.text(0.5, 0.5, "no finite values to draw", transform=ax.transAxes, ha="center")


def plot_schedules(study: Study) -> Figure | None:
    """Draw the hyper-parameters that are schedules, and the batch size if it is one.

    Of many steps, neighbours are drawn as one, from their smallest to their largest value.
    None if no hyper-parameter is a schedule.
    """
    from matplotlib.figure import Figure

    values = {**study.optimizer.hyperparameters(study.steps), "batch_size": study.batch_sizes()}
    given = {"batch_size": study.batch_size, **vars(study.optimizer)}
    scheduled = {n: v for n, v in values.items() if isinstance(given[n], Schedule)}
    if not scheduled:
        return None
    rows = len(scheduled)
    figure = Figure(figsize=(5.5, 0.9 + 1.5 * max(rows, 2)), layout="constrained")
    panels = figure.subplots(rows, sharex=True, squeeze=False)[:, 0]
    first = np.unique(np.linspace(0, study.steps - 1, _MOST_STEPS).astype(int))
    for ax, (name, curve) in zip(panels, scheduled.items(), strict=True):
        low, high = np.minimum.reduceat(curve, first), np.maximum.reduceat(curve, first)
        ax.plot(np.repeat(first, 2), np.ravel([low, high], "F"), color=_RATE, linewidth=1.5)
        ax.set_ylabel(name.replace("_", " "))
    panels[-1].set_xlabel("step (updates)")
    return figure


def plot_zoo(results: Mapping[str, Result], title: str) -> Figure:
    """Draw one panel per named result: loss with quantile bands, and its learning rate."""
    import matplotlib.pyplot as plt

    columns = min(3, len(results))
    rows = math.ceil(len(results) / columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(4 * columns, 2.9 * rows + 0.6),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    final = {
        name: float(result.data["loss"].where(estimable(result, "loss"))[-1])
        for name, result in results.items()
    }
    finite = {name: loss for name, loss in final.items() if math.isfinite(loss)}
    best = min(finite, key=finite.__getitem__, default=None)
    for k, (ax, (name, result)) in enumerate(zip(axes.flat, results.items(), strict=False)):
        _draw_curve(result, ax, _CURVE, "mean loss")
        _draw_exact(result, "loss", ax, "exact mean")
        ax.set_xlim(0, result.study.steps)
        if best is not None:
            ax.axhline(
                final[best], color=_REFERENCE, linewidth=0.8, linestyle=":", label="best final loss"
            )
        ax.text(0.03, 0.04, _largest_z(result), transform=ax.transAxes, fontsize="small")
        mark = "  (best)" if name == best else ""
        words = f"final loss {final[name]:.4g}" if name in finite else "no final mean loss"
        ax.set_title(f"{name}: {words}{mark}", fontsize="medium")
        steps = result.study.steps
        lr = getattr(result.study.optimizer, "lr", None)
        if isinstance(lr, Schedule):
            rate_ax = ax.twinx()
            rate_ax.plot(np.arange(steps), lr.values(steps), color=_RATE, linewidth=1.2)
            rate_ax.set_ylim(0, 1.08 * float(np.max(lr.values(steps))))
            rate_ax.tick_params(colors=_RATE, labelsize="small")
            if k % columns == columns - 1:
                rate_ax.set_ylabel("learning rate", color=_RATE)
        if k // columns == rows - 1:
            ax.set_xlabel("step (updates)")
        if k % columns == 0:
            ax.set_ylabel("loss")
    for ax in list(axes.flat)[len(results) :]:
        ax.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title)
    return figure


def _draw_curve(result: Result, ax: Axes, colour: str, label: str) -> None:
    first = not ax.lines
    data = result.data
    step, mean = data["step"].values, drawn(data["loss"].where(estimable(result, "loss")))
    if "loss_quantile" in data:
        quantiles = data["loss_quantile"].dropna("quantile", how="all")
        orders, values = quantiles["quantile"].values, drawn(quantiles)
        for k in range(len(orders) // 2):
            ax.fill_between(
                step,
                values[k],
                values[-1 - k],
                color=colour,
                alpha=0.15,
                linewidth=0,
                label=f"{100 * orders[k]:g} - {100 * orders[-1 - k]:g} % of trajectories"
                if first
                else None,
            )
    known = mean[np.isfinite(mean)]
    logarithmic = known.size > 0 and float(known.min()) > 0
    if "loss_se" in data:
        ax.fill_between(
            step,
            *error_band(mean, data["loss_se"], logarithmic),
            color=colour,
            alpha=0.6,
            linewidth=0,
            label="± 2 standard errors" if first else None,
        )
    ax.plot(step, mean, color=colour, linewidth=1.5, label=label)
    _draw_median(result, "loss", ax, colour)
    ax.set_xscale("symlog", linthresh=1)
    if logarithmic:
        ax.set_yscale("log")


def _draw_median(result: Result, variable: str, ax: Axes, colour: str) -> None:
    """Draw the median of a variable whose mean is not estimable everywhere."""
    values = median(result, variable)
    if values is None or estimable(result, variable).all():
        return
    style: dict[str, Any] = {"color": colour, "linewidth": 1.5, "linestyle": "-."}
    ax.plot(values["step"], drawn(values), label="median (mean not estimable)", **style)


def _draw_exact(result: Result, variable: str, ax: Axes, label: str | None) -> None:
    """Draw the exact value of a variable over its estimate, where there is one."""
    if result.exact is not None and variable in result.exact:
        estimates = [result[n] for n in (variable, f"{variable}_quantile") if n in result.data]
        values = drawn_exact(result.exact[variable], *estimates)
        ax.plot(result.exact["step"], values, label=label, **EXACT_LINE)


def _largest_z(result: Result) -> str:
    """Return the largest |z| of the mean loss, as text; empty without exact theory."""
    found = largest_z(result)
    return f"max |z| = {found['loss'][0]:.1f}" if "loss" in found else ""
