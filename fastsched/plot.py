"""Pictures of results; matplotlib is imported when a picture is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fastsched.errors import FastschedError
from fastsched.result import shortened
from fastsched.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastsched.result import Result
    from fastsched.study import Study

# Okabe & Ito's palette, distinct under the common colour deficiencies.
_CURVE = "#0072B2"
_RATE = "#D55E00"
_REFERENCE = "0.55"

# More than a picture has columns of pixels.
_MOST_POINTS = 10_000


def plot_loss(result: Result, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Draw the loss of a result; see `Result.plot`."""
    ax = ax or _new_axes()
    right = ax.get_xlim()[1] if ax.lines else 1.0
    colour = f"C{len(ax.lines)}" if ax.lines else _CURVE
    name = label or _rate(result)
    z = _largest_z(result)
    first = not ax.lines
    _draw_curve(result, ax, colour, f"{name}\n{z}" if z else name)
    _draw_exact(result, ax, "exact mean" if first else None)
    ax.set_xlim(0, max(right, float(result.study.steps)))
    _finish(result, ax, "loss")
    return ax


def plot_variable(
    result: Result, variable: str, ax: Axes | None = None, label: str | None = None
) -> Axes:
    """Draw a variable over the steps; see `Result.plot`."""
    ax = ax or _new_axes()
    name = label or _rate(result)
    values = result.data[variable].transpose("step", ...)
    step, error = values["step"].values, result.data.get(f"{variable}_se")
    kind = next((str(d) for d in values.dims if d != "step"), None)
    for k in range(values[kind].size if kind else 1):
        part = {kind: k} if kind else {}
        curve = values.isel(part).values
        text = f"{kind} {values[kind].values[k]:g}, {name}" if kind else name
        colour = f"C{len(ax.lines)}"
        ax.plot(step, curve, color=colour, linewidth=1.5, label=text)
        if error is not None:
            band = 2 * error.transpose("step", ...).isel(part).values
            ax.fill_between(step, curve - band, curve + band, color=colour, alpha=0.3, linewidth=0)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(left=0)
    _finish(result, ax, variable.replace("_", " ") + (", ± 2 se" if error is not None else ""))
    return ax


def _new_axes() -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 4.5), layout="constrained")[1]


def _rate(result: Result) -> str:
    return f"lr = {shortened(getattr(result.study.optimizer, 'lr', None), 80)}"


def _finish(result: Result, ax: Axes, ylabel: str) -> None:
    ax.set_xlabel("step (updates)")
    ax.set_ylabel(ylabel)
    ax.legend(frameon=False, fontsize="small")
    if not result.complete:
        ax.set_title(f"interrupted after {result.trajectories:,} trajectories", fontsize="small")


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
    final = {name: float(result.data["loss"][-1]) for name, result in results.items()}
    best = min(final, key=final.__getitem__)
    for k, (ax, (name, result)) in enumerate(zip(axes.flat, results.items(), strict=False)):
        _draw_curve(result, ax, _CURVE, "mean loss")
        _draw_exact(result, ax, "exact mean")
        ax.set_xlim(0, result.study.steps)
        ax.axhline(
            final[best], color=_REFERENCE, linewidth=0.8, linestyle=":", label="best final loss"
        )
        ax.text(0.03, 0.04, _largest_z(result), transform=ax.transAxes, fontsize="small")
        mark = "  (best)" if name == best else ""
        ax.set_title(f"{name}: final loss {final[name]:.4g}{mark}", fontsize="medium")
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


def plot_schedules(study: Study) -> Figure:
    """Draw the hyper-parameters that are schedules over the steps of a study, a panel for each.

    Raises
    ------
    FastschedError
        None is a schedule.
    """
    import matplotlib.pyplot as plt

    values = {**study.optimizer.hyperparameters(study.steps), "batch_size": study.batch_sizes()}
    given = {name: getattr(study.optimizer, name, study.batch_size) for name in values}
    scheduled = {name: s for name, s in given.items() if isinstance(s, Schedule)}
    if not scheduled:
        raise FastschedError("no hyper-parameter of the study is a schedule")
    steps = np.unique(np.linspace(0, study.steps - 1, _MOST_POINTS).astype(np.int64))
    figure, axes = plt.subplots(
        len(scheduled),
        figsize=(7, 2.4 * len(scheduled) + 1),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (name, schedule) in zip(axes.flat, scheduled.items(), strict=True):
        ax.plot(steps, values[name][steps], color=_RATE, linewidth=1.5)
        ax.set_ylabel(name)
        ax.set_title(shortened(schedule, 90), fontsize="small")
    axes[-1, 0].set_xlabel("step (updates)")
    return figure


def _draw_curve(result: Result, ax: Axes, colour: str, label: str) -> None:
    first = not ax.lines
    data = result.data
    step, mean = data["step"].values, data["loss"].values
    if "loss_quantile" in data:
        quantiles = data["loss_quantile"].dropna("quantile", how="all")
        orders, values = quantiles["quantile"].values, quantiles.values
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
    if "loss_se" in data:
        se = data["loss_se"].values
        ax.fill_between(
            step,
            mean - 2 * se,
            mean + 2 * se,
            color=colour,
            alpha=0.6,
            linewidth=0,
            label="± 2 standard errors" if first else None,
        )
    ax.plot(step, mean, color=colour, linewidth=1.5, label=label)
    ax.set_xscale("symlog", linthresh=1)
    if np.nanmin(mean) > 0:
        ax.set_yscale("log")


def _draw_exact(result: Result, ax: Axes, label: str | None) -> None:
    """Draw the exact mean loss over its estimate, where there is one."""
    if result.exact is not None and "loss" in result.exact:
        ax.plot(
            result.exact["step"],
            result.exact["loss"],
            color="black",
            linewidth=1,
            linestyle=(0, (2, 2)),
            label=label,
        )


def _largest_z(result: Result) -> str:
    """Return the largest |z| of the mean loss, as text; empty without exact theory."""
    if "loss" not in result.z_scores:
        return ""
    largest = float(abs(result.z_scores["loss"]).max())
    return f"max |z| = {largest:.1f}" if np.isfinite(largest) else ""
